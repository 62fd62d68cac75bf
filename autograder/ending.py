"""End a process with everything that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress


def end_group(process: subprocess.Popen, patience: float = 5) -> None:
    """End the process group that `process` leads: asked first, then killed.

    `patience` in seconds. The kill comes also after the leader has ended by
    itself: its children may not have.
    """
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
