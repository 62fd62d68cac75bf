"""Tell whether the cluster's own parts run, and whether one of them was started again.

What decides in Kubernetes (the controllers, the scheduler) holds a lease: it takes
it under a new name whenever it starts, and renews it every two seconds. While
nobody holds one, the API server takes every manifest and nothing comes of it.
So: a part whose holder changed was started again, one that does not renew is away.

    before = take(client)
    ...
    away(client)  # [] or names such as "kube-scheduler"
    restarted(before, take(client))

A cluster whose leases we may not read (a provider's own) gives an empty pulse: of
its parts nothing is known, then. Look with `kubectl get lease -n kube-system`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from autograder.waiting import TimedOut, wait_until

SYSTEM = "kube-system"
DECIDING = ("kube-controller-manager", "kube-scheduler")
SERVER = "apiserver-"  # each API server's lease begins like this, and is its identity only: nothing waits for it
GIVEN_UP = 12  # seconds: a part that could not renew its lease for 10 ends itself, to be started again
NONE: Mapping[str, str] = {}
SPARE = 10  # seconds: on a machine with much to do, the next one takes a lease that much later than it may


@dataclass(frozen=True)
class Beat:
    """Hold one part's lease: who holds it, when it was renewed, and after how many seconds another may take it."""

    holder: str
    renewed: datetime
    seconds: int = 15


Pulse = Mapping[str, Beat]


def take(api: client.ApiClient, further: Mapping[str, str] = NONE, timeout: float = 10) -> Pulse:
    """Return the leases of the API server and of the deciding parts, by name.

    `further` are other controllers: namespace -> name of the Deployment, whose pods hold a lease there.
    Raises what the official client does, but for a cluster that does not show its leases.
    """
    leases, found = client.CoordinationV1Api(api), {}
    for space in (SYSTEM, *further):
        try:
            listed = leases.list_namespaced_lease(space, _request_timeout=timeout).items
        except ApiException as error:
            if error.status not in (403, 404):
                raise
            continue
        for one in listed:
            name, spec = one.metadata.name, one.spec
            if not spec or not spec.renew_time:
                continue
            holder = spec.holder_identity or ""
            own = holder.startswith(f"{further[space]}-") if space in further else name.startswith((*DECIDING, SERVER))
            if own:
                found[name] = Beat(holder, spec.renew_time, spec.lease_duration_seconds or 15)
    return found


def restarted(before: Pulse, after: Pulse) -> list[str]:
    """Return the parts that another process holds now than before.

    >>> then = datetime(2026, 1, 1)
    >>> restarted({"a": Beat("1", then), "b": Beat("1", then)}, {"a": Beat("2", then), "b": Beat("1", then)})
    ['a']
    """
    return sorted(name for name, beat in before.items() if name not in after or after[name].holder != beat.holder)


def renewing(seen: Pulse) -> dict[str, Beat]:
    """Return the parts that must renew; an API server shows by answering that it is there."""
    return {name: beat for name, beat in seen.items() if not name.startswith(SERVER)}


def late(seen: Pulse) -> list[str]:
    """Return the parts that have given up, as far as one look can tell.

    The newest lease of all tells the time: the cluster's clock may not be ours, and a machine that slept wakes with
    all leases old. An API server renews its own every ten seconds, so this may be that much late itself.

    >>> hour = datetime(2026, 1, 1)
    >>> late({"a": Beat("1", hour), "b": Beat("1", hour.replace(minute=1))})
    ['a']
    """
    newest = max((beat.renewed for beat in seen.values()), default=None)
    return sorted(n for n, beat in renewing(seen).items() if (newest - beat.renewed).total_seconds() > GIVEN_UP)


def away(api: client.ApiClient, further: Mapping[str, str] = NONE, among: Pulse | None = None) -> list[str]:
    """Return the parts that do not renew their lease while we look, of those in `among` (all where not given).

    Takes about two seconds where all do, and as long as the next one waits for a lease (25 s) where one does not.
    """
    first = renewing(take(api, further))
    waiting = set(first if among is None else among.keys() & first.keys())
    patience = max((first[name].seconds for name in waiting), default=0) + SPARE

    def all_renewed() -> bool:
        now = take(api, further)
        waiting.difference_update({name for name in now.keys() & waiting if now[name].renewed != first[name].renewed})
        return not waiting

    with suppress(TimedOut):
        wait_until(all_renewed, "leases to be renewed", patience, pause=0.5)
    return sorted(waiting)
