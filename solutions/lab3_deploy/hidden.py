"""Judge lab 3 with rows that the learner never saw. Instructors only: never released."""

from __future__ import annotations

from autograder.checks import Finding, check
from autograder.facts import fact
from autograder.labs import find_lab

from . import seen as base

unseen = find_lab("lab1_dockerfile").hidden  # the same model, so the same way to draw rows


class Seen(base.Seen):
    """See what lab 3 sees, and rows that vary from one submission to the next."""

    @fact
    def rows(self) -> tuple[list[list[int]], list[int]]:
        return unseen.held_out(self.place.salt)


@check(
    "predicts_held_out",
    points=2,
    expects="Through the Service, digits that you have not seen are read exactly as the course's own model reads them.",
    hint="All pods must run localhost:5001/digits:v1 with the model that is in it.",
    chapter="kubernetes#services",
    hidden=True,
)
def predicts_held_out(seen: Seen) -> Finding:
    rows, expected = seen.rows
    return unseen.compare(rows, expected, lambda body: seen.ask("/predict", body))
