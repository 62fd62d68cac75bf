"""Have the image in which training runs and from which its models are served (docker/training/)."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autograder.facts import CannotCheck, NotThere, Place
from autograder.ground.images import key_of
from autograder.ground.shell import run
from autograder.ground.step import cache_dir
from autograder.labs import checkout
from autograder.probes.docker import Docker
from autograder.probes.engine import asking
from autograder.probes.registry import digest_of

NAME, TAG = "training", "v1"


def folder() -> Path:
    """Return the folder of the image's source."""
    return checkout() / "docker" / "training"


def server() -> list[Path]:
    """Return the files of the model server that go into the image."""
    home = checkout() / "docker" / "model-server"
    package = sorted(path for path in (home / "digits_server").rglob("*") if path.is_file())
    return [home / "gunicorn.conf.py", *(path for path in package if "__pycache__" not in path.parts)]


def source_tag() -> str:
    """Return the tag that names what the image is made of."""
    return f"source-{key_of(*sorted(path for path in folder().glob('*') if path.suffix != '.md'), *server())}"


def have(place: Place) -> None:
    """See to it that the place's registry has the image as training:v1; quick where it has.

    Raises CannotCheck where engine or registry do not answer, or the image cannot be built.
    """
    there = digest_of(place, f"{NAME}:{TAG}")
    if not folder().is_dir():  # a learner without the course's checkout: what the instructor pushed
        if there:
            return
        raise CannotCheck(f"The registry has no image {NAME}:{TAG}.", "Ask your instructor to run `make up`.")
    if there and there == digest_of(place, f"{NAME}:{source_tag()}"):
        return
    docker = Docker(place.docker_host)
    try:
        with context() as ready:
            image = docker.build(ready, timeout=600)
    except NotThere as broken:
        raise CannotCheck(f"The image for training cannot be built: {broken.observed}") from broken
    for tag in (source_tag(), TAG):  # in this order: a run that is killed between them builds again
        with asking("push the image for training"):
            docker.client.api.tag(image.id, f"{place.registry}/{NAME}", tag)
            for line in docker.client.api.push(f"{place.registry}/{NAME}", tag, stream=True, decode=True):
                if "error" in line:
                    raise CannotCheck(f"{place.registry} does not take the image: {line['error']}", "Run `make up`.")


@contextmanager
def context() -> Iterator[Path]:
    """Yield a build context: the folder, the model server's code, and the wheels."""
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        ready = Path(scratch) / "training"
        shutil.copytree(folder(), ready)
        home = checkout() / "docker" / "model-server"
        for path in server():
            (ready / path.relative_to(home)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, ready / path.relative_to(home))
        shutil.copytree(wheels(), ready / "wheels")
        yield ready


def wheels() -> Path:
    """Download the wheels of the image, once; return their folder. A build has no network where no registry answers."""
    wanted, pins = folder() / "requirements.txt", checkout() / "constraints.txt"
    kept = cache_dir("wheels", key_of(wanted, pins))
    machine = platform.machine()
    run([sys.executable, "-m", "pip", "download", "--quiet", "--dest", kept, "--only-binary", ":all:",
         "--python-version", "3.11", "--implementation", "cp", "--platform", f"manylinux_2_28_{machine}",
         "--platform", f"manylinux_2_17_{machine}", "-c", pins, "-r", wanted],
        log=cache_dir() / "images.log")  # fmt: skip
    return kept
