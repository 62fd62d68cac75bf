"""Read what the course's model server answers to rows of pixels."""

from __future__ import annotations

from collections.abc import Sequence

from autograder.probes.http import Answer


def digits_in(answer: Answer, rows: Sequence) -> list[int] | None:
    """Return the digits of an answer, one for each row; None for any other answer.

    >>> digits_in(Answer(200, {"predictions": [7]}, "", {}, 0.1), [[0] * 64])
    [7]
    >>> digits_in(Answer(200, {"predictions": [7.0]}, "", {}, 0.1), [[0] * 64])
    [7.0]
    >>> digits_in(Answer(200, {"predictions": [7]}, "", {}, 0.1), [[0] * 64] * 2)
    """
    digits = answer.json.get("predictions") if isinstance(answer.json, dict) else None
    if answer.status != 200 or not isinstance(digits, list) or len(digits) != len(rows):
        return None
    return digits if all(one in range(10) for one in digits) else None
