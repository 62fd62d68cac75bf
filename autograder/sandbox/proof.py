"""Prove that nothing of a sandbox is left: look for each kind of thing that one makes."""

from __future__ import annotations

from pathlib import Path

from docker.errors import DockerException
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from autograder.facts import CannotCheck
from autograder.ground import engine
from autograder.sandbox import folders
from autograder.sandbox.box import BOX, SUBMISSION


def left_behind(mark: str, cluster: bool = False) -> list[str]:
    """Return what is left of a submission's sandboxes, a line each: none is what is wanted.

    Looked at: containers, networks, volumes and images on the host's engine,
    processes, mounts, folders, and with `cluster` the namespace and the node's
    images. `mark` is the submission's; a token works too.
    """
    try:
        found = [*_on_engine(mark), *_processes(mark), *_mounts(mark)]
        found += [f"folder {path}" for path in folders.boxes().glob(f"{mark}*")]
        if cluster:
            found += _in_cluster(mark)
    except (DockerException, OSError, ApiException, HTTPError) as error:
        raise CannotCheck(f"It cannot be seen what is left: {error}") from error
    return found


def _on_engine(mark: str) -> list[str]:
    host = engine.client()
    found = []
    for container in host.containers.list(all=True, ignore_removed=True):
        if container.labels.get(BOX, "").startswith(mark) or container.labels.get(SUBMISSION) == mark[:10]:
            found.append(f"container {container.name}")
    label = {"label": f"{SUBMISSION}={mark[:10]}"}
    found += [f"network {one.name}" for one in host.networks.list(filters=label)]
    found += [f"volume {one.name}" for one in host.volumes.list(filters=label)]
    found += [f"image {one.short_id}" for one in host.images.list(all=True, filters=label)]
    return found


def _processes(mark: str) -> list[str]:
    """Find processes by what no process can hide from root: its root folder's mounts."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if f"/boxes/{mark}" in (entry / "mountinfo").read_text():
                name = (entry / "comm").read_text().strip()
                found.append(f"process {entry.name} ({name})")
        except OSError:
            continue
    return found


def _mounts(mark: str) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [f"mount {line.split()[4]}" for line in lines if f"/boxes/{mark}" in line]


def _in_cluster(mark: str) -> list[str]:
    from autograder.ground.cluster import connection
    from autograder.sandbox.namespace import LABEL
    from autograder.sandbox.network import images_of

    api = connection()
    spaces = client.CoreV1Api(api).list_namespace(label_selector=f"{LABEL}={mark[:10]}").items
    found = [f"namespace {one.metadata.name} ({one.status.phase})" for one in spaces]
    return found + [f"image on the node: {name}" for name in images_of(mark)]
