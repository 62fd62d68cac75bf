"""Kill what grading stands on while it grades: nothing wrong is written, and a second run completes the class."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autograder.grading.sample import sample
from autograder.grading.verdicts import graded
from autograder.ground import engine
from autograder.ground.step import climb
from autograder.ground.up import all_steps
from autograder.labs import find_lab
from autograder.waiting import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.slow]
SLUG = "lab1_dockerfile"


def grading(root: Path, log: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "autograder", "grade", "--course", str(root), "--lab", SLUG]
    return subprocess.Popen(command, stdout=log.open("w"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def points(root: Path, learner: str) -> float | None:
    found = graded(root / "autograded" / learner / SLUG / f"{SLUG}.ipynb")
    return sum(result.points for result in found[1]) if found else None


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A class of two, both with the reference answer."""
    root = sample(tmp_path / "class", slugs=[SLUG], learners=1)
    first = next((root / "submitted").iterdir())
    subprocess.run(["cp", "-r", first, root / "submitted" / "zora"], check=True)
    return root


def test_engine_killed_while_grading_gives_no_grade_and_a_second_run_completes(course, tmp_path):
    if not engine.pid_file():
        pytest.skip("the engine on this machine is not one that we started")
    log = tmp_path / "first.log"
    process = grading(course, log)
    try:
        # The learner's own build has made its image: the checks come next.
        wait_until(
            lambda: any((course / "autograded").glob(f"*/{SLUG}/app/Dockerfile")), "grading to begin", timeout=120
        )
        time.sleep(3)  # somewhere in the middle, on purpose not at a known place
        os.kill(int(engine.pid_file()), signal.SIGKILL)
        code = process.wait(timeout=600)
    finally:
        process.kill()
        climb(all_steps(), lambda *_: None)
    said = log.read_text()
    assert code == 1, said
    assert "Traceback" not in said
    assert re.search("could not be made|not graded|could not be checked", said), said
    full = sum(one.points for one in find_lab(SLUG).checks)
    for learner in ("ada", "zora"):
        assert points(course, learner) in (None, 0, full), "a fault must not take some of the points"

    second = grading(course, tmp_path / "second.log")
    assert second.wait(timeout=600) == 0, (tmp_path / "second.log").read_text()
    assert [points(course, learner) for learner in ("ada", "zora")] == [full, full]
