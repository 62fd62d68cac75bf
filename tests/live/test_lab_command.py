"""Open the labs as a learner does: `make lab`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from autograder.labs import syllabus
from autograder.waiting import wait_until

NEEDS = ("docker", "compose", "registry", "cluster", "trainer", "kserve")
pytestmark = [getattr(pytest.mark, need) for need in NEEDS]


def test_jupyterlab_opens_and_ends_and_the_terminal_says_that_each_lab_can_begin(tmp_path: Path):
    log = tmp_path / "log"
    with log.open("w") as terminal:
        command = [sys.executable, "-m", "autograder", "lab"]
        environment = {**os.environ, "BROWSER": "true"}  # which is a command that does nothing
        running = subprocess.Popen(command, stdout=terminal, stderr=terminal, start_new_session=True, env=environment)

    def found(pattern: str) -> re.Match | None:
        assert running.poll() is None, log.read_text()
        return re.search(pattern, log.read_text())

    try:
        wait_until(lambda: found(r"http://127\.0\.0\.1:\d+/lab\?token=\w+"), "JupyterLab's address", timeout=60)
        address = found(r"http://127\.0\.0\.1:\d+/lab\?token=\w+")[0]
        base, _, token = address.partition("/lab?")
        names = {one["name"] for one in httpx.get(f"{base}/api/contents?{token}").raise_for_status().json()["content"]}
        assert names >= {lab.slug for lab in syllabus()}
        wait_until(lambda: all(found(lab.slug) for lab in syllabus()), "all labs to be ready", timeout=120)
        assert "✗" not in log.read_text()
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 130
    assert "Stopped." in log.read_text()
    with pytest.raises(httpx.TransportError):
        httpx.get(base)
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)
