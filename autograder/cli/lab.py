"""The command that opens the labs in JupyterLab."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import typer
from rich.console import Console

from autograder.cli.ground import Context, bring_up, choose, forecast, in_words
from autograder.facts import CannotCheck
from autograder.ground.background import Background
from autograder.ground.locks import bringing_up
from autograder.ground.progress import Board
from autograder.ground.step import Step, tools
from autograder.ground.up import LAYERS, STANDS_ON, layers, needs_of
from autograder.labs import Lab, course_root, syllabus

PATIENCE = 10  # seconds: what JupyterLab needs to end its kernels


def register(typed: typer.Typer) -> None:
    """Add this module's command."""
    typed.command()(lab)


def lab(context: Context = None) -> None:
    """Open labs/ in JupyterLab as soon as Docker answers; what later labs need comes up beside it."""
    choose(context)
    found, console = syllabus(), Console(soft_wrap=True, force_terminal=False)  # lines: JupyterLab writes here, too
    needed = needs_of(found)
    bring_up(needed[:1])
    path = os.pathsep.join([str(Path(sys.executable).parent), str(tools()), os.environ["PATH"]])
    closing = threading.Event()
    with Board(console) as board:
        board.note("JupyterLab is starting; Ctrl-C ends it.")
        server = subprocess.Popen(jupyterlab(), env={**os.environ, "PATH": path})
        threading.Thread(target=bring_up_beside, args=(found, needed, board, closing), daemon=True).start()
        try:
            code = wait_for(server)
        finally:
            closing.set()
    raise typer.Exit(code)


def jupyterlab() -> list[str]:
    """Return the command that opens labs/ and, in its folder `course`, the chapters: as pages, with their drawings."""
    chapters = course_root() / "labs" / "course"
    with suppress(OSError):  # in a checkout of somebody else's, they have to be read where they are
        if not chapters.exists():
            chapters.symlink_to(Path("..", "course"))
    settings = Path(__file__).with_name("jupyterlab")
    command = [sys.executable, "-m", "jupyterlab", "--notebook-dir", str(course_root() / "labs"), "--log-level=WARN",
               f"--LabApp.app_settings_dir={settings}"]  # fmt: skip
    return [*command, *["--allow-root"] * (os.geteuid() == 0)]


@bringing_up()
def bring_up_beside(labs: Sequence[Lab], needed: Sequence[str], board: Board, closing: threading.Event) -> None:
    """Bring up layer after layer, and say which labs can begin; where one fails, go on with what stands elsewhere.

    After `closing` no fault is said: what still runs is ended then.
    """
    there: set[str] = set()
    waiting = list(labs)
    for layer in needed:
        if not there.issuperset(STANDS_ON[layer]):
            continue
        try:  # a Background puts our own mistakes into words, too
            Background(partial(steps_of, layer, board), board.say).wait()
        except CannotCheck as fault:
            if not closing.is_set():
                board.note(in_words(fault.cause, fault.fix))
            continue
        there.add(layer)
        ready = [one for one in waiting if there.issuperset(layers(one.needs))]
        waiting = [one for one in waiting if one not in ready]
        if ready:
            board.note(f"[green]✓[/] {', '.join(one.slug for one in ready)} can begin.")


def steps_of(layer: str, board: Board) -> list[Step]:
    """Return a layer's steps, and say what they will take."""
    steps = list(LAYERS[layer]())
    forecast(steps, board)
    return steps


def wait_for(server: subprocess.Popen) -> int:
    """Wait until JupyterLab has ended and return its exit code; Ctrl-C is for it to hear, which asks and saves."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return server.wait()
    finally:  # we were told to end ourselves: so is it, and its kernels with it
        signal.signal(signal.SIGINT, before)
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(PATIENCE)
