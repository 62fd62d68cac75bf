"""Turn what was typed into labs and course folders, with a plain word where that fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from autograder.facts import CannotCheck
from autograder.grading.grade import CONFIG
from autograder.ground.up import layers
from autograder.labs import Lab, find_lab, syllabus


def chosen_labs(slugs: Sequence[str] | None) -> list[Lab]:
    """Return the named labs, all without names; those that need least come first.

    Raises CannotCheck for an unknown name.
    """
    try:
        found = [find_lab(slug) for slug in slugs] if slugs else syllabus()
    except KeyError as unknown:
        raise CannotCheck(unknown.args[0], "Use one of these names.") from None
    return sorted(found, key=lambda one: len(layers(one.needs)))


def sample_labs() -> list[Lab]:
    """Return the labs that the sample class hands in: those that say so in the syllabus, else all."""
    labs = chosen_labs(None)
    return [lab for lab in labs if lab.sample] or labs


def handed_in(root: Path, labs: Sequence[Lab]) -> list[Lab]:
    """Return the labs of which a course holds submissions: nothing is brought up for the others."""
    return [lab for lab in labs if next((root / "submitted").glob(f"*/{lab.slug}"), None)]


def check_course(root: Path, labs: Sequence[Lab]) -> None:
    """Raise CannotCheck where a folder is no nbgrader course of ours, or nothing was handed in."""
    if not root.is_dir():
        raise CannotCheck(f"there is no folder {root.absolute()}.", "Give the one that holds your nbgrader_config.py.")
    if not (root / "nbgrader_config.py").is_file():
        fix = "Put one there with these lines:\n" + "".join(f"    {line}\n" for line in CONFIG.splitlines())
        raise CannotCheck(f"{root} has no nbgrader_config.py, so nbgrader would not use our checks.", fix)
    if not handed_in(root, labs):
        raise CannotCheck(
            f"nobody has handed in {' or '.join(lab.slug for lab in labs)} in {root / 'submitted'}.",
            "Submissions belong into submitted/<student>/<lab>/ (`nbgrader collect` or your exchange puts them there).",
        )


def check_students(root: Path, students: Iterable[str] | None) -> None:
    """Raise CannotCheck for a student who has handed in nothing: most often the name is mistyped."""
    there = {path.parent.name for path in (root / "submitted").glob("*/*")}
    check_names("folder in submitted/", students, there)


def check_names(what: str, names: Iterable[str] | None, there: Iterable[str]) -> None:
    """Raise CannotCheck for a name that is not there, with those that are most like it."""
    known = sorted(there)
    for name in names or ():
        if name not in known:
            alike = get_close_matches(name, known) or known[:10]
            fix = f"Did you mean {' or '.join(alike)}?" if alike else "There is none yet."
            raise CannotCheck(f"There is no {what} called {name}.", fix)
