"""Download wheels for a build inside a container, which has no network where no registry answers."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from autograder.ground.keys import key_of
from autograder.ground.shell import run
from autograder.ground.step import cache_dir
from autograder.labs import checkout

SOURCE_ONLY = "kfp-server-api=="  # kfp needs it; its makers publish it as source; it is plain Python


def wheel_house(requirements: Path, *more: str) -> Path:
    """Download what a requirements file asks for, in the course's versions, once; return the folder of wheels.

    `more` are packages beside those in the file. Raises CannotCheck with the last lines of pip.
    """
    constraints = checkout() / "constraints.txt"
    wheels = cache_dir("wheels", key_of(requirements, constraints, *more))
    log, machine = cache_dir() / "images.log", platform.machine()
    pip = [sys.executable, "-m", "pip"]
    if "kfp" in requirements.read_text().split() and not any(wheels.glob("kfp_server_api-*.whl")):
        source = [line.strip() for line in constraints.read_text().splitlines() if line.startswith(SOURCE_ONLY)]
        run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, *source], log=log)
    run([*pip, "download", "--quiet", "--dest", wheels, "--find-links", wheels, "--only-binary", ":all:",
         "--python-version", "3.11", "--implementation", "cp", "--platform", f"manylinux_2_28_{machine}",
         "--platform", f"manylinux_2_17_{machine}", "-c", constraints, "-r", requirements, *more], log=log)  # fmt: skip
    return wheels
