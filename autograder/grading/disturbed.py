"""Take no verdict from a cluster that was not itself while the work was done and judged.

Killed parts come back by themselves, and what a learner did in the meantime had no
effect, or a late one: a Deployment without pods is then nobody's fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kubernetes.client import ApiClient

from autograder.checks import Result, Status
from autograder.facts import CannotCheck
from autograder.ground import pulse
from autograder.ground.addons import controllers
from autograder.ground.cluster import connection, own
from autograder.labs import Lab


class Watch:
    """Watch the cluster from now on, for a lab that uses one."""

    def __init__(self, lab: Lab):
        self._used = "cluster" in lab.needs
        self._further = controllers(lab.needs)
        self._fix = "Grade again."
        if own():
            self._fix = f"Run `shipyard up --lab {lab.slug}`, which waits until the cluster works; then grade again."
        self._before: pulse.Pulse = {}
        if self._used:
            with _connected(self._fix) as api:
                self._before = self._watched(pulse.take(api, self._further))

    def fault(self, results: Sequence[Result]) -> CannotCheck | None:
        """Return why no verdict since then counts, None where all do.

        Where each check passes, the parts worked: only a failed one is worth the two seconds to see them work.
        """
        if not self._used:
            return None
        failed = any(one.status is not Status.PASS for one in results)
        try:
            with _connected(self._fix) as api:
                # First this: who takes the place of one that was killed does so after a while only.
                if failed and (away := pulse.away(api, self._further, among=self._before)):
                    return CannotCheck(f"A part of the cluster does not work: {', '.join(away)}.", self._fix)
                if again := pulse.restarted(self._before, pulse.take(api, self._further)):
                    cause = f"While this was graded, a part of the cluster started again: {', '.join(again)}."
                    return CannotCheck(cause, self._fix)
        except CannotCheck as fault:
            return fault
        return None

    @staticmethod
    def _watched(seen: pulse.Pulse) -> pulse.Pulse:
        """Return the parts that tell something: in a cluster that the user named, nobody may use some any more."""
        if own():
            return seen
        idle = pulse.late(seen)
        return {name: beat for name, beat in pulse.renewing(seen).items() if name not in idle}


@contextmanager
def _connected(fix: str) -> Iterator[ApiClient]:
    """Yield a client of the cluster; whatever goes wrong with it becomes CannotCheck."""
    api = connection()
    try:
        yield api
    except CannotCheck:
        raise
    except Exception as error:  # an exception of ours must not leave verdicts standing
        raise CannotCheck(f"The cluster does not say how its parts are: {error}", fix) from error
    finally:
        api.close()
