"""End what a killed engine left running.

An engine that starts again ends the containers that it remembers. One that was
killed while it started a container may not remember it: the container lives on
with its address in the engine's network, the next container gets the same
address, and requests for one reach the other. Even one whose processes have all
ended keeps its address for a minute or two: the kernel waits for the other end
of its connections, and refuses new ones.

A container that did not end, or not whole, is in the way of itself: containerd
gives up removing what is left of it after 5 s, and then refuses to start it
again ("file exists") as long as the engine runs.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from pathlib import Path

import psutil

from autograder.facts import CannotCheck
from autograder.ground.shell import run
from autograder.waiting import TimedOut, wait_until

BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}")  # the engine's own names for its networks
# The parent of a container's processes; it outlives the engine, and this is how it names it.
SHIM, ADDRESS = "containerd-shim", "/var/run/docker/containerd/containerd.sock"
# A folder for each container that runs or was not removed whole, by its id.
BUNDLES = Path("/var/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby")
FREEZER, UNIFIED = Path("/sys/fs/cgroup/freezer/docker"), Path("/sys/fs/cgroup/docker")  # cgroups of version 1, 2


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
    left = [bundle.name for bundle in BUNDLES.iterdir()] if BUNDLES.is_dir() else []
    ending = [process for container in left for process in inside(container)]
    for pid in shims():
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid)
            # The parent last: it takes in whatever its children leave behind.
            ending += [*parent.children(recursive=True), parent]
    for process in ending:
        with suppress(psutil.NoSuchProcess):
            process.kill()

    def ended() -> bool:
        for container in left:  # each time: what was at work until a moment ago may have frozen another one
            thaw(container)
        return not any(map(lives, ending))

    try:
        wait_until(ended, "the old engine's containers to end", timeout)
    except TimedOut as late:
        raise CannotCheck(f"a killed engine left processes that do not end: {late}", "Restart the machine.") from None
    for container in left:
        if not (BUNDLES / container / "runtime").exists():  # half made: containerd itself cannot remove it
            shutil.rmtree(BUNDLES / container, ignore_errors=True)
    unplug()


def thaw(container: str) -> None:
    """Let go on, and so end, what a killed runtime left frozen in a container, or in a container in there.

    A runtime freezes a container while it sets its devices. Killed at that moment, it leaves processes that no
    signal reaches, and the container around them never ends. Cgroups of version 2 let frozen processes be killed.
    https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html
    """
    for state in sorted((FREEZER / container).rglob("freezer.state")):  # the outer ones first: they hold the inner ones
        with suppress(OSError):  # it ended meanwhile, or is not ours to change
            if state.read_text().strip() != "THAWED":
                state.write_text("THAWED")


def inside(container: str) -> list[psutil.Process]:
    """Return a container's processes, also those whose parent outside of it has ended."""
    found = []
    for processes in [*(FREEZER / container).rglob("cgroup.procs"), *(UNIFIED / container).rglob("cgroup.procs")]:
        with suppress(OSError):
            for pid in processes.read_text().split():
                with suppress(psutil.NoSuchProcess, ValueError):  # 0: a process that is none of this machine's
                    found.append(psutil.Process(int(pid)))
    return found


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
