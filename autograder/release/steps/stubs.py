"""Choose the stub that stands in an answer's place by the cell, not by the notebook.

nbgrader knows one stub a notebook: a Dockerfile would be left with Python's
`raise NotImplementedError()`.
"""

from __future__ import annotations

from nbgrader.preprocessors import ClearSolutions

COMMENT = "# your answer here"


def stub(source: str) -> str | None:
    """Return the stub for a cell that starts with a cell magic; None leaves nbgrader's own.

    >>> stub("%%writefile app/Dockerfile")
    '# your answer here'
    """
    return COMMENT if source.lstrip().startswith("%%") else None


class Stubs(ClearSolutions):
    """Take solutions out as nbgrader does, with a stub that fits the cell's language."""

    def preprocess_cell(self, cell, resources, cell_index):
        """Put the fitting stub in the place of one cell's solution."""
        usual, fitting = self.code_stub, stub(cell.source)
        if cell.cell_type == "code" and fitting:
            self.code_stub = {**usual, resources["language"]: fitting}
        try:
            return super().preprocess_cell(cell, resources, cell_index)
        finally:
            self.code_stub = usual
