"""Reach a course's gradebook: the database that nbgrader_config.py names, else nbgrader's SQLite file."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import nbgrader.api
import sqlalchemy
from nbgrader.api import Gradebook
from sqlalchemy.exc import OperationalError
from traitlets.config import Config, PyFileConfigLoader

T = TypeVar("T")
LOCKED = "database is locked"
CONFIG = "nbgrader_config.py"


def open_gradebook(root: Path) -> Gradebook:
    """Return the gradebook of a course's folder, made where there is none; use it in a `with`."""
    scripts_on_path()
    wait_for_others()
    return Gradebook(address(root), course_id(root) or "default_course")


def address(root: Path) -> str:
    """Return the URL of a course's database: `c.CourseDirectory.db_url`, else gradebook.db in its folder."""
    given = settings(root).CourseDirectory.get("db_url")
    return str(given) if given else f"sqlite:///{root.resolve() / 'gradebook.db'}"


def course_id(root: Path) -> str:
    """Return the course's id: `c.CourseDirectory.course_id`, else nbgrader's default, which is empty.

    A Postgres gradebook needs one: nbgrader's rows refer to it, and only SQLite lets that pass.
    """
    return str(settings(root).CourseDirectory.get("course_id") or "")


def settings(root: Path) -> Config:
    """Return what a course's nbgrader_config.py sets; nothing where there is none."""
    path = root.resolve() / CONFIG
    return _settings(path, path.stat().st_mtime_ns) if path.is_file() else Config()


@cache
def _settings(path: Path, changed: int) -> Config:
    return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()


def patience() -> float:
    """Return for how many seconds a process waits for another one that writes (SHIPYARD_GRADEBOOK_WAIT, 60)."""
    return float(os.environ.get("SHIPYARD_GRADEBOOK_WAIT", 60))


def wait_for_others() -> None:
    """Let every connection of nbgrader to an SQLite file wait its turn; calling it again changes nothing.

    SQLite's own patience is 5 seconds. A wait cannot deadlock: nbgrader's
    sessions begin a transaction with a write, and take the file's lock with it.
    """
    nbgrader.api.create_engine = _patient_engine


def _patient_engine(url: str, **options: object) -> sqlalchemy.Engine:
    if sqlalchemy.make_url(url).get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": patience()}
    return sqlalchemy.create_engine(url, **options)


@contextmanager
def one_transaction(gradebook: Gradebook) -> Iterator[None]:
    """Write all that is written inside at once, or, where it fails or is killed, none of it."""
    session = gradebook.db
    session.commit = session.flush
    try:
        yield
    except BaseException:
        session.rollback()
        raise
    finally:
        del session.commit
    session.commit()


def scripts_on_path() -> None:
    """Put this Python's scripts on PATH: nbgrader calls `alembic` by name, also in an environment not activated."""
    if shutil.which("alembic") is None:
        scripts = str(Path(sys.executable).parent)
        os.environ["PATH"] = f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def retrying(action: Callable[[], T]) -> T:
    """Return what an action on the gradebook returns; a little later where another process locks it."""
    for pause in (0.5, 1):
        try:
            return action()
        except OperationalError as error:
            if LOCKED not in str(error):
                raise
            time.sleep(pause)
    return action()
