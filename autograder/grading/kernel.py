"""Speak to a kernel by sockets in a folder of its own, and tell one that was killed from one that ended.

Jupyter's usual way chooses five free ports, closes them, and tells the kernel
to open them again. Two kernels that start at the same time may be told the same
port. Six at once, a kernel never answered in 1 of 150 gradings, most likely for
that reason; by sockets, in none of 480.

A kernel that is killed may be the learner's doing (a cell that uses up the
memory) or nobody's (a machine that ran out of it). Nobody can tell them apart
from one death, so the notebook is run once more: a cell kills twice.
"""

from __future__ import annotations

import os
import signal
import tempfile
from typing import Any

from jupyter_client.manager import AsyncKernelManager

from autograder.facts import CannotCheck
from autograder.sandbox.kernel import UNSEEN

KILLED = "The notebook's kernel was killed while a cell ran: memory ran out, or somebody stopped it."
UNSEEN_SAID = "Whether the notebook's kernel still ran could not be seen: the engine did not answer."
LAST_TRY = "SHIPYARD_LAST_TRY"  # set: a killed kernel is the notebook's own doing
SIGKILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)  # as Python has it, and as engines do


def must_be_its_own(code: int | None) -> None:
    """See by its exit code that a kernel's end is its notebook's doing. Raises CannotCheck where it may not be.

    >>> must_be_its_own(1)  # a cell called os._exit(1)
    """
    if code == UNSEEN:
        raise CannotCheck(UNSEEN_SAID, "Grade again.")
    if code in SIGKILLED and LAST_TRY not in os.environ:
        raise CannotCheck(KILLED, "Grade again.")


class OwnSockets(AsyncKernelManager):
    """Manage a kernel whose sockets lie in a temporary folder, which goes with them."""

    def __init__(self, **settings: Any):
        self._folder = tempfile.TemporaryDirectory(prefix="shipyard-kernel-", ignore_cleanup_errors=True)
        super().__init__(**settings, transport="ipc", connection_file=f"{self._folder.name}/kernel.json")

    async def _async_cleanup_resources(self, restart: bool = False) -> None:
        await super()._async_cleanup_resources(restart)
        if not restart:
            self._folder.cleanup()

    cleanup_resources = _async_cleanup_resources
