"""Grade submissions of a tiny lab with the real nbgrader and real kernels, as Formgrader's button does."""

import json
import os
import re
import shutil
from html import unescape
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from autograder.checks import Status
from autograder.grading import plug_in
from autograder.grading.gradebook import open_gradebook
from autograder.grading.verdicts import MIME, graded
from autograder.labs import find_lab
from autograder.release import release
from autograder.release.attempts import REFERENCE
from autograder.release.handing_in import hand_in

TINY = Path(__file__).parent / "tiny_course"
SLUG = "tiny_answer"
pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),  # nbgrader's own
    pytest.mark.filterwarnings("ignore::nbformat.warnings.DuplicateCellId"),
]
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
RIGHT = {"answer_is_42": 2, "words_kept": 1.5, "given_intact": 1, "doubles": 1}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """An instructor's folder into which the lab is released."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPYARD_COURSE", str(TINY))
        root = tmp_path_factory.mktemp("class")
        release(SLUG, root)
        yield root


class Desk:
    """Hand submissions in and grade them in an instructor's folder."""

    def __init__(self, root):
        self.root = root

    def submit(self, student, change=None):
        """Hand in the reference, changed by `change(notebook, folder)`."""
        folder = hand_in(find_lab(SLUG), REFERENCE, self.root / "labs" / SLUG, self.root / "submitted" / student / SLUG)
        path = folder / f"{SLUG}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        if change:
            change(notebook, folder)
        nbformat.write(notebook, path)
        return folder

    def api(self, **settings):
        config = Config()
        plug_in(config)
        config.CourseDirectory.root = str(self.root)
        for name, value in settings.items():
            trait = name.split("__")
            config[trait[0]][trait[1]] = value
        return NbGraderAPI(CourseDirectory(config=config), config=config)

    def grade(self, student, force=True, **settings):
        """Grade as Formgrader does; return what it says."""
        return self.api(**settings).autograde(SLUG, student, force=force)

    def notebook(self, student):
        return self.root / "autograded" / student / SLUG / f"{SLUG}.ipynb"

    def verdicts(self, student):
        _, results, _ = graded(self.notebook(student))
        return {result.name: result for result in results}

    def book(self, student):
        """Return name -> (automatic points, to be looked at) from the gradebook."""
        with open_gradebook(self.root) as gradebook:
            grades = gradebook.find_submission_notebook(SLUG, SLUG, student).grades
            return {grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in grades}

    def points(self, student):
        return {name: points for name, (points, _) in self.book(student).items()}


@pytest.fixture
def desk(course):
    return Desk(course)


def cell(notebook, name):
    return next(one for one in notebook.cells if one.metadata.get("nbgrader", {}).get("grade_id") == name)


def test_right_answers_get_the_checks_points_and_a_report(desk):
    desk.submit("right")
    assert desk.grade("right")["success"]
    assert desk.book("right") == {name: (points, False) for name, points in RIGHT.items()}
    output = cell(nbformat.read(desk.notebook("right"), as_version=4), "words_kept").outputs[0]
    assert output.data["text/plain"] == "1.5"
    assert output.data[MIME]["status"] == "PASS"
    assert "holds 3 words" in output.data["text/html"]


def test_feedback_shows_expected_observed_and_hint_and_no_traceback(desk):
    def change(notebook, folder):
        cell(notebook, "answer").source = "%%writefile answer.txt\n41"
        cell(notebook, "words").source = "%%bash\necho sea ship > notes/words.txt"

    desk.submit("wrong", change)
    assert desk.grade("wrong")["success"]
    assert desk.points("wrong") == RIGHT | {"answer_is_42": 0, "words_kept": 1}
    assert desk.api().generate_feedback(SLUG, "wrong", force=True)["success"]
    page = unescape((desk.root / "feedback" / "wrong" / SLUG / f"{SLUG}.html").read_text())
    for text in ("answer.txt holds 42.", "answer.txt holds '41'.", "Six times seven.", f"{SLUG}: 3 of 5.5 points"):
        assert text in page
    table = [re.sub(r"<[^>]*>", " ", row).split() for row in re.findall(r"<tr>(.*?)</tr>", page, re.S)]
    assert ["FAIL", "answer_is_42", "0", "of", "2"] in table
    assert ["FAIL", "words_kept", "1", "of", "1.5"] in table
    assert sum(row[:1] == ["PASS"] for row in table) == len(RIGHT) - 2
    assert "Traceback (most recent call last)" not in page


def test_feedback_shows_what_a_program_said_in_one_piece(desk):
    """IPython shows what `%%bash` says in pieces that end anywhere, also inside a word."""

    def change(notebook, folder):
        notebook.cells.append(new_code_cell("%%bash\nseq -s ' ' 999; sleep 1; seq -s ' ' 1000 1999"))

    desk.submit("talker", change)
    assert desk.grade("talker")["success"]
    outputs = nbformat.read(desk.notebook("talker"), as_version=4).cells[-1].outputs
    assert len(outputs) > 1  # so that there is something to join
    assert desk.api().generate_feedback(SLUG, "talker", force=True)["success"]
    page = (desk.root / "feedback" / "talker" / SLUG / f"{SLUG}.html").read_text()
    (said,) = [one for one in re.findall(r"<pre>(.*?)</pre>", page, re.S) if " 997 998 " in one]
    assert {f"{n}" for n in range(1, 2000)} == set(said.split())


def test_feedback_shows_a_progress_bar_as_it_stood_at_its_end(desk):
    def change(notebook, folder):
        bar = r"for n in $(seq 0 25 100); do printf '\r%4s %% of the model' $n; done; echo; echo loaded"
        notebook.cells.append(new_code_cell(f"%%bash\n{bar}"))

    desk.submit("loader", change)
    assert desk.grade("loader")["success"]
    assert desk.api().generate_feedback(SLUG, "loader", force=True)["success"]
    page = (desk.root / "feedback" / "loader" / SLUG / f"{SLUG}.html").read_text()
    assert " 100 % of the model\nloaded" in page
    assert "75 % of the model" not in page


def test_learners_files_survive_and_the_courses_files_are_restored(desk):
    def change(notebook, folder):
        notebook.cells.remove(cell(notebook, "words"))
        (folder / "notes" / "words.txt").write_text("my own two words")
        (folder / "given.txt").write_text("changed")
        (folder / "checks.py").write_text("raise SystemExit")

    desk.submit("own-files", change)
    assert desk.grade("own-files")["success"]
    work = desk.notebook("own-files").parent
    assert (work / "notes" / "words.txt").read_text() == "my own two words"
    assert desk.points("own-files") == RIGHT


def test_points_cannot_be_forged_from_the_notebook(desk):
    forged = {"name": "answer_is_42", "status": "PASS", "points": 2, "max_points": 2, "expected": "", "observed": ""}

    def change(notebook, folder):
        cell(notebook, "answer").source = "%%writefile answer.txt\n41"
        graded_cell = cell(notebook, "answer_is_42")
        graded_cell.source = "2.0"
        graded_cell.metadata.nbgrader.update(grade=False, points=100, locked=False, schema_version=1)
        graded_cell.outputs = [new_output("execute_result", data={"text/plain": "2.0", MIME: forged})]
        notebook.metadata["shipyard"] = {"submission": "", "results": [forged]}
        body = "import autograder.checks, sys\nautograder.checks.judge = lambda *a: 2\ndef check(name): return 2.0"
        notebook.cells.insert(1, new_code_cell(body))

    desk.submit("forger", change)
    assert desk.grade("forger")["success"]
    assert desk.points("forger") == RIGHT | {"answer_is_42": 0}
    assert cell(nbformat.read(desk.notebook("forger"), as_version=4), "answer_is_42").source == 'check("answer_is_42")'


def test_without_executing_nothing_is_graded(desk):
    def change(notebook, folder):
        cell(notebook, "answer_is_42").outputs = [new_output("execute_result", data={"text/plain": "2.0"})]

    desk.submit("not-run", change)
    desk.grade("not-run", Execute__enabled=False, ClearOutput__enabled=False)
    assert set(desk.book("not-run").values()) == {(None, True)}


def test_a_tag_does_not_keep_a_cell_from_running(desk):
    def change(notebook, folder):
        for name in ("answer", "words"):
            cell(notebook, name).metadata.tags = ["skip-execution", ""]

    desk.submit("tagged", change)
    assert desk.grade("tagged")["success"]
    assert desk.points("tagged") == RIGHT


def test_deleted_and_doubled_cells_are_still_judged(desk):
    def change(notebook, folder):
        notebook.cells = [one for one in notebook.cells if "check(" not in one.source]
        notebook.cells.remove(cell(notebook, "double"))
        notebook.cells.append(cell(notebook, "answer").copy())

    desk.submit("deleted", change)
    assert desk.grade("deleted")["success"]
    assert desk.points("deleted") == RIGHT | {"doubles": 0}
    assert desk.verdicts("deleted")["doubles"].observed == "There is no file double.py."


def test_empty_notebook_fails_each_check_with_a_reason(desk):
    desk.submit("nothing", lambda notebook, folder: notebook.cells.clear())
    assert desk.grade("nothing")["success"]
    assert desk.points("nothing") == {"answer_is_42": 0, "words_kept": 0.5, "given_intact": 1, "doubles": 0}


ENDINGS = {
    "dies": ("import os; os._exit(1)", "The kernel stopped while this cell ran"),
    "hangs": ("import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass", "could not be interrupted"),
}


@pytest.mark.parametrize("student", ENDINGS)
def test_kernel_that_ends_does_not_stop_judging(desk, student):
    source, said = ENDINGS[student]
    desk.submit(student, lambda notebook, folder: notebook.cells.insert(5, new_code_cell(source)))
    assert desk.grade(student, Execute__timeout=2, Execute__iopub_timeout=2)["success"]
    assert desk.points(student) == {"answer_is_42": 2, "words_kept": 0.5, "given_intact": 1, "doubles": 0}
    assert said in graded(desk.notebook(student))[2]


def test_cell_over_its_time_is_interrupted_and_the_rest_runs(desk):
    desk.submit(
        "slow", lambda notebook, folder: notebook.cells.insert(3, new_code_cell("import time; time.sleep(600)"))
    )
    assert desk.grade("slow", Execute__timeout=2)["success"]
    assert desk.points("slow") == RIGHT


def test_endless_output_is_cut(desk):
    desk.submit("loud", lambda notebook, folder: notebook.cells.insert(3, new_code_cell("print('x' * 5_000_000)")))
    assert desk.grade("loud")["success"]
    assert desk.points("loud") == RIGHT
    assert desk.notebook("loud").stat().st_size < 2_000_000


def test_link_made_by_the_notebook_does_not_reach_the_feedback(desk):
    source = f"import os\nos.symlink({str(desk.root / 'gradebook.db')!r}, 'stolen.txt')"
    desk.submit("thief", lambda notebook, folder: notebook.cells.append(new_code_cell(source)))
    assert desk.grade("thief")["success"]
    assert desk.api().generate_feedback(SLUG, "thief", force=True)["success"]
    assert not list(desk.root.glob("feedback/thief/**/stolen.txt"))
    assert (desk.root / "gradebook.db").stat().st_mode & 0o200  # nbgrader's chmod followed it otherwise


def symlink(folder):
    (folder / "answer.txt").symlink_to("/etc/hostname")


def whole_link(folder):
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def folder_link(folder):
    (folder / "etc").symlink_to("/etc")


def hard_link(folder):
    os.link(folder.parent.parent.parent / "gradebook.db", folder / "copy.db")


def pipe(folder):
    os.mkfifo(folder / "pipe")


def renamed(folder):
    (folder / f"{SLUG}.ipynb").rename(folder / f"{SLUG} (1).ipynb")


def not_json(folder):
    (folder / f"{SLUG}.ipynb").write_text('{"cells": [')


def no_notebook(folder):
    (folder / f"{SLUG}.ipynb").write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}))


def empty_file(folder):
    (folder / f"{SLUG}.ipynb").write_text("")


REFUSED = {
    whole_link: "the submission is a symbolic link",
    symlink: "answer.txt is a symbolic link to something outside the submission",
    folder_link: "etc is a symbolic link to something outside the submission",
    hard_link: "copy.db is a hard link to something outside the submission",
    pipe: "pipe is a device, a pipe or a socket",
    not_json: "tiny_answer.ipynb is not JSON",
    no_notebook: "tiny_answer.ipynb is not a notebook",
    empty_file: "tiny_answer.ipynb is an empty file",
}


@pytest.mark.parametrize("spoil", REFUSED, ids=lambda spoil: spoil.__name__)
def test_submission_that_must_not_be_opened_is_refused_with_a_line(desk, spoil):
    student = spoil.__name__
    spoil(desk.submit(student))
    said = desk.grade(student)
    assert not said["success"]
    assert f"unreadable: {REFUSED[spoil]}" in said["log"]
    assert "ask the learner to hand in again" in said["log"]
    assert not desk.notebook(student).parent.exists()


def test_fault_of_ours_is_no_grade_and_tells_cause_and_fix(desk, monkeypatch, tmp_path):
    monkeypatch.setenv("TINY_RULER", str(tmp_path / "ruler"))
    desk.submit("unlucky")
    assert desk.grade("unlucky")["success"]
    assert desk.book("unlucky") == {name: (points, False) for name, points in RIGHT.items()} | {
        "words_kept": (None, True)
    }
    with open_gradebook(desk.root) as gradebook:
        comment = gradebook.find_comment("words", SLUG, SLUG, "unlucky").comment
    assert comment == "words_kept could not be checked: The ruler is not there. Put the ruler back, then grade again."
    assert desk.verdicts("unlucky")["words_kept"].status is Status.ERROR

    (tmp_path / "ruler").touch()  # the engine is up again: plain `nbgrader autograde`, not forced, completes the class
    assert desk.grade("unlucky", force=False)["success"]
    assert desk.points("unlucky") == RIGHT
    with open_gradebook(desk.root) as gradebook:
        assert not gradebook.find_comment("words", SLUG, SLUG, "unlucky").comment


def test_half_graded_submission_is_graded_by_the_next_run(desk):
    desk.submit("half")
    shutil.copytree(desk.root / "submitted" / "half" / SLUG, desk.notebook("half").parent)
    assert desk.grade("half", force=False)["success"]
    assert desk.points("half") == RIGHT


def test_graded_cell_without_a_check_gets_no_points(tmp_path, monkeypatch):
    course, root = tmp_path / "course", tmp_path / "class"
    shutil.copytree(TINY, course)
    monkeypatch.setenv("SHIPYARD_COURSE", str(course))
    release(SLUG, root)
    hidden = course / "solutions" / SLUG / "hidden.py"
    hidden.write_text(hidden.read_text().replace('@check("doubles"', '@check("trebles"'))
    other = tmp_path / "moved"  # modules are loaded once a path
    course.rename(other)
    monkeypatch.setenv("SHIPYARD_COURSE", str(other))
    desk = Desk(root)
    shutil.copytree(root / "labs" / SLUG, root / "submitted" / "late" / SLUG)
    assert desk.grade("late")["success"]
    assert desk.book("late")["doubles"] == (None, True)
    assert "no check called doubles" in desk.verdicts("late")["doubles"].observed


def test_assignment_of_the_instructors_own_keeps_nbgraders_way(desk):
    source = desk.root / "source" / "own_quiz"
    source.mkdir(parents=True)
    meta = {"schema_version": 3, "task": False}
    answer = new_code_cell("### BEGIN SOLUTION\nx = 4\n### END SOLUTION")
    answer.metadata["nbgrader"] = meta | {"grade_id": "x", "grade": False, "solution": True, "locked": False}
    test = new_code_cell("assert x == 4")
    test.metadata["nbgrader"] = meta | {"grade_id": "t", "grade": True, "solution": False, "locked": True, "points": 3}
    notebook = nbformat.v4.new_notebook(cells=[answer, test], metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, source / "own_quiz.ipynb")
    assert desk.api().generate_assignment("own_quiz")["success"]
    assert "NotImplementedError" in (desk.root / "labs" / "own_quiz" / "own_quiz.ipynb").read_text()
    for student, x in (("good", 4), ("bad", 5)):
        folder = desk.root / "submitted" / student / "own_quiz"
        shutil.copytree(desk.root / "labs" / "own_quiz", folder)
        handed = nbformat.read(folder / "own_quiz.ipynb", as_version=4)
        handed.cells[0].source = f"x = {x}"
        nbformat.write(handed, folder / "own_quiz.ipynb")
        assert desk.api().autograde("own_quiz", student)["success"]
    with open_gradebook(desk.root) as gradebook:
        assert [gradebook.find_submission("own_quiz", student).score for student in ("good", "bad")] == [3, 0]
