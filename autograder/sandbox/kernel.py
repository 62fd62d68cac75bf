"""Run the learner's kernel inside a sandbox, and talk to it from outside.

nbclient speaks to a kernel over five sockets. The kernel opens them inside, in
a folder of the learner's; the guard joins each with one that only the grader
can put a file beside, so a kernel cannot lead the grader to another socket.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from docker.errors import DockerException
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerBase

from autograder.sandbox.box import Box

CHANNELS = ("shell", "iopub", "stdin", "hb", "control")
UNSEEN = -1000  # in the place of an exit code: no signal has that number
BEGIN = (
    "cp -r /handed/work/. . && chmod -R u+rwX . && "
    "exec python -m ipykernel_launcher -f /handed/kernel.json --HistoryManager.hist_file=:memory:"
)


def manager_for(it: Box) -> type[AsyncKernelManager]:
    """Return the kernel manager class for a sandbox, for nbclient's `kernel_manager_class`."""
    return type("BoxKernelManager", (_Manager,), {"box": it})


class _Manager(AsyncKernelManager):
    box: Box

    def __init__(self, **settings: Any):
        ports = {f"{channel}_port": number for number, channel in enumerate(CHANNELS, 1)}
        super().__init__(**settings, transport="ipc", ip=f"{self.box.folder}/gate/k",
                         connection_file=f"{self.box.folder}/kernel.json", **ports)  # fmt: skip

    async def _async_pre_start_kernel(self, **settings: Any) -> tuple[list[str], dict]:
        self.kernel_id = self.kernel_id or self.box.token
        self.provisioner = BoxProvisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)
        self._launch_args = settings.copy()
        self.shutting_down = False
        settings = await self.provisioner.pre_launch(**settings)
        return settings.pop("cmd"), settings

    async def _async_interrupt_kernel(self) -> None:
        # By message: a signal would have to be sent as the learner, to a process of the learner's choice.
        self.session.send(self._control_socket, self.session.msg("interrupt_request", content={}))

    interrupt_kernel = _async_interrupt_kernel


class BoxProvisioner(KernelProvisionerBase):
    """Start, watch and end one kernel by way of the host's engine."""

    _exec: str | None = None

    @property
    def box(self) -> Box:
        return self.parent.box

    @property
    def has_process(self) -> bool:
        return self._exec is not None

    async def pre_launch(self, **settings: Any) -> dict[str, Any]:
        """Write the connection file, once for each side."""
        self.parent.write_connection_file()
        self.connection_info = self.parent.get_connection_info()
        inside = {**self.connection_info, "ip": "/run/kernel/k", "key": self.parent.session.key.decode()}
        (self.box.folder / "in" / "kernel.json").write_text(json.dumps(inside))
        settings.pop("extra_arguments", None)
        return {**settings, "cmd": ["/usr/local/lib/shipyard/learner", "sh", "-c", BEGIN]}

    async def launch_kernel(self, cmd: list[str], **settings: Any) -> dict[str, Any]:
        """Start the kernel as the learner; what the grader's environment holds does not get in."""
        api = self.box.container.client.api
        self._exec = api.exec_create(self.box.container.id, cmd, user="root", stdout=False, stderr=False)["Id"]
        api.exec_start(self._exec, detach=True)
        return self.connection_info

    async def poll(self) -> int | None:
        """Return None while the kernel runs, its exit code once it has ended, UNSEEN where the engine does not say."""
        if self._exec is None:
            return 0
        try:
            state = self.box.container.client.api.exec_inspect(self._exec)
        except (DockerException, OSError):
            return UNSEEN
        return None if state["Running"] else state["ExitCode"] or 0

    async def wait(self) -> int | None:
        while (code := await self.poll()) is None:
            await asyncio.sleep(0.05)
        self._exec = None
        return code

    async def send_signal(self, signum: int) -> None:
        """Only an end is sent; see the manager for interrupts."""
        if signum in (9, 15):
            self.box.end_learner()

    async def kill(self, restart: bool = False) -> None:
        self.box.end_learner()

    async def terminate(self, restart: bool = False) -> None:
        self.box.end_learner()

    async def cleanup(self, restart: bool = False) -> None:
        self._exec = None
