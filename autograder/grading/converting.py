"""Give nbgrader's converters what no setting of theirs does.

nbgrader has hooks, but a hook that fails is only logged: it can neither refuse
a submission nor stop a stale release. So its classes are extended, and
put in the places from which nbgrader's commands and Formgrader take them.
"""

from __future__ import annotations

from pathlib import Path

from nbgrader.apps import api, autogradeapp, generateassignmentapp, generatefeedbackapp
from nbgrader.converters.autograde import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.converters.generate_assignment import GenerateAssignment
from nbgrader.utils import rmtree

from autograder.grading import admission
from autograder.grading.feedback import PageOnly
from autograder.grading.troubles import FULL, full
from autograder.grading.verdicts import KEY, why_again
from autograder.labs import lab_of
from autograder.release.lesson import Lesson


class AdmitAndAutograde(Autograde):
    """Refuse what must not be opened, keep the learner's own files, finish what a killed run left."""

    def init_destination(self, assignment_id: str, student_id: str) -> bool:
        """Tell whether to grade: also what is half graded, handed in again or could not be checked."""
        done = Path(self._output(assignment_id, student_id))
        if lab_of(assignment_id) and done.exists() and self.force:
            # First of all: a folder that was removed by half must not look graded.
            (done / f"{assignment_id}.ipynb").unlink(missing_ok=True)
        elif lab_of(assignment_id) and done.exists():
            try:
                digest = admission.admit(self._submitted(assignment_id, student_id), assignment_id)
            except admission.Refused:
                digest = ""
            if why := why_again(done / f"{assignment_id}.ipynb", digest):
                self.log.info("Shipyard: grading %s of %s again (%s)", assignment_id, student_id, why)
                rmtree(str(done))
        return super().init_destination(assignment_id, student_id)

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """Look at the submission, then copy it. Raises NbGraderException for one that is refused."""
        self.digest = ""
        if lab := lab_of(assignment_id):
            if full(Path(self.coursedir.root)):
                raise NbGraderException(f"Shipyard: {FULL}")
            try:
                self.digest = admission.admit(self._submitted(assignment_id, student_id), assignment_id)
            except admission.Refused as why:
                raise NbGraderException(f"Shipyard: {student_id}, {assignment_id}: {why}") from None
            source = Path(self.coursedir.format_path(self.coursedir.source_directory, ".", assignment_id))
            kept = [*self.exclude_overwriting.get(assignment_id, []), *Lesson(lab).owned(source)]
            self.exclude_overwriting = {**self.exclude_overwriting, assignment_id: kept}
        super().init_assignment(assignment_id, student_id)
        admission.own(Path(self._output(assignment_id, student_id)))

    def init_single_notebook_resources(self, notebook_filename: str) -> dict:
        """Hand the submission's digest to the steps."""
        resources = super().init_single_notebook_resources(notebook_filename)
        resources[KEY] = {"digest": self.digest}
        return resources

    def _submitted(self, assignment_id: str, student_id: str) -> Path:
        return Path(self.coursedir.format_path(self.coursedir.submitted_directory, student_id, assignment_id))

    def _output(self, assignment_id: str, student_id: str) -> str:
        return self.coursedir.format_path(self.coursedir.autograded_directory, student_id, assignment_id)


class BuildAndGenerate(GenerateAssignment):
    """Build source/<slug>/ from solutions/ before it is released, so that a release is never stale."""

    def start(self) -> None:
        """Build the lab's source, then release it. Raises NbGraderException for an author's mistake."""
        if lab := lab_of(self.coursedir.assignment_id):
            from autograder.release.source import ReleaseError, write_source  # slow: only a release needs it

            try:
                write_source(lab, Path(self.coursedir.root))
            except ReleaseError as mistakes:
                self.log.error("%s", mistakes)
                raise NbGraderException(str(mistakes)) from None
        super().start()


def install() -> None:
    """Put the classes in the places of nbgrader's own; calling it again changes nothing."""
    api.GenerateFeedback = generatefeedbackapp.GenerateFeedback = PageOnly
    api.Autograde = autogradeapp.Autograde = AdmitAndAutograde
    api.GenerateAssignment = generateassignmentapp.GenerateAssignment = BuildAndGenerate
