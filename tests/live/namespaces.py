"""Give a test a namespace of its own, and a kubeconfig that leads there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import yaml
from kubernetes import client

from autograder.ground import cluster
from autograder.ground.step import tools
from autograder.waiting import wait_until


@contextmanager
def own_namespace(core: client.CoreV1Api, prefix: str) -> Iterator[str]:
    """Make a namespace in which pods can be made, and delete it at the end."""
    name = f"{prefix}-{uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    try:
        # Pods are refused until the cluster has made it.
        wait_until(
            lambda: core.list_namespaced_service_account(name, field_selector="metadata.name=default").items,
            "the namespace's account", timeout=30,
        )  # fmt: skip
        yield name
    finally:
        core.delete_namespace(name)


def write_kubeconfig(path: Path, namespace: str) -> None:
    """Write a kubeconfig in which a namespace is the current one."""
    kubectl = [str(tools() / "kubectl"), "config", "view", "--raw", "--minify", f"--context={cluster.context()}"]
    view = yaml.safe_load(subprocess.run(kubectl, check=True, capture_output=True, text=True).stdout)
    view["contexts"][0]["context"]["namespace"] = namespace
    path.write_text(yaml.safe_dump(view))
