"""Undo what a lab made on engine and cluster, so that it can be done again from its first cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
from docker import DockerClient
from docker.errors import APIError, NotFound
from kubernetes import client as api
from kubernetes.client.exceptions import ApiException

from autograder.facts import CannotCheck, Place
from autograder.ground import cluster, engine
from autograder.probes.engine import said
from autograder.probes.inference import SERVICES
from autograder.probes.registry import MANIFESTS
from autograder.probes.training import TRAINJOBS

PROJECT = "com.docker.compose.project"  # compose's own label


@dataclass(frozen=True)
class Made:
    """Name what a lab's steps make: in Docker, in the registry, and in the cluster.

    `projects` are compose's, `pushed` the registry's repositories, `others` further
    objects of the namespace, each as "kind/name" with a kind of KINDS or CUSTOM.
    """

    containers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    pushed: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


KINDS = {
    "deployment": (api.AppsV1Api, "Deployment"),
    "service": (api.CoreV1Api, "Service"),
    "pod": (api.CoreV1Api, "Pod"),
    "configmap": (api.CoreV1Api, "ConfigMap"),
    "secret": (api.CoreV1Api, "Secret"),
    "persistentvolumeclaim": (api.CoreV1Api, "PersistentVolumeClaim"),
    "limitrange": (api.CoreV1Api, "LimitRange"),
    "job": (api.BatchV1Api, "Job"),
    "horizontalpodautoscaler": (api.AutoscalingV2Api, "HorizontalPodAutoscaler"),
    "poddisruptionbudget": (api.PolicyV1Api, "PodDisruptionBudget"),
    "networkpolicy": (api.NetworkingV1Api, "NetworkPolicy"),
}
CUSTOM = {"trainjob": ("TrainJob", *TRAINJOBS), "inferenceservice": ("InferenceService", *SERVICES)}


def reset(made: Made, place: Place) -> Iterator[str]:
    """Remove what is there of it, and yield a line for each thing that was.

    Raises CannotCheck where engine or cluster do not answer.
    """
    yield from reset_docker(made, engine.client())
    yield from reset_registry(made, place.registry)
    objects = [f"deployment/{name}" for name in made.deployments] + [f"service/{name}" for name in made.services]
    objects += made.others
    if not objects:
        return
    connected = cluster.connection()
    for one in objects:
        kind, _, name = one.partition("/")
        spoken, delete = _delete(connected, kind)
        try:
            delete(name, place.namespace)
            yield f"{spoken} {name} in namespace {place.namespace}"
        except ApiException as error:
            if error.status != 404:
                raise


def _delete(connected: api.ApiClient, kind: str) -> tuple[str, Callable[[str, str], object]]:
    """Return a kind's name and the function that deletes one of it, by name and namespace."""
    options = api.V1DeleteOptions(propagation_policy="Background")
    if kind in CUSTOM:
        spoken, group, version, plural = CUSTOM[kind]
        custom = api.CustomObjectsApi(connected)
        return spoken, lambda name, space: custom.delete_namespaced_custom_object(group, version, space, plural, name)
    client, spoken = KINDS[kind]
    delete = getattr(client(connected), f"delete_namespaced_{_python(spoken)}")
    return spoken, lambda name, space: delete(name, space, body=options)


def _python(kind: str) -> str:
    """Return a kind as the client library's methods spell it.

    >>> _python("NetworkPolicy"), _python("ConfigMap")
    ('network_policy', 'config_map')
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()


def reset_docker(made: Made, docker: DockerClient) -> Iterator[str]:
    """Remove what is there of it on an engine; containers first, for they use the rest. Raises CannotCheck."""
    for project in made.projects:
        yield from remove_project(docker, project)
    for kind, names, what in (
        (docker.containers, made.containers, "container"),
        (docker.networks, made.networks, "network"),
        (docker.volumes, made.volumes, "volume"),
    ):
        for name in names:
            options = {"force": True, "v": True} if what == "container" else {}
            if removed(lambda k=kind, n=name, o=options: k.get(n).remove(**o), f"{what} {name}"):
                yield f"{what} {name}"
    for name in made.images:
        try:
            docker.images.remove(name, force=True)
            yield f"image {name}"
        except (NotFound, APIError):
            pass


def remove_project(docker: DockerClient, project: str) -> Iterator[str]:
    """Remove a compose project's containers, networks and volumes, which compose labels, and yield a line for each.

    Raises CannotCheck where one is in use elsewhere.
    """
    wanted = {"label": f"{PROJECT}={project}"}
    for container in docker.containers.list(all=True, filters=wanted, ignore_removed=True):
        if removed(lambda c=container: c.remove(force=True, v=True), f"container {container.name}"):
            yield f"container {container.name}"
    for thing in [*docker.networks.list(filters=wanted), *docker.volumes.list(filters=wanted)]:
        what = f"{thing.name} of the compose project {project}"
        if removed(thing.remove, what):
            yield what


def removed(remove: Callable[[], object], what: str) -> bool:
    """Remove a thing, and tell whether it was there.

    Raises CannotCheck where it cannot be removed: another container uses it.
    """
    try:
        remove()
        return True
    except NotFound:
        return False
    except APIError as error:
        fix = "Remove the container that uses it (`docker ps -a` lists them all), then run this again."
        raise CannotCheck(f"The Docker engine could not remove {what}: {said(error)}", fix) from error


def reset_registry(made: Made, registry: str) -> Iterator[str]:
    """Remove repositories from a registry; one that does not answer holds nothing that anybody could use."""
    for repository in made.pushed:
        where = f"http://{registry}/v2/{repository}"
        try:
            for tag in (httpx.get(f"{where}/tags/list", timeout=10).json() or {}).get("tags") or []:
                head = httpx.head(f"{where}/manifests/{tag}", headers={"accept": MANIFESTS}, timeout=10)
                httpx.delete(f"{where}/manifests/{head.headers.get('docker-content-digest')}", timeout=10)
                yield f"image {registry}/{repository}:{tag}"
        except (httpx.HTTPError, ValueError):
            return
