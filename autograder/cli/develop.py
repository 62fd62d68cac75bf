"""The commands for those who work on the course: test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console

from autograder.cli.ground import Context, bring_up, choose, forecast
from autograder.ending import end_group
from autograder.ground import cluster, engine, node, programs, redis
from autograder.ground.addons import needed
from autograder.ground.background import Background
from autograder.ground.images import packages_step
from autograder.ground.progress import Board
from autograder.ground.shell import apt_install
from autograder.ground.step import Step, cache_dir, climb
from autograder.ground.up import cluster_steps, docker_steps, needs_of
from autograder.labs import course_root, syllabus
from autograder.sandbox.image import steps as sandbox_steps

console = Console(soft_wrap=True)


def register(typed: typer.Typer) -> None:
    """Add this module's commands."""
    typed.command()(test)


def chromium() -> Step:
    """Return the step to a browser for the browser tests."""
    return Step("Chromium", "pages are tested in a browser", 60, lambda: shutil.which("chromium") is not None,
                lambda: apt_install(("chromium",), cache_dir() / "apt.log"))  # fmt: skip


def test(
    everything: bool = typer.Option(False, "--all", help="The slow tests and every attempt, too."),
    context: Context = None,
) -> None:
    """Run the unit tests, then bring up what the live tests need and run those."""
    choose(context)
    root, needs = course_root(), needs_of(syllabus())
    chosen = [] if everything else ["-m", "not slow"]
    # First what takes seconds: a typo must not wait for a cluster.
    quick = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "tests/unit"], cwd=root)
    if quick.returncode:
        raise typer.Exit(quick.returncode)
    with beside([*chosen, "tests/nbgrader"], root) as ended:
        compile_beside(needs)
        bring_up(needs)
        graded = ended()
    judged = 0
    if everything:
        judged = subprocess.run([sys.executable, "-m", "autograder", "attempts", "--sandbox"], cwd=root).returncode
    # A live test that finds something missing now fails instead of being skipped.
    environment = {**os.environ, "SHIPYARD_LIVE": "required"}
    done = ["--ignore=tests/unit", "--ignore=tests/nbgrader"]
    live = subprocess.run(
        [sys.executable, "-m", "pytest", "--durations=15", *chosen, *done, "tests"],
        cwd=root,
        env=environment,
    )
    raise typer.Exit(live.returncode or graded or judged)


def compile_beside(needs: Sequence[str]) -> None:
    """Compile what some needs are made of, and bring up the cluster and what else takes long beside it.

    Raises CannotCheck with the first thing that could not be had.
    """
    with Board(console) as board:
        # All Debian packages first: apt lets nobody in beside it.
        climb([*engine.steps(), packages_step(node.ready), chromium()], board.say)
        forecast(cluster_steps(), board)
        # What is compiled takes longest. Kubernetes comes first, for a cluster needs it; the rest is compiled
        # while the cluster comes up, which leaves a core idle.
        kubernetes = Background(lambda: node.steps() if cluster.own() else [], board.say)
        others = Background(
            lambda: [programs.step(), *(addon.binaries() for addon in needed(needs))], board.say, after=kubernetes
        )
        climb([*docker_steps(), *sandbox_steps(), redis.step()], board.say)
        kubernetes.wait()
        climb(cluster_steps(), board.say)
        others.wait()


@contextmanager
def beside(arguments: Sequence[str], root: Path) -> Iterator[Callable[[], int]]:
    """Run tests beside other work; calling what is given waits for them, prints their report, returns their exit code.

    What is left early, by Ctrl-C or because a step failed, ends them too.
    """
    console.print(f"[bold]…[/] {arguments[-1]} [dim](9 to 15 min beside the rest, more with --all: need no Docker)[/]")
    with tempfile.NamedTemporaryFile() as report:
        command = [sys.executable, "-m", "pytest", "-q", "--durations=5", *arguments]
        running = subprocess.Popen(command, cwd=root, stdout=report, stderr=subprocess.STDOUT, start_new_session=True)

        def ended() -> int:
            with Path(report.name).open(errors="replace") as words:
                code = None
                while code is None:
                    code = running.poll()
                    print(words.read(), end="", flush=True)  # as it comes: the rest may have been there at once
                    time.sleep(0.2)
            return code

        try:
            yield ended
        finally:
            if running.poll() is None:
                end_group(running)
