"""Tell whether the cluster's own parts run, and whether one of them was started again.

What decides in Kubernetes (the controllers, the scheduler) holds a lease: it takes
it under a new name whenever it starts, and renews it every two seconds. While
nobody holds one, the API server takes every manifest and nothing comes of it.
So: a part whose holder changed was started again, one that does not renew is away.

    before = take(client)
    ...
    restarted(before, take(client))  # [] or names such as "kube-scheduler"
    away(client)

A cluster whose leases we may not read (a provider's own) gives an empty pulse: of
its parts nothing is known, then. Names and times: `kubectl get lease -n kube-system`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from autograder.waiting import TimedOut, wait_until

SYSTEM = "kube-system"
DECIDING = ("kube-controller-manager", "kube-scheduler")
SERVER = "apiserver-"  # each API server's lease begins like this, and is its identity only: nothing waits for it
GIVEN_UP = 12  # seconds: a part that could not renew its lease for 10 ends itself, to be started again
PATIENCE = 25  # seconds: the next one may take a lease after 15, on a machine with much to do a little later


@dataclass(frozen=True)
class Beat:
    """Hold one part's lease: who holds it, and when it was renewed."""

    holder: str
    renewed: datetime


Pulse = Mapping[str, Beat]


def take(api: client.ApiClient, namespaces: Sequence[str] = (), timeout: float = 10) -> Pulse:
    """Return each deciding part's lease, by name; `namespaces` have further parts in them.

    Raises what the official client does, but for a cluster that does not show its leases.
    """
    leases, found = client.CoordinationV1Api(api), {}
    for space in (SYSTEM, *namespaces):
        try:
            listed = leases.list_namespaced_lease(space, _request_timeout=timeout).items
        except ApiException as error:
            if error.status not in (403, 404):
                raise
            continue
        for one in listed:
            name, spec = one.metadata.name, one.spec
            if spec.renew_time and (space != SYSTEM or name in DECIDING or name.startswith(SERVER)):
                found[name] = Beat(spec.holder_identity or "", spec.renew_time)
    return found


def restarted(before: Pulse, after: Pulse) -> list[str]:
    """Return the parts that another process holds now than before.

    >>> long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    >>> restarted({"a": Beat("1", long_ago)}, {"a": Beat("2", long_ago)})
    ['a']
    """
    return sorted(name for name, beat in before.items() if name not in after or after[name].holder != beat.holder)


def deciding(seen: Pulse) -> set[str]:
    """Return the names of the parts that must renew; an API server shows by answering that it is there."""
    return {name for name in seen if not name.startswith(SERVER)}


def late(seen: Pulse, now: datetime | None = None) -> list[str]:
    """Return the deciding parts that have given up their lease; for a cluster on this machine, whose clock is ours."""
    now = now or datetime.now(UTC)
    return sorted(name for name in deciding(seen) if (now - seen[name].renewed).total_seconds() > GIVEN_UP)


def away(api: client.ApiClient, namespaces: Sequence[str] = ()) -> list[str]:
    """Return the deciding parts that do not renew their lease while we look, by whatever clock they go.

    Takes about two seconds where all do, 25 where one does not.
    """
    first = take(api, namespaces)
    waiting = deciding(first)

    def all_renewed() -> bool:
        now = take(api, namespaces)
        waiting.difference_update({name for name in now.keys() & waiting if now[name].renewed != first[name].renewed})
        return not waiting

    with suppress(TimedOut):
        wait_until(all_renewed, "leases to be renewed", timeout=PATIENCE, pause=0.5)
    return sorted(waiting)
