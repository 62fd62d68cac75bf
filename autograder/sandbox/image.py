"""Have the sandbox's image: Debian's rootless engine, a kernel, and our guard between them."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from autograder import versions
from autograder.ground import golang, node, programs
from autograder.ground.images import KEY, bootstrap, packages_step, present
from autograder.ground.keys import key_of
from autograder.ground.shell import run
from autograder.ground.step import Step, cache_dir
from autograder.ground.wheels import wheel_house
from autograder.labs import checkout

IMAGE = f"{node.PREFIX}/sandbox:2"
GATE_IMAGE = f"{node.PREFIX}/gate:1"
PACKAGES = (
    "docker.io",
    "iptables",
    "iproute2",  # rootlesskit calls `ip`; nothing here depends on it
    "rootlesskit",  # the engine's user namespace
    "slirp4netns",  # ... and its network, which leads nowhere
    "uidmap",
    "libcap2-bin",
    "procps",
    "python3",
    "python3-pip",
    "python3-venv",
    "ca-certificates",
    "curl",
    "less",
)
# What a learner's kernel imports; how submissions are judged is not in it.
PACKAGE = ("__init__", "checks", "facts", "labs", "report", "versions", "waiting")
ROOTFS = f"{node.PREFIX}/rootfs-sandbox:{versions.DEBIAN}-{key_of(*PACKAGES)[:8]}"  # other packages, another one


def folder() -> Path:
    """Return the folder of the image's source."""
    return checkout() / "docker" / "sandbox"


def key() -> str:
    """Return the key of the image: whatever goes into it."""
    return _key()


@cache
def _key() -> str:
    sources = sorted(path for path in folder().glob("*") if path.is_file()) + guard_sources()
    return key_of(" ".join(PACKAGES), checkout() / "constraints.txt", *sources, *package())


def package() -> list[Path]:
    """Return the files of autograder that a learner's kernel may import."""
    home = Path(__file__).resolve().parent.parent
    return [home / f"{name}.py" for name in PACKAGE] + sorted(
        path for part in ("notebook", "probes") for path in (home / part).glob("*.py")
    )


def steps() -> list[Step]:
    """Return the steps to the sandbox's image."""
    return [
        packages_step(lambda: present(ROOTFS)),
        Step("Image sandbox", "each submission is graded in a container of its own", 110, ready, build),
    ]  # fmt: skip


def ready() -> bool:
    """Tell whether the images of today's sources are there."""
    return present(IMAGE, key()) and present(GATE_IMAGE, guard_key())


def build() -> None:
    """Build the sandbox's image and the gate's. Raises CannotCheck with the last lines of what failed."""
    if not present(ROOTFS):
        bootstrap(ROOTFS, PACKAGES)
    log = cache_dir() / "images.log"
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        context = Path(scratch)
        for path in folder().iterdir():
            if path.is_file():
                shutil.copy(path, context)
        (context / "bin").mkdir()
        guard(context / "bin" / "guard")
        wheels(context / "wheels")
        home = Path(__file__).resolve().parent.parent
        for path in package():
            target = context / "autograder" / path.relative_to(home)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        run(["docker", "build", "-q", "-t", IMAGE, "--label", versions.LABEL, "--label", f"{KEY}={key()}",
             "--build-arg", f"ROOTFS={ROOTFS}", context],
            log=log, env={"DOCKER_BUILDKIT": "0"}, timeout=900)  # fmt: skip
        (context / "Dockerfile.gate").write_text('FROM scratch\nCOPY bin/guard /guard\nENTRYPOINT ["/guard"]\n')
        run(["docker", "build", "-q", "-t", GATE_IMAGE, "-f", context / "Dockerfile.gate",
             "--label", versions.LABEL, "--label", f"{KEY}={guard_key()}", context],
            log=log, env={"DOCKER_BUILDKIT": "0"})  # fmt: skip


def compiled() -> dict[str, Path]:
    """Return what a sandbox with a registry gets as well, by path inside: not in the image, which is there before."""
    found = {
        "/usr/local/bin/registry": programs.registry(),
        "/usr/local/bin/kubectl": golang.folder() / "kubectl",
        "/usr/local/lib/docker/cli-plugins/docker-compose": programs.folder() / programs.COMPOSE,
    }
    return {inside: path.resolve() for inside, path in found.items() if path.exists()}


def guard_sources() -> list[Path]:
    """Return the files that the guard is made of; its tests are not in it."""
    return sorted(path for path in (folder() / "guard").iterdir() if not path.name.endswith("_test.go"))


def guard_key() -> str:
    """Return the key of the guard's source."""
    return key_of(*guard_sources())


def guard(target: Path) -> None:
    """Compile the guard, of Go's standard library alone."""
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"}
    run([golang.go(), "build", "-trimpath", "-ldflags=-s -w", "-o", target, "."],
        cwd=folder() / "guard", env=env, log=cache_dir() / "images.log")  # fmt: skip


def wheels(target: Path) -> None:
    """Download the kernel's packages: a build inside a container has no network here."""
    requirements = folder() / "requirements.txt"
    shutil.copytree(wheel_house(requirements), target)
