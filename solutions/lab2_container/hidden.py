"""Judge lab 2 with rows that the learner never saw. Instructors only: never released."""

from __future__ import annotations

from autograder.checks import Finding, check
from autograder.facts import fact
from autograder.labs import find_lab

from . import seen as base

unseen = find_lab("lab1_dockerfile").hidden  # the same model, so the same way to draw rows


class Seen(base.Seen):
    """See what lab 2 sees, and rows that vary from one submission to the next."""

    @fact
    def rows(self) -> tuple[list[list[int]], list[int]]:
        return unseen.held_out(self.place.salt)


@check(
    "predicts_held_out",
    points=2,
    expects=f"On port {base.MODEL_PORT}, digits that you have not seen are read exactly as the course's model does.",
    hint="The container must run the course's image with the model that came with it.",
    chapter="docker#volumes",
    hidden=True,
)
def predicts_held_out(seen: Seen) -> Finding:
    rows, expected = seen.rows
    return unseen.compare(rows, expected, lambda body: seen.predict(seen.model_url, body["instances"]))


@check(
    "counts_held_out",
    points=2,
    expects=f"On port {base.COMPOSE_PORT}, unseen digits are read as the course's own model does, and each is counted.",
    hint="Every prediction goes through the gateway once: it asks the model by its service's name, and Redis counts.",
    chapter="docker#compose",
    hidden=True,
)
def counts_held_out(seen: Seen) -> Finding:
    rows, expected = seen.rows
    before = seen.count()
    finding = unseen.compare(rows, expected, lambda body: seen.predict(seen.compose_url, body["instances"]))
    grown = seen.count() - before
    if finding.share is not True:
        return finding
    return Finding(grown == len(rows), f"{finding.observed} The count grew by {grown} for {len(rows)} rows.")
