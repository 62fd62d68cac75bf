"""Reach into a sandbox from the grader's side: a local port that leads to one of its sockets.

A sandbox has no network. The folder of its engine's socket holds a second
socket, `ports.sock`, through which its guard connects with a port inside.
"""

from __future__ import annotations

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

    >>> with Door(Path("/run/…/registry.sock")) as door: door.port  # doctest: +SKIP
    """

    def __init__(self, path: Path, port_inside: int | None = None):
        self.path = path
        self._first = b"" if port_inside is None else f"{port_inside}\n".encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
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


@contextmanager
def doors(host: str) -> Iterator[Callable[[int], int]]:
    """Yield a function from a port that the engine at `host` has published to the one that reaches it from here.

    They are the same for every engine but a sandbox's.
    """
    path = Path(host.removeprefix("unix://")).with_name(PORTS)
    if not host.startswith("unix://") or not path.exists():
        yield lambda port: port
        return
    with ExitStack() as stack:
        known: dict[int, int] = {}

        def reach(port: int) -> int:
            if port not in known:
                known[port] = stack.enter_context(Door(path, port)).port
            return known[port]

        yield reach


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
