"""Ask the gradebook what it holds of a lab and of a submission."""

from __future__ import annotations

from pathlib import Path

from nbgrader.api import MissingEntry

from autograder.grading.gradebook import open_gradebook, retrying
from autograder.grading.troubles import explain
from autograder.labs import find_lab
from autograder.release import ReleaseError, release


def ready(root: Path, slug: str) -> str:
    """See that the gradebook knows the lab as it is now; return what is in the way, "" if nothing is."""
    try:
        here = (root / "source" / slug / f"{slug}.ipynb").is_file()
        worth = {one.name: one.points for one in find_lab(slug).checks}
        if not here or retrying(lambda: _known(root, slug)) != worth:
            release(slug, root)
    except ReleaseError as mistakes:
        return f"not graded: {explain(str(mistakes)) or mistakes}"
    except Exception as fault:  # a broken checks.py, a gradebook that is none: every submission hears it
        known = explain(str(fault))
        return f"not graded: {known or f'{slug} cannot be prepared: {type(fault).__name__}: {fault}'}"
    return ""


def _known(root: Path, slug: str) -> dict[str, float]:
    with open_gradebook(root) as gradebook:
        try:
            return {cell.name: cell.max_score for cell in gradebook.find_notebook(slug, slug).grade_cells}
        except MissingEntry:
            return {}


def points_of(root: Path, slug: str, student: str) -> dict[str, float | None]:
    """Return the points that checks gave a submission, by check; none where it is not entered."""
    with open_gradebook(root) as gradebook:
        try:
            grades = gradebook.find_submission_notebook(slug, slug, student).grades
        except MissingEntry:
            return {}
        return {grade.name: grade.auto_score for grade in grades}


def score_of(root: Path, slug: str, student: str) -> float | None:
    """Return a submission's points, a person's included; None where it is not entered."""
    with open_gradebook(root) as gradebook:
        try:
            return gradebook.find_submission(slug, student).score
        except MissingEntry:
            return None
