"""Judge lab 4 with digits that the learner never saw. Instructors only: never released."""

from __future__ import annotations

import random
from contextlib import suppress
from functools import cache

from autograder.checks import Finding, check
from autograder.facts import CannotCheck, NotThere, fact
from autograder.ground.model_server import model_of
from autograder.labs import find_lab
from autograder.probes.autoscaler import autoscaler

from . import seen as base

first = find_lab("lab1_dockerfile").hidden  # the same server, so the same way to load and to compare
COUNT, APART = 12, 6  # rows that both versions read alike, and rows that they read differently
SMUDGE = 7


@cache
def second():
    """Return the data module and the models of v1 and v2. Raises CannotCheck where one cannot be loaded."""
    data, old = first.course_model()
    from digits_server import model

    try:
        return data, old, model.load(model_of("v2") / "digits.skops")
    except Exception as error:
        raise CannotCheck(f"The course's second model cannot be loaded: {error}") from error


def telling_rows(salt: int) -> tuple[list[list[int]], list[int]]:
    """Return rows and the digits that v2 reads in them; v1 reads some of them otherwise. Each salt draws others."""
    data, old, new = second()
    draw = random.Random(salt)
    images = data.load_split().test.images.astype(int).tolist() * 3
    draw.shuffle(images)
    rows = [[min(16, max(0, ink + draw.randint(-SMUDGE, SMUDGE))) for ink in image] for image in images]
    digits, sure = _read(new, rows)
    others, known = _read(old, rows)
    firm = [n for n in range(len(rows)) if sure[n] and known[n]]
    chosen = [n for n in firm if digits[n] == others[n]][:COUNT] + [n for n in firm if digits[n] != others[n]][:APART]
    draw.shuffle(chosen)
    return [rows[n] for n in chosen], [digits[n] for n in chosen]


def _read(model, rows: list[list[int]]) -> tuple[list[int], list[bool]]:
    """Return a model's digits, and for each whether it is far enough ahead of the next likeliest."""
    digits, probabilities = model.predict(rows)
    return digits, [sorted(p)[-1] - sorted(p)[-2] > first.MARGIN for p in probabilities]


class Seen(base.Seen):
    """See what lab 4 sees, and rows that vary from one submission to the next."""

    @fact
    def rehearsal(self) -> base.Rehearsal:
        with suppress(NotThere):  # a grader will need this trial, too: they run side by side
            autoscaler(self.kube, base.NAME)
            self.begin_scaling()
        return super().rehearsal

    @fact
    def rows(self) -> tuple[list[list[int]], list[int]]:
        return telling_rows(self.place.salt)


@check(
    "reads_as_v2",
    points=2,
    expects="Through the Service, digits that you have not seen are read exactly as the model in digits:v2 reads them.",
    hint="All pods behind the Service must run digits:v2 with the model that is in it.",
    chapter="kubernetes#updates",
    hidden=True,
)
def reads_as_v2(seen: Seen) -> Finding:
    rows, expected = seen.rows
    return first.compare(rows, expected, lambda body: seen.ask("/predict", body))
