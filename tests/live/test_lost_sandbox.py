"""End what a sandboxed grading hangs on while it is judged: no learner is blamed for what is not there any more."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from threading import Thread

import nbformat
import psutil
import pytest
from kubernetes import client
from parts import processes, signal_all
from rich.console import Console

import autograder.cli.grade
from autograder.checks import Status
from autograder.cli.grade import Teller, run
from autograder.facts import CannotCheck
from autograder.grading.grade import grade
from autograder.grading.outcome import Step
from autograder.grading.sample import sample
from autograder.ground import cluster, engine
from autograder.ground.progress import Board
from autograder.ground.step import climb
from autograder.ground.up import all_steps
from autograder.labs import find_lab
from autograder.sandbox import image, network
from autograder.sandbox.box import BOX
from autograder.sandbox.place import Sandboxed, sandboxed
from autograder.waiting import wait_until

COURSE, SLUG = Path(__file__).parent / "small_course", "small_deploy"
pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def course(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIPYARD_COURSE", str(COURSE))
    monkeypatch.setenv("SHIPYARD_SANDBOX", "1")
    climb([*all_steps(), *image.steps()], lambda *_: None)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Sandboxed]:
    """A submission's sandboxes, after its notebook has run."""
    (tmp_path / "work").mkdir()
    with sandboxed(find_lab(SLUG), "10ca1ab1e5", "ada", tmp_path / "work", 7) as it:
        it.take_back()
        assert it.fault() is None
        yield it


def end_engine(container: str) -> None:
    """Kill the engine in a sandbox, and wait until the sandbox has ended with it."""
    for one in processes("dockerd", within=container):
        one.kill()
    running = engine.client().containers
    wait_until(lambda: container not in [one.id for one in running.list()], "the sandbox to end", timeout=30)


def registry_of_the_only_submission() -> str:
    """Return the container whose registry the pods of the namespace with a sandbox pull from."""
    boxes = {one.labels[BOX]: one.id for one in engine.client().containers.list(filters={"label": BOX})}
    spaces = client.CoreV1Api(cluster.connection()).list_namespace(label_selector=network.REGISTRY_LABEL).items
    (token,) = boxes.keys() & {one.metadata.labels[network.REGISTRY_LABEL] for one in spaces}
    return boxes[token]


def test_a_registry_that_ends_before_its_image_is_pulled_fails_nobody(tmp_path: Path):
    root, judged = sample(tmp_path / "class", learners=1, slugs=[SLUG]), []

    def look(step: Step) -> None:
        if step.doing == "running the notebook":  # no pod finds a node before the registry has ended
            signal_all("kube-scheduler", signal.SIGSTOP)
        elif step.doing.startswith("judging") and not judged:
            judged.append(step.doing)
            end_engine(registry_of_the_only_submission())
            signal_all("kube-scheduler", signal.SIGCONT)

    try:
        (outcome,) = grade(root, progress=look, jobs=1)
    finally:
        signal_all("kube-scheduler", signal.SIGCONT)
    assert judged
    assert {one.status for one in outcome.results} == {Status.ERROR}, outcome
    assert "sandbox ended" in outcome.line and "Grade again" in outcome.line
    (again,) = grade(root, jobs=1)
    assert again.score == again.max_points


def test_one_run_grades_a_class_of_which_a_sandbox_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root, said, ended = sample(tmp_path / "class", learners=2, slugs=[SLUG]), StringIO(), []

    class Ending(Teller):
        def __call__(self, step: Step) -> None:
            if step.doing.startswith("judging") and not ended:
                ended.append(step.student)
                end_engine(registry_of_the_only_submission())

    monkeypatch.setattr(autograder.cli.grade, "Teller", Ending)
    with Board(Console(file=said, width=200)) as board:
        graded = run(board, [find_lab(SLUG)], root, None, learners=2, force=False, jobs=1)
    assert ended
    assert "no grade yet" in said.getvalue()
    assert graded.complete, graded.outcomes
    assert sorted(one.student for one in graded.outcomes) == sorted(one.name for one in (root / "submitted").iterdir())


def test_a_kernel_killed_while_a_cell_runs_costs_no_point(tmp_path: Path):
    root, told = sample(tmp_path / "class", learners=1, slugs=[SLUG]), []
    (path,) = root.glob(f"submitted/*/{SLUG}/{SLUG}.ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("import subprocess\nsubprocess.run(['sleep', '7.31'])"))
    nbformat.write(notebook, path)

    def kernel() -> psutil.Process | None:
        return next((one.parent() for one in processes("sleep") if "7.31" in one.cmdline()), None)

    def kill() -> None:
        wait_until(kernel, "the cell to run", timeout=120, failures=(psutil.Error,)).kill()

    killer = Thread(target=kill, daemon=True)
    killer.start()
    (outcome,) = grade(root, progress=lambda step: told.append(step.doing), jobs=1)
    assert "grading once more (its kernel was killed)" in told
    assert outcome.score == outcome.max_points


@pytest.mark.parametrize("which", ["learner", "judge"])
def test_a_sandbox_whose_engine_ended_leaves_no_verdict(place: Sandboxed, which: str):
    end_engine(getattr(place, which).container.id)
    assert "engine has ended" in place.fault().cause


def test_a_registry_that_ended_alone_leaves_no_verdict(place: Sandboxed):
    for one in processes("registry", within=place.learner.container.id):
        one.kill()
    assert "does not answer" in place.fault().cause


def test_a_gate_that_was_opened_anew_leaves_no_verdict(place: Sandboxed):
    engine.client().containers.get(network.GATE).restart(timeout=1)
    assert "gate to the cluster ended" in place.fault().cause
    network.close_gate()
    assert "gate to the cluster ended" in place.fault().cause


def test_a_notebook_that_used_up_its_sandbox_is_judged(place: Sandboxed):
    """What a learner does to the own sandbox is no fault of ours: else nobody would ever fail."""
    place.learner.container.update(mem_limit="400m", memswap_limit="400m")
    with suppress(CannotCheck):  # it ends while it is filled
        for folder in ("/tmp", "/work", "/home/learner"):  # they lie in its memory
            place.learner.run(["sh", "-c", f"head -c 900M /dev/zero > {folder}/x"])
    wait_until(place.learner.out_of_memory, "the sandbox to end", timeout=30)
    assert place.fault() is None
