"""The command that looks for verdicts which flip."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autograder.checks import Status
from autograder.cli.chosen import chosen_labs
from autograder.cli.grade import line
from autograder.cli.ground import Context, Jobs, bring_up, bring_up_sandbox, choose, choose_sandbox
from autograder.cli.handed import Handed, grade_handed
from autograder.cli.together import Group, alone, grouped
from autograder.facts import CannotCheck
from autograder.grading.expecting import differences, expected
from autograder.grading.outcome import Outcome, Step
from autograder.grading.sample import each_once, sample
from autograder.grading.tally import Given, Tally, tally_of
from autograder.ground.progress import Board, duration
from autograder.ground.up import needs_of
from autograder.labs import course_root, find_lab
from autograder.release.attempts import Attempt
from autograder.release.handing_in import hand_in

console = Console(soft_wrap=True)


def register(typed: typer.Typer) -> None:
    """Add this module's command."""
    typed.command()(flaky)


def flaky(
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="How often each attempt is graded.")] = 20,
    lab: Annotated[list[str] | None, typer.Option(help="Only this lab; may be given again.")] = None,
    attempt: Annotated[list[str] | None, typer.Option(help="Only this attempt; may be given again.")] = None,
    quick: Annotated[bool, typer.Option(help="Only the attempts that CI grades.")] = False,
    jobs: Jobs = None,
    seed: Annotated[int | None, typer.Option(help="Repeat the order of an earlier run.")] = None,
    sandbox: Annotated[bool, typer.Option(help="In sandboxes, as strangers' work: slower.")] = False,
    together: Annotated[bool, typer.Option(help="Wrong answers to different tasks in one notebook.")] = False,
    afresh: Annotated[bool, typer.Option(help="Forget what earlier runs have counted.")] = False,
    context: Context = None,
) -> None:
    """Grade each attempt N times in random order and count verdicts that differ; one is a failure.

    Stopped anywhere, the same command goes on counting; an edit to what judges begins a new count.
    """
    choose(context)
    choose_sandbox(sandbox, context)
    labs = chosen_labs(lab)
    chosen = {
        at: one for at, one in each_once(labs).items()
        if (not attempt or one.name in attempt) and (one.quick or not quick)
    }  # fmt: skip
    if not chosen:
        raise CannotCheck("No attempt of that name.", "`ls solutions/*/attempts` lists them.")
    tally = tally_of(labs, sandbox)
    if afresh:
        tally.forget()
    before = counted(tally, chosen, n)
    seed = seed if seed is not None else time.time_ns() % 10**6
    if before:
        console.print(f"{before} of {n * len(chosen)} gradings were made by earlier runs; --afresh forgets them")
    if before < n * len(chosen):
        bring_up(needs_of(labs))
        if sandbox:
            bring_up_sandbox()
        grade_in_rounds(tally, chosen, grouped(chosen) if together else alone(chosen), n, jobs, random.Random(seed))
    table, differed, unexpected, unjudged = report(tally, chosen)
    console.print(table)
    done = counted(tally, chosen, n)
    console.print(f"{done} gradings of {len(chosen)} attempts in random order (seed {seed}): {differed} differed, "
                  f"{unexpected} not as expected; {unjudged} more could not be judged")  # fmt: skip
    if differed or unexpected or done < n * len(chosen):
        raise typer.Exit(1)


def grade_in_rounds(
    tally: Tally, chosen: Mapping[Handed, Attempt], groups: Sequence[Group], n: int, jobs: int | None,
    order: random.Random,
) -> None:  # fmt: skip
    """Grade until each attempt has been graded N times; each round is in a new order, labs among one another.

    The next round begins while the last ones of a round are graded, as some take minutes of waiting.
    """
    handed_in = {one.at: one for one in groups}
    before, started, total = counted(tally, chosen, n), time.monotonic(), n * len(chosen)

    def tell(step: Step) -> None:
        done = counted(tally, chosen, n)
        pace = (time.monotonic() - started) / max(1, done - before)
        left = f", about {duration(pace * (total - done))} left" if done > before else ""
        now = f"{step.slug} {handed_in[step.student, step.slug].name}: {escape(step.doing)}"
        board.doing(f"{done}/{total} done{left}; {now}")

    with Board(console) as board:
        root = sample(course_root() / "build" / "flaky", slugs=sorted({slug for _, slug in chosen}))
        for (learner, slug), one in handed_in.items():
            if len(one.members) > 1:  # the sample holds each attempt alone
                hand_in(find_lab(slug), one.attempt, root / "labs" / slug, root / "submitted" / learner / slug)
        waiting = [(one.at, one.attempt) for one in in_rounds(tally, groups, n, order)]
        for outcome in grade_handed(root, waiting, True, tell, jobs):
            one = handed_in[outcome.student, outcome.slug]
            for member in one.members:
                tally.add(outcome.slug, member, one.of(member, outcome), one.beside(member))
            if not expected(one.attempt, outcome):
                board.note(f"[red]✗[/] not as expected: {one.name} {line(outcome).strip()}")
                for said in evidence(root, one.attempt, outcome):
                    board.note(f"    {escape(said)}")


def in_rounds(tally: Tally, groups: Sequence[Group], n: int, order: random.Random) -> Iterator[Group]:
    """Yield each group as often as its least graded member needs, round after round, each in a new order."""
    lack = [max(tally.lacks(one.at[1], each.name, n) for each in one.members) for one in groups]
    for turn in range(max(lack), 0, -1):
        waiting = [one for one, times in zip(groups, lack, strict=True) if times >= turn]
        yield from order.sample(waiting, len(waiting))


def evidence(root: Path, attempt: Attempt, outcome: Outcome) -> list[str]:
    """Return what was seen where a verdict is not the expected one, and where the graded notebook is kept.

    A later round would write over that notebook, and a cause that comes once in a hundred times is not seen twice.
    """
    said = [str(one) for one in differences(attempt, outcome.results)] if outcome.results else [outcome.line]
    notebook = root / "autograded" / outcome.student / outcome.slug / f"{outcome.slug}.ipynb"
    if notebook.is_file():
        kept = root / "unexpected" / f"{outcome.slug}-{attempt.name}-{time.strftime('%m%d-%H%M%S')}.ipynb"
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(notebook, kept)
        said.append(f"kept: {kept}")
    return said


def counted(tally: Tally, chosen: Mapping[Handed, Attempt], n: int) -> int:
    """Return how many of the wanted gradings there are."""
    return sum(n - tally.lacks(slug, one.name, n) for (_, slug), one in chosen.items())


def report(tally: Tally, chosen: dict[Handed, Attempt]) -> tuple[Table, int, int, int]:
    """Return a line for each attempt, and how many gradings differ, are not as expected, could not be judged."""
    table = Table(box=None, pad_edge=False)
    for heading in ("Lab", "Attempt", "Graded", "Differ", "Unexpected", "Not judged"):
        table.add_column(heading, no_wrap=heading == "Attempt", overflow="fold")
    flips = unexpected = unjudged = 0
    for (_, slug), one in sorted(chosen.items(), key=lambda each: each[0][1]):
        given = tally.given(slug, one.name)
        judged = tally.judged(slug, one.name)
        most = usual(given)
        differing = {
            other: {name for name, verdict in by_check(other).items() if verdict != most[name]} for other in given
        }
        names = {name for found in differing.values() for name in found}
        flips += sum(given[other] for other, found in differing.items() if found)
        wrong = sum(times for other, times in given.items() if other.judged and not other.expected)
        missed = given.total() - judged
        unexpected += wrong
        unjudged += missed
        row = (judged, ", ".join(sorted(names)) or "none", wrong or "none", missed or "none")
        table.add_row(slug, one.name, *map(str, row))
    return table, flips, unexpected, unjudged


def usual(given: Counter[Given]) -> dict[str, object]:
    """Return what most of the outcomes say of each check."""
    votes: dict[str, Counter[object]] = defaultdict(Counter)
    for one, times in given.items():
        for name, verdict in by_check(one).items():
            votes[name][verdict] += times
    return {name: found.most_common(1)[0][0] for name, found in votes.items()}


def by_check(one: Given) -> dict[str, object]:
    """Return each check's verdict, how the grading itself ended, and which checks it judged in this company.

    What could not be judged is left out: only a verdict can be another one than usual.
    """
    found = {name: (status, points) for name, status, points in one.verdicts if status}
    if not found:
        return {"grading": one.verdicts[0][0]} if one.judged else {}
    whole = {"grading": "graded", "+".join(["checks", *one.beside]): frozenset(found)}
    return whole | {name: verdict for name, verdict in found.items() if verdict[0] != Status.ERROR}
