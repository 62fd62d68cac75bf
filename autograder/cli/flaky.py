"""The command that looks for verdicts which flip."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from autograder.cli.chosen import chosen_labs
from autograder.cli.ground import Context, bring_up, bring_up_sandbox, choose, choose_sandbox
from autograder.facts import CannotCheck
from autograder.grading.grade import grade
from autograder.grading.outcome import Outcome, Step
from autograder.grading.sample import each_once, sample
from autograder.ground.progress import Board, duration
from autograder.ground.up import needs_of
from autograder.labs import course_root

Verdicts = tuple[tuple[str, str, float], ...]


def register(typed: typer.Typer) -> None:
    """Add this module's command."""
    typed.command()(flaky)


def flaky(
    n: Annotated[int, typer.Option("--n", "-n", min=2, help="How often each attempt is graded.")] = 20,
    lab: Annotated[list[str] | None, typer.Option(help="Only this lab; may be given again.")] = None,
    attempt: Annotated[list[str] | None, typer.Option(help="Only this attempt; may be given again.")] = None,
    quick: Annotated[bool, typer.Option(help="Only the attempts that CI grades.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Grade so many at once. Without it: what fits.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat the order of an earlier run.")] = None,
    sandbox: Annotated[bool, typer.Option(help="In sandboxes, as strangers' work: slower.")] = False,
    context: Context = None,
) -> None:
    """Grade each attempt N times in random order and count verdicts that differ; one is a failure."""
    choose(context)
    choose_sandbox(sandbox, context)
    labs = chosen_labs(lab)
    chosen = {
        at: one for at, one in each_once(labs).items()
        if (not attempt or one.name in attempt) and (one.quick or not quick)
    }  # fmt: skip
    if not chosen:
        raise CannotCheck("No attempt of that name.", "`ls solutions/*/attempts` lists them.")
    bring_up(needs_of(labs))
    if sandbox:
        bring_up_sandbox()
    seed = seed if seed is not None else time.time_ns() % 10**6
    order = random.Random(seed)
    given: dict[tuple[str, str], Counter[Verdicts]] = defaultdict(Counter)
    console, started, number, total = Console(), time.monotonic(), 0, n * len(chosen)

    def tell(step: Step) -> None:
        left = f", about {duration((time.monotonic() - started) / number * (total - number))} left" if number else ""
        board.doing(f"{number}/{total} done{left}; {step.slug} {chosen[step.student, step.slug].name}: {step.doing}")

    with Board(Console(soft_wrap=True)) as board:
        root = sample(course_root() / "build" / "flaky", slugs=[one.slug for one in labs])
        for _ in range(n):
            for one in order.sample(labs, len(labs)):
                learners = [learner for learner, slug in chosen if slug == one.slug]
                order.shuffle(learners)
                for outcome in grade(root, [one.slug], learners, force=True, progress=tell, jobs=jobs):
                    given[outcome.student, one.slug][verdicts(outcome)] += 1
                    number += 1
    table = Table("Lab", "Attempt", "Graded", "Verdicts that differ", box=None, pad_edge=False)
    flips = 0
    for at, one in chosen.items():
        usual = given[at].most_common(1)[0][0]
        differing = {name for other in given[at] for name, *_ in set(other) ^ set(usual)}
        flips += given[at].total() - given[at][usual]
        table.add_row(at[1], one.name, str(given[at].total()), ", ".join(sorted(differing)) or "none")
    console.print(table)
    console.print(f"{number} gradings of {len(chosen)} attempts in random order (seed {seed}): {flips} differed")
    if flips:
        raise typer.Exit(1)


def verdicts(outcome: Outcome) -> Verdicts:
    """Return what must be the same each time: how it ended, and each check's status and points."""
    found = tuple((one.name, str(one.status), one.points) for one in outcome.results)
    return found or ((str(outcome.standing), "", 0.0),)
