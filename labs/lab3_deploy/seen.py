"""See what lab 3 is about: what the learner's manifests made in the namespace."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

from autograder.facts import CannotCheck, NotThere, Place, fact
from autograder.ground import model_server
from autograder.ground.reset import Made
from autograder.labs import given
from autograder.probes.apiserver import call
from autograder.probes.copies import answers
from autograder.probes.deployed import Deployed
from autograder.probes.docker import Docker
from autograder.probes.engine import asking
from autograder.probes.http import Answer, ask
from autograder.probes.inside import variables
from autograder.probes.kubernetes import Deployment, Endpoint, Service
from autograder.probes.patience import PATIENCE
from autograder.probes.pods import Pod
from autograder.probes.registry import needed
from autograder.probes.trial import Gate, trial
from autograder.waiting import TimedOut, wait_until

FAULTY = ("quay", "crane", "tug")
MADE = Made(
    containers=("shipyard-lab3-docker",), deployments=("digits", *FAULTY), services=("digits", *FAULTY),
    others=("configmap/digits-settings", "secret/digits-token"),
)  # fmt: skip
NAME, IMAGE, PORT = "digits", "digits", 80
ROLLOUT_SECONDS = 90
REPAIR_SECONDS = 60
SERVER = 8000  # where the server in the image listens
QUESTIONS = 30  # two pods take turns by chance: that one of them misses all is a matter of 1 in 500 million
SETTINGS, SETTING, VALUE = "digits-settings", "LOAD_SECONDS", "1"
SECRET, VARIABLE, TOKEN = "digits-token", "TOKEN", "harbour-lights-7"
BELONGS = "part-of=reader"


def examples() -> list[list[int]]:
    """Return the rows of example.json, each 64 numbers from 0 to 16."""
    return json.loads(given(__file__, "example.json").read_text())["instances"]


def start(place: Place) -> None:
    """See to it that the registry has the model server's image as digits:v1; quick where it has.

    Raises CannotCheck where engine or registry do not answer, or the image cannot be built.
    """
    model_server.have(place, ("v1",))


class Seen(Deployed):
    """See the namespace: the Deployment, its pods, the Service, and a copy of a pod whose model is missing."""

    name, port, first = NAME, PORT, "rolled_out"

    @fact
    def docker(self) -> Docker:
        return Docker(self.place.docker_host)

    @fact
    def rolled_out(self) -> Deployment:
        try:
            return self.deployment.wait_rolled_out(ROLLOUT_SECONDS)
        except NotThere as late:
            # Where only a child process is killed, Kubernetes sees a container that runs and is never ready.
            if any("out of memory" in self.kube.logs(pod, 20) for pod in self.deployment.pods()):
                raise NotThere(
                    f"{late.observed} Its log says that the server's worker is killed for lack of memory.",
                    "Raise the memory limit: this server needs about 130 MiB when its model is loaded.",
                ) from late
            raise

    @fact
    def service(self) -> Service:
        return self.kube.service(NAME)

    @fact
    def endpoints(self) -> list[Endpoint]:
        """The addresses behind the Service; those of new pods are written down a moment after these are ready."""
        service, names = self.service, {pod.name for pod in self.pods}

        def behind() -> list[Endpoint]:
            return [one for one in self.kube.endpoints(service) if one.ready]

        with suppress(TimedOut):
            return wait_until(lambda: (now := behind()) and names <= {one.pod for one in now} and now, "them", 10, 0.5)
        return behind()

    def ask(self, path: str, body: Any = None) -> Answer:
        """Ask the Service, once the Deployment had its time to roll out and where there is a Service."""
        assert self.pods and self.service
        return super().ask(path, body)

    def repaired(self, name: str) -> list[Pod]:
        """Return the ready pods of one of the faulty Deployments. Raises NotThere where it does not come to run."""
        deployment = self.kube.deployment(name)
        try:
            deployment = deployment.wait_rolled_out(REPAIR_SECONDS)
        except NotThere as late:
            raise NotThere(late.observed) from late  # the check's own hint says where to look
        return [pod for pod in deployment.pods() if pod.ready]

    @fact
    def digest(self) -> str:
        return needed(self.place, f"{IMAGE}:v1")

    @fact
    def in_docker(self) -> Answer:
        """What the same image says of the example rows when it runs in Docker."""
        ref = f"{self.place.registry}/{IMAGE}@{self.digest}"
        with asking(f"pull {ref}"):
            self.docker.client.images.pull(ref)
        try:
            with self.docker.run(ref, name_hint="lab3") as container:
                return ask("POST", f"{container.wait_ready().url}/predict", json={"instances": examples()})
        except NotThere as broken:
            raise CannotCheck(f"The lab's own image does not run in Docker: {broken.observed}") from broken

    @fact
    def configmap(self) -> dict[str, str]:
        """What the learner's ConfigMap holds."""
        found = call("read a ConfigMap", self.kube.core.read_namespaced_config_map, SETTINGS, self.kube.namespace)
        if found is None:
            raise NotThere(f"There is no ConfigMap {SETTINGS} in namespace {self.kube.namespace}.",
                           "Look with `kubectl get configmaps`.")  # fmt: skip
        return found.data or {}

    @fact
    def secret(self) -> dict[str, str]:
        """What the learner's Secret holds, decoded."""
        found = call("read a Secret", self.kube.core.read_namespaced_secret, SECRET, self.kube.namespace)
        if found is None:
            raise NotThere(f"There is no Secret {SECRET} in namespace {self.kube.namespace}.",
                           "Look with `kubectl get secrets`.")  # fmt: skip
        return {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in (found.data or {}).items()}

    @fact
    def environments(self) -> list[dict[str, str]]:
        """The variables with which the servers in the ready pods were started."""
        found = [variables(self.kube, pod) for pod in self.pods]
        if None in found:
            raise CannotCheck("The cluster does not show the variables of the pods' processes.", "Grade again.")
        return found

    def literal(self, name: str) -> bool:
        """Say whether the template gives a variable its value in plain text."""
        return any(one.get("name") == name and "value" in one
                   for container in self.deployment.containers for one in container.get("env") or [])  # fmt: skip

    def takes(self, variable: str, kind: str, name: str) -> bool:
        """Say whether the template takes a variable from the ConfigMap (kind "configMap") or Secret of that name."""
        for container in self.deployment.containers:
            named = [one for one in container.get("env") or [] if one.get("name") == variable]
            if named:  # it goes before envFrom
                return ((named[-1].get("valueFrom") or {}).get(f"{kind}KeyRef") or {}).get("name") == name
            if any((one.get(f"{kind}Ref") or {}).get("name") == name for one in container.get("envFrom") or []):
                return True
        return False

    def loaded(self, pod: Pod) -> bool:
        """Say whether a pod's server has its model, after some time for it. Raises CannotCheck where it says nothing.

        Where the probe was removed, a pod is called ready at once.
        """
        try:
            return wait_until(lambda: answers(self.kube, pod.name, SERVER, "readyz"), "its model", PATIENCE, 1)
        except TimedOut as late:
            if late.last is None:
                cause = f"The server in pod {pod.name} gives no answer in time."
                raise CannotCheck(cause, "Grade again.") from None
            return False

    @fact
    def gate(self) -> Gate:
        """What a copy of the pod does whose model cannot be found."""
        with trial(self.kube, self.deployment.template, {"MODEL_PATH": "/not/there.skops"}) as copy:
            return copy.watch()
