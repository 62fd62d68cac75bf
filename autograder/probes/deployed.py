"""See a Deployment and the Service before it, as the labs on Kubernetes do."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from autograder.facts import NotThere, Observation, fact
from autograder.probes.http import Answer
from autograder.probes.kubernetes import Deployment, Kube
from autograder.probes.pods import Pod


class Deployed(Observation):
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
        return self.kube.ask(self.name, path, port=self.port, method="POST" if body else "GET", json=body)
