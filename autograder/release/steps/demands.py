"""Put the table of demands into the text: what is asked, and what it is worth."""

from __future__ import annotations

import re
from copy import deepcopy

from nbformat import NotebookNode

from autograder.checks import Check
from autograder.release.lesson import Lesson
from autograder.report import number

DEMANDS = re.compile(r"^[ \t]*\{\{\s*demands:(?P<names>[^}]*)\}\}[ \t]*$", re.MULTILINE)


def demands(notebook: NotebookNode, lesson: Lesson) -> NotebookNode:
    """Return the notebook with each line `{{demands: a, b}}` replaced by a table of these checks."""
    notebook = deepcopy(notebook)
    known = {one.name: one for one in lesson.lab.checks}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = DEMANDS.sub(lambda line: table([known[n] for n in names(line["names"])]), cell.source)
    return notebook


def names(listed: str) -> list[str]:
    """Return the names in a list with commas.

    >>> names(" a, b ")
    ['a', 'b']
    """
    return [name.strip() for name in listed.split(",") if name.strip()]


def table(checks: list[Check]) -> str:
    """Return a markdown table; of a hidden check it states the demand, never the inputs."""
    rows = ["| What is asked | Points |", "|:--|--:|"]
    for one in checks:
        text = " ".join(one.expects.split()).replace("|", "\\|")
        rows.append(f"| {text}{' (judged with inputs not shown here)' * one.hidden} | {number(one.points)} |")
    return "\n".join(rows)
