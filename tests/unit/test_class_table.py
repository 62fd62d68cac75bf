"""What an instructor reads: a class in the terminal, learner by check."""

import io

import pytest
from rich.console import Console

from autograder.checks import Result, Status
from autograder.grading.outcome import Outcome, Standing
from autograder.grading.table import class_table
from autograder.labs import find_lab, syllabus

SLUGS = [lab.slug for lab in syllabus()]


def shown(slug: str, **given: Status) -> str:
    """Return the table of a class in which each learner has one status at the first check, and PASS at the others."""
    outcomes = []
    for student, status in given.items():
        judged = [(one, Status.PASS if place else status) for place, one in enumerate(find_lab(slug).checks)]
        points = {Status.PASS: lambda one: one.points, Status.FAIL: lambda one: one.points / 2}
        results = [
            Result(one.name, which, points.get(which, lambda one: 0)(one), one.points, "", "") for one, which in judged
        ]
        outcomes.append(Outcome(student, slug, Standing.GRADED, "", tuple(results), seconds=163.2))
    screen = Console(file=io.StringIO(), width=80)
    screen.print(class_table(slug, outcomes))
    return screen.file.getvalue()


@pytest.mark.parametrize("slug", SLUGS)
def test_a_lab_fits_into_a_terminal_of_80_characters_with_every_point(slug: str):
    checks = find_lab(slug).checks
    half = f"✗{checks[0].points / 2:g}"
    lines = shown(slug, ada=Status.PASS, bela=Status.FAIL, chen=Status.ERROR).splitlines()
    rows = {line.split()[0]: line.split()[3:] for line in lines if line.split()[:1] in (["ada"], ["bela"], ["chen"])}
    good = [f"✓{one.points:g}" for one in checks]
    assert rows == {"ada": good, "bela": [half, *good[1:]], "chen": ["ERR", *good[1:]]}


def test_a_fault_of_ours_is_counted_apart():
    said = shown("lab1_dockerfile", ada=Status.FAIL, bela=Status.ERROR)
    assert "1 failed, 1 ERROR (no grade)" in said
