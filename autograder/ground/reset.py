"""Undo what a lab made on engine and cluster, so that it can be done again from its first cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from docker.errors import APIError, NotFound
from kubernetes import client as api
from kubernetes.client.exceptions import ApiException

from autograder.facts import Place
from autograder.ground import cluster, engine


@dataclass(frozen=True)
class Made:
    """Name what a lab's steps make: containers and images in Docker, Deployments and Services in the cluster."""

    containers: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


def reset(made: Made, place: Place) -> Iterator[str]:
    """Remove what is there of it, and yield a line for each thing that was.

    Raises CannotCheck where engine or cluster do not answer.
    """
    docker = engine.client()
    for name in made.containers:
        try:
            docker.containers.get(name).remove(force=True, v=True)
            yield f"container {name}"
        except NotFound:
            pass
    for name in made.images:
        try:
            docker.images.remove(name, force=True)
            yield f"image {name}"
        except (NotFound, APIError):
            pass
    if not (made.deployments or made.services):
        return
    connected = cluster.connection()
    apps, core = api.AppsV1Api(connected), api.CoreV1Api(connected)
    for names, delete, what in (
        (made.deployments, apps.delete_namespaced_deployment, "Deployment"),
        (made.services, core.delete_namespaced_service, "Service"),
    ):
        for name in names:
            try:
                delete(name, place.namespace)
                yield f"{what} {name} in namespace {place.namespace}"
            except ApiException as error:
                if error.status != 404:
                    raise
