"""Ask a Service from inside the cluster while something happens to it, and count what came back.

with calling(kube, "reader", image, rate=20, seconds=120) as caller:
    caller.wait_answered(20)
    …
    caller.wait_counted()
    caller.report().failed
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from autograder.facts import CannotCheck
from autograder.probes.apiserver import call
from autograder.probes.engine import LABEL
from autograder.probes.http import loads
from autograder.probes.kubernetes import Kube
from autograder.probes.words import cut
from autograder.waiting import TimedOut, wait_until

SCRIPT = Path(__file__).with_name("caller_in_pod.py")
CLIENT = {"app": "client"}  # the pod's label, so that a NetworkPolicy can let it in
START_SECONDS = 90
LONGEST = 600  # seconds that a caller may run, whatever was asked for
FASTEST = 50  # requests a second


@dataclass(frozen=True)
class Report:
    """Tell what a caller saw: how many requests were answered, by which pods and models, and which failed."""

    answered: int
    failed: int
    said: tuple[str, ...] = ()
    pods: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """The first reason for which a request failed, short enough to show."""
        return cut(self.said[0], 120) if self.said else ""


@dataclass(frozen=True)
class Caller:
    """Tell about the pod that asks; get one from `calling`."""

    kube: Kube
    name: str

    def seconds(self) -> list[dict[str, Any]]:
        """Return a dictionary for each second so far: at, pods, models, failed, said, ms (median and slowest)."""
        raw = call("read the caller's log", self.kube.core.read_namespaced_pod_log, self.name, self.kube.namespace,
                   limit_bytes=2_000_000, _preload_content=False)  # fmt: skip
        text = raw.data.decode("utf-8", "replace") if raw is not None else ""
        found = (loads(line) for line in text.splitlines())
        return [one for one in found if isinstance(one, dict) and "at" in one]

    def report(self, since: int = 0) -> Report:
        """Return the sum of all seconds, or of those after the first `since`."""
        pods, models, failed, said = Counter(), Counter(), 0, []
        for one in self.seconds()[since:]:
            pods.update(one["pods"])
            models.update(one["models"])
            failed += one["failed"]
            said += one["said"]
        return Report(pods.total(), failed, tuple(said[:5]), dict(pods), dict(models))

    def wait_answered(self, count: int = 10, timeout: float = 60) -> int:
        """Wait until `count` requests were answered, and return how many seconds are counted by then.

        Raises CannotCheck where the caller itself does not come to ask.
        """
        try:
            return wait_until(
                lambda: len(self.seconds()) if self.report().answered >= count else 0, "answers", timeout, 0.5
            )
        except TimedOut:
            return len(self.seconds())

    def wait_counted(self, more: int = 3, timeout: float = 60) -> int:
        """Wait until `more` further seconds are counted, and return how many are counted by then.

        An answer that is under way is counted in the second in which it comes. Raises CannotCheck
        where the caller has ended or stands still.
        """
        begun = len(self.seconds())
        try:
            return wait_until(lambda: (n := len(self.seconds())) >= begun + more and n, "the caller", timeout, 0.5)
        except TimedOut as late:
            raise CannotCheck("The pod that asks the Service stands still.", "Grade again.") from late


@contextmanager
def calling(
    kube: Kube, service: str, image: str, *, port: int = 80, rate: float = 20, seconds: int = 180, rows: int = 1
) -> Iterator[Caller]:
    """Start a pod that asks a Service's /predict, and remove it at the end.

    It asks at most FASTEST times a second and for at most LONGEST seconds, even where nobody is left to end it.
    `image` needs Python 3. Raises CannotCheck where the pod does not come to run.
    """
    name = f"shipyard-caller-{uuid4().hex[:6]}"
    seconds = min(seconds, LONGEST)
    settings = {"URL": f"http://{service}:{port}/predict", "RATE": min(rate, FASTEST), "SECONDS": seconds, "ROWS": rows}
    container = {
        "name": "caller",
        "image": image,
        "command": ["python", "-c", SCRIPT.read_text()],
        "env": [{"name": key, "value": str(value)} for key, value in settings.items()],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }  # fmt: skip
    spec = {
        "containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        "activeDeadlineSeconds": seconds + START_SECONDS, "enableServiceLinks": False,
        "automountServiceAccountToken": False,
    }  # fmt: skip
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {LABEL: "1", **CLIENT}},
            "spec": spec}  # fmt: skip
    call("start a pod that asks", kube.core.create_namespaced_pod, kube.namespace, body)
    caller = Caller(kube, name)
    try:
        _wait_running(kube, name)
        yield caller
    finally:
        call("remove the pod that asks", kube.core.delete_namespaced_pod, name, kube.namespace, grace_period_seconds=0)


def _wait_running(kube: Kube, name: str) -> None:
    def running() -> bool:
        pod = call("look at the pod that asks", kube.core.read_namespaced_pod, name, kube.namespace)
        if pod is None or pod.status.phase == "Failed":
            raise CannotCheck("The pod that asks the Service ended at once.", "Grade again.")
        return pod.status.phase == "Running"

    try:
        wait_until(running, "the pod that asks", START_SECONDS, 0.5)
    except TimedOut as late:
        raise CannotCheck("The pod that asks the Service does not come to run.", "Is the cluster full?") from late
