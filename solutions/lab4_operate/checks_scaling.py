"""Judge lab 4's scaling under load, and what protects its pods: budget, Pod Security, NetworkPolicy."""

from __future__ import annotations

from autograder.checks import Finding, check
from autograder.facts import CannotCheck
from autograder.probes import disruption, fences, podsecurity
from autograder.probes.autoscaler import autoscaler
from autograder.probes.caller import CLIENT
from autograder.probes.rehearsal import SLOW
from autograder.probes.revisions import who_sets_replicas
from autograder.probes.words import listed

from .seen import LONGEST_LOAD, NAME, RATE, SERVER, Seen, fits


@check(
    "autoscaler_sees",
    points=1,
    expects="The HorizontalPodAutoscaler reader scales the Deployment reader between 2 and at most 4 replicas by CPU, "
    "and sees a figure for it: its target is not <unknown>.",
    hint="`kubectl describe hpa reader` tells in its conditions what is missing.",
    chapter="kubernetes#autoscaling",
)
def autoscaler_sees(seen: Seen) -> Finding:
    found = autoscaler(seen.kube, NAME)
    fits(found, seen.deployment)
    if found.least < 2 or found.most > 4:
        return Finding(False, f"It scales between {found.least} and {found.most} replicas; 2 to 4 were asked for.",
                       "minReplicas and maxReplicas are the bounds.")  # fmt: skip
    found = seen.autoscaler
    if found.sees:
        figure = found.current.get("cpu")
        return Finding(True, f"It sees {'a figure' if figure is None else f'{figure} %'} and keeps to "
                             f"{found.aim['cpu']} % of the requested CPU.")  # fmt: skip
    if "FailedGetScale" in found.trouble:
        return Finding(False, f"It cannot scale: {found.trouble}")
    assert seen.pods  # where none is ready, the reason is theirs
    raise CannotCheck(f"The autoscaler has no figures yet: {found.trouble or 'it says nothing'}",
                      "Is metrics-server well? `kubectl top pods`; then grade again.")  # fmt: skip


@check(
    "replicas_left_alone",
    points=1,
    expects="Applying your Deployment's file again would not change the number of replicas: the file leaves it to the "
    "autoscaler.",
    hint="Two who set the same number fight over it. Who shall decide how many replicas there are?",
    chapter="kubernetes#autoscaling",
)
def replicas_left_alone(seen: Seen) -> Finding:
    setters = who_sets_replicas(seen.kube, NAME)
    if setters:
        return Finding(False, f"spec.replicas is set by {listed(setters)}.")
    return Finding(True, "No applied file sets spec.replicas.")


@check(
    "scales_under_load",
    points=3,
    expects="Under load, the number of replicas grows within three minutes: a copy of your autoscaler on a copy of "
    "your Deployment, asked to read 2,400 digits a second.",
    hint="The autoscaler compares the CPU that pods use with the share of their request that it keeps to.",
    chapter="kubernetes#autoscaling",
)
def scales_under_load(seen: Seen) -> Finding:
    found = seen.scaling
    figure, aim = found.seen.current.get("cpu"), found.seen.aim.get("cpu", 0)
    saw = "no figure" if figure is None else f"{figure} % of the requested CPU"
    if found.after > found.before:
        return Finding(
            True, f"From {found.before} replicas it went to {found.after}; it saw {saw}, and keeps to {aim} %."
        )
    if figure is None:
        raise CannotCheck(f"The copy of the autoscaler saw no figures: {found.seen.trouble}", "Is metrics-server well?")
    if figure <= aim * 1.1 and found.answered < LONGEST_LOAD * RATE / 2:
        raise CannotCheck("The machine was too slow to put load on the pods.", SLOW)
    return Finding(False, f"It stayed at {found.after} replicas: it saw {saw}, aiming at {aim} %.",
                   "Requests that are too large, a target that is too high or a policy that forbids it keep it from "
                   "growing.")  # fmt: skip


@check(
    "budget_protects",
    points=1,
    expects="The PodDisruptionBudget reader is about the Deployment's pods, all of them, and keeps at least one of "
    "them from being evicted.",
    hint="`kubectl describe pdb reader`: its selector must match the labels of your pods.",
    chapter="kubernetes#disruptions",
)
def budget_protects(seen: Seen) -> Finding:
    ready = len(seen.pods)
    found = disruption.budget(seen.kube, NAME)
    if not found.expected:
        return Finding(False, "The budget's selector matches no pod.")
    said = f"Of {found.expected} pods that it is about it keeps {found.least}; the Deployment has {ready} ready."
    return Finding(found.healthy == ready and found.least >= 1, said)


@check(
    "budget_lets_go",
    points=1,
    expects="There is a PodDisruptionBudget reader, and with it one pod may be evicted now, so that a node can be "
    "emptied (the eviction API is asked, without consequences).",
    hint="A budget that keeps every pod blocks all maintenance. How many can you do without for a minute?",
    chapter="kubernetes#disruptions",
)
def budget_lets_go(seen: Seen) -> Finding:
    pods = seen.pods
    found = disruption.budget(seen.kube, NAME)
    if refused := disruption.refusal(seen.kube, pods[0].name):
        return Finding(False, f"The eviction of a pod is refused: {refused}")
    return Finding(True, f"The eviction of {pods[0].name} would be granted; the budget allows {found.allowed} now.")


@check(
    "pod_security",
    points=1,
    expects="Your pods meet Pod Security's level `restricted`: the API server has nothing against a pod like them.",
    hint="The message names four settings. They stand in the container's securityContext.",
    chapter="kubernetes#pod-security",
)
def pod_security(seen: Seen) -> Finding:
    said = podsecurity.complaints(seen.kube, seen.deployment.template)
    return Finding(not said, f"The API server says: {said}" if said else "The API server has nothing against them.")


@check(
    "network_policy",
    points=1,
    expects="By the rules of your NetworkPolicies, pods with the label app=client may connect with port 8000 of the "
    "Deployment's pods, and nobody else may, and nothing else is open.",
    hint="podSelector says whom a policy is about; ingress, from whom and to which port connections are let in.",
    chapter="kubernetes#network-policies",
)
def network_policy(seen: Seen) -> Finding:
    template = seen.deployment.template
    ports = {one["name"]: one["containerPort"] for container in template["spec"]["containers"]
             for one in container.get("ports") or [] if "name" in one}  # fmt: skip
    target = fences.Target(template["metadata"].get("labels") or {}, ports)
    found = fences.policies(seen.kube)
    if not fences.selecting(found, target):
        return Finding(False, f"None of {len(found)} NetworkPolicies is about the Deployment's pods.",
                       "A policy's podSelector must match the labels of the pods that it protects.")  # fmt: skip

    def admitted(source: dict[str, str], port: int) -> bool:
        return fences.admits(found, target, source, port, seen.kube.namespace)

    if not admitted(CLIENT, SERVER):
        return Finding(False, f"A pod with app=client is not let in to port {SERVER}.",
                       "Ports of a policy are those of the pods, not those of the Service.")  # fmt: skip
    open_to = [f"a pod with {source}" for source in ({"app": "stranger"}, {}) if admitted(source, SERVER)]
    others = {22, 80, 443, SERVER + 1, *fences.ports(found, target)} - {SERVER}
    open_to += [f"app=client, to port {port}" for port in sorted(others) if admitted(CLIENT, port)]
    open_to += ["app=client, by another protocol than TCP"] * fences.speaks_otherwise(found, target)
    open_to += ["the addresses of an ipBlock"] * fences.lets_in_addresses(found, target)
    if open_to:
        return Finding(False, f"Connections are also let in from {listed(open_to)}.")
    return Finding(True, f"Only app=client is let in, and only to port {SERVER}.")
