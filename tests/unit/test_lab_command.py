"""While JupyterLab is open, the terminal says which labs can begin, and what could not be had."""

import io
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from autograder.cli.lab import bring_up_beside, wait_for
from autograder.facts import CannotCheck
from autograder.ground.locks import bringing_up, coming_up
from autograder.ground.progress import Board
from autograder.ground.step import Step
from autograder.ground.up import LAYERS, needs_of
from autograder.labs import find_lab, syllabus
from autograder.notebook.begin import begin


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may bring something up on this machine meanwhile."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def told(monkeypatch: pytest.MonkeyPatch, broken: str = "", closing: bool = False) -> list[str]:
    """Return the lines that are said where all layers come up but a broken one."""
    there = set()

    def run(name: str) -> None:
        assert coming_up()
        if name == broken:
            raise CannotCheck(f"no {name} [today]", "Try tomorrow.")
        there.add(name)

    for name in LAYERS:
        step = Step(name, "a lab needs it", 1, lambda name=name: name in there, lambda name=name: run(name))
        monkeypatch.setitem(LAYERS, name, lambda step=step: [step])
    ends = threading.Event()
    if closing:
        ends.set()
    screen = io.StringIO()
    with Board(Console(file=screen, width=200)) as board:
        bring_up_beside(syllabus(), needs_of(syllabus()), board, ends)
    assert not coming_up()
    return screen.getvalue().splitlines()


def test_each_lab_can_begin_as_soon_as_what_it_needs_is_there(monkeypatch):
    said = told(monkeypatch)
    places = {lab.slug: next(n for n, line in enumerate(said) if lab.slug in line) for lab in syllabus()}
    up = {name: next(n for n, line in enumerate(said) if line.startswith(f"✓ {name}")) for name in LAYERS}
    assert up["docker"] < places["lab1_dockerfile"] < up["services"] < places["lab2_container"] < up["cluster"]
    assert up["cluster"] < places["lab3_deploy"] == places["lab4_operate"] == places["lab5_pipeline"] < up["trainer"]
    assert up["trainer"] < places["lab6_training"] < up["kserve"] < places["lab7_kserve"]
    assert all(sum(lab.slug in line for line in said) == 1 for lab in syllabus())


@pytest.mark.parametrize(
    ("broken", "cannot"),
    [
        ("services", ["lab2_container"]),
        ("cluster", ["lab3_deploy", "lab4_operate", "lab5_pipeline", "lab6_training", "lab7_kserve"]),
        ("trainer", ["lab6_training"]),
    ],
)
def test_what_fails_is_said_once_and_holds_up_no_other_lab(monkeypatch, broken, cannot):
    said = "\n".join(told(monkeypatch, broken))
    assert said.count(f"no {broken} [today]") == 1
    assert "What to do: Try tomorrow." in said
    assert [lab.slug for lab in syllabus() if lab.slug not in said] == cannot


def test_nothing_is_called_a_fault_because_the_course_was_closed(monkeypatch):
    assert "today" not in "\n".join(told(monkeypatch, "cluster", closing=True))


@pytest.fixture
def server() -> Iterator[subprocess.Popen]:
    """A server that ends by Ctrl-C with a code of its own."""
    code = "trap 'exit 3' INT; echo up; while :; do sleep 0.05; done"
    with subprocess.Popen(["sh", "-c", code], stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        yield running
        running.kill()


def send_soon(sign: signal.Signals, *pids: int) -> None:
    threading.Timer(0.3, lambda: [os.kill(pid, sign) for pid in pids]).start()


def test_ctrl_c_is_for_jupyterlab_to_hear(server):
    before = signal.getsignal(signal.SIGINT)
    send_soon(signal.SIGINT, os.getpid(), server.pid)  # a terminal sends it to both
    assert wait_for(server) == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_jupyterlab_ends_when_the_command_is_told_to_end(server):
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command line has it
    send_soon(signal.SIGTERM, os.getpid())
    try:
        with pytest.raises(KeyboardInterrupt):
            wait_for(server)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert server.poll() is not None


def test_a_first_cell_says_to_wait_only_while_something_is_brought_up(monkeypatch, capsys):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    monkeypatch.delenv("SHIPYARD_GRADING", raising=False)
    monkeypatch.chdir(find_lab("lab1_dockerfile").folder)
    with bringing_up():
        begin()
    assert "What to do: Wait: it is being brought up." in capsys.readouterr().out
    begin()
    assert "What to do: Start Docker (`shipyard up` does it" in capsys.readouterr().out
