"""Kill engine, API server, node, sandboxes and grader at random points: no grade is lost, wrong or given twice."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from parts import pids

from autograder.grading.admission import admit
from autograder.grading.grade import grade
from autograder.grading.gradebook import open_gradebook
from autograder.grading.outcome import Outcome
from autograder.grading.sample import sample
from autograder.grading.verdicts import graded, why_again
from autograder.ground import cluster, engine, pulse
from autograder.ground.step import climb
from autograder.ground.up import all_steps
from autograder.sandbox import image
from autograder.sandbox.box import BOX, sweep_ended
from autograder.waiting import wait_until

COURSE = Path(__file__).parent / "small_course"
SLUGS = ("small_image", "small_deploy")
SECONDS = 12  # a kill comes at any point of this time after grading began
pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict]]:
    """A class that nobody has graded, and its verdicts where nothing is killed."""
    if not engine.pid_file():
        pytest.skip("the engine on this machine is not one that we started")
    climb([*all_steps(), *image.steps()], lambda *_: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPYARD_COURSE", str(COURSE))
        patch.setenv("SHIPYARD_SANDBOX", "1")
        root = sample(tmp_path_factory.mktemp("parts") / "class", learners=3)
        calm = shutil.copytree(root, root.parent / "calm")
        outcomes = list(grade(calm, jobs=2))
        assert not [one for one in outcomes if one.errors or not one.results], outcomes
        assert {one.score for one in outcomes} == {0, 1, 3, 4}
        yield root, verdicts(calm)


def verdicts(root: Path) -> dict[tuple[str, str], list]:
    """Return (learner, lab) -> verdicts, without what differs from run to run."""
    found = {}
    for slug in SLUGS:
        for path in (root / "autograded").glob(f"*/{slug}/{slug}.ipynb"):
            if results := graded(path):
                found[path.parent.parent.name, slug] = [(one.name, one.status, one.points) for one in results[1]]
    return found


def finished(root: Path) -> dict[tuple[str, str], int]:
    """Return (learner, lab) -> when its whole grade was written."""
    found = {}
    for student, slug in verdicts(root):
        path = root / "autograded" / student / slug / f"{slug}.ipynb"
        if not why_again(path, admit(root / "submitted" / student / slug, slug)):
            found[student, slug] = path.stat().st_mtime_ns
    return found


def scores(root: Path) -> dict[tuple[str, str, str], float | None]:
    """Return (learner, lab, check) -> automatic points, as the gradebook has them."""
    with open_gradebook(root) as book:
        return {
            (one.student.id, slug, row.name): row.auto_score
            for slug in SLUGS for one in book.assignment_submissions(slug) for row in one.notebooks[0].grades
        }  # fmt: skip


def of_sandboxes() -> list[str]:
    return [one.id for one in engine.client().containers.list(filters={"label": BOX})]


def kill(pids: list[int], chance: random.Random) -> bool:
    """Kill one of some processes; False where there is none."""
    pids = [one for one in pids if one > 0]  # a stopped container's is 0, which means all of our own group
    if pids:
        os.kill(chance.choice(pids), signal.SIGKILL)
    return bool(pids)


def kill_sandbox(chance: random.Random) -> bool:
    boxes = of_sandboxes()
    if boxes:
        engine.client().api.kill(chance.choice(boxes))
    return bool(boxes)


def kill_node(chance: random.Random) -> bool:
    node = cluster.node_container()
    return kill([node.attrs["State"]["Pid"]] if node else [], chance)


def parts(grader: subprocess.Popen) -> dict[str, Callable[[random.Random], bool]]:
    """Return what can be killed: name -> a function that kills it."""
    ours = int(engine.pid_file())
    return {
        "engine": lambda chance: kill([one for one in pids("dockerd") if one == ours], chance),
        "API server": lambda chance: kill(pids("kube-apiserver"), chance),
        "node": kill_node,
        "engine of a sandbox": lambda chance: kill([one for one in pids("dockerd") if one != ours], chance),
        "sandbox": kill_sandbox,
        "grader": lambda chance: kill([grader.pid], chance),
    }


def start(root: Path, log: Path) -> subprocess.Popen:
    script = "import sys, pathlib, autograder.grading.grade as g; list(g.grade(pathlib.Path(sys.argv[1]), jobs=2))"
    repo = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen([sys.executable, "-c", script, str(root)], env={**os.environ, "PYTHONPATH": repo},
                            start_new_session=True, stdin=subprocess.DEVNULL, stdout=log.open("a"),
                            stderr=subprocess.STDOUT)  # fmt: skip


def runs_for(grader: subprocess.Popen, seconds: float) -> bool:
    """Tell whether the grader is still at work after some time."""
    with suppress(subprocess.TimeoutExpired):
        grader.wait(seconds)
    return grader.poll() is None


def mend() -> None:
    """Bring back what was killed, as the next `shipyard grade` does."""
    wait_until(lambda: bool(climbed()), "the ground to come back", timeout=300, failures=(Exception,), pause=2)


def climbed() -> bool:
    climb(all_steps(), lambda *_: None)
    return engine.answers() and cluster.answers() and not pulse.away(cluster.connection())


def wrong(root: Path, right: dict) -> list[str]:
    """Return each verdict and each score that is neither missing nor what it is without a fault."""
    found = []
    for at, results in verdicts(root).items():
        for (name, status, points), calm in zip(results, right[at], strict=True):
            if str(status) != "ERROR" and (name, status, points) != calm:
                found.append(f"{at} {name}: {status} {points} instead of {calm}")
    expected = {(*at, name): points for at, results in right.items() for name, _, points in results}
    found += [f"{at}: {got} in the gradebook instead of {expected[at]}" for at, got in scores(root).items()
              if got is not None and got != expected[at]]  # fmt: skip
    return found


# An engine that is killed takes the node with it, so a round with it is long: CI kills the quick ones.
@pytest.mark.parametrize("kills", [4, pytest.param(180, marks=[pytest.mark.slow, pytest.mark.timeout(9000)])])
def test_parts_killed_at_random_points_cost_no_grade(handed_in, tmp_path, kills):
    pristine, right = handed_in
    seed = int(os.environ.get("SHIPYARD_SEED", time.time_ns() % 10**6))
    chance = random.Random(seed)
    names = ["API server", "engine of a sandbox", "sandbox", "grader", "node", "engine"][: None if kills > 6 else 4]
    turns = names * math.ceil(kills / len(names))
    chance.shuffle(turns)
    count: Counter[str] = Counter()
    lost, false, twice, rounds, several = [], [], [], 0, 0
    while count.total() < kills:
        root = shutil.copytree(pristine, tmp_path / f"class{rounds}")
        rounds += 1
        while len(finished(root)) < len(right) and count.total() < kills:
            before = finished(root)
            grader = start(root, tmp_path / "log")
            can, killed = parts(grader), []
            while count.total() < kills and runs_for(grader, chance.uniform(0, SECONDS)):
                part, done = turns[0], False
                while grader.poll() is None and not done:
                    with suppress(Exception):  # not there yet, just ended, or the engine that knows of it is killed
                        done = can[part](chance)
                    time.sleep(0.05)
                if done:
                    killed.append(turns.pop(0))
                    count[part] += 1
            grader.wait(900)
            mend()
            after, what = finished(root), "+".join(killed)
            lost += [f"{what}: {at}" for at in before if at not in after]
            twice += [f"{what}: {at}" for at, when in before.items() if after.get(at, when) != when]
            false += [f"{what}: {one}" for one in wrong(root, right)]
            if len(killed) > 1:
                several += 1
        before = finished(root)
        outcomes: list[Outcome] = list(grade(root, jobs=2))
        twice += [f"at the end: {one.student}" for one in outcomes if one.fresh and (one.student, one.slug) in before]
        false += wrong(root, right)
        lost += [f"at the end: {at}" for at in right if at not in finished(root)]
    wait_until(lambda: not of_sandboxes(), "all sandboxes to be gone", timeout=60)
    swept = len(sweep_ended(minutes=0))
    assert not engine.client().containers.list(all=True, filters={"label": BOX})
    print(f"\nkilled {count.total()} times ({dict(count)}, seed {seed}, {rounds} classes, {several} graders "
          f"hit more than once): grades lost {len(lost)}, wrong {len(false)}, given twice {len(twice)}; "
          f"{swept} ended sandboxes swept")  # fmt: skip
    assert (lost, false, twice) == ([], [], []), f"seed {seed}; {(tmp_path / 'log').read_text()[-3000:]}"
