"""Run one step of a compiled pipeline by itself, on inputs of our own, in a container of its own.

outcome = run_step(docker.client, ir.step("train"), artifacts={"rows": b"0,0,…"})
outcome.exit_code, outcome.artifacts["model"], outcome.parameters

Inputs are copied in and outputs copied out, so it works on any engine, and the
step finds nothing that an earlier run may have left.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, ImageNotFound, NotFound

from autograder.facts import CannotCheck, NotThere
from autograder.probes.engine import LABEL, asking, said
from autograder.probes.pipeline import Step
from autograder.probes.words import tail

ROOT = "/tmp/step"  # in the container; everybody may write there
LARGEST = 20_000_000  # bytes of outputs


@dataclass(frozen=True)
class Outcome:
    """Tell how a step ended and what it gave."""

    exit_code: int
    log: str  # its last lines
    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)  # of artifacts


def run_step(
    client: docker.DockerClient,
    step: Step,
    parameters: dict[str, Any] | None = None,
    artifacts: dict[str, bytes] | None = None,
    timeout: float = 120,
) -> Outcome:
    """Run a step and return its outcome, good or bad.

    `timeout` is seconds. Raises NotThere where its image is not there or it
    takes too long, CannotCheck where the engine is the reason.
    """
    artifacts = artifacts or {}
    given = executor_input(step, parameters or {}, list(artifacts))
    command = [part.replace("{{$}}", json.dumps(given)) for part in step.command]
    container = _create(client, step, command)
    try:
        with asking("run a step of the pipeline"):
            container.put_archive("/", _packed({f"in/{name}": content for name, content in artifacts.items()}))
            container.start()
        code = _wait(container, step, timeout)
        with asking("read what a step gave"):
            log = container.logs(tail=60)
            found = _unpacked(container) if code == 0 else {}
    finally:
        with suppress(APIError, requests.RequestException, urllib3.exceptions.HTTPError):
            container.remove(force=True, v=True)
    return _outcome(code, tail(log, 6), found)


def executor_input(step: Step, parameters: dict[str, Any], artifacts: list[str]) -> dict[str, Any]:
    """Return what kfp hands to a step: its inputs, and where its outputs go.

    Raises NotThere where the step asks for an input that is not given.
    """
    missing = [name for name, one in step.artifacts.items() if name not in artifacts and one.sources]
    if missing:
        raise NotThere(
            f"The step {step.name} asks for more than it is to be given: {', '.join(missing)}.",
            "Compare its inputs with those that the lab's text names.",
        )
    constants = {
        # The file knows one kind of number; the step is to get the one that it asked for.
        name: int(one.constant) if one.type == "NUMBER_INTEGER" else one.constant
        for name, one in step.parameters.items()
        if one.constant is not None
    }
    files = {name: kind for name, kind in step.gives.items() if "." in kind}
    return {
        "inputs": {
            "parameterValues": {**constants, **parameters},
            "artifacts": {name: _artifact(name, step.artifacts[name].type, f"in/{name}") for name in artifacts},
        },
        "outputs": {
            "parameters": {n: {"outputFile": f"{ROOT}/out/{n}"} for n in step.gives if n not in files},
            "artifacts": {name: _artifact(name, kind, f"out/{name}") for name, kind in files.items()},
            "outputFile": f"{ROOT}/out/executor_output.json",
        },
    }


def _artifact(name: str, kind: str, where: str) -> dict[str, Any]:
    kind = {"schemaTitle": kind, "schemaVersion": "0.0.1"}
    return {"artifacts": [{"name": name, "type": kind, "uri": f"{ROOT}/{where}", "metadata": {}}]}


def _create(client: docker.DockerClient, step: Step, command: list[str]) -> Any:
    for pulled in (False, True):
        try:
            with asking("create a container for a step"):
                try:
                    return client.containers.create(step.image, command, labels={LABEL: "1"}, mem_limit="1g")
                except ImageNotFound:
                    if pulled:
                        raise
                    client.images.pull(step.image)
                except APIError as refused:
                    if refused.status_code == 400:  # such as a command that names no program
                        raise NotThere(f"The step {step.name} cannot be started: {said(refused)}") from None
                    raise
        except CannotCheck as fault:
            if "o such image" in fault.cause or "not found" in fault.cause or "manifest unknown" in fault.cause:
                break
            raise
    raise NotThere(
        f"The image of the step {step.name}, {step.image}, is nowhere to be had.",
        "base_image must be an image that the engine has or can pull.",
    )


def _wait(container: Any, step: Step, timeout: float) -> int:
    deadline = time.monotonic() + timeout
    while True:
        try:
            return int(container.wait(timeout=max(1.0, deadline - time.monotonic()))["StatusCode"])
        except (requests.ReadTimeout, requests.ConnectionError, urllib3.exceptions.HTTPError) as late:
            with asking("look at a step"):
                container.reload()
            if container.status == "exited":
                return int(container.attrs["State"]["ExitCode"])
            if container.status != "running":
                raise CannotCheck("The Docker engine went away while a step ran.") from late
            if time.monotonic() >= deadline:  # else it was only the connection that broke
                raise NotThere(f"The step {step.name} was not over after {timeout:.0f} s.") from late


def _packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for folder in ("", "/in", "/out"):
            entry = tarfile.TarInfo(f"{ROOT.lstrip('/')}{folder}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{ROOT.lstrip('/')}/{name}")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def _unpacked(container: Any) -> dict[str, bytes]:
    """Return the files below the step's folder of outputs, small enough to look at."""
    try:
        pieces, _ = container.get_archive(f"{ROOT}/out")
    except NotFound:
        return {}
    read = bytearray()
    for piece in pieces:
        read += piece
        if len(read) > LARGEST:
            raise NotThere(f"A step gave more than {LARGEST // 1_000_000} MB.", "Keep its outputs small.")
    with tarfile.open(fileobj=io.BytesIO(bytes(read))) as tar:
        return {one.name.partition("/")[2]: tar.extractfile(one).read() for one in tar if one.isfile()}


def _outcome(code: int, log: str, files: dict[str, bytes]) -> Outcome:
    try:
        written = json.loads(files.pop("executor_output.json", b"{}"))
        metadata = {name: dict(one["artifacts"][0].get("metadata") or {})
                    for name, one in (written.get("artifacts") or {}).items()}  # fmt: skip
        parameters = dict(written.get("parameterValues") or {})
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Outcome(code, log, {}, files, {})
    return Outcome(code, log, parameters, files, metadata)
