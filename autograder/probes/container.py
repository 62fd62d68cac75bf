"""Run an image and look at what runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container as EngineContainer

from autograder.facts import CannotCheck, NotThere
from autograder.probes.doors import doors, local
from autograder.probes.engine import LABEL, asking, said
from autograder.probes.http import Answer, Unreachable, ask
from autograder.probes.image import Image
from autograder.probes.listening import listening
from autograder.probes.neighbour import see_the_way
from autograder.probes.words import cut, listed, tail

PATIENCE = 20.0  # seconds after which a server that listens in the wrong place will not move any more
# What the engine says when it cannot start what the learner named; all else is its own failure.
LEARNERS = (
    ('exec: "/bin/sh"', 'The image has no shell, so CMD must be a list: CMD ["program", "argument"].'),
    ("executable file not found", "The program that CMD or ENTRYPOINT names is not in the image, or not on its PATH."),
    ("no command specified", "The image has no CMD: add one that starts the server."),
    ("no such file or directory", "CMD, ENTRYPOINT or WORKDIR names a path that is not in the image."),
    ("permission denied", "The program that CMD or ENTRYPOINT names may not be executed by this user."),
    ("exec format error", "The program is no executable for this machine; a script needs a first line like #!/bin/sh."),
    ("unable to find user", "USER names a user that the image does not have: create it first (RUN useradd …)."),
    ("unable to find group", "USER names a group that the image does not have: create it first (RUN groupadd …)."),
    ("invalid user", "USER must be a name or a number that the image knows."),
)


@dataclass(frozen=True)
class Stop:
    """Tell how a container stopped: seconds from the signal, exit code, whether it had to be killed."""

    seconds: float
    exit_code: int
    killed: bool


class Container:
    """Tell about one container; get one from `Docker.run`."""

    def __init__(
        self,
        made: EngineContainer,
        port: int,
        reach: Callable[[int], str] = local,
    ):
        self._made, self.port, self._reach = made, port, reach

    def __repr__(self) -> str:
        return f"Container({self._made.name}, {self._made.status})"

    @property
    def id(self) -> str:
        return self._made.id

    @property
    def url(self) -> str:
        """Where its port is published, such as http://127.0.0.1:49153. Raises NotThere once it has ended."""
        self._reload()
        bound = (self._made.attrs["NetworkSettings"]["Ports"] or {}).get(f"{self.port}/tcp")
        if not bound:
            raise self._ended()
        return f"http://{self._reach(int(bound[0]['HostPort']))}"

    @property
    def status(self) -> str:
        """running, exited, paused …"""
        self._reload()
        return self._made.status

    @property
    def exit_code(self) -> int | None:
        """None as long as it runs."""
        self._reload()
        return None if self._made.status == "running" else self._made.attrs["State"]["ExitCode"]

    @property
    def health(self) -> tuple[int, str] | None:
        """What the health check said last: its exit code and its words; None where it has not been asked yet."""
        self._reload()
        log = health_log(self._made.attrs)
        return (log[-1]["ExitCode"], tail(log[-1]["Output"] or "", 3)) if log else None

    @property
    def uids(self) -> list[int]:
        """The user ids of all its processes, each once; 0 is root. Raises NotThere once it has ended."""
        with asking("list a container's processes"):
            try:
                table = self._made.top(ps_args="-eo uid,pid")
            except APIError as error:
                if error.status_code == 409 or "is not running" in said(error):
                    raise self._ended() from error
                raise
        return sorted({int(row[0]) for row in table["Processes"] or []})

    def logs(self, n: int = 10) -> str:
        """Return the last `n` lines that it wrote, fit to show."""
        with asking("read a container's log"):
            return tail(self._made.logs(tail=max(n * 4, 50)), n)

    def wait_ready(self, path: str = "/readyz", timeout: float = 60.0) -> Container:
        """Wait until GET `path` is answered with 200, and return the container.

        `timeout` is seconds. Raises NotThere with what it does instead, and a
        hint: it ended, it listens only on 127.0.0.1 or on another port, it is
        still loading.
        """
        started = time.monotonic()
        misplaced = False
        while True:
            if self.status != "running":
                raise self._ended()
            left = timeout - (time.monotonic() - started)
            try:
                seen: Answer | Unreachable = ask("GET", self.url + path, timeout=max(0.5, min(5.0, left)))
                if seen.status == 200:
                    return self
            except Unreachable as unreachable:
                seen = unreachable
            if left <= 0:
                raise self._not_ready(path, timeout, seen)
            if isinstance(seen, Unreachable) and seen.kind in ("closed", "refused") and timeout - left > PATIENCE:
                again, misplaced = misplaced, self._misplaced()
                if again and misplaced:
                    raise self._not_ready(path, timeout - left, seen)
            time.sleep(0.2 if timeout - left < 5 else 1.0)

    def stop(self, timeout: int = 10) -> Stop:
        """Ask it to stop as `docker stop` does: SIGTERM, and SIGKILL after `timeout` seconds."""
        if self.status != "running":
            raise self._ended()
        since = time.time()
        started = time.monotonic()
        with asking("stop a container"):
            self._made.stop(timeout=timeout)
            seconds = time.monotonic() - started
            self._made.reload()
            # Not from the exit code: a program may end with 137 all by itself.
            signals = self._made.client.api.events(
                since=math.floor(since),
                until=math.ceil(time.time()) + 1,
                filters={"container": self.id, "event": "kill"},
                decode=True,
            )
            sent = [event["Actor"]["Attributes"].get("signal") for event in signals]
        return Stop(round(seconds, 2), self._made.attrs["State"]["ExitCode"], "9" in sent)

    def _reload(self) -> None:
        with asking("look at a container"):
            try:
                self._made.reload()
            except NotFound as gone:
                raise CannotCheck("A container was removed while we looked at it.", "Grade again.") from gone

    def _misplaced(self) -> bool:
        with asking("look into a container"):
            found = listening(self._made)
        return bool(found) and not any(ear.port == self.port and not ear.local for ear in found)

    def _ended(self) -> NotThere:
        state = self._made.attrs["State"]
        log = self.logs(6)
        says = f" The last it wrote:\n{log}" if log else " It wrote nothing."
        if state.get("OOMKilled"):
            return NotThere(
                f"The container was ended because it used more memory than it may have.{says}",
                "Look at what the program loads at start; the limit is 1 GiB.",
            )
        code = state.get("ExitCode")
        hint = f"Run `docker run --rm IMAGE` and read what it prints. Exit code {code} is the program's own."
        if code == 0:
            hint = "The program ended by itself. CMD must start the server in the foreground, and nothing else."
        elif code in (126, 127):
            hint = "CMD names a program that cannot be run: check its spelling and that it is installed in the image."
        elif code == 137:
            hint = "Something killed the program (137 = 128 + 9, SIGKILL); often that is the kernel for want of memory."
        return NotThere(f"The container does not run: it ended with exit code {code}.{says}", hint)

    def _not_ready(self, path: str, seconds: float, seen: Answer | Unreachable) -> NotThere:
        with suppress(NotThere):
            if self.status != "running":
                return self._ended()
        # Our own asking fills a server's access log, and would hide what the server has to say.
        lines = [line for line in self.logs(200).split("\n") if f"GET {path} " not in line]
        log = "\n".join(lines[-4:])
        log = f" Its log ends with:\n{log}" if log else " Its log is empty."
        asked = f"After {seconds:.0f} s the container runs, but GET {path} on port {self.port} "
        if isinstance(seen, Answer):
            return NotThere(f"{asked}answers {seen}.{log}", _status_hint(seen, path))
        if seen.kind not in ("closed", "refused"):
            return NotThere(f"{asked}gives no usable answer: {cut(seen.observed)}{log}", seen.hint)
        with asking("look into a container"):
            found = listening(self._made)
        if found is None:
            hint = f"Make the server listen on 0.0.0.0 (not 127.0.0.1) and on port {self.port}."
            return NotThere(f"{asked}is not answered.{log}", hint)
        if not found:
            hint = "The server has not opened its port. Read the log: does it still load, or wait for something?"
            return NotThere(f"{asked}is not answered: nothing in it listens on any port.{log}", hint)
        heard = listed([str(ear) for ear in found])
        if any(ear.port == self.port and ear.local for ear in found):
            hint = (
                "127.0.0.1 inside a container is the container itself: from outside nobody gets there. "
                f"Let the server listen on 0.0.0.0:{self.port}."
            )
        elif any(ear.port == self.port for ear in found):
            see_the_way(self._made, self.port, self.url, path)
            hint = "The port is open, but the connection is closed before an answer. Read the log for an error."
        else:
            hint = f"Let the server listen on port {self.port}; EXPOSE only documents a port, it does not change it."
        return NotThere(f"{asked}is not answered: the container listens on {heard}.{log}", hint)


def _status_hint(answer: Answer, path: str) -> str:
    if answer.status == 503:
        return f"503 means: not ready. The answer of {path} says what it waits for; is the model file in the image?"
    if answer.status == 404:
        return f"A server answers, but it has no {path}. Is it the right program?"
    return "Read the server's log for the error."


@contextmanager
def running(
    client: docker.DockerClient,
    image: Image | str,
    port: int = 8000,
    env: dict[str, str] | None = None,
    command: list[str] | str | None = None,
    name_hint: str = "",
    host: str = "",
    **options: Any,
) -> Iterator[Container]:
    """Start a container on the engine at `host`, and remove it at the end, whatever happened."""
    ref = image.id if isinstance(image, Image) else image
    with asking("create a container"):
        try:
            made = client.containers.create(
                ref,
                command,
                name=f"shipyard-{name_hint or 'look'}-{uuid4().hex[:8]}",
                labels={LABEL: "1"},
                environment=env or {},
                ports={f"{port}/tcp": ("127.0.0.1", None)},
                detach=True,
                # A stranger's program: it must not take the machine's memory, processes or disk.
                mem_limit="1g",
                memswap_limit="1g",
                pids_limit=512,
                log_config={"type": "json-file", "config": {"max-size": "5m", "max-file": "2"}},
                **options,
            )
        except NotFound as absent:
            raise NotThere(f"There is no image {ref}.", "Build it first, under exactly this name.") from absent
        except APIError as error:
            raise _learners(error) or error from error
    try:
        with asking("start a container"):
            try:
                made.start()
            except APIError as error:
                raise _learners(error) or error from error
        with doors(host) as reach:
            yield Container(made, port, reach=reach)
    finally:
        _remove(made)


def health_log(attrs: dict) -> list[dict]:
    """Return the last answers to a container's health check, the newest last: Start, ExitCode, Output."""
    return (attrs["State"].get("Health") or {}).get("Log") or []


def _learners(error: APIError) -> NotThere | None:
    text = said(error)
    for words, hint in LEARNERS:
        if words in text.lower() and "mounting" not in text:
            return NotThere(f"The container could not be started: {text}", hint)
    return None


def _remove(made: EngineContainer) -> None:
    # An engine that is gone takes nothing from what was judged, and `shipyard down` removes by label.
    with suppress(CannotCheck), asking("remove a container"), suppress(NotFound):
        made.remove(force=True, v=True)
