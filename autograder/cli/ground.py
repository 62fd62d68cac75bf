"""The commands for the ground: up, down, doctor."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autograder.cli.chosen import chosen_labs
from autograder.facts import CannotCheck
from autograder.ground.doctor import examine
from autograder.ground.down import down as take_down
from autograder.ground.locks import bringing_up
from autograder.ground.progress import Board, duration
from autograder.ground.step import Step, climb
from autograder.ground.up import LAYERS, USUAL, layers, needs_of
from autograder.sandbox import wanted
from autograder.sandbox.image import steps as sandbox_steps

console = Console(soft_wrap=True)
Context = Annotated[str | None, typer.Option("--context", help="Use this cluster of your kubeconfig.")]
Sandbox = Annotated[
    bool | None, typer.Option(help="Run each submission in a container with a Docker engine of its own, or as you.")
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Grade so many at once. Without it: what fits; where more do, answers may come too late."),
]


def register(typed: typer.Typer) -> None:
    """Add this module's commands."""
    typed.command()(up)
    typed.command()(down)
    typed.command()(doctor)


def up(
    context: Context = None,
    docker_only: bool = typer.Option(False, help="No cluster."),
    sandbox: bool = typer.Option(False, help="Also the image in which strangers' work is graded."),
    lab: Annotated[list[str] | None, typer.Option(help="What this lab needs, too; may be given again.")] = None,
) -> None:
    """Bring up engine, images and cluster, and what a lab needs beyond them; what is there already is used."""
    choose(context)
    bring_up([*(["docker"] if docker_only else USUAL), *needs_of(chosen_labs(lab) if lab else [])])
    if sandbox:
        bring_up_sandbox()
    console.print("[green]✓[/] Everything is up.")


def choose(context: str | None) -> None:
    """Make the named context the one that everything in this process grades on."""
    if context:
        os.environ["SHIPYARD_CONTEXT"] = context


def choose_sandbox(sandbox: bool | None, context: str | None) -> None:
    """Let everything in this process grade with or without sandboxes; None leaves it as it is set.

    Raises CannotCheck where sandboxes are wanted on another cluster than ours.
    """
    if sandbox is not None:
        os.environ["SHIPYARD_SANDBOX"] = str(int(sandbox))
    if context and wanted():
        cause = "Sandboxes stand on the course's own cluster only."
        raise CannotCheck(cause, f"Work that you trust can be graded on {context} without: add --no-sandbox.")


def in_words(cause: str, fix: str) -> str:
    """Return what happened and what to do, to be printed; brackets in it are text, not markup."""
    return f"[bold red]✗[/] {escape(cause)}\n  [bold]What to do:[/] {escape(fix)}"


def bring_up_sandbox() -> None:
    """Climb the steps to the sandboxes' image, showing them."""
    with Board(console) as board:
        climb(sandbox_steps(), board.say)


def bring_up(needs: Iterable[str]) -> dict[str, float]:
    """Climb all steps to some needs, showing them; return what each took in seconds."""
    with bringing_up(), Board(console) as board:
        for layer in layers(needs):
            steps = LAYERS[layer]()
            if layer != "docker":
                forecast(steps, board)
            climb(steps, board.say)
        return board.times


def forecast(steps: list[Step], board: Board, beside: str = "") -> None:
    """Say what the first run will take and why, before it starts; `beside` is what else will be at work meanwhile."""
    needed = []
    for step in steps:
        try:
            if not step.ready():
                needed.append(step)
        except Exception:  # what is below it is not there yet, so neither is this
            needed.append(step)
    total = sum(step.seconds for step in needed)
    if total > 60:
        slowest = max(needed, key=lambda step: step.seconds)
        board.note(f"This machine needs about {duration(total)} of preparation, once. "
                   f"Most of it is “{slowest.name}”: {slowest.why}.{beside}")  # fmt: skip


def down(cache: bool = typer.Option(False, help="Remove the caches, too.")) -> None:
    """Remove everything that was brought up or made by labs, and prove it."""
    left = take_down(lambda what: console.print(f"  removing {escape(what)}"), cache=cache)
    if left:
        console.print("[bold red]✗[/] This is still there:\n" + "\n".join(f"  {escape(line)}" for line in left))
        raise typer.Exit(1)
    console.print("[green]✓[/] Nothing is left but the Debian packages" + ("." if cache else " and the caches."))


def doctor(context: Context = None) -> None:
    """Say what is there, what is missing, and the fix for each."""
    choose(context)
    readings = examine()
    table = Table(box=None, pad_edge=False)
    for column in ("", "What", "Seen", "What to do"):
        table.add_column(column, overflow="fold")
    marks = {"ok": "[green]✓[/]", "note": "[yellow]•[/]", "missing": "[red]✗[/]"}
    for reading in readings:
        told = (reading.what, reading.seen, reading.fix if reading.state != "ok" else "")
        table.add_row(marks[reading.state], *map(escape, told))
    Console().print(table)
    if any(reading.state == "missing" for reading in readings):
        raise typer.Exit(1)
