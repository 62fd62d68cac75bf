"""The commands for those who work on the course: test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import typer
from rich.console import Console

from autograder.cli.ground import Context, bring_up, choose
from autograder.ground.progress import Board
from autograder.ground.shell import apt_install
from autograder.ground.step import Step, cache_dir, climb
from autograder.labs import course_root
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
    everything: bool = typer.Option(False, "--all", help="The slow tests, too."),
    context: Context = None,
) -> None:
    """Run the unit tests, then bring up what the live tests need and run those."""
    choose(context)
    root = course_root()
    # First what takes seconds: a typo must not wait for a cluster.
    quick = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "tests/unit"], cwd=root)
    if quick.returncode:
        raise typer.Exit(quick.returncode)
    bring_up(with_cluster=True)
    with Board(console) as board:
        climb([chromium(), *sandbox_steps()], board.say)
    # A live test that finds something missing now fails instead of being skipped.
    environment = {**os.environ, "SHIPYARD_LIVE": "required"}
    chosen = [] if everything else ["-m", "not slow"]
    live = subprocess.run(
        [sys.executable, "-m", "pytest", "--durations=15", *chosen, "--ignore=tests/unit", "tests"],
        cwd=root,
        env=environment,
    )
    raise typer.Exit(live.returncode)
