"""Speak to a kernel by sockets in a folder of its own.

Jupyter's usual way chooses five free ports, closes them, and tells the kernel
to open them again. Two kernels that start at the same time may be told the same
port. Six at once, a kernel never answered in 1 of 150 gradings, most likely for
that reason; by sockets, in none of 480.
"""

from __future__ import annotations

import tempfile
from typing import Any

from jupyter_client.manager import AsyncKernelManager


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
