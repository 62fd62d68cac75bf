"""The command that prints the figures."""

from __future__ import annotations

import io
import os
import shutil
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table

from autograder import versions
from autograder.cli import bench_cells, bench_kubeflow, bench_sandbox
from autograder.cli.chosen import sample_labs
from autograder.cli.grade import LEARNERS, Graded, run
from autograder.facts import CannotCheck
from autograder.ground import cluster, engine, node
from autograder.ground.down import down
from autograder.ground.progress import Board, duration
from autograder.ground.shell import run as shell
from autograder.ground.step import cache_dir, climb, tools
from autograder.ground.up import all_steps, docker_steps, needs_of
from autograder.labs import checkout, syllabus
from autograder.sandbox.image import steps as sandbox_steps

Figure = tuple[str, str]
PARTS = ("grading", "warm", "sandboxes", "cluster", "addons", "steps", "cells", "push", "room")
NOTEBOOKS = 12  # in the class on which sandboxes are measured


def register(typed: typer.Typer) -> None:
    """Add this module's command."""
    typed.command()(bench)


def bench(
    cold: bool = typer.Option(False, help="Remove everything first, caches too: about 20 minutes."),
    learners: int = typer.Option(LEARNERS, help="How many learners the class has."),
    only: Annotated[str | None, typer.Option(help=f"One part: {', '.join(PARTS)}.")] = None,
) -> None:
    """Print the figures: bare machine (--cold) or warm, checks, sandboxes, cluster, Kubeflow, push, memory, disk."""
    if only not in (None, *PARTS):
        raise CannotCheck(f"There is no part {only!r}.", f"Parts: {', '.join(PARTS)}.")
    console = Console(soft_wrap=True)
    table = Table("Figure", "Value", box=None, pad_edge=False)
    with Board(console) as board, tempfile.TemporaryDirectory() as scratch:
        if cold:
            down(lambda what: board.note(f"  removing {what}"), cache=True)
            os.environ["GOCACHE"] = f"{scratch}/go"  # packages that an earlier build left would flatter us
        parts: dict[str, Callable[[], Iterator[Figure]]] = {
            "grading": lambda: grading(board, Path(scratch), cold, learners),
            "warm": warm,
            "sandboxes": lambda: sandboxes(board, Path(scratch)),
            "cluster": lambda: creation(Path(scratch)),
            "addons": lambda: bench_kubeflow.addons(cold),
            "steps": lambda: bench_kubeflow.overhead(Path(scratch)),
            "cells": lambda: cells(board, Path(scratch)),
            "push": push,
            "room": room,
        }
        for name, figures in parts.items():
            if only in (None, name):
                for figure in figures():
                    table.add_row(*figure)
    console.print(table)


def grading(board: Board, scratch: Path, cold: bool, learners: int) -> Iterator[Figure]:
    """Grade a fresh sample class."""
    from autograder.grading.sample import sample

    graded: Graded = Graded()
    if cold:
        graded = run(board, sample_labs(), None, None, learners, force=True)
        yield "bare machine to first grade", duration(graded.times[0])
        yield "bare machine to last grade", duration(graded.times[-1])
        for name, seconds in board.times.items():
            yield f"  {name}", duration(seconds)
    else:
        climb(all_steps(needs_of(sample_labs())), board.say)
        graded = run(board, sample_labs(), sample(scratch / "class", learners=learners), None, learners, force=False)
        yield "warm machine to first grade", duration(graded.times[0])
        yield "warm machine to last grade", duration(graded.times[-1])
    for one in sample_labs():
        took = [outcome.seconds for outcome in graded.outcomes if outcome.slug == one.slug and outcome.results]
        yield f"{one.slug}: a submission", spread(took)
        for name in (check.name for check in one.checks):
            seconds = [r.seconds for o in graded.outcomes if o.slug == one.slug for r in o.results if r.name == name]
            yield f"  {name}", spread(seconds)


def spread(seconds: list[float]) -> str:
    """Return median and range of some times.

    >>> spread([1.0, 2.0, 9.0])
    '2.0 s (1.0 to 9.0, n=3)'
    """
    if not seconds:
        return "none"
    return f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}, n={len(seconds)})"


def warm() -> Iterator[Figure]:
    """Time looking whether everything is there."""
    started = time.monotonic()
    for step in all_steps(needs_of(sample_labs())):
        step.ready()
    yield "warm start (all steps looked at)", f"{time.monotonic() - started:.2f} s"


def sandboxes(board: Board, scratch: Path) -> Iterator[Figure]:
    """Compare with plain nbgrader; see bench_sandbox."""
    climb([*docker_steps(), *sandbox_steps()], board.say)
    yield from bench_sandbox.figures(scratch, NOTEBOOKS, board.doing)


def cells(board: Board, scratch: Path) -> Iterator[Figure]:
    """Time the cells of each lab's own answer; see bench_cells."""
    climb([*all_steps(needs_of(syllabus())), *sandbox_steps()], board.say)
    yield from bench_cells.figures(scratch / "cells", board.doing)


def creation(scratch: Path) -> Iterator[Figure]:
    """Create and delete a second cluster of the same image."""
    settings = yaml.safe_load((cache_dir() / "kind.yaml").read_text())
    file = scratch / "kind.yaml"
    file.write_text(yaml.safe_dump(settings))
    kind = tools() / "kind"
    kubeconfig = ["--kubeconfig", scratch / "kubeconfig"]
    started = time.monotonic()
    try:
        shell([kind, "create", "cluster", "--name", "shipyard-bench", "--image", node.reference(), "--config", file,
               "--wait", "120s", *kubeconfig])  # fmt: skip
        yield "cluster create, node Ready", f"{time.monotonic() - started:.1f} s"
    finally:
        shell([kind, "delete", "cluster", "--name", "shipyard-bench", *kubeconfig])


def push() -> Iterator[Figure]:
    """Build the model server with one line of code changed, and push what is new of it."""
    client = engine.client(timeout=300)
    name = f"localhost:{versions.REGISTRY_PORT}/bench"
    for turn in ("first", "changed"):
        with tempfile.TemporaryDirectory() as scratch:
            context = Path(shutil.copytree(checkout() / "docker" / "model-server", Path(scratch) / "context"))
            with (context / "digits_server" / "app.py").open("a") as code:
                code.write(f"# {turn} {time.time_ns()}\n")
            started = time.monotonic()
            client.images.build(fileobj=packed(context), custom_context=True, tag=f"{name}:{turn}")
            built = time.monotonic()
            answer = client.images.push(name, tag=turn)
            pushed = time.monotonic()
            if '"error"' in answer:
                raise CannotCheck(f"the image could not be pushed: {answer[-200:]}")
        yield f"model image, {turn}: build", f"{built - started:.2f} s"
        yield f"model image, {turn}: push", f"{pushed - built:.2f} s"
    for turn in ("first", "changed"):
        client.images.remove(f"{name}:{turn}", force=True)


def packed(folder: Path) -> io.BytesIO:
    """Return a build context as a tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(folder, ".")
    data.seek(0)
    return data


def room() -> Iterator[Figure]:
    """Read the node's memory, and the disk that engine and caches take."""
    client = engine.client(timeout=120)
    used = client.containers.get(cluster.NODE).stats(stream=False)["memory_stats"]
    inactive = used["stats"].get("total_inactive_file", used["stats"].get("inactive_file", 0))
    yield "memory of the node", f"{(used['usage'] - inactive) / 2**20:.0f} MiB"
    yield "disk: image layers in the engine", f"{client.df()['LayersSize'] / 2**30:.1f} GiB"
    cached = sum(path.stat().st_size for path in cache_dir().rglob("*") if path.is_file() and not path.is_symlink())
    yield "disk: our cache", f"{cached / 2**30:.1f} GiB"
