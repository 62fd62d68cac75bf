"""Measure where a learner waits: the cells of each lab's own answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from autograder.facts import CannotCheck
from autograder.grading.grade import grade
from autograder.grading.sample import each_once, sample
from autograder.labs import Lab, syllabus
from autograder.probes.training import moment

Figure = tuple[str, str]
SLOWEST = 3  # cells of a lab that are shown


def figures(root: Path, doing: Callable[[str], None]) -> Iterator[Figure]:
    """Grade each lab's own answer; yield how long its notebook took, and its slowest cells."""
    labs = syllabus()
    sample(root, slugs=[lab.slug for lab in labs])
    for lab in labs:
        doing(f"{lab.slug}: its own answer")
        took = sorted(cells(root, lab), reverse=True)
        yield f"{lab.slug}: its cells together", f"{sum(seconds for seconds, _ in took):.0f} s"
        for seconds, line in took[:SLOWEST]:
            yield f"  {line}", f"{seconds:.0f} s"


def cells(root: Path, lab: Lab) -> Iterator[tuple[float, str]]:
    """Yield for each cell of a lab's own answer how many seconds it took, and its first line that says what it does."""
    learner = next(learner for (learner, _), one in each_once([lab]).items() if one.name == "reference")
    outcome = next(iter(grade(root, [lab.slug], [learner], force=True)))
    if not outcome.results:
        raise CannotCheck(f"{lab.slug} could not be graded: {outcome.line}")
    graded = root / "autograded" / learner / lab.slug / f"{lab.slug}.ipynb"
    for cell in json.loads(graded.read_text())["cells"]:
        if told := cell["metadata"].get("execution"):
            took = moment(told["shell.execute_reply"]) - moment(told["iopub.execute_input"])
            yield took.total_seconds(), telling("".join(cell["source"]))


def telling(source: str) -> str:
    """Return the line of a cell that says what it does.

    >>> telling("import time\\n\\n# wait\\ntime.sleep(3)")
    'time.sleep(3)'
    """
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    busy = [line for line in lines if not line.startswith(("import ", "from ", "#", "%%", "def "))]
    return (busy or lines or [""])[0][:60]
