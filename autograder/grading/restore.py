"""Give a submitted notebook back what the grader needs: its locked cells, its graded cells, its metadata."""

from __future__ import annotations

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Gradebook, Notebook
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.grading.converting import ours


class Restore(NbGraderPreprocessor):
    """Set every cell's nbgrader metadata from the gradebook, and add graded cells that were deleted.

    nbgrader's own OverwriteCells trusts the rest of a cell's metadata, and
    cannot add a graded cell whose answer cell was deleted too.
    """

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Restore one notebook of a lab of ours."""
        here = resources["nbgrader"]
        if ours(here["assignment"]):
            with Gradebook(here["db_url"]) as gradebook:
                restore(nb, gradebook.find_notebook(here["notebook"], here["assignment"]))
        return nb, resources


def restore(nb: NotebookNode, known: Notebook) -> None:
    """Restore a notebook, in place, to what the gradebook knows of it; answers stay as they are."""
    metadata = _metadata(known)
    sources = {cell.name: cell for cell in known.source_cells}
    present: set[str] = set()
    nb.metadata = from_dict({key: value for key, value in nb.metadata.items() if key == "kernelspec"})
    for index, cell in enumerate(nb.cells):
        own = cell.metadata.pop("nbgrader", None)
        cell.metadata.pop("tags", None)
        name = own.get("grade_id") if isinstance(own, dict) else None
        if name not in sources or name in present:
            continue
        present.add(name)
        if cell.cell_type != sources[name].cell_type:
            cell = nb.cells[index] = _cell(sources[name].cell_type, cell.source, nb)
        if sources[name].locked:
            cell.source = sources[name].source
        cell.metadata["nbgrader"] = from_dict(metadata[name])
    _add_missing(nb, known, metadata, present)


def _add_missing(nb: NotebookNode, known: Notebook, metadata: dict[str, dict], present: set[str]) -> None:
    """Put deleted graded cells after the cell that they followed, or at the end."""
    graded = {cell.name for cell in known.grade_cells}
    after = None
    for source in known.source_cells:
        if source.name not in present and source.name in graded:
            cell = _cell(source.cell_type, source.source, nb)
            cell.metadata["nbgrader"] = from_dict(metadata[source.name])
            places = [i for i, other in enumerate(nb.cells) if after and _name(other) == after]
            nb.cells.insert(places[0] + 1 if places else len(nb.cells), cell)
            present.add(source.name)
        if source.name in present:
            after = source.name


def _metadata(known: Notebook) -> dict[str, dict]:
    points = {cell.name: cell.max_score for cell in known.grade_cells}
    solutions = {cell.name for cell in known.solution_cells}
    found = {}
    for cell in known.source_cells:
        found[cell.name] = {
            "schema_version": 3, "grade_id": cell.name, "grade": cell.name in points, "task": False,
            "solution": cell.name in solutions, "locked": bool(cell.locked), "cell_type": cell.cell_type,
            "checksum": cell.checksum,
        } | ({"points": points[cell.name]} if cell.name in points else {})  # fmt: skip
    return found


def _name(cell: NotebookNode) -> str | None:
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _cell(kind: str, source: str, nb: NotebookNode) -> NotebookNode:
    cell = new_code_cell(source) if kind == "code" else new_markdown_cell(source)
    if (nb.nbformat, nb.nbformat_minor) < (4, 5):
        del cell["id"]
    return cell
