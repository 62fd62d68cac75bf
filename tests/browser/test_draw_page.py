"""The page on which a person draws: seen in a real browser, behind a path prefix, with two replicas."""

import itertools
import re
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect
from werkzeug.serving import make_server

SERVER = Path(__file__).resolve().parents[2] / "docker" / "model-server"
sys.path.insert(0, str(SERVER))

from digits_server.app import create_app  # noqa: E402

pytestmark = pytest.mark.browser

PREFIX = "/proxy/8000"

# Strokes as fractions of the drawing area: small, large, off the middle, as people draw.
DRAWN = {
    "0": [[(0.5, 0.15), (0.3, 0.3), (0.28, 0.6), (0.45, 0.85), (0.65, 0.7), (0.7, 0.4), (0.5, 0.15)]],
    "1": [[(0.5, 0.15), (0.5, 0.85)]],
    "2": [[(0.3, 0.3), (0.45, 0.15), (0.65, 0.22), (0.65, 0.4), (0.3, 0.82), (0.72, 0.82)]],
    "3": [[(0.32, 0.2), (0.55, 0.15), (0.66, 0.3), (0.45, 0.47), (0.68, 0.65), (0.55, 0.85), (0.3, 0.8)]],
    "4": [[(0.2, 0.15), (0.15, 0.4), (0.4, 0.4)], [(0.38, 0.12), (0.35, 0.65)]],
    "7": [[(0.55, 0.55), (0.85, 0.55), (0.65, 0.95)]],
}


@contextmanager
def served(app):
    """Serve a WSGI app on a free loopback port, and stop it in the end."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def site():
    """Serve two replicas in turn below a prefix, as a Service behind a proxy does; yield the page's URL."""
    apps = [create_app({"POD_NAME": f"digits-7d9c6b-{name}"}) for name in ("k2x9p", "zq4tn")]
    for app in apps:
        app.extensions["loader"].wait(60)
    turns = itertools.cycle(apps)

    def balance(environ, start_response):
        path = environ["PATH_INFO"]
        if not path.startswith(PREFIX + "/"):
            start_response("404 Not Found", [])
            return [b"outside the prefix"]
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = PREFIX, path.removeprefix(PREFIX)
        return (next(turns) if path.endswith("/predict") else apps[0])(environ, start_response)

    with served(balance) as url:
        yield f"{url}{PREFIX}/"


@pytest.fixture
def page(chromium, site):
    """Open the page; whatever the browser complains about fails the test."""
    complaints = []
    tab = chromium.new_page(viewport={"width": 1000, "height": 1000})
    tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(site)
    expect(tab.locator("#examples button")).to_have_count(10)
    yield tab
    tab.close()
    assert not complaints


def draw(page, strokes):
    """Draw with the mouse and return once the answer is shown."""
    page.get_by_role("button", name="Clear").click()
    box = page.locator("#pad").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=8)
        with page.expect_response("**/predict") as answer:
            page.mouse.up()
        answer.value.finished()


def test_a_vertical_stroke_is_read_as_one_and_the_replica_is_named(page):
    draw(page, DRAWN["1"])
    expect(page.locator("#digit")).to_have_text("1")
    expect(page.get_by_role("status")).to_contain_text("The model reads 1")
    expect(page.locator("#last")).to_contain_text(re.compile("digits-7d9c6b-(k2x9p|zq4tn) with model [0-9a-f]{8}"))
    expect(page.locator("#bars li.best")).to_contain_text(re.compile(r"^1\d+\.\d\s%$"))
    assert page.locator("#bars li").count() == 10


@pytest.mark.parametrize("digit", DRAWN)
def test_drawn_digits_are_read_wherever_and_however_large(page, digit):
    draw(page, DRAWN[digit])
    expect(page.locator("#digit")).to_have_text(digit)


def test_asking_again_tallies_both_replicas(page):
    draw(page, DRAWN["7"])
    page.get_by_role("button", name="Ask 20 times").click()
    expect(page.get_by_role("button", name="Ask 20 times")).to_be_enabled()
    rows = page.locator("#tally tbody tr")
    expect(rows).to_have_count(2)
    assert sorted(int(row.locator(".number").inner_text()) for row in rows.all()) == [10, 11]


def test_examples_can_be_asked_with_the_keyboard(page):
    page.get_by_role("button", name="Ask about an example of 5").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#digit")).to_have_text("5")


def test_a_replica_without_a_model_says_so_and_is_counted(chromium):
    app = create_app({"MODEL_PATH": "/nowhere/digits.skops"})
    app.extensions["loader"].wait(60)
    with served(app) as url:
        tab = chromium.new_page()
        tab.goto(url)
        tab.get_by_role("button", name="Ask about an example of 5").click()
        expect(tab.get_by_role("status")).to_contain_text("/nowhere/digits.skops cannot be read")
        expect(tab.locator("#tally tr.failed")).to_contain_text("no answer")
        expect(tab.locator("#digit")).to_have_text("?")
        tab.close()


def test_clear_forgets_the_drawing(page):
    draw(page, DRAWN["1"])
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#digit")).to_have_text("?")
    expect(page.get_by_role("button", name="Ask 20 times")).to_be_disabled()


def test_a_finger_draws_on_a_narrow_screen(chromium, site):
    phone = chromium.new_context(viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    tab = phone.new_page()
    tab.goto(site)
    expect(tab.locator("#examples button")).to_have_count(10)
    box = tab.locator("#pad").bounding_box()
    finger = phone.new_cdp_session(tab)
    x = box["x"] + box["width"] / 2
    for kind, share in [("touchStart", 0.2), *[("touchMove", n / 10) for n in range(3, 9)], ("touchEnd", None)]:
        points = [] if share is None else [{"x": x, "y": box["y"] + share * box["height"]}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(tab.locator("#digit")).to_have_text("1")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375, "the page is wider than the screen"
    phone.close()
