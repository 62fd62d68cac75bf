"""Keep what each grading of an attempt gave: counting takes days, and goes on where it stopped."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from autograder.grading.expecting import expected
from autograder.grading.outcome import Outcome
from autograder.ground.images import key_of
from autograder.labs import Lab, checkout, course_root
from autograder.release.attempts import Attempt

Verdict = tuple[str, str, float]  # check, status, points
Given = tuple[bool, tuple[Verdict, ...]]  # whether it is what the attempt's file says, and the verdicts
JUDGING = ("autograder", "docker", "k8s", "constraints.txt")  # below the checkout; what a verdict hangs on
ASIDE = ("autograder/cli", "__pycache__")  # commands print verdicts, they give none


class Tally:
    """Count verdicts in a file: a line for each grading, with the code that judged.

    Only gradings by the code as it is now are counted; those by other code stay
    in the file.

    >>> tally = Tally(Path("build/flaky.jsonl"), {"lab1_dockerfile": "b01e85f"})
    >>> tally.given("lab1_dockerfile", "reference").total()
    0
    """

    def __init__(self, path: Path, code: dict[str, str]):
        self._path, self._code = path, code
        self._given: dict[tuple[str, str], Counter[Given]] = defaultdict(Counter)
        for line in path.read_text().splitlines() if path.is_file() else ():
            with suppress(ValueError):  # half a line, of a run that was killed
                one = json.loads(line)
                if one["code"] == code.get(one["lab"]):
                    found = one["expected"], tuple((name, status, points) for name, status, points in one["verdicts"])
                    self._given[one["lab"], one["attempt"]][found] += 1

    def forget(self) -> None:
        """Forget all that was counted."""
        self._given.clear()
        self._path.unlink(missing_ok=True)

    def given(self, slug: str, attempt: str) -> Counter[Given]:
        """Return how often each outcome was given to an attempt."""
        return self._given[slug, attempt]

    def add(self, slug: str, attempt: Attempt, outcome: Outcome) -> None:
        """Count one more grading, and write it down."""
        fine, found = expected(attempt, outcome), verdicts(outcome)
        self._given[slug, attempt.name][fine, found] += 1
        self._path.parent.mkdir(parents=True, exist_ok=True)
        one = {"code": self._code[slug], "lab": slug, "attempt": attempt.name, "expected": fine, "verdicts": found}
        with self._path.open("a") as file:
            file.write("\n" + json.dumps(one))  # the line break first: half a line before it harms none


def tally_of(labs: Sequence[Lab], sandbox: bool) -> Tally:
    """Return what has been counted for these labs, in sandboxes or outside."""
    circumstance = "sandbox" if sandbox else "engine"
    return Tally(course_root() / "build" / "flaky.jsonl", {one.slug: code_of(one, circumstance) for one in labs})


def verdicts(outcome: Outcome) -> tuple[Verdict, ...]:
    """Return what must be the same each time: how it ended, and each check's status and points."""
    found = tuple((one.name, str(one.status), one.points) for one in outcome.results)
    return found or ((str(outcome.standing), "", 0.0),)


def code_of(lab: Lab, *circumstances: str) -> str:
    """Return a digest of all that a verdict on this lab hangs on; an edit to it begins a new count."""
    root = checkout()
    parts: list[str | Path] = list(circumstances)
    for place in (*(root / name for name in JUDGING), lab.folder):
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            name = path.relative_to(place.parent).as_posix()
            if path.is_file() and not any(aside in name for aside in ASIDE):
                parts += [name, path]
    return key_of(*parts)
