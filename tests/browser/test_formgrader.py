"""Press Formgrader's autograde button in a running Jupyter server, as an instructor does."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from autograder.checks import Status
from autograder.grading.grade import grade
from autograder.grading.sample import sample
from autograder.grading.verdicts import graded
from autograder.waiting import wait_until

TINY = Path(__file__).resolve().parents[1] / "nbgrader" / "tiny_course"
SLUG = "tiny_answer"
TOKEN = "instructor"
pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A class that handed in and that nobody has graded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPYARD_COURSE", str(TINY))
        yield sample(tmp_path_factory.mktemp("button") / "class", learners=3)


@pytest.fixture(scope="module")
def server(course):
    """The address of a Jupyter server that was started in the course's folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
               "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = (course.parent / "server.log").open("w")
    process = subprocess.Popen(command, cwd=course, env={**os.environ, "PATH": path}, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def answers():
        assert process.poll() is None, (course.parent / "server.log").read_text()
        try:
            return httpx.get(f"{url}/api/status", headers={"Authorization": f"token {TOKEN}"}).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until(answers, "the Jupyter server to answer", timeout=90, pause=0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def tab(server, chromium):
    with chromium.new_context() as visit:
        tab = visit.new_page()
        local = f"{server}/"
        tab.route("**/*", lambda way: way.continue_() if way.request.url.startswith(local) else way.abort())
        tab.goto(f"{server}/lab?token={TOKEN}", wait_until="commit")  # the link that the server prints logs in
        tab.goto(f"{server}/formgrader/manage_submissions/{SLUG}", wait_until="domcontentloaded")
        yield tab


def results(root, student):
    return graded(root / "autograded" / student / SLUG / f"{SLUG}.ipynb")[1]


def test_the_button_grades_as_the_command_does(course, tab, tmp_path):
    by_command = shutil.copytree(course, tmp_path / "class")
    list(grade(by_command, students=["ada"]))

    row = tab.locator("tr", has=tab.locator(".student-id", has_text="ada"))
    expect(row.locator(".status")).to_have_text("needs autograding", timeout=30_000)
    row.locator(".autograde a").click()
    expect(tab.locator("#success-modal")).to_contain_text("Successfully autograded", timeout=90_000)

    expect(row.locator(".score")).to_have_text("5.5 / 5.5")
    pressed = [(one.name, one.status, one.points, one.observed) for one in results(course, "ada")]
    assert pressed == [(one.name, one.status, one.points, one.observed) for one in results(by_command, "ada")]
    assert {one.status for one in results(course, "ada")} == {Status.PASS}


def test_a_wrong_answer_shows_expected_observed_and_hint_on_the_feedback_page(course, tab):
    row = tab.locator("tr", has=tab.locator(".student-id", has_text="bela"))
    row.locator(".autograde a").click()
    expect(tab.locator("#success-modal")).to_contain_text("Successfully autograded", timeout=90_000)
    tab.locator("#success-modal .close").first.click()
    row.locator(".generate-feedback a").click()
    expect(tab.locator("#success-modal").last).to_contain_text("Successfully generated feedback", timeout=90_000)

    failed = [one for one in results(course, "bela") if one.status is Status.FAIL]
    page = (course / "feedback" / "bela" / SLUG / f"{SLUG}.html").read_text()
    assert failed
    for word in ("Expected", "Observed", "Hint"):
        assert word in page
