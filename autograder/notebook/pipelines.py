"""Run pipelines on one's own engine: labels, the way to the cluster, a view of what runs.

local.init(runner=local.DockerRunner(labels=marks("monday"), **way_to_the_cluster()), …)
with following("monday"):
    digits(batch="monday")
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from autograder.facts import CannotCheck
from autograder.notebook.exit_codes import told_by_the_engine
from autograder.notebook.figures import steps_table
from autograder.probes.events import RUN, Ran, Recorder
from autograder.probes.words import cut

LOOPBACK = ("127.0.0.1", "localhost", "::1", "0.0.0.0")
INSIDE = "host.docker.internal"  # a container's name for the machine that its engine runs on
EVERY_SECONDS = 0.7  # between two looks at what runs
LAST_LINES = 12  # of the log, shown when a step failed


def marks(run: str) -> dict[str, str]:
    """Return the labels for a run's containers; while a submission is graded, with the grader's own.

    >>> marks("monday")  # doctest: +SKIP
    {'shipyard.run': 'monday'}
    """
    key, _, value = os.environ.get("SHIPYARD_LABEL", "").partition("=")
    return {RUN: run, **({key: value} if key else {})}


def way_to_the_cluster() -> dict[str, Any]:
    """Return the settings of DockerRunner by which a step's container finds the cluster that kubectl talks to.

    The step gets a kubeconfig in the variable CLUSTER. A cluster of this
    machine has an address that only the machine itself knows: then the step
    joins the network of the cluster's own container, or asks the machine.
    Raises CannotCheck where no cluster is configured.
    """
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    from autograder.probes.apiserver import current_namespace

    try:
        settings = config.new_client_from_config().configuration
    except (ConfigException, OSError, ValueError, TypeError) as error:
        raise CannotCheck(f"No cluster is configured here: {cut(str(error))}", "Run `shipyard up`.") from None
    address = urlsplit(settings.host)
    host, port = address.hostname or "", address.port or 443
    runner: dict[str, Any] = {}
    cluster: dict[str, Any] = {"server": settings.host}
    if host in LOOPBACK:
        if door := _published(port):
            name, network, inside = door
            runner["network"], cluster["server"] = network, f"https://{name}:{inside}"
        else:
            runner["extra_hosts"] = {INSIDE: "host-gateway"}
            cluster["server"], cluster["tls-server-name"] = f"https://{INSIDE}:{port}", host
    if settings.ssl_ca_cert:
        cluster["certificate-authority-data"] = _encoded(settings.ssl_ca_cert)
    if not settings.verify_ssl:
        cluster["insecure-skip-tls-verify"] = True
    user: dict[str, str] = {}
    if token := str((settings.api_key or {}).get("authorization", "")):
        user["token"] = token.removeprefix("Bearer ")
    if settings.cert_file and settings.key_file:
        user["client-certificate-data"] = _encoded(settings.cert_file)
        user["client-key-data"] = _encoded(settings.key_file)
    text = yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "step",
        "clusters": [{"name": "step", "cluster": cluster}], "users": [{"name": "step", "user": user}],
        "contexts": [{"name": "step", "context": {
            "cluster": "step", "user": "step", "namespace": current_namespace()}}],
    })  # fmt: skip
    return {**runner, "environment": {"CLUSTER": text}}


def as_me() -> str:
    """Return the user that steps run as, so that the files they write are yours.

    An engine without root's rights counts users by itself: there it is its
    user 0 that stands for you, or for the engine's own user.
    """
    from autograder.probes.engine import connect

    client = connect()
    try:
        rootless = any("rootless" in option for option in client.info().get("SecurityOptions") or [])
    finally:
        client.close()
    return "0:0" if rootless else f"{os.getuid()}:{os.getgid()}"


def workspace(root: Path | str = "runs") -> str:
    """Make the folder that all steps of a run share, and return its path; the runner removes it after the run.

    It lies where the artifacts do, and the steps, which may run as another user, can write in both.
    """
    folder = Path(root).resolve() / "shared"
    folder.mkdir(parents=True, exist_ok=True)
    if as_me() == "0:0" and os.getuid() != 0:
        for one in (folder.parent, folder):
            one.chmod(0o777)
    return str(folder)


def _encoded(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode()


def _published(port: int) -> tuple[str, str, str] | None:
    """Return name, network and inner port of the container that publishes a port on this machine."""
    from autograder.probes.engine import connect

    client = connect()
    try:
        for one in client.containers.list():
            for inside, outside in (one.attrs["NetworkSettings"]["Ports"] or {}).items():
                if any(str(port) == binding.get("HostPort") for binding in outside or []):
                    networks = sorted(one.attrs["NetworkSettings"]["Networks"], key=lambda name: name == "bridge")
                    if networks and networks[0] != "bridge":  # only there do containers know each other by name
                        return one.name, networks[0], inside.partition("/")[0]
    finally:
        client.close()
    return None


@contextmanager
def following(run: str, root: Path | str = "runs") -> Iterator[None]:
    """Show the run's containers while they come and go; the whole log goes to `runs/RUN.log`.

    >>> with following("monday"):  # doctest: +SKIP
    ...     digits(batch="monday")
    """
    folder = Path(root)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{run}.log"
    with Recorder(None, folder.resolve()) as recorder, log.open("w", encoding="utf-8") as book:
        view = _View(run, recorder)
        view.start()
        try:
            with redirect_stdout(book), told_by_the_engine(recorder):
                yield
        finally:
            view.stop()
    failed = [one for one in recorder.ran() if _of(one, run) and one.exit_code]
    if failed:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if "Error" in line or "error" in line][-LAST_LINES:]
        print("\n".join(["A step failed. Lines of the log that tell of errors:", *(f"  {cut(one)}" for one in told)]))
    print(f"The whole log: {log}")


def _of(one: Ran, run: str) -> bool:
    return one.labels.get(RUN) == run


class _View:
    """Redraw a table of the containers of a run, until it is stopped."""

    def __init__(self, run: str, recorder: Recorder):
        self.run, self.recorder = run, recorder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._redraw, daemon=True)
        self._shown: Any = None
        self._text = ""

    def start(self) -> None:
        with suppress(ImportError):
            from IPython import get_ipython
            from IPython.display import display

            if get_ipython():
                self._shown = display(self._picture(), raw=True, display_id=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(timeout=5)
        self.recorder.stop()
        self._show()

    def _redraw(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            with suppress(Exception):  # a view that cannot be drawn must not end the run
                self._show()

    def _show(self) -> None:
        picture = self._picture()
        if self._shown is not None and picture["text/plain"] != self._text:
            self._text = picture["text/plain"]
            self._shown.update(picture, raw=True)

    def _picture(self) -> dict[str, str]:
        rows = [["step", "container", "state", "seconds"]]
        for one in self.recorder.heard():
            if _of(one, self.run):
                state = "running" if one.exit_code is None else "done" if one.exit_code == 0 else (
                    f"failed, exit code {one.exit_code}")  # fmt: skip
                seconds = f"{one.ended - one.started:.1f}" if one.ended and one.started else ""
                rows.append([function_of(one), one.id[:12], state, seconds])
        html, text = steps_table(rows, f"Containers of the run “{self.run}”")
        return {"text/html": html, "text/plain": text}


def function_of(one: Ran) -> str:
    """Return which component a container ran: what kfp's executor was told to execute."""
    words = one.command
    return words[words.index("--function_to_execute") + 1] if "--function_to_execute" in words[:-1] else "?"


@dataclass(frozen=True)
class Result:
    """Hold what one run's evaluation logged."""

    job: str
    accuracy: float | None
    confusion: dict[str, Any] | None


def results(root: Path | str = "runs") -> list[Result]:
    """Return what the runs below a folder have logged, the oldest first."""
    found = []
    for path in sorted(Path(root).glob("*/*/executor_output.json")):
        try:
            artifacts = json.loads(path.read_text(encoding="utf-8")).get("artifacts") or {}
            logged = [one["artifacts"][0].get("metadata") or {} for one in artifacts.values()]
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
            continue
        accuracy = next((one["accuracy"] for one in logged if "accuracy" in one), None)
        confusion = next((one["confusionMatrix"] for one in logged if "confusionMatrix" in one), None)
        if accuracy is not None or confusion is not None:
            found.append(Result(path.parent.parent.name, accuracy, confusion))
    return found
