"""Find labs: a lab is a folder of solutions/ that the syllabus names."""

from __future__ import annotations

import importlib.util
import os
import sys
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType

from autograder.checks import Check
from autograder.facts import Observation, Place


def course_root() -> Path:
    """Return the course's folder: SHIPYARD_COURSE, or the checkout this package lies in."""
    return Path(os.environ.get("SHIPYARD_COURSE") or Path(__file__).resolve().parent.parent)


@dataclass(frozen=True)
class Lab:
    """Hold a lab's slug, title, what it needs ("docker", "cluster") and where its source lies."""

    slug: str
    title: str
    minutes: int
    needs: tuple[str, ...]
    folder: Path

    @property
    def module(self) -> ModuleType:
        """Return the lab's checks.py, which learners see, as a module."""
        return _load(self.folder / "checks.py")

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
        shown = _checks(self.module)
        # hidden.py may import visible checks to build on them: those stay what they are
        hidden = [replace(one, hidden=True) for one in _checks(self.hidden) if all(one is not known for known in shown)]
        names = [one.name for one in shown + hidden]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.slug}: more than one check is called {', '.join(twice)}")
        return shown + hidden

    def observe(self, place: Place) -> Observation:
        """Return a fresh observation of a submission's place: hidden.py's Seen, else that of checks.py."""
        return getattr(self.hidden, "Seen", self.module.Seen)(place)


def visible(file: str) -> ModuleType:
    """Return the checks.py beside a hidden.py, which calls this with its own `__file__`.

    >>> base = visible(__file__)  # doctest: +SKIP
    """
    return _load(Path(file).with_name("checks.py"))


def _checks(module: ModuleType | None) -> list[Check]:
    return [value for value in vars(module).values() if isinstance(value, Check)] if module else []


def _load(path: Path) -> ModuleType:
    return _load_once(path.resolve())


@cache
def _load_once(path: Path) -> ModuleType:
    name = f"shipyard_lab_{path.parent.name}_{path.stem}_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # labs/ holds nothing but what was released
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.dont_write_bytecode = writes
    return module


def syllabus() -> list[Lab]:
    """Return the course's labs in teaching order.

    Raises FileNotFoundError where course/syllabus.toml is missing.
    """
    root = course_root()
    entries = tomllib.loads((root / "course" / "syllabus.toml").read_text())["lab"]
    return [
        Lab(e["slug"], e["title"], e["minutes"], tuple(e["needs"]), root / "solutions" / e["slug"]) for e in entries
    ]


def find_lab(slug: str) -> Lab:
    """Return the lab of that slug. Raises KeyError, naming the labs there are."""
    labs = {lab.slug: lab for lab in syllabus()}
    if slug not in labs:
        raise KeyError(f"no lab is called {slug!r}; there are: {', '.join(labs)}")
    return labs[slug]


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
