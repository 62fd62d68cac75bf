"""Write source/<slug>/: the lab as nbgrader wants it, answers included."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.labs import Lab
from autograder.release.files import files
from autograder.release.lesson import Lesson
from autograder.release.problems import Problem, ReleaseError
from autograder.release.review import review
from autograder.release.steps import STEPS


def source_notebook(lab: Lab) -> NotebookNode:
    """Return a lab's notebook with answers and nbgrader's metadata.

    Raises ReleaseError, naming file and line of every mistake.
    """
    lesson = Lesson(lab)
    notebook = lesson.notebook()
    try:
        assert lab.checks is not None
    except Exception as error:  # an author's file may fail in any way
        what = f"The lab's checks cannot be loaded: {type(error).__name__}: {error}."
        raise ReleaseError([Problem(lab.folder / "checks.py", 0, what, "Correct checks.py or hidden.py.")]) from error
    if problems := review(notebook, lesson):
        raise ReleaseError(problems)
    for step in STEPS:
        notebook = step(notebook, lesson)
    return notebook


def write_source(lab: Lab, root: Path) -> Path:
    """Write source/<slug>/ below a course's folder, replacing what is there, and return it.

    The answers in it stay in the checkout or with the instructor: it is never
    committed and never handed out. Raises ReleaseError.
    """
    notebook, given = source_notebook(lab), files(Lesson(lab))  # both may fail: before anything is removed
    folder = root / "source" / lab.slug
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{lab.slug}.ipynb")
    for name, origin in given.items():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin, copy)
    return folder
