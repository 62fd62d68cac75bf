"""Read what the machine has to give."""

from __future__ import annotations

from pathlib import Path

GIB = 2**30


def free_memory() -> int:
    """Return the bytes of memory that can be had; 4 GiB where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    except (OSError, StopIteration):
        return 4 * GIB
