"""Grade a class: each submission that has no grade yet, one after the other, with nbgrader's own commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import nbformat
from nbgrader.api import MissingEntry

from autograder.checks import Result, Status
from autograder.grading.admission import Refused, admit
from autograder.grading.gradebook import open_gradebook, retrying
from autograder.grading.outcome import Outcome, Standing, Step
from autograder.grading.running import Ran, nbgrader
from autograder.grading.verdicts import graded, why_again
from autograder.labs import find_lab, syllabus
from autograder.release import ReleaseError, release

CONFIG = "from autograder.grading import plug_in\nplug_in(get_config())\n"
LIMIT = 2400  # seconds a submission: above the budget of its cells, so that it is still judged


def grade(
    root: Path,
    labs: Sequence[str] | None = None,
    students: Sequence[str] | None = None,
    force: bool = False,
    progress: Callable[[Step], None] = lambda step: None,
    limit: float = LIMIT,
) -> Iterator[Outcome]:
    """Grade submitted/<student>/<lab>/ below a course's folder, and yield an outcome for each.

    A submission is graded if it has no grade, could not be checked, was handed
    in again, or with `force`. Interrupted at any step, a second call goes on
    where the first one stopped. Raises FileNotFoundError where the folder has
    no nbgrader_config.py, KeyError for an unknown lab.

    >>> for outcome in grade(Path("build/class")): print(outcome.line)  # doctest: +SKIP
    """
    root = root.resolve()
    if not (root / "nbgrader_config.py").is_file():
        raise FileNotFoundError(f"{root} has no nbgrader_config.py. Put one there, with these lines:\n{CONFIG}")
    wanted = [find_lab(slug).slug for slug in labs] if labs is not None else [lab.slug for lab in syllabus()]
    todo = [(slug, student) for slug in wanted for student in _students(root, slug, students)]
    ready: dict[str, str] = {}
    for number, (slug, student) in enumerate(todo, 1):

        def say(doing: str, at: tuple = (student, slug, number, len(todo))) -> None:
            progress(Step(*at, doing))

        started = time.monotonic()
        outcome = _grade_one(root, slug, student, force, say, limit, ready)
        yield replace(outcome, seconds=round(time.monotonic() - started, 1))


def _students(root: Path, slug: str, students: Sequence[str] | None) -> list[str]:
    if students is not None:
        return list(students)
    return sorted(folder.parent.name for folder in (root / "submitted").glob(f"*/{slug}"))


def _grade_one(
    root: Path, slug: str, student: str, force: bool, say: Callable[[str], None], limit: float, ready: dict[str, str]
) -> Outcome:
    try:
        digest = admit(root / "submitted" / student / slug, slug)
    except Refused as why:
        return Outcome(student, slug, Standing.UNREADABLE, str(why))
    path = root / "autograded" / student / slug / f"{slug}.ipynb"
    again = "asked for" if force else why_again(path, digest)
    if again:
        if slug not in ready:
            ready[slug] = _ready(root, slug)
        if ready[slug]:
            return Outcome(student, slug, Standing.FAULT, ready[slug])
        say(f"grading ({again})")
        arguments = ["autograde", slug, f"--student={student}", *(["--force"] if force else [])]
        ran = nbgrader(root, arguments, say, limit)
        found = graded(path)
        if ran.code != 0 or found is None or found[0] != digest:
            return Outcome(student, slug, *_failed(ran, limit), fresh=True)
    _, results, note = graded(path)
    feedback = root / "feedback" / student / slug / f"{slug}.html"
    if again or not feedback.is_file() or feedback.stat().st_mtime < path.stat().st_mtime:
        say("writing the feedback")
        ran = nbgrader(root, ["generate_feedback", slug, f"--student={student}", "--force"], say, limit)
        if ran.code != 0:
            note = f"graded, but the feedback could not be written: {ran.reason()}"
    note = f"{note} {_remark(root / 'submitted' / student / slug / f'{slug}.ipynb')}"
    score = retrying(lambda: _score(root, slug, student))
    return Outcome(student, slug, Standing.GRADED, _line(results, note), tuple(results), score, bool(again))


def _remark(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    if any(cell.source.strip() for cell in cells if cell.cell_type == "code"):
        return ""
    return "The notebook holds no code: ask the learner whether it is the right file."


def _failed(ran: Ran, limit: float) -> tuple[Standing, str]:
    if ran.code is None:
        return Standing.FAULT, f"not graded: still running after {limit:.0f} seconds, stopped; grade again"
    reason = ran.reason()
    if reason.startswith("unreadable"):
        return Standing.UNREADABLE, reason
    if ran.code == 0:
        return Standing.FAULT, f"not graded: nbgrader ran without our checks; nbgrader_config.py needs:\n{CONFIG}"
    return Standing.FAULT, f"not graded: {reason}; grade again, and report it if it comes back"


def _line(results: Sequence[Result], note: str) -> str:
    faults = [result for result in results if result.status is Status.ERROR]
    parts = [note.strip()] if note.strip() else []
    if faults:
        parts.append(f"{len(faults)} of {len(results)} checks could not be made: {faults[0].observed} {faults[0].hint}")
    return " ".join(parts)


def _ready(root: Path, slug: str) -> str:
    """See that the gradebook knows the lab as it is now; return what is in the way, "" if nothing is."""
    try:
        here = (root / "source" / slug / f"{slug}.ipynb").is_file()
        worth = {one.name: one.points for one in find_lab(slug).checks}
        if not here or retrying(lambda: _known(root, slug)) != worth:
            release(slug, root)
    except ReleaseError as mistakes:
        return f"not graded: {mistakes}"
    except Exception as fault:  # a broken checks.py, a gradebook that is none: every submission hears it
        return f"not graded: {slug} cannot be prepared: {type(fault).__name__}: {fault}"
    return ""


def _known(root: Path, slug: str) -> dict[str, float]:
    with open_gradebook(root) as gradebook:
        try:
            return {cell.name: cell.max_score for cell in gradebook.find_notebook(slug, slug).grade_cells}
        except MissingEntry:
            return {}


def _score(root: Path, slug: str, student: str) -> float | None:
    with open_gradebook(root) as gradebook:
        try:
            return gradebook.find_submission(slug, student).score
        except MissingEntry:
            return None
