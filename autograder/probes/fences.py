"""Work out from NetworkPolicies who may connect with a pod.

Kubernetes only stores a NetworkPolicy; the network of the cluster has to enforce it, and some do not. So the
rules are read here as its documentation says, for connections from pods of the same namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubernetes import client

from autograder.probes.apiserver import call
from autograder.probes.kubernetes import Kube

Labels = dict[str, str]


@dataclass(frozen=True)
class Target:
    """Hold what rules ask about a pod that is connected with: its labels, its named ports."""

    labels: Labels
    ports: dict[str, int]


def policies(kube: Kube) -> list[dict[str, Any]]:
    """Return the namespace's NetworkPolicies in the spelling of manifests."""
    found = call("list NetworkPolicies", client.NetworkingV1Api(kube.api).list_namespaced_network_policy,
                 kube.namespace)  # fmt: skip
    return kube.api.sanitize_for_serialization(found.items)


def selecting(found: list[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    """Return those that say something about connections to a pod."""
    return [
        one for one in found
        if matches(one["spec"].get("podSelector"), target.labels)
        and "Ingress" in (one["spec"].get("policyTypes") or ["Ingress"])
    ]  # fmt: skip


def admits(found: list[dict[str, Any]], target: Target, source: Labels, port: int, namespace: str) -> bool:
    """Tell whether a pod with labels `source`, in the same namespace, may connect with a target's port.

    A pod that no policy selects is open to all; one that policies select is open to what any of them allows.

    >>> only = {"spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}]}}
    >>> [admits([only], Target({}, {}), labels, 8000, "x") for labels in ({"a": "b"}, {"a": "c"})]
    [True, False]
    """
    rules = _rules(found, target)
    return not selecting(found, target) or any(
        _from(rule, source, namespace) and _port(rule, target, port) for rule in rules
    )


def ports(found: list[dict[str, Any]], target: Target) -> set[int]:
    """Return the numbers of all ports that rules about a target name, the first one of a range."""
    named = [one.get("port") for one in _ports(found, target)]
    return {number for one in named if (number := target.ports.get(one) if isinstance(one, str) else one)}


def lets_in_addresses(found: list[dict[str, Any]], target: Target) -> bool:
    """Tell whether a rule about a target lets in addresses, whoever has them."""
    return any("ipBlock" in peer for rule in _rules(found, target) for peer in rule.get("from") or [])


def speaks_otherwise(found: list[dict[str, Any]], target: Target) -> bool:
    """Tell whether a rule about a target names another protocol than TCP."""
    return any(one.get("protocol", "TCP") != "TCP" for one in _ports(found, target))


def _ports(found: list[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    return [port for rule in _rules(found, target) for port in rule.get("ports") or []]


def _rules(found: list[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    return [rule for one in selecting(found, target) for rule in one["spec"].get("ingress") or []]


def matches(selector: dict[str, Any] | None, labels: Labels) -> bool:
    """Tell whether a label selector, in the spelling of manifests, matches; an empty one matches everything."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(one, labels) for one in selector.get("matchExpressions") or [])


def _expression(one: dict[str, Any], labels: Labels) -> bool:
    key, values = one["key"], one.get("values") or []
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[one["operator"]]


def _from(rule: dict[str, Any], source: Labels, namespace: str) -> bool:
    peers = rule.get("from")
    if not peers:
        return True
    return any(
        "ipBlock" not in peer
        and ("podSelector" not in peer or matches(peer["podSelector"], source))
        and ("namespaceSelector" not in peer
             or matches(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace}))
        for peer in peers
    )  # fmt: skip


def _port(rule: dict[str, Any], target: Target, port: int) -> bool:
    wanted = rule.get("ports")
    if not wanted:
        return True
    for one in wanted:
        if one.get("protocol", "TCP") != "TCP":
            continue
        first = one.get("port")
        first = target.ports.get(first) if isinstance(first, str) else first
        if "port" not in one or first == port or (first and first <= port <= one.get("endPort", first)):
            return True
    return False
