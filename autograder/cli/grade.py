"""The command that grades a class."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from autograder.cli.again import unjudged, with_second_tries
from autograder.cli.chosen import check_course, check_students, chosen_labs, handed_in, sample_labs
from autograder.cli.ground import Context, Jobs, Sandbox, choose, choose_sandbox, forecast
from autograder.cli.handed import Handed
from autograder.facts import CannotCheck
from autograder.grading.grade import grade as grade_class
from autograder.grading.grade import grade_these
from autograder.grading.outcome import Outcome, Standing, Step
from autograder.grading.sample import sample
from autograder.grading.table import class_table, remarks
from autograder.ground.background import Background
from autograder.ground.progress import Board, duration
from autograder.ground.step import climb
from autograder.ground.up import LAYERS, docker_steps, needs_of
from autograder.labs import Lab
from autograder.sandbox import wanted
from autograder.sandbox.image import steps as sandbox_steps

BESIDE = " Beside the grading that begins now, it can take twice as long."
LEARNERS = 8  # in the sample class: some right, some wrong, some broken


def register(typed: typer.Typer) -> None:
    """Add this module's command."""
    typed.command()(grade)


def grade(
    course: Annotated[Path | None, typer.Option(help="Your nbgrader course. Without it: a sample class.")] = None,
    lab: Annotated[list[str] | None, typer.Option(help="Only this lab; may be given again.")] = None,
    student: Annotated[list[str] | None, typer.Option(help="Only this student; may be given again.")] = None,
    learners: Annotated[int, typer.Option(min=1, help="How many learners the sample class has.")] = LEARNERS,
    force: Annotated[bool, typer.Option(help="Grade again what has a grade.")] = False,
    jobs: Jobs = None,
    sandbox: Sandbox = None,
    context: Context = None,
) -> None:
    """Bring up what is missing and grade a class with nbgrader; run again, it grades what is missing."""
    choose(context)
    choose_sandbox(sandbox, context)
    # Those that need least come first: the ground of the others is brought up meanwhile.
    labs = chosen_labs(lab) if lab or course else sample_labs()
    if course:
        check_course(course, labs)
        check_students(course, student)
        labs = handed_in(course, labs)
    console = Console(soft_wrap=True)
    with Board(console) as board:
        graded = run(board, labs, course, student, learners, force, jobs)
    show(labs, graded)
    if not graded.complete:
        console.print("Not everything could be checked; the same command tries again what is missing.")
        raise typer.Exit(1)


@dataclass
class Graded:
    """Hold a graded class: last outcomes, what could not be graded at all, and when each grade came (seconds)."""

    last: dict[Handed, Outcome] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def outcomes(self) -> list[Outcome]:
        """Return the last outcome of each submission."""
        return list(self.last.values())

    @property
    def complete(self) -> bool:
        """Tell whether every submission that can be read has all its verdicts."""
        return not self.faults and not any(map(unjudged, self.outcomes))


def run(
    board: Board,
    labs: list[Lab],
    course: Path | None,
    students: list[str] | None,
    learners: int,
    force: bool,
    jobs: int | None = None,
) -> Graded:
    """Bring up what is missing and grade; labs whose ground cannot be had are told in `faults`."""
    started = time.monotonic()
    climb(docker_steps(), board.say)
    ground: dict[str, Background] = {}
    for layer in needs_of(labs)[1:]:  # each begins when the one below it is done, beside the grading
        later = layer not in needs_of(labs[:1])
        forecast(LAYERS[layer](), board, BESIDE if later else "")
        ground[layer] = Background(LAYERS[layer], board.say, after=next(reversed(ground.values()), None))
    if wanted():
        climb(sandbox_steps(), board.say)
    root = course or sample(slugs=[one.slug for one in labs], learners=learners)
    check_students(root, students)  # a sample class is there only now
    board.note(f"Grading [bold]{escape(str(root))}[/] with nbgrader")
    graded = Graded()

    def again(left: Sequence[Handed]) -> Iterator[Outcome]:
        return grade_these(root, left, progress=Teller(board), jobs=1)

    for one in labs:
        try:
            for layer in needs_of([one])[1:]:
                ground[layer].wait()
        except CannotCheck as fault:
            graded.faults.append(f"{one.slug} was not graded: {fault.cause.rstrip('.')}. {fault.fix}")
            continue
        first = grade_class(root, [one.slug], students, force, Teller(board), jobs=jobs)
        for outcome in with_second_tries(first, again):
            graded.last[outcome.student, outcome.slug] = outcome
            graded.times.append(time.monotonic() - started)
            why = f" [yellow]no grade yet:[/] {escape(outcome.line)}" if unjudged(outcome) else ""
            board.note(line(outcome, graded.times[-1]) + why)
    return graded


class Teller:
    """Tell what is being graded and how long it will still take, from what the submissions before took."""

    def __init__(self, board: Board):
        self.board = board

    def __call__(self, step: Step) -> None:
        left = f", about {duration(step.left)} left" if step.left is not None else ""
        now = escape(f"{step.student}: {step.doing}")
        self.board.doing(f"{step.slug} {step.done}/{step.total} done{left}; {now}")


def line(outcome: Outcome, since: float | None = None) -> str:
    """Return one line on one outcome; `since` is seconds since the start."""
    if outcome.standing is not Standing.GRADED:
        told = f"[yellow]{outcome.standing}[/]"
    else:
        told = f"{outcome.points:g}/{outcome.max_points:g}"
        told += f" [yellow]{len(outcome.errors)} could not be checked[/]" if outcome.errors else ""
    took = f"{outcome.seconds:.1f} s" if outcome.fresh else "graded before"
    took += f"; {duration(since)} since the start" if since is not None else ""
    return f"  {outcome.slug} {escape(outcome.student)}: {told} [dim]{took}[/]"


def show(labs: list[Lab], graded: Graded) -> None:
    """Print a table for each lab, then the lines that somebody must read."""
    console = Console()
    for one in labs:
        console.print()
        console.print(class_table(one.slug, graded.outcomes))
    for remark in [*remarks(graded.outcomes), *graded.faults]:
        console.print(f"• {remark}", highlight=False, markup=False)
