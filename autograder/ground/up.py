"""List all steps of the ground, for labs that need Docker only and for those that need a cluster."""

from __future__ import annotations

from collections.abc import Iterator

from autograder.ground import cluster, engine, images
from autograder.ground.step import Step


def docker_steps() -> list[Step]:
    """Return the steps to an engine and base images: enough for labs that need "docker"."""
    return [*engine.steps(), *images.steps()]


def cluster_steps() -> list[Step]:
    """Return the further steps to a cluster, for labs that need "cluster"."""
    return cluster.steps()


def all_steps() -> Iterator[Step]:
    """Yield all steps; those to the cluster are listed only when the engine, which they ask, is there."""
    yield from docker_steps()
    yield from cluster_steps()
