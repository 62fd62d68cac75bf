"""Read the rows out of a request's body, or say what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from digits_server.data import INK, PIXELS

MAX_ROWS = 1000
MAX_BYTES = 2 * 1024 * 1024
SHAPE = f'Send {{"instances": [[{PIXELS} numbers from 0 to {INK}], ...]}}.'


class BadRows(Exception):
    """Say in a sentence or two which row is wrong and what is expected."""


def read_rows(body: bytes) -> list[list[float]]:
    """Return the rows of a JSON body `{"instances": [[64 numbers from 0 to 16], ...]}`.

    Raises BadRows. Rows and numbers are counted from 0, as in Python.

    >>> read_rows(b'{"instances": []}')
    Traceback (most recent call last):
    digits_server.rows.BadRows: "instances" is an empty list. Send at least one row.
    """
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):  # the second: thousands of opening brackets
        raise BadRows(f"The body is not JSON. {SHAPE}") from None
    if not isinstance(sent, dict):
        raise BadRows(f"The body is {_kind(sent)}, not an object. {SHAPE}")
    if "instances" not in sent:
        raise BadRows(f'The key "instances" is missing. {SHAPE}')
    rows = sent["instances"]
    if not isinstance(rows, list):
        raise BadRows(f'"instances" is {_kind(rows)}, not a list of rows. {SHAPE}')
    if not rows:
        raise BadRows('"instances" is an empty list. Send at least one row.')
    if len(rows) > MAX_ROWS:
        raise BadRows(f'"instances" holds {len(rows)} rows. Send {MAX_ROWS} at most, and the rest in a second request.')
    return [_row(number, row) for number, row in enumerate(rows)]


def _row(number: int, row: Any) -> list[float]:
    if not isinstance(row, list):
        hint = " A single row goes into a list of its own: [[...]]." if isinstance(row, int | float) else ""
        raise BadRows(f"Row {number} is {_kind(row)}, not a list of {PIXELS} numbers.{hint}")
    if len(row) != PIXELS:
        raise BadRows(f"Row {number} holds {len(row)} numbers. Send {PIXELS}: an image of 8 x 8, row by row.")
    for place, value in enumerate(row):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadRows(f"Row {number}, place {place} is {_kind(value)}, not a number from 0 to {INK}.")
        if not 0 <= value <= INK:  # NaN and the infinities, which Python's JSON lets in, fail this too
            raise BadRows(f"Row {number}, place {place} is {_short(value)}, not a number from 0 to {INK}.")
    return [float(value) for value in row]


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number"}
    return names[type(value)]


def _short(value: float) -> str:
    text = "a number of many digits" if isinstance(value, int) and abs(value) > 10**20 else str(value)
    return {"nan": "NaN", "inf": "infinite", "-inf": "minus infinite"}.get(text, text)
