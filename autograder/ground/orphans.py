"""End what a killed engine left running.

An engine that starts again ends the containers that it remembers. One that was
killed while it started a container may not remember it: the container lives on
with its address in the engine's network, the next container gets the same
address, and requests for one reach the other. Even one whose processes have all
ended keeps its address for a minute or two: the kernel waits for the other end
of its connections, and refuses new ones.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress

import psutil

from autograder.facts import CannotCheck
from autograder.ground.shell import run
from autograder.waiting import TimedOut, wait_until

BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}")  # the engine's own names for its networks
# The parent of a container's processes; it outlives the engine, and this is how it names it.
SHIM, ADDRESS = "containerd-shim", "/var/run/docker/containerd/containerd.sock"


def shims() -> dict[int, str]:
    """Return the containers that live on this machine's engine or outlived it: pid of the parent -> id.

    >>> shims()  # doctest: +SKIP
    {21262: '922683591be68b3a…'}
    """
    found = {}
    for process in psutil.process_iter(["cmdline", "uids", "status"]):
        words, owner = process.info["cmdline"] or [], process.info["uids"]
        named = words and words[0].rpartition("/")[2].startswith(SHIM) and ADDRESS in words and "-id" in words[:-1]
        if named and owner.real == 0 and process.info["status"] != psutil.STATUS_ZOMBIE:
            found[process.pid] = words[words.index("-id") + 1]
    return found


def end_orphans(timeout: float = 10) -> None:
    """End all containers of an engine that does not run, and take them off its networks.

    Call it only while no engine of this machine runs: none of its containers is anybody's then.
    Raises CannotCheck where some process does not end.
    """
    ending = []
    for pid in shims():
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid)
            # The parent last: it takes in whatever its children leave behind.
            ending += [*parent.children(recursive=True), parent]
    for process in ending:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    try:
        wait_until(lambda: not any(map(lives, ending)), "the old engine's containers to end", timeout)
    except TimedOut as late:
        raise CannotCheck(f"a killed engine left processes that do not end: {late}", "Restart the machine.") from None
    unplug()


def unplug() -> None:
    """Take off the engine's networks what is still plugged in, with its address."""
    for link in json.loads(_ip("-json", "link", "show", "type", "veth") or "[]"):
        if BRIDGE.fullmatch(link.get("master", "")):
            _ip("link", "delete", link["ifname"])


def _ip(*words: str) -> str:
    try:
        return run(["ip", *words], timeout=10)
    except CannotCheck:
        return ""  # it went by itself, or this machine lets nobody look


def lives(process: psutil.Process) -> bool:
    """Tell whether a process has not ended; one that nobody has reaped yet has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
