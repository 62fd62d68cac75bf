"""Let one run at a time grade a course."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autograder.facts import CannotCheck


@contextmanager
def alone(root: Path, say: Callable[[str], None], patience: float = float("inf")) -> Iterator[int]:
    """Be the only run that grades a course; yield the lock's file descriptor, which its commands hold, too.

    A run that was killed may have left a command that still writes: the next
    one waits until that has ended. Raises TimeoutError after `patience` seconds,
    CannotCheck where the course's folder cannot be written.
    """
    try:
        lock = (root / ".shipyard.lock").open("w")
    except OSError as error:
        cause = f"The course's folder {root} cannot be written: {error.strerror}."
        raise CannotCheck(
            cause, "Free some space on its disk, or let this user write there; then grade again."
        ) from None
    with lock as file:
        waited = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waited >= patience:
                    raise TimeoutError(f"another run grades {root}") from None
                say("another run grades this course; waiting for it")
                time.sleep(0.2)
                waited += 0.2
        yield file.fileno()
