"""Put a sample class together: learners whose submissions are the labs' attempts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from autograder.grading.admission import Refused, admit
from autograder.grading.grade import CONFIG
from autograder.grading.gradebook import open_gradebook
from autograder.labs import Lab, course_root, find_lab, syllabus
from autograder.release import release
from autograder.release.attempts import REFERENCE, Attempt, attempts
from autograder.release.handing_in import hand_in
from autograder.release.problems import StaleGradebook

NAMES = (
    "ada", "bela", "chen", "dalia", "emeka", "farah", "goran", "hana", "imre", "joana", "kofi", "lena",
    "mateo", "nadia", "oskar", "priya", "quentin", "rosa", "samir", "tereza", "ugo", "vera", "wanda", "yusuf",
)  # fmt: skip
FEWEST = 6


def assigned(labs: Sequence[Lab], learners: int | None = None) -> dict[tuple[str, str], Attempt]:
    """Return which attempt each learner hands in: (learner, slug) -> attempt, the same on each call.

    Without `learners` there are as many as the lab with most attempts has, but
    at least six. Right, wrong and broken attempts take turns, so that a small
    class holds some of each; learners without an attempt hand in the reference.
    """
    turns = {lab.slug: _turns(attempts(lab)) for lab in labs}
    count = learners or max([FEWEST, *map(len, turns.values())])
    return {
        (name_of(number), lab.slug): turns[lab.slug][number] if number < len(turns[lab.slug]) else REFERENCE
        for number in range(count)
        for lab in labs
    }


def each_once(labs: Sequence[Lab]) -> dict[tuple[str, str], Attempt]:
    """Return what `assigned` does, without the learners who hand in a reference that somebody has handed in."""
    found = assigned(labs)
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for (learner, slug), attempt in found.items():
        first.setdefault((slug, attempt.name), (learner, slug))
    return {at: found[at] for at in first.values()}


def sample(root: Path | None = None, slugs: Sequence[str] | None = None, learners: int | None = None) -> Path:
    """Write a class into a folder (default build/class below the course) and return it.

    Labs are released into it, submitted/<learner>/<slug>/ is filled, and
    nbgrader_config.py has the two lines. What is already right stays untouched;
    the grades of a lab whose cells have changed are forgotten.
    Raises ReleaseError for a lab or an attempt that cannot be read, ValueError
    for the course's own folder.
    """
    root = (root or course_root() / "build" / "class").resolve()
    if root == course_root().resolve():
        raise ValueError("a sample class needs a folder of its own: submissions do not belong into the course")
    labs = [find_lab(slug) for slug in slugs] if slugs is not None else syllabus()
    root.mkdir(parents=True, exist_ok=True)
    (root / "nbgrader_config.py").write_text(CONFIG)
    released = {lab.slug: _release(lab, root) for lab in labs}
    with tempfile.TemporaryDirectory(prefix="shipyard-sample-") as aside:
        for (learner, slug), attempt in assigned(labs, learners).items():
            folder, lab = root / "submitted" / learner / slug, find_lab(slug)
            fresh = hand_in(lab, attempt, released[slug], Path(aside) / learner / slug)
            if _digest(folder, slug) != _digest(fresh, slug):
                hand_in(lab, attempt, released[slug], folder)
    return root


def _release(lab: Lab, root: Path) -> Path:
    try:
        return release(lab.slug, root)
    except StaleGradebook:
        if any(folder.name.rstrip("0123456789") not in NAMES for folder in (root / "submitted").iterdir()):
            raise  # somebody's real class: its grades are not ours to forget
    with open_gradebook(root) as gradebook:
        gradebook.remove_assignment(lab.slug)
    for folder in [*root.glob(f"autograded/*/{lab.slug}"), *root.glob(f"feedback/*/{lab.slug}")]:
        shutil.rmtree(folder)
    return release(lab.slug, root)


def name_of(number: int) -> str:
    """Return the name of a learner, counted from 0.

    >>> name_of(0), name_of(24)
    ('ada', 'ada2')
    """
    turn, place = divmod(number, len(NAMES))
    return NAMES[place] + (str(turn + 1) if turn else "")


def _turns(found: Sequence[Attempt]) -> list[Attempt]:
    kinds = ([one for one in found if one.kind == kind] for kind in ("right", "wrong", "broken"))
    return [one for turn in zip_longest(*kinds) for one in turn if one]


def _digest(folder: Path, slug: str) -> str:
    try:
        return admit(folder, slug)
    except Refused as why:
        return str(why)
