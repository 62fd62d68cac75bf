"""A step of bringing something up: idempotent, resumable, with its state read from the thing itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from autograder.facts import CannotCheck


def cache_dir(*parts: str) -> Path:
    """Return (and make) a folder of ours in the user's cache, outside any checkout."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base.joinpath("shipyard", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tools() -> Path:
    """Return the folder of the learner's kind and kubectl; it goes first in a kernel's PATH."""
    return cache_dir("bin")


@dataclass(frozen=True)
class Step:
    """One thing to bring up.

    `ready` asks the engine or the cluster, never a file of ours; `run` makes it
    so and may be interrupted anywhere. `seconds` is what it took on 2 cores.
    `why` is printed when it has to run.
    """

    name: str
    why: str
    seconds: int
    ready: Callable[[], bool]
    run: Callable[[], None]


class StepFailed(CannotCheck):
    """Say which step failed; `cause` and `fix` as in CannotCheck."""


def climb(steps: Iterable[Step], say: Callable[[str, Step, float], None]) -> None:
    """Run the steps that are not ready, in order.

    `say(event, step, seconds)` hears "ready", "start" and "done". Raises
    StepFailed for a step that failed or is not ready after it ran.
    """
    for step in steps:
        if step.ready():
            say("ready", step, 0.0)
            continue
        say("start", step, float(step.seconds))
        started = time.monotonic()
        try:
            step.run()
        except StepFailed:
            raise
        except CannotCheck as fault:
            raise StepFailed(f"{step.name}: {fault.cause}", fault.fix) from fault
        if not step.ready():
            raise StepFailed(f"{step.name}: ran, but is not there afterwards", "Run `shipyard doctor`.")
        say("done", step, time.monotonic() - started)
