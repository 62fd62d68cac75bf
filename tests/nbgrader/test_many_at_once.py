"""Grade many submissions at once: the same gradebook, no lock errors, nobody pays for another's crash."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from comparing import rows, verdicts, working_in

from autograder.grading.grade import grade, grade_these
from autograder.grading.outcome import Standing
from autograder.grading.sample import sample
from autograder.grading.slots import Pace, allowed_jobs, cores, default_jobs
from autograder.labs import Lab, find_lab
from autograder.waiting import wait_until

REPO = Path(__file__).parent.parent.parent
TINY = Path(__file__).parent / "tiny_course"
SLUG = "tiny_answer"
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@pytest.fixture(scope="module", autouse=True)
def course():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPYARD_COURSE", str(TINY))
        yield TINY


@pytest.fixture
def four(tmp_path):
    """A class of four: all hand in the reference."""
    root = sample(tmp_path / "class", learners=1)
    for name in ("bela", "chen", "dalia"):
        shutil.copytree(root / "submitted" / "ada", root / "submitted" / name)
    return root


def first_answer(root, student, source):
    """Put some Python before what a learner's third answer does."""
    path = root / "submitted" / student / SLUG / f"{SLUG}.ipynb"
    path.write_text(path.read_text().replace("program = ", f"{source}; program = "))


@pytest.mark.parametrize(("learners", "jobs"), [(6, 3), pytest.param(24, 6, marks=pytest.mark.slow)])
def test_gradebook_is_the_same_with_one_job_and_with_many(tmp_path, learners, jobs):
    one = sample(tmp_path / "one", learners=learners)
    many = shutil.copytree(one, tmp_path / "many")
    alone = {o.student: (o.standing, o.score, o.line) for o in grade(one, jobs=1)}
    together = {o.student: (o.standing, o.score, o.line) for o in grade(many, jobs=jobs)}
    assert len(together) == learners
    assert together == alone
    assert not [outcome for outcome in together.values() if outcome[0] is Standing.FAULT]
    assert rows(many) == rows(one)
    assert verdicts(many, SLUG) == verdicts(one, SLUG)
    # Graded again, all at once, into a gradebook that is full already.
    assert [o.standing for o in grade(many, force=True, jobs=jobs)].count(Standing.FAULT) == 0
    assert rows(many) == rows(one)


def test_labs_are_graded_among_one_another_and_a_learner_in_one_at_a_time(tmp_path, monkeypatch):
    course, other = shutil.copytree(TINY, tmp_path / "course"), "tiny_again"
    shutil.copytree(course / "solutions" / SLUG, course / "solutions" / other)
    syllabus = course / "course" / "syllabus.toml"
    syllabus.write_text(syllabus.read_text() + "\n" + syllabus.read_text().replace(SLUG, other))
    monkeypatch.setenv("SHIPYARD_COURSE", str(course))
    root = sample(tmp_path / "class", learners=2)
    first_answer(root, "ada", "import time; time.sleep(5)")  # her first lab, of the two
    todo = [("ada", SLUG), ("ada", other), ("bela", other), ("bela", SLUG)]
    found = [(one.student, one.slug) for one in grade_these(root, todo, jobs=2)]
    assert sorted(found) == sorted(todo)
    assert found[0] == ("bela", other)  # who did not wait for ada
    assert found.index(("ada", SLUG)) < found.index(("ada", other))
    assert {one.fresh for one in grade_these(root, todo, jobs=2)} == {False}


def test_one_that_hangs_or_crashes_costs_nobody_else_anything(four):
    first_answer(four, "ada", "import time; time.sleep(600)")
    first_answer(four, "bela", "import os; os._exit(1)")
    first_answer(four, "chen", "import os; os.kill(os.getppid(), 9)")  # nbgrader's own process
    found = {outcome.student: outcome for outcome in grade(four, jobs=4, limit=20)}
    assert found["ada"].standing is Standing.FAULT
    assert "still running after 20 seconds" in found["ada"].line
    assert (found["bela"].standing, found["bela"].score) == (Standing.GRADED, 4.5)
    assert found["chen"].standing is Standing.FAULT
    assert "ended by signal 9" in found["chen"].line
    assert (found["dalia"].standing, found["dalia"].score) == (Standing.GRADED, 5.5)
    assert working_in(four) == []


def test_what_a_notebook_leaves_in_the_background_is_ended(four):
    daemon = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
    first_answer(four, "ada", daemon)
    (outcome,) = grade(four, students=["ada"])
    assert outcome.score == 5.5
    assert working_in(four) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_run_ends_all_slots_and_leaves_nothing_running(four, sign):
    for student in ("ada", "bela", "chen"):
        first_answer(four, student, "import time; time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, "-m", "autograder", "grade", "--course", four, "--lab", SLUG, "--no-sandbox", "--jobs", "3"],
        start_new_session=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(REPO)},
    )  # fmt: skip
    started = [four / "autograded" / name / SLUG / "answer.txt" for name in ("ada", "bela", "chen")]
    wait_until(lambda: all(path.exists() for path in started), "three notebooks to run", timeout=120)
    os.kill(process.pid, sign)
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "The same command continues where this one stopped" in said
    assert working_in(four) == []
    assert not list((four / "autograded").glob("*/*/*.ipynb"))  # nothing half graded looks graded


def test_progress_counts_all_slots_and_foretells_from_what_the_lab_took(four):
    steps = []
    assert len(list(grade(four, jobs=2, progress=steps.append))) == 4
    assert steps[0].left is None
    assert all(step.total == 4 and step.left is not None for step in steps if step.done)
    assert {step.number for step in steps} == {1, 2, 3, 4}
    pace = Pace(["quick"] * 3 + ["slow"] * 3, jobs=2)
    for slug, seconds in (("quick", 1), ("slow", 10), ("slow", 12)):
        pace.took(slug, seconds)
    assert pace.left() == (2 * 1 + 1 * 11) / 2


def test_slots_fit_the_machine_and_labs_that_share_an_engine_go_one_by_one(monkeypatch):
    assert 1 <= default_jobs() <= cores()
    monkeypatch.setenv("SHIPYARD_SANDBOX", "0")
    assert allowed_jobs(Lab("docker_lab", "", 0, ("docker",), TINY), 6) == 1
    assert allowed_jobs(find_lab(SLUG), 6) == 6
    monkeypatch.setenv("SHIPYARD_SANDBOX", "1")
    assert allowed_jobs(Lab("docker_lab", "", 0, ("docker",), TINY), 6) == 6
