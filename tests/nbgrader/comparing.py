"""Compare gradebooks and look for processes, for the tests that grade a class."""

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from autograder.grading.verdicts import graded

RANDOM = re.compile("[0-9a-f]{32}")  # nbgrader's ids
TIMES = {"timestamp"}


def rows(root):
    """Return all rows of a gradebook, sorted, without times, and with names in the place of random ids."""
    with closing(sqlite3.connect(root / "gradebook.db")) as book:
        book.row_factory = sqlite3.Row
        names = [row[0] for row in book.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {name: [dict(row) for row in book.execute(f"SELECT * FROM {name}")] for name in names}
    known = {row["id"]: row for table in tables.values() for row in table if "id" in row}
    # A cell's parts lie in tables of their own, under one id.
    parts = {}
    for name, table in tables.items():
        for row in table:
            parts.setdefault(row.get("id"), {}).update({f"{name}.{key}": value for key, value in row.items()})

    def natural(value):
        if isinstance(value, str) and RANDOM.fullmatch(value) and value in known:
            return described(parts[value])
        return value

    def described(row):
        return tuple((key, natural(value)) for key, value in sorted(row.items())
                     if key.split(".")[-1] not in TIMES | {"id"})  # fmt: skip

    return sorted(repr((name, described(row))) for name, table in tables.items() for row in table)


def verdicts(root, slug):
    """Return each graded learner's results, without the seconds that they took."""
    found = {}
    for path in (root / "autograded").glob(f"*/{slug}/{slug}.ipynb"):
        results = graded(path)
        found[path.parent.parent.name] = [
            (r.name, r.status, r.points, r.observed) for r in results[1]
        ] if results else None  # fmt: skip
    return found


def working_in(root):
    """Return the ids of processes that work in a folder or below: nothing of a run may be left there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(root.resolve()) and int(process.name) != os.getpid():
                found.append(int(process.name))
    return found
