"""Expand the short options `:answer:` and `:check:` to nbgrader's metadata."""

from __future__ import annotations

from copy import deepcopy

from nbformat import NotebookNode

from autograder.release.lesson import Lesson


def expand(notebook: NotebookNode, lesson: Lesson) -> NotebookNode:
    """Return the notebook with answer and graded cells in nbgrader's form (schema version 3)."""
    notebook = deepcopy(notebook)
    points = {one.name: one.points for one in lesson.lab.checks}
    for cell in notebook.cells:
        if answer := cell.metadata.pop("answer", None):
            cell.metadata["nbgrader"] = _metadata(answer, solution=True)
        elif name := cell.metadata.pop("check", None):
            cell.metadata["nbgrader"] = _metadata(name, grade=True, locked=True) | {"points": points[name]}
            cell.source = f'check("{name}")'
    return notebook


def _metadata(grade_id: str, *, grade: bool = False, solution: bool = False, locked: bool = False) -> dict:
    kind = {"grade": grade, "solution": solution, "locked": locked, "task": False}
    return {"grade_id": grade_id, "schema_version": 3} | kind
