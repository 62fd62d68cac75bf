"""Grade a small class with `nbgrader` as processes: what is graded again, what goes on, what is said."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

from autograder.checks import Status
from autograder.grading.expecting import differences
from autograder.grading.grade import grade
from autograder.grading.gradebook import open_gradebook
from autograder.grading.outcome import Standing
from autograder.grading.sample import assigned, sample
from autograder.grading.table import attempts_table, class_table, remarks
from autograder.labs import find_lab, syllabus
from autograder.release import ReleaseError
from autograder.waiting import wait_until

REPO = Path(__file__).parent.parent.parent
TINY = Path(__file__).parent / "tiny_course"
SLUG = "tiny_answer"
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@pytest.fixture(scope="module")
def course():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPYARD_COURSE", str(TINY))
        yield TINY


@pytest.fixture(scope="module")
def kept(course, tmp_path_factory):
    """A class of the tiny lab's attempts, and its outcomes."""
    root = sample(tmp_path_factory.mktemp("kept") / "class")
    return root, {outcome.student: outcome for outcome in grade(root)}


@pytest.fixture(scope="module")
def handed_in(course, tmp_path_factory):
    """A class of two that nobody has graded: the reference and a wrong answer."""
    return sample(tmp_path_factory.mktemp("handed") / "class", learners=2)


@pytest.fixture(scope="module")
def all_graded(handed_in, tmp_path_factory):
    root = shutil.copytree(handed_in, tmp_path_factory.mktemp("graded") / "class")
    assert [outcome.fresh for outcome in grade(root)] == [True, True]
    return root


@pytest.fixture
def small(handed_in, tmp_path):
    """A class of two of our own, not graded yet."""
    return shutil.copytree(handed_in, tmp_path / "class")


@pytest.fixture
def done(all_graded, tmp_path):
    """A class of two of our own, all graded."""
    return shutil.copytree(all_graded, tmp_path / "class")


def in_order(root, **options):
    """Grade a class; outcomes come as they are done, here by name."""
    return sorted(grade(root, **options), key=lambda outcome: outcome.student)


def text(renderable):
    console = Console(width=160, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(renderable)
    return console.export_text()


def test_sample_class_has_at_least_six_learners_of_each_kind(kept):
    root, outcomes = kept
    assert len(outcomes) >= 6
    assert len(list((root / "submitted").glob(f"*/{SLUG}"))) == len(outcomes)
    assert {attempt.kind for attempt in assigned(syllabus(), 6).values()} == {"right", "wrong", "broken"}


def test_each_attempt_gives_what_its_file_says(kept):
    _, outcomes = kept
    for (student, slug), attempt in assigned(syllabus()).items():
        outcome = outcomes[student]
        if attempt.edit == "not_json":
            assert outcome.standing is Standing.UNREADABLE
            assert outcome.line.startswith(f"unreadable: {slug}.ipynb is not JSON")
        else:
            assert outcome.standing is Standing.GRADED
            assert not differences(attempt, outcome.results)
            assert outcome.score == outcome.points


def test_expectation_that_is_not_met_is_named(kept):
    _, outcomes = kept
    plan = {attempt.name: student for (student, _), attempt in assigned(syllabus()).items()}
    attempt = next(one for one in assigned(syllabus()).values() if one.name == "off_by_one")
    assert [one.check for one in differences(attempt, outcomes[plan["reference"]].results)] == ["answer_is_42"]
    assert [one.check for one in differences(attempt, outcomes[plan["two_words"]].results)] == [
        "answer_is_42", "words_kept", "doubles",
    ]  # fmt: skip


def test_every_graded_learner_has_feedback(kept):
    root, outcomes = kept
    for student, outcome in outcomes.items():
        page = root / "feedback" / student / SLUG / f"{SLUG}.html"
        assert page.is_file() is (outcome.standing is Standing.GRADED)


def test_tables_tell_points_and_what_could_not_be_graded(kept):
    _, outcomes = kept
    shown = text(class_table(SLUG, outcomes.values()))
    assert "5.5/5.5" in shown
    assert "0 ERROR (no grade), 1 submission unreadable" in shown
    empty = next(s for (s, _), attempt in assigned(syllabus()).items() if attempt.name == "empty")
    assert f"{empty}, {SLUG}: The notebook holds no code: ask the learner whether it is the right file." in remarks(
        outcomes.values()
    )
    plan = assigned(syllabus())
    compared = text(attempts_table((SLUG, plan[student, SLUG], outcome) for student, outcome in outcomes.items()))
    assert compared.count("as expected") == len(outcomes) - 1


def test_second_run_grades_only_what_is_new_or_missing(done):
    assert [outcome.fresh for outcome in grade(done)] == [False, False]
    (done / "submitted" / "ada" / SLUG / "notes" / "words.txt").write_text("handed in again")
    shutil.rmtree(done / "feedback" / "bela")
    assert [(outcome.student, outcome.fresh) for outcome in in_order(done)] == [("ada", True), ("bela", False)]
    assert (done / "feedback" / "bela" / SLUG / f"{SLUG}.html").is_file()
    assert [outcome.student for outcome in grade(done, students=["bela"], force=True) if outcome.fresh] == ["bela"]


def test_error_is_graded_again_and_the_class_completed(small, monkeypatch, tmp_path):
    monkeypatch.setenv("TINY_RULER", str(tmp_path / "ruler"))
    (outcome,) = grade(small, students=["ada"])
    assert [result.name for result in outcome.errors] == ["words_kept"]
    assert (
        outcome.line == "1 of 4 checks could not be made: The ruler is not there. Put the ruler back, then grade again."
    )
    assert (outcome.standing, outcome.score) == (Standing.GRADED, 4)
    (tmp_path / "ruler").touch()
    (outcome,) = grade(small, students=["ada"])
    assert (outcome.fresh, outcome.errors, outcome.line, outcome.score) == (True, [], "", 5.5)


def slow_down(root, student, seconds):
    path = root / "submitted" / student / SLUG / f"{SLUG}.ipynb"
    path.write_text(path.read_text().replace("program = ", f"import time; time.sleep({seconds}); program = "))


def test_killed_run_goes_on_where_it_stopped(small):
    slow_down(small, "ada", 5)
    script = "import sys, pathlib, autograder.grading.grade as g; list(g.grade(pathlib.Path(sys.argv[1]), jobs=1))"
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    process = subprocess.Popen([sys.executable, "-c", script, str(small)], start_new_session=True, env=environment)
    half = small / "autograded" / "ada" / SLUG / "answer.txt"
    wait_until(half.exists, "the first notebook to run", timeout=120)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    outcomes = list(grade(small))
    assert [(outcome.standing, outcome.fresh) for outcome in outcomes] == [(Standing.GRADED, True)] * 2


def test_submission_over_its_time_costs_only_itself(small):
    slow_down(small, "ada", 600)
    (small / "submitted" / "bela" / SLUG / f"{SLUG}.ipynb").write_text("{}")
    first, second = in_order(small, limit=8)
    assert first.standing is Standing.FAULT
    assert "still running after 8 seconds" in first.line
    assert second.standing is Standing.UNREADABLE


def test_gradebook_that_is_in_use_is_waited_for(done):
    lock = sqlite3.connect(done / "gradebook.db", check_same_thread=False, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(9, lambda: lock.execute("ROLLBACK"))  # longer than SQLite's own patience
    release.start()
    outcome, _ = in_order(done)
    release.join()
    assert outcome.score == 5.5


def test_lab_that_changed_under_graded_submissions_is_said(done, tmp_path, monkeypatch):
    other = tmp_path / "course"
    shutil.copytree(TINY, other)
    lab = other / "solutions" / SLUG
    for name in ("checks.py", "lab.md"):
        (lab / name).write_text((lab / name).read_text().replace("given_intact", "given_kept"))
    monkeypatch.setenv("SHIPYARD_COURSE", str(other))
    outcomes = list(grade(done, force=True))
    assert {outcome.standing for outcome in outcomes} == {Standing.FAULT}
    assert "The gradebook holds submissions of tiny_answer" in outcomes[0].line
    with open_gradebook(done) as gradebook:
        assert gradebook.find_submission(SLUG, "ada").score == 5.5


def test_sample_class_follows_a_lab_that_changed(done, tmp_path, monkeypatch):
    other = tmp_path / "course"
    shutil.copytree(TINY, other)
    lab = other / "solutions" / SLUG
    for name in ("checks.py", "lab.md"):
        (lab / name).write_text((lab / name).read_text().replace("given_intact", "given_kept"))
    monkeypatch.setenv("SHIPYARD_COURSE", str(other))
    (done / "submitted" / "real-learner").mkdir()
    with pytest.raises(ReleaseError, match="The gradebook holds submissions"):
        sample(done, learners=2)
    (done / "submitted" / "real-learner").rmdir()
    sample(done, learners=2)
    (outcome,) = grade(done, students=["ada"])
    assert "given_kept" in [result.name for result in outcome.results]
    assert outcome.score == 5.5


def test_missing_configuration_is_said_with_the_lines_to_write(course, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"plug_in\(get_config\(\)\)"):
        list(grade(tmp_path))


def test_learner_without_a_submission_is_a_line(small):
    (outcome,) = grade(small, students=["nobody"])
    assert outcome.standing is Standing.UNREADABLE
    assert outcome.line == "unreadable: nothing was handed in; ask the learner to hand in again"


def test_numeric_name_of_a_learner(small):
    (small / "submitted" / "ada").rename(small / "submitted" / "20261234")
    (outcome,) = grade(small, students=["20261234"])
    assert [result.status for result in outcome.results] == [Status.PASS] * len(find_lab(SLUG).checks)
    assert outcome.score == 5.5
