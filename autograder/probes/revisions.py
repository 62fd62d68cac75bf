"""Read a Deployment's history: the ReplicaSets that it has kept, one a revision."""

from __future__ import annotations

from dataclasses import dataclass

from autograder.probes.apiserver import call
from autograder.probes.http import loads
from autograder.probes.kubernetes import Kube
from autograder.probes.words import as_written

REVISION = "deployment.kubernetes.io/revision"
EARLIER = "deployment.kubernetes.io/revision-history"  # the numbers that it had before it was rolled back to
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CAUSE = "kubernetes.io/change-cause"


@dataclass(frozen=True)
class Revision:
    """Hold one kept revision: its newest number, all of its numbers, its image, and whether it is the current one."""

    number: int
    numbers: tuple[int, ...]
    image: str
    current: bool
    cause: str = ""


def revisions(kube: Kube, deployment: str) -> list[Revision]:
    """Return the revisions that a Deployment can be rolled back to, and the current one, the oldest first.

    Raises NotThere where there is no such Deployment.
    """
    kube.deployment(deployment)  # names those there are
    owner = call("read a Deployment", kube.apps.read_namespaced_deployment, deployment, kube.namespace)
    sets = call("list ReplicaSets", kube.apps.list_namespaced_replica_set, kube.namespace).items
    found = []
    for one in sets:
        if not any(owning.uid == owner.metadata.uid for owning in one.metadata.owner_references or []):
            continue
        notes = one.metadata.annotations or {}
        number = _number(notes.get(REVISION))
        earlier = [_number(piece) for piece in notes.get(EARLIER, "").split(",") if piece]
        image = as_written(one.spec.template.spec.containers[0].image or "")
        found.append((number, tuple(sorted({*earlier, number})), image, notes.get(CAUSE, "")))
    newest = max((number for number, *_ in found), default=0)
    return [
        Revision(number, numbers, image, number == newest, cause) for number, numbers, image, cause in sorted(found)
    ]


def who_sets_replicas(kube: Kube, deployment: str) -> list[str]:
    """Return which applied files set a Deployment's number of replicas, by the tool that applied them.

    What creates, scales or edits sets it once; only what is applied again sets it again. Raises NotThere where
    there is no such Deployment.
    """
    kube.deployment(deployment)
    seen = call("read a Deployment", kube.apps.read_namespaced_deployment, deployment, kube.namespace)
    found = []
    applied = loads((seen.metadata.annotations or {}).get(APPLIED, ""))
    if isinstance(applied, dict) and "replicas" in (applied.get("spec") or {}):
        found.append("the file that `kubectl apply` was given last")
    for one in seen.metadata.managed_fields or []:
        if one.operation == "Apply" and "f:replicas" in ((one.fields_v1 or {}).get("f:spec") or {}):
            found.append(f"what {one.manager} applied")
    return found


def _number(text: str | None) -> int:
    return int(text) if (text or "").isdigit() else 0
