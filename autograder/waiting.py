"""Wait for a state instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TimedOut(Exception):
    """Say that a state did not come; `last` is what the probe saw at the end."""

    def __init__(self, what: str, seconds: float, last: object):
        super().__init__(f"waited {seconds:.0f} s for {what}; last seen: {last}")
        self.what, self.seconds, self.last = what, seconds, last


def wait_until(
    probe: Callable[[], T], what: str, timeout: float, pause: float = 0.2, failures: tuple[type[Exception], ...] = ()
) -> T:
    """Call `probe` until it returns something true, and return that.

    `timeout` and `pause` are seconds. Exceptions in `failures` count as "not
    yet". Raises TimedOut with what was seen last.

    >>> wait_until(lambda: 3, "three", timeout=1)
    3
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            seen: object = probe()
            if seen:
                return seen  # type: ignore[return-value]
        except failures as error:
            seen = error
        if time.monotonic() >= deadline:
            raise TimedOut(what, timeout, seen)
        time.sleep(pause)
