"""Climb steps beside other work: the cluster is made while labs that need only Docker are graded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from autograder.facts import CannotCheck
from autograder.ground.step import Step, climb


class Background:
    """Climb steps in a thread, `after` another has climbed its own; `wait` for them, and hear what went wrong."""

    def __init__(
        self,
        steps: Callable[[], Sequence[Step]],
        say: Callable[[str, Step, float], None],
        after: Background | None = None,
    ):
        self._fault: CannotCheck | None = None
        self._after = after
        self._thread = threading.Thread(target=self._climb, args=(steps, say), daemon=True)
        self._thread.start()

    def _climb(self, steps: Callable[[], Sequence[Step]], say: Callable[[str, Step, float], None]) -> None:
        try:
            if self._after is not None:
                self._after.wait()
            climb(steps(), say)
        except CannotCheck as fault:
            self._fault = fault
        except Exception as bug:  # said to whoever waits; a thread's own traceback would be lost in the bars
            self._fault = CannotCheck(f"{type(bug).__name__}: {bug}", "Run `shipyard doctor`, then the same again.")

    def wait(self) -> None:
        """Wait until all steps are done. Raises CannotCheck with what went wrong."""
        while self._thread.is_alive():
            self._thread.join(0.5)  # in slices, so that Ctrl-C is heard
        if self._fault is not None:
            raise self._fault
