"""Read a lab's lab.md: its front matter and its cells, each with the line it stands on."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml
from nbformat import NotebookNode

from autograder.labs import Lab
from autograder.release.problems import Problem, ReleaseError

BEGIN, END = "BEGIN SOLUTION", "END SOLUTION"  # nbgrader's own words
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Lesson:
    """Hold a lab's text.

    >>> Lesson(find_lab("lab1_dockerfile")).learner_files  # doctest: +SKIP
    ['app/Dockerfile', 'app/.dockerignore']
    """

    lab: Lab

    @property
    def path(self) -> Path:
        """Return where lab.md lies."""
        return self.lab.folder / "lab.md"

    @cached_property
    def text(self) -> str:
        """Return the text of lab.md. Raises ReleaseError where there is none."""
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            fix = "Write it, or take the lab out of course/syllabus.toml."
            raise ReleaseError([Problem(self.path, 0, "The lab has no text.", fix)]) from None

    @cached_property
    def front(self) -> dict:
        """Return the front matter. Raises ReleaseError where it is not a YAML mapping."""
        found = re.match(r"---\n(.*?)\n---\s*\n", self.text, re.DOTALL)
        try:
            front = yaml.safe_load(found.group(1)) if found else None
        except yaml.YAMLError as error:
            line = error.problem_mark.line + 2 if getattr(error, "problem_mark", None) else 1
            fix = f"Correct it: {getattr(error, 'problem', error)}."
            raise ReleaseError([Problem(self.path, line, "The front matter is not YAML.", fix)]) from None
        if not isinstance(front, dict):
            what = "The file does not begin with a front matter."
            fix = "Begin it with ---, the kernelspec, and --- (copy another lab's)."
            raise ReleaseError([Problem(self.path, 1, what, fix)])
        return front

    @property
    def options(self) -> dict:
        """Return what the front matter says under `lab:`."""
        return self.front.get("lab") or {}

    @property
    def learner_files(self) -> list[str]:
        """Return the files (globs are allowed) that are the learner's own and survive grading."""
        return [str(one) for one in self.options.get("learner_files") or []]

    def owned(self, folder: Path) -> list[str]:
        """Return the files in a folder that are the learner's own, relative to it and sorted."""
        found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
        return sorted(one for one in found if any(fnmatch.fnmatchcase(one, glob) for glob in self.learner_files))

    def notebook(self) -> NotebookNode:
        """Return the notebook that lab.md describes, each cell's `line` (from 1) in its metadata."""
        from jupytext.myst import MystMetadataParsingError, myst_to_notebook

        assert self.front  # its errors name the line, jupytext's do not
        try:
            notebook = myst_to_notebook(self.text, add_source_map=True)
        except MystMetadataParsingError as error:
            fix = f"Correct the options of that cell: {error}"
            raise ReleaseError([Problem(self.path, 0, "A cell's options cannot be read.", fix)]) from None
        for cell, line in zip(notebook.cells, notebook.metadata.pop("source_map"), strict=True):
            cell.metadata["line"] = line + 1
        return notebook


def text_lines(path: Path) -> list[str]:
    """Return a text file's lines; an empty list for a file that is not text."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, OSError):
        return []


def line_of(path: Path, text: str) -> int:
    """Return the line (from 1) on which a text first stands in a file, 0 where it does not."""
    return next((number for number, line in enumerate(text_lines(path), 1) if text in line), 0)
