"""Start a second Docker engine beside the one that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autograder.ground import engine
from autograder.waiting import wait_until

BRIDGE, SUBNET = "shipyard-second", "172.31.97.1/24"


@contextmanager
def second_engine(folder: Path, data: Path, *options: str) -> Iterator[str]:
    """Run an engine with its sockets in a folder and its images in another; DOCKER_HOST is its own meanwhile."""
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        pytest.skip("a second engine needs root and dockerd")
    address = f"unix://{folder}/docker.sock"
    command = ["dockerd", "--host", address, "--data-root", data, "--exec-root", folder / "run",
               "--pidfile", folder / "pid", "--bridge", BRIDGE, "--iptables=false", "--ip-masq=false",
               *options]  # fmt: skip
    if engine.missing_capabilities():
        command += ["--add-runtime", f"shipyard={engine.WRAPPER}", "--default-runtime", "shipyard"]
    process = None
    with pytest.MonkeyPatch.context() as patch:
        try:
            subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
            subprocess.run(["ip", "address", "add", SUBNET, "dev", BRIDGE], check=True)
            subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, start_new_session=True)
            patch.setenv("DOCKER_HOST", address)
            wait_until(engine.answers, "the second engine", timeout=60)
            yield address
        finally:
            if process:
                process.terminate()
                process.wait(60)
            subprocess.run(["ip", "link", "delete", BRIDGE], check=False)
