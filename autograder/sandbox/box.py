"""Start and dispose of a sandbox: one container, three users, a private engine, no network.

The container has no network at all. What it may reach, the API server and its
own registry, comes through sockets in a folder; so there is no route to the
internet, to the host's services or to a cloud's metadata address that a rule
would have to close. It is not privileged and has no SYS_ADMIN: the engine's
mounts are made inside the engine's own user namespace.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import docker
import httpx
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import LogConfig

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground import engine
from autograder.probes.doors import Door
from autograder.probes.execs import run_in
from autograder.sandbox import folders, image
from autograder.sandbox.limits import Limits
from autograder.waiting import TimedOut, wait_until

BOX = "shipyard.box"  # the label of a sandbox's container; its value is the token
SUBMISSION = "shipyard.submission"
CAPABILITIES = ["SETUID", "SETGID", "SETPCAP", "CHOWN", "FOWNER", "DAC_OVERRIDE", "KILL"]
START_SECONDS = 60
ANSWER_SECONDS = 10
API = "1.41"  # of Debian's engine, which is inside; it takes 20 ms to say it
WITHOUT = (
    "Run `shipyard up --sandbox` once. Work that you trust can be graded without: SHIPYARD_SANDBOX=0; it then runs on "
    "this machine as you."
)


@dataclass
class Box:
    """Hold a running sandbox: its token, its container on the host's engine, its folder on the host."""

    token: str
    container: Container
    folder: Path
    limits: Limits
    registry_port: int = 0

    @property
    def docker_host(self) -> str:
        """The address of the private engine, as the grader reaches it."""
        return f"unix://{self.folder}/gate/docker.sock"

    @property
    def registry(self) -> str:
        """The sandbox's own registry as the grader and the private engine reach it; learners say localhost:5001."""
        return f"127.0.0.1:{self.registry_port}"

    def wait_ready(self) -> None:
        """Wait until the private engine answers. Raises CannotCheck with the last words of one that ended."""
        up = self.folder / "gate" / "up"

        def there() -> bool:
            if up.exists():
                return True
            self.container.reload()
            if self.container.status == "exited":
                cause = f"The sandbox ended at once: {_last_words(self.container)}"
                raise CannotCheck(cause, "Run `shipyard doctor`.")
            return False

        try:
            wait_until(there, "the sandbox's engine to answer", timeout=START_SECONDS, pause=0.03)
        except TimedOut:
            raise CannotCheck(f"The sandbox did not come up: {_last_words(self.container)}") from None
        except (DockerException, OSError) as error:
            raise CannotCheck(f"The sandbox cannot be seen: {error}", "Run `shipyard doctor`.") from None

    def must_answer(self) -> None:
        """See that its engine and its registry still answer. Raises CannotCheck.

        What ended once does not come back, so one that answers a second time never ended.
        """
        failures = (DockerException, OSError, httpx.HTTPError)
        try:
            wait_until(self._answers, "the sandbox to answer", ANSWER_SECONDS, pause=0.5, failures=failures)
        except TimedOut as late:
            raise CannotCheck(f"The sandbox does not answer: {late.last}", "Grade again.") from late

    def _answers(self) -> bool:
        self.container.reload()
        if self.container.status != "running" or not (self.folder / "gate" / "up").exists():
            raise CannotCheck(f"The sandbox ended: {_last_words(self.container)}", "Grade again.")
        with closing(docker.DockerClient(base_url=self.docker_host, version=API, timeout=60)) as private:
            private.ping()
        if self.registry_port:
            httpx.get(f"http://{self.registry}/v2/", timeout=20).raise_for_status()
        return True

    def end(self) -> None:
        """Ask all of it to end, without waiting for that; leaving its context removes it."""
        with suppress(DockerException, OSError):  # it has ended by itself
            self.container.kill("SIGTERM")

    def run(self, command: Sequence[str], user: str = "root", seconds: float = 60) -> tuple[int, bytes]:
        """Run a command inside and return its exit code and output. Raises CannotCheck where it does not end."""
        try:
            return run_in(self.container, command, user=user, seconds=seconds)
        except (DockerException, OSError) as error:
            raise CannotCheck(f"The sandbox does not answer: {error}", "Grade again.") from error

    def out_of_memory(self) -> bool:
        """Tell whether the whole sandbox ended because its memory was used up."""
        try:
            self.container.reload()
        except (DockerException, OSError):
            return False
        state = self.container.attrs["State"]
        return not state["Running"] and bool(state["OOMKilled"])

    def end_learner(self) -> None:
        """Kill every process of the learner's, a daemon that outlived the kernel included.

        Raises CannotCheck where some are left or the sandbox is gone.
        """
        # A fork bomb may be faster than one kill of all: asked again, the guard finds ever fewer.
        try:
            wait_until(lambda: self._ask_to_end() == b"0", "the learner's processes to end", timeout=30, pause=0.1)
        except TimedOut:
            raise CannotCheck("Some of the learner's processes could not be ended.", "Grade again.") from None
        except OSError as error:
            raise CannotCheck(f"The sandbox does not answer: {error}", "Grade again.") from error

    def _ask_to_end(self) -> bytes:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(30)
            asked.connect(f"{self.folder}/gate/end.sock")
            return asked.recv(16).strip()


@contextmanager
def box(
    mark: str,
    seed: str | None = None,
    registry: bool = False,
    limits: Limits | None = None,
    seeding: str | None = None,
    wait: bool = True,
) -> Iterator[Box]:
    """Start a sandbox for the submission `mark`, and leave nothing of it behind.

    `seed` is a volume with the images that its engine and registry start with
    (seeding.py); `seeding` one to fill. Without `wait`, call `wait_ready` before
    it is used. Raises CannotCheck where it does not come up.
    """
    token, limits = folders.new_token(mark), limits or Limits()
    host = engine.client(timeout=60)
    folder = folders.make(token)
    it = None
    try:
        with ExitStack() as stack:
            port = 0
            if registry:
                door = stack.enter_context(Door(folder / "gate" / "registry.sock"))
                port = door.port
            container = _create(host, token, mark, folder, limits, seed, seeding, port)
            it = Box(token, container, folder, limits, port)
            try:
                container.start()
            except (DockerException, OSError) as error:
                raise CannotCheck(f"The sandbox could not be started: {error}", "Run `shipyard doctor`.") from None
            if wait:
                it.wait_ready()
            yield it
    finally:
        dispose(host, token)


def _create(host, token, mark, folder, limits, seed, seeding, port) -> Container:
    mounts = [
        f"{folder}/gate:/run/private/gate",
        f"{folder}/in:/handed:ro",
        f"{folders.gate()}:/run/private/api:ro",
    ]
    if seed or seeding:
        mounts.append(f"{seeding}:/seed" if seeding else f"{seed}:/seed:ro")
    if port:
        mounts += [f"{path}:{inside}:ro" for inside, path in image.compiled().items()]
    environment = {"SEEDING": "1" if seeding else "", "ENGINE_DISK": limits.engine_disk}
    if port:
        environment |= {"REGISTRY": "1", "REGISTRY_PORT": str(port)}
    options = ["seccomp=unconfined"]
    if _apparmor():
        options.append("apparmor=unconfined")  # its default profile forbids mounting, in any namespace
    try:
        settings = host.api.create_host_config(
            binds=mounts, network_mode="none", read_only=True, cap_drop=["ALL"], cap_add=CAPABILITIES,
            security_opt=options, devices=["/dev/net/tun"], mem_limit=limits.memory, memswap_limit=limits.memory,
            pids_limit=limits.pids, nano_cpus=int(limits.cpus * 1e9), tmpfs=dict(limits.disks),
            log_config=LogConfig(type="json-file", config={"max-size": "1m", "max-file": "1"}),
        )  # fmt: skip
        # The kernel lets /proc be mounted in a user namespace only where nothing of it is hidden.
        settings |= {"MaskedPaths": [], "ReadonlyPaths": []}
        labels = {versions.LABEL: "box", BOX: token, SUBMISSION: mark}
        made = host.api.create_container(
            image.IMAGE, name=_name(token), hostname="sandbox", environment=environment,
            labels=labels, host_config=settings,
        )  # fmt: skip
        return host.containers.get(made["Id"])
    except ImageNotFound:
        raise CannotCheck("The sandbox's image is not on this machine.", WITHOUT) from None
    except (DockerException, OSError) as error:
        raise CannotCheck(f"The sandbox could not be made: {error}", "Run `shipyard up`, then grade again.") from None


@cache
def _apparmor() -> bool:
    return any("apparmor" in one for one in engine.client().info().get("SecurityOptions") or [])


def _name(token: str) -> str:
    return f"shipyard-box-{token}"


def _last_words(container: Container) -> str:
    try:
        return container.logs(tail=5).decode(errors="replace").strip()
    except (DockerException, OSError):
        return "(no log)"


def dispose(host: docker.DockerClient, token: str) -> None:
    """Remove a sandbox: its container with all that runs in it, and its folder."""
    try:
        host.api.remove_container(_name(token), force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if error.status_code != 409:  # 409: it is being removed already
            raise
    folders.remove(token)


def find(token: str) -> Box | None:
    """Return a sandbox that another process started, None where it is gone."""
    try:
        container = engine.client(timeout=60).containers.get(_name(token))
    except NotFound:
        return None
    settings = dict(one.partition("=")[::2] for one in container.attrs["Config"]["Env"])
    return Box(token, container, folders.boxes() / token, Limits(), int(settings.get("REGISTRY_PORT", 0)))


def sweep(mark: str) -> None:
    """Remove what killed runs of a submission left."""
    host = engine.client(timeout=60)
    for container in host.containers.list(all=True, filters={"label": f"{SUBMISSION}={mark}"}, ignore_removed=True):
        if token := container.labels.get(BOX):
            dispose(host, token)
    for folder in folders.boxes().glob(f"{mark}-*"):
        folders.remove(folder.name)


def sweep_ended(minutes: float = 10) -> list[str]:
    """Remove sandboxes that ended long ago, whose grader was killed before it could; return their names.

    A grader that lives removes its own in seconds: `minutes` is what it never needs. Raises CannotCheck for no engine.
    """
    host, swept = engine.client(timeout=60), []
    named = {"label": BOX, "status": ["exited", "dead"]}
    for container in host.containers.list(all=True, filters=named, ignore_removed=True):
        with suppress(NotFound):
            ended = datetime.fromisoformat(host.api.inspect_container(container.id)["State"]["FinishedAt"])
            if (datetime.now(UTC) - ended).total_seconds() >= 60 * minutes:
                dispose(host, container.labels[BOX])
                swept.append(container.name)
    host.close()
    return swept
