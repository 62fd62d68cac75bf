"""Export grades as CSV: for people, for Canvas and for Moodle.

nbgrader's own command knows them, too:

    nbgrader export --exporter=autograder.grading.export.CanvasExporter --to canvas.csv

A cell that begins like a formula is made text: names come from strangers, and
spreadsheets run what begins with "=". A submission that could not be checked
in full has no score here: an empty cell leaves the LMS as it is, a 0 would be a grade.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbgrader.api import Assignment, Gradebook, MissingEntry, Student, SubmittedAssignment
from nbgrader.plugins import ExportPlugin

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Score:
    """Hold one learner's score in one assignment; `final` is None where it is not (fully) graded."""

    student: Student
    assignment: Assignment
    submission: SubmittedAssignment | None
    raw: float | None
    penalty: float
    state: str

    @property
    def final(self) -> float | None:
        """Return the points that count: what the gradebook says, less the late penalty, never below 0."""
        return None if self.raw is None else max(0.0, self.raw - self.penalty)


def harmless(value: object) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula.

    >>> harmless("=1+1"), harmless(-0.5), harmless(None)
    ("'=1+1", '-0.5', '')
    """
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return f"{value:g}"
    text = str(value).replace("\0", "")
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


class _Exporter(ExportPlugin):
    """Write rows to a file, whole or not at all."""

    default = "grades.csv"

    def export(self, gradebook: Gradebook) -> None:
        """Write the file that `to` names. Raises OSError where it cannot be written."""
        path = Path(self.to or self.default)
        fresh = path.with_name(f".{path.name}.new")
        try:
            with fresh.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([harmless(cell) for cell in row] for row in self.rows(gradebook))
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        self.log.info("Exported grades to %s", os.fspath(path))

    def rows(self, gradebook: Gradebook) -> Iterator[list]:
        """Yield the file's rows, headings first."""
        raise NotImplementedError

    def assignments(self, gradebook: Gradebook) -> list[Assignment]:
        """Return the chosen assignments, in the order of their names."""
        chosen = {str(one) for one in self.assignment}
        found = [one for one in gradebook.assignments if not chosen or one.name in chosen]
        return sorted(found, key=lambda one: one.name)

    def students(self, gradebook: Gradebook) -> list[Student]:
        """Return the chosen students, in the order of their names."""
        chosen = {str(one) for one in self.student}
        found = [one for one in gradebook.students if not chosen or one.id in chosen]
        return sorted(found, key=lambda one: (one.last_name or "", one.first_name or "", one.id))

    def score(self, gradebook: Gradebook, assignment: Assignment, student: Student) -> Score:
        """Return one score."""
        try:
            submission = gradebook.find_submission(assignment.name, student.id)
        except MissingEntry:
            return Score(student, assignment, None, None, 0.0, "not handed in")
        grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
        if any(grade.auto_score is None and grade.manual_score is None for grade in grades):
            self.log.warning("%s, %s is not fully graded: no score", student.id, assignment.name)
            return Score(student, assignment, submission, None, 0.0, "not fully graded")
        return Score(student, assignment, submission, submission.score, submission.late_submission_penalty, "graded")


class CsvExporter(_Exporter):
    """Export nbgrader's own columns, and whether a submission is graded."""

    def rows(self, gradebook: Gradebook) -> Iterator[list]:
        """Yield a row for each assignment and student."""
        yield ["assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
               "late_submission_penalty", "score", "max_score", "state"]  # fmt: skip
        for assignment in self.assignments(gradebook):
            for student in self.students(gradebook):
                one = self.score(gradebook, assignment, student)
                when = one.submission.timestamp if one.submission else None
                yield [assignment.name, assignment.duedate, when, student.id, student.last_name, student.first_name,
                       student.email, one.raw, one.penalty, one.final, assignment.max_score, one.state]  # fmt: skip


class CanvasExporter(_Exporter):
    """Export what Canvas's Gradebook imports: its five columns of a student, then one an assignment.

    Students are found by "SIS Login ID" (nbgrader's student id). Canvas makes a
    new assignment of a heading that it does not know; write "Name (1234)" with
    its own number as the assignment's name there to fill an existing one.
    """

    default = "canvas.csv"

    def rows(self, gradebook: Gradebook) -> Iterator[list]:
        """Yield headings, the row of possible points, and a row for each student."""
        chosen = self.assignments(gradebook)
        yield ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(one.name for one in chosen)]
        yield ["Points Possible", "", "", "", "", *(one.max_score for one in chosen)]
        for student in self.students(gradebook):
            names = [name for name in (student.last_name, student.first_name) if name]
            scores = [self.score(gradebook, one, student).final for one in chosen]
            yield [", ".join(names) or student.id, student.lms_user_id, "", student.id, "", *scores]


class MoodleExporter(_Exporter):
    """Export what Moodle's grade import (CSV) maps: names, "ID number", "Email address", one column an assignment."""

    default = "moodle.csv"

    def rows(self, gradebook: Gradebook) -> Iterator[list]:
        """Yield headings and a row for each student."""
        chosen = self.assignments(gradebook)
        yield ["First name", "Last name", "ID number", "Email address", *(f"{one.name} (Real)" for one in chosen)]
        for student in self.students(gradebook):
            scores = [self.score(gradebook, one, student).final for one in chosen]
            yield [student.first_name, student.last_name, student.id, student.email, *scores]


FORMATS = {"csv": CsvExporter, "canvas": CanvasExporter, "moodle": MoodleExporter}
