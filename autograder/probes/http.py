"""Ask a learner's server over HTTP, with limits: it is a stranger's."""

from __future__ import annotations

import json as jsonlib
import math
import re
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Timer
from typing import Any, Self

import httpx

from autograder.facts import CannotCheck, NotThere
from autograder.probes.words import cut

LARGEST = 1_000_000  # bytes of one answer


@dataclass(frozen=True)
class Answer:
    """Hold what a server answered; `json` is None where the text is not JSON (NaN is none either)."""

    status: int
    json: Any
    text: str
    headers: dict[str, str]
    seconds: float

    def __str__(self) -> str:
        return f"{self.status} {cut(self.text, 160)}".strip()

    @property
    def brief(self) -> str:
        """Say what came without its words: a server may send back what it was asked, also what nobody may see."""
        return f"status {self.status} and {len(self.text)} characters"


class Unreachable(NotThere):
    """Say that no usable answer came; `kind` is refused, closed, slow, large or garbled."""

    def __init__(self, kind: str, observed: str, hint: str = ""):
        super().__init__(observed, hint)
        self.kind = kind


def ask(
    method: str,
    url: str,
    *,
    json: Any = None,
    content: bytes | None = None,
    timeout: float = 5.0,
    headers: dict[str, str] | None = None,
    client: httpx.Client | None = None,
) -> Answer:
    """Send one request and return the answer, whatever its status; redirects are not followed.

    `timeout` is seconds for the whole exchange, a dripping answer included.
    `content` sends raw bytes in place of `json`. Raises Unreachable (a NotThere)
    where no answer of at most 1 MB came in time, CannotCheck for a URL that is none.

    >>> ask("POST", "http://127.0.0.1:8000/predict", json={"instances": []}).status  # doctest: +SKIP
    400
    """
    where = f"{method} {shown(url)}"
    sent = {"accept-encoding": "identity", **(headers or {})}  # no unpacking: a small answer stays small
    if content is None and json is not None:
        content = jsonlib.dumps(json).encode()
        sent.setdefault("content-type", "application/json")
    started = time.monotonic()
    clock = _Clock(timeout)
    try:
        with clock:
            if client is not None:
                status, replied, body = _exchange(client, method, url, content, sent, timeout, clock)
            else:
                # A proxy of the user's must not come between us and 127.0.0.1 (trust_env), and
                # a learner's https has no certificate that anybody signed (verify).
                with httpx.Client(trust_env=False, verify=False) as own:
                    status, replied, body = _exchange(own, method, url, content, sent, timeout, clock)
    except Unreachable:
        raise
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError) as error:
        raise CannotCheck(f"{where} is not a request that can be sent: {error}") from error
    except (httpx.HTTPError, httpx.StreamError, OSError) as error:
        raise _explained(error, where, timeout, clock.rang) from error
    if clock.rang:
        raise _explained(None, where, timeout, True)
    text = body.decode("utf-8", "replace")
    return Answer(status, loads(text), text, replied, round(time.monotonic() - started, 3))


def shown(url: str) -> str:
    """Return a URL as a learner knows it: all of loopback's addresses lead to the learner's machine (see doors.py).

    >>> shown("http://127.83.7.1:8020/readyz")
    'http://127.0.0.1:8020/readyz'
    """
    return re.sub(r"//127\.[0-9]+\.[0-9]+\.[0-9]+:", "//127.0.0.1:", url, count=1)


def loads(text: str) -> Any:
    """Return the JSON in text, or None where it is none: NaN, infinities and absurd nesting count as none."""
    try:
        return jsonlib.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is too large")
    return number


class _Clock:
    """Cut the connection when the time is up: a client's own time-outs start anew with each byte."""

    def __init__(self, seconds: float):
        self._rang, self._sockets = Event(), []
        self._timer = Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    @property
    def rang(self) -> bool:
        return self._rang.is_set()

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of the connection (httpx calls this at every step of a request)."""
        if event == "connection.connect_tcp.complete":
            self.watch(info["return_value"])

    def watch(self, stream: Any) -> None:
        self._sockets.append(stream.get_extra_info("socket"))
        if self.rang:
            self._ring()

    def _ring(self) -> None:
        self._rang.set()
        for one in self._sockets:
            with suppress(OSError, AttributeError):
                one.shutdown(socket.SHUT_RDWR)


def _exchange(
    client: httpx.Client, method: str, url: str, content: bytes | None, headers: dict, timeout: float, clock: _Clock
) -> tuple[int, dict[str, str], bytes]:
    body = bytearray()
    request = client.build_request(
        method, url, content=content, headers=headers, timeout=timeout, extensions={"trace": clock.trace}
    )
    answer = client.send(request, stream=True, follow_redirects=False)
    try:
        if "network_stream" in answer.extensions:  # a connection that was open already was never traced
            clock.watch(answer.extensions["network_stream"])
        for piece in answer.iter_raw(65536):
            body += piece
            if len(body) > LARGEST:
                size = f"{LARGEST // 1_000_000} MB"
                raise Unreachable(
                    "large",
                    f"{method} {shown(url)} answered with more than {size}; reading stopped there.",
                    "An answer should hold what was asked for and little else. Look at what the route returns.",
                )
        return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, bytes(body)
    finally:
        answer.close()


def _explained(error: Exception | None, where: str, timeout: float, rang: bool) -> Unreachable:
    if rang or isinstance(error, httpx.TimeoutException):
        return Unreachable(
            "slow",
            f"{where} did not answer completely within {timeout:g} s.",
            "The server took the request but was too slow. Look at its log: is it still loading, or stuck?",
        )
    if isinstance(error, httpx.ConnectError | OSError):
        return Unreachable(
            "refused",
            f"{where}: nothing listens there ({cut(str(error), 80)}).",
            "Is the server running, and is this the port that it listens on?",
        )
    if isinstance(error, httpx.NetworkError) or "disconnected" in str(error):
        return Unreachable(
            "closed",
            f"{where}: the connection was closed before an answer came.",
            "With a published port this means that nothing behind it answers: the server may listen on "
            "127.0.0.1 (it must be 0.0.0.0), on another port, or it crashed on this request.",
        )
    return Unreachable(
        "garbled",
        f"{where}: what came back is not HTTP ({cut(str(error), 80)}).",
        "Is it a web server that listens on this port?",
    )
