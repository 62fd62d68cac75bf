"""Turn an attempt into a submission: the released lab with its answers filled in."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.labs import Lab
from autograder.release.attempts import Attempt
from autograder.release.lesson import BEGIN, END
from autograder.release.source import source_notebook


def hand_in(lab: Lab, attempt: Attempt, released: Path, folder: Path) -> Path:
    """Write an attempt as a submission into `folder`, replacing it, and return it.

    `released` is the lab's folder in labs/: a submission is what a learner got,
    with the answers filled in.
    """
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(released, folder)
    path = folder / f"{lab.slug}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    fill(notebook, {**reference(lab), **attempt.answers})
    if attempt.edit == "empty_notebook":
        notebook.cells = []
    if attempt.edit == "delete_checks":
        notebook.cells = [cell for cell in notebook.cells if not cell.metadata.get("nbgrader", {}).get("grade")]
    nbformat.write(notebook, path)
    if attempt.edit == "not_json":  # what a sync tool leaves of two versions
        half = path.read_text(encoding="utf-8")
        path.write_text(f"<<<<<<< mine\n{half[: len(half) // 2]}=======\n", encoding="utf-8")
    return folder


def reference(lab: Lab) -> dict[str, str]:
    """Return the lab's own answers, name -> the whole cell without its markers."""
    answers = {}
    for cell in source_notebook(lab).cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            lines = [line for line in cell.source.split("\n") if BEGIN not in line and END not in line]
            answers[cell.metadata.nbgrader.grade_id] = "\n".join(lines)
    return answers


def fill(notebook: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    """Put answers into a notebook's answer cells, in place; cells that are not named stay as they are."""
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if cell.metadata.get("nbgrader", {}).get("solution") and name in answers:
            cell.source = answers[name]
    return notebook
