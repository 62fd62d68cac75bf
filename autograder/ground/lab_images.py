"""Have an image of the course's own in the registry, for labs that start from it.

    have(place, PIPELINE_BASE)

The registry keeps a second tag, made of what the image is built from: where it
names the same image, nothing is built. A learner without the course's checkout
takes what the instructor pushed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docker import DockerClient

from autograder.facts import CannotCheck, NotThere, Place
from autograder.ground.keys import key_of_files
from autograder.ground.wheels import wheel_house
from autograder.labs import checkout
from autograder.probes.docker import Docker
from autograder.probes.engine import asking
from autograder.probes.registry import digest_of


@dataclass(frozen=True)
class LabImage:
    """Name an image: its repository and tag, the folder below the checkout that it is built from.

    `without` names what of the folder does not go into the build, `beside` what
    does from elsewhere: a path below the checkout and its name in the build.
    `requirements` names a file in the folder whose wheels the build needs: they
    are downloaded outside of it, for a build may have no network.
    """

    name: str
    tag: str
    folder: str
    requirements: str = ""
    without: tuple[str, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)

    def reference(self, place: Place) -> str:
        """Return the image's whole name in the place's registry."""
        return f"{place.registry}/{self.name}:{self.tag}"


PIPELINE_BASE = LabImage("pipeline-base", "v1", "docker/pipeline-base", requirements="requirements.txt")
# What trains serves, too: the image has the model server's own code.
TRAINING = LabImage(
    "training", "v1", "docker/training", requirements="requirements.txt",
    beside={f"docker/model-server/{name}": name for name in ("digits_server", "gunicorn.conf.py")},
)  # fmt: skip


def have(place: Place, image: LabImage) -> None:
    """See to it that the registry has the image; quick where it has.

    Raises CannotCheck where registry or engine do not answer, or the image cannot be built.
    """
    there = digest_of(place, f"{image.name}:{image.tag}")
    folder = checkout() / image.folder
    if not folder.is_dir():  # a learner without the course's checkout: what the instructor pushed
        if there:
            return
        raise CannotCheck(f"The registry has no image {image.name}:{image.tag}.", "Ask your instructor to `make up`.")
    with tempfile.TemporaryDirectory(prefix="shipyard-") as scratch:
        context = Path(scratch) / folder.name
        _lay_out(image, context)
        source = f"source-{key_of_files(context)}"
        if not there or there != digest_of(place, f"{image.name}:{source}"):
            _build(place, image, context, source)


def have_on_engine(place: Place, image: LabImage) -> None:
    """See to it that registry and engine have the image; as `have`."""
    have(place, image)
    reference = image.reference(place)
    with asking(f"pull {reference}"):
        Docker(place.docker_host).client.images.pull(reference)


def push(client: DockerClient, reference: str) -> None:
    """Push an image of an engine by its whole name. Raises CannotCheck where the registry does not take it."""
    for line in client.api.push(reference, stream=True, decode=True):
        if "error" in line:
            raise CannotCheck(f"The registry does not take {reference}: {line['error']}", "Run `make up`.")


def _lay_out(image: LabImage, context: Path) -> None:
    """Write what the image is built from, without its wheels, which follow from it."""
    skip = shutil.ignore_patterns("__pycache__", "*.md", *image.without)
    shutil.copytree(checkout() / image.folder, context, ignore=skip)
    for path, name in image.beside.items():
        source, target = checkout() / path, context / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=skip)
        else:
            shutil.copy(source, target)
    if image.requirements:
        shutil.copy(checkout() / "constraints.txt", context)


def _build(place: Place, image: LabImage, context: Path, source: str) -> None:
    if image.requirements:
        shutil.copytree(wheel_house(checkout() / image.folder / image.requirements), context / "wheels")
    docker = Docker(place.docker_host)
    try:
        built = docker.build(context, timeout=900)
    except NotThere as broken:
        raise CannotCheck(f"The image {image.name} cannot be built: {broken.observed}") from broken
    for tag in (image.tag, source):  # the source last: a run that is killed between them builds again
        with asking(f"push the image {image.name}"):
            docker.client.api.tag(built.id, f"{place.registry}/{image.name}", tag)
            push(docker.client, f"{place.registry}/{image.name}:{tag}")
