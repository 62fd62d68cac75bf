"""Grade once more, at the end, what could not be judged: most faults pass, and a machine has less to do then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from autograder.cli.handed import Handed
from autograder.grading.outcome import Outcome, Standing

FEW = 3  # submissions; of more, a fifth: an engine that is gone for good is not asked for each one once more


def unjudged(outcome: Outcome) -> bool:
    """Tell whether something of ours stood in the way, so that there is no grade."""
    return outcome.standing is Standing.FAULT or bool(outcome.errors)


def with_second_tries(
    outcomes: Iterable[Outcome],
    grade: Callable[[Sequence[Handed]], Iterable[Outcome]],
    tell: Callable[[Outcome], None],
) -> Iterator[Outcome]:
    """Yield outcomes; those without a grade come last, after a second try of each.

    `grade` grades what is named to it, `tell` hears of an outcome that has no grade
    yet. Where many have none, the fault is no passing one: nothing is tried again.
    """
    total, left = 0, []
    for outcome in outcomes:
        total += 1
        if unjudged(outcome):
            left.append(outcome)
            tell(outcome)
        else:
            yield outcome
    if left and len(left) <= max(FEW, total // 5):
        yield from grade([(one.student, one.slug) for one in left])
    else:
        yield from left
