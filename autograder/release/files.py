"""Gather the files that learners get beside the notebook: starter files and the visible checks."""

from __future__ import annotations

import fnmatch
from pathlib import Path

from autograder.labs import course_root
from autograder.release.lesson import Lesson, line_of
from autograder.release.problems import Problem, ReleaseError

HIDDEN = "hidden.py"
JUNK = ("__pycache__", ".ipynb_checkpoints", ".pytest_cache", ".ruff_cache", ".DS_Store")


def files(lesson: Lesson) -> dict[str, Path]:
    """Return what to copy: path in the released lab -> file it is from, sorted by path.

    Raises ReleaseError where a folder of `starter_from` is missing, gives
    nothing, or two files would get one name.
    """
    folder = lesson.lab.folder
    # What is judged, and what is looked at for that, learners may read: all but the hidden checks.
    given = {path.name: path for path in sorted(folder.glob("*.py")) if path.name != HIDDEN}
    taken = {f"{lesson.lab.slug}.ipynb", "checks.py", "seen.py", HIDDEN}
    problems = []

    def give(path: str, origin: Path) -> None:
        if path in given or path in taken:
            fix = "Rename one of them: each file in a released lab has one source."
            problems.append(Problem(origin, 0, f"{path} is already in the released lab.", fix))
        given[path] = origin

    for name, origin in _below(folder / "starter"):
        give(name, origin)
    for entry in lesson.options.get("starter_from") or []:
        start = course_root() / str(entry.get("from", ""))
        only = [str(one) for one in entry.get("only") or ["*"]]
        chosen = [(n, o) for n, o in _below(start) if any(fnmatch.fnmatchcase(n, glob) for glob in only)]
        missing = [glob for glob in only if not any(fnmatch.fnmatchcase(n, glob) for n, _ in chosen)]
        if missing or not entry.get("from"):
            what = f"starter_from: {entry.get('from')} gives no file for {', '.join(missing) or 'an unnamed folder'}."
            fix = "Correct `from` (a folder, from the top of the course) and `only` (globs, from that folder)."
            problems.append(Problem(lesson.path, line_of(lesson.path, "starter_from"), what, fix))
        for name, origin in chosen:
            give((Path(str(entry.get("to", "."))) / name).as_posix(), origin)
    if problems:
        raise ReleaseError(problems)
    return dict(sorted(given.items()))


def _below(folder: Path) -> list[tuple[str, Path]]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in found
        if not set(path.relative_to(folder).parts) & set(JUNK)
    )
