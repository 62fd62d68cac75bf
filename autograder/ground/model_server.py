"""Have the course's model server in the registry, in the versions that a lab starts with."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from autograder.facts import CannotCheck, NotThere, Place
from autograder.ground.lab_images import key_of_files, push
from autograder.labs import checkout
from autograder.probes.docker import Docker
from autograder.probes.registry import digest_of

IMAGE = "digits"


def folder() -> Path:
    """Return where the server's source lies."""
    return checkout() / "docker" / "model-server"


def have(place: Place, versions: tuple[str, ...] = ("v1",)) -> None:
    """See to it that the registry has the server as digits:v1, digits:v2, …; quick where it has.

    Each version is the same server with another model: docker/model-server/README.md.
    Raises CannotCheck where engine or registry do not answer, or an image cannot be built.
    """
    for version in versions:
        _have(place, version)


def model_of(version: str) -> Path:
    """Return the folder that holds a version's model.

    >>> model_of("v2").name
    'v2'
    """
    return folder() / "model" if version == "v1" else folder() / "versions" / version


def _have(place: Place, version: str) -> None:
    there = digest_of(place, f"{IMAGE}:{version}")
    if not folder().is_dir():  # a learner without the course's checkout: what the instructor pushed
        if there:
            return
        raise CannotCheck(f"The registry has no image {IMAGE}:{version}.", "Ask your instructor to run `make up`.")
    source = f"source-{version}-{_key(version)}"
    if there and there == digest_of(place, f"{IMAGE}:{source}"):
        return
    docker = Docker(place.docker_host)
    with tempfile.TemporaryDirectory(prefix="shipyard-") as scratch:
        context = Path(scratch, "context")
        ours = shutil.ignore_patterns("__pycache__", "versions")
        shutil.copytree(folder(), context, ignore=ours)
        if version != "v1":
            shutil.rmtree(context / "model")
            shutil.copytree(model_of(version), context / "model")
        try:
            image = docker.build(context, timeout=600)
        except NotThere as broken:
            raise CannotCheck(f"The model server's image cannot be built: {broken.observed}") from broken
    push(place, docker, image, IMAGE, (version, source))


def _key(version: str) -> str:
    """Return a name for what a version's image is made of."""
    return key_of_files(folder(), lambda name: name.parts[0] == "versions" and name.parts[1] != version)
