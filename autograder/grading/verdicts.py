"""Carry verdicts: from judging to the gradebook, and in the graded notebook to whoever reads it later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output

from autograder.checks import Result, Status
from autograder.report import as_html, number

MIME = "application/vnd.shipyard.result+json"
KEY = "shipyard"  # in the metadata of a graded notebook, and in nbconvert's resources


def as_output(result: Result) -> NotebookNode:
    """Return a graded cell's output: the points for nbgrader, the report for people, the result for programs.

    nbgrader gives full points for anything that is not a number: an ERROR is
    a 0 here, and SaveVerdicts keeps it out of the gradebook.
    """
    points = 0 if result.status is Status.ERROR else result.points
    data = {"text/plain": number(points), "text/html": as_html([result]), MIME: asdict(result)}
    return new_output("execute_result", data=data, execution_count=None)


def as_json(results: Sequence[Result]) -> list[dict]:
    """Return results as plain data."""
    return [json.loads(json.dumps(asdict(result))) for result in results]


def from_json(values: Sequence[dict]) -> list[Result]:
    """Return results from plain data. Raises TypeError, KeyError or ValueError for anything else."""
    return [Result(**{**value, "status": Status(value["status"])}) for value in values]


def stamp(notebook: NotebookNode, results: Sequence[Result], digest: str, note: str) -> None:
    """Write into a notebook's metadata that it is graded, from which submission, with which verdicts."""
    notebook.metadata[KEY] = {"submission": digest, "results": as_json(results), "note": note}


def graded(path: Path) -> tuple[str, list[Result], str] | None:
    """Return a graded notebook's (submission's digest, results, note); None for one that is not finished.

    The stamp is written with the last step, so a notebook left by a killed run
    has none.
    """
    try:
        stamped = nbformat.read(path, as_version=4).metadata[KEY]
        return stamped["submission"], from_json(stamped["results"]), stamped.get("note", "")
    except Exception:  # whatever is wrong with the file, it has to be graded again
        return None


def why_again(path: Path, digest: str) -> str:
    """Return why a submission has to be graded (again), "" where its grade stands."""
    found = graded(path)
    if found is None:
        return "not graded yet"
    if found[0] != digest:
        return "handed in again"
    if any(result.status is Status.ERROR for result in found[1]):
        return "something could not be checked"
    return ""
