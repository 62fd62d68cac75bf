"""Look at training on the cluster: TrainJobs, the JobSet that Trainer made of each, and the pods that ran.

job = Trainings(kube).ended("together", timeout=120)
job.complete, [node.exit_code for node in job.nodes]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kubernetes import client

from autograder.facts import CannotCheck, NotThere
from autograder.probes.apiserver import call
from autograder.probes.kubernetes import Kube
from autograder.probes.pods import Pod, pod_of
from autograder.probes.words import cut, listed
from autograder.waiting import TimedOut, wait_until

UP = "`shipyard up --lab` with the lab's name brings it up."
RUNTIMES = ("trainer.kubeflow.org", "v1alpha1", "clustertrainingruntimes")
TRAINJOBS = ("trainer.kubeflow.org", "v1alpha1", "trainjobs")
JOBSETS = ("jobset.x-k8s.io", "v1alpha2", "jobsets")
OF = "jobset.sigs.k8s.io/jobset-name"  # the label of a JobSet's pods
SMALL = (0.5, 1024.0**3)  # cores, bytes: what a node may ask for without being at fault
INDEX = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class Node:
    """Tell about one node of a training: a pod of the TrainJob's own."""

    index: int
    pod: Pod
    exit_code: int | None  # None: it has not ended
    reason: str  # Kubernetes' word for the end: Completed, Error, OOMKilled
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True)
class TrainJob:
    """Tell about one TrainJob as its controller left it; `conditions` maps a type to status, reason and message."""

    name: str
    runtime: str
    conditions: dict[str, dict[str, Any]]
    created: datetime
    spec: dict[str, Any]
    jobset: dict[str, Any] | None
    nodes: tuple[Node, ...] = field(repr=False)

    @property
    def complete(self) -> bool:
        """Tell whether the controller says that it is complete."""
        return self._is("Complete")

    @property
    def failed(self) -> bool:
        """Tell whether the controller says that it has failed."""
        return self._is("Failed")

    @property
    def ended(self) -> bool:
        """Tell whether it is complete or has failed."""
        return self.complete or self.failed

    @property
    def seconds(self) -> float:
        """Seconds from its creation to its end. Raises NotThere where it has not ended."""
        for kind in ("Complete", "Failed"):
            if self._is(kind):
                return (moment(self.conditions[kind]["lastTransitionTime"]) - self.created).total_seconds()
        raise NotThere(f"The TrainJob {self.name} has not ended.")

    @property
    def resources(self) -> dict[str, dict[str, str]]:
        """The requests and limits of a node's container, as they stand in the JobSet."""
        return (self.template["spec"]["containers"][0].get("resources")) or {}

    @property
    def template(self) -> dict[str, Any]:
        """The pod template of its nodes, in the spelling of manifests. Raises NotThere without a JobSet."""
        if self.jobset is None:
            raise NotThere(f"The TrainJob {self.name} has no JobSet: Trainer has not started it.")
        return self.jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]

    def why(self) -> str:
        """Return in a sentence or two how it stands."""
        said = [
            f"{kind}: {cut(one.get('message', ''), 160)}" for kind, one in self.conditions.items() if self._is(kind)
        ]
        told = f"It is {'; '.join(said)}." if said else "It has not ended."
        for node in self.nodes:
            if node.exit_code not in (0, None):
                return f"{told} Its node {node.index} ended with exit code {node.exit_code} ({node.reason})."
        waiting = [str(reason) for node in self.nodes if node.exit_code is None for reason in node.pod.reasons]
        return f"{told} {cut('; '.join(waiting), 240)}".strip()

    def _is(self, kind: str) -> bool:
        return self.conditions.get(kind, {}).get("status") == "True"


class Trainings:
    """Look at the TrainJobs of one namespace. Raises CannotCheck where the cluster does not answer."""

    def __init__(self, kube: Kube):
        self.kube, self.custom = kube, client.CustomObjectsApi(kube.api)

    def runtimes(self) -> list[str]:
        """Return the names of the runtimes there are for everybody. Raises CannotCheck where there is no Trainer."""
        found = call("list training runtimes", self.custom.list_cluster_custom_object, *RUNTIMES)
        if not (found or {}).get("items"):
            raise CannotCheck("This cluster has no Kubeflow Trainer, or none of the course's runtimes.", UP)
        return sorted(one["metadata"]["name"] for one in found["items"])

    def job(self, name: str) -> TrainJob:
        """Return the TrainJob of that name. Raises NotThere, naming those there are."""
        seen = self._get(TRAINJOBS, name)
        if seen is None:
            found = call("list TrainJobs", self.custom.list_namespaced_custom_object, *self._in(TRAINJOBS))
            if found is None:
                raise CannotCheck("This cluster has no Kubeflow Trainer.", UP)
            names = sorted(one["metadata"]["name"] for one in found["items"])
            raise NotThere(
                f"There is no TrainJob {name} in namespace {self.kube.namespace}; there are: {listed(names)}.",
                "A TrainJob is made by TrainerClient().train(…, options=[Name(…)]) or by `kubectl apply`.",
            )
        jobset = self._get(JOBSETS, name)
        if jobset is not None and not owned(jobset, seen["metadata"]["uid"]):
            jobset = None
        status, meta = seen.get("status") or {}, seen["metadata"]
        return TrainJob(
            name=name,
            runtime=seen["spec"]["runtimeRef"]["name"],
            conditions={one["type"]: one for one in status.get("conditions") or []},
            created=moment(meta["creationTimestamp"]),
            spec=seen["spec"],
            jobset=jobset,
            nodes=tuple(self._nodes(jobset)) if jobset else (),
        )

    def ended(self, name: str, timeout: float = 120) -> TrainJob:
        """Return the TrainJob once it has ended, or as it is after `timeout` seconds.

        Raises NotThere for none, CannotCheck where the cluster has no room for nodes that ask for little.
        """
        try:
            return wait_until(lambda: (job := self.job(name)).ended and job, f"TrainJob {name}", timeout, pause=1)
        except TimedOut:
            job = self.job(name)
        for node in job.nodes:
            why = node.pod.because("Unschedulable")
            if why and "Insufficient" in why.message and all(map(float.__le__, node.pod.requests, SMALL)):
                cause = f"The cluster has no room for the TrainJob {name}, whose nodes ask for little: {why.message}"
                raise CannotCheck(cause, "Remove what else runs on it, then grade again.")
        return job

    def _nodes(self, jobset: dict[str, Any]) -> list[Node]:
        """Return the pods that belong to the JobSet by ownership, not by label alone; of each node the newest."""
        name, uid = jobset["metadata"]["name"], jobset["metadata"]["uid"]
        jobs = call("list Jobs", client.BatchV1Api(self.kube.api).list_namespaced_job, self.kube.namespace,
                    label_selector=f"{OF}={name}")  # fmt: skip
        own = {one.metadata.uid for one in jobs.items if any(o.uid == uid for o in one.metadata.owner_references or [])}
        pods = call("list pods", self.kube.core.list_namespaced_pod, self.kube.namespace,
                    label_selector=f"{OF}={name}")  # fmt: skip
        found: dict[int, Node] = {}
        for pod in sorted(pods.items, key=lambda one: one.metadata.creation_timestamp):
            if any(owner.uid in own for owner in pod.metadata.owner_references or []):
                node = node_of(pod, self.kube.api)
                found[node.index] = node
        return [found[index] for index in sorted(found)]

    def _get(self, kind: tuple[str, str, str], name: str) -> dict[str, Any] | None:
        return call(f"read one of {kind[2]}", self.custom.get_namespaced_custom_object, *self._in(kind), name)

    def _in(self, kind: tuple[str, str, str]) -> tuple[str, str, str, str]:
        group, version, plural = kind
        return group, version, self.kube.namespace, plural


def node_of(pod: client.V1Pod, api: client.ApiClient) -> Node:
    """Return a Node from the official client's pod."""
    status = next(iter(pod.status.container_statuses or []), None)
    ended = status.state.terminated if status and status.state else None
    running = status.state.running if status and status.state else None
    return Node(
        index=int((pod.metadata.annotations or {}).get(INDEX, 0)),
        pod=pod_of(pod, api),
        exit_code=ended.exit_code if ended else None,
        reason=(ended.reason or "") if ended else "",
        started=ended.started_at if ended else (running.started_at if running else None),
        finished=ended.finished_at if ended else None,
    )


def owned(thing: dict[str, Any], uid: str) -> bool:
    """Tell whether an object belongs to the one of that uid."""
    return any(owner["uid"] == uid for owner in thing["metadata"].get("ownerReferences") or [])


def moment(text: str) -> datetime:
    """Return Kubernetes' spelling of a time as a time.

    >>> moment("2026-01-02T03:04:05Z").hour
    3
    """
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
