"""Run `docker build` as the learner does: the same builder, but with limits."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread

from autograder.ending import end_group
from autograder.facts import CannotCheck

KEPT = 256_000  # bytes of a build's output; what comes last says why it failed


@dataclass(frozen=True)
class Builder:
    """Hold the docker command to build with, and whether it does so with BuildKit."""

    cli: str
    buildkit: bool

    def environment(self, host: str) -> dict[str, str]:
        """Return the environment for a build on the engine at `host`."""
        kit = {"DOCKER_BUILDKIT": "1" if self.buildkit else "0", "DOCKER_HOST": host}
        # A context would win over nothing, but warn; messages are matched, so they must be English.
        return {**os.environ, **kit, "DOCKER_CONTEXT": "", "LC_ALL": "C.UTF-8", "BUILDKIT_COLORS": "", "NO_COLOR": "1"}


@dataclass(frozen=True)
class Built:
    """Hold how a build ended: exit code (None: over time), the end of its output, seconds allowed."""

    code: int | None
    log: str


def builder() -> Builder:
    """Return the first docker command in PATH that builds with BuildKit, else the first one at all.

    BuildKit is in every command before version 23; later ones need the buildx
    plugin. Raises CannotCheck where there is no docker command.
    """
    return _builder(os.environ.get("PATH", os.defpath))


@cache
def _builder(path: str) -> Builder:
    commands = [str(c) for folder in path.split(os.pathsep) if os.access(c := Path(folder, "docker"), os.X_OK)]
    for cli in commands:
        version = re.search(r"version (\d+)", _output(cli, "--version"))
        if version and (int(version[1]) < 23 or "buildx" in _output(cli, "buildx", "version")):
            return Builder(cli, True)
    if not commands:
        fix = "Install Docker's command line (Debian: docker.io), or run `shipyard up`."
        raise CannotCheck("There is no `docker` command on this machine, so nothing can be built.", fix)
    return Builder(commands[0], False)


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", timeout=20)
        return done.stdout if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""


def run_build(using: Builder, host: str, arguments: list[str], timeout: float) -> Built:
    """Run `docker build ARGUMENTS` for at most `timeout` seconds; nothing of it runs on after that."""
    # The old builder leaves the container of a step that failed, unless told not to.
    plain = ["--progress=plain"] if using.buildkit else ["--force-rm"]
    try:
        process = subprocess.Popen(
            [using.cli, "build", *plain, *arguments],
            env=using.environment(host),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own: buildx is a child of docker
        )
    except OSError as error:
        raise CannotCheck(f"`{using.cli} build` could not be started: {error}.") from error
    kept = bytearray()
    reader = Thread(target=_keep_end, args=(process.stdout, kept), daemon=True)
    reader.start()
    code: int | None = None
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        pass
    finally:  # also on Ctrl-C: the engine stops a build when its client goes
        if code is None:
            end_group(process)
        reader.join(5)
    return Built(code, kept.decode("utf-8", "replace"))


def _keep_end(stream, kept: bytearray) -> None:
    with suppress(ValueError, OSError):
        while piece := stream.read1(65536):
            kept += piece
            if len(kept) > 2 * KEPT:
                del kept[:-KEPT]
