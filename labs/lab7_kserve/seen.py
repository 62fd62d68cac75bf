"""See what lab 7 is about: the learner's InferenceService, what KServe made of it, and who answers."""

from __future__ import annotations

import copy as copying
import json
from contextlib import suppress
from typing import Any

from autograder.facts import NotThere, Place, fact
from autograder.ground import model_server
from autograder.ground.reset import Made
from autograder.labs import given
from autograder.probes.autoscaler import Autoscaler, autoscaler
from autograder.probes.deployed import Deployed
from autograder.probes.inference import Inference, InferenceService
from autograder.probes.kubernetes import Deployment
from autograder.probes.registry import needed, pulled
from autograder.probes.trial import Gate, trial
from autograder.waiting import TimedOut, wait_until

NAME, IMAGE, PORT = "digits", "digits", 80
BROKEN, REPAIRED = "broken", "repaired"
VERSIONS = ("v1", "v2", "v3")
MADE = Made(others=tuple(f"inferenceservice/{name}" for name in (NAME, BROKEN, REPAIRED)))
READY_SECONDS = 90
FOLLOW_SECONDS = 10


def start(place: Place) -> None:
    """See to it that the registry has three versions of the model server; quick where it has.

    Raises CannotCheck where engine or registry do not answer, or an image cannot be built.
    """
    model_server.have(place, VERSIONS)


def examples() -> list[list[int]]:
    """Return the rows of example.json, each 64 numbers from 0 to 16."""
    return json.loads(given(__file__, "example.json").read_text())["instances"]


class Seen(Deployed):
    """See the namespace: the InferenceServices, the Deployment behind one, its pods, its autoscaler."""

    name, port, first = f"{NAME}-predictor", PORT, "service_ready"

    @fact
    def inference(self) -> Inference:
        return Inference(self.kube)

    @fact
    def service(self) -> InferenceService:
        return self.inference.service(NAME)

    @fact
    def ready(self) -> InferenceService:
        assert self.rolled_out  # waited for once, for all checks
        return self.service.wait_ready(READY_SECONDS)

    @fact
    def deployment(self) -> Deployment:
        """The Deployment that KServe made, as the InferenceService says now."""
        return self.kube.deployment(self.service.followed().workload)

    @fact
    def rolled_out(self) -> Deployment:
        return self.deployment.wait_rolled_out(READY_SECONDS)

    @fact
    def gate(self) -> Gate:
        """What a copy of the pod does whose model cannot be found; it runs an image that is there, for any tag."""
        template = copying.deepcopy(self.deployment.template)
        template["spec"]["containers"][0]["image"] = pulled(self.place, f"{IMAGE}:v1")
        with trial(self.kube, template, {"MODEL_PATH": "/not/there.skops"}) as copy:
            return copy.watch()

    @fact
    def autoscaler(self) -> Autoscaler:
        """The autoscaler that KServe made, once it follows what the InferenceService says now."""
        service = self.service.followed()

        def follows() -> Autoscaler | None:
            found = autoscaler(self.kube, service.workload)
            asked = [service.predictor.get(part) for part in ("minReplicas", "maxReplicas")]
            return found if asked == [found.least, found.most] else None

        with suppress(TimedOut):  # less than KServe takes, such as a maximum below the minimum, is never followed
            return wait_until(follows, "the autoscaler", FOLLOW_SECONDS, 0.5)
        return autoscaler(self.kube, service.workload)

    @fact
    def digest(self) -> str:
        return needed(self.place, f"{IMAGE}:v2")

    @fact
    def broken(self) -> Deployment:
        """The Deployment of broken, left as it was given. Raises NotThere."""
        return self.kube.deployment(self.inference.service(BROKEN).followed().workload)

    @fact
    def waits_for_image(self) -> bool:
        """Whether its pod has no image; a node that has much to do takes a moment to try."""
        return self.broken.waits_for_image()

    @fact
    def diagnosis(self) -> dict[str, Any]:
        """What diagnosis.json holds. Raises NotThere."""
        path = self.work / "diagnosis.json"
        try:
            told = json.loads(path.read_text()[:2000])
        except (OSError, ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise NotThere("diagnosis.json is not there, or is not a JSON object.", "Run the cell that writes it.")
        return told

    @fact
    def repaired(self) -> InferenceService:
        return self.inference.service(REPAIRED).wait_ready(READY_SECONDS)
