"""Correct a check after grading: who changes is shown first; what people decided stays. Then export the grades."""

import csv
import datetime
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from comparing import rows, verdicts
from typer.testing import CliRunner

from autograder.cli.main import app, typed
from autograder.grading.export import harmless
from autograder.grading.grade import grade
from autograder.grading.gradebook import open_gradebook
from autograder.grading.regrade import regrade, write
from autograder.grading.sample import sample

TINY = Path(__file__).parent / "tiny_course"
SLUG = "tiny_answer"
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
PENALTY = """
from nbgrader.plugins import LateSubmissionPlugin
class Tenth(LateSubmissionPlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return score / 10
c = get_config()
c.AssignLatePenalties.plugin_class = Tenth
"""


@pytest.fixture(scope="module")
def course():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPYARD_COURSE", str(TINY))
        yield TINY


@pytest.fixture(scope="module")
def late_class(course, tmp_path_factory):
    """A graded class of two; bela's answer is 41, and she was two hours late, which costs a tenth."""
    root = sample(tmp_path_factory.mktemp("late") / "class", learners=2)
    with (root / "nbgrader_config.py").open("a") as file:
        file.write(PENALTY)
    with open_gradebook(root) as gradebook:
        gradebook.find_assignment(SLUG).duedate = datetime.datetime(2026, 3, 1, 12)
        gradebook.db.commit()
    for student, hour in (("ada", 11), ("bela", 14)):
        (root / "submitted" / student / SLUG / "timestamp.txt").write_text(f"2026-03-01 {hour}:00:00 UTC")
    assert [outcome.score for outcome in sorted(grade(root), key=lambda one: one.student)] == [5.5, 3.5]
    return root


@pytest.fixture
def late(late_class, tmp_path):
    return shutil.copytree(late_class, tmp_path / "class")


@pytest.fixture
def corrected(tmp_path, monkeypatch):
    """The course with two checks corrected: 41 is right, and two words are enough."""
    course = shutil.copytree(TINY, tmp_path / "course")
    checks = course / "solutions" / SLUG / "checks.py"
    text = checks.read_text().replace('seen.answer == "42"', 'seen.answer in ("41", "42")')
    text = text.replace("min(len(seen.words), 3) / 3", "min(len(seen.words), 2) / 4")
    checks.write_text(text)
    monkeypatch.setenv("SHIPYARD_COURSE", str(course))
    return course


def penalty(root, student):
    with open_gradebook(root) as gradebook:
        return gradebook.find_submission(SLUG, student).late_submission_penalty


def by_hand(root):
    """Let a person change bela's grades: points for one check, extra credit for another, and a comment."""
    with open_gradebook(root) as gradebook:
        gradebook.find_grade("given_intact", SLUG, SLUG, "bela").manual_score = 0.25
        gradebook.find_grade("doubles", SLUG, SLUG, "bela").extra_credit = 0.5
        gradebook.find_comment("answer", SLUG, SLUG, "bela").manual_comment = "Nearly."
        gradebook.db.commit()


def test_late_submission_costs_what_the_courses_plugin_says(late):
    assert (penalty(late, "ada"), penalty(late, "bela")) == (0, 0.35)
    page = (late / "feedback" / "bela" / SLUG / f"{SLUG}.html").read_text()
    assert "handed in late" in page and "−0.35" in page


def test_regrade_shows_who_changes_and_why_and_writes_nothing(late, corrected):
    before, judged = rows(late), verdicts(late, SLUG)
    reviews = {review.student: review for review in regrade(late)}
    (one,) = [change for change in reviews["bela"].changes if change.check == "answer_is_42"]
    assert (one.old.points, one.new.points) == (0, 2)
    assert (one.old.observed, one.new.observed) == ("answer.txt holds '41'.",) * 2
    assert [change.check for change in reviews["ada"].changes] == ["words_kept"]
    assert rows(late) == before
    assert verdicts(late, SLUG) == judged
    assert not list(late.glob(".shipyard-regrade*"))


def test_one_check_is_regraded_and_what_people_decided_stays(late, corrected):
    by_hand(late)
    reviews = list(regrade(late, checks=["answer_is_42"]))
    assert [(c.student, c.check) for review in reviews for c in review.changes] == [("bela", "answer_is_42")]
    assert write(late, reviews) == []
    with open_gradebook(late) as gradebook:
        grades = {grade.name: grade for grade in gradebook.find_submission_notebook(SLUG, SLUG, "bela").grades}
        assert {name: one.auto_score for name, one in grades.items()} == {
            "answer_is_42": 2, "words_kept": 1.5, "given_intact": 1, "doubles": 1,
        }  # fmt: skip
        assert grades["given_intact"].manual_score == 0.25
        assert grades["doubles"].extra_credit == 0.5
        assert gradebook.find_comment("answer", SLUG, SLUG, "bela").comment == "Nearly."
        assert gradebook.find_submission(SLUG, "bela").score == 5.25
    assert penalty(late, "bela") == pytest.approx(0.525)
    page = (late / "feedback" / "bela" / SLUG / f"{SLUG}.html").read_text()
    assert "handed in late" in page and ("−0.53" in page or "−0.52" in page)
    assert "Nearly." in page
    assert [outcome.fresh for outcome in grade(late)] == [False, False]


def test_points_given_by_hand_for_the_changed_check_stay_and_are_marked(late, corrected):
    with open_gradebook(late) as gradebook:
        gradebook.find_grade("answer_is_42", SLUG, SLUG, "bela").manual_score = 1
        gradebook.db.commit()
    reviews = list(regrade(late, students=["bela"], checks=["answer_is_42"]))
    assert reviews[0].changes[0].by_hand == 1
    write(late, reviews)
    with open_gradebook(late) as gradebook:
        row = gradebook.find_grade("answer_is_42", SLUG, SLUG, "bela")
        assert (row.auto_score, row.manual_score, row.score, row.needs_manual_grade) == (2, 1, 1, True)


def test_commands_show_then_write_then_export(late, corrected, tmp_path):
    def shipyard(*arguments):
        ran = CliRunner().invoke(typed, [*arguments, "--course", str(late)])
        assert ran.exit_code == 0, ran.output
        return ran.output

    before = rows(late)
    shown = shipyard("regrade", "--check", "answer_is_42", "--lab", SLUG)
    assert "bela, tiny_answer, answer_is_42: FAIL 0 -> PASS 2" in shown
    assert "Nothing was written" in shown
    assert rows(late) == before
    assert "1 of 1 submissions are regraded" in shipyard("regrade", "--check", "answer_is_42", "--yes")
    assert "0 change" in shipyard("regrade", "--check", "answer_is_42", "--yes")
    to = tmp_path / "out.csv"
    for form, heading, score in (
        ("csv", "score", "4.95"),
        ("canvas", SLUG, "4.95"),
        ("moodle", f"{SLUG} (Real)", "4.95"),
    ):
        shipyard("export", "--to", str(to), "--format", form)
        with to.open(newline="") as file:
            found = list(csv.DictReader(file))
        key = {"csv": "student_id", "canvas": "SIS Login ID", "moodle": "ID number"}[form]
        assert {row[key]: row[heading] for row in found if row[key]} == {"ada": "5.5", "bela": score}


@pytest.mark.parametrize(
    ("typed_wrong", "said"),
    [
        (("--to", "/nowhere/at/all.csv"), "/nowhere/at/all.csv cannot be written: No such file or directory"),
        (("--to", "/"), "is a directory"),
        (("--to", "{folder}/out.csv", "--lab", "tiny_anwser"), f"Did you mean {SLUG}?"),
        (("--to", "{folder}/out.csv", "--student", "bella"), "Did you mean bela?"),
        (("--to", "{folder}/out.csv", "--format", "excel"), "Take one of csv, canvas, moodle."),
    ],
)
def test_export_says_what_was_typed_wrongly_and_writes_nothing(late, tmp_path, monkeypatch, capsys, typed_wrong, said):
    arguments = [one.format(folder=tmp_path) for one in typed_wrong]
    monkeypatch.setattr(sys, "argv", ["shipyard", "export", "--course", str(late), *arguments])
    with pytest.raises(SystemExit) as ended:
        app()
    assert ended.value.code
    assert said in "".join(capsys.readouterr())
    assert list(tmp_path.glob("*.csv")) + list(tmp_path.parent.glob(".*.new")) == []


def test_export_to_a_full_disk_says_which_file_has_no_room(late, tmp_path, monkeypatch, capsys):
    (tmp_path / ".out.csv.new").symlink_to("/dev/full")  # where it is written first
    monkeypatch.setattr(sys, "argv", ["shipyard", "export", "--course", str(late), "--to", str(tmp_path / "out.csv")])
    with pytest.raises(SystemExit):
        app()
    assert f"{tmp_path / 'out.csv'} cannot be written: No space left on device" in capsys.readouterr().out


def test_exported_names_are_no_formulas_and_unfinished_grades_are_blank(late, tmp_path):
    with open_gradebook(late) as gradebook:
        ada = gradebook.find_student("ada")
        ada.last_name, ada.first_name, ada.email = '=HYPERLINK("http://a.example")', "@SUM(1)", "+1,\n2"
        gradebook.find_grade("doubles", SLUG, SLUG, "bela").auto_score = None
        gradebook.add_student("-new", last_name="Ünal, Jr.")
        gradebook.db.commit()
    for name in ("CsvExporter", "CanvasExporter", "MoodleExporter"):
        to = tmp_path / f"{name}.csv"
        command = [sys.executable, "-m", "nbgrader", "export", f"--exporter=autograder.grading.export.{name}"]
        subprocess.run([*command, "--to", str(to)], cwd=late, check=True, capture_output=True)
        with to.open(newline="") as file:
            table = list(csv.reader(file))
        assert len({len(row) for row in table}) == 1
        cells = [cell for row in table for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
        assert any("Ünal, Jr." in cell for cell in cells)
        place = 9 if name == "CsvExporter" else -1
        assert [row[place] for row in table if "bela" in row or "'-new" in row] == ["", ""]
    assert harmless("\t=1") == "'\t=1"
    assert harmless("＝1") == "'＝1"
