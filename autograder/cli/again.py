"""Grade once more, at the end, what could not be judged: most faults pass, and a machine has less to do then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from autograder.grading.outcome import Outcome, Standing

if TYPE_CHECKING:
    from autograder.cli.handed import Handed

FEW = 3  # submissions; of more, a fifth: an engine that is gone for good is not asked for each one once more


def unjudged(outcome: Outcome) -> bool:
    """Tell whether something of ours stood in the way, so that there is no grade."""
    return outcome.standing is Standing.FAULT or bool(outcome.errors)


def with_second_tries(
    outcomes: Iterable[Outcome], grade: Callable[[Sequence[Handed]], Iterable[Outcome]]
) -> Iterator[Outcome]:
    """Yield outcomes as they come, then those of second tries: what comes last of a submission counts.

    `grade` grades what is named to it. Where many have no grade, the fault is no passing one: nothing is tried again.
    """
    total, left = 0, []
    for outcome in outcomes:
        total += 1
        if unjudged(outcome):
            left.append((outcome.student, outcome.slug))
        yield outcome
    if left and len(left) <= max(FEW, total // 5):
        yield from grade(left)
