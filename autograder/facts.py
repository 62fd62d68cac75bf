"""Look at live state once: facts, and the two ways in which one can be absent.

A lab's observation is a class whose facts are looked up when a check first
asks for them, and never again:

    class Seen(Observation):
        @fact
        def image(self):
            return docker.build(self.work)

        @fact
        def container(self):
            return self.closing(docker.run(self.image))

All checks therefore judge one snapshot. A fact that cannot be had raises one
of two exceptions, and whatever is built on it inherits the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class NotThere(Exception):
    """Say that the learner's work is not there or does not work: the check fails.

    `hint`, where given, replaces the check's own.
    """

    def __init__(self, observed: str, hint: str = ""):
        super().__init__(observed)
        self.observed, self.hint = observed, hint


class CannotCheck(Exception):
    """Say that we could not look: no verdict, no grade.

    `cause` is what happened, `fix` what the person at the machine can do.
    """

    def __init__(self, cause: str, fix: str = "Run `shipyard doctor`, then grade again."):
        super().__init__(cause)
        self.cause, self.fix = cause, fix


@dataclass(frozen=True)
class Place:
    """Say where a submission's work is: its folder, its namespace, its cluster.

    `kubeconfig` and `context` may be None: the user's own are taken then.
    `salt` varies hidden inputs from one submission to the next. `recorder` has
    listened to the engine while the work was done, where the lab asks for it.
    """

    work: Path
    namespace: str = "default"
    kubeconfig: str | None = None
    context: str | None = None
    docker_host: str | None = None
    registry: str = field(default_factory=lambda: os.environ.get("SHIPYARD_REGISTRY", "localhost:5001"))
    salt: int = 0
    recorder: Any = field(default=None, compare=False, repr=False)


class Observation(ExitStack):
    """Hold what was seen of one submission; closing it removes what looking created."""

    def __init__(self, place: Place):
        super().__init__()
        self.place = place
        self.work = place.work
        self._seen: dict[str, tuple[object, Exception | None]] = {}

    @property
    def faults(self) -> tuple[Exception, ...]:
        """The reasons for which facts could not be had so far."""
        return tuple(error for _, error in self._seen.values() if error is not None)

    def closing(self, made: AbstractContextManager[T]) -> T:
        """Enter `made` and leave it when the observation closes."""
        return self.enter_context(made)


def fact(look: Callable[[Any], Any]) -> property:
    """Turn a method into a property that is looked up once, its failure included."""

    @wraps(look)
    def once(self: Observation):
        name = look.__name__
        if name not in self._seen:
            try:
                self._seen[name] = (look(self), None)
            except Exception as error:  # kept: the next check must hear the same reason
                self._seen[name] = (None, error)
        value, error = self._seen[name]
        if error is not None:
            raise error
        return value

    return property(once)
