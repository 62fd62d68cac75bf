"""Look for an author's mistakes before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

from nbformat import NotebookNode

from autograder.checks import Check
from autograder.release.lesson import BEGIN, END, NAME, Lesson
from autograder.release.problems import Problem
from autograder.release.steps.demands import DEMANDS, names


def review(notebook: NotebookNode, lesson: Lesson) -> list[Problem]:
    """Return all mistakes in a lab's text, in the order of their lines; none is an empty list."""
    checks = {one.name: one for one in lesson.lab.checks}
    found = [*_names(notebook, lesson), *_graded(notebook, lesson, checks), *_demands(notebook, lesson, checks)]
    for cell in notebook.cells:
        found += _solution(cell, lesson)
    return sorted(found, key=lambda problem: (problem.file.name, problem.line))


def _names(notebook: NotebookNode, lesson: Lesson) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    for cell in notebook.cells:
        line = cell.metadata.line
        named = [str(cell.metadata[kind]) for kind in ("answer", "check") if cell.metadata.get(kind) is not None]
        if len(named) > 1:
            yield Problem(lesson.path, line, "A cell is both answer and check.", "Make two cells of it.")
        for name in named:
            if not NAME.fullmatch(name):
                fix = "Use up to 64 letters, digits, _ and -, a letter first."
                yield Problem(lesson.path, line, f"{name!r} cannot be a cell's name.", fix)
            if name in lines:
                fix = "Give each answer and each check a name of its own."
                yield Problem(lesson.path, line, f"{name!r} already names the cell in line {lines[name]}.", fix)
            lines.setdefault(name, line)


def _graded(notebook: NotebookNode, lesson: Lesson, checks: dict[str, Check]) -> Iterator[Problem]:
    graded = {cell.metadata.check: cell for cell in notebook.cells if cell.metadata.get("check") is not None}
    for name, cell in graded.items():
        if name not in checks:
            fix = f"Write it in checks.py, or remove the cell. Checks there are: {', '.join(checks)}."
            yield Problem(lesson.path, cell.metadata.line, f"The graded cell {name!r} has no check.", fix)
        if cell.source.strip():
            fix = "Leave the cell empty: the release writes the line that calls the check."
            yield Problem(lesson.path, cell.metadata.line, f"The graded cell {name!r} has a text of its own.", fix)
    for name, one in checks.items():
        if name not in graded:
            code = one.judge.__code__
            fix = f"Put a code cell with `:check: {name}` into {lesson.path.name}."
            file = lesson.lab.folder / ("hidden.py" if one.hidden else "checks.py")
            yield Problem(file, code.co_firstlineno, f"The check {name!r} has no graded cell.", fix)


def _demands(notebook: NotebookNode, lesson: Lesson, checks: dict[str, Check]) -> Iterator[Problem]:
    for cell in notebook.cells:
        for found in DEMANDS.finditer(cell.source if cell.cell_type == "markdown" else ""):
            line = _first_line(cell, lesson) + cell.source[: found.start()].count("\n")
            for name in names(found["names"]):
                if name not in checks:
                    fix = f"Correct the name. Checks there are: {', '.join(checks)}."
                    yield Problem(lesson.path, line, f"The table of demands names {name!r}, which is no check.", fix)


def _solution(cell: NotebookNode, lesson: Lesson) -> Iterator[Problem]:
    """Yield what is wrong with a cell's SOLUTION markers."""
    first = _first_line(cell, lesson)
    opened, regions = 0, 0
    for number, text in enumerate(cell.source.splitlines(), first):
        if BEGIN in text:
            if opened:
                yield Problem(
                    lesson.path, number, f"{BEGIN} inside the solution begun in line {opened}.", f"Put {END}."
                )
            opened, regions = number, regions + 1
        elif END in text:
            if not opened:
                yield Problem(lesson.path, number, f"{END} without {BEGIN}.", f"Put {BEGIN} before the answer.")
            opened = 0
    if opened:
        yield Problem(lesson.path, opened, f"{BEGIN} without {END}.", f"Put {END} after the answer.")
    answer = cell.metadata.get("answer")
    if answer is not None and cell.cell_type == "code" and not regions:
        fix = f"Put ### {BEGIN} and ### {END} around what learners must find themselves."
        yield Problem(lesson.path, first, f"The answer {answer!r} has no solution that could be taken out.", fix)
    if answer is None and regions:
        fix = "Add a line `:answer: NAME` at the top of the cell."
        yield Problem(lesson.path, first, "A solution stands in a cell that is no answer.", fix)


def _first_line(cell: NotebookNode, lesson: Lesson) -> int:
    """Return the line on which a cell's source begins, below its options."""
    lines = lesson.text.splitlines()
    head = cell.source.split("\n", 1)[0]
    start = cell.metadata.line
    return next((n for n in range(start, min(start + 20, len(lines) + 1)) if lines[n - 1] == head), start)
