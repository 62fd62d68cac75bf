"""Record the containers that run while somebody works: what they were, and how they ended.

with Recorder(host, below=Path("/…/lab5_pipeline")) as recorder:
    ...                      # containers come, end, and are removed at once
recorder.ran()[0].exit_code

A container that removes itself leaves nothing to look at, and the engine keeps
its last 256 events only: so they are listened to from the beginning. What counts
is what mounts a folder of the work: on a shared engine, others work too.
"""

from __future__ import annotations

import json
import posixpath
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException

from autograder.facts import CannotCheck
from autograder.probes.engine import connect

RUN = "shipyard.run"  # the label on the containers of a run: its name
STEP = "shipyard.step"  # the label on each container that is waited for: a name of its own
HEARD = ("create", "start", "oom", "die")
FAILURES = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
AGAIN_SECONDS = 0.5  # between two tries to hear the engine again
MOST = 2000  # containers; a loop must not fill our memory


@dataclass(frozen=True)
class Ran:
    """Tell about one container: what it ran, and how it ended (`exit_code` is None while it runs)."""

    id: str
    image: str  # as it was named
    image_id: str
    command: tuple[str, ...]
    labels: dict[str, str] = field(hash=False)
    mounts: dict[str, str] = field(hash=False)  # path inside -> the same from the folder of the work, "." for itself
    created: float = 0.0  # seconds since 1970, by the engine's clock
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    out_of_memory: bool = False

    def file(self, path: str) -> str | None:
        """Return a path inside the container as one from the folder of the work; None where it is not in there.

        >>> ran.file("/home/me/lab/runs/model")  # doctest: +SKIP
        'runs/model'
        """
        clean = posixpath.normpath(path)
        for inside, outside in self.mounts.items():
            if clean.startswith(f"{inside}/"):
                return posixpath.normpath(posixpath.join(outside, clean[len(inside) + 1 :]))
        return None


class Recorder:
    """Listen to an engine from when the context begins; `below` is the folder of the work as the engine sees it.

    `journal`, where given, is a file that keeps what was heard over restarts of
    this process.
    """

    def __init__(self, host: str | None, below: Path | str, journal: Path | None = None):
        self.host, self.below, self.journal = host, str(below).rstrip("/"), journal
        self._known: dict[str, Ran] = {}
        self._foreign: set[str] = set()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._stream: Any = None
        self._thread: threading.Thread | None = None
        self.exits: dict[str, int] = {}  # a container's label STEP -> its exit code, of one that is gone, too
        self.lost = False  # whether something may not have been heard: the engine was away, or we were late

    def __enter__(self) -> Recorder:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Recorder:
        """Begin to listen. Raises CannotCheck where no engine answers."""
        client = connect(self.host)
        if self.journal and self.journal.exists():
            self._read_journal()
        self._since = self._began = time.time()
        self._thread = threading.Thread(target=self._listen, args=(client,), daemon=True, name="container-events")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Hear what has happened up to now, and listen no longer."""
        self._catch_up()
        self._over.set()
        with suppress(Exception):
            self._stream.close()
        if self._thread:
            self._thread.join(timeout=2)

    def ran(self) -> tuple[Ran, ...]:
        """Return the containers of the work so far, in the order in which they were made."""
        if not self._over.is_set():
            self._catch_up()
        return self.heard()

    def heard(self) -> tuple[Ran, ...]:
        """Return what was heard so far, without asking the engine again: for a view that is drawn often."""
        with self._lock:
            return tuple(sorted(self._known.values(), key=lambda one: one.created))

    def _listen(self, client: docker.DockerClient) -> None:
        while not self._over.is_set():
            try:
                # From where we were: an engine that was restarted, or a connection that broke, costs nothing.
                self._stream = client.events(decode=True, since=_stamp(self._since), filters=_filters())
                for event in self._stream:
                    self._hear(client, event)
            except FAILURES:
                pass
            if not self._over.is_set():
                self.lost = True  # an engine that was restarted has forgotten its events
                self._over.wait(AGAIN_SECONDS)

    def _catch_up(self) -> None:
        """Ask for the events that the listening thread may not have read yet."""
        try:
            client = connect(self.host)
            # Whole seconds: the engine goes on telling until this one is over, and ends then.
            until = int(time.time()) + 1
            for event in client.events(decode=True, since=_stamp(self._since), until=until, filters=_filters()):
                self._hear(client, event)
            client.close()
        except (CannotCheck, *FAILURES):
            pass  # what was heard so far is what there is

    def _hear(self, client: docker.DockerClient, event: dict[str, Any]) -> None:
        key, what = str(event.get("id") or ""), str(event.get("status") or event.get("Action") or "")
        attributes = (event.get("Actor") or {}).get("Attributes") or {}
        moment = float(event.get("timeNano") or 0) / 1e9
        if not key or what not in HEARD:
            return
        with self._lock:  # two threads may hear the same event
            if what == "die" and STEP in attributes:
                self.exits[attributes[STEP]] = int(attributes.get("exitCode") or 0)
            if key in self._foreign or not (known := self._known.get(key) or self._meet(client, key, moment)):
                # Nobody can look any more at one that has ended and is gone; a run's own must not be missed unsaid.
                ours = key not in self._foreign and RUN in attributes
                self.lost |= ours and what == "die" and moment > self._began
                return
            self._known[key] = self._told(known, what, moment, attributes)
            self._since = max(self._since, moment)
            self._write_journal(self._known[key])

    @staticmethod
    def _told(known: Ran, what: str, moment: float, attributes: dict[str, str]) -> Ran:
        """Return what is known of a container after one more event."""
        if what == "start":
            return replace(known, started=moment)
        if what == "oom":
            return replace(known, out_of_memory=True)
        if what == "die":
            return replace(known, ended=moment, exit_code=int(attributes.get("exitCode") or 0))
        return known

    def _meet(self, client: docker.DockerClient, key: str, moment: float) -> Ran | None:
        """Look at a container that is new to us; None where it is not of this work or is gone already."""
        if len(self._known) >= MOST:
            return None
        try:
            seen = client.api.inspect_container(key)
        except APIError:
            return None  # gone: one that is heard of again is looked at again
        pairs = [(one.get("Destination", ""), one.get("Source", "")) for one in seen.get("Mounts") or []]
        mounts = {inside: posixpath.relpath(source, self.below) for inside, source in pairs
                  if source == self.below or source.startswith(f"{self.below}/")}  # fmt: skip
        if not mounts:
            self._foreign.add(key)
            return None
        config = seen.get("Config") or {}
        command = (*(config.get("Entrypoint") or []), *(config.get("Cmd") or []))
        return Ran(key, config.get("Image", ""), seen.get("Image", ""), tuple(map(str, command)),
                   dict(config.get("Labels") or {}), mounts, moment)  # fmt: skip

    def _write_journal(self, one: Ran) -> None:
        if self.journal:
            with suppress(OSError), self.journal.open("a", encoding="utf-8") as book:
                book.write(json.dumps(asdict(one)) + "\n")

    def _read_journal(self) -> None:
        for one in _entries(self.journal):
            self._known[one.id] = one


def _entries(journal: Path) -> Iterator[Ran]:
    for line in journal.read_text(encoding="utf-8", errors="replace").splitlines()[-4 * MOST :]:
        with suppress(ValueError, TypeError):
            kept = json.loads(line)
            yield Ran(**{**kept, "command": tuple(kept["command"])})


def _filters() -> dict[str, Any]:
    return {"type": "container", "event": list(HEARD)}


def _stamp(moment: float) -> int:
    """Return a time for the engine: whole seconds, two earlier. What is heard twice does no harm."""
    return int(moment) - 2
