"""Have the cluster's node image: kindest/node where it can be pulled, else built from packages and Go modules."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from docker.errors import APIError

from autograder import versions
from autograder.ground import engine, golang
from autograder.ground.images import KEY, PREFIX, bootstrap, packages_step, present, registry_answers
from autograder.ground.keys import key_of
from autograder.ground.shell import run
from autograder.ground.step import Step, cache_dir
from autograder.probes.builder import builder

PULLED = versions.NODE_IMAGE
BUILT = f"{PREFIX}/node:{versions.KUBERNETES}"
METRICS = f"{PREFIX}/metrics-server:{versions.METRICS_SERVER}"
ROOTFS = f"{PREFIX}/rootfs-node:{versions.DEBIAN}"
CONTROL = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def key() -> str:
    """Return the key of the node image: its binaries, packages and files."""
    root = golang.module()
    files = sorted(path for path in root.joinpath("files").rglob("*") if path.is_file())
    return key_of(golang.key(), " ".join(versions.NODE_PACKAGES), root / "Dockerfile", *files)


def reference() -> str:
    """Return the node image that the cluster is made of."""
    return PULLED if present(PULLED) else BUILT


def ready() -> bool:
    """Tell whether a node image of today's pins is there."""
    return present(PULLED) or present(BUILT, key())


@cache
def published() -> bool:
    """Tell whether kindest/node is here or can be pulled; asked once."""
    if present(PULLED):
        return True
    if not registry_answers():
        return False
    try:
        engine.client(timeout=10).api.inspect_distribution(PULLED)
        return True
    except (APIError, OSError):
        return False


def steps() -> list[Step]:
    """Return the steps to the node image, the longest of all on a new machine."""
    if published():
        return [
            Step("Tools", "kind, kubectl and the addons are compiled once", 200, golang.built, golang.build),
            Step("Node image", "the machine that kind turns into a cluster", 60, ready, pull),
        ]
    why = f"Kubernetes {versions.KUBERNETES} is compiled once: no registry serves its images here"
    return [
        packages_step(ready),
        Step("Node binaries", why, 480, golang.built, lambda: golang.build(whole=True)),
        Step("Node image", "the machine that kind turns into a cluster", 80, ready, build),
    ]


def pull() -> None:
    """Pull kindest/node."""
    engine.client(timeout=900).images.pull(PULLED)


def build() -> None:
    """Build the node image from the binaries, a Debian root file system and kind's node files."""
    if not present(ROOTFS):
        bootstrap(ROOTFS, versions.NODE_PACKAGES)
    binaries = golang.folder()
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        context = Path(scratch)
        shutil.copy(golang.module() / "Dockerfile", context)
        shutil.copytree(golang.module() / "files", context / "files")
        kind_files(context / "kind")
        node_binaries(binaries, context / "bin")
        component_images(binaries, context / "images")
        using = builder()
        run([using.cli, "build", "-t", BUILT, "--build-arg", f"ROOTFS={ROOTFS}",
             "--label", versions.LABEL, "--label", f"{KEY}={key()}", context],
            env={"DOCKER_BUILDKIT": str(int(using.buildkit))}, log=cache_dir() / "node.log", timeout=900)  # fmt: skip


def kind_files(target: Path) -> None:
    """Copy the node files of the pinned kind (entrypoint, units, settings), with the modes its own build gives."""
    source = golang.module_dir("sigs.k8s.io/kind") / "images" / "base" / "files"
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    settings = target / "etc/containerd/config.toml"
    pause = f'sandbox_image = "{PREFIX}/pause:{versions.PAUSE}"'
    settings.write_text(re.sub(r'sandbox_image = ".*"', pause, settings.read_text()))
    for path in [target, *target.rglob("*")]:
        executable = path.is_dir() or path.parent.name == "bin"
        path.chmod(0o755 if executable else 0o644)


def node_binaries(binaries: Path, target: Path) -> None:
    """Lay the node's programs where kind's units and kubeadm look for them."""
    places = {
        "usr/local/bin": ("containerd", "containerd-shim-runc-v2", "ctr"),
        "opt/cni/bin": ("ptp", "loopback", "host-local", "portmap"),
        "usr/bin": ("kube",),
    }
    for place, names in places.items():
        (target / place).mkdir(parents=True)
        for name in names:
            shutil.copy(binaries / name, target / place / name)
    for name in ("kubelet", "kubeadm", "kubectl"):
        (target / "usr/bin" / name).symlink_to("kube")
    (target / "kind").mkdir()
    (target / "kind" / "version").write_text(versions.KUBERNETES)


def component_images(binaries: Path, target: Path) -> None:
    """Save the images that kubeadm and the addons name as tar files in `target`."""
    target.mkdir()
    pause = target.parent / "pause"
    source = golang.module_dir("k8s.io/kubernetes") / "build" / "pause" / "linux" / "pause.c"
    run(["gcc", "-Os", "-static", "-s", "-DVERSION=shipyard", "-o", pause, source])

    control = {"usr/local/bin/kube": binaries / "kube"}
    names = [f"{PREFIX}/{name}:{versions.KUBERNETES}" for name in CONTROL]
    pack(names[0], control, links={f"usr/local/bin/{name}": "kube" for name in CONTROL})
    for name in names[1:]:
        engine.client().images.get(names[0]).tag(name)
    proxy = f"{PREFIX}/kube-proxy:{versions.KUBERNETES}"
    on_rootfs(proxy, binaries / "kube", "kube-proxy")
    others = {
        f"{PREFIX}/etcd:{versions.ETCD}": ("usr/local/bin/etcd", binaries / "etcd", []),
        f"{PREFIX}/coredns:{versions.COREDNS}": ("coredns", binaries / "coredns", ["/coredns"]),
        f"{PREFIX}/pause:{versions.PAUSE}": ("pause", pause, ["/pause"]),
        METRICS: ("metrics-server", binaries / "metrics-server", ["/metrics-server"]),
        f"{PREFIX}/hostpath-provisioner:v1": (
            "hostpath-provisioner", binaries / "hostpath-provisioner", ["/hostpath-provisioner"]),
    }  # fmt: skip
    for name, (path, file, entrypoint) in others.items():
        pack(name, {path: file}, entrypoint=entrypoint)
    # One tar: layers that images share are in it once.
    run(["docker", "save", "-o", target / "components.tar", *names, proxy, *others], log=cache_dir() / "node.log")


def pack(
    name: str, files: Mapping[str, Path], links: Mapping[str, str] | None = None, entrypoint: list[str] | None = None,
    user: str = "",
) -> None:  # fmt: skip
    """Make an image of static programs and nothing else."""
    changes = ["ENV PATH=/usr/local/bin:/", f"LABEL {versions.LABEL}=component"]
    if user:
        changes.append(f"USER {user}")
    if entrypoint:
        changes.append("ENTRYPOINT [" + ", ".join(f'"{word}"' for word in entrypoint) + "]")
    options = [word for change in changes for word in ("--change", change)]
    with subprocess.Popen(["docker", "import", *options, "-", name],
                          stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:  # fmt: skip
        with tarfile.open(fileobj=process.stdin, mode="w|") as tar:
            for path, file in files.items():
                entry = tarfile.TarInfo(path)  # no owner, no time: the same bytes on every machine
                entry.size, entry.mode = file.stat().st_size, 0o755
                with file.open("rb") as content:
                    tar.addfile(entry, content)
            for path, points_to in (links or {}).items():
                entry = tarfile.TarInfo(path)
                entry.type, entry.linkname = tarfile.SYMTYPE, points_to
                tar.addfile(entry)
            tmp = tarfile.TarInfo("tmp")
            tmp.type, tmp.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(tmp)
        process.stdin.close()


def on_rootfs(name: str, binary: Path, called: str) -> None:
    """Make an image of the node's root file system and one program (kube-proxy calls iptables)."""
    dockerfile = f"FROM {ROOTFS}\nCOPY kube /usr/local/bin/{called}\nLABEL {versions.LABEL}=component\n"
    with tempfile.TemporaryFile() as tar:
        with tarfile.open(fileobj=tar, mode="w") as context:
            text = tarfile.TarInfo("Dockerfile")
            text.size = len(dockerfile)
            context.addfile(text, io.BytesIO(dockerfile.encode()))
            context.add(binary, "kube")
        tar.seek(0)
        run(["docker", "build", "-q", "-t", name, "-"], stdin=tar, env={"DOCKER_BUILDKIT": "0"},
            log=cache_dir() / "node.log")  # fmt: skip
