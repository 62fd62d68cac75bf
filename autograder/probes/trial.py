"""Run a copy of a Deployment's pod with other settings, apart from all traffic, and watch whether it becomes ready.

with trial(kube, deployment.template, {"MODEL_PATH": "/not/there"}) as copy:
    gate = copy.watch()
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import urllib3
from kubernetes.client.exceptions import ApiException

from autograder.facts import CannotCheck, NotThere
from autograder.probes.apiserver import call
from autograder.probes.engine import LABEL
from autograder.probes.kubernetes import Kube
from autograder.probes.pods import Pod
from autograder.probes.words import tail

START_SECONDS = 60
SETTLE_SECONDS = 3  # events come late: those about the time before the server answered must be in
HOPELESS_SECONDS = 15
SELDOM = 5  # seconds from one try of a probe to the next, at least
GATES = ("startupProbe", "readinessProbe")  # what says no keeps a pod from being ready
PROBES = (*GATES, "livenessProbe")
HOPELESS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff", "CreateContainerConfigError")


@dataclass(frozen=True)
class Gate:
    """Tell whether a copy became ready though it should not, and what its probe said."""

    ready: bool
    said: str


@dataclass(frozen=True)
class Trial:
    """Tell about the running copy; get one from `trial`."""

    kube: Kube
    name: str
    patience: float  # seconds in which its probes must have spoken, once its server answers

    def watch(self, port: int = 8000, path: str = "/healthz") -> Gate:
        """Watch until it is ready, or until a probe fails although the server answers at `port`.

        Before the server answers, every probe fails: that says nothing. Raises
        NotThere where it does not come to run or no probe speaks, CannotCheck
        where the cluster has no room for it.
        """
        started, answered, failed_before = time.monotonic(), 0.0, -1
        while True:
            pod, now = self._pod(), time.monotonic()
            if pod.ready:
                return Gate(True, "")
            count, said = self._failures()
            if failed_before >= 0 and count > failed_before:
                return Gate(False, said)
            if failed_before < 0 and answered and now - answered > SETTLE_SECONDS:
                failed_before = count
            if answered and now - answered > SETTLE_SECONDS + self.patience:
                raise NotThere(
                    f"For {now - answered:.0f} s the probe of a copy of your pod said neither yes nor no.",
                    "Give the readiness probe a short initialDelaySeconds and periodSeconds.",
                )
            if not answered and self._answers(port, path):
                answered = time.monotonic()
            waited = now - started
            if not answered and (waited > START_SECONDS or (waited > HOPELESS_SECONDS and pod.because(*HOPELESS))):
                raise self._not_running(pod, port)
            time.sleep(0.5)

    def _pod(self) -> Pod:
        for pod in self.kube.pods(f"{LABEL}=1"):
            if pod.name == self.name:
                return pod
        raise NotThere("The copy of your pod was removed while it was watched.", "Check again.")

    def _failures(self) -> tuple[int, str]:
        """Return how often readiness and startup probes have failed, and what the last one said."""
        events = [event for event in self.kube.events(50, about=self.name) if event.reason == "Unhealthy"]
        events = [event for event in events if not event.message.startswith("Liveness")]
        # A probe by command may have printed much; why it failed stands in its last line.
        return sum(event.count for event in events), tail(events[0].message, lines=1) if events else ""

    def _answers(self, port: int, path: str) -> bool:
        try:
            self.kube.core.connect_get_namespaced_pod_proxy_with_path(
                f"{self.name}:{port}", self.kube.namespace, path.lstrip("/"), _request_timeout=5
            )
            return True
        except ApiException as error:
            if error.status == 403:
                fix = "The account needs the right `get` on pods/proxy."
                raise CannotCheck("The cluster does not let us ask a single pod.", fix) from error
            return False  # it has no address yet, or nothing listens there
        except (urllib3.exceptions.HTTPError, OSError):
            return False

    def _not_running(self, pod: Pod, port: int) -> NotThere | CannotCheck:
        if why := pod.because("Unschedulable"):
            if "Insufficient" in why.message:
                return CannotCheck(f"The cluster has no room for a copy of the pod: {why.message}")
            return NotThere(f"No node may run a copy of your pod: {why.message}")
        why = "; ".join(str(reason) for reason in pod.reasons) or f"its server does not answer on port {port}"
        return NotThere(
            f"A copy of your pod does not come to run: {why}.",
            "First get the Deployment rolled out: readiness can be tried only on a pod that runs.",
        )


@contextmanager
def trial(kube: Kube, template: dict[str, Any], environment: dict[str, str]) -> Iterator[Trial]:
    """Create one pod from a Deployment's template, with `environment` in each container, and remove it at the end.

    Its labels are its own, so no Service and no Deployment counts it in. Raises
    CannotCheck where the cluster refuses it.
    """
    spec = copy.deepcopy(template["spec"])
    for container in spec["containers"]:
        kept = [one for one in container.get("env") or [] if one["name"] not in environment]
        container["env"] = kept + [{"name": name, "value": value} for name, value in environment.items()]
        # It fits wherever there is a little room, and a quota that is nearly used up does not matter.
        container["resources"] = {**(container.get("resources") or {}), "requests": {"cpu": "1m", "memory": "1Mi"}}
        # A node writes down 25 events about a pod, and then hardly any more. A server that takes long to listen
        # would use them up, with a probe that asks each second, before the probe that matters was asked at all.
        for probe in filter(None, map(container.get, PROBES)):
            probe["periodSeconds"] = max(SELDOM, probe.get("periodSeconds", 10))
    name = f"shipyard-trial-{uuid4().hex[:6]}"
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {LABEL: "1"}}, "spec": spec}
    call("create a copy of a pod", kube.core.create_namespaced_pod, kube.namespace, body)
    try:
        yield Trial(kube, name, patience(spec))
    finally:
        call("remove that copy", kube.core.delete_namespaced_pod, name, kube.namespace, grace_period_seconds=0)


def patience(spec: dict[str, Any]) -> float:
    """Return the seconds in which the probes of a pod's spec must have spoken, two minutes at most."""
    probes = [c.get(kind) or {} for c in spec["containers"] for kind in GATES]
    defaults = (("initialDelaySeconds", 0), ("periodSeconds", 10), ("timeoutSeconds", 1))
    return min(120, 15 + sum(probe.get(key, usual) for probe in probes for key, usual in defaults))
