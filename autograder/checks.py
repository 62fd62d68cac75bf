"""Say what is demanded and judge it: checks, findings, results.

A check is a pure function from what was seen to one finding:

    @check("runs_unprivileged", points=1,
           expects="The server in your container runs as a user other than root.",
           hint="Look up USER in the chapter on images.", chapter="docker#users")
    def runs_unprivileged(seen):
        uid = seen.container.uid
        return Finding(uid != 0, f"The server runs as uid {uid}.")

It never touches Docker or the cluster itself. `expects` is also printed in the
lab's table of demands, so that text and check cannot contradict each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from autograder.facts import CannotCheck, NotThere, Observation

UNSEEN = "With inputs that are not shown here, the work gave no usable answer."


class Status(StrEnum):
    """Name the three ends of a check; ERROR means that nobody was judged."""

    PASS = "PASS"
    FAIL = "FAIL"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Finding:
    """Tell what one check found.

    `share` is True, False or the earned part of the points (0 to 1). `observed`
    is a full sentence. `hint` replaces the check's own hint for this cause.
    """

    share: bool | float
    observed: str
    hint: str = ""


@dataclass(frozen=True)
class Check:
    """Hold one demand: its name (the graded cell's id), its points, its judge."""

    name: str
    points: float
    expects: str
    hint: str
    chapter: str
    judge: Callable[[Any], Finding]
    hidden: bool = False


@dataclass(frozen=True)
class Result:
    """Hold the verdict on one check of one submission; points are out of `max_points`."""

    name: str
    status: Status
    points: float
    max_points: float
    expected: str
    observed: str
    hint: str = ""
    chapter: str = ""
    seconds: float = 0.0


def check(
    name: str, *, points: float, expects: str, hint: str, chapter: str, hidden: bool = False
) -> Callable[[Callable[[Any], Finding]], Check]:
    """Make a check of the decorated judge; see the module's example."""

    def decorate(judge: Callable[[Any], Finding]) -> Check:
        return Check(name, points, expects, hint, chapter, judge, hidden)

    return decorate


def judge(one: Check, seen: Observation) -> Result:
    """Judge one check; whatever goes wrong on our side becomes ERROR, never a grade."""
    started, known = time.monotonic(), seen.faults if one.hidden else ()

    def result(status: Status, share: float, observed: str, hint: str = "") -> Result:
        return Result(
            one.name, status, round(one.points * share, 2), one.points, one.expects, observed,
            hint, one.chapter, round(time.monotonic() - started, 2),
        )  # fmt: skip

    try:
        finding = one.judge(seen)
        share = float(finding.share)
        if not 0 <= share <= 1:  # NaN fails this too
            raise ValueError(f"a finding's share must lie between 0 and 1, not {finding.share!r}")
    except NotThere as absent:
        # What was seen before any hidden input was sent may be shown; a log or an answer after that may hold it.
        shown = not one.hidden or absent in known
        return result(Status.FAIL, 0, absent.observed if shown else UNSEEN, absent.hint or one.hint)
    except CannotCheck as fault:
        return result(Status.ERROR, 0, fault.cause, fault.fix)
    except Exception as bug:  # ours: a check that crashes must not cost the learner anything
        fix = "This is a fault of the check, not of the work: please report it."
        said = f": {bug}" * (not one.hidden)  # it may quote what was asked or answered
        return result(Status.ERROR, 0, f"The check itself failed: {type(bug).__name__}{said}", fix)
    if share == 1:
        return result(Status.PASS, 1, finding.observed)
    return result(Status.FAIL, share, finding.observed, finding.hint or one.hint)


def judge_all(checks: Iterable[Check], seen: Observation) -> list[Result]:
    """Judge checks on one observation, the hidden ones last, and return the results in the given order.

    A server may keep the hidden inputs that it was asked and show them in its next answer.
    """
    checks = list(checks)
    order = sorted(range(len(checks)), key=lambda place: checks[place].hidden)
    results = {place: judge(checks[place], seen) for place in order}
    return [results[place] for place in range(len(checks))]
