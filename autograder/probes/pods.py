"""Look at pods: their state, and why one is not ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubernetes import client
from kubernetes.utils import parse_quantity

from autograder.probes.words import as_written, cut

IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError")


@dataclass(frozen=True)
class Reason:
    """Hold why a pod is not ready: Kubernetes' word for it, and its message."""

    code: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


@dataclass(frozen=True)
class Pod:
    """Tell about one pod; what is said of "the container" is about its first one."""

    name: str
    ready: bool
    phase: str
    restarts: int
    image: str
    image_id: str  # the digest that runs, "sha256:…"
    node: str
    qos: str  # Guaranteed, Burstable or BestEffort
    reasons: tuple[Reason, ...]
    labels: dict[str, str]
    ip: str
    terminating: bool
    untouched: bool  # the cluster's own scheduler, or the node that it chose, has not looked at it
    spec: dict[str, Any]  # in the spelling of manifests: pod.spec["containers"][0]["resources"]

    def because(self, *codes: str) -> Reason | None:
        """Return its first reason of these codes, or None."""
        return next((reason for reason in self.reasons if reason.code in codes), None)

    @property
    def requests(self) -> tuple[float, float]:
        """CPU cores and bytes of memory that all its containers request."""
        return requests_of(self.spec)


def requests_of(spec: dict[str, Any]) -> tuple[float, float]:
    """Return the CPU cores and the bytes of memory that a pod's spec requests (limits count where no request is).

    >>> requests_of({"containers": [{"resources": {"requests": {"cpu": "250m", "memory": "1Ki"}}}]})
    (0.25, 1024.0)
    """
    total = {"cpu": 0.0, "memory": 0.0}
    for container in spec.get("containers") or []:
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name in total:
            total[name] += float(parse_quantity(asked.get(name, 0)))
    return total["cpu"], total["memory"]


def pod_of(seen: client.V1Pod, api: client.ApiClient) -> Pod:
    """Return a Pod from the official client's object."""
    statuses = seen.status.container_statuses or []
    conditions = {one.type: one for one in seen.status.conditions or []}
    ready = conditions.get("Ready")
    terminating = seen.metadata.deletion_timestamp is not None
    image_id = statuses[0].image_id if statuses else ""
    return Pod(
        name=seen.metadata.name,
        ready=bool(ready and ready.status == "True") and not terminating,
        phase=seen.status.phase or "Unknown",
        restarts=sum(status.restart_count for status in statuses),
        image=as_written(seen.spec.containers[0].image or ""),
        image_id=(image_id or "").rpartition("@")[2],
        node=seen.spec.node_name or "",
        qos=seen.status.qos_class or "",
        reasons=tuple(_reasons(seen, conditions)),
        labels=dict(seen.metadata.labels or {}),
        ip=seen.status.pod_ip or "",
        terminating=terminating,
        untouched=_untouched(seen, conditions),
        spec=api.sanitize_for_serialization(seen.spec),
    )


def _untouched(seen: client.V1Pod, conditions: dict[str, client.V1PodCondition]) -> bool:
    """Tell whether nobody of the cluster has taken a pod up, though it waits for them alone.

    A pod whose manifest names the node has no such condition: no scheduler chose it.
    """
    if seen.spec.node_name:
        return "PodScheduled" in conditions and seen.status.start_time is None
    return "PodScheduled" not in conditions and seen.spec.scheduler_name == "default-scheduler"


def _reasons(seen: client.V1Pod, conditions: dict[str, client.V1PodCondition]) -> list[Reason]:
    """Return what keeps a pod from being ready, the nearest cause first."""
    found: list[Reason] = []
    scheduled = conditions.get("PodScheduled")
    if scheduled and scheduled.status == "False":
        found.append(Reason(scheduled.reason or "Unschedulable", cut(scheduled.message or "", 300)))
    for status in (seen.status.init_container_statuses or []) + (seen.status.container_statuses or []):
        ended = (status.state and status.state.terminated) or (status.last_state and status.last_state.terminated)
        if ended and (ended.reason == "OOMKilled"):
            found.append(Reason("OOMKilled", f"container {status.name} used more memory than its limit"))
        waiting = status.state and status.state.waiting
        if waiting and waiting.reason:
            found.append(Reason(waiting.reason, cut(waiting.message or "", 400)))
        if ended and ended.reason == "StartError":
            found.append(Reason("StartError", cut(ended.message or "", 400)))
        elif ended and ended.exit_code and ended.reason != "OOMKilled":
            found.append(Reason("Error", f"container {status.name} ended with exit code {ended.exit_code}"))
    if seen.status.reason:  # such as Evicted
        found.append(Reason(seen.status.reason, cut(seen.status.message or "", 300)))
    return found
