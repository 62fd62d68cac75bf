"""One headless Chromium for all tests of a module: its event loop must not run under the tests that come after."""

import shutil

import pytest
from playwright.sync_api import sync_playwright

# Without these, Chromium asks its maker's hosts for updates at each start.
QUIET = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", *QUIET.split()]


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium")
    assert path, "Chromium is not installed: apt-get install -y --no-install-recommends chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
