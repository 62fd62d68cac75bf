"""Run a training once more, as its JobSet stands, on rows of the grader's own, which differ from node to node.

with rerun(kube, job, views, claim="models") as trial:
    trial.wait(120)
    files = trial.read(["together.json"], image)

`views[k]` are the files that node k finds in the place of the image's. The copy has its own
name, its own volume and next to no requests, so it disturbs nothing and fits where there is room.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from kubernetes import client

from autograder.facts import CannotCheck, NotThere
from autograder.probes.apiserver import call
from autograder.probes.engine import LABEL
from autograder.probes.kubernetes import Kube
from autograder.probes.training import INDEX, JOBSETS, OF, TrainJob
from autograder.probes.volume import read_files
from autograder.probes.words import tail
from autograder.waiting import TimedOut, wait_until

VIEW = "SHIPYARD_VIEW"


class CopyFailed(NotThere):
    """Say that the copy of a training failed, which a network that was slow to know its nodes can bring about once."""


@dataclass(frozen=True)
class Rerun:
    """Hold a training that runs again; get one from `rerun`."""

    kube: Kube
    name: str

    def wait(self, timeout: float) -> None:
        """Wait until it is complete; `timeout` is seconds.

        Raises CopyFailed where it fails, NotThere where it does not end, CannotCheck where the cluster has no room.
        """
        custom = client.CustomObjectsApi(self.kube.api)
        group, version, plural = JOBSETS

        def state() -> str:
            seen = call("read a JobSet", custom.get_namespaced_custom_object, group, version, self.kube.namespace,
                        plural, self.name)  # fmt: skip
            if seen is None:
                raise NotThere("The copy of your training was removed while it ran.", "Check again.")
            return (seen.get("status") or {}).get("terminalState", "")

        try:
            ended = wait_until(state, "the copy", timeout, pause=1)
        except TimedOut:
            pods = self.kube.pods(f"{OF}={self.name}")
            if room := [why for pod in pods if (why := pod.because("Unschedulable"))]:
                cause = f"The cluster has no room to run the training once more: {room[0].message}"
                raise CannotCheck(cause, "Remove what else runs on it, then grade again.") from None
            raise NotThere(f"Run once more on other rows, the training did not end within {timeout:.0f} s.") from None
        if ended != "Completed":
            raise CopyFailed("Run once more on other rows, the training failed.",
                             "It must read the rows from the files in ROWS, whatever rows they hold.")  # fmt: skip

    def read(self, names: list[str], image: str) -> dict[str, bytes | NotThere]:
        """Return what it left on its volume."""
        return read_files(self.kube, self.name, names, image)

    def said(self) -> str:
        """Return the last lines of its nodes' logs."""
        return tail("\n".join(self.kube.logs(pod, 5) for pod in self.kube.pods(f"{OF}={self.name}")), 8)


@contextmanager
def rerun(
    kube: Kube, job: TrainJob, views: Sequence[Mapping[str, str]], claim: str, folder: str = "/rows"
) -> Iterator[Rerun]:
    """Start a copy of a TrainJob's JobSet and remove it at the end.

    `views` are files (name -> text) for each node, which it finds in `folder`;
    the volume of `claim` is replaced by an empty one.
    """
    name = f"shipyard-trial-{uuid4().hex[:6]}"
    meta = {"name": name, "labels": {LABEL: "1"}}
    files = {f"view-{number}.{file}": text for number, view in enumerate(views) for file, text in view.items()}
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    custom, core, space = client.CustomObjectsApi(kube.api), kube.core, kube.namespace
    group, version, plural = JOBSETS
    body = {"apiVersion": f"{group}/{version}", "kind": "JobSet", "metadata": meta,
            "spec": changed(job, name, files, claim, folder)}  # fmt: skip
    try:
        call("create a ConfigMap", core.create_namespaced_config_map, space, {"metadata": meta, "data": files})
        call("create a claim", core.create_namespaced_persistent_volume_claim, space,
             {"metadata": meta, "spec": storage})  # fmt: skip
        call("create a JobSet", custom.create_namespaced_custom_object, group, version, space, plural, body)
        yield Rerun(kube, name)
    finally:
        call("remove a JobSet", custom.delete_namespaced_custom_object, group, version, space, plural, name)
        call("remove its pods", core.delete_collection_namespaced_pod, space, label_selector=f"{OF}={name}",
             grace_period_seconds=0)  # fmt: skip
        call("remove a claim", core.delete_namespaced_persistent_volume_claim, name, space)
        call("remove a ConfigMap", core.delete_namespaced_config_map, name, space)


def changed(job: TrainJob, name: str, files: Mapping[str, str], claim: str, folder: str) -> dict[str, Any]:
    """Return the spec of the copy: another name for the tracker, other rows, another volume, little to ask for."""
    if job.jobset is None:
        raise NotThere(f"The TrainJob {job.name} has no JobSet, so it cannot be run once more.")
    spec = copy.deepcopy(job.jobset["spec"])
    pod = spec["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    host = f"{job.name}-node-0-0.{job.name}"  # as Trainer writes it: the first node, under the JobSet's own name
    for one in container.get("env") or []:
        if one.get("value") == host:
            one["value"] = f"{name}-node-0-0.{name}"
    index = {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}
    container["env"] = [*(container.get("env") or []), {"name": VIEW, "valueFrom": index}]
    limits = (container.get("resources") or {}).get("limits") or {}
    container["resources"] = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {**limits, "cpu": "1"}}
    kept = [one for one in container.get("volumeMounts") or [] if one["mountPath"].rstrip("/") != folder]
    mount = {"name": "shipyard-rows", "mountPath": folder, "subPathExpr": f"view-$({VIEW})", "readOnly": True}
    container["volumeMounts"] = [*kept, mount]
    for volume in pod.get("volumes") or []:
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == claim:
            volume["persistentVolumeClaim"]["claimName"] = name
    items = [{"key": key, "path": key.replace(".", "/", 1)} for key in files]
    pod["volumes"] = [*(pod.get("volumes") or []),
                      {"name": "shipyard-rows", "configMap": {"name": name, "items": items}}]  # fmt: skip
    return spec
