"""Have an image of the course's own in the registry and on the engine, for labs that start from it.

    have(place, MODEL_SERVER)

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
from collections.abc import Iterator
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
from autograder.probes.http import ask

MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in ("oci.image.index.v1", "docker.distribution.manifest.list.v2", "oci.image.manifest.v1",
                 "docker.distribution.manifest.v2")
)  # fmt: skip


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


MODEL_SERVER = LabImage("digits", "v1", "docker/model-server")
PIPELINE_BASE = LabImage("pipeline-base", "v1", "docker/pipeline-base", requirements="requirements.txt")


def have(place: Place, image: LabImage) -> None:
    """See to it that registry and engine have the image; quick where they do.

    Raises CannotCheck where one of them does not answer, or the image cannot be built.
    """
    folder = checkout() / image.folder
    there = digest_of(place, image.name, image.tag)
    if folder.is_dir():
        source = _source(image, folder)
        if not there or there != digest_of(place, image.name, source):
            _build(place, image, folder, source)
    elif not there:
        raise CannotCheck(f"The registry has no image {image.name}:{image.tag}.", "Ask your instructor to `make up`.")
    reference = image.reference(place)
    with asking(f"pull {reference}"):
        Docker(place.docker_host).client.images.pull(reference)


def digest_of(place: Place, name: str, tag: str) -> str | None:
    """Return the digest that the registry has for an image's tag, None for none.

    Raises CannotCheck where the registry does not answer.
    """
    try:
        answer = ask("HEAD", f"http://{place.registry}/v2/{name}/manifests/{tag}", headers={"accept": MANIFESTS})
    except NotThere as silent:
        raise CannotCheck(f"The registry {place.registry} does not answer.", "Run `make up`.") from silent
    return answer.headers.get("docker-content-digest") if answer.status == 200 else None


def _source(image: LabImage, folder: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            sha.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    if image.requirements:
        sha.update((checkout() / "constraints.txt").read_bytes())
    return f"source-{sha.hexdigest()[:16]}"


def _build(place: Place, image: LabImage, folder: Path, source: str) -> None:
    docker = Docker(place.docker_host)
    try:
        with _context(image, folder) as context:
            built = docker.build(context, timeout=900)
    except NotThere as broken:
        raise CannotCheck(f"The image {image.name} cannot be built: {broken.observed}") from broken
    for tag in (image.tag, source):
        with asking(f"push the image {image.name}"):
            docker.client.api.tag(built.id, f"{place.registry}/{image.name}", tag)
            for line in docker.client.api.push(f"{place.registry}/{image.name}", tag, stream=True, decode=True):
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
