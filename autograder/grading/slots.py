"""Say how many submissions may be graded at the same time, and how long a class will still take."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Iterable

from autograder.ground.machine import GIB, free_memory
from autograder.labs import Lab
from autograder.sandbox import wanted


def default_jobs() -> int:
    """Return a number of slots that fits this machine: one a core, at least 3 GiB each.

    More would be quicker for labs that mostly wait; but each check that waits has
    a time limit, and a class must get the same verdicts with one slot and with many.
    """
    return max(1, min(cores(), free_memory() // (3 * GIB)))


def allowed_jobs(lab: Lab, jobs: int) -> int:
    """Return how many submissions of a lab may run at once, of `jobs` that are wanted.

    Without sandboxes, submissions share one engine and its fixed names
    (`localhost:5001/digits:v1`): then they must go one after the other.
    """
    return jobs if not lab.needs or wanted() else 1


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pace:
    """Foretell how many seconds all slots together will still take, from what submissions of each lab took.

    >>> pace = Pace(["a", "a", "a"], jobs=2)
    >>> pace.took("a", 10)
    >>> pace.left()
    10.0
    """

    def __init__(self, slugs: Iterable[str], jobs: int):
        self._open = list(slugs)
        self._jobs = max(1, jobs)
        self._seconds: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def took(self, slug: str, seconds: float) -> None:
        """Hear that a submission of a lab is done, and how long it took."""
        with self._lock:
            self._open.remove(slug)
            self._seconds.setdefault(slug, []).append(seconds)

    def left(self) -> float | None:
        """Return the seconds that are left, None before the first submission is done."""
        with self._lock:
            known = [second for seconds in self._seconds.values() for second in seconds]
            if not known:
                return None
            usual = {slug: statistics.median(seconds) for slug, seconds in self._seconds.items()}
            other = statistics.median(known)
            return sum(usual.get(slug, other) for slug in self._open) / self._jobs
