"""Compare what an attempt must give with what judging it gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autograder.checks import Result, Status
from autograder.grading.outcome import Outcome, Standing
from autograder.release.attempts import Attempt


@dataclass(frozen=True)
class Difference:
    """Hold one check whose verdict is not the expected one."""

    check: str
    expected: str
    given: str

    def __str__(self) -> str:
        return f"{self.check}: expected {self.expected}, got {self.given}"


def expected(attempt: Attempt, outcome: Outcome) -> bool:
    """Tell whether grading an attempt gave what its file says."""
    if attempt.edit == "not_json":
        return outcome.standing is Standing.UNREADABLE
    return outcome.standing is Standing.GRADED and not differences(attempt, outcome.results)


def differences(attempt: Attempt, results: Sequence[Result]) -> list[Difference]:
    """Return where verdicts differ from what the attempt's file says; an empty list is good.

    Every check must pass, or, where it is listed under `fails`, must fail with
    the listed text in its hint or observation. That also holds for a broken
    attempt whose notebook can be read; in an empty one every check must fail, unless some are listed.
    No verdict may show a traceback.
    """
    found, all_fail = [], attempt.edit == "empty_notebook" and not attempt.fails
    for result in results:
        piece = "" if all_fail else attempt.fails.get(result.name)
        given = f"{result.status}: {result.observed} {result.hint}".strip()
        if "Traceback" in given:
            found.append(Difference(result.name, "plain words", given))
        elif piece is None:
            if result.status is not Status.PASS:
                found.append(Difference(result.name, "PASS", given))
        elif result.status is not Status.FAIL:
            found.append(Difference(result.name, "FAIL", given))
        elif piece not in f"{result.observed} {result.hint}":
            found.append(Difference(result.name, f"FAIL with {piece!r}", given))
    judged = {result.name for result in results}
    return found + [Difference(name, "FAIL", "no verdict at all") for name in attempt.fails if name not in judged]
