"""Run each lab's notebook with its own answers, as somebody alone with a laptop does; nbval looks at the reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nbformat
import pytest
from kubernetes import client
from namespaces import own_namespace, write_kubeconfig
from nbformat.v4 import new_output

from autograder.checks import Status, judge_all
from autograder.facts import Place
from autograder.grading.workplace import recording
from autograder.ground import cluster
from autograder.ground.reset import reset
from autograder.labs import Lab, find_lab, syllabus
from autograder.release.attempts import REFERENCE
from autograder.release.handing_in import hand_in
from autograder.report import number

pytestmark = pytest.mark.filterwarnings("ignore")
# What a report goes on to say differs from run to run; its first line is the verdict.
SANITIZE = """
[rest of a report]
regex: (?s)\\n  Expected: .*
replace:  and so on

[the report as HTML]
regex: (?s)<div.*</div>
replace: HTML
"""


# Six minutes, which an autoscaler's patience sets; CI grades the same answers as an attempt, in two.
LONG = {"lab4_operate"}


def cases() -> list:
    found = []
    for lab in syllabus():
        marks = [*lab.needs, "slow"] if lab.slug in LONG else lab.needs
        found.append(pytest.param(lab.slug, marks=[getattr(pytest.mark, mark) for mark in marks], id=lab.slug))
    return found


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A namespace of one's own, and a kubeconfig in which it is the current one."""
    path = tmp_path / "kubeconfig"
    with closing(cluster.connection()) as api, own_namespace(client.CoreV1Api(api), "notebook") as name:
        write_kubeconfig(path, name)
        yield name, path


def with_verdicts(path: Path, lab: Lab) -> None:
    """Write into a notebook that each check which learners can run says PASS with all its points."""
    notebook = nbformat.read(path, as_version=4)
    shown = {one.name: one for one in lab.checks if not one.hidden}
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in shown:
            points = number(shown[name].points)
            data = {"text/plain": f"PASS {name} {points}/{points} and so on", "text/html": "<div></div>"}
            cell.outputs, cell.execution_count = [new_output("execute_result", data=data)], 1
            cell.metadata.tags = ["nbval-check-output"]
    nbformat.write(notebook, path)


def run(path: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    rules = path.parent.parent / "sanitize.cfg"
    rules.write_text(SANITIZE)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-sanitize-with", rules, "--nbval-current-env",
               "--nbval-cell-timeout=600", "-p", "no:cacheprovider", "--timeout=1500", path.name]  # fmt: skip
    return subprocess.run(list(map(str, command)), cwd=path.parent, env=environment, capture_output=True, text=True)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("slug", cases())
def test_notebook_with_its_own_answers_passes_every_check(slug, tmp_path, request):
    lab = find_lab(slug)
    folder = hand_in(lab, REFERENCE, Path("labs", slug).resolve(), tmp_path / slug)
    path = folder / f"{slug}.ipynb"
    with_verdicts(path, lab)
    environment, place = dict(os.environ), Place(work=folder)
    if "cluster" in lab.needs:
        name, kubeconfig = request.getfixturevalue("namespace")
        environment["KUBECONFIG"] = str(kubeconfig)
        place = Place(work=folder, namespace=name, kubeconfig=str(kubeconfig))
    try:
        with recording(lab, place, None) as place:
            ran = run(path, environment)
        assert ran.returncode == 0, ran.stdout[-6000:]
        with lab.observe(place) as seen:
            hidden = judge_all([one for one in lab.checks if one.hidden], seen)
    finally:
        list(reset(lab.seen.MADE, place))
    assert {one.status for one in hidden} == {Status.PASS}, hidden
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert f"{len(cells)} passed" in ran.stdout, ran.stdout[-2000:]


@pytest.mark.docker
def test_notebook_without_answers_does_not_pass(tmp_path):
    """See that the test above can fail: with nothing built, its reports say FAIL."""
    lab = find_lab("lab1_dockerfile")
    folder = hand_in(lab, REFERENCE, Path("labs", lab.slug).resolve(), tmp_path / lab.slug)
    path = folder / f"{lab.slug}.ipynb"
    with_verdicts(path, lab)
    notebook = nbformat.read(path, as_version=4)
    kept = [cell for cell in notebook.cells if "import check" in cell.source or "image_builds" in cell.source]
    nbformat.write(nbformat.v4.new_notebook(cells=kept[:2]), path)
    ran = run(path, dict(os.environ))
    assert ran.returncode == 1, ran.stdout
    assert "FAIL image_builds 0/1" in json.dumps(ran.stdout)


@pytest.mark.cluster
def test_lab7_waits_for_a_deployment_that_is_made_anew_late(namespace, tmp_path):
    """See that a learner goes on to the next step with pods that answer, however busy the cluster's controller is."""
    lab = find_lab("lab7_kserve")
    folder = hand_in(lab, REFERENCE, Path("labs", lab.slug).resolve(), tmp_path / lab.slug)
    lab.seen.start(Place(work=folder))
    cells = nbformat.read(folder / f"{lab.slug}.ipynb", as_version=4).cells
    after = next(cell for cell in cells if "readyReplicas" in cell.source)
    environment = {**os.environ, "KUBECONFIG": str(namespace[1])}
    make = "sleep 5; kubectl create deployment digits-predictor --replicas=2 --image=localhost:5001/digits:v1"
    with subprocess.Popen(["sh", "-c", make], env=environment, stdout=subprocess.DEVNULL):
        said = [subprocess.run(line.removeprefix("!"), shell=True, env=environment, capture_output=True, text=True)
                for line in after.source.splitlines()]  # fmt: skip
    assert [one.returncode for one in said] == [0] * len(said), said
    assert "Deployment   digits-predictor" in said[1].stdout
