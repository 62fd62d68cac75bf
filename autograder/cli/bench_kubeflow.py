"""Measure Kubeflow's parts: how long addons take to come up, what they hold, what a pipeline's steps cost."""

# Without `from __future__ import annotations`: kfp reads a component's types from its annotations, not their text.

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from kubernetes import client as api
from kubernetes.utils import parse_quantity

from autograder.facts import CannotCheck, Place
from autograder.ground import cluster, engine
from autograder.ground.addon import Addon
from autograder.ground.addons import ADDONS
from autograder.ground.lab_images import PIPELINE_BASE, have_on_engine
from autograder.waiting import TimedOut, wait_until

Figure = tuple[str, str]
STEPS = 5  # of the pipeline that does nothing


def addons(cold: bool) -> Iterator[Figure]:
    """Remove each addon's controllers and time how they come up again; `cold` compiles them, too."""
    core = api.CoreV1Api(cluster.connection())
    for addon in ADDONS.values():
        if cold:
            started = time.monotonic()
            addon.build()
            yield f"{addon.what}: compile, nothing in Go's caches of packages", f"{time.monotonic() - started:.0f} s"
        if not addon.loaded():
            addon.load()
        for namespace in addon.namespaces:
            remove(core, namespace)
        started = time.monotonic()
        addon.install()
        yield f"{addon.what}: manifests to controllers that answer", f"{time.monotonic() - started:.0f} s"
        yield f"{addon.what}: memory of its controllers", f"{memory(addon) / 2**20:.0f} MiB"


def remove(core: api.CoreV1Api, namespace: str) -> None:
    """Delete a namespace and wait until it is gone."""
    gone = f"metadata.name={namespace}"
    if core.list_namespace(field_selector=gone).items:
        core.delete_namespace(namespace)
        wait_until(lambda: not core.list_namespace(field_selector=gone).items, f"{namespace} to be gone", 120, 0.5)


def memory(addon: Addon) -> float:
    """Return the bytes that an addon's pods hold, as metrics-server has measured them. Raises CannotCheck."""
    custom = api.CustomObjectsApi(cluster.connection())

    def measured() -> list[float]:
        found = [custom.list_namespaced_custom_object("metrics.k8s.io", "v1beta1", namespace, "pods")["items"]
                 for namespace in addon.namespaces]  # fmt: skip
        held = [parse_quantity(container["usage"]["memory"]) for pods in found for pod in pods
                for container in pod["containers"]]  # fmt: skip
        return [float(one) for one in held] if all(found) else []

    try:
        return sum(wait_until(measured, "figures of memory", timeout=120, pause=2))
    except TimedOut as late:
        raise CannotCheck(str(late), "Is metrics-server well? `kubectl top pods -A`.") from None


def overhead(scratch: Path) -> Iterator[Figure]:
    """Time a step of a pipeline that does nothing against a container that does nothing."""
    plain, step = bare(), steps(scratch / "steps")
    yield "a container of the pipelines' image that does nothing", f"{plain:.2f} s"
    yield "a step of a pipeline that does nothing", f"{step:.2f} s ({step / plain:.1f} times as much)"


def bare() -> float:
    """Return the median seconds of a container that does nothing."""
    host, place = engine.client(timeout=120), Place(work=Path())
    have_on_engine(place, PIPELINE_BASE)
    took = []
    for _ in range(STEPS):
        started = time.monotonic()
        host.containers.run(PIPELINE_BASE.reference(place), ["python3", "-c", "pass"], remove=True)
        took.append(time.monotonic() - started)
    return statistics.median(took)


def steps(folder: Path) -> float:
    """Return the seconds of each step of a pipeline whose steps do nothing, one after the other."""
    from kfp import dsl, local  # slow to import

    from autograder.notebook.pipelines import as_me, workspace

    @dsl.component(base_image=PIPELINE_BASE.reference(Place(work=Path())))
    def nothing(before: str) -> str:
        return before

    @dsl.pipeline(name="nothing")
    def chain() -> None:
        given = "go"
        for _ in range(STEPS):
            given = nothing(before=given).output

    folder.mkdir()
    local.init(runner=local.DockerRunner(user=as_me()), pipeline_root=str(folder / "runs"),
               workspace_root=workspace(folder / "runs"), enable_caching=False, raise_on_error=True)  # fmt: skip
    started = time.monotonic()
    chain()
    return (time.monotonic() - started) / STEPS
