"""Have an image of the course's own in the registry and on the engine, for labs that start from it.

    have(place, PIPELINE_BASE)

The registry keeps a second tag, made of what the image is built from: where it
names the same image, nothing is built. A learner without the course's checkout
takes what the instructor pushed.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autograder.facts import CannotCheck, NotThere, Place
from autograder.ground.images import key_of
from autograder.ground.shell import run
from autograder.ground.step import cache_dir
from autograder.labs import checkout
from autograder.probes.docker import Docker
from autograder.probes.engine import asking
from autograder.probes.image import Image
from autograder.probes.registry import digest_of


@dataclass(frozen=True)
class LabImage:
    """Name an image: its repository and tag, the folder below the checkout that it is built from.

    `requirements` names a file in that folder whose wheels the build needs: they
    are downloaded outside of it, for a build may have no network.
    """

    name: str
    tag: str
    folder: str
    requirements: str = ""

    def reference(self, place: Place) -> str:
        """Return the image's whole name in the place's registry."""
        return f"{place.registry}/{self.name}:{self.tag}"


PIPELINE_BASE = LabImage("pipeline-base", "v1", "docker/pipeline-base", requirements="requirements.txt")


def have(place: Place, image: LabImage) -> None:
    """See to it that registry and engine have the image; quick where they do.

    Raises CannotCheck where one of them does not answer, or the image cannot be built.
    """
    folder = checkout() / image.folder
    there = digest_of(place, f"{image.name}:{image.tag}")
    if folder.is_dir():
        source = _source(image, folder)
        if not there or there != digest_of(place, f"{image.name}:{source}"):
            _build(place, image, folder, source)
    elif not there:
        raise CannotCheck(f"The registry has no image {image.name}:{image.tag}.", "Ask your instructor to `make up`.")
    reference = image.reference(place)
    with asking(f"pull {reference}"):
        Docker(place.docker_host).client.images.pull(reference)


def _source(image: LabImage, folder: Path) -> str:
    more = [(checkout() / "constraints.txt").read_bytes()] if image.requirements else []
    return f"source-{key_of_files(folder, more=more)}"


def key_of_files(folder: Path, without: Callable[[Path], bool] = lambda name: False, more: Iterable[bytes] = ()) -> str:
    """Return a short digest of a folder's files, `more` after them; `without` names paths in it that do not count."""
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and "__pycache__" not in name.parts and not without(name):
            sha.update(name.as_posix().encode() + b"\0" + path.read_bytes())
    for content in more:
        sha.update(content)
    return sha.hexdigest()[:16]


def _build(place: Place, image: LabImage, folder: Path, source: str) -> None:
    docker = Docker(place.docker_host)
    try:
        with _context(image, folder) as context:
            built = docker.build(context, timeout=900)
    except NotThere as broken:
        raise CannotCheck(f"The image {image.name} cannot be built: {broken.observed}") from broken
    push(place, docker, built, image.name, (image.tag, source))


def push(place: Place, docker: Docker, image: Image, name: str, tags: Iterable[str]) -> None:
    """Push an image of the engine to the place's registry under some tags. Raises CannotCheck where that fails."""
    for tag in tags:
        with asking(f"push the image {name}"):
            docker.client.api.tag(image.id, f"{place.registry}/{name}", tag)
            for line in docker.client.api.push(f"{place.registry}/{name}", tag, stream=True, decode=True):
                if "error" in line:
                    raise CannotCheck(f"{place.registry} does not take the image: {line['error']}", "Run `make up`.")


@contextmanager
def _context(image: LabImage, folder: Path) -> Iterator[Path]:
    """Yield the folder to build: the image's own, or a copy with its wheels beside it."""
    if not image.requirements:
        yield folder
        return
    wheels = wheel_house(folder / image.requirements)
    with tempfile.TemporaryDirectory(prefix="shipyard-") as scratch:
        context = Path(scratch) / folder.name
        shutil.copytree(folder, context, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(wheels, context / "wheels")
        shutil.copy(checkout() / "constraints.txt", context)
        yield context


def wheel_house(requirements: Path) -> Path:
    """Download what a requirements file asks for, in the course's versions, once; return the folder of wheels."""
    constraints = checkout() / "constraints.txt"
    wheels = cache_dir("wheels", key_of(requirements, constraints))
    log, machine = cache_dir() / "images.log", platform.machine()
    pip = [sys.executable, "-m", "pip"]
    # The one package of them that its makers publish as source only; it is plain Python.
    source_only = [line.strip() for line in constraints.read_text().splitlines() if line.startswith("kfp-server-api==")]
    if not any(wheels.glob("kfp_server_api-*.whl")):
        run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, *source_only], log=log)
    run([*pip, "download", "--quiet", "--dest", wheels, "--find-links", wheels, "--only-binary", ":all:",
         "--python-version", "3.11", "--implementation", "cp", "--platform", f"manylinux_2_28_{machine}",
         "--platform", f"manylinux_2_17_{machine}", "-c", constraints, "-r", requirements], log=log)  # fmt: skip
    return wheels
