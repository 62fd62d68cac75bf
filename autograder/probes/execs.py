"""Run commands in containers without losing what they write.

docker-py reads a command's output from the bare socket, though the HTTP library may
have read its beginning together with the headers: on a busy machine, short outputs
are empty at times, with exit code 0 (https://github.com/docker/docker-py/issues/3332).
Here the library that read the headers reads the rest.

run_in(container, ["redis-cli", "GET", "count"])   # Done(code=0, output=b"16\n")
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import requests
from docker.errors import create_api_error_from_http_exception
from docker.models.containers import Container
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError, ReadTimeoutError

from autograder.waiting import TimedOut, wait_until

STDOUT = 1  # a frame's kind: https://docs.docker.com/reference/api/engine/, "Attach to a container"
SILENT_SECONDS = 300  # between two pieces
MOST = 64_000_000  # bytes that a command may write


class Done(NamedTuple):
    """Hold how a command ended: its exit code, and what it wrote to standard output and error."""

    code: int
    output: bytes


class BrokenOff(OSError):
    """Say that a command's output is not whole: it failed, or the engine went away."""


class Endless(BrokenOff):
    """Say that a command was given up: it took too long, or wrote too much. It may be a stranger's."""


def run_in(
    container: Container, command: Sequence[str], user: str = "", stderr: bool = True, seconds: float = 60
) -> Done:
    """Run a command in a container and return how it ended.

    Raises what docker-py raises where the container does not run, Endless where
    the command does not end in time, BrokenOff where the engine does not say how it ended.
    """
    run, output = _Run(container, command, user, stderr), bytearray()
    deadline = time.monotonic() + seconds
    for _, piece in run.frames(seconds):
        output += piece
        if len(output) > MOST or time.monotonic() > deadline:
            raise Endless(f"{command[0]} was given up: after {seconds:.0f} s or {MOST:_} bytes it had not ended.")
    return Done(run.code(), bytes(output))


def stdout_of(container: Container, command: Sequence[str], user: str = "") -> Iterator[bytes]:
    """Yield what a command writes to standard output, piece by piece.

    Raises BrokenOff after the last piece where the command did not end with code 0.
    """
    run = _Run(container, command, user, stderr=True)
    words = b""
    for kind, piece in run.frames(SILENT_SECONDS):
        if kind == STDOUT:
            yield piece
        else:
            words = (words + piece)[-500:]
    if code := run.code():
        raise BrokenOff(f"{command[0]} ended with code {code}: {words.decode('utf-8', 'replace')}")


class _Run:
    def __init__(self, container: Container, command: Sequence[str], user: str, stderr: bool):
        self._api = container.client.api
        self._id = self._api.exec_create(container.id, list(command), user=user, stderr=stderr)["Id"]

    def frames(self, silent: float) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, bytes) of each frame that the engine sends; 8 bytes before it tell its kind and length.

        Raises Endless where none comes for `silent` seconds, though the command runs.
        """
        with self._api.post(
            f"{self._api.base_url}/v{self._api.api_version}/exec/{self._id}/start",
            json={"Detach": False, "Tty": False}, stream=True, timeout=(self._api.timeout, silent),
        ) as answer:  # fmt: skip
            try:
                answer.raise_for_status()
            except requests.HTTPError as error:
                raise create_api_error_from_http_exception(error) from error
            while len(head := self._read(answer.raw, 8)) == 8:
                kind, length = struct.unpack(">BxxxL", head)
                yield kind, self._read(answer.raw, length)

    def code(self) -> int:
        """Return the exit code; the engine may write it down a moment after the last frame."""
        told: dict = {}

        def over() -> bool:
            told.update(self._api.exec_inspect(self._id))
            return not told["Running"] and told["ExitCode"] is not None

        try:
            wait_until(over, "a command to end", 10, pause=0.05)
        except TimedOut:
            raise BrokenOff("The connection to a command in a container broke off.") from None
        return told["ExitCode"]

    def _read(self, raw: BaseHTTPResponse, length: int) -> bytes:
        """Return so many bytes, fewer only where the answer ends."""
        found = b""
        try:
            while len(found) < length and (piece := raw.read(length - len(found))):
                found += piece
        except ReadTimeoutError as late:
            if self._api.exec_inspect(self._id)["Running"]:  # else it is the engine that is slow
                raise Endless("a command was given up: it wrote nothing and did not end.") from late
            raise BrokenOff(f"The connection to a command in a container broke off: {late}") from late
        except HTTPError as error:
            raise BrokenOff(f"The connection to a command in a container broke off: {error}") from error
        return found
