"""Reach into a sandbox from the grader's side: a local port that leads to one of its sockets.

A sandbox has no network. The folder of its engine's socket holds a second
socket, `ports.sock`, through which its guard connects with a port inside.

Several sandboxes have the same ports: each door is at an address of its own, so
that what a learner reads of `GET http://…:8020/` has the port that the text names.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PORTS = "ports.sock"


class Door:
    """Forward a port on loopback to a Unix socket, as long as the context lasts.

    `port_inside` names a port of the sandbox: the socket is its guard's, which
    then connects with that port.

    >>> with Door(Path("/run/…/registry.sock")) as door: door.address  # doctest: +SKIP
    '127.0.0.1:40213'
    """

    def __init__(self, path: Path, port_inside: int | None = None):
        self.path = path
        self._first = b"" if port_inside is None else f"{port_inside}\n".encode()
        self._listener = _listener(port_inside)
        host, self.port = self._listener.getsockname()
        self.address = f"{host}:{self.port}"
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop forwarding; connections that are open end."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            with self._lock:
                self._open |= {client, server}
            try:
                server.connect(str(self.path))
                server.sendall(self._first)
                back = threading.Thread(target=_carry, args=(server, client), daemon=True)
                back.start()
                _carry(client, server)
                back.join()
            except OSError:
                pass
            finally:
                with self._lock:
                    self._open -= {client, server}


def local(port: int) -> str:
    """Return the address of a port that an engine on this machine has published.

    >>> local(8020)
    '127.0.0.1:8020'
    """
    return f"127.0.0.1:{port}"


@contextmanager
def doors(host: str) -> Iterator[Callable[[int], str]]:
    """Yield a function from a port that the engine at `host` has published to the address that reaches it from here."""
    path = Path(host.removeprefix("unix://")).with_name(PORTS)
    if not host.startswith("unix://") or not path.exists():
        yield local
        return
    with ExitStack() as stack:
        known: dict[int, str] = {}

        def reach(port: int) -> str:
            if port not in known:
                known[port] = stack.enter_context(Door(path, port)).address
            return known[port]

        yield reach


def _listener(port: int | None) -> socket.socket:
    """Listen on that port of one of loopback's addresses; on any port where that cannot be."""
    for _ in range(3 if port else 0):
        # macOS has only the first of them; a port below 1024 is root's; somebody may have the port everywhere.
        with suppress(OSError):
            return socket.create_server((f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.1", port))
    return socket.create_server(("127.0.0.1", 0))


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
