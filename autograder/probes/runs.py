"""Tell runs of a pipeline apart, and find what each step of them was given and gave.

runs = Runs(recorder.ran(), work)
runs["tuesday"].last("train").output("model")       # Path in the learner's folder

A run is told by the label `shipyard.run` of its containers, and what a step was
given by the command that the engine started it with. The state that the runner
itself reports is not looked at: a container that failed can be told as a success.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from autograder.facts import NotThere
from autograder.probes.events import RUN, Ran

LARGEST = 20_000_000  # bytes of one artifact


@dataclass(frozen=True)
class Attempt:
    """Tell about one container of one step."""

    ran: Ran
    work: Path

    @property
    def ok(self) -> bool:
        """Say whether it ended, and well."""
        return self.ran.exit_code == 0

    @property
    def step(self) -> str:
        """The component's function that it ran, "" for none."""
        return _after(self.ran.command, "--function_to_execute")

    @cached_property
    def given(self) -> dict[str, Any]:
        """What kfp handed to it: kfp's ExecutorInput as JSON."""
        try:
            found = json.loads(_after(self.ran.command, "--executor_input"))
            return found if isinstance(found, dict) else {}
        except ValueError:
            return {}

    @property
    def job(self) -> str:
        """The name of its run's folder, which kfp makes anew for each run of a pipeline."""
        where = PurePosixPath(str(self.given.get("outputs", {}).get("outputFile", "")))
        return where.parent.parent.name

    @property
    def parameters(self) -> dict[str, Any]:
        """The values that it was given."""
        return self.given.get("inputs", {}).get("parameterValues") or {}

    def input_uri(self, name: str) -> str:
        """Return where an artifact that it was given lies, as it saw it."""
        return _uri(self.given.get("inputs", {}), name)

    def output_uri(self, name: str) -> str:
        """Return where an artifact that it gave lies, as it saw it."""
        return _uri(self.given.get("outputs", {}), name)

    def output(self, name: str) -> bytes:
        """Return the content of an artifact that it gave. Raises NotThere."""
        return self._content(self.output_uri(name), f"the artifact {name} of {self.step}")

    @cached_property
    def told(self) -> dict[str, Any]:
        """What it told kfp at its end: kfp's ExecutorOutput as JSON; empty where it told nothing."""
        where = str(self.given.get("outputs", {}).get("outputFile", ""))
        try:
            found = json.loads(self._content(where, "what it told"))
            return found if isinstance(found, dict) else {}
        except (ValueError, NotThere):
            return {}

    def metadata(self, name: str) -> dict[str, Any]:
        """Return what was logged with an artifact: metrics, a confusion matrix."""
        try:
            return dict(self.told["artifacts"][name]["artifacts"][0].get("metadata") or {})
        except (KeyError, IndexError, TypeError, AttributeError):
            return {}

    def _content(self, uri: str, what: str) -> bytes:
        inside = self.ran.file(uri)
        path = self.work / inside if inside and not inside.startswith("..") else None
        hint = "Run the pipeline again, and leave the folder runs/ as it is until you have handed in."
        if path is None or path.is_symlink() or not path.resolve().is_relative_to(self.work.resolve()):
            raise NotThere(f"{what[0].upper()}{what[1:]} is not in your folder.", hint)
        try:
            if path.stat().st_size > LARGEST:
                raise NotThere(f"{what[0].upper()}{what[1:]} has more than {LARGEST // 1_000_000} MB.", hint)
            return path.read_bytes()
        except OSError:
            raise NotThere(f"{what[0].upper()}{what[1:]} is not there: the step has written no file.", hint) from None


@dataclass(frozen=True)
class Run:
    """Tell about all that ran under one name, in the order in which it was started."""

    name: str
    attempts: tuple[Attempt, ...]

    def of(self, step: str) -> tuple[Attempt, ...]:
        """Return the containers of a step, those of all its tries."""
        return tuple(one for one in self.attempts if one.step == step)

    def last(self, step: str) -> Attempt | None:
        """Return the last container of a step that ended well, None for none."""
        return next((one for one in reversed(self.of(step)) if one.ok), None)

    @property
    def newest(self) -> Run:
        """The containers of the last job only: who runs a cell again begins a new job."""
        job = self.attempts[-1].job if self.attempts else ""
        return Run(self.name, tuple(one for one in self.attempts if one.job == job))

    @property
    def steps(self) -> list[str]:
        """The steps that had a container, each once, in their order."""
        return list(dict.fromkeys(one.step for one in self.attempts))


class Runs:
    """Hold runs by their names; one that was not seen is empty."""

    def __init__(self, ran: Iterable[Ran], work: Path):
        self._attempts = [Attempt(one, work) for one in ran]

    @property
    def names(self) -> list[str]:
        """The names of the runs, each once, in their order."""
        return list(dict.fromkeys(one.ran.labels[RUN] for one in self._attempts if one.ran.labels.get(RUN)))

    def __getitem__(self, name: str) -> Run:
        return Run(name, tuple(one for one in self._attempts if one.ran.labels.get(RUN) == name))

    def __len__(self) -> int:
        return len(self._attempts)


def _after(words: tuple[str, ...], option: str) -> str:
    return words[words.index(option) + 1] if option in words[:-1] else ""


def _uri(part: dict[str, Any], name: str) -> str:
    try:
        return str(part["artifacts"][name]["artifacts"][0]["uri"])
    except (KeyError, IndexError, TypeError):
        return ""
