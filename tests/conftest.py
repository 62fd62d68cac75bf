"""A live test runs against the real thing; where that is missing it is skipped, or fails if it must not be."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable

import pytest

from autograder.ground import cluster, engine, programs
from autograder.ground.addons import ADDONS
from autograder.ground.step import tools

# Where the tests run in the background or under `nohup`, these are ignored, also by each process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Most tests are not about sandboxes, and quicker without; those that are set it themselves.
os.environ.setdefault("SHIPYARD_SANDBOX", "0")

NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "docker": (engine.answers, "no Docker engine answers: run `shipyard up`"),
    "compose": (programs.composes, "there is no `docker compose`: run `shipyard up`"),
    "registry": (cluster.registry_ready, "no local registry answers: run `shipyard up`"),
    "cluster": (cluster.answers, "no cluster answers: run `shipyard up`"),
    "trainer": (ADDONS["trainer"].ready, "the cluster has no Kubeflow Trainer: run `shipyard up --lab lab6_training`"),
    "kserve": (ADDONS["kserve"].ready, "the cluster has no KServe: run `shipyard up --lab lab7_kserve`"),
    "browser": (lambda: shutil.which("chromium") is not None, "Chromium is not installed: apt-get install chromium"),
}
_there: dict[str, bool] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a live test whose ground is missing."""
    for name, (there, told) in NEEDS.items():
        if item.get_closest_marker(name) is None:
            continue
        if not _there.get(name):  # asked again while missing: a test may bring it back
            _there[name] = there()
        if not _there[name]:
            if os.environ.get("CI") or os.environ.get("SHIPYARD_LIVE") == "required":
                pytest.fail(told)
            pytest.skip(told)


@pytest.fixture(scope="session", autouse=True)
def learners_commands() -> None:
    """Put the learner's kind and kubectl first in PATH, as a lab's kernel has them."""
    os.environ["PATH"] = f"{tools()}{os.pathsep}{os.environ['PATH']}"
