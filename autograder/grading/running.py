"""Run nbgrader's own commands, one submission a process: a crash costs that submission only."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import autograder
from autograder.grading.troubles import explain
from autograder.grading.zygote import GRACE

SAID = re.compile(r"Shipyard: (?P<text>.+)")
GONE = -1000  # the code of a command whose parent process died


@dataclass(frozen=True)
class Ran:
    """Hold how a command ended: `code` 0 is good, None means that it was stopped at its time limit."""

    code: int | None
    log: str

    def reason(self) -> str:
        """Return what went wrong: a known trouble, else the last line of the log that says something."""
        lines = [re.sub(r"^\[.*?\| ?\w+\]\s*", "", line).strip() for line in self.log.splitlines()]
        for line in reversed(lines):
            if found := re.search(r"Shipyard: .+?, \S+: (unreadable: .*)", line):
                return found.group(1)
        if known := explain(self.log):
            return known
        if self.code is not None and self.code < 0:
            how = "with the process it belongs to" if self.code == GONE else f"by signal {-self.code}"
            return f"nbgrader was ended {how} (somebody stopped it, or memory ran out)"
        known = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Exit)\b.*:", line)]
        said = known or [line for line in lines if line]
        return said[-1] if said else "nbgrader said nothing"


@dataclass
class _Command:
    """Hold a running command: its process, once there is one, and its exit code, once it has ended."""

    pid: int | None = None
    code: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Runner:
    """Run nbgrader's commands in a course's folder; several threads may, at the same time.

        with Runner(root, ["lab1_dockerfile"]) as runner:
            ran = runner.nbgrader(["autograde", "lab1_dockerfile", "--student=ada"])

    Leaving it interrupts what still runs, and leaves no process behind. `held`
    are file descriptors that stay open as long as a command runs.
    """

    def __init__(self, root: Path, slugs: Sequence[str] = (), held: Sequence[int] = ()):
        self.root, self._slugs, self._held = root, tuple(slugs), tuple(held)
        self._lock = threading.RLock()
        self._zygote: subprocess.Popen | None = None
        self._commands: dict[int, _Command] = {}
        self._number = 0
        self._closed = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the object)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def nbgrader(
        self,
        arguments: Sequence[str],
        say: Callable[[str], None] = lambda text: None,
        limit: float = 1800,
        variables: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run `nbgrader ...`; once more where the process that had it loaded died, which is not its fault.

        `limit` is seconds. `say` hears what our steps tell. `variables` are added
        to the command's environment.
        """
        ran = self._once(arguments, say, limit, variables)
        return self._once(arguments, say, limit, variables) if ran.code == GONE and not self._closed else ran

    def close(self) -> None:
        """Interrupt every command and wait until all have removed their workplaces (at most a minute)."""
        with self._lock:
            self._closed = True
            zygote, self._zygote = self._zygote, None
            if zygote is None:
                return
            with suppress(OSError):
                self._link.shutdown(socket.SHUT_WR)  # the zygote hears the end, and ends what it has forked
        try:
            zygote.wait(GRACE + 10)
        except subprocess.TimeoutExpired:
            zygote.kill()
            zygote.wait()
        self._listener.join(5)
        self._link.close()

    def _once(
        self, arguments: Sequence[str], say: Callable[[str], None], limit: float, variables: Mapping[str, str] | None
    ) -> Ran:
        reading, writing = os.pipe()
        lines: list[str] = []

        def listen() -> None:
            with open(reading, errors="replace") as stream:  # noqa: PTH123
                for line in stream:
                    lines.append(line)
                    if found := SAID.search(line):
                        say(found["text"].strip())

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            command = self._start(arguments, writing, {**_environment(), **(variables or {})})
        finally:
            os.close(writing)
        late = not command.ended.wait(limit)
        if late:
            _end(command)
        if command.pid:  # what the command left running in its group
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(command.pid, signal.SIGKILL)
        listener.join(5)
        if command.code == GONE:
            self._errors.seek(0)
            lines.append(self._errors.read().decode(errors="replace"))
        return Ran(None if late else command.code, "".join(lines))

    def _start(self, arguments: Sequence[str], output: int, environment: dict[str, str]) -> _Command:
        command = _Command()
        with self._lock:
            if self._closed:
                command.code = GONE
                command.ended.set()
                return command
            for _ in range(2):
                if self._zygote is None or self._zygote.poll() is not None:
                    self._open()
                self._number += 1
                self._commands[self._number] = command
                order = {"number": self._number, "arguments": list(arguments), "root": str(self.root),
                         "environment": environment}  # fmt: skip
                try:
                    socket.send_fds(self._link, [json.dumps(order).encode()], [output])
                    return command
                except OSError:  # it died a moment ago
                    self._commands.pop(self._number, None)
                    self._zygote.kill()
                    self._zygote.wait()
        command.code = GONE
        command.ended.set()
        return command

    def _open(self) -> None:
        self._link, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in (self._link, other):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "autograder.grading.zygote", str(other.fileno()), *self._slugs],
            cwd=self.root,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
            pass_fds=(other.fileno(), *self._held),
        )
        other.close()
        self._listener = threading.Thread(target=self._listen, args=(self._link,), daemon=True)
        self._listener.start()

    def _listen(self, link: socket.socket) -> None:
        mine: set[int] = set()
        while True:
            try:
                told = link.recv(1 << 16)
            except OSError:
                told = b""
            if not told:
                break
            message = json.loads(told)
            number = message["number"]
            mine.add(number)
            with self._lock:
                command = self._commands.get(number)
            if command is None:
                continue
            if "pid" in message:
                command.pid = message["pid"]
            else:
                command.code = message["code"]
                with self._lock:
                    self._commands.pop(number, None)
                command.ended.set()
        with self._lock:  # those whose forker died died with it
            lost = list(self._commands.items()) if link is self._link else []
            for number, _ in lost:
                del self._commands[number]
        for _, command in lost:
            command.code = GONE
            command.ended.set()


def _end(command: _Command) -> None:
    """End a command that still runs: by interrupt, so that it can tidy up, then for good."""
    if command.pid is None:
        return
    for sent, pause in ((signal.SIGINT, GRACE), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(command.pid, sent)
        if command.ended.wait(pause):
            return


def _environment() -> dict[str, str]:
    home = str(Path(autograder.__file__).resolve().parent.parent)
    path = os.pathsep.join(one for one in (home, os.environ.get("PYTHONPATH")) if one)
    return {**os.environ, "PYTHONPATH": path}
