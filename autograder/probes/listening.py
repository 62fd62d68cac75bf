"""Find out on which addresses and ports the processes of a container listen."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from docker.errors import APIError
from docker.models.containers import Container as EngineContainer

from autograder.probes.execs import Endless, run_in

LISTEN = "0A"  # the kernel's number for the state, include/net/tcp_states.h


@dataclass(frozen=True)
class Ear:
    """Hold one address and port that something listens on."""

    address: str
    port: int

    @property
    def local(self) -> bool:
        """Say whether only the container itself can reach it."""
        return ipaddress.ip_address(self.address).is_loopback

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def ears(table: str) -> list[Ear]:
    """Return what a text in the form of /proc/net/tcp or tcp6 lists as listening.

    >>> ears("  0: 0100007F:1F40 00000000:0000 0A 0 0 0")
    [Ear(address='127.0.0.1', port=8000)]
    """
    found = []
    for line in table.splitlines():
        words = line.split()
        if len(words) < 4 or words[3] != LISTEN or not words[0].rstrip(":").isdigit():
            continue
        raw, _, port = words[1].partition(":")
        try:
            # Each 32-bit word stands in the machine's own byte order.
            packed = b"".join(bytes.fromhex(raw[at : at + 8])[::-1] for at in range(0, len(raw), 8))
            address = ipaddress.ip_address(packed)
            mapped = getattr(address, "ipv4_mapped", None)
            found.append(Ear(str(mapped or address), int(port, 16)))
        except ValueError:
            continue
    return sorted(set(found), key=lambda ear: (ear.port, ear.address))


def listening(container: EngineContainer) -> list[Ear] | None:
    """Return what listens in a container, or None where it cannot be seen from here.

    Asked inside with `cat`; an image without it is looked at through the host's
    /proc, which works where the engine's processes are ours to see.
    """
    try:
        _, output = run_in(container, ["cat", "/proc/net/tcp", "/proc/net/tcp6"])
        if b"local_address" in output:
            return _own(ears(output.decode("utf-8", "replace")))
    except (APIError, Endless):
        pass
    pid = (container.attrs.get("State") or {}).get("Pid") or 0
    try:
        if not pid or container.id not in Path(f"/proc/{pid}/cgroup").read_text():
            return None  # an engine elsewhere: this pid is somebody else here
        texts = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return None
    return _own(ears("\n".join(texts)))


def _own(found: list[Ear]) -> list[Ear]:
    return [ear for ear in found if ear.address != "127.0.0.11"]  # the engine's own name server
