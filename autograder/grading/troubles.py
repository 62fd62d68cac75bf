"""Say troubles of disk and gradebook in plain words: what happened, what it means, what to do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOM = 16 * 2**20  # bytes: below this, a cell that could not write its file would cost points
FULL = "No space left on device"
KNOWN = (
    (
        r"No space left on device|database or disk is full|\[Errno 28\]|Disk quota exceeded",
        "the disk that holds the course is full. Nothing wrong was written. Free some space, then grade again",
    ),
    (
        r"file is not a database|database disk image is malformed|malformed database schema",
        "the gradebook is damaged. No grade was written. Put back a copy of gradebook.db, or try to save what is in "
        "it with `sqlite3 gradebook.db .recover`, then grade again",
    ),
    (
        r"database is locked",
        "another program keeps the gradebook locked. No grade was written. Close what has it open (a database "
        "browser, a run that hangs), then grade again",
    ),
    (
        r"attempt to write a readonly database|unable to open database file",
        "the gradebook cannot be opened for writing. No grade was written. Let this user write to gradebook.db and "
        "to its folder, then grade again",
    ),
    (
        r"could not connect to server|connection to server .* failed|server closed the connection",
        "the database server of the gradebook does not answer. No grade was written. Start it, then grade again",
    ),
)


def explain(text: str) -> str:
    """Return a known trouble in plain words, "" for a text that tells of none.

    >>> explain("sqlite3.DatabaseError: file is not a database")[:24]
    'the gradebook is damaged'
    """
    return next((said for pattern, said in KNOWN if re.search(pattern, text)), "")


def full(folder: Path) -> bool:
    """Tell whether the disk that holds a folder is too full to grade on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free < ROOM
