"""Remove everything that was brought up or made by labs, and prove that nothing is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground import cluster, commands, engine, programs
from autograder.ground.reset import reset_docker
from autograder.ground.step import cache_dir, tools
from autograder.labs import syllabus

SOCKETS = Path("/run/shipyard")  # of sandboxes; they are gone by then
LABELS = (versions.LABEL, f"{versions.LABEL}.lab", f"{versions.LABEL}.submission")


def down(say: Callable[[str], None], cache: bool = False) -> list[str]:
    """Remove cluster, registry, containers, images, volumes, links, and the engine if we started it.

    `cache=True` removes the caches, too: the next `up` compiles again. Debian
    packages stay. Returns what is still there, which should be nothing.
    """
    left: list[str] = []
    if engine.answers():
        if cluster.node_container() is not None and (tools() / "kind").exists():
            say("the cluster")
            cluster.remove()
        client = engine.client(timeout=120)
        left += clear(client, say)
        if engine.pid_file():  # on an engine of ours, all that builds kept is ours, too
            client.images.prune()
            client.api.prune_builds()
        client.close()
    if engine.pid_file():
        say("the engine")
        engine.stop()
        left += [f"process {pid} of the engine" for pid in engine.ours()]
    for link in (*commands.places(), programs.plugin()):
        if commands.ours(link):
            link.unlink()
    shutil.rmtree(SOCKETS, ignore_errors=True)
    if cache:
        say("the caches")
        shutil.rmtree(cache_dir(), ignore_errors=True)
    return left


def clear(client: DockerClient, say: Callable[[str], None]) -> list[str]:
    """Remove what is ours from an engine, and what labs made there; return what is still there."""
    left: list[str] = []
    say("containers")
    for container in containers(client):
        container.remove(force=True, v=True)
    say("what labs made")
    for lab in syllabus():  # networks and volumes of a learner's compose file, say, have no label of ours
        try:
            list(reset_docker(lab.seen.MADE, client))
        except CannotCheck as fault:  # a container of somebody else's uses it
            left.append(fault.cause)
    say("images")
    for image in images(client):
        with suppress(APIError):  # it is the parent of another of ours, and goes with that
            client.images.remove(image.id, force=True)
    say("networks and volumes")
    for thing in [*labelled(client.volumes), *labelled(client.networks)]:
        with suppress(APIError):  # in use: `remains` tells
            thing.remove()
    for volume in client.volumes.list():
        if volume.name == "shipyard-registry":
            volume.remove()
    for network in client.networks.list(names=["kind"]):
        network.reload()
        if network.name == "kind" and not network.containers:
            network.remove()
    return left + remains(client)


def labelled(kind, **options) -> list:
    """Return the engine's things of one kind that carry a label of ours, each once."""
    found = {thing.id: thing for label in LABELS for thing in kind.list(filters={"label": label}, **options)}
    return list(found.values())


def containers(client) -> list:
    """Return our containers: by label, and the node, which kind labels."""
    found = {c.id: c for c in labelled(client.containers, all=True)}
    for container in client.containers.list(all=True, filters={"label": f"io.x-k8s.kind.cluster={versions.CLUSTER}"}):
        found[container.id] = container
    return list(found.values())


def images(client) -> list:
    """Return our images: by label, and those that labs named at the local registry."""
    found = {i.id: i for i in labelled(client.images)}
    for image in client.images.list():
        if any(tag.startswith((f"localhost:{versions.REGISTRY_PORT}/", "localhost/shipyard/")) for tag in image.tags):
            found[image.id] = image
    return list(found.values())


def remains(client) -> list[str]:
    """Return a line for each thing of ours that the engine still has."""
    return (
        [f"container {c.name}" for c in containers(client)]
        + [f"image {', '.join(i.tags) or i.short_id}" for i in images(client)]
        + [f"volume {v.name}" for v in labelled(client.volumes)]
        + [f"network {n.name}" for n in labelled(client.networks)]
    )
