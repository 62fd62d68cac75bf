"""Judge lab 1 with rows that the learner never saw. Instructors only: never released."""

from __future__ import annotations

import random
import sys
from functools import cache
from types import ModuleType

from autograder.checks import Finding, check
from autograder.facts import CannotCheck, fact
from autograder.labs import checkout
from autograder.probes.digits import digits_in

from . import seen as base

COUNT = 24
MARGIN = 0.2  # between the two likeliest digits: rounding elsewhere must not decide


@cache
def course_model() -> tuple[ModuleType, object]:
    """Return the model server's data module and its loaded model.

    Raises CannotCheck where the course's own model cannot be loaded.
    """
    folder = checkout() / "docker" / "model-server"
    try:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        from digits_server import data, model

        return data, model.load(folder / "model" / "digits.skops")
    except Exception as error:
        raise CannotCheck(
            f"The course's own model cannot be loaded: {type(error).__name__}: {error}",
            f"Look at {folder}; `make test-unit` tests the model server.",
        ) from error


def held_out(salt: int, count: int = COUNT) -> tuple[list[list[int]], list[int]]:
    """Return rows and the digits that the course's own model reads in them; each salt draws others.

    Every row is a held-out image with some of its ink changed a little, so that no
    table of known images helps; rows on which the model itself wavers are left out.
    """
    data, model = course_model()
    draw = random.Random(salt)
    images = data.load_split().test.images.astype(int).tolist()
    draw.shuffle(images)
    rows = [[changed(ink, draw) for ink in image] for image in images]
    digits, probabilities = model.predict(rows)
    sure = [n for n, p in enumerate(probabilities) if sorted(p)[-1] - sorted(p)[-2] > MARGIN][:count]
    return [rows[n] for n in sure], [digits[n] for n in sure]


def changed(ink: int, draw: random.Random) -> int:
    """Return the pixel's ink with one more or less, or as it is; paper stays paper."""
    return min(16, max(0, ink + draw.choice((-1, 0, 0, 1)))) if ink else 0


def compare(rows: list[list[int]], expected: list[int], predict) -> Finding:
    """Send the rows as a batch, and one alone, to `predict`; tell whether the answers are the expected ones.

    `predict` takes a body and returns an Answer.
    """
    answers: list[int] = []
    for part in (rows[:1], rows[1:]):
        answer = predict({"instances": part})
        digits = digits_in(answer, part)
        if digits is None:
            said = "" if answer.status != 200 else ", which are not one digit for each row"
            return Finding(False, f"/predict answered {len(part)} unseen rows with {answer.brief}{said}.")
        answers += digits
    right = sum(one == other for one, other in zip(answers, expected, strict=True))
    said = f"{right} of {len(rows)} unseen digits are predicted as the course's own model does."
    return Finding(right == len(rows), said)


class Seen(base.Seen):
    """See what lab 1 sees, and rows that vary from one submission to the next."""

    @fact
    def rows(self) -> tuple[list[list[int]], list[int]]:
        return held_out(self.place.salt)


@check(
    "predicts_held_out",
    points=2,
    expects="/predict reads digits that you have not seen exactly as the course's own model does.",
    hint="The image needs the app's code and its model, both as they were given.",
    chapter="docker#images",
    hidden=True,
)
def predicts_held_out(seen: Seen) -> Finding:
    rows, expected = seen.rows
    url = seen.server.url
    return compare(rows, expected, lambda body: seen.predict(url, body["instances"]))
