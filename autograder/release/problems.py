"""Say what is wrong with a lab's source: which file, which line, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.labs import course_root


@dataclass(frozen=True)
class Problem:
    """Hold one mistake in a lab's source; `line` counts from 1, 0 is the file as a whole."""

    file: Path
    line: int
    what: str
    fix: str

    def __str__(self) -> str:
        path = self.file
        if path.is_absolute() and path.is_relative_to(course_root()):
            path = path.relative_to(course_root())
        return f"{path}:{self.line}: {self.what} {self.fix}" if self.line else f"{path}: {self.what} {self.fix}"


class ReleaseError(Exception):
    """Say that a lab cannot be released; `problems` lists every mistake that was found."""

    def __init__(self, problems: Sequence[Problem]):
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class StaleGradebook(ReleaseError):
    """Say that the gradebook holds submissions of a lab whose answers or checks have changed since."""
