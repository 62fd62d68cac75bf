"""Read a chapter in the JupyterLab that `make lab` opens, as a learner does whom a hint has sent there."""

import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from autograder.cli.lab import jupyterlab
from autograder.labs import course_root
from autograder.waiting import wait_until

CHAPTERS = sorted(path.name for path in (course_root() / "course").glob("*.md"))
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory):
    """The address that JupyterLab prints, with no settings of a person's own."""
    folder: Path = tmp_path_factory.mktemp("jupyterlab")
    own = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR",
                                                 "JUPYTERLAB_WORKSPACES_DIR")}  # fmt: skip
    log = folder / "log"
    with log.open("w") as said:
        running = subprocess.Popen([*jupyterlab(), "--no-browser"], env={**os.environ, **own}, stdout=said, stderr=said)
    pattern = re.compile(r"(http://127\.0\.0\.1:\d+)/lab\?(token=\w+)")
    try:
        yield wait_until(lambda: pattern.search(log.read_text()), "JupyterLab's address", timeout=60).groups()
    finally:
        running.terminate()
        running.wait(30)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_opens_as_a_page_with_its_drawing(address, chromium, chapter):
    base, token = address
    title = (course_root() / "course" / chapter).read_text().splitlines()[0].removeprefix("# ")
    with chromium.new_context() as visit:
        tab = visit.new_page()
        tab.goto(f"{base}/lab/tree/course?{token}&reset")
        tab.locator(".jp-DirListing-item", has_text=chapter).dblclick()
        expect(tab.get_by_role("heading", name=title)).to_be_visible(timeout=30_000)
        drawing = tab.locator(".jp-RenderedMermaid img")
        expect(drawing).to_be_visible(timeout=30_000)
        assert drawing.bounding_box()["height"] > 80


def test_nobody_is_asked_about_news_before_the_first_cell(address):
    """The question covers a notebook's corner, and its answer would fetch a page from elsewhere."""
    base, token = address
    path = "lab/api/settings/@jupyterlab/apputils-extension:notification"
    given = httpx.get(f"{base}/{path}?{token}").raise_for_status().json()
    assert given["schema"]["properties"]["fetchNews"]["default"] == "false"
