"""Set a copy of a Deployment and of its Service beside the learner's own, to try things on: nothing of theirs changes.

with copied(kube, "reader", "reader", image=old, environment={"LOAD_SECONDS": "3"}) as copy:
    copy.wait_ready(120)
    copy.set_image(new)
"""

from __future__ import annotations

import copy as copying
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from autograder.facts import CannotCheck, NotThere
from autograder.probes.apiserver import call
from autograder.probes.engine import LABEL
from autograder.probes.kubernetes import Deployment, Kube
from autograder.probes.pods import Pod
from autograder.waiting import TimedOut, wait_until

TRIAL = "shipyard.trial"  # the label by which a copy knows its pods, and no other object does


@dataclass(frozen=True)
class Copy:
    """Tell about a copy; get one from `copied`. `name` is that of its Deployment and of its Service."""

    kube: Kube
    name: str

    def look(self) -> Deployment:
        """Return its Deployment as it is now."""
        return self.kube.deployment(self.name)

    def pods(self) -> list[Pod]:
        """Return its pods, the newest first."""
        return self.kube.pods({TRIAL: self.name})

    def wait_ready(self, timeout: float) -> Deployment:
        """Wait until it is rolled out. Raises as Deployment.wait_rolled_out does."""
        return self.look().wait_rolled_out(timeout)

    def wait_whole(self, timeout: float) -> None:
        """Wait until as many pods are ready as are asked for, those that are ending not counted. Raises NotThere."""

        def whole() -> bool:
            staying = [pod for pod in self.pods() if not pod.terminating]
            return len(staying) == self.look().replicas and all(pod.ready for pod in staying)

        try:
            wait_until(whole, "the copy", timeout, 0.5)
        except TimedOut:
            self.wait_ready(5)  # raises with the reason
            raise NotThere(f"After {timeout:.0f} s the copy has not as many pods as before.") from None

    def set_image(self, image: str) -> None:
        """Begin to update it to another image."""
        first = self.look().containers[0]["name"]
        self._patch({"template": {"spec": {"containers": [{"name": first, "image": image}]}}})

    def set_replicas(self, count: int) -> None:
        """Ask for another number of pods."""
        self._patch({"replicas": count})

    def _patch(self, spec: dict[str, Any]) -> None:
        call("change the copy", self.kube.apps.patch_namespaced_deployment, self.name, self.kube.namespace,
             {"spec": spec})  # fmt: skip

    def seconds_served_after_deletion(self, pod: Pod, port: int, longest: float) -> tuple[float, float]:
        """Delete a pod as Kubernetes does, and ask it until it does not answer any more.

        Returns when the last request was sent that it answered, and the first that it did not, in
        seconds after the deletion; both lie at or below `longest`.
        """
        call("delete a pod of the copy", self.kube.core.delete_namespaced_pod, pod.name, self.kube.namespace)
        begun, last = time.monotonic(), 0.0
        while (asked := time.monotonic() - begun) < longest:
            answered = answers(self.kube, pod.name, port)
            if answered is False:
                return last, asked
            if answered:
                last = asked
            time.sleep(0.2)
        return last, longest


def answers(kube: Kube, pod: str, port: int, path: str = "healthz") -> bool | None:
    """Tell whether one pod's server answers, asked directly and not through a Service; None: no word in time."""
    try:
        kube.core.connect_get_namespaced_pod_proxy_with_path(f"{pod}:{port}", kube.namespace, path, _request_timeout=5)
        return True
    except ApiException as error:
        if error.status == 403:
            raise CannotCheck("The cluster does not let us ask a single pod.",
                              "The account needs the right `get` on pods/proxy.") from error  # fmt: skip
        # A server's own 500 is an answer; the API server's, or a proxy's that waited, is no word.
        said = error.body or ""
        busy = error.status in (429, 504) or any(words in said for words in ("timeout", "deadline"))
        return None if busy or (error.status == 500 and '"kind":"Status"' in said) else False
    except (urllib3.exceptions.HTTPError, OSError):
        return None


@contextmanager
def copied(
    kube: Kube,
    deployment: str,
    service: str,
    *,
    image: str,
    replicas: int | None = None,
    environment: dict[str, str] | None = None,
    small: bool = True,
) -> Iterator[Copy]:
    """Create the copy, with another image and further variables in its first container, and remove it at the end.

    Its pods carry one label only, which no Service, Deployment or budget of the learner's selects. `small` takes
    away what it requests, so that it fits beside the original; leave it where the requests matter. Raises
    NotThere where the original is not there, CannotCheck where the cluster refuses the copy.
    """
    apps, core = kube.apps, kube.core
    seen = kube.deployment(deployment)
    theirs = call("read a Deployment", apps.read_namespaced_deployment, deployment, kube.namespace)
    door = kube.service(service)
    name = f"shipyard-trial-{uuid4().hex[:6]}"
    labels = {TRIAL: name}
    spec = kube.api.sanitize_for_serialization(theirs.spec)
    template = copying.deepcopy(seen.template)
    template["metadata"] = {"labels": {LABEL: "1", **labels}, "annotations": template["metadata"].get("annotations")}
    first = template["spec"]["containers"][0]
    first["image"] = image
    first["env"] = [one for one in first.get("env") or [] if one["name"] not in (environment or {})]
    first["env"] += [{"name": key, "value": value} for key, value in (environment or {}).items()]
    for container in template["spec"]["containers"] if small else ():
        container["resources"] = {**(container.get("resources") or {}), "requests": {"cpu": "1m", "memory": "1Mi"}}
    spec |= {"template": template, "selector": {"matchLabels": labels}, "paused": False,
             "replicas": seen.replicas if replicas is None else replicas}  # fmt: skip
    about = {"name": name, "labels": {LABEL: "1"}}
    ports = [{"port": one.port, "targetPort": one.target, "name": one.name or f"p{one.port}"} for one in door.ports]
    if not ports:
        raise NotThere(f"The Service {service} has no port.", "Add `ports:` with `port` and `targetPort`.")
    try:
        call("create a copy of the Deployment", apps.create_namespaced_deployment, kube.namespace,
             {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": about, "spec": spec})  # fmt: skip
        call("create a copy of the Service", core.create_namespaced_service, kube.namespace,
             {"apiVersion": "v1", "kind": "Service", "metadata": about,
              "spec": {"selector": labels, "ports": ports}})  # fmt: skip
        yield Copy(kube, name)
    finally:
        remove(kube, name)


def remove(kube: Kube, name: str) -> None:
    """Remove a copy with its pods, which need not end politely."""
    whole = client.V1DeleteOptions(propagation_policy="Background")
    call("remove the copy's Service", kube.core.delete_namespaced_service, name, kube.namespace)
    call("remove the copy", kube.apps.delete_namespaced_deployment, name, kube.namespace, body=whole)
    call("end the copy's pods", kube.core.delete_collection_namespaced_pod, kube.namespace,
         label_selector=f"{TRIAL}={name}", grace_period_seconds=0)  # fmt: skip
