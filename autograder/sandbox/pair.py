"""Have a submission's two sandboxes, the learner's and the judge's: fresh ones, or two that were started ahead."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from docker.errors import DockerException

from autograder.facts import CannotCheck
from autograder.labs import Lab
from autograder.sandbox import seeding
from autograder.sandbox.box import Box, box, find, sweep

TOKENS = "SHIPYARD_BOXES"  # the names of sandboxes that wait for the submission that is graded in this process


class Pair(Protocol):
    """Be two sandboxes, which are gone when the context ends."""

    def __enter__(self) -> Pair: ...

    def __exit__(self, *_: object) -> None: ...

    def started(self) -> tuple[Box, Box]:
        """Return the learner's and the judge's. Raises CannotCheck where one does not start."""


class Fresh:
    """Start both at once, without waiting for their engines, and end both at once.

    What a killed run of the same submission left is removed before.
    """

    def __init__(self, pool: ThreadPoolExecutor, mark: str, seed: str, registry: bool):
        self._pool, self._mark = pool, mark
        self._boxes = [box(mark, seed=seed, registry=registry, wait=False) for _ in range(2)]
        self._started: list[Future[Box]] = []

    def __enter__(self) -> Fresh:
        sweep(self._mark)
        self._started = [self._pool.submit(one.__enter__) for one in self._boxes]
        return self

    def started(self) -> tuple[Box, Box]:
        learner, judge = (one.result() for one in self._started)
        return learner, judge

    def __exit__(self, *_: object) -> None:
        # A context that was not entered (its start failed) has tidied up by itself.
        entered = [one for one, began in zip(self._boxes, self._started, strict=True) if not began.exception()]
        for ended in [self._pool.submit(one.__exit__, None, None, None) for one in entered]:
            ended.result()


class Waiting:
    """Take two that another process started for this submission; it keeps their registries' ports, and removes both.

    Removing takes longer than judging a small notebook: that process does it beside the next step.
    """

    def __init__(self, boxes: tuple[Box, Box]):
        self._boxes = boxes

    def __enter__(self) -> Waiting:
        return self

    def started(self) -> tuple[Box, Box]:
        return self._boxes

    def __exit__(self, *_: object) -> None:
        pass


def pair(pool: ThreadPoolExecutor, lab: Lab, mark: str) -> Pair:
    """Return the sandboxes that wait for this submission where both still run, else ones that are to be started."""
    registry = seeding.with_registry(lab)
    waiting = [token for token in os.environ.get(TOKENS, "").split() if token.startswith(f"{mark}-")]
    try:
        found = [one for token in waiting if (one := find(token)) and one.container.status == "running"]
    except (DockerException, OSError) as error:
        raise CannotCheck(f"The sandboxes cannot be seen: {error}", "Run `shipyard doctor`.") from error
    if len(found) == 2 and all(bool(one.registry_port) == registry for one in found):
        return Waiting((found[0], found[1]))
    return Fresh(pool, mark, seeding.have(lab), registry)
