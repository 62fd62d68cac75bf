"""Keep what each grading of an attempt gave: counting takes days, and goes on where it stopped."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from os.path import relpath
from pathlib import Path
from typing import NamedTuple

from autograder.checks import Status
from autograder.grading.expecting import expected
from autograder.grading.outcome import Outcome, Standing
from autograder.ground.keys import key_of
from autograder.labs import Lab, checkout, course_root
from autograder.release.attempts import Attempt, attempts

Verdict = tuple[str, str, float]  # check, status, points
JUDGING = ("autograder", "docker", "k8s", "constraints.txt")  # below the checkout: what each verdict hangs on
COMMON = ("autograder", "docker/sandbox")  # of it, what runs, fences and enters every submission, whatever the lab
PROBES = "autograder.probes"  # but these only where one is used
NAME = re.compile(r"\w+(\.py)?")  # of a file or a lab
# They write what a person reads once the verdicts are there.
PAGES = tuple(f"autograder/grading/{name}" for name in ("feedback.py", "harmless.py", "pages/"))
# It brings a machine back after a fault; what is graded meanwhile is given no verdict.
REVIVING = ("autograder/ground/orphans.py",)
# They give no verdict on what another attempt hands in, or none at all.
ASIDE = ("autograder/cli", "autograder/grading/tally.py", *PAGES, *REVIVING, "/attempts/", "__pycache__", "README.md")
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Given(NamedTuple):
    """Hold what an attempt was given, and which others stood in the same notebook: their checks are left out."""

    expected: bool  # whether it is what the attempt's file says
    verdicts: tuple[Verdict, ...]
    beside: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether there were verdicts at all: a fault of ours gives none, and no grade."""
        return not any(
            status == Status.ERROR or (name, status) == (Standing.FAULT, "") for name, status, _ in self.verdicts
        )


class Tally:
    """Count verdicts in a file: a line for each outcome that an attempt was given, and how often.

    The file is part of the course: another machine goes on counting. `code` tells what
    each attempt of a lab is judged by today; what these labs were given by other code
    goes when the first of them is counted anew. `common` tells which code runs and fences
    every grading: after an edit to it, each attempt is graded once more at least.

    >>> tally = Tally(Path("docs/flaky.jsonl"), {("lab1_dockerfile", "reference"): "b01e85f"}, "sandbox", "0c12")
    >>> tally.lacks("lab1_dockerfile", "reference", 20)
    20
    """

    def __init__(self, path: Path, code: Mapping[tuple[str, str], str], where: str, common: str):
        self._path, self._code, self._where, self._common = path, code, where, common
        self._given: dict[tuple[str, str], Counter[tuple[str, Given]]] = defaultdict(Counter)
        self._others: list[str] = []  # of labs, or of a place, that are not counted now
        labs = {slug for slug, _ in code}
        for line in path.read_text().splitlines() if path.is_file() else ():
            with suppress(ValueError):  # half a line, of a file that was cut off
                one = json.loads(line)
                at = one["lab"], one["attempt"]
                if one["lab"] not in labs or one["where"] != where:
                    self._others.append(line)
                elif one["code"] == code.get(at):
                    found = tuple((name, status, points) for name, status, points in one["verdicts"])
                    given = Given(one["expected"], found, tuple(one.get("beside", ())))
                    self._given[at][one["common"], given] += one["times"]

    def forget(self) -> None:
        """Forget what was counted of these labs."""
        self._given.clear()
        self._write()

    def given(self, slug: str, attempt: str) -> Counter[Given]:
        """Return how often each outcome was given to an attempt."""
        found: Counter[Given] = Counter()
        for (_, one), times in self._given[slug, attempt].items():
            found[one] += times
        return found

    def judged(self, slug: str, attempt: str) -> int:
        """Return how many gradings of an attempt gave verdicts."""
        return sum(times for (_, one), times in self._given[slug, attempt].items() if one.judged)

    def lacks(self, slug: str, attempt: str, n: int) -> int:
        """Return how many gradings an attempt lacks of `n`, or of the one that it needs by today's common code."""
        today = any(common == self._common and one.judged for common, one in self._given[slug, attempt])
        return max(n - self.judged(slug, attempt), 0 if today else 1)

    def add(self, slug: str, attempt: Attempt, outcome: Outcome, beside: Sequence[str] = ()) -> None:
        """Count one more grading, and write it down."""
        given = Given(expected(attempt, outcome), verdicts(outcome), tuple(sorted(beside)))
        self._given[slug, attempt.name][self._common, given] += 1
        self._write()

    def _write(self) -> None:
        lines = [
            json.dumps({"lab": slug, "where": self._where, "attempt": attempt, "times": times,
                        "expected": one.expected, "code": self._code[slug, attempt], "common": common,
                        "verdicts": one.verdicts, **({"beside": one.beside} if one.beside else {})})
            for (slug, attempt), given in self._given.items() for (common, one), times in given.items()
        ]  # fmt: skip
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".unfinished")
        unfinished.write_text("".join(f"{line}\n" for line in sorted([*self._others, *lines])))
        unfinished.replace(self._path)  # at once: a run may be killed at any moment


def tally_of(labs: Sequence[Lab], sandbox: bool) -> Tally:
    """Return what has been counted for these labs, in sandboxes or outside."""
    where = "sandbox" if sandbox else "engine"
    code = {(lab.slug, name): digest for lab in labs for name, digest in code_of(lab).items()}
    return Tally(course_root() / "docs" / "flaky.jsonl", code, where, common_code())


def verdicts(outcome: Outcome) -> tuple[Verdict, ...]:
    """Return what must be the same each time: how it ended, and each check's status and points."""
    found = tuple((one.name, str(one.status), one.points) for one in outcome.results)
    return found or ((str(outcome.standing), "", 0.0),)


def code_of(lab: Lab) -> dict[str, str]:
    """Return by each attempt's name a digest of what only some verdicts hang on; an edit to it begins a new count."""
    judge = digest_of(judged_by(lab) - common(), lab.folder)
    return {one.name: key_of(judge, work_of(one)) for one in attempts(lab)}


def common_code() -> str:
    """Return a digest of the code that every grading runs."""
    return digest_of(common(), checkout())


def common() -> set[Path]:
    """Return the files that every grading runs, whatever the lab."""
    root = checkout()
    return {path for name in COMMON for path in files(root / name)} - set(files(root.joinpath(*PROBES.split("."))))


def digest_of(paths: set[Path], start: Path) -> str:
    """Return a digest of files: of what they say to Python, and of their places from `start` on."""
    parts: list[str | Path] = []
    for name, path in sorted((relpath(path, start), path) for path in paths):
        parts += [name, meaning(path.read_bytes()) if path.suffix == ".py" else path]
    return key_of(*parts)


def judged_by(lab: Lab) -> set[Path]:
    """Return the files that a lab's verdicts hang on.

    They are what judges every lab, the lab's own folder, and whichever probes and other labs these name.
    """
    root = checkout()
    probes, labs = root.joinpath(*PROBES.split(".")), root / "solutions"
    shared = {path for name in JUDGING for path in files(root / name)} - set(files(probes))
    waiting, found = [*shared, *files(lab.folder), probes / "__init__.py"], set()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for name in uses(path.read_bytes()) if path.suffix == ".py" else ():
            others = files(labs / name) if name != lab.slug else []
            waiting += [*files(probes / name), *(one for one in others if one.suffix == ".py")]
    return found


def files(place: Path) -> list[Path]:
    """Return the files at or below a place that may give a verdict on what another attempt hands in."""
    found = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place] * place.is_file()
    return [one for one in found if not any(aside in one.relative_to(place.parent).as_posix() for aside in ASIDE)]


@cache
def uses(source: bytes) -> frozenset[str]:
    """Return the files of the probes that a Python file imports, and the files and labs that it names.

    >>> sorted(uses(b"from autograder.probes import fences; unseen = find_lab('lab1_dockerfile').hidden"))
    ['fences.py', 'lab1_dockerfile', 'probes.py']
    """
    found: set[str] = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PROBES):
            found |= {f"{name}.py" for name in (node.module.rpartition(".")[2], *(one.name for one in node.names))}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
            found.add(node.value)
    return frozenset(found)


def work_of(attempt: Attempt) -> str:
    """Return what an attempt hands in and must be given: its title and whether CI grades it give no verdict."""
    return repr(replace(attempt, title="", quick=False, path=None))


@cache
def meaning(source: bytes) -> str:
    """Return what a Python file says to Python: its comments, docstrings and layout give no verdict."""
    return ast.dump(parsed(source))


@cache  # most files judge every lab
def parsed(source: bytes) -> ast.Module:
    """Return a Python file's tree without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False):
            del node.body[0]
    return tree
