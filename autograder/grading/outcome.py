"""Hold what grading one submission gave."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from autograder.checks import Result, Status


class Standing(StrEnum):
    """Name the ends of grading one submission.

    UNREADABLE: the learner has to hand in again. FAULT: nbgrader or we failed,
    nothing was graded.
    """

    GRADED = "graded"
    UNREADABLE = "unreadable"
    FAULT = "fault"


@dataclass(frozen=True)
class Outcome:
    """Hold one submission's outcome: a line for the instructor, and the verdicts if there are any.

    `score` is the gradebook's (what a person changed there counts), `fresh`
    tells whether it was graded just now, `seconds` how long that took.
    """

    student: str
    slug: str
    standing: Standing
    line: str = ""
    results: tuple[Result, ...] = ()
    score: float | None = None
    fresh: bool = False
    seconds: float = 0.0

    @property
    def points(self) -> float:
        """Return the points of all verdicts."""
        return sum(result.points for result in self.results)

    @property
    def max_points(self) -> float:
        """Return the points that could be had."""
        return sum(result.max_points for result in self.results)

    @property
    def errors(self) -> list[Result]:
        """Return the checks that could not be made."""
        return [result for result in self.results if result.status is Status.ERROR]


@dataclass(frozen=True)
class Step:
    """Say what is being done now: number `number` of `total` submissions (from 1), and what with it.

    `done` submissions have their outcome, and all slots together will need
    `left` seconds for the others (None: not known yet).
    """

    student: str
    slug: str
    number: int
    total: int
    doing: str
    done: int = 0
    left: float | None = None
