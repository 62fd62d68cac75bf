"""Label what a submission makes on the Docker engine, and remove it afterwards."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, NotFound

from autograder.facts import CannotCheck, Place
from autograder.ground.reset import PROJECT, Made, remove_project, reset_docker, reset_registry
from autograder.ground.step import tools
from autograder.probes.builder import builder
from autograder.probes.engine import connect

LABEL = "shipyard.submission"
FOLDER = f"{PROJECT}.working_dir"

# Other builds may run on the engine at the same time, so comparing before and after would remove theirs.
# The learner's `docker` therefore adds a label; images hand it on to their containers.
SHIM = """#!/bin/sh
case "$1 $2" in
  "build "*|"run "*|"create "*) verb=$1; shift; exec {docker} "$verb" --label {label} "$@" ;;
  "image build"|"builder build"|"container run"|"container create"|"network create"|"volume create")
    noun=$1 verb=$2; shift 2; exec {docker} "$noun" "$verb" --label {label} "$@" ;;
esac
exec {docker} "$@"
"""


@contextmanager
def labelled(
    mark: str, aside: Path, say: Callable[[str], None], work: Path | None = None, made: Made | None = None
) -> Iterator[dict[str, str]]:
    """Yield variables for the kernel with which `docker` labels what it makes; remove that at the end.

    `aside` is a folder for our own files. Compose labels by itself, with the
    folder it was called in: its projects of `work` are removed. `made` names
    what the lab's steps make: a submission must not find another's. Raises
    CannotCheck where the engine does not answer.
    """
    engine = connect()
    label = f"{LABEL}={mark}"

    def clear() -> None:
        remove_projects(engine, work, say)
        remove(engine, label, say, before)
        if made:
            _try(lambda: list(reset_docker(made, engine)), "what the lab's steps make", say)
            list(reset_registry(made, Place(work=aside).registry))

    before = None
    clear()
    before = {volume.name for volume in engine.volumes.list()}
    variables = {"SHIPYARD_LABEL": label}  # for notebooks that make containers by a library
    with suppress(CannotCheck):  # without the command, the learner's cells say so themselves
        using = builder()
        shim = aside / "bin" / "docker"
        shim.parent.mkdir()
        shim.write_text(SHIM.format(docker=shlex.quote(using.cli), label=label))
        shim.chmod(0o755)
        variables["DOCKER_BUILDKIT"] = str(int(using.buildkit))
        path = [str(shim.parent), str(tools()), os.environ.get("PATH", os.defpath)]
        variables["PATH"] = os.pathsep.join(path)
    try:
        yield variables
    finally:
        clear()
        engine.close()


def remove_projects(engine: docker.DockerClient, work: Path | None, say: Callable[[str], None]) -> None:
    """Remove the compose projects that were started in a submission's folder."""
    with suppress(DockerException):  # the engine went away: said by `remove`
        for container in engine.containers.list(all=True, filters={"label": FOLDER}, ignore_removed=True):
            if work and Path(container.labels[FOLDER]).is_relative_to(work):
                name = container.labels.get(PROJECT, "")
                _try(lambda n=name: list(remove_project(engine, n)), f"compose project {name}", say)


def remove(engine: docker.DockerClient, label: str, say: Callable[[str], None], before: set[str] | None = None) -> None:
    """Remove containers, images, networks and volumes with a label; what cannot be removed is said.

    A volume that `docker run` made has no label: it goes where a container with
    the label uses it and it is not among those from `before`.
    """
    wanted, silent = {"label": label}, set()
    try:
        for container in engine.containers.list(all=True, filters=wanted, ignore_removed=True):
            used = {mount.get("Name", "") for mount in container.attrs["Mounts"] if mount["Type"] == "volume"}
            silent |= used - (before if before is not None else used)
            _try(lambda c=container: c.remove(force=True, v=True), f"container {container.name}", say)
        for image in engine.images.list(all=True, filters=wanted):
            _try(lambda i=image: engine.images.remove(i.id, force=True), f"image {image.short_id}", say)
        for network in engine.networks.list(filters=wanted):
            _try(network.remove, f"network {network.name}", say)
        new = [volume for volume in engine.volumes.list() if volume.name in silent]
        for volume in {one.name: one for one in [*new, *engine.volumes.list(filters=wanted)]}.values():
            _try(lambda v=volume: v.remove(force=True), f"volume {volume.name}", say)
    except DockerException as error:  # the engine went away: the verdicts that were made still stand
        say(f"what the submission made could not be removed: {error}")


def _try(action: Callable[[], object], what: str, say: Callable[[str], None]) -> None:
    try:
        action()
    except NotFound:
        pass
    except APIError as error:
        say(f"{what} could not be removed: {error.explanation or error}")
    except CannotCheck as fault:
        say(fault.cause)
