"""Forge points: in the notebook, its metadata, its files, its kernel. No step of the lab is done, so all deserve 0."""
# ruff: noqa: E501  (attackers' scripts are no prettier when they are wrapped)

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_output

from attacks.attack import LAB1, Attack, Raid, shell

CHECKS = (
    "image_builds", "answers_on_8000", "predicts_held_out", "no_secrets", "no_build_tools", "runs_unprivileged",
    "stops_on_sigterm", "cache_friendly",
)  # fmt: skip
MIME = "application/vnd.shipyard.result+json"
PASSED = {"status": "PASS", "points": 99, "max_points": 99, "expected": "", "observed": "", "hint": ""}


def graded(notebook, number):
    """Return the graded cell of that number; the attacks below spoil one each."""
    return next(one for one in notebook.cells if one.metadata.get("nbgrader", {}).get("grade_id") == CHECKS[number])


def edited_points(notebook, folder, places):
    graded(notebook, 0).metadata.nbgrader.update(points=1000, checksum="0" * 32, schema_version=1)


def number_as_source(notebook, folder, places):
    graded(notebook, 1).update(source="1000.0", outputs=[new_output("execute_result", data={"text/plain": "1000.0"})])


def not_a_number(notebook, folder, places):
    graded(notebook, 2).source = "float('nan')"


def skipped(notebook, folder, places):
    cell = graded(notebook, 3)
    cell.metadata.tags = ["skip-execution", "remove_cell", "raises-exception", "hide-cell"]
    cell.outputs = [new_output("execute_result", data={"text/plain": "2.0", MIME: {"name": CHECKS[3], **PASSED}})]


def deleted(notebook, folder, places):
    notebook.cells.remove(graded(notebook, 4))


def doubled(notebook, folder, places):
    notebook.cells.insert(0, nbformat.from_dict({**graded(notebook, 5), "source": "True"}))


def reordered(notebook, folder, places):
    mine = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    notebook.cells = mine[::-1] + [cell for cell in notebook.cells if cell not in mine]


def unlocked(notebook, folder, places):
    graded(notebook, 6).metadata.nbgrader.update(grade=False, locked=False, solution=True)
    graded(notebook, 6).source = "True"


def other_type(notebook, folder, places):
    cell = graded(notebook, 7)
    cell.update(cell_type="markdown", source="full points, please")
    cell.pop("outputs", None)


def stamped(notebook, folder, places):
    notebook.metadata.shipyard = {
        "submission": "0" * 64, "note": "", "results": [{"name": name, **PASSED} for name in CHECKS],
    }  # fmt: skip


def other_kernel(notebook, folder, places):
    spec = {"name": "bash", "display_name": "x", "language": "bash", "argv": ["touch", places["PWNED"]]}
    notebook.metadata.kernelspec = spec


def own_modules(notebook, folder, places):
    """Files with the names of what the grader imports or configures itself from."""
    evil = f"open({places['PWNED']!r}, 'w').write(__name__)\n"
    for name in ("checks", "hidden", "docker", "kubernetes", "nbgrader_config", "jupyter_nbconvert_config", "httpx",
                 "sitecustomize", "usercustomize", "conftest", "nbgrader/__init__"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(evil)
    (folder / "pyproject.toml").write_text("[build-system]\n")
    (folder / ".docker").mkdir()
    (folder / ".docker" / "config.json").write_text(json.dumps({"credsStore": "evil"}))
    (folder / "gradebook.db").write_bytes(b"SQLite format 3\0")
    (folder / "feedback.tpl").write_text("{{ ''.__class__ }}")


def second_notebook(notebook, folder, places):
    """A notebook beside the lab's, whose graded cells give themselves points."""
    other = nbformat.v4.new_notebook(cells=[new_code_cell("1000.0", metadata=dict(graded(notebook, 0).metadata))])
    nbformat.write(other, Path(folder) / "more.ipynb")


FORGER = Raid(
    "forger",
    quick=True,
    attacks=(
        Attack("points and checksum edited", edit=edited_points),
        Attack("a graded cell that says a number", edit=number_as_source),
        Attack("a graded cell that says NaN", edit=not_a_number),
        Attack("tags that skip a cell, and a forged output", edit=skipped),
        Attack("a graded cell deleted", edit=deleted),
        Attack("a graded cell doubled", edit=doubled),
        Attack("a graded cell unlocked", edit=unlocked),
        Attack("a graded cell turned into text", edit=other_type),
        Attack("the grader's own stamp forged", edit=stamped),
        Attack("another kernel asked for", edit=other_kernel),
        Attack("modules and settings of the grader's names", edit=own_modules),
        Attack("a second notebook with points", edit=second_notebook),
        Attack("graded cells in reverse", edit=reordered),
        Attack(
            "an object that equals everything",
            "class All(float):\n"
            "    __eq__ = __lt__ = __gt__ = __contains__ = lambda s, o: True\n    __repr__ = lambda s: '1000.0'\n"
            "import builtins\nbuiltins.points = builtins.score = builtins.check = All(99)\n"
            "print('armed', All(1) == 0)\nAll(99)",
            "armed True",
        ),
        Attack(
            "checks monkeypatched",
            "import autograder.checks as c, autograder.notebook as n\n"
            "c.judge = lambda *a, **k: 99\nn.check = check = lambda name: 99.0\n"
            "c.Finding = lambda *a, **k: True\nprint('patched', check('image_builds'))",
            "patched 99",
        ),
        Attack(
            "clients monkeypatched, for every Python started here",
            "import pathlib, site, os\np = pathlib.Path(site.getusersitepackages()); p.mkdir(parents=True)\n"
            "(p / 'usercustomize.py').write_text('import autograder.facts as f; f.fact = lambda g: 1')\n"
            "pathlib.Path('/work/sitecustomize.py').write_text('raise SystemExit(0)')\nprint('left', p)",
            "left /home/learner",
        ),
        Attack(
            "the course's package in the sandbox rewritten",
            shell("echo 'judge = None' >> /opt/shipyard/autograder/checks.py || echo kept; touch /opt/kernel/x || exit 7"),
            "(?s)kept.*code=7",
        ),
        Attack(
            "verdicts sent over the kernel's own channel",
            "from IPython.display import display\n"
            f"display({{'text/plain': '1000.0', {MIME!r}: {dict(PASSED, name='image_builds')!r}}}, raw=True)\n"
            "k = get_ipython().kernel\n"
            "for kind in ('execute_result', 'execute_reply', 'update_display_data', 'comm_open', 'clear_output'):\n"
            "    k.session.send(k.iopub_socket, kind, {'data': {'text/plain': '99'}, 'metadata': {}, 'status': 'ok',\n"
            "        'execution_count': 99, 'transient': {}, 'target_name': 'x', 'comm_id': 'x', 'wait': True},\n"
            "        parent=k.get_parent())\n"
            "print('sent')",
            "sent|1000",
        ),
        Attack(
            "an input transformer that rewrites graded cells",
            "def points(lines):\n    return ['1000.0\\n'] if any('check(' in one for one in lines) else lines\n"
            "get_ipython().input_transformers_cleanup.append(points)\nprint('transforms')",
            "transforms",
        ),
        Attack("the kernel ended with a good exit code", "import os; os._exit(0)", "The kernel stopped"),
    ),
    said="The kernel stopped",
)  # fmt: skip


def beside(name, spoil, said):
    """Return a raid of one file that must not be followed."""
    return Raid(name, (Attack(spoil.__doc__, edit=spoil),), said=said, refused=True, quick=True)


def link_to_file(notebook, folder, places):
    """a symbolic link to a host's file"""
    (folder / "report.txt").symlink_to(places["FILE"])


def link_to_folder(notebook, folder, places):
    """a symbolic link to the solutions"""
    (folder / "app" / "more").symlink_to(places["SOLUTIONS"])


def link_upwards(notebook, folder, places):
    """a symbolic link by .. to another submission"""
    (folder / "app" / "other").symlink_to("../../../victim/" + LAB1 + "/essay.txt")


def link_in_two_steps(notebook, folder, places):
    """a symbolic link to a symbolic link that leads out"""
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to(places["FILE"])


def hard_link(notebook, folder, places):
    """a hard link to the gradebook"""
    os.link(places["GRADEBOOK"], folder / "copy.db")


def pipe(notebook, folder, places):
    """a pipe that blocks whoever reads it"""
    os.mkfifo(folder / "app" / "pipe")


def huge_notebook(notebook, folder, places):
    """a notebook of 60 MB"""
    notebook.metadata.filler = "x" * 60_000_000


def deep(path):
    path.write_text('{"cells": ' + "[" * 100_000 + "]" * 100_000 + "}")


REFUSED = (
    beside("link-file", link_to_file, "symbolic link to something outside"),
    beside("link-folder", link_to_folder, "symbolic link to something outside"),
    beside("link-up", link_upwards, "symbolic link to something outside"),
    beside("link-twice", link_in_two_steps, "symbolic link to something outside"),
    beside("hard-link", hard_link, "hard link to something outside"),
    beside("pipe", pipe, "a device, a pipe or a socket"),
    beside("huge", huge_notebook, "has 60 MB"),
    Raid(
        "deep",
        (Attack("a notebook nested too deep for a parser", spoil=deep),),
        refused=True,
        quick=True,
        said="is not a notebook|is not JSON",
    ),
)
RAIDS = (FORGER, *REFUSED)
