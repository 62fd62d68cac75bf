"""The commands that follow grading: regrade, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from autograder.cli.chosen import check_names, check_students, chosen_labs, handed_in
from autograder.cli.grade import Teller
from autograder.cli.ground import Context, Jobs, Sandbox, bring_up, bring_up_sandbox, choose, choose_sandbox
from autograder.facts import CannotCheck
from autograder.grading.export import FORMATS
from autograder.grading.gradebook import address, open_gradebook
from autograder.grading.regrade import Review, worth
from autograder.grading.regrade import regrade as judge_again
from autograder.grading.regrade import write as write_down
from autograder.grading.troubles import explain
from autograder.ground.progress import Board
from autograder.ground.up import needs_of
from autograder.labs import course_root
from autograder.sandbox import wanted

console = Console(soft_wrap=True)
Course = Annotated[Path | None, typer.Option(help="Your nbgrader course. Without it: the sample class.")]
Labs = Annotated[list[str] | None, typer.Option(help="Only this lab; may be given again.")]
Students = Annotated[list[str] | None, typer.Option(help="Only this student; may be given again.")]


def register(typed: typer.Typer) -> None:
    """Add this module's commands."""
    typed.command()(regrade)
    typed.command()(export)


def regrade(
    course: Course = None,
    lab: Labs = None,
    student: Students = None,
    check: Annotated[list[str] | None, typer.Option(help="Only this check; may be given again.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write the changes; without it they are only shown.")] = False,
    jobs: Jobs = None,
    sandbox: Sandbox = None,
    context: Context = None,
) -> None:
    """Judge graded submissions again after a check was corrected: show who changes and why; --yes writes it."""
    choose(context)
    choose_sandbox(sandbox, context)
    root = folder(course)
    check_students(root, student)
    try:
        chosen = handed_in(root, chosen_labs(lab))
        if any(one.needs for one in chosen):
            bring_up(needs_of(chosen))
            if wanted():
                bring_up_sandbox()
        with Board(console) as board:
            slugs = [one.slug for one in chosen]
            reviews = list(judge_again(root, slugs, student, check, Teller(board), jobs))
    except KeyError as unknown:
        raise CannotCheck(unknown.args[0], "Name one of these.") from None
    changed = tell(reviews)
    if changed and not yes:
        console.print("Nothing was written; the same command with --yes writes these changes.")
    elif changed:
        lines = write_down(root, changed)
        for line in lines:
            console.print(f"[yellow]•[/] {escape(line)}", highlight=False)
        console.print(f"[green]✓[/] {len(changed) - len(lines)} of {len(changed)} submissions are regraded.")
        if lines:
            raise typer.Exit(1)


def tell(reviews: list[Review]) -> list[Review]:
    """Print what changes and what was left alone; return the submissions that change."""
    changed = [review for review in reviews if review.changes]
    for review in sorted(changed, key=lambda one: (one.slug, one.student)):
        for change in review.changes:
            head = f"{change.student}, {change.slug}, {change.check}: {worth(change.old)} -> {worth(change.new)}"
            console.print(head,
                          highlight=False, markup=False, style="bold")  # fmt: skip
            console.print(f"  before: {change.old.observed}", highlight=False, markup=False)
            console.print(f"  now:    {change.new.observed}", highlight=False, markup=False)
            if change.by_hand is not None:
                console.print(f"  a person gave {change.by_hand:g}: that stays, and is marked to be looked at")
    for review in reviews:
        if review.line:
            console.print(f"• {review.student}, {review.slug}: {review.line}", highlight=False, markup=False)
    same = sum(not review.changes and not review.line for review in reviews)
    console.print(f"{len(reviews)} submissions looked at: {len(changed)} change, {same} stay as they are.")
    return changed


def export(
    to: Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)],
    course: Course = None,
    form: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "csv",
    lab: Labs = None,
    student: Students = None,
) -> None:
    """Write the grades to a CSV file: for people, for Canvas or for Moodle."""
    if form not in FORMATS:
        raise CannotCheck(f"There is no format called {form}.", f"Take one of {', '.join(FORMATS)}.")
    root = folder(course)
    database = address(root)
    if database.startswith("sqlite:///") and not Path(database.removeprefix("sqlite:///")).is_file():
        raise CannotCheck(f"{root} has no gradebook yet.", "Grade it first: `shipyard grade`.")
    try:
        with open_gradebook(root) as gradebook:
            check_names("assignment", lab, (one.name for one in gradebook.assignments))
            check_names("student", student, (one.id for one in gradebook.students))
            FORMATS[form](to=str(to), assignment=lab or [], student=student or []).export(gradebook)
    except OSError as fault:  # of that file; what is wrong with the gradebook is none
        cause = f"{to} cannot be written: {fault.strerror or fault}."
        raise CannotCheck(cause, "Name a file in a folder that is there and yours, on a disk with room.") from None
    except Exception as fault:
        if known := explain(str(fault)):
            raise CannotCheck(f"Nothing was exported: {known}.", "Then export again.") from None
        raise
    console.print(f"[green]✓[/] {escape(str(to))}")


def folder(course: Path | None) -> Path:
    """Return the folder of a course. Raises CannotCheck where it is none."""
    root = (course or course_root() / "build" / "class").resolve()
    if not (root / "nbgrader_config.py").is_file():
        raise CannotCheck(f"{root} is no course of nbgrader's.", "Give one with --course, or run `shipyard grade`.")
    return root
