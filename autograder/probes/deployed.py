"""See a Deployment and the Service before it, as the labs on Kubernetes do."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from autograder.facts import NotThere, fact
from autograder.probes.http import Answer, Unreachable
from autograder.probes.kubernetes import Deployment, Kube
from autograder.probes.patience import NOT_YET, PATIENCE, Patient
from autograder.probes.pods import Pod

LAG = 10  # seconds until the cluster leads requests to all who are ready, and to nobody else


class Deployed(Patient):
    """See what the learner deployed under one name; a lab says which, and adds what it looks for.

    `first` is the check that shows why no pod is ready: the others send there.
    """

    name: str
    first: str
    port = 80  # of the Service

    @fact
    def kube(self) -> Kube:
        return Kube(self.place)

    @fact
    def deployment(self) -> Deployment:
        return self.kube.deployment(self.name)

    @fact
    def rolled_out(self) -> Deployment:
        """The Deployment, once it has rolled out. Raises NotThere with what stands in the way."""
        return self.deployment.wait_rolled_out()

    @fact
    def pods(self) -> list[Pod]:
        """The ready pods of the Deployment, after it had its time to roll out."""
        deployment = self.deployment
        with suppress(NotThere):  # some pods may serve all the same, such as those from before an update
            deployment = self.rolled_out
        ready = [pod for pod in deployment.pods() if pod.ready]
        if not ready:
            raise NotThere(
                "No pod of the Deployment is ready, so this cannot be seen yet.",
                f"First make the check {self.first} pass: it shows what stands in the way.",
            )
        return ready

    def ask(self, path: str, body: Any = None) -> Answer:
        """Ask the Service, once the Deployment had its time to roll out."""
        assert self.pods
        return self.ask_of(self.deployment, self.name, path, body)

    def ask_of(self, deployment: Deployment, service: str, path: str, body: Any = None) -> Answer:
        """Ask a Service whose Deployment has rolled out; ask again while a usable answer may still come.

        Where a probe asks for less than the model, or there is none, a pod is called ready before it can
        answer: whether it had time by chance must decide no verdict. Raises as Kube.ask does.
        """
        probed = all("readinessProbe" in one for one in deployment.containers)

        def once() -> Answer | Unreachable:
            try:
                return self.kube.ask(service, path, port=self.port, method="POST" if body else "GET", json=body)
            except Unreachable as none:
                return none

        started = time.monotonic()
        while (patience := _patience(said := once(), probed)) and service not in self.given_up:
            if time.monotonic() > started + patience:
                self.given_up.add(service)
            time.sleep(1)
        if isinstance(said, Unreachable):
            raise said
        return said


def _patience(said: Answer | Unreachable, probed: bool) -> float:
    """Return for how many seconds something else may still be said; `probed` tells whether each pod has a probe."""
    if isinstance(said, Answer):
        return PATIENCE if said.status == NOT_YET else 0
    return {"slow": PATIENCE, "closed": LAG if probed else PATIENCE, "refused": LAG}.get(said.kind, 0)
