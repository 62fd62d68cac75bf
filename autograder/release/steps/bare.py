"""Leave nothing in the notebook that differs from one run or machine to the next."""

from __future__ import annotations

from copy import deepcopy

from nbformat import NotebookNode, from_dict

from autograder.release.lesson import Lesson

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def bare(notebook: NotebookNode, lesson: Lesson) -> NotebookNode:
    """Return the notebook with stable cell ids and with the kernel as its only metadata."""
    notebook = deepcopy(notebook)
    notebook.metadata = from_dict({"kernelspec": KERNEL | dict(lesson.front.get("kernelspec") or {})})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = cell.metadata.get("nbgrader", {}).get("grade_id") or f"cell-{number:02}"
        cell.metadata.pop("line", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook
