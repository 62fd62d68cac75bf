"""Judge lab 4: how the learner's Deployment behaves under load, in updates, and when pods are lost.

Two checks of three try something out. They do it on a copy: a Deployment and a Service with the learner's
settings beside the learner's own, removed at the end."""

from __future__ import annotations

from autograder.checks import Finding, check
from autograder.facts import CannotCheck
from autograder.probes.registry import needed
from autograder.probes.rehearsal import SLOW, Loss
from autograder.probes.words import listed

from .seen import IMAGE, PATIENT, POLITE, Seen


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
    if why := _luck(seen, loss):
        return Finding(False, f"{said}. That was luck: {why[0]}.", why[1])
    return Finding(True, f"{said}.")


def _luck(seen: Seen, loss: Loss) -> tuple[str, str] | None:
    """Say why requests fail sooner or later where none did this time, and a hint; None where nothing is left to luck.

    When a busy cluster tells its nodes of a new pod, and whether anybody asks at that moment, is chance.
    """
    if loss.left < 1:
        return "no pod is sure to be left to answer", "How many pods may be missing at once, and of how many?"
    if not seen.polite:
        return "a pod that is told to end stops answering at once, and for a moment requests are still sent to it", (
            "Delay the end of a pod."
        )
    if seen.held.let_in:
        return "a pod whose model is not loaded is counted as ready, and requests are sent to it", (
            "When is a new pod asked? A probe tells."
        )
    return None


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
    if loss.left < seen.deployment.replicas and (why := _luck(seen, loss)):
        return Finding(False, f"No pod of v3 was counted as ready, but {said}. That was luck: {why[0]}.", why[1])
    return Finding(True, f"The update stood still, no pod of v3 was counted as ready, and {said}.")
