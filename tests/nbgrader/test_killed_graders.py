"""Kill what grades, fill the disk, spoil the gradebook: no grade is lost, wrong or given twice, and a line says why."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import nbformat
import pytest
from comparing import rows, verdicts, working_in
from nbformat.v4 import new_code_cell

from autograder.grading.admission import admit
from autograder.grading.grade import grade
from autograder.grading.gradebook import open_gradebook
from autograder.grading.outcome import Standing
from autograder.grading.sample import sample
from autograder.grading.verdicts import why_again
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


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """A class that nobody has graded, and its gradebook and verdicts where nothing goes wrong."""
    root = sample(tmp_path_factory.mktemp("faults") / "class", learners=5)
    calm = shutil.copytree(root, root.parent / "calm")
    assert len(list(grade(calm, jobs=2))) == 5
    return root, calm


def finished(root):
    """Return who has a finished grade, and when it was written."""
    found = {}
    for path in root.glob(f"autograded/*/{SLUG}/{SLUG}.ipynb"):
        student = path.parent.parent.name
        if not why_again(path, admit(root / "submitted" / student / SLUG, SLUG)):
            found[student] = path.stat().st_mtime_ns
    return found


def scores(root):
    """Return (learner, check) -> automatic points, as the gradebook has them."""
    with open_gradebook(root) as gradebook:
        found = gradebook.assignment_submissions(SLUG)
        return {(one.student.id, grade.name): grade.auto_score for one in found for grade in one.notebooks[0].grades}


def below(pid):
    """Return the ids of a process's descendants, its children first."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, level = [], [pid]
    while level:
        level = [child for parent in level for child in parents.get(parent, [])]
        found.append(level)
    return found


def kill_one(grader, chance):
    """Kill the grader, the process that forks commands, a command or a kernel; return which."""
    levels = [[grader.pid], *below(grader.pid)]
    level = chance.choice([number for number, pids in enumerate(levels) if pids][:4])
    with suppress(ProcessLookupError):
        os.kill(chance.choice(levels[level]), signal.SIGKILL)
    return ("grader", "forking process", "nbgrader command", "kernel")[level]


@pytest.mark.parametrize("kills", [5, pytest.param(36, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_killed_at_any_moment_a_rerun_grades_exactly_what_is_missing(handed_in, tmp_path, kills):
    pristine, calm = handed_in
    right, expected = rows(calm), scores(calm)
    seed = int(os.environ.get("SHIPYARD_SEED", time.time_ns() % 10**6))
    chance = random.Random(seed)
    script = "import sys, pathlib, autograder.grading.grade as g; list(g.grade(pathlib.Path(sys.argv[1]), jobs=2))"
    command, environment = [sys.executable, "-c", script], {**os.environ, "PYTHONPATH": str(REPO)}
    count, lost, wrong, twice, rounds = {}, 0, 0, 0, 0
    while sum(count.values()) < kills:
        root = shutil.copytree(pristine, tmp_path / f"class{rounds}")
        rounds += 1
        while len(finished(root)) < len(finished(calm)) and sum(count.values()) < kills:
            before = finished(root)
            grader = subprocess.Popen([*command, root], env=environment, start_new_session=True,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
            until = time.monotonic() + 30
            while grader.poll() is None and len(below(grader.pid)) < chance.choice((2, 4)) and time.monotonic() < until:
                time.sleep(0.01)
            with suppress(subprocess.TimeoutExpired):
                grader.wait(chance.uniform(0, 2.5))
            if grader.poll() is None:
                what = kill_one(grader, chance)
                count[what] = count.get(what, 0) + 1
            grader.wait(120)
            after = finished(root)
            lost += sum(student not in after for student in before)
            twice += sum(after.get(student, when) != when for student, when in before.items())
            wrong += sum(points not in (None, expected[one]) for one, points in scores(root).items())
        before = finished(root)
        outcomes = list(grade(root, jobs=2))
        twice += sum(outcome.fresh for outcome in outcomes if outcome.student in before)
        lost += len(finished(calm).keys() - finished(root).keys())
        wrong += rows(root) != right or verdicts(root, SLUG) != verdicts(calm, SLUG)
        assert working_in(root) == []
        assert {page.parent.parent.name for page in root.glob(f"feedback/*/{SLUG}/*.html")} == finished(calm).keys()
    print(f"\nkilled {sum(count.values())} times ({count}, seed {seed}, {rounds} classes): "
          f"grades lost {lost}, wrong {wrong}, graded twice {twice}")  # fmt: skip
    assert (lost, wrong, twice) == (0, 0, 0), f"seed {seed}"


def put_first(root, student, source):
    """Put a cell before all others of what a learner handed in."""
    path = root / "submitted" / student / SLUG / f"{SLUG}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, new_code_cell(source))
    nbformat.write(notebook, path)


def test_kernel_killed_while_a_cell_runs_costs_no_point(handed_in, tmp_path):
    root, told = shutil.copytree(handed_in[0], tmp_path / "class"), []
    at, killed = tmp_path / "pid", threading.Event()
    once = "if not pid.exists():\n    pid.write_text(str(os.getpid()))\n    time.sleep(60)"
    put_first(root, "ada", f"import os, time, pathlib\npid = pathlib.Path({str(at)!r})\n{once}")

    def kill():
        os.kill(int(wait_until(lambda: at.is_file() and at.read_text(), "the cell to run", timeout=60)), signal.SIGKILL)
        killed.set()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    (outcome,) = grade(root, students=["ada"], progress=lambda step: told.append(step.doing))
    assert killed.is_set() and "grading once more (its kernel was killed)" in told
    assert outcome.score == 5.5 and not outcome.line


def test_cell_that_always_kills_its_kernel_is_graded(handed_in, tmp_path):
    root = shutil.copytree(handed_in[0], tmp_path / "class")
    put_first(root, "ada", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    (outcome,) = grade(root, students=["ada"])
    assert outcome.standing is Standing.GRADED and not outcome.errors
    assert outcome.line.startswith("The kernel stopped while this cell ran (out of memory, or the cell ended it).")
    assert [one.points for one in outcome.results if one.name == "answer_is_42"] == [0]


def test_full_disk_is_said_and_a_rerun_completes(handed_in, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    pristine, calm = handed_in
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "shipyard-test", disk], capture_output=True)
    if made.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.decode()}")
    try:
        root = shutil.copytree(pristine, disk / "class")
        assert [one.score for one in grade(root, students=["ada"])] == [5.5]
        before = scores(root)
        for room in (0, 200_000, 3_000_000):
            free = shutil.disk_usage(disk).free
            (disk / "filler").write_bytes(b"x" * (free - room))
            outcomes = {one.student: one for one in grade(root, jobs=2)}
            assert outcomes.pop("ada").score == 5.5
            assert {one.standing for one in outcomes.values()} == {Standing.FAULT}
            assert {one.line for one in outcomes.values()} == {
                "not graded: the disk that holds the course is full. Nothing wrong was written. "
                "Free some space, then grade again"
            }
            assert scores(root) == before
            (disk / "filler").unlink()
        # The disk fills up while notebooks run: what they could not write is not held against them.
        path = root / "submitted" / "bela" / SLUG / f"{SLUG}.ipynb"
        kept = path.read_text()
        fill = f"import shutil; free = shutil.disk_usage('.').free; filler = open({str(disk / 'filler')!r}, 'wb'); "
        fill += "filler.write(b'x' * (free - 100000)); filler.close()"
        path.write_text(kept.replace("program = ", f"{fill}; program = "))
        (outcome,) = grade(root, students=["bela"])
        assert outcome.standing is Standing.FAULT
        assert "the disk that holds the course is full" in outcome.line
        assert {points for (student, _), points in scores(root).items() if student == "bela"} <= {None}
        (disk / "filler").unlink()
        path.write_text(kept)
        assert {one.standing for one in grade(root)} == {Standing.GRADED}
        assert rows(root) == rows(calm)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_locked_gradebook_is_said(handed_in, tmp_path, monkeypatch):
    root = shutil.copytree(handed_in[0], tmp_path / "class")
    monkeypatch.setenv("SHIPYARD_GRADEBOOK_WAIT", "0.2")
    with closing(sqlite3.connect(root / "gradebook.db", isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        (outcome,) = grade(root, students=["ada"])
    assert outcome.standing is Standing.FAULT
    assert outcome.line.startswith("not graded: another program keeps the gradebook locked. No grade was written.")
    monkeypatch.delenv("SHIPYARD_GRADEBOOK_WAIT")
    assert [one.score for one in grade(root, students=["ada"])] == [5.5]


def test_damaged_gradebook_is_said_and_a_copy_put_back_is_completed(handed_in, tmp_path):
    root = shutil.copytree(handed_in[0], tmp_path / "class")
    book = root / "gradebook.db"
    backup = book.read_bytes()
    assert [one.score for one in grade(root, students=["ada"])] == [5.5]
    book.write_bytes(b"not a database at all" * 1000)
    kept, fresh = sorted(grade(root, students=["ada", "bela"]), key=lambda one: one.student)
    assert "The score could not be read: the gradebook is damaged." in kept.line
    assert fresh.standing is Standing.FAULT
    assert fresh.line.startswith("not graded: the gradebook is damaged. No grade was written. Put back a copy")
    book.write_bytes(backup)  # older than ada's grade: it does not hold that
    outcomes = sorted(grade(root, students=["ada", "bela"]), key=lambda one: one.student)
    assert [(one.fresh, one.score) for one in outcomes] == [(True, 5.5), (True, 3.5)]


def test_grade_that_a_lost_gradebook_held_is_given_again(handed_in, tmp_path):
    root = shutil.copytree(handed_in[1], tmp_path / "class")
    (root / "gradebook.db").unlink()
    assert {one.standing for one in grade(root, jobs=2)} == {Standing.GRADED}
    assert rows(root) == rows(handed_in[1])
