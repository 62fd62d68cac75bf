"""Look at PodDisruptionBudgets, and ask whether a pod may be evicted, without evicting it."""

from __future__ import annotations

from dataclasses import dataclass

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from autograder.facts import CannotCheck, NotThere
from autograder.probes.apiserver import CALL_SECONDS, call, message
from autograder.probes.kubernetes import Kube
from autograder.probes.words import listed
from autograder.waiting import TimedOut, wait_until


@dataclass(frozen=True)
class Budget:
    """Tell about one PodDisruptionBudget, as its controller last counted."""

    name: str
    expected: int  # pods that it is about
    healthy: int  # of them, ready now
    least: int  # that must stay healthy
    allowed: int  # that may be evicted now


def budget(kube: Kube, name: str, timeout: float = 30) -> Budget:
    """Return the budget of that name, once its controller has seen it. Raises NotThere, naming those there are."""
    api = client.PolicyV1Api(kube.api)

    def counted() -> client.V1PodDisruptionBudget | None:
        seen = call("read a disruption budget", api.read_namespaced_pod_disruption_budget, name, kube.namespace)
        if seen is None:
            others = call("list disruption budgets", api.list_namespaced_pod_disruption_budget, kube.namespace).items
            there = listed([one.metadata.name for one in others])
            raise NotThere(
                f"There is no PodDisruptionBudget {name} in namespace {kube.namespace}; there are: {there}.",
                "Look with `kubectl get pdb`, and compare the name in your manifest.",
            )
        status = seen.status
        return seen if status and (status.observed_generation or 0) >= seen.metadata.generation else None

    try:
        status = wait_until(counted, "the budget to be counted", timeout).status
    except TimedOut as late:
        raise CannotCheck("The cluster has not counted the PodDisruptionBudget.", "Grade again.") from late
    return Budget(name, status.expected_pods or 0, status.current_healthy or 0, status.desired_healthy or 0,
                  status.disruptions_allowed or 0)  # fmt: skip


def refusal(kube: Kube, pod: str) -> str:
    """Ask the eviction API, without consequences, to evict a pod; return its words if it refuses, else nothing.

    Raises CannotCheck where it cannot be asked, NotThere where the pod has gone.
    """
    body = client.V1Eviction(metadata=client.V1ObjectMeta(name=pod, namespace=kube.namespace))
    try:
        kube.core.create_namespaced_pod_eviction(pod, kube.namespace, body, dry_run="All",
                                                 _request_timeout=CALL_SECONDS)  # fmt: skip
        return ""
    except ApiException as error:
        if error.status == 429 or (error.status == 500 and "more than one PodDisruptionBudget" in message(error)):
            return message(error)
        if error.status == 404:
            raise NotThere(f"The pod {pod} has gone while it was asked about.", "Check again.") from error
        raise CannotCheck(f"The cluster does not say whether a pod may be evicted: {message(error)}") from error
    except (OSError, ValueError) as error:
        raise CannotCheck("The cluster does not say whether a pod may be evicted.") from error
