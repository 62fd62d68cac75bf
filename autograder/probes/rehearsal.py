"""Rehearse on a copy of a Deployment what happens to it in operation, while somebody asks its Service.

with rehearsing(kube, "reader", old, environment={"LOAD_SECONDS": "3"}) as rehearsal:
    rehearsal.lose_a_pod(3)
    rehearsal.update(new).report.failed
    rehearsal.update_badly(bad).let_in
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from autograder.facts import CannotCheck, NotThere
from autograder.probes.caller import Caller, Report, calling
from autograder.probes.copies import Copy, copied
from autograder.probes.kubernetes import Deployment, Kube
from autograder.probes.pods import Pod
from autograder.probes.trial import Trial, patience
from autograder.waiting import TimedOut, wait_until

RATE = 20  # requests a second
LONGEST = 600  # seconds
COPY_SECONDS = 240  # a copy starts on a machine that is busy with it, and only a slow one needs them
QUIET_SECONDS = 60
SLOW = "Grade again when the machine has less to do."


@dataclass(frozen=True)
class Loss:
    """Tell what became of requests while something happened to a copy."""

    report: Report
    left: int  # pods that should have been there to answer all the while
    ended: str = ""  # why it did not come to its end; empty where it did
    served: float = 0.0  # of a lost pod: seconds that it went on answering after it was told to end
    let_in: bool = False  # of a bad version: whether one of its pods was counted as ready


@dataclass
class Rehearsal:
    """Do things to a copy; get one from `rehearsing`. What is done leaves it running a version that serves."""

    copy: Copy
    caller: Caller
    original: Deployment
    image: str  # that serves
    server: int
    held: bool = False  # whether an update to a bad version stands still

    def lose_a_pod(self, seconds: float) -> Loss:
        """Delete a pod, see whether it goes on answering for `seconds`, wait until there are as many as before."""
        return self._twice(self.original.replicas - 1, lambda: {"served": self._lose(seconds)})

    def update(self, image: str) -> Loss:
        """Update to another version that serves."""
        targets = [image, self.image]

        def change() -> dict[str, Any]:
            self._set(targets[0])
            targets.reverse()  # a second time it goes back
            return {}

        return self._twice(self._left(), change)

    def update_badly(self, image: str) -> Loss:
        """Begin to update to a version that cannot serve, and see whether a pod of it is counted as ready."""
        return self._during(self._left(), lambda: {"let_in": self._let_in(image)})

    def _left(self) -> int:
        return self.original.replicas - most_missing(self.original)

    def _lose(self, seconds: float) -> float:
        for _ in range(4):
            chosen = next((pod for pod in self.copy.pods() if pod.ready), None)
            if chosen is None:
                raise NotThere("A copy of your Deployment has no ready pod any more.")
            last, refused = self.copy.seconds_served_after_deletion(chosen, self.server, seconds)
            self.copy.wait_whole(COPY_SECONDS)
            if last >= seconds - 1 or refused < seconds - 1:  # else nobody looked at the moment that tells
                return last
        raise CannotCheck("The machine is too slow to see how a pod ends.", SLOW)

    def _set(self, image: str) -> None:
        self.copy.set_image(image)
        self.copy.wait_ready(COPY_SECONDS)
        self.image = image

    def _let_in(self, image: str) -> bool:
        self.held = True
        self.copy.set_image(image)

        def new() -> Pod | None:
            return next((pod for pod in self.copy.pods() if pod.image == image and not pod.terminating), None)

        try:
            pod = wait_until(new, "a pod of the bad version", COPY_SECONDS, 0.5)
        except TimedOut as late:
            raise NotThere("A copy of your Deployment does not begin to roll out another version.") from late
        return Trial(self.copy.kube, pod.name, patience(pod.spec)).watch(self.server).ready

    def _twice(self, left: int, act: Callable[[], dict[str, Any]]) -> Loss:
        """Do it again where requests failed though somebody was left to answer: once may be the machine's fault."""
        loss = self._during(left, act)
        return self._during(left, act) if loss.report.failed and left >= 1 and not loss.ended else loss

    def _during(self, left: int, act: Callable[[], dict[str, Any]]) -> Loss:
        """Do something, and return what it gave and what became of requests meanwhile, and shortly after."""
        self._quiet()
        begun, ended, given = len(self.caller.seconds()), "", {}
        try:
            given = act()
        except NotThere as late:
            ended = late.observed
        self.caller.wait_counted()
        return Loss(self.caller.report(begun), left, ended, **given)

    def _quiet(self) -> None:
        """Wait, not for ever, until what happened before is over: no bad version, no pod that ends, no failure."""
        if self.held:
            with suppress(NotThere):
                self._set(self.image)
            self.held = False

        def quiet() -> bool:
            failing = any(one["failed"] for one in self.caller.seconds()[-3:])
            return not failing and not any(pod.terminating for pod in self.copy.pods())

        with suppress(TimedOut):
            wait_until(quiet, "nothing to happen", QUIET_SECONDS, 1)


@contextmanager
def rehearsing(
    kube: Kube, name: str, image: str, *, port: int = 80, server: int = 8000, environment: dict[str, str] | None = None
) -> Iterator[Rehearsal]:
    """Set a copy of the Deployment and the Service of that name up, with `image`, and somebody who asks it.

    `port` is the Service's, `server` the pods'. Raises NotThere where the copy does not come to run or to
    answer, CannotCheck where only the machine can be the reason.
    """
    original = kube.deployment(name)
    with copied(kube, name, name, image=image, environment=environment) as copy:
        come_up(copy, original)
        with calling(kube, copy.name, image, port=port, rate=RATE, seconds=LONGEST) as caller:
            answered(caller, port)
            yield Rehearsal(copy, caller, original, image, server)


def come_up(copy: Copy, original: Deployment) -> None:
    """Wait until a copy runs. Raises NotThere, or CannotCheck where its original does."""
    try:
        copy.wait_ready(COPY_SECONDS)
    except NotThere as late:
        if original.rolled_out and "the cluster refuses" not in late.observed:
            cause = f"A copy of the Deployment does not come to run, though it does itself: {late.observed}"
            raise CannotCheck(cause, SLOW) from late
        raise NotThere(
            f"A copy of your Deployment does not come to run: {late.observed}",
            "First let your Deployment come to run: `kubectl describe deployment` tells what stands in the way.",
        ) from late


def answered(caller: Caller, port: int) -> None:
    """Wait until a caller has got answers. Raises NotThere where it gets none."""
    caller.wait_answered(20)
    if not (said := caller.report()).answered:
        raise NotThere(
            f"A copy of your Service with your pods behind it gives no usable answer on port {port}: {said.why}",
            "Compare the Service's port and targetPort with where the server listens.",
        )


def most_missing(deployment: Deployment) -> int:
    """Return how many of a Deployment's pods its strategy allows to be missing during an update."""
    if deployment.strategy.get("type") == "Recreate":
        return deployment.replicas
    most = (deployment.strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
    return most if isinstance(most, int) else deployment.replicas * int(most.removesuffix("%")) // 100
