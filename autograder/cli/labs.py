"""The commands for labs: release, attempts, reset."""

from __future__ import annotations

import random
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from autograder.cli.chosen import chosen_labs
from autograder.cli.grade import Teller, line
from autograder.cli.ground import Context, Jobs, bring_up, bring_up_sandbox, choose, choose_sandbox
from autograder.cli.handed import Handed, grade_handed
from autograder.facts import Place
from autograder.grading.expecting import expected
from autograder.grading.outcome import Outcome
from autograder.grading.sample import each_once, sample
from autograder.grading.table import attempts_table
from autograder.grading.tally import tally_of
from autograder.ground.progress import Board
from autograder.ground.reset import reset as undo
from autograder.ground.up import needs_of
from autograder.labs import course_root
from autograder.release.leaking import leaks
from autograder.release.releasing import drift, release_all

console = Console(soft_wrap=True)


def register(typed: typer.Typer) -> None:
    """Add this module's commands."""
    typed.command()(release)
    typed.command()(reset)
    typed.command()(attempts)


def release(
    check: bool = typer.Option(False, help="Write nothing; fail if labs/ is not what solutions/ makes."),
) -> None:
    """Generate labs/ from solutions/, and see that no answer got into it."""
    root = course_root()
    differing = drift(root) if check else []
    if not check:
        for folder in release_all(root):
            console.print(f"[green]✓[/] {folder.relative_to(root)}")
    found = leaks(root)
    for path in differing:
        console.print(f"[red]✗[/] {escape(str(path))} is not what solutions/ makes: run `make labs` and commit it")
    for leak in found:
        console.print(f"[red]✗[/] {escape(str(leak))}")
    if differing or found:
        raise typer.Exit(1)


def reset(slug: Annotated[str, typer.Argument(help="The lab's name.")], context: Context = None) -> None:
    """Undo what a lab made on engine and cluster; files in labs/ stay."""
    choose(context)
    chosen = chosen_labs([slug])[0]
    for what in undo(chosen.seen.MADE, Place(work=chosen.folder)):
        console.print(f"  removed {escape(what)}")
    console.print(f"[green]✓[/] {slug} is as before its first cell.")


def attempts(
    lab: Annotated[list[str] | None, typer.Option(help="Only this lab; may be given again.")] = None,
    jobs: Jobs = None,
    resume: Annotated[bool, typer.Option(help="Go on with a run that was interrupted.")] = False,
    sandbox: Annotated[bool, typer.Option(help="In sandboxes, as strangers' work: then several at once.")] = False,
    context: Context = None,
) -> None:
    """Grade every attempt of every lab: expected against given verdict; any difference fails."""
    choose(context)
    choose_sandbox(sandbox, context)
    chosen = chosen_labs(lab)
    bring_up(needs_of(chosen))
    if sandbox:
        bring_up_sandbox()
    last: dict[Handed, Outcome] = {}
    with Board(console) as board:
        root = sample(course_root() / "build" / "attempts", slugs=[one.slug for one in chosen])
        handed, tally = each_once(chosen), tally_of(chosen, sandbox)
        # In an order of no meaning, but the same each time: while one lab's submission waits, another's works.
        mixed = random.Random(0).sample(list(handed.items()), len(handed))

        for outcome in grade_handed(root, mixed, not resume, Teller(board), jobs):
            at = outcome.student, outcome.slug
            if outcome.fresh:
                tally.add(outcome.slug, handed[at], outcome)
            mark = "[green]✓[/]" if expected(handed[at], outcome) else "[red]✗[/]"
            board.note(f"{mark} {handed[at].name} {line(outcome).strip()}")
            last[at] = outcome
    given = [(slug, handed[who, slug], last[who, slug]) for who, slug in sorted(last, key=lambda at: at[1])]
    wrong = sum(not expected(attempt, outcome) for _, attempt, outcome in given)
    Console().print(attempts_table(given))
    console.print(f"{len(given)} attempts, {wrong} not as expected")
    if wrong:
        raise typer.Exit(1)
