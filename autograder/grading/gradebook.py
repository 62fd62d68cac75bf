"""Reach a course's gradebook: nbgrader's SQLite file, which other processes may be writing to."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nbgrader.api import Gradebook
from sqlalchemy.exc import OperationalError

T = TypeVar("T")
LOCKED = "database is locked"


def open_gradebook(root: Path) -> Gradebook:
    """Return the gradebook of a course's folder, made where there is none; use it in a `with`."""
    scripts_on_path()
    return Gradebook(f"sqlite:///{root.resolve() / 'gradebook.db'}")


def scripts_on_path() -> None:
    """Put this Python's scripts on PATH: nbgrader calls `alembic` by name, also in an environment not activated."""
    if shutil.which("alembic") is None:
        scripts = str(Path(sys.executable).parent)
        os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def retrying(action: Callable[[], T]) -> T:
    """Return what an action on the gradebook returns; wait a little where another process locks it."""
    for pause in (0.5, 1, 2, 4):
        try:
            return action()
        except OperationalError as error:
            if LOCKED not in str(error):
                raise
            time.sleep(pause)
    return action()
