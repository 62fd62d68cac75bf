"""Describe attacks, and the submissions (raids) that carry them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

LAB1, LAB3 = "lab1_dockerfile", "lab3_deploy"


@dataclass(frozen=True)
class Attack:
    """Hold one attack: what is tried, and what tells that it was tried and stopped.

    `cell` is a notebook's cell; `tells` a regular expression that its output must
    hold, so that an attack with a slip of the pen does not count as stopped.
    `edit(notebook, folder, places)` changes the submission before it is handed in,
    `spoil(path)` the written notebook's file.
    `aims` are the checks whose points it is after. Words like @ROOT@ in a cell
    stand for places that an attacker could guess: they are told to all.
    """

    name: str
    cell: str = ""
    tells: str = ""
    edit: Callable[[NotebookNode, Path, dict[str, str]], None] | None = None
    spoil: Callable[[Path], None] | None = None
    aims: tuple[str, ...] = ()


@dataclass(frozen=True)
class Raid:
    """Hold a submission with attacks that do not disturb each other.

    `deserved` names the points of its honest part; all other checks deserve none.
    `said` is what the instructor is told, `refused` whether it may not even be
    opened, `shaky` whether it may end as ERROR in place of a verdict.
    """

    name: str
    attacks: tuple[Attack, ...]
    slug: str = LAB1
    deserved: dict[str, float] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    said: str = ""
    refused: bool = False
    shaky: bool = False
    quick: bool = False


def shell(script: str, seconds: int = 25) -> str:
    """Return a cell that runs a shell script for at most some seconds and shows all that it says."""
    return f"%%bash\nexec 2>&1\ntimeout {seconds} bash <<'SCRIPT'\n{script.strip()}\nSCRIPT\necho code=$?"


def refused(name: str, command: str, tells: str = "does not allow") -> Attack:
    """Return an attack of one command, which must fail and say why."""
    return Attack(name, shell(command), rf"(?s){tells}.*code=[1-9]")


def told(text: str, places: dict[str, str]) -> str:
    """Put the places into a text."""
    for word, place in places.items():
        text = text.replace(f"@{word}@", place)
    return text


def compose(raid: Raid, released: NotebookNode, folder: Path, places: dict[str, str]) -> NotebookNode:
    """Return the raid's notebook: the released one's answers and graded cells, and a cell for each attack."""
    kept = []
    for cell in released.cells:
        own: dict[str, Any] = cell.metadata.get("nbgrader", {})
        if own.get("solution") or own.get("grade"):
            cell.source = told(raid.answers.get(own["grade_id"], cell.source), places)
            kept.append(cell)
    kept += [nbformat.v4.new_code_cell(told(one.cell, places)) for one in raid.attacks if one.cell]
    released.cells = kept
    for one in raid.attacks:
        if one.edit:
            one.edit(released, folder, places)
    return released


def shown(notebook: NotebookNode, source: str) -> str:
    """Return all text that the cell with this source put out."""
    texts = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip() == source.strip():
            for output in cell.outputs:
                texts += [output.get("text", ""), output.get("evalue", ""), *map(str, output.get("data", {}).values())]
    return "".join(texts)  # a line may come in two pieces
