"""Look at KServe's InferenceServices, and at what their controller made of them.

found = Inference(kube).service("digits").wait_ready(90)
found.ready, found.made("Deployment").created, found.why()
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kubernetes import client

from autograder.facts import CannotCheck, NotThere
from autograder.probes.apiserver import call
from autograder.probes.kubernetes import Kube
from autograder.probes.words import as_written, cut, listed

UP = "`shipyard up --lab` with the lab's name brings it up."
SERVICES = ("serving.kserve.io", "v1beta1", "inferenceservices")
CONTAINER = "kserve-container"  # KServe's name for the one that serves
LAG = 30  # seconds in which a controller that lives follows any change, however busy the machine


@dataclass(frozen=True)
class Made:
    """Tell about one object that is named as KServe names what it makes: whose it is, and since when it is there."""

    kind: str
    name: str
    own: bool  # it belongs to the InferenceService
    created: datetime


@dataclass(frozen=True)
class InferenceService:
    """Tell about one InferenceService as it was when it was looked at.

    `conditions` maps a type to status, reason and message, as its controller set them.
    """

    name: str
    conditions: dict[str, dict[str, Any]]
    predictor: dict[str, Any]  # spec.predictor, in the spelling of manifests, with what KServe added
    model: dict[str, Any]  # status.modelStatus
    uid: str
    inference: Inference = field(repr=False, compare=False)

    @property
    def ready(self) -> bool:
        """Tell whether its controller says that it is ready."""
        return self.conditions.get("Ready", {}).get("status") == "True"

    @property
    def workload(self) -> str:
        """The name of its Deployment, Service and autoscaler."""
        return f"{self.name}-predictor"

    @property
    def container(self) -> dict[str, Any]:
        """The container that serves. Raises NotThere where it has none of its own."""
        found = self.predictor.get("containers") or []
        named = [one for one in found if one.get("name") == CONTAINER] or found
        if not named:
            raise NotThere(
                f"The InferenceService {self.name} has no container of its own under spec.predictor.containers.",
                "A custom predictor is a container of yours: `containers:` with an image.",
            )
        return named[0]

    def made(self, kind: str) -> Made:
        """Return what KServe made of it: kind is "Deployment", "Service" or "HorizontalPodAutoscaler".

        Raises NotThere where there is none of that name.
        """
        return self.inference.made(kind, self)

    def wait_ready(self, timeout: float) -> InferenceService:
        """Wait until the controller calls it ready and its Deployment has rolled out as it says now.

        `timeout` is seconds. Raises NotThere with the reason. Whether the controller lives at all, who grades
        sees by its lease.
        """
        ends = time.monotonic() + timeout
        found = self.followed(timeout=min(LAG, timeout))
        self.inference.kube.deployment(found.workload).wait_rolled_out(max(1, ends - time.monotonic()))
        while not (now := self.inference.service(self.name)).ready:
            if time.monotonic() > ends:
                raise NotThere(f"The InferenceService {self.name} is not ready. {now.why()}")
            time.sleep(0.5)
        return now

    def followed(self, timeout: float = LAG) -> InferenceService:
        """Wait until its Deployment is what it says now. Raises NotThere with what KServe says against it."""
        ends, seen = time.monotonic() + timeout, self
        while True:
            if self.inference.follows(seen):
                return seen
            if time.monotonic() > ends:
                break
            time.sleep(0.5)
            seen = self.inference.service(self.name)
        said = self.inference.complaint(seen) or "it has not said why"
        raise NotThere(
            f"After {timeout:.0f} s KServe has not done what the InferenceService {self.name} says: {said}.",
            "`kubectl describe inferenceservice` shows its events; `kubectl get pods -n kserve` whether KServe runs.",
        )

    def why(self) -> str:
        """Return in a sentence or two how it stands."""
        failed = self.model.get("lastFailureInfo") or {}
        said = [f"{kind} is {one.get('status')} ({cut(one.get('reason') or 'no reason given', 60)})"
                for kind, one in self.conditions.items() if one.get("status") != "True"]  # fmt: skip
        told = f"Its conditions: {'; '.join(said)}." if said else "Its controller has set no condition."
        return f"{told} {cut(as_written(failed.get('message') or ''), 200)}".strip()


class Inference:
    """Look at the InferenceServices of one namespace. Raises CannotCheck where the cluster does not answer."""

    def __init__(self, kube: Kube):
        self.kube, self.custom = kube, client.CustomObjectsApi(kube.api)

    def names(self) -> list[str]:
        """Return the names of those there are. Raises CannotCheck where the cluster has no KServe."""
        group, version, plural = SERVICES
        found = call("list InferenceServices", self.custom.list_namespaced_custom_object, group, version,
                     self.kube.namespace, plural)  # fmt: skip
        if found is None:
            raise CannotCheck("This cluster has no KServe.", UP)
        return sorted(one["metadata"]["name"] for one in found["items"])

    def service(self, name: str) -> InferenceService:
        """Return the InferenceService of that name. Raises NotThere, naming those there are."""
        group, version, plural = SERVICES
        seen = call("read an InferenceService", self.custom.get_namespaced_custom_object, group, version,
                    self.kube.namespace, plural, name)  # fmt: skip
        if seen is None:
            there = listed(self.names())
            raise NotThere(
                f"There is no InferenceService {name} in namespace {self.kube.namespace}; there are: {there}.",
                "Look with `kubectl get inferenceservices`, and compare the name in your manifest.",
            )
        status = seen.get("status") or {}
        return InferenceService(
            name=name,
            conditions={one["type"]: one for one in status.get("conditions") or []},
            predictor=(seen.get("spec") or {}).get("predictor") or {},
            model=status.get("modelStatus") or {},
            uid=seen["metadata"]["uid"],
            inference=self,
        )

    def made(self, kind: str, of: InferenceService) -> Made:
        """Return the object of that kind and name; see InferenceService.made."""
        read = {
            "Deployment": self.kube.apps.read_namespaced_deployment,
            "Service": self.kube.core.read_namespaced_service,
            "HorizontalPodAutoscaler":
                client.AutoscalingV2Api(self.kube.api).read_namespaced_horizontal_pod_autoscaler,
        }[kind]  # fmt: skip
        seen = call(f"read a {kind}", read, of.workload, self.kube.namespace)
        if seen is None:
            raise NotThere(f"There is no {kind} {of.workload}: KServe has made none of the InferenceService {of.name}.",
                           "Look at the conditions and events: `kubectl describe inferenceservice`.")  # fmt: skip
        own = any(owner.uid == of.uid for owner in seen.metadata.owner_references or [])
        return Made(kind, of.workload, own, seen.metadata.creation_timestamp)

    def follows(self, one: InferenceService) -> bool:
        """Tell whether its Deployment runs the image that it names now."""
        seen = call("read a Deployment", self.kube.apps.read_namespaced_deployment, one.workload, self.kube.namespace)
        return seen is not None and seen.spec.template.spec.containers[0].image == one.container.get("image")

    def complaint(self, one: InferenceService) -> str:
        """Return what the controller wrote last about a fault of its own or of the InferenceService, "" for nothing."""
        for event in self.kube.events(20, one.name):
            if event.kind == "InferenceService" and event.reason in ("InternalError", "ServerlessModeRejected"):
                return cut(event.message, 300)
        return ""
