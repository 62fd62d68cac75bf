"""Find labs: a lab is a folder of solutions/ that the syllabus names."""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType

from autograder.checks import Check
from autograder.facts import Observation, Place


def checkout() -> Path:
    """Return the checkout this package lies in: docker/ and k8s/ are there, whatever course is graded."""
    return Path(__file__).resolve().parent.parent


def course_root() -> Path:
    """Return the course's folder: SHIPYARD_COURSE, or the checkout."""
    return Path(os.environ.get("SHIPYARD_COURSE") or checkout())


@dataclass(frozen=True)
class Lab:
    """Hold a lab's slug, title, what it needs (see autograder/ground/up.py) and where its source lies."""

    slug: str
    title: str
    minutes: int
    needs: tuple[str, ...]
    folder: Path
    sample: bool = False  # whether the sample class hands it in where no lab is named

    @property
    def module(self) -> ModuleType:
        """Return the lab's checks.py, which learners see, as a module."""
        return _load(self.folder / "checks.py")

    @property
    def modules(self) -> list[ModuleType]:
        """Return checks.py and, of a lab with many checks, the files checks_*.py that go on."""
        return [self.module, *map(_load, sorted(self.folder.glob("checks_*.py")))]

    @property
    def seen(self) -> ModuleType:
        """Return the lab's seen.py as a module: what is looked at, and how the lab begins (Seen, MADE, start).

        In a small lab, checks.py may hold these, too.
        """
        path = self.folder / "seen.py"
        return _load(path) if path.is_file() else self.module

    @property
    def hidden(self) -> ModuleType | None:
        """Return the lab's hidden.py as a module; None where there is none, as in a released lab."""
        path = self.folder / "hidden.py"
        return _load(path) if path.is_file() else None

    @property
    def checks(self) -> list[Check]:
        """Return the lab's checks, the visible ones first, each file's in the order of its definitions.

        Raises ValueError where two have one name.
        """
        shown = [one for module in self.modules for one in _checks(module)]
        # hidden.py may import visible checks to build on them: those stay what they are
        found = _checks(self.hidden) if self.hidden else []
        hidden = [replace(one, hidden=True) for one in found if all(one is not known for known in shown)]
        names = [one.name for one in shown + hidden]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.slug}: more than one check is called {', '.join(twice)}")
        return shown + hidden

    def observe(self, place: Place) -> Observation:
        """Return a fresh observation of a submission's place: hidden.py's Seen, else the visible one."""
        return getattr(self.hidden, "Seen", self.seen.Seen)(place)


def given(file: str, name: str) -> Path:
    """Return a file that learners get: beside a released seen.py, in starter/ of its source. `file` is its `__file__`.

    >>> given(__file__, "example.json")  # doctest: +SKIP
    PosixPath('solutions/lab1_dockerfile/starter/example.json')
    """
    released = Path(file).with_name(name)
    return released if released.exists() else released.parent / "starter" / name


def _checks(module: ModuleType) -> list[Check]:
    return [value for value in vars(module).values() if isinstance(value, Check)]


def _load(path: Path) -> ModuleType:
    return _load_once(path.resolve())


@cache
def _load_once(path: Path) -> ModuleType:
    """Load one module of a lab's folder as if the folder were a package: `from .seen import Seen` finds its files.

    Two labs, or a lab and its released copy, are two packages. No folder is put on the path.
    """
    name = f"shipyard_lab_{path.parent.name}_{abs(hash(path.parent)):x}"
    if name not in sys.modules:
        package = sys.modules[name] = ModuleType(name)
        package.__path__ = [str(path.parent)]
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # labs/ holds nothing but what was released
    try:
        return importlib.import_module(f"{name}.{path.stem}")
    finally:
        sys.dont_write_bytecode = writes


def syllabus() -> list[Lab]:
    """Return the course's labs in teaching order.

    Raises FileNotFoundError where course/syllabus.toml is missing.
    """
    root = course_root()
    entries = tomllib.loads((root / "course" / "syllabus.toml").read_text())["lab"]
    return [
        Lab(
            e["slug"],
            e["title"],
            e["minutes"],
            tuple(e["needs"]),
            root / "solutions" / e["slug"],
            e.get("sample", False),
        )
        for e in entries
    ]


def find_lab(slug: str) -> Lab:
    """Return the lab of that slug. Raises KeyError, naming the labs there are."""
    labs = {lab.slug: lab for lab in syllabus()}
    if slug not in labs:
        raise KeyError(f"no lab is called {slug!r}; there are: {', '.join(labs)}")
    return labs[slug]


def lab_of(assignment: str) -> Lab | None:
    """Return the lab of an assignment's name, None for an assignment that is the instructor's own.

    >>> lab_of("essay")
    """
    try:
        return find_lab(assignment)
    except KeyError:
        return None


def lab_at(folder: Path) -> Lab:
    """Return the lab that was released into a folder, be the folder renamed or moved.

    The folder holds checks.py. Where none lies there, the folder's name must be
    the slug of one of the course's labs. Raises KeyError otherwise.
    """
    folder = folder.resolve()
    try:
        known = {lab.slug: lab for lab in syllabus()}
    except FileNotFoundError:  # a learner has the released folder and the package, not the course
        known = {}
    lab = known.get(folder.name)
    if (folder / "checks.py").is_file():
        if lab:
            return replace(lab, folder=folder)
        return Lab(folder.name, folder.name.replace("_", " "), 0, (), folder)
    if lab:
        return lab
    raise KeyError(f"no checks.py lies in {folder.name}/, and the course has no lab of that name")
