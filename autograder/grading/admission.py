"""Look at a submission before anything of it is opened or copied."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat

AGAIN = "ask the learner to hand in again"
ODD = re.compile(r'[<>"*?\[\]\\\x00-\x1f\x7f]')  # nbgrader would take it for a pattern, Formgrader for HTML
LARGEST = 50_000_000  # bytes of a notebook: outputs of a loop that never ended


class Refused(Exception):
    """Say why a submission cannot be graded, in one line for the instructor."""


def admit(folder: Path, slug: str) -> str:
    """Return the digest of a submission's files. Raises Refused, with what to do.

    A file that points out of the submission is never followed: it would be
    copied into the feedback, and the learner would read it there.
    """
    student = folder.parent.name
    if found := ODD.search(student):
        raise Refused(f"unreadable: the learner's name {student!r} holds {found.group()!r}; rename the folder")
    if not folder.is_dir():
        raise Refused(f"unreadable: nothing was handed in; {AGAIN}")
    if folder.is_symlink():
        raise Refused(f"unreadable: the submission is a symbolic link, not a folder; {AGAIN}")
    digest, links = hashlib.sha256(), Counter()
    for path in _walk(folder):
        name, info = path.relative_to(folder).as_posix(), path.lstat()
        if stat.S_ISLNK(info.st_mode) and not _inside(path, folder):
            raise Refused(f"unreadable: {name} is a symbolic link to something outside the submission; {AGAIN}")
        if not stat.S_ISLNK(info.st_mode) and not stat.S_ISREG(info.st_mode):
            raise Refused(f"unreadable: {name} is a device, a pipe or a socket, not a file; {AGAIN}")
        if info.st_nlink > 1:
            links[(info.st_ino, info.st_nlink, name)] += 1
        try:
            digest.update(name.encode(errors="surrogateescape") + b"\0" + path.read_bytes() + b"\0")
        except OSError as error:
            raise Refused(f"unreadable: {name} cannot be read ({error.strerror}); {AGAIN}") from None
    inodes = Counter(inode for inode, _, _ in links)
    for inode, count, name in links:
        if count > inodes[inode]:
            raise Refused(f"unreadable: {name} is a hard link to something outside the submission; {AGAIN}")
    _admit_notebook(folder, slug)
    return digest.hexdigest()


def _admit_notebook(folder: Path, slug: str) -> None:
    path = folder / f"{slug}.ipynb"
    if not path.is_file():
        others = sorted(other.name for other in folder.glob("*.ipynb"))
        there = f" (there is {', '.join(others)})" if others else ""
        raise Refused(f"unreadable: {path.name} is missing{there}; {AGAIN}, under that name")
    if not (size := path.stat().st_size):
        raise Refused(f"unreadable: {path.name} is an empty file; {AGAIN}")
    if size > LARGEST:
        raise Refused(f"unreadable: {path.name} has {size // 1_000_000} MB; {AGAIN}, with its outputs cleared")
    try:
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        assert isinstance(notebook.cells, list)
        assert all(
            isinstance(cell.source, str) and cell.cell_type and cell.metadata is not None for cell in notebook.cells
        )
    except Exception as error:  # nbformat raises many kinds, each for a file that no program can open
        why = "is not JSON" if isinstance(error, (ValueError, UnicodeDecodeError)) else "is not a notebook"
        raise Refused(f"unreadable: {path.name} {why} (cut off, or two versions in one); {AGAIN}") from None


def cut_links(folder: Path) -> list[str]:
    """Remove links in a folder that lead out of it or nowhere, and return their names.

    A notebook may make them while it runs; nbgrader would follow them.
    """
    gone = []
    for path in list(_walk(folder)):
        if path.is_symlink() and not _inside(path, folder):
            path.unlink()
            gone.append(path.relative_to(folder).as_posix())
    return gone


def own(folder: Path) -> None:
    """Make a copied submission writable for the one who grades it: learners may hand in read-only files."""
    for path in _walk(folder):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IRUSR | stat.S_IWUSR)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield everything in a folder that is no real folder, links to folders included, in a fixed order."""
    for here, folders, files in os.walk(folder):
        folders.sort()
        yield from sorted([Path(here, f) for f in files] + [p for f in folders if (p := Path(here, f)).is_symlink()])


def _inside(link: Path, folder: Path) -> bool:
    target = link.resolve()
    return target.is_relative_to(folder.resolve()) and target.is_file()
