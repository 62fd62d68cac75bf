"""Commands in containers of a real engine: nothing that they write is lost, nothing half is taken for whole."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from autograder.probes.engine import LABEL, connect, engine_host
from autograder.probes.execs import BrokenOff, Endless, run_in, stdout_of

pytestmark = pytest.mark.docker
SECONDS = 2  # until a command has written its words, on a busy machine, too
ECHO = ["sh", "-c", "echo out; echo err >&2; exit 3"]


class Relay:
    """Pass bytes on between clients and the engine; headers and a command's first words arrive as one piece.

    So it is on a busy machine. After `cut` bytes of them, the connection breaks off.
    """

    def __init__(self, path: Path, cut: int | None = None):
        self._cut, self._engine = cut, engine_host().removeprefix("unix://")
        self._started: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self._engine)
                threading.Thread(target=self._forth, args=(client, engine), daemon=True).start()
                threading.Thread(target=self._back, args=(engine, client), daemon=True).start()

    def _forth(self, client: socket.socket, engine: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(65536):
                if b"/start HTTP" in piece:
                    self._started.add(engine)
                engine.sendall(piece)

    def _back(self, engine: socket.socket, client: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := engine.recv(65536):
                if engine in self._started and not passed and not self._cut:
                    time.sleep(SECONDS)
                    piece += engine.recv(65536)
                passed += len(piece)
                if self._cut and passed > self._cut and engine in self._started:
                    client.sendall(piece[: self._cut - passed])
                    break
                client.sendall(piece)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def container():
    client = connect()
    made = client.containers.run("python:3.11-slim", ["sleep", "300"], detach=True, init=True, labels={LABEL: "1"})
    yield made
    made.remove(force=True)
    client.close()


@pytest.fixture
def slow(tmp_path: Path, container) -> Iterator[object]:
    """The container, seen through an engine whose headers and first words arrive together."""
    relay = Relay(tmp_path / "engine.sock")
    with contextlib.closing(relay), contextlib.closing(client_of(tmp_path)) as client:
        yield client.containers.get(container.id)


def client_of(folder: Path) -> docker.DockerClient:
    return docker.DockerClient(base_url=f"unix://{folder}/engine.sock", version="auto")


def test_words_that_come_with_the_headers_are_not_lost(slow):
    code, output = run_in(slow, ECHO)
    assert (code, sorted(output.split())) == (3, [b"err", b"out"])
    assert run_in(slow, ECHO, stderr=False) == (3, b"out\n")


def test_a_long_output_comes_whole_and_in_order(container):
    code, output = run_in(container, ["python3", "-c", "for n in range(200_000): print(n)"])
    assert code == 0 and output.split() == [str(n).encode() for n in range(200_000)]


def test_a_command_that_fails_says_so_after_its_last_piece(container):
    pieces = stdout_of(container, ECHO)
    assert next(pieces) == b"out\n"
    with pytest.raises(BrokenOff, match="sh ended with code 3: err"):
        next(pieces)


def test_a_command_that_never_ends_is_given_up_however_it_goes_on(container):
    for command in (["sleep", "300"], ["sh", "-c", "while :; do echo on; sleep 0.2; done"], ["yes"]):
        started = time.monotonic()
        with pytest.raises(Endless):
            run_in(container, command, seconds=3)
        assert time.monotonic() - started < 30, command


def test_an_output_that_breaks_off_is_not_taken_for_whole(tmp_path: Path, container):
    with contextlib.closing(Relay(tmp_path / "engine.sock", cut=1_000)):
        cut_off = client_of(tmp_path).containers.get(container.id)
        pieces = stdout_of(cut_off, ["sh", "-c", "yes | head -c 20000; sleep 300"])
        with pytest.raises(BrokenOff, match="broke off"):
            for _ in pieces:
                pass
