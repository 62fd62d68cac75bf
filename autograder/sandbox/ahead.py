"""Start the next submission's sandboxes while the one before is graded, so that none waits for its own."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from docker.errors import DockerException

from autograder.facts import CannotCheck
from autograder.labs import Lab
from autograder.sandbox import seeding
from autograder.sandbox.pair import TOKENS, Fresh

TROUBLES = (CannotCheck, DockerException, OSError)  # said by the submission itself, which then starts its own


class Ahead:
    """Hold the sandboxes of submissions that come next, each by learner and lab.

    with Ahead() as ahead:
        ahead.begin(lab, "bela", mark)         # comes back at once
        environment = ahead.take(lab, "bela")  # for the process that grades bela
        ahead.done(lab, "bela")
    """

    def __init__(self):
        self._begun: dict[tuple[str, str], Future[Fresh]] = {}
        self._lock = threading.Lock()
        self._starting, self._pool, self._ending = ThreadPoolExecutor(1), ThreadPoolExecutor(4), ThreadPoolExecutor(2)

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove all that is left, and wait until it is gone."""
        self._starting.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            left, self._begun = list(self._begun.values()), {}
        for one in left:
            _end(one)
        self._ending.shutdown()
        self._pool.shutdown()

    def begin(self, lab: Lab, student: str, mark: str) -> None:
        """Start both sandboxes of a submission in the background, once; `mark` names it (workplace.key)."""
        with self._lock:
            if (student, lab.slug) not in self._begun:
                with suppress(RuntimeError):  # it is closing
                    self._begun[student, lab.slug] = self._starting.submit(self._start, lab, mark)

    def take(self, lab: Lab, student: str) -> dict[str, str]:
        """Return the variables that lead to a submission's sandboxes; none where there are none."""
        with self._lock:
            begun = self._begun.get((student, lab.slug))
        try:
            return {TOKENS: " ".join(one.token for one in begun.result().started())} if begun else {}
        except TROUBLES:
            return {}

    def done(self, lab: Lab, student: str) -> None:
        """Remove a submission's sandboxes, in the background."""
        with self._lock:
            if begun := self._begun.pop((student, lab.slug), None):
                self._ending.submit(_end, begun)

    def _start(self, lab: Lab, mark: str) -> Fresh:
        return Fresh(self._pool, mark, seeding.have(lab), seeding.with_registry(lab)).__enter__()


def _end(begun: Future[Fresh]) -> None:
    with suppress(*TROUBLES):
        if not begun.cancelled():
            begun.result().__exit__()
