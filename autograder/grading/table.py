"""Show a graded class in the terminal: learner by check, and what attempts gave against what they must give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from autograder.checks import Result, Status
from autograder.grading.expecting import differences
from autograder.grading.outcome import Outcome, Standing
from autograder.labs import find_lab
from autograder.release.attempts import Attempt
from autograder.report import number

STYLES = {Status.PASS: "green", Status.FAIL: "red", Status.ERROR: "bold yellow"}
WORDS = {Status.PASS: "✓", Status.FAIL: "✗", Status.ERROR: "ERR"}


def class_table(slug: str, outcomes: Iterable[Outcome]) -> Group:
    """Return one lab's table: a row a learner, a numbered column a check, and below it what the numbers mean.

    The word and the points tell the verdict, the colour only repeats it. Names
    of checks do not fit above columns of a terminal, numbers do.
    """
    found = sorted((outcome for outcome in outcomes if outcome.slug == slug), key=lambda one: one.student)
    checks = find_lab(slug).checks
    rows = []
    for outcome in found:
        verdicts = {result.name: cell(result) for result in outcome.results}
        seconds = Text(f"{outcome.seconds:.0f}") if outcome.fresh else Text("kept", style="dim")
        judged = [verdicts.get(one.name, Text("-", style="dim")) for one in checks]
        rows.append([Text(outcome.student), _points(outcome), seconds, *judged])
    table = Table(title=f"{slug}: {find_lab(slug).title}", title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    headings = ["Learner", "Points", "Sec.", *map(str, range(1, len(checks) + 1))]
    for place, heading in enumerate(headings):
        # What does not fit is left out at the right: cut short, "✗0.5" would be read as "✗0".
        widest = max(len(heading), *(row[place].cell_len for row in rows)) if rows and place else 0
        justify = "left" if place == 0 else "right" if place < 3 else "center"
        table.add_column(heading, justify=justify, no_wrap=True, min_width=widest)
    for row in rows:
        table.add_row(*row)
    legend = ", ".join(f"{place} {one.name} ({number(one.points)})" for place, one in enumerate(checks, 1))
    return Group(table, Text(f"Checks (points): {legend}", style="dim"), Text(summary(found)))


def remarks(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the lines that an instructor has to read: what could not be graded, and why."""
    return [f"{outcome.student}, {outcome.slug}: {outcome.line}" for outcome in outcomes if outcome.line]


def cell(result: Result) -> Text:
    """Return one verdict: "✓2", "✗0.5" or "ERR"; fifteen fit into a line of 80 characters."""
    points = "" if result.status is Status.ERROR else number(result.points)
    return Text(f"{WORDS[result.status]}{points}", style=STYLES[result.status])


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return one line on a lab's outcomes, a fault of ours apart from a failed check."""
    results = [result for outcome in outcomes for result in outcome.results]
    count = {status: sum(result.status is status for result in results) for status in Status}
    parts = [f"{count[Status.PASS]} passed", f"{count[Status.FAIL]} failed", f"{count[Status.ERROR]} ERROR (no grade)"]
    for standing in (Standing.UNREADABLE, Standing.FAULT):
        if some := sum(outcome.standing is standing for outcome in outcomes):
            parts.append(f"{some} {'submission' if some == 1 else 'submissions'} {standing}")
    return f"{len(outcomes)} submissions, {sum(outcome.seconds for outcome in outcomes):.0f} s: {', '.join(parts)}"


def attempts_table(given: Iterable[tuple[str, Attempt, Outcome]]) -> Table:
    """Return a table of (slug, attempt, outcome): what each must give, and whether it did."""
    table = Table(title="Attempts: expected and given", title_justify="left")
    for heading in ("Lab", "Attempt", "Expected", "Given"):
        table.add_column(heading)
    for slug, attempt, outcome in given:
        expected = f"fails {', '.join(attempt.fails)}" if attempt.fails else "passes all"
        expected = "cannot be read" if attempt.edit == "not_json" else expected
        if outcome.standing is not Standing.GRADED:
            text = Text(outcome.line, style="green" if attempt.edit == "not_json" else "red")
        else:
            wrong = differences(attempt, outcome.results)
            text = Text("\n".join(map(str, wrong)) or "as expected", style="red" if wrong else "green")
        table.add_row(slug, attempt.name, expected, text)
    return table


def _points(outcome: Outcome) -> Text:
    if outcome.standing is not Standing.GRADED:
        return Text(outcome.standing.value, style="bold yellow")
    return Text(f"{number(outcome.points)}/{number(outcome.max_points)}")
