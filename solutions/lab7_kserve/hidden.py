"""Judge lab 7 with digits that the learner never saw. Instructors only: never released."""

from __future__ import annotations

from autograder.checks import Finding, check
from autograder.facts import fact
from autograder.labs import find_lab

from . import seen as base

first, fourth = find_lab("lab1_dockerfile").hidden, find_lab("lab4_operate").hidden  # the same images and models


class Seen(base.Seen):
    """See what lab 7 sees, and rows that vary from one submission to the next."""

    @fact
    def rows(self) -> tuple[list[list[int]], list[int]]:
        return fourth.telling_rows(self.place.salt)


@check(
    "reads_as_v2",
    points=2,
    expects="Through the Service digits-predictor, digits that you have not seen are read exactly as the model in "
    "digits:v2 reads them.",
    hint="All pods behind the Service must run digits:v2 with the model that is in it.",
    chapter="kubeflow#kserve",
    hidden=True,
)
def reads_as_v2(seen: Seen) -> Finding:
    rows, expected = seen.rows
    return first.compare(rows, expected, lambda body: seen.ask("/predict", body))
