"""Look at a HorizontalPodAutoscaler, and set a copy of one onto a copy of its Deployment."""

from __future__ import annotations

import copy as copying
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from autograder.facts import NotThere
from autograder.probes.apiserver import call
from autograder.probes.engine import LABEL
from autograder.probes.kubernetes import Kube
from autograder.probes.words import cut, listed


@dataclass(frozen=True)
class Autoscaler:
    """Tell about one HorizontalPodAutoscaler as it was when it was looked at."""

    name: str
    kind: str  # of what it scales
    target: str
    least: int
    most: int
    wanted: int  # replicas that it asks for now
    conditions: dict[str, str]  # type -> "status reason: message"
    current: dict[str, int | None]  # resource -> percent of what is requested; None where it has no figure
    aim: dict[str, int]  # resource -> the percent that it keeps to
    spec: dict[str, Any]  # in the spelling of manifests

    @property
    def sees(self) -> bool:
        """Say whether it has figures to reckon with: ScalingActive."""
        return self.conditions.get("ScalingActive", "").startswith("True")

    @property
    def trouble(self) -> str:
        """Kubernetes' own words for why it does not scale; empty where all is well."""
        for kind in ("AbleToScale", "ScalingActive"):
            if (said := self.conditions.get(kind, "")).startswith("False"):
                return cut(said.removeprefix("False "), 260)
        return ""


def autoscaler(kube: Kube, name: str) -> Autoscaler:
    """Return the HorizontalPodAutoscaler of that name. Raises NotThere, naming those there are."""
    api = client.AutoscalingV2Api(kube.api)
    seen = call("read an autoscaler", api.read_namespaced_horizontal_pod_autoscaler, name, kube.namespace)
    if seen is None:
        others = call("list autoscalers", api.list_namespaced_horizontal_pod_autoscaler, kube.namespace).items
        there = listed([one.metadata.name for one in others])
        raise NotThere(
            f"There is no HorizontalPodAutoscaler {name} in namespace {kube.namespace}; there are: {there}.",
            "Look with `kubectl get hpa`, and compare the name in your manifest.",
        )
    raw = kube.api.sanitize_for_serialization(seen)
    spec, status = raw["spec"], raw.get("status") or {}
    said = {one["type"]: f"{one['status']} {one.get('reason', '')}: {one.get('message', '')}"
            for one in status.get("conditions") or []}  # fmt: skip
    return Autoscaler(
        name=name,
        kind=spec["scaleTargetRef"]["kind"],
        target=spec["scaleTargetRef"]["name"],
        least=spec.get("minReplicas") or 1,
        most=spec["maxReplicas"],
        wanted=status.get("desiredReplicas") or 0,
        conditions=said,
        current={n: (one.get("current") or {}).get("averageUtilization")
                 for n, one in _resources(status.get("currentMetrics"))},
        aim={n: one["target"]["averageUtilization"] for n, one in _resources(spec.get("metrics"))
             if one.get("target", {}).get("averageUtilization")},
        spec=spec,
    )  # fmt: skip


def _resources(metrics: list[dict[str, Any]] | None) -> list[tuple[str, dict[str, Any]]]:
    """Return the name and the rest of each metric that is about a resource of whole pods."""
    return [(one["resource"]["name"], one["resource"]) for one in metrics or [] if one.get("resource")]


@contextmanager
def rehearsed(kube: Kube, original: Autoscaler, deployment: str) -> Iterator[None]:
    """Set a copy of an autoscaler, under a copied Deployment's name, onto that Deployment; remove it at the end."""
    api = client.AutoscalingV2Api(kube.api)
    spec = copying.deepcopy(original.spec)
    spec["scaleTargetRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment}
    body = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": spec,
            "metadata": {"name": deployment, "labels": {LABEL: "1"}}}  # fmt: skip
    try:
        call("create a copy of the autoscaler", api.create_namespaced_horizontal_pod_autoscaler, kube.namespace, body)
        yield
    finally:
        call("remove that copy", api.delete_namespaced_horizontal_pod_autoscaler, deployment, kube.namespace)
