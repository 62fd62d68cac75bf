"""Let one process at a time prepare what all share: a toolchain, the sandboxes' images."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from autograder.ground.step import cache_dir


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Hold a lock of that name; the operating system frees it if we are killed.

    >>> with alone("seeds"): ...  # doctest: +SKIP
    """
    with (cache_dir("locks") / what).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
