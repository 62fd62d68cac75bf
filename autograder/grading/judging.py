"""Judge every graded cell that the gradebook lists, so that none can be missing from the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from nbgrader.api import Gradebook

from autograder.checks import Result, Status, judge
from autograder.facts import CannotCheck, Place
from autograder.labs import Lab


@dataclass(frozen=True)
class Graded:
    """Hold one graded cell of the gradebook: its name and what it is worth."""

    name: str
    points: float


def graded_cells(db_url: str, slug: str, notebook: str) -> list[Graded]:
    """Return a notebook's automatically graded cells, in the notebook's order."""
    with Gradebook(db_url) as gradebook:
        known = gradebook.find_notebook(notebook, slug)
        by_hand = {cell.name for cell in known.solution_cells}
        worth = {cell.name: cell.max_score for cell in known.grade_cells if cell.name not in by_hand}
        order = [cell.name for cell in known.source_cells]
        return [Graded(name, points) for name, points in sorted(worth.items(), key=lambda one: order.index(one[0]))]


def judge_cells(
    lab: Lab, place: Place, cells: Sequence[Graded], say: Callable[[str], None] = lambda text: None
) -> list[Result]:
    """Judge a lab's graded cells on one observation of a place, in their order.

    A cell without a check of ours gets no points and no grade: ERROR. `say` is
    told before each check.
    """
    checks = {one.name: one for one in lab.checks}
    seen = lab.observe(place)
    results: dict[str, Result] = {}
    # Hidden ones last: a server may keep what it was asked, and show it in an answer that is not hidden.
    order = sorted(cells, key=lambda cell: cell.name in checks and checks[cell.name].hidden)
    try:
        for number, cell in enumerate(order, 1):
            say(f"judging {cell.name} ({number} of {len(cells)})")
            found = judge(checks[cell.name], seen) if cell.name in checks else _unknown(cell)
            results[cell.name] = _worth(found, cell.points)
    finally:
        try:
            seen.close()
        except Exception as left:  # the verdicts stand; what was left behind is swept with the workplace
            say(f"something that a check had started could not be removed: {left}")
    return [results[cell.name] for cell in cells]


def no_verdicts(lab: Lab, cells: Sequence[Graded], fault: CannotCheck) -> list[Result]:
    """Return an ERROR for each cell: nothing could be looked at."""
    expected: dict[str, str] = {}
    with suppress(Exception):  # the fault may be that the checks do not load
        expected = {one.name: one.expects for one in lab.checks}
    return [
        Result(cell.name, Status.ERROR, 0, cell.points, expected.get(cell.name, ""), fault.cause, fault.fix)
        for cell in cells
    ]


def _unknown(cell: Graded) -> Result:
    cause = f"The lab has no check called {cell.name}."
    fix = "Release the lab again (the gradebook is of another version), or grade this cell by hand."
    return Result(cell.name, Status.ERROR, 0, cell.points, "", cause, fix)


def _worth(result: Result, points: float) -> Result:
    """Return a result on the gradebook's scale: what a cell is worth is said there."""
    share = result.points / result.max_points if result.max_points else float(result.status is Status.PASS)
    return replace(result, points=round(share * points, 2), max_points=points)
