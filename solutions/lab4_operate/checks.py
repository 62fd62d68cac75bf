"""Judge lab 4: how the learner's Deployment behaves under load, in updates, and when pods are lost.

Two checks of three try something out. They do it on a copy: a Deployment and a Service with the learner's
settings beside the learner's own, removed at the end."""

from __future__ import annotations

from autograder.checks import Finding, check
from autograder.facts import CannotCheck
from autograder.probes import disruption, fences, podsecurity
from autograder.probes.autoscaler import autoscaler
from autograder.probes.caller import CLIENT
from autograder.probes.registry import needed
from autograder.probes.rehearsal import SLOW, Loss
from autograder.probes.revisions import who_sets_replicas
from autograder.probes.words import listed

from .seen import IMAGE, LONGEST_LOAD, NAME, PATIENT, POLITE, RATE, SERVER, Seen, _fits


@check(
    "runs_new_version",
    points=2,
    expects="In the end, the Deployment reader has come to run: at least 2 replicas, all ready, and every pod runs "
    "the image localhost:5001/digits:v2, to the very digest.",
    hint="`kubectl rollout status deployment/reader` and `kubectl get pods` tell what stands in the way.",
    chapter="kubernetes#updates",
)
def runs_new_version(seen: Seen) -> Finding:
    found, wanted = seen.rolled_out, needed(seen.place, f"{IMAGE}:v2")
    others = sorted({seen.version(f"@{pod.image_id}") or pod.image for pod in seen.pods if pod.image_id != wanted})
    if others:
        return Finding(
            False, f"{found.ready} pods are ready, but they run {listed(others)}.",
            "Change the image in deployment.yaml and apply it; after the bad version, roll back to v2.",
        )  # fmt: skip
    said = f"{found.ready} of {found.replicas} replicas are ready, and all run v2."
    return Finding(True if found.replicas > 1 else 0.5, said, "One replica is not enough: the next one needs time.")


@check(
    "rolled_back",
    points=2,
    expects="The Deployment's history tells that digits:v3 was rolled out after digits:v2 and taken back: v3 is one of "
    "its revisions, and the current revision, younger than v3's, is v2.",
    hint="`kubectl rollout history deployment/reader` lists the revisions; `kubectl rollout undo` goes back.",
    chapter="kubernetes#rollbacks",
)
def rolled_back(seen: Seen) -> Finding:
    known = [(one, seen.version(one.image)) for one in seen.history]
    told = ", ".join(f"{one.number}: {version or one.image}" for one, version in known)
    current, version = next(((one, version) for one, version in known if one.current), (None, ""))
    bad = [one for one, other in known if other == "v3"]
    if version == "v3":
        return Finding(False, f"The current revision is v3 ({told}).")
    if not bad:
        return Finding(
            False, f"No revision of the Deployment has the image digits:v3 ({told or 'there are none'}).",
            "Roll v3 out and go back. A Deployment that is deleted, or keeps no old revisions, has no history.",
        )  # fmt: skip
    if version != "v2":
        return Finding(
            False, f"The current revision is {version or 'another image'}, not v2 ({told}).",
            "`kubectl rollout undo` can go to any revision that is kept: --to-revision.",
        )  # fmt: skip
    after = current.number > bad[-1].number
    return Finding(after, f"The revisions are {told}; the current one is {current.number}.")


@check(
    "history_kept",
    points=1,
    expects="The Deployment still has the revision with digits:v1, so that one could go back to it.",
    hint="Old revisions are ReplicaSets with 0 replicas. How many are kept says revisionHistoryLimit.",
    chapter="kubernetes#rollbacks",
)
def history_kept(seen: Seen) -> Finding:
    kept = [seen.version(one.image) or one.image for one in seen.history if not one.current]
    return Finding("v1" in kept, f"Besides the current one, the Deployment keeps {listed(kept)}.")


@check(
    "stuck_is_reported",
    points=1,
    expects=f"The Deployment itself reports that an update makes no progress, after at most {PATIENT} seconds.",
    hint="progressDeadlineSeconds says how long a rollout may stand still before it counts as failed.",
    chapter="kubernetes#rollbacks",
)
def stuck_is_reported(seen: Seen) -> Finding:
    seconds = seen.spec.get("progressDeadlineSeconds", 600)
    return Finding(seconds <= PATIENT, f"An update may stand still for {seconds} s before it is reported.")


@check(
    "ends_politely",
    points=1,
    expects=f"A pod that is told to end keeps answering for at least {POLITE} more seconds (tried on a copy).",
    hint="A preStop hook delays the end until the news has spread; the grace period must leave time for it.",
    chapter="kubernetes#graceful-end",
)
def ends_politely(seen: Seen) -> Finding:
    loss = seen.lost
    if loss.ended:
        return Finding(False, f"A pod of a copy was deleted. {loss.ended}")
    went_on = "It still answered" if seen.polite else "It stopped answering"
    return Finding(seen.polite, f"{went_on} {loss.served:.1f} s after it had been told to end.")


@check(
    "survives_lost_pod",
    points=2,
    expects="While one of the pods is deleted and replaced, not one request through the Service fails (tried on a "
    "copy with your replicas, whose model takes 3 s to load).",
    hint="Somebody must be left to answer, a new pod must not be asked too early, an old one must not go too soon.",
    chapter="kubernetes#self-healing",
)
def survives_lost_pod(seen: Seen) -> Finding:
    return _nothing_lost(seen, seen.lost, "While a pod was deleted and replaced")


@check(
    "update_loses_nothing",
    points=3,
    expects="During an update from digits:v1 to digits:v2, not one request through the Service fails (tried on a copy "
    "with your replicas, whose model takes 3 s to load).",
    hint="Three things matter: how pods are replaced (strategy), when a new one is asked, and how an old one ends.",
    chapter="kubernetes#updates",
)
def update_loses_nothing(seen: Seen) -> Finding:
    return _nothing_lost(seen, seen.updated, "During an update")


def _nothing_lost(seen: Seen, loss: Loss, when: str) -> Finding:
    report = loss.report
    if loss.ended:
        return Finding(False, f"{when}: {loss.ended}")
    said = f"{when}, {report.failed} of {report.failed + report.answered} requests failed"
    if report.failed:
        # Where all is right that a learner can see to, only a slow cluster loses requests.
        if loss.left >= 1 and seen.polite and not seen.held.let_in and not seen.held.ended:
            raise CannotCheck(f"{said}, though pods were there to answer: the cluster is too slow.", SLOW)
        return Finding(False, f"{said}. The first: {report.why}.")
    if not seen.polite:
        return Finding(False, f"{said}. That was luck: a pod that is told to end stops answering at once, and for a "
                              "moment requests are still sent to it.", "Delay the end of a pod.")  # fmt: skip
    return Finding(True, f"{said}.")


@check(
    "bad_version_held",
    points=2,
    expects="An update to digits:v3, whose model cannot be loaded, does no harm: no pod of it is counted as ready, and "
    "not one request through the Service fails (tried on a copy).",
    hint="A readiness probe keeps requests away from it; the strategy must leave enough of the old pods.",
    chapter="kubernetes#updates",
)
def bad_version_held(seen: Seen) -> Finding:
    loss = seen.held
    if loss.ended:
        return Finding(False, f"An update to v3 was begun. {loss.ended}")
    report = loss.report
    said = f"{report.failed} of {report.failed + report.answered} requests failed meanwhile"
    if loss.let_in:
        return Finding(False, f"A pod of v3 was counted as ready, though it has no model; {said}.",
                       "Which of the server's paths knows whether the model is loaded?")  # fmt: skip
    if report.failed:
        # Where no old pod is taken away and no new one is let in, the update itself changes nothing for requests.
        if loss.left == seen.deployment.replicas or (loss.left >= 1 and seen.polite):
            raise CannotCheck(f"{said}, though pods were there to answer: the cluster is too slow.", SLOW)
        return Finding(False, f"No pod of v3 was counted as ready, but {said}. The first: {report.why}.")
    return Finding(True, f"The update stood still, no pod of v3 was counted as ready, and {said}.")


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
    _fits(found, seen.deployment)
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
    open_to += ["app=client, to port 22"] * admitted(CLIENT, 22)
    if open_to:
        return Finding(False, f"Connections are also let in from {listed(open_to)}.")
    return Finding(True, f"Only app=client is let in, and only to port {SERVER}.")
