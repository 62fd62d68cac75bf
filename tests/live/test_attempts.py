"""Hand in attempts of every lab and grade them as an instructor would: right passes, wrong fails where it should.

These are the quick ones; `shipyard attempts --sandbox` grades all. Where a lab needs the cluster they run in
sandboxes, as an instructor grades; the others without, as somebody alone does. What a sandbox lets labs 1 and 2 do
is in test_sandbox.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from test_notebooks import LONG

from autograder.checks import Result
from autograder.grading import plug_in
from autograder.grading.expecting import differences
from autograder.grading.verdicts import graded
from autograder.ground.step import climb
from autograder.labs import Lab, find_lab, syllabus
from autograder.release.attempts import REFERENCE, Attempt, attempts
from autograder.release.handing_in import hand_in
from autograder.release.releasing import release
from autograder.sandbox import image

pytestmark = pytest.mark.filterwarnings("ignore")


def cases() -> list:
    """Return each lab's quick attempts as parameters, marked with what the lab needs.

    The reference is one only where `test_notebooks` leaves it out of CI, or where nothing else is quick.
    """
    found = []
    for lab in syllabus():
        needs = [getattr(pytest.mark, need) for need in lab.needs]
        quick = [one for one in attempts(lab) if one.quick]
        if lab.slug not in LONG and len(quick) > 1:
            quick.remove(REFERENCE)
        found += [pytest.param(lab.slug, one, marks=needs, id=f"{lab.slug}-{one.name}") for one in quick]
    return found


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course's folder with the labs released into it."""
    root = tmp_path_factory.mktemp("course")
    for lab in syllabus():
        release(lab.slug, root)
    return root


def autograde(root: Path, lab: Lab, attempt: Attempt) -> tuple[list[Result] | None, str]:
    """Hand an attempt in, autograde it with nbgrader, and return the verdicts and nbgrader's log."""
    from nbgrader.apps import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    student = attempt.name.replace("_", "-")
    hand_in(lab, attempt, root / "labs" / lab.slug, root / "submitted" / student / lab.slug)
    config = Config()
    plug_in(config)
    config.CourseDirectory.root = str(root)
    config.Execute.timeout = attempt.seconds
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = api.autograde(lab.slug, student, force=True)
    verdicts = graded(root / "autograded" / student / lab.slug / f"{lab.slug}.ipynb")
    return (verdicts[1] if verdicts else None), said.get("log", "") + said.get("error", "")


@pytest.mark.parametrize(("slug", "attempt"), cases())
def test_attempt_gets_the_verdicts_it_should(slug, attempt, course, monkeypatch):
    lab = find_lab(slug)
    monkeypatch.setenv("SHIPYARD_BUILD_SECONDS", str(attempt.seconds))
    if "cluster" in lab.needs:
        climb(image.steps(), lambda event, step, seconds: None)
        monkeypatch.setenv("SHIPYARD_SANDBOX", "1")
    results, log = autograde(course, lab, attempt)

    if attempt.edit == "not_json":
        assert results is None
        assert "is not JSON" in log
        return
    assert results is not None, log[-2000:]
    assert sorted(one.name for one in results) == sorted(one.name for one in lab.checks)
    assert not list(map(str, differences(attempt, results)))
