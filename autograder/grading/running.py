"""Run nbgrader's own commands, one submission a process: a crash costs that submission only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import autograder
from autograder.grading.gradebook import LOCKED

SAID = re.compile(r"Shipyard: (?P<text>.+)")
# `python -m nbgrader`, without a grammar of web addresses that jsonschema loads (0.8 s of 1.8 s) and nobody uses here.
START = (
    "import runpy, sys; sys.modules['rfc3987_syntax'] = None; "
    "runpy.run_module('nbgrader', run_name='__main__', alter_sys=True)"
)
GRACE = 60  # seconds to remove a workplace after an interrupt


@dataclass(frozen=True)
class Ran:
    """Hold how a command ended: `code` 0 is good, None means that it was stopped at its time limit."""

    code: int | None
    log: str

    def reason(self) -> str:
        """Return the last line of the log that says something."""
        lines = [re.sub(r"^\[.*?\| ?\w+\]\s*", "", line).strip() for line in self.log.splitlines()]
        for line in reversed(lines):
            if found := re.search(r"Shipyard: \S+, \S+: (unreadable: .*)", line):
                return found.group(1)
        known = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Exit)\b.*:", line)]
        said = known or [line for line in lines if line]
        return said[-1] if said else "nbgrader said nothing"


def nbgrader(
    root: Path, arguments: Sequence[str], say: Callable[[str], None] = lambda text: None, limit: float = 1800
) -> Ran:
    """Run `nbgrader ...` in a course's folder; again, a few times, where the gradebook is locked.

    `limit` is seconds. `say` hears what our steps tell. Interrupted (Ctrl-C),
    the command is interrupted too and removes its workplace before we go on.
    """
    for pause in (1, 2, 4, None):
        ran = _once(root, arguments, say, limit)
        if ran.code == 0 or LOCKED not in ran.log or pause is None:
            break
        say("the gradebook is in use; waiting for it")
        time.sleep(pause)
    return ran


def _once(root: Path, arguments: Sequence[str], say: Callable[[str], None], limit: float) -> Ran:
    home = str(Path(autograder.__file__).resolve().parent.parent)
    path = os.pathsep.join(one for one in (home, os.environ.get("PYTHONPATH")) if one)
    process = subprocess.Popen(
        [sys.executable, "-c", START, *arguments], cwd=root, env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,
    )  # fmt: skip
    late = threading.Event()
    lines: list[str] = []

    def listen() -> None:
        for line in process.stdout:
            lines.append(line)
            if found := SAID.search(line):
                say(found["text"].strip())

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        late.set()
    finally:
        _end(process)
        listener.join(5)
    return Ran(None if late.is_set() else process.returncode, "".join(lines))


def _end(process: subprocess.Popen) -> None:
    """End a command that still runs: by interrupt, so that it can tidy up, then for good."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
