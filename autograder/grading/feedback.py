"""Write feedback pages: ours, with each check by its name, and no file beside it."""

from __future__ import annotations

from pathlib import Path

from nbgrader.converters.generate_feedback import GenerateFeedback
from traitlets.config import Config

from autograder.grading.harmless import Harmless
from autograder.labs import lab_of

PAGES = Path(__file__).with_name("pages")  # nbconvert's templates, a folder each


class PageOnly(GenerateFeedback):
    """Write a page with a table of checks, and leave the files of a graded folder where they are.

    nbgrader copies them all into the feedback: checks.py, the course's files,
    and whatever the notebook wrote.
    """

    def __init__(self, *args: object, **kwargs: object):
        super().__init__(*args, **kwargs)
        c, theirs = Config(), self.config.HTMLExporter
        # Ours has the name of theirs, which nbgrader insists on, is found first, and extends it.
        c.HTMLExporter.extra_template_basedirs = [str(PAGES), *theirs.extra_template_basedirs]
        parents = [str(Path(one).parent) for one in theirs.extra_template_basedirs]
        c.HTMLExporter.extra_template_paths = [*theirs.extra_template_paths, *parents]
        self.update_config(c)

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """Copy nothing for a lab of ours."""
        if lab_of(assignment_id) is None:
            super().init_assignment(assignment_id, student_id)


def harmless(c: object) -> None:
    """Configure nbconvert's HTML exporter, which feedback pages and Formgrader use, to show strangers' work safely."""
    c.HTMLExporter.preprocessors = [Harmless]
    c.HTMLExporter.filters = {
        "markdown2html": "autograder.grading.harmless.markdown2html",
        "highlight_code": "autograder.grading.harmless.highlight_code",
    }


def complete(page: Path, graded: Path) -> bool:
    """Tell whether a page is newer than the graded notebook, and was written to its end."""
    try:
        if page.stat().st_mtime < graded.stat().st_mtime:
            return False
        with page.open("rb") as file:
            file.seek(max(0, page.stat().st_size - 200))
            return b"</html>" in file.read()
    except FileNotFoundError:
        return False
