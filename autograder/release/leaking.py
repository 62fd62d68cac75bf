"""Find answers and hidden checks in what learners get.

The scan does not trust the release: it reads lab.md, hidden.py and attempts/
again, and looks for each of their lines in the files of labs/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder.labs import Lab, course_root, syllabus
from autograder.release.attempts import ANSWER
from autograder.release.files import files
from autograder.release.lesson import BEGIN, END, Lesson
from autograder.release.steps.stubs import COMMENT

PYTHON = "# YOUR CODE HERE\nraise NotImplementedError()"  # nbgrader's own stub
SHORTEST = 5  # characters: shorter lines ("}", "EOF") say nothing


@dataclass(frozen=True)
class Leak:
    """Hold one secret line that was found: where it is, what it says, where it is from."""

    file: str
    line: str
    origin: str

    def __str__(self) -> str:
        return f"{self.file} holds a line of {self.origin}: {self.line!r}. Release the lab again; never edit labs/."


def leaks(root: Path | None = None) -> list[Leak]:
    """Return every line in labs/ that learners must not see; an empty list is good.

    A line is a secret if it stands in an answer, in hidden.py or in an attempt,
    and nowhere in what learners are given on purpose.
    """
    root = root or course_root()
    found = []
    for lab in syllabus():
        folder = root / "labs" / lab.slug
        secret = list(_secrets(lab))
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(root).as_posix()
            if path.name == "hidden.py" or "attempts" in path.relative_to(folder).parts:
                found.append(Leak(name, path.name, "solutions/"))
            text = readable(path)
            found += [Leak(name, line, origin) for line, origin in secret if line in text]
    return found


def _secrets(lab: Lab) -> Iterator[tuple[str, str]]:
    """Yield secret lines, each with the file it is from."""
    given, answers = _given(lab), _answers(lab)
    seen = set()

    def new(lines: list[str]) -> Iterator[str]:
        for line in (one.strip() for one in lines):
            if len(line) >= SHORTEST and line not in given and line not in seen:
                seen.add(line)
                yield line

    for line in new(answers):
        yield line, f"solutions/{lab.slug}/lab.md"
    for path in (lab.folder / "hidden.py", *sorted((lab.folder / "attempts").glob("*.md"))):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            blocks = [found["source"] for found in ANSWER.finditer(text)] if path.suffix == ".md" else [text]
            for line in new([line for block in blocks for line in block.splitlines()]):
                yield line, f"solutions/{lab.slug}/{path.relative_to(lab.folder).as_posix()}"


def _answers(lab: Lab) -> list[str]:
    return [line for line, secret in _marked(lab) if secret]


def _given(lab: Lab) -> str:
    """Return all text that learners get on purpose: lab.md without its answers, starter files, visible checks."""
    lesson = Lesson(lab)
    parts = [line for line, secret in _marked(lab) if not secret]
    parts += [readable(path) for path in files(lesson).values()]
    parts += [one.expects for one in lab.checks]
    parts += [COMMENT, PYTHON]  # an attempt may leave an answer as it was given
    return "\n".join(parts)


def _marked(lab: Lab) -> Iterator[tuple[str, bool]]:
    """Yield the lines of lab.md, each with whether it stands in a solution."""
    inside = False
    for line in Lesson(lab).text.splitlines():
        if BEGIN in line or END in line:
            inside = BEGIN in line
            continue
        yield line, inside


def readable(path: Path) -> str:
    """Return all text in a file; of a notebook every string in it, outputs and metadata included."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    if path.suffix != ".ipynb":
        return text
    try:
        return "\n".join(_strings(json.loads(text)))
    except ValueError:
        return text


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if all(isinstance(one, str) for one in value):
            yield "".join(value)  # a cell's source is a list of lines
        else:
            for one in value:
                yield from _strings(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _strings(one)
