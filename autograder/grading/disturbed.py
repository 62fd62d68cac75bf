"""Take no verdict from a cluster that was not itself while the work was done and judged.

Killed parts come back by themselves, and what a learner did in the meantime had no
effect, or a late one: a Deployment without pods is then nobody's fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from autograder.checks import Result, Status
from autograder.facts import CannotCheck
from autograder.ground import pulse
from autograder.ground.cluster import connection
from autograder.ground.trainer import CONTROLLERS
from autograder.labs import Lab

FIX = "Run `shipyard up`, which waits until the cluster works again; then grade again."


class Watch:
    """Watch the cluster from now on, for a lab that uses one."""

    def __init__(self, lab: Lab):
        self._used = "cluster" in lab.needs
        self._spaces = tuple(CONTROLLERS) if "trainer" in lab.needs else ()
        self._before = self._take() if self._used else {}

    def fault(self, results: Sequence[Result]) -> CannotCheck | None:
        """Return why no verdict since then counts, None where all do.

        Where each check passes, the parts worked: only a failed one is worth the two seconds to see them work.
        """
        if not self._used:
            return None
        try:
            with _connected() as api:
                if again := pulse.restarted(self._before, pulse.take(api, self._spaces)):
                    cause = f"While this was graded, a part of the cluster started again: {', '.join(again)}."
                    return CannotCheck(cause, FIX)
                failed = any(one.status is not Status.PASS for one in results)
                if failed and (away := pulse.away(api, self._spaces)):
                    return CannotCheck(f"A part of the cluster does not work: {', '.join(away)}.", FIX)
        except CannotCheck as fault:
            return fault
        return None

    def _take(self) -> pulse.Pulse:
        with _connected() as api:
            return pulse.take(api, self._spaces)


@contextmanager
def _connected() -> Iterator[ApiClient]:
    """Yield a client of the cluster; what it answers to us becomes CannotCheck."""
    api = connection()
    try:
        yield api
    except (ApiException, HTTPError, OSError) as error:
        raise CannotCheck(f"The cluster does not say how its parts are: {error}", FIX) from error
    finally:
        api.close()
