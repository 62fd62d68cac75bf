"""Have the images that a sandbox starts with, so that they are there at once.

`docker load` of the base images takes 3 to 11 s. So it is done once, by a
sandbox's own engine, into a volume: the engine's data, as it lies on disk. Each
sandbox copies what describes the images (1 MB) and mounts their files as they
are, read-only (docker/sandbox/engine); its registry's blobs are links likewise.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, NotFound

from autograder import versions
from autograder.facts import CannotCheck, Place
from autograder.ground import engine
from autograder.ground.images import offline
from autograder.ground.keys import key_of
from autograder.ground.lab_images import push
from autograder.ground.locks import alone
from autograder.labs import Lab, checkout
from autograder.sandbox import image
from autograder.sandbox.box import Box, box
from autograder.waiting import TimedOut, wait_until

BASES = (versions.PYTHON_IMAGE, versions.PYTHON_IMAGE_FULL)
SOURCES = ("model-server", "pipeline-base", "training")  # in docker/: what start states are made of
SEED = "shipyard.seed"
PORT = versions.REGISTRY_PORT
WHOLE = "-whole"
AHEAD = "layers-of"  # in the registry: what nobody asks for by name, but whose layers are there
MARK = "00000000ed"  # of the sandbox that fills a volume


def images(lab: Lab) -> tuple[str, ...]:
    """Return the images that the engine of a lab's sandbox starts with."""
    return (*BASES, versions.REDIS_IMAGE) if "compose" in lab.needs else BASES


def begins(lab: Lab) -> bool:
    """Tell whether the lab has a start state of its own."""
    return hasattr(lab.seen, "start")


def with_registry(lab: Lab) -> bool:
    """Tell whether a lab's sandboxes have a registry each."""
    return not {"registry", "cluster"}.isdisjoint(lab.needs)


def volume(lab: Lab) -> str:
    """Return the name of the volume with a lab's images; what they are made of is in it."""
    host = engine.client()
    try:
        parts = [host.images.get(_here(one)).id for one in images(lab)]
    except NotFound as absent:
        raise CannotCheck(f"A base image is missing: {absent.explanation}", "Run `shipyard up`.") from None
    parts += [" ".join(image.PACKAGES), image.folder() / "engine", Path(__file__)]
    if begins(lab):
        sources = [checkout() / "docker" / name for name in SOURCES]
        found = [path for folder in sources for path in folder.rglob("*") if path.is_file()]
        files = sorted(path for path in found if "__pycache__" not in path.parts)
        parts += [lab.slug, *sorted(lab.folder.glob("*.py")), *files]
    return f"shipyard-seed-{lab.slug if begins(lab) else 'base'}-{key_of(*parts)}"


def have(lab: Lab) -> str:
    """Return the volume with a lab's images, filled now if it is not there (20 to 60 s, once).

    Raises CannotCheck where that fails.
    """
    host, name = engine.client(timeout=300), volume(lab)
    if _there(host, _done(name)):
        return name
    with alone("seeds"):
        if _there(host, _done(name)):  # another grader has made it meanwhile
            return name
        _remove(host, name)
        _forget_older(host, name)
        host.volumes.create(name, labels={versions.LABEL: "seed", SEED: "1"})
        try:
            _fill(host, lab, name)
        except (DockerException, TimedOut, OSError) as error:
            raise CannotCheck(f"The sandbox's images could not be prepared: {error}", "Run `shipyard up`.") from error
        # A volume's labels cannot change: a second, empty one says that the first is whole.
        host.volumes.create(_done(name), labels={versions.LABEL: "seed", SEED: "1"})
    return name


def sweep() -> None:
    """Remove all seeds; the next sandbox makes those it needs anew."""
    host = engine.client()
    for one in host.volumes.list(filters={"label": f"{SEED}=1"}):
        one.remove(force=True)


def _fill(host: docker.DockerClient, lab: Lab, name: str) -> None:
    start = begins(lab)
    with box(MARK, seeding=name, registry=start) as it:
        inner = docker.DockerClient(base_url=it.docker_host, timeout=300)
        for reference in images(lab):
            here = _here(reference)
            inner.images.load(host.images.get(here).save(named=here))
            if here != reference:
                inner.images.get(here).tag(reference)
                inner.images.remove(here)
        if start:
            with tempfile.TemporaryDirectory(prefix="shipyard-") as work:
                lab.seen.start(Place(work=Path(work), docker_host=it.docker_host, registry=it.registry))
            _rename(inner, it)
            _push_ahead(inner, lab)
        inner.containers.prune()
        inner.api.prune_builds()
        inner.images.prune()
        inner.close()
        if start:
            it.run(["cp", "-a", "/var/lib/registry", "/seed/registry"], seconds=300)
            # A lab may begin with nothing in its registry: a sandbox copies these folders all the same.
            v2 = "/seed/registry/docker/registry/v2"
            it.run(["mkdir", "-p", f"{v2}/repositories", f"{v2}/blobs"])
        it.run(["pkill", "-TERM", "-x", "dockerd"])
        wait_until(lambda: not (it.folder / "gate" / "up").exists(), "the engine to end", timeout=60)
    rest = "cd /seed/engine && rm -rf buildkit containerd containers network plugins swarm tmp trust volumes"
    host.containers.run(image.IMAGE, ["-c", rest], entrypoint="sh", remove=True, network_mode="none",
                        volumes=[f"{name}:/seed"], labels={versions.LABEL: "seed"})  # fmt: skip


def _here(reference: str) -> str:
    """Return what the host calls an image of a sandbox, which has no network to install packages from."""
    return offline(reference) if reference in BASES else reference


def _forget_older(host: docker.DockerClient, name: str) -> None:
    """Remove what this lab started with before its sources changed; a sandbox that still uses it keeps it."""
    lab = name.rpartition("-")[0]
    for one in host.volumes.list(filters={"label": f"{SEED}=1"}):
        if one.name.removesuffix(WHOLE).rpartition("-")[0] == lab:
            with suppress(APIError):
                one.remove(force=True)


def _rename(inner: docker.DockerClient, it: Box) -> None:
    """Give images the name that learners use for the registry in the place of the grader's.

    Pushed under it, too: the engine then knows under this name where their layers
    are. A learner who pushes what builds on them sends names, where the engine
    would compress 500 MB for each submission.
    """
    for one in inner.images.list():
        for tag in one.tags:
            if tag.startswith(f"{it.registry}/"):
                ours = tag.replace(it.registry, f"localhost:{PORT}", 1)
                one.tag(ours)
                push(inner, ours)
                inner.images.remove(tag)


def _push_ahead(inner: docker.DockerClient, lab: Lab) -> None:
    """Let the registry have the layers of what the lab begins with on the engine only."""
    if not with_registry(lab):
        return
    known = {*images(lab), *(_here(one) for one in images(lab))}
    for one in inner.images.list():
        names = [tag for tag in one.tags if tag not in known]
        if names and not any(tag.startswith(f"localhost:{PORT}/") for tag in names):
            ahead = f"localhost:{PORT}/{AHEAD}/{names[0].partition(':')[0]}:start"
            one.tag(ahead)
            push(inner, ahead)
            inner.images.remove(ahead)


def _done(name: str) -> str:
    return name + WHOLE


def _there(host: docker.DockerClient, name: str) -> bool:
    try:
        host.volumes.get(name)
        return True
    except NotFound:
        return False


def _remove(host: docker.DockerClient, name: str) -> None:
    try:
        host.volumes.get(name).remove(force=True)
    except NotFound:
        pass
    except APIError as error:
        raise CannotCheck(f"The volume {name} is half filled and in use: {error.explanation}",
                          "Remove the container that uses it.") from None  # fmt: skip
