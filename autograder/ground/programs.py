"""Have `docker compose` and the registry's program: compiled from pinned Go modules, once."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from autograder.ground import golang
from autograder.ground.keys import key_of
from autograder.ground.locks import alone
from autograder.ground.shell import run
from autograder.ground.step import Step, cache_dir
from autograder.labs import checkout

COMPOSE = "docker-compose"  # what the docker command calls its plugin
VERSION = "github.com/docker/compose/v5/internal.Version"


def module() -> Path:
    """Return the folder of the Go module that pins them."""
    return checkout() / "docker" / "tools"


def folder() -> Path:
    """Return where the programs of today's pins lie once they are built."""
    return cache_dir() / f"tools-{key_of(module() / 'go.mod', module() / 'go.sum')}"


def built() -> bool:
    """Tell whether the programs of today's pins are in the cache."""
    return (folder() / COMPOSE).exists()


def registry() -> Path:
    """Return the registry's program: the one built with the cluster's node, else ours."""
    of_node = golang.folder() / "registry"
    return of_node if of_node.exists() else folder() / "registry"


def plugin() -> Path:
    """Return where the docker command looks for the user's own plugins."""
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    return home / "cli-plugins" / COMPOSE


def composes() -> bool:
    """Tell whether `docker compose` is there, ours or another."""
    try:
        return subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def step() -> Step:
    """Return the step to both programs."""
    return Step("Compose and registry", "labs with several containers use them; they are compiled once", 130,
                lambda: built() and composes(), make)  # fmt: skip


def make() -> None:
    """Compile what is not in the cache, and let `docker compose` be found; a compose of the user's own stays."""
    with alone("tools"):
        if not built():
            compile_all()
    link = plugin()
    if link.is_symlink() and not link.exists():  # the cache was removed, or the pins have changed
        link.unlink()
    if not composes():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(folder() / COMPOSE)


def compile_all() -> None:
    """Compile both programs into the cache; interrupted, Go goes on where it stopped."""
    unfinished = folder().with_suffix(".unfinished")
    unfinished.mkdir(exist_ok=True)
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
    pinned = [line.split() for line in (module() / "go.mod").read_text().splitlines()]
    version = next(words[1] for words in pinned if words[:1] == ["github.com/docker/compose/v5"])
    command = [golang.go(), "build", "-trimpath", f"-ldflags=-s -w -X {VERSION}={version}", "-o", f"{unfinished}/"]
    # Grading goes on meanwhile, and a learner's build is not to wait for ours.
    run(["nice", "-n", "10", *command, "tool"], cwd=module(), env=env, log=cache_dir() / "tools.log", timeout=1800)
    (unfinished / "cmd").replace(unfinished / COMPOSE)  # Go names a program after its folder
    shutil.rmtree(folder(), ignore_errors=True)
    unfinished.replace(folder())
