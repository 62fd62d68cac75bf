"""Judge graded submissions again after a check was corrected: first show who changes and why, then write."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.api import MissingEntry
from nbgrader.preprocessors import AssignLatePenalties
from nbgrader.utils import is_grade, is_solution

from autograder.checks import Result, Status
from autograder.grading.admission import Refused, admit
from autograder.grading.feedback import complete
from autograder.grading.grade import grade, students_of
from autograder.grading.gradebook import CONFIG, address, one_transaction, open_gradebook, settings
from autograder.grading.outcome import Standing, Step
from autograder.grading.running import Runner
from autograder.grading.turn import alone
from autograder.grading.verdicts import KEY, as_output, graded, stamp, why_again
from autograder.labs import find_lab, syllabus

ASIDE = ".shipyard-regrade-"


@dataclass(frozen=True)
class Change:
    """Hold one verdict that is another one now; `by_hand` are points that a person gave, which stay."""

    student: str
    slug: str
    old: Result
    new: Result
    by_hand: float | None = None

    @property
    def check(self) -> str:
        """Return the check's name."""
        return self.new.name

    def __str__(self) -> str:
        told = f"{self.student}, {self.slug}, {self.check}: {worth(self.old)} -> {worth(self.new)}"
        kept = f" (graded by hand: {self.by_hand:g} stays)" if self.by_hand is not None else ""
        return f"{told}{kept}\n  before: {self.old.observed}\n  now: {self.new.observed}"


@dataclass(frozen=True)
class Review:
    """Hold what judging one submission again gave: its changes, or why it was left alone."""

    student: str
    slug: str
    changes: tuple[Change, ...] = ()
    results: tuple[Result, ...] = ()
    digest: str = ""
    line: str = ""


def worth(result: Result) -> str:
    """Return a verdict in two words: "PASS 2", or "ERROR" for one without points."""
    return str(result.status) if result.status is Status.ERROR else f"{result.status} {result.points:g}"


def regrade(
    root: Path,
    labs: Sequence[str] | None = None,
    students: Sequence[str] | None = None,
    checks: Sequence[str] | None = None,
    progress: Callable[[Step], None] = lambda step: None,
    jobs: int | None = None,
) -> Iterator[Review]:
    """Judge graded submissions again, in a folder aside, and yield what changes; nothing is written.

    With `checks`, only those verdicts are compared. Raises KeyError for a lab or
    a check that there is not.
    """
    root = root.resolve()
    slugs = [find_lab(slug).slug for slug in labs] if labs is not None else [lab.slug for lab in syllabus()]
    known = {check.name for slug in slugs for check in find_lab(slug).checks}
    if unknown := sorted(set(checks or ()) - known):
        raise KeyError(f"no check is called {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    # Beside the course, not in /tmp: a Docker engine may see only some of the disks.
    _sweep(root)
    with tempfile.TemporaryDirectory(prefix=f"{ASIDE}{os.getpid()}-", dir=root) as scratch:
        aside = Path(scratch)
        (aside / CONFIG).write_text(_config(root))
        for slug in slugs:
            before = {}
            for student in students_of(root, slug, students):
                found, why = _standing(root, slug, student)
                if why:
                    yield Review(student, slug, line=why)
                    continue
                before[student] = found
                handed = root / "submitted" / student / slug  # admitted: no link leads out of it
                shutil.copytree(handed, aside / "submitted" / student / slug, symlinks=True)
            if not before:
                continue
            for outcome in grade(aside, [slug], list(before), True, progress, jobs=jobs):
                digest, old, _ = before[outcome.student]
                if outcome.standing is not Standing.GRADED:
                    yield Review(outcome.student, slug, line=outcome.line)
                    continue
                yield _compare(root, outcome.student, slug, digest, old, outcome.results, checks)


def write(root: Path, reviews: Sequence[Review]) -> list[str]:
    """Write what was shown: points, graded notebooks, late penalties and feedback; return what could not be.

    What a person gave stays: points, extra credit, comments. A grade that a
    person had set and whose check changed is marked to be looked at.
    """
    root, told = root.resolve(), []
    slugs = sorted({review.slug for review in reviews})
    with alone(root, lambda text: None) as held, Runner(root, slugs, [held]) as runner:
        for review in reviews:
            if not review.changes:
                continue
            path = root / "autograded" / review.student / review.slug / f"{review.slug}.ipynb"
            found = graded(path)
            if found is None or found[0] != review.digest:
                told.append(f"{review.student}, {review.slug}: graded again meanwhile; left alone")
                continue
            _write_points(root, review)
            _write_notebook(root, path, review, found)
            page = root / "feedback" / review.student / review.slug / f"{review.slug}.html"
            ran = runner.nbgrader(["generate_feedback", review.slug, f"--student={review.student}", "--force"])
            if ran.code != 0 or not complete(page, path):
                told.append(f"{review.student}, {review.slug}: the feedback could not be written: {ran.reason()}")
    return told


def _sweep(root: Path) -> None:
    """Remove the folders aside of runs that were killed."""
    for left in root.glob(f"{ASIDE}*"):
        if not Path("/proc", left.name.removeprefix(ASIDE).partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)


def _standing(root: Path, slug: str, student: str) -> tuple[tuple[str, list[Result], str] | None, str]:
    path = root / "autograded" / student / slug / f"{slug}.ipynb"
    try:
        digest = admit(root / "submitted" / student / slug, slug)
    except Refused as why:
        return None, str(why)
    why = why_again(path, digest)
    if why and why != "something could not be checked":
        return None, f"{why}: `shipyard grade` does that"
    return graded(path), ""


def _compare(
    root: Path, student: str, slug: str, digest: str, old: Sequence[Result], new: Sequence[Result],
    checks: Sequence[str] | None,
) -> Review:  # fmt: skip
    was, results, changes = {result.name: result for result in old}, [], []
    faults = [one for one in new if one.status is Status.ERROR and (not checks or one.name in checks)]
    if faults:
        cause = f"{faults[0].observed} {faults[0].hint}"
        return Review(student, slug, line=f"{faults[0].name} could not be checked, nothing changes: {cause}")
    by_hand = _by_hand(root, student, slug)
    for result in new:
        before = was.get(result.name)
        if before is None or (checks and result.name not in checks):
            results.append(before or result)
            continue
        results.append(result)
        if (before.status, before.points) != (result.status, result.points):
            changes.append(Change(student, slug, before, result, by_hand.get(result.name)))
    return Review(student, slug, tuple(changes), tuple(results), digest)


def _by_hand(root: Path, student: str, slug: str) -> dict[str, float]:
    with open_gradebook(root) as gradebook:
        try:
            grades = gradebook.find_submission_notebook(slug, slug, student).grades
        except MissingEntry:
            return {}
        return {grade.name: grade.manual_score for grade in grades if grade.manual_score is not None}


def _write_points(root: Path, review: Review) -> None:
    with open_gradebook(root) as gradebook, one_transaction(gradebook):
        for change in review.changes:
            row = gradebook.find_grade(change.check, review.slug, review.slug, review.student)
            row.auto_score = change.new.points
            row.needs_manual_grade = row.manual_score is not None
    _write_penalty(root, review)


def _write_penalty(root: Path, review: Review) -> None:
    """Let nbgrader's own step compute the penalty from the new score, with the course's settings."""
    here = {"notebook": review.slug, "assignment": review.slug, "student": review.student, "db_url": address(root)}
    was = Path.cwd()
    os.chdir(root)  # a penalty plug-in of the course's own may lie there
    try:
        AssignLatePenalties(config=settings(root)).preprocess(nbformat.v4.new_notebook(), {"nbgrader": here})
    finally:
        os.chdir(was)


def _write_notebook(root: Path, path: Path, review: Review, found: tuple[str, list[Result], str]) -> None:
    notebook = nbformat.read(path, as_version=4)
    verdict = {change.check: change.new for change in review.changes}
    for cell in notebook.cells:
        if is_grade(cell) and not is_solution(cell) and cell.metadata.nbgrader.grade_id in verdict:
            cell.outputs = [as_output(verdict[cell.metadata.nbgrader.grade_id])]
    stamp(notebook, review.results, found[0], found[2])
    notebook.metadata[KEY]["regraded"] = sorted(verdict)
    fresh = path.with_suffix(".new")
    fresh.write_text(nbformat.writes(notebook), encoding="utf-8")
    fresh.chmod(path.stat().st_mode)
    fresh.replace(path)


def _config(root: Path) -> str:
    """Return a configuration for the folder aside: the course's own, but never its database."""
    own = (root / CONFIG).read_text(encoding="utf-8") if (root / CONFIG).is_file() else ""
    return f"{own}\nc = get_config()\nc.CourseDirectory.pop('db_url', None)\nc.CourseDirectory.pop('root', None)\n"
