"""Give a submitted notebook back what the grader needs: its locked cells, its graded cells, its metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell
from nbgrader.api import Gradebook, Notebook
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.labs import lab_of

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
NEW = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


class Restore(NbGraderPreprocessor):
    """Build the notebook anew from its cells' texts and from what the gradebook knows, and nothing else.

    nbgrader's own OverwriteCells trusts the rest of a cell's metadata, cannot
    add a graded cell whose answer cell was deleted too, and nbconvert stops at
    a notebook that is not valid to the last tag.
    """

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Restore one notebook of a lab of ours."""
        here = resources["nbgrader"]
        if lab_of(here["assignment"]):
            with Gradebook(here["db_url"]) as gradebook:
                restore(nb, gradebook.find_notebook(here["notebook"], here["assignment"]))
        return nb, resources


def restore(nb: NotebookNode, known: Notebook) -> None:
    """Restore a notebook, in place: cells keep their texts, locked ones and deleted graded ones get theirs back."""
    metadata = _metadata(known)
    sources = {cell.name: cell for cell in known.source_cells}
    present: set[str] = set()
    cells = []
    for old in nb.cells:
        name = _name(old)
        if name in sources and name not in present:
            present.add(name)
            cells.append(_known(sources[name], metadata[name], old.source))
        else:
            cells.append(NEW.get(old.cell_type, new_raw_cell)(old.source))
            if old.cell_type == "markdown" and isinstance(old.get("attachments"), dict):
                cells[-1].attachments = old.attachments
    for name, after in _missing(known, present):
        places = [place for place, cell in enumerate(cells, 1) if after and _name(cell) == after]
        cells.insert(places[0] if places else len(cells), _known(sources[name], metadata[name], ""))
    _identify(cells)
    nb.cells, nb.nbformat, nb.nbformat_minor = cells, 4, 5
    nb.metadata = from_dict({})  # OverwriteKernelspec writes the kernel


def _missing(known: Notebook, present: set[str]) -> Iterator[tuple[str, str | None]]:
    """Yield graded cells that were deleted, each with the last cell before it that is there."""
    graded, after = {cell.name for cell in known.grade_cells}, None
    for source in known.source_cells:
        if source.name in graded and source.name not in present:
            yield source.name, after
            after = source.name
        elif source.name in present:
            after = source.name


def _known(source: object, metadata: dict, text: str) -> NotebookNode:
    cell = NEW[source.cell_type](source.source if source.locked else text)
    cell.metadata["nbgrader"] = from_dict(metadata)
    return cell


def _metadata(known: Notebook) -> dict[str, dict]:
    points = {cell.name: cell.max_score for cell in known.grade_cells}
    solutions = {cell.name for cell in known.solution_cells}
    tasks = {cell.name: cell.max_score for cell in known.task_cells}
    found = {}
    for cell in known.source_cells:
        found[cell.name] = {
            "schema_version": 3, "grade_id": cell.name, "grade": cell.name in points, "task": cell.name in tasks,
            "solution": cell.name in solutions, "locked": bool(cell.locked), "cell_type": cell.cell_type,
            "checksum": cell.checksum,
        }  # fmt: skip
        if cell.name in points or cell.name in tasks:
            found[cell.name]["points"] = {**points, **tasks}[cell.name]
    return found


def _name(cell: NotebookNode) -> str | None:
    own = cell.metadata.get("nbgrader") if isinstance(cell.metadata, dict) else None
    name = own.get("grade_id") if isinstance(own, dict) else None
    return name if isinstance(name, str) else None


def _identify(cells: list[NotebookNode]) -> None:
    """Give each cell an id of its own: its name in the gradebook, else its place."""
    names = {_name(cell) for cell in cells}
    for number, cell in enumerate(cells, 1):
        name, place = _name(cell), f"cell-{number:02}"
        cell.id = name if name and ID.fullmatch(name) else place + "-" * (place in names)
