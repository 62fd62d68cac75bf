"""Judge one check from the learner's notebook and show a report.

The verdict shown here is a help. Points are given by the instructor's grader,
which looks for itself and never reads what a notebook printed.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from autograder.checks import Result, Status, judge
from autograder.facts import Place
from autograder.labs import Lab, lab_at
from autograder.probes.words import cut, plain
from autograder.report import as_html, as_text

STARTED_IN = Path.cwd()  # the notebook's folder: `%cd` in a later cell must not lose the lab


@dataclass(frozen=True)
class Report:
    """Hold results and a note; notebooks show it as HTML, everything else as text."""

    results: Sequence[Result] = ()
    note: str = ""

    def _repr_html_(self) -> str:
        note = f'<div style="font-family:system-ui,sans-serif">{escape(plain(self.note))}</div>' if self.note else ""
        return (as_html(self.results) if self.results else "") + note

    def __repr__(self) -> str:
        return "\n".join(part for part in (as_text(self.results) if self.results else "", plain(self.note)) if part)


def check(name: str) -> Report:
    """Judge the check of that name on what runs right now, and return a report to show.

    Never raises: what goes wrong is said in the report. While a submission is
    being graded (SHIPYARD_GRADING is set) nothing is judged here.

    >>> check("image_builds")  # doctest: +SKIP
    """
    name = str(name)
    if os.environ.get("SHIPYARD_GRADING"):
        return Report(note=f"{name}: the grader judges this after the notebook has run.")
    try:
        return _judged(name)
    except KeyboardInterrupt:
        return _error(name, "You stopped this check before it was finished.", "Run the cell again.")
    except Exception as fault:
        return _error(
            name,
            f"The check could not be run: {type(fault).__name__}: {cut(str(fault))}",
            "This is a fault of the course, not of your work. Restart the kernel and run the cell again; "
            "if it comes back, report it.",
        )


def _judged(name: str) -> Report:
    try:
        lab, work = _lab()
        checks = {one.name: one for one in lab.checks}
    except KeyError:
        return _error(
            name,
            f"No checks.py lies beside this notebook (looked in {STARTED_IN.name}/).",
            "Open the notebook inside its lab's folder, with the files that came with it.",
        )
    except Exception as broken:
        return _error(
            name,
            f"checks.py beside this notebook cannot be loaded: {type(broken).__name__}: {cut(str(broken))}",
            "Fetch a fresh copy of the lab's checks.py: it must not be changed.",
        )
    if name not in checks:
        return Report(note=_unknown(name, lab, list(checks)))
    note = ""
    seen = lab.observe(Place(work=work, namespace=_namespace(lab), recorder=_recorder(lab, work)))
    try:
        result = judge(checks[name], seen)
    finally:
        try:
            seen.close()
        except Exception as left:
            note = f"Something that the check had started could not be removed ({cut(str(left), 120)}). "
            note += "`shipyard doctor` tells whether the engine and the cluster are well."
    return Report([result], note)


def _lab() -> tuple[Lab, Path]:
    """Return the lab and the folder of the notebook, which `%cd` or `os.chdir` may have left."""
    for folder in (STARTED_IN, Path.cwd(), *Path.cwd().parents[:3]):
        if (folder / "checks.py").is_file():
            return lab_at(folder), folder
    return lab_at(STARTED_IN), STARTED_IN


_recorders: dict[Path, Any] = {}  # one a lab's folder, as long as the kernel lives


def _recorder(lab: Lab, work: Path) -> Any:
    """Return what listens to the engine since the lab's first cell, for labs that set RECORDS; None for others.

    What it hears is kept in the user's cache: a restarted kernel knows what ran before.
    """
    if not getattr(lab.seen, "RECORDS", False):
        return None
    if work not in _recorders:
        import hashlib

        from autograder.ground.step import cache_dir
        from autograder.probes.events import Recorder

        journal = cache_dir("runs") / f"{hashlib.sha256(str(work).encode()).hexdigest()[:16]}.jsonl"
        _recorders[work] = Recorder(None, work.resolve(), journal).start()
    return _recorders[work]


def _namespace(lab: Lab) -> str:
    if lab.needs and "cluster" not in lab.needs:
        return "default"
    from autograder.probes.kubernetes import current_namespace  # slow to import: only where it is used

    return current_namespace()


def _unknown(name: str, lab: Lab, names: list[str]) -> str:
    text = f"{name}: the instructor's grader judges this, with inputs that are not shown here."
    if lab.hidden is None and (near := difflib.get_close_matches(name, names, 1, 0.8)):
        text += f" (If you typed the name yourself: did you mean {near[0]!r}?)"
    return text if lab.hidden is None else f"No check of this lab is called {name!r}. There are: {', '.join(names)}."


def _error(name: str, cause: str, fix: str) -> Report:
    return Report([Result(name, Status.ERROR, 0, 0, "", cause, fix)])
