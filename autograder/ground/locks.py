"""Let one process at a time prepare what all share, and let others see what is being brought up."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from autograder.ground.step import cache_dir

COMING = "coming-up"


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Hold a lock of that name; the operating system frees it if we are killed.

    >>> with alone("seeds"): ...  # doctest: +SKIP
    """
    with (cache_dir("locks") / what).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def bringing_up() -> Iterator[None]:
    """Let others see that something is being brought up; several may do so at once."""
    with (cache_dir("locks") / COMING).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def coming_up() -> bool:
    """Tell whether something is being brought up right now, by anybody with our cache."""
    try:
        with (cache_dir("locks") / COMING).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:  # we may not even write there
        return False
