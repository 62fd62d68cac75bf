"""Look at containers that somebody else started: the learner, or compose.

model = standing(docker, "shipyard-lab2-model")
with model.reachable(8000) as url:
    ask("GET", f"{url}/info")
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from docker.errors import APIError, NotFound
from docker.models.containers import Container as EngineContainer

from autograder.facts import NotThere
from autograder.probes.container import _learners, health_log
from autograder.probes.docker import Docker
from autograder.probes.doors import doors
from autograder.probes.engine import LABEL, asking, said
from autograder.probes.execs import Endless, run_in
from autograder.probes.http import Answer, Unreachable, ask
from autograder.probes.words import cut, listed, tail

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
LONGEST = 100_000  # bytes of a line of a log
ANONYMOUS = re.compile(r"[0-9a-f]{64}")


class Standing:
    """Tell about one container of the engine, whoever started it."""

    def __init__(self, docker: Docker, made: EngineContainer):
        self.docker, self._made = docker, made

    @property
    def attrs(self) -> dict:
        """What the engine says of it now. Raises NotThere where it was removed."""
        with asking("look at a container"):
            try:
                self._made.reload()
            except NotFound as gone:
                raise NotThere(f"The container {self.name} is gone.") from gone
        return self._made.attrs

    @property
    def name(self) -> str:
        return self._made.name

    @property
    def image(self) -> str:
        """The image as it was named when the container was made."""
        return self.attrs["Config"]["Image"]

    @property
    def image_id(self) -> str:
        return self.attrs["Image"]

    @property
    def status(self) -> str:
        """running, exited, restarting …"""
        return self.attrs["State"]["Status"]

    @property
    def started(self) -> str:
        """When it was started last, as the engine writes times."""
        return self.attrs["State"]["StartedAt"]

    @property
    def health(self) -> str:
        """healthy, unhealthy, starting, or "" where nothing asks."""
        return (self.attrs["State"].get("Health") or {}).get("Status", "")

    @property
    def health_asked(self) -> set[str]:
        """When it was asked for its health: the last five times."""
        return {one["Start"] for one in self._health_log}

    @property
    def health_fine(self) -> bool:
        """Whether the last question about its health was answered well, however many were not before."""
        return bool(self._health_log) and self._health_log[-1]["ExitCode"] == 0

    @property
    def health_said(self) -> str:
        """The last line of what the last question about its health gave."""
        return tail(self._health_log[-1].get("Output", ""), 1, 160) if self._health_log else ""

    @property
    def _health_log(self) -> list[dict]:
        return health_log(self.attrs)

    @property
    def env(self) -> dict[str, str]:
        pairs = (entry.partition("=") for entry in self.attrs["Config"].get("Env") or [])
        return {name: value for name, _, value in pairs}

    @property
    def volumes(self) -> dict[str, str]:
        """The named volumes that are mounted: path inside -> name."""
        mounts = [one for one in self.attrs["Mounts"] if one["Type"] == "volume"]
        return {one["Destination"]: one["Name"] for one in mounts if not ANONYMOUS.fullmatch(one["Name"])}

    @property
    def networks(self) -> dict[str, str]:
        """The networks that it is on: name -> its address there."""
        known = self.attrs["NetworkSettings"]["Networks"] or {}
        return {name: one.get("IPAddress", "") for name, one in known.items()}

    @property
    def published(self) -> dict[str, list[int]]:
        """Ports of the machine that lead into it: "8000/tcp" -> [8020]."""
        bound = self.attrs["NetworkSettings"]["Ports"] or {}
        return {inside: [int(one["HostPort"]) for one in outside or []] for inside, outside in bound.items() if outside}

    def logs(self, n: int = 10) -> str:
        """Return the last lines that it wrote, fit to show."""
        with asking("read a container's log"):
            return tail(self._made.logs(tail=n), n)

    def log_lines(self, words: str, most: int = 100) -> list[str]:
        """Return the lines of its whole log that hold some words, the newest ones where there are many."""
        found: deque[str] = deque(maxlen=most)
        rest = b""
        with asking("read a container's log"):
            for piece in self._made.logs(stream=True, follow=False):
                *lines, rest = (rest + piece)[-LONGEST:].split(b"\n")
                found.extend(line.decode("utf-8", "replace") for line in lines if words.encode() in line)
        return [*found, *([rest.decode("utf-8", "replace")] if words.encode() in rest else [])]

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command inside and return its exit code and what it wrote."""
        with asking("run a command in a container"):
            try:
                done = run_in(self._made, command)
            except Endless as endless:
                raise NotThere(f"In the container {self.name}, {endless}") from endless
            except APIError as error:
                if error.status_code == 409:
                    raise NotThere(f"The container {self.name} does not run: {cut(said(error))}") from error
                raise
        return done.code, done.output.decode("utf-8", "replace")

    def start(self) -> None:
        """Start it again where it has ended, as a check that let it end must."""
        with asking("start a container"):
            self._made.start()

    def running(self) -> Standing:
        """Return it, running. Raises NotThere with the end of its log."""
        if self.status in ("running", "restarting"):
            return self
        log = self.logs(4)
        raise NotThere(
            f"The container {self.name} is there, but it is {self.status} (exit code "
            f"{self.attrs['State'].get('ExitCode')}). Its log ends with:\n{log or '(nothing)'}",
            f"`docker ps --all` shows containers that have ended, `docker logs {self.name}` why.",
        )

    @contextmanager
    def reachable(self, outside: int) -> Iterator[str]:
        """Yield the URL of a port of the machine that leads into it. Raises NotThere where none of that number does."""
        if not any(outside in ports for ports in self.running().published.values()):
            there = listed([f"{port} -> {inside}" for inside, ports in self.published.items() for port in ports])
            raise NotThere(
                f"Port {outside} of the machine does not lead to {self.name}. Published ports: {there}.",
                "`--publish 127.0.0.1:OUTSIDE:INSIDE`: first the machine's port, then the container's.",
            )
        with doors(self.docker.host) as reach:
            yield f"http://{reach(outside)}"


def answered(url: str, path: str = "/readyz", seconds: float = 60) -> Answer:
    """Ask until the answer is 200, and return the last one. Raises NotThere where none came in `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = ask("GET", url + path)
            if answer.status == 200 or time.monotonic() > deadline:
                return answer
        except Unreachable:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.3)


def standing(docker: Docker, name: str) -> Standing:
    """Return the container of that name. Raises NotThere, naming those there are."""
    with asking("list containers"):
        try:
            return Standing(docker, docker.client.containers.get(name))
        except NotFound:
            names = sorted(one.name for one in docker.client.containers.list(all=True, ignore_removed=True))
    there = listed([one for one in names if one.startswith(name.rpartition("-")[0])])
    raise NotThere(f"There is no container {name}. Similar ones: {there}.", f"Name it with `--name {name}`.")


def project(docker: Docker, name: str) -> dict[str, Standing]:
    """Return a compose project's containers by service. Raises NotThere, naming the projects there are."""
    with asking("list containers"):
        found = docker.client.containers.list(all=True, filters={"label": PROJECT}, ignore_removed=True)
    ours = {one.labels[SERVICE]: Standing(docker, one) for one in found if one.labels[PROJECT] == name}
    if not ours:
        there = listed(sorted({one.labels[PROJECT] for one in found}))
        raise NotThere(
            f"Compose runs no project {name}. Projects there are: {there}.",
            f"The first line of compose.yaml is `name: {name}`; `docker compose up --detach` starts it.",
        )
    return ours


@contextmanager
def copied(original: Standing, port: int, env: dict[str, str] | None = None) -> Iterator[Standing]:
    """Start a copy of a container with empty folders in the place of its volumes, asked for its health each second.

    It has the same image, command, settings and health check, an address of its
    own, and is removed at the end. Raises NotThere where it cannot be started.
    """
    config, client = original.attrs["Config"], original.docker.client
    health = dict(config.get("Healthcheck") or {})
    if health.get("Test") not in (None, [], ["NONE"]):
        health |= {"Interval": 1_000_000_000, "StartPeriod": 0, "Retries": 2}
    with asking("create a container"):
        made = client.containers.create(
            original.image_id, config.get("Cmd"), entrypoint=config.get("Entrypoint"),
            name=f"shipyard-copy-{uuid4().hex[:8]}", labels={LABEL: "1"}, user=config.get("User") or None,
            environment={**original.env, **(env or {})}, healthcheck=health or None,
            tmpfs={one["Destination"]: "" for one in original.attrs["Mounts"]},
            ports={f"{port}/tcp": ("127.0.0.1", None)}, mem_limit="1g", memswap_limit="1g", pids_limit=512,
        )  # fmt: skip
    try:
        with asking("start a container"):
            try:
                made.start()
            except APIError as error:
                raise _learners(error) or error from error
        yield Standing(original.docker, made)
    finally:
        with asking("remove a container"):
            made.remove(force=True, v=True)
