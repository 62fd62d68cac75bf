"""List all steps of the ground, for labs that need Docker only and for those that need more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from autograder import versions
from autograder.ground import cluster, engine, images, programs, redis
from autograder.ground.addons import ADDONS
from autograder.ground.step import Step
from autograder.labs import Lab


def docker_steps() -> list[Step]:
    """Return the steps to an engine and base images: enough for labs that need "docker"."""
    return [*engine.steps(), *images.steps()]


def service_steps() -> list[Step]:
    """Return the further steps to compose, a registry and Redis, for labs that need "compose" or "registry"."""
    registry = Step("Registry", f"images go to localhost:{versions.REGISTRY_PORT}", 3,
                    cluster.registry_ready, cluster.start_registry)  # fmt: skip
    return [redis.step(), programs.step(), registry]


def cluster_steps() -> list[Step]:
    """Return the further steps to a cluster, for labs that need "cluster"."""
    return cluster.steps()


LAYERS: dict[str, Callable[[], Sequence[Step]]] = {  # in the order in which they come up
    "docker": docker_steps,
    "services": service_steps,
    "cluster": cluster_steps,
    **{name: addon.steps for name, addon in ADDONS.items()},
}
STANDS_ON = {
    "docker": (),
    "services": ("docker",),
    "cluster": ("docker",),
    **dict.fromkeys(ADDONS, ("docker", "cluster")),
}
LAYER_OF = {"compose": "services", "registry": "services"}  # where the need has another name than its layer
USUAL = ("docker", "services", "cluster")  # what `shipyard up` brings up by itself


def layers(needs: Iterable[str]) -> list[str]:
    """Return the layers that needs stand on, from the ground up.

    >>> layers(["cluster"])
    ['docker', 'cluster']
    """
    wanted = {LAYER_OF.get(need, need) for need in needs}
    wanted |= {below for layer in wanted for below in STANDS_ON[layer]}
    return [layer for layer in LAYERS if layer in wanted]


def needs_of(labs: Iterable[Lab]) -> list[str]:
    """Return the layers that labs need together, from the ground up."""
    return layers({need for lab in labs for need in lab.needs})


def all_steps(needs: Iterable[str] = USUAL) -> Iterator[Step]:
    """Yield all steps to some needs; those of a layer are listed only when the one that they ask is there."""
    for layer in layers(needs):
        yield from LAYERS[layer]()
