"""Read attempts: right and wrong answers to a lab, from which tests and the sample class are made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from autograder.labs import Lab
from autograder.release.lesson import Lesson, line_of
from autograder.release.problems import Problem, ReleaseError

KINDS = ("right", "wrong", "broken")
EDITS = ("empty_notebook", "delete_checks", "not_json")
FRONT = {"title": str, "kind": str, "fails": dict, "edit": str, "quick": bool, "alone": bool, "seconds": int}
SPOKEN = {str: "words", dict: "`check: words of its hint`, a line each", bool: "true or false", int: "a whole number"}
ANSWER = re.compile(
    r"^(?P<fence>`{3,})\{answer\}[ \t]+(?P<name>\S+)[ \t]*\n(?P<source>.*?)^(?P=fence)[ \t]*$", re.M | re.S
)


@dataclass(frozen=True)
class Attempt:
    """Hold one attempt: what it answers, and what judging it must give.

    `fails` maps a check's name to a piece of text that its hint or observation
    must hold; every check that is not listed must pass. `edit` breaks the
    notebook of a broken attempt. A `quick` one is graded in CI's time, all of
    them by `make test-all`; no cell and no build of it may take longer than
    `seconds`. One that is `alone` changes how another mistake shows: it never
    stands in one notebook with others.
    """

    name: str
    title: str
    kind: str
    fails: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    edit: str = ""
    quick: bool = False
    alone: bool = False
    seconds: int = 240
    path: Path | None = None


REFERENCE = Attempt("reference", "The lab's own answer", "right", quick=True)


def attempts(lab: Lab) -> list[Attempt]:
    """Return a lab's attempts, the reference first, then by file name.

    Raises ReleaseError, naming file and line, for one that cannot be read.
    """
    return [REFERENCE, *(read(path, lab) for path in sorted((lab.folder / "attempts").glob("*.md")))]


def read(path: Path, lab: Lab) -> Attempt:
    """Read one attempt's file. Raises ReleaseError."""
    text = path.read_text(encoding="utf-8")
    head = re.match(r"---\n(.*?)\n---\s*\n", text, re.DOTALL)
    try:
        front = yaml.safe_load(head.group(1)) if head else None
    except yaml.YAMLError as error:
        raise ReleaseError([Problem(path, 1, "The front matter is not YAML.", f"Correct it: {error}")]) from None
    front = front if isinstance(front, dict) else {}
    problems = list(_misspelt(front, path))
    listed = front.get("fails")
    fails = {str(name): str(piece) for name, piece in listed.items()} if isinstance(listed, dict) else {}
    answers = {found["name"]: found["source"].rstrip("\n") for found in ANSWER.finditer(text)}
    title, kind, edit = (str(front.get(name) or "") for name in ("title", "kind", "edit"))
    quick, alone = (front.get(name) is True for name in ("quick", "alone"))
    seconds = front.get("seconds", Attempt.seconds)
    attempt = Attempt(path.stem, title, kind, fails, answers, edit, quick, alone, seconds, path)
    if problems := problems or _problems(attempt, lab):
        raise ReleaseError(problems)
    return attempt


def _misspelt(front: dict[str, object], path: Path) -> Iterator[Problem]:
    """Yield what of the front matter has a name or a form that nobody reads."""
    for name, value in front.items():
        line = line_of(path, f"{name}:")
        if name not in FRONT:
            yield Problem(path, line, f"Nothing reads {name!r}.", f"Names there are: {', '.join(FRONT)}.")
        elif not isinstance(value, FRONT[name]):
            yield Problem(path, line, f"{name} is {value!r}.", f"Write {SPOKEN[FRONT[name]]}.")


def _problems(attempt: Attempt, lab: Lab) -> list[Problem]:
    path, found = attempt.path, []

    def problem(at: str, what: str, fix: str) -> None:
        found.append(Problem(path, line_of(path, at), what, fix))

    if not attempt.title:
        problem("---", "The attempt has no title.", "Add `title: ...` to the front matter.")
    if attempt.kind not in KINDS:
        problem("kind:", f"kind is {attempt.kind!r}.", f"Use one of {', '.join(KINDS)}.")
    if attempt.edit and attempt.edit not in EDITS:
        problem("edit:", f"edit is {attempt.edit!r}.", f"Use one of {', '.join(EDITS)}.")
    if attempt.seconds <= 0:
        problem("seconds:", f"seconds is {attempt.seconds}.", "Write a number above 0.")
    if attempt.kind == "wrong" and not attempt.fails:
        problem(
            "kind:", "A wrong attempt fails nothing.", "List under `fails:` which checks fail, and with which words."
        )
    if attempt.kind == "right" and attempt.fails:
        problem("fails:", "A right attempt lists failing checks.", "Remove `fails:`, or make it `kind: wrong`.")
    checks = [one.name for one in lab.checks]
    for name in attempt.fails:
        if name not in checks:
            problem(f"{name}:", f"{name!r} is no check of this lab.", f"Checks there are: {', '.join(checks)}.")
    cells = Lesson(lab).notebook().cells
    known = [cell.metadata["answer"] for cell in cells if "answer" in cell.metadata]
    for name in re.findall(r"^`{3,}\{answer\}[ \t]+(\S+)", path.read_text(encoding="utf-8"), re.M):
        if name not in attempt.answers:
            problem(f"}} {name}", f"The answer {name!r} does not end.", "Close it with a line of backticks.")
    for name in attempt.answers:
        if name not in known:
            problem(f"}} {name}", f"{name!r} is no answer of this lab.", f"Answers there are: {', '.join(known)}.")
    return found
