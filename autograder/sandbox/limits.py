"""Bound what a sandbox may use.

Memory, processes and CPU are bounded by the container's own control group, and
hold for the containers that the learner starts in it. All that can be written
lies in file systems of memory with a size each: a full disk is the sandbox's
own, and counts as its memory, so nothing is left on the machine's disk.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

MB = 2**20


@dataclass(frozen=True)
class Limits:
    """Hold a sandbox's limits: bytes of memory, cores, processes; MB of each file system."""

    memory: int = int(os.environ.get("SHIPYARD_SANDBOX_MB", 4096)) * MB
    cpus: float = 2.0
    pids: int = 768
    disks: tuple[tuple[str, str], ...] = (
        ("/run", "size=32m,mode=755"),
        ("/tmp", "size=256m,mode=1777,exec"),
        ("/home", "size=64m,mode=755,exec"),
        ("/work", "size=128m,exec"),
        ("/var/lib/registry", "size=512m"),
    )
    engine_disk: str = "2500m"  # the private engine's data, mounted by itself; all together less than the memory
    handed_in: int = 100 * MB  # bytes of a submission's files, in and out
    files: int = 10_000  # of them
