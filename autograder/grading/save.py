"""Write verdicts into the gradebook; a fault of ours is never a grade."""

from __future__ import annotations

import re
from pathlib import Path

from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from nbgrader.utils import is_grade, is_solution

from autograder.checks import Result, Status
from autograder.grading.gradebook import one_transaction
from autograder.grading.troubles import FULL, full
from autograder.grading.verdicts import KEY, stamp
from autograder.labs import lab_of

OURS = re.compile(r"""^check\(["'][\w-]+["']\)$""", re.MULTILINE)
NO_VERDICT = "The grader looked at nothing here (it was run without executing, or without the course)."


class SaveVerdicts(SaveAutoGrades):
    """Take points from the results that ExecuteAndJudge hands over in this process, from nowhere else."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Save one notebook's grades and comments, and stamp it as graded.

        Raises NbGraderException where the disk is full: cells that could not
        write their files are no reason for a grade.
        """
        own = resources.get(KEY, {})
        self._results: dict[str, Result] = {result.name: result for result in own.get("results", [])}
        self._ours = lab_of(resources["nbgrader"]["assignment"]) is not None
        if self._ours and full(Path(resources["metadata"]["path"])):
            raise NbGraderException(f"Shipyard: {FULL}")
        self._faults = self._by_answer(nb) if self._ours else {}
        nb, resources = self._save(nb, resources)
        if self._ours and "results" in own:
            stamp(nb, own["results"], own.get("digest", ""), own.get("note", ""))
        return nb, resources

    def _save(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        here = resources["nbgrader"]
        self.notebook_id, self.assignment_id = here["notebook"], here["assignment"]
        self.student_id, self.db_url = here["student"], here["db_url"]
        self.gradebook = Gradebook(self.db_url)
        # All at once: a grader that is killed here must not leave half a grade.
        with self.gradebook, one_transaction(self.gradebook):
            return NbGraderPreprocessor.preprocess(self, nb, resources)

    def _add_score(self, cell: NotebookNode, resources: dict) -> None:
        name = cell.metadata.nbgrader["grade_id"]
        result = self._results.get(name)
        if is_solution(cell) or (result is None and not self._ours and not OURS.search(cell.source)):
            super()._add_score(cell, resources)  # graded by hand, or not ours
            return
        grade = self.gradebook.find_grade(name, self.notebook_id, self.assignment_id, self.student_id)
        judged = result is not None and result.status is not Status.ERROR
        grade.auto_score = result.points if judged else None
        grade.needs_manual_grade = not judged or grade.manual_score is not None
        self.gradebook.db.commit()

    def _add_comment(self, cell: NotebookNode, resources: dict) -> None:
        super()._add_comment(cell, resources)
        name = cell.metadata.nbgrader["grade_id"]
        if faults := self._faults.get(name):
            comment = self.gradebook.find_comment(name, self.notebook_id, self.assignment_id, self.student_id)
            comment.auto_comment = "\n\n".join(faults)
            self.gradebook.db.commit()

    def _by_answer(self, nb: NotebookNode) -> dict[str, list[str]]:
        """Return what could not be judged, for the answer cell that stands before it (the first, if none does)."""
        answers = [cell.metadata.nbgrader["grade_id"] for cell in nb.cells if is_solution(cell)]
        found: dict[str, list[str]] = {}
        above = answers[0] if answers else ""
        for cell in nb.cells:
            if is_solution(cell):
                above = cell.metadata.nbgrader["grade_id"]
            elif is_grade(cell):
                name = cell.metadata.nbgrader["grade_id"]
                result = self._results.get(name)
                if result is None or result.status is Status.ERROR:
                    cause, fix = (result.observed, result.hint) if result else (NO_VERDICT, "Grade again.")
                    found.setdefault(above, []).append(f"{name} could not be checked: {cause} {fix}")
        return found
