"""Judge lab 4: how the learner's Deployment behaves under load, in updates, and when pods are lost.

Two checks of three try something out. They do it on a copy: a Deployment and a Service with the learner's
settings beside the learner's own, removed at the end.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from autograder.facts import NotThere, Place, fact
from autograder.ground import model_server
from autograder.ground.reset import Made
from autograder.probes.autoscaler import Autoscaler, autoscaler, rehearsed
from autograder.probes.caller import calling
from autograder.probes.copies import copied
from autograder.probes.deployed import Deployed
from autograder.probes.kubernetes import Deployment, Kube
from autograder.probes.registry import digest_of, needed, pulled
from autograder.probes.rehearsal import Loss, Rehearsal, answered, come_up, rehearsing
from autograder.probes.revisions import Revision, revisions

NAME, IMAGE, PORT, SERVER = "reader", "digits", 80, 8000
VERSIONS = ("v1", "v2", "v3")
MADE = Made(
    deployments=(NAME,), services=(NAME,),
    others=(f"horizontalpodautoscaler/{NAME}", f"poddisruptionbudget/{NAME}", f"networkpolicy/{NAME}"),
)  # fmt: skip
ROLLOUT_SECONDS = 120
STUCK_SECONDS = 15  # where the Deployment itself has reported that nothing moves
POLITE = 3  # seconds that a pod must go on answering when it is told to end
PATIENT = 90  # seconds: the longest progressDeadlineSeconds that is accepted
LOADING = {"LOAD_SECONDS": "3"}  # the copies' model takes a moment to load, as a bigger one would
RATE, ROWS = 40, 60  # requests a second, digits a request: about a third of a core, shared by the pods
LONGEST_LOAD = 190  # seconds; it ends as soon as the replicas grow


def start(place: Place) -> None:
    """See to it that the registry has three versions of the model server; quick where it has.

    Raises CannotCheck where engine or registry do not answer, or an image cannot be built.
    """
    model_server.have(place, VERSIONS)


@dataclass(frozen=True)
class Scaling:
    """Tell what a copy of the autoscaler did under load."""

    before: int
    after: int
    seen: Autoscaler
    answered: int  # requests


class Seen(Deployed):
    """See the namespace: the Deployment and what guards it; and copies of them on which things are tried."""

    name, port, first = NAME, PORT, "runs_new_version"

    @fact
    def spec(self) -> dict[str, Any]:
        """The Deployment's spec, in the spelling of manifests."""
        assert self.deployment
        seen = self.kube.apps.read_namespaced_deployment(NAME, self.kube.namespace)
        return self.kube.api.sanitize_for_serialization(seen.spec)

    @fact
    def rolled_out(self) -> Deployment:
        if self.spec.get("paused") and not self.deployment.rolled_out:
            raise NotThere("The Deployment's rollout is paused: nothing is replaced.",
                           "Whoever pauses a rollout must resume it: `kubectl rollout resume`.")  # fmt: skip
        stuck = "ProgressDeadlineExceeded" in self.deployment.conditions.get("Progressing", "")
        return self.deployment.wait_rolled_out(STUCK_SECONDS if stuck else ROLLOUT_SECONDS)

    @fact
    def history(self) -> list[Revision]:
        return revisions(self.kube, NAME)

    @fact
    def autoscaler(self) -> Autoscaler:
        """The learner's autoscaler, once it has had time to see figures."""
        ends = time.monotonic() + 90
        found = autoscaler(self.kube, NAME)
        # Without requests it never will; while pods start and metrics are young, it will soon.
        while not found.sees and "missing request" not in found.trouble and time.monotonic() < ends:
            if "FailedGetScale" in found.conditions.get("AbleToScale", ""):
                break
            time.sleep(3)
            found = autoscaler(self.kube, NAME)
        return found

    def image(self, version: str) -> str:
        """Return the name by which pods pull the lab's own image of that version, to the very digest."""
        return pulled(self.place, f"{IMAGE}:{version}")

    def version(self, image: str) -> str:
        """Return which of the lab's versions an image's name in a manifest stands for, "" for none of them."""
        named, _, digest = image.partition("@")
        digest = digest or digest_of(self.place, f"{IMAGE}:{named.rpartition(':')[2]}") or ""
        return next((one for one in VERSIONS if needed(self.place, f"{IMAGE}:{one}") == digest), "")

    @fact
    def rehearsal(self) -> Rehearsal:
        """A copy of the Deployment, with somebody who asks it, on which things are tried one after the other."""
        rehearsal = rehearsing(self.kube, NAME, self.image("v1"), port=PORT, server=SERVER, environment=LOADING)
        return self.closing(rehearsal)

    @fact
    def lost(self) -> Loss:
        return self.rehearsal.lose_a_pod(POLITE)

    @fact
    def updated(self) -> Loss:
        return self.rehearsal.update(self.image("v2"))

    @fact
    def held(self) -> Loss:
        return self.rehearsal.update_badly(self.image("v3"))

    @property
    def polite(self) -> bool:
        """Say whether a pod that was told to end went on answering for about POLITE seconds."""
        return not self.lost.ended and self.lost.served >= POLITE - 1

    @fact
    def scaling(self) -> Scaling:
        """What a copy of the autoscaler does with a copy of the Deployment under load."""
        return self.begin_scaling().result()

    _running: Future[Scaling] | None = None

    def begin_scaling(self) -> Future[Scaling]:
        """Begin that trial, which mostly waits for figures of the CPU, beside whatever else is tried."""
        if self._running is None:
            pool = ThreadPoolExecutor(1)
            self._running = pool.submit(self._scale)
            pool.shutdown(wait=False)
            self.callback(self._running.exception)  # nobody leaves before that copy is gone
        return self._running

    def _scale(self) -> Scaling:
        kube = Kube(self.place)  # a connection of its own: this runs beside the other trial
        original = autoscaler(kube, NAME)
        deployment = kube.deployment(NAME)
        fits(original, deployment)
        image, before = self.image("v1"), original.least
        with copied(kube, NAME, NAME, image=image, replicas=before, small=False) as copy:
            come_up(copy, deployment)
            with (
                rehearsed(kube, original, copy.name),
                calling(kube, copy.name, image, port=PORT, rate=RATE, seconds=LONGEST_LOAD, rows=ROWS) as caller,
            ):
                answered(caller, PORT)
                ends = time.monotonic() + LONGEST_LOAD - 30
                while True:
                    after, seen = copy.look().replicas, autoscaler(kube, copy.name)
                    if after > before or time.monotonic() > ends:
                        return Scaling(before, after, seen, caller.report().answered)
                    time.sleep(2)


def fits(found: Autoscaler, deployment: Deployment) -> None:
    """Raise where an autoscaler cannot scale the Deployment, whatever the load."""
    if (found.kind, found.target) != ("Deployment", NAME):
        raise NotThere(
            f"The HorizontalPodAutoscaler scales the {found.kind} {found.target}, not the Deployment {NAME}.",
            "`scaleTargetRef` names what is scaled: its kind and its name.",
        )
    if found.most <= found.least:
        raise NotThere(
            f"The HorizontalPodAutoscaler may choose between {found.least} and {found.most} replicas.",
            "There must be room between minReplicas and maxReplicas.",
        )
    if "cpu" not in found.aim:
        raise NotThere(
            "The HorizontalPodAutoscaler does not keep to a share of the requested CPU.",
            "Its `metrics` need a resource cpu with a target of type Utilization.",
        )
    for container in deployment.containers:
        resources = container.get("resources") or {}
        if "cpu" not in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}:
            raise NotThere(
                f"The Deployment's container {container['name']} requests no CPU.",
                "The autoscaler reckons in per cent of what pods request. Per cent of nothing is <unknown>.",
            )
