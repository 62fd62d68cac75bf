"""Figures of sandboxes: what they add to plain nbgrader, how many submissions a minute, how much memory."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autograder.facts import CannotCheck
from autograder.grading.grade import grade
from autograder.grading.sample import name_of, sample
from autograder.grading.slots import default_jobs
from autograder.ground import engine
from autograder.labs import checkout, find_lab
from autograder.sandbox import seeding
from autograder.sandbox.box import Box, box

Figure = tuple[str, str]
COURSE = "tests/bench_course"
FILE, WAIT = "bench_file", "bench_wait"
PLAIN = 'from pathlib import Path\nassert Path("answer").read_text() == "42"'
ROUNDS = 3


def figures(scratch: Path, learners: int, say: Callable[[str], None]) -> Iterator[Figure]:
    """Grade one class with plain nbgrader, and with ours without and with sandboxes, in turn; then one that waits.

    Raises CannotCheck where a submission is not graded as it must be: such a time says nothing.
    """
    with _course():
        seconds: dict[str, list[float]] = {}
        for turn in range(ROUNDS):
            for way, run in _ways(scratch, learners).items():
                say(f"{way}: {turn + 1} of {ROUNDS}")
                seconds.setdefault(way, []).append(run() / learners)
        plain, bare, boxed = (statistics.median(seconds[way]) for way in seconds)
        yield f"plain nbgrader, {learners} trivial notebooks: a submission", f"{plain:.2f} s"
        yield "the same in shipyard grade without sandboxes", f"{bare:.2f} s ({bare / plain:.2f} of plain)"
        yield "the same with sandboxes", f"{boxed:.2f} s ({boxed / plain:.2f} of plain)"
        yield "what sandboxes add to plain nbgrader, a submission", f"{boxed - plain:+.2f} s (goal: at most 0.5)"
        alone = 0.0
        for jobs in sorted({1, 2, default_jobs()}):
            say(f"{learners} notebooks that wait 6 s each, {jobs} at once")
            took = _ours(scratch / f"wait-{jobs}", WAIT, learners, jobs, sandbox=True)
            alone = alone or took
            goal = " (goal: at most 0.6)" if jobs == 2 else ""
            yield (f"labs that mostly wait, {jobs} at once",
                   f"{60 * learners / took:.1f} a minute, {took / alone:.2f} of one at a time{goal}")  # fmt: skip
        yield from _boxes()


def _ways(scratch: Path, learners: int) -> dict[str, Callable[[], float]]:
    return {
        "plain nbgrader": lambda: _plain(scratch / "plain", learners),
        "without sandboxes": lambda: _ours(scratch / "bare", FILE, learners, 1, sandbox=False),
        "with sandboxes": lambda: _ours(scratch / "boxed", FILE, learners, 1, sandbox=True),
    }


@contextmanager
def _course() -> Iterator[None]:
    """Let the course of this module be the one that is graded."""
    before = {name: os.environ.get(name) for name in ("SHIPYARD_COURSE", "SHIPYARD_SANDBOX")}
    os.environ["SHIPYARD_COURSE"] = str(checkout() / COURSE)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _class(root: Path, slug: str, learners: int) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    sample(root, slugs=[slug], learners=learners)
    return root


def _ours(root: Path, slug: str, learners: int, jobs: int, sandbox: bool) -> float:
    """Return the seconds in which a fresh class is graded, its feedback included."""
    _class(root, slug, learners)
    os.environ["SHIPYARD_SANDBOX"] = str(int(sandbox))
    if sandbox:
        seeding.have(find_lab(slug))
    started = time.monotonic()
    outcomes = list(grade(root, [slug], jobs=jobs))
    took = time.monotonic() - started
    if failed := [one for one in outcomes if one.points != one.max_points or not one.results]:
        raise CannotCheck(f"{failed[0].student} was not graded as it should be: {failed[0].line}")
    return took


def _plain(root: Path, learners: int) -> float:
    """Return the seconds in which nbgrader itself grades the same class, an assert in the place of each check."""
    os.environ["SHIPYARD_SANDBOX"] = "0"
    _class(root, FILE, learners)
    for path in [*root.glob(f"source/{FILE}/*.ipynb"), *root.glob(f"submitted/*/{FILE}/*.ipynb")]:
        notebook = json.loads(path.read_text())
        for cell in notebook["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("grade"):
                cell["source"] = PLAIN
        path.write_text(json.dumps(notebook))
    (root / "gradebook.db").unlink()
    shutil.rmtree(root / "labs")
    (root / "nbgrader_config.py").write_text("")
    nbgrader = [sys.executable, "-m", "nbgrader"]
    _run([*nbgrader, "generate_assignment", FILE], root)
    started = time.monotonic()
    _run([*nbgrader, "autograde", FILE], root)
    _run([*nbgrader, "generate_feedback", FILE], root)
    took = time.monotonic() - started
    if len(list(root.glob(f"feedback/*/{FILE}/*.html"))) != learners:
        raise CannotCheck(f"Plain nbgrader did not grade {name_of(learners - 1)}'s class of {learners}.")
    return took


def _run(command: list[str], root: Path) -> None:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise CannotCheck(f"`{' '.join(command[1:4])}` failed: {done.stderr[-500:]}")


def _boxes() -> Iterator[Figure]:
    """Start and dispose of sandboxes, and read what an idle one holds of memory."""
    starts, ends, memory = [], [], []
    seed = seeding.have(find_lab(FILE))
    for _ in range(ROUNDS):
        began = time.monotonic()
        it: Box
        with box("be9c4be9c4", seed=seed) as it:
            starts.append(time.monotonic() - began)
            used = engine.client().containers.get(it.container.id).stats(stream=False)["memory_stats"]
            cached = used["stats"].get("total_inactive_file", used["stats"].get("inactive_file", 0))
            memory.append((used["usage"] - cached) / 2**20)
            ending = time.monotonic()
        ends.append(time.monotonic() - ending)
    yield "a sandbox: start until its engine answers", f"{statistics.median(starts):.2f} s"
    yield "a sandbox: disposal", f"{statistics.median(ends):.2f} s"
    yield "a sandbox: memory, idle (a submission has two)", f"{statistics.median(memory):.0f} MiB"
