"""Have the base images: pulled where a registry answers, built from packages where none does."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import httpx
from docker.errors import APIError, ImageNotFound

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground import engine
from autograder.ground.keys import key_of
from autograder.ground.shell import apt_install, run
from autograder.ground.step import Step, cache_dir
from autograder.ground.wheels import wheel_house
from autograder.labs import checkout

KEY = f"{versions.LABEL}.key"
PREFIX = "localhost/shipyard"  # names that no registry serves: these images are never pulled
WHEELS = ("python-base/Dockerfile", "model-server/requirements.txt")  # in docker/: what the wheel house is made of


def present(reference: str, key: str | None = None) -> bool:
    """Tell whether the engine has the image; one that we built must also be of that key."""
    try:
        labels = engine.client().images.get(reference).labels
    except ImageNotFound:
        return False
    return key is None or labels.get(KEY, key) == key


@cache
def registry_answers(timeout: float = 8) -> bool:
    """Ask once, with a short time-out, whether images can be pulled (SHIPYARD_OFFLINE=1 says no).

    The engine asks, not we: its mirrors, proxies and credentials count.
    """
    if os.environ.get("SHIPYARD_OFFLINE"):
        return False
    try:
        engine.client(timeout=timeout).api.inspect_distribution(versions.PYTHON_IMAGE)
        return True
    except (APIError, OSError, httpx.HTTPError, CannotCheck):
        return False


def steps() -> list[Step]:
    """Return the steps to the base images that labs build on."""
    return [
        packages_step(lambda: registry_or(versions.PYTHON_IMAGE, versions.PYTHON_IMAGE_FULL)),
        python_step(versions.PYTHON_IMAGE, versions.PYTHON_PACKAGES, 60),
        python_step(versions.PYTHON_IMAGE_FULL, versions.PYTHON_FULL_PACKAGES, 70),
    ]


def packages_step(needless: Callable[[], bool]) -> Step:
    """Return the step to the programs that make images from Debian packages; `needless` tells who can do without."""
    return Step("Build packages", "images that cannot be pulled are made from Debian packages", 15,
                lambda: tools_there() or needless(),
                lambda: apt_install(versions.BUILD_PACKAGES, cache_dir() / "apt.log"))  # fmt: skip


def python_step(reference: str, packages: tuple[str, ...], seconds: int) -> Step:
    """Return the step that pulls or builds one Python base image."""

    def make() -> None:
        if registry_answers():
            engine.client(timeout=600).images.pull(reference)
        else:
            build_python(reference, packages)

    return Step(f"Image {reference}", "the base that learners' Dockerfiles start from", seconds,
                lambda: present(reference, python_key(packages)), make)  # fmt: skip


def python_key(packages: tuple[str, ...]) -> str:
    """Return the key of a stand-in: its packages, its wheels, its Dockerfile."""
    return key_of(" ".join(packages), *(checkout() / "docker" / name for name in WHEELS))


def registry_or(*references: str) -> bool:
    """Tell whether the images are there or can be pulled."""
    return all(present(reference) for reference in references) or registry_answers()


def tools_there() -> bool:
    """Tell whether the programs that build images from packages are installed."""
    return all(shutil.which(tool) for tool in ("mmdebstrap", "gcc"))


def build_python(reference: str, packages: tuple[str, ...]) -> None:
    """Build a stand-in for an official Python image from Debian packages and wheels."""
    rootfs = f"shipyard/rootfs-{reference.replace(':', '-')}:{versions.DEBIAN}"
    if not present(rootfs):
        bootstrap(rootfs, packages)
    with_wheels(reference, rootfs, "--label", f"{KEY}={python_key(packages)}")


def offline(reference: str) -> str:
    """Return the name of a Python image from which one can build without a network: a pulled one gets our wheels.

    >>> offline("python:3.11-slim")  # doctest: +SKIP
    'localhost/shipyard/offline:3.11-slim-1c4c47d0a1e2'
    """
    found = engine.client().images.get(reference)
    if KEY in found.labels:
        return reference  # a stand-in, which has them
    key = key_of(found.id, *(checkout() / "docker" / name for name in WHEELS))
    name = f"{PREFIX}/offline:{reference.partition(':')[2]}-{key[:12]}"
    if not present(name):
        with_wheels(name, reference, "--target", "offline")
    return name


def with_wheels(name: str, base: str, *options: str) -> None:
    """Build docker/python-base on a base image."""
    wheels = wheel_house(checkout() / "docker" / "model-server" / "requirements.txt", "wheel", "setuptools")
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        shutil.copytree(wheels, context / "wheels")
        shutil.copy(checkout() / "docker" / "python-base" / "Dockerfile", context)
        run(["docker", "build", "-q", "-t", name, "--label", versions.LABEL, *options, "--build-arg", f"ROOTFS={base}",
             context], log=cache_dir() / "images.log", env={"DOCKER_BUILDKIT": "0"})  # fmt: skip


def bootstrap(reference: str, packages: tuple[str, ...]) -> None:
    """Make a root file system of Debian packages and import it as an image of one layer.

    Raises CannotCheck with the last lines of the package tool.
    """
    command = [
        "mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}",
        "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright", "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--aptopt=Acquire::Languages \"none\"", versions.DEBIAN, "-",
    ]  # fmt: skip
    log = cache_dir() / "images.log"
    with log.open("ab") as book, tempfile.TemporaryFile(dir=cache_dir()) as tar:
        made = subprocess.run(command, stdout=tar, stderr=book, stdin=subprocess.DEVNULL, timeout=900)
        if made.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
            raise CannotCheck(f"mmdebstrap failed with exit code {made.returncode} ({log}):\n{tail}")
        tar.seek(0)
        run(["docker", "import", "--change", f"LABEL {versions.LABEL}=rootfs", "-", reference], stdin=tar, log=log)
