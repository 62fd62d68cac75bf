"""Fence each submission's pods in: a plugin of the node's network that runs before a pod does.

The cluster's network enforces no NetworkPolicy, and one that does would let a
new pod out until its rules are written. docker/sandbox/cluster/fence is called
with the pod's address and namespace, and only then may the pod start.
"""

from __future__ import annotations

import io
import secrets
import tarfile
from contextlib import suppress

from docker.models.containers import Container
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from autograder.facts import CannotCheck
from autograder.ground import cluster
from autograder.ground.locks import alone
from autograder.probes.execs import run_in
from autograder.sandbox import image
from autograder.waiting import TimedOut, wait_until

PLUGIN = "shipyard-fence"
FOLDER = "/opt/cni/bin"
TRIED = "lab-fence-"  # what the names of its trials begin with
ADD = f"""
set -eu
for list in /etc/cni/net.d/*.conflist; do
    jq -e '.plugins[] | select(.type == "{PLUGIN}")' "$list" > /dev/null && continue
    jq '.plugins += [{{"type": "{PLUGIN}"}}]' "$list" > "$list.new"
    mv "$list.new" "$list"
done
"""
# The plugin itself makes the table when it fences the first pod: then the node's network does call it.
CALLED = f"grep -q {PLUGIN} /etc/cni/net.d/*.conflist && nft list table ip shipyard > /dev/null 2>&1"


def fence(api: client.ApiClient) -> None:
    """See that the node's network calls our plugin for each new pod; quick where it does.

    Raises CannotCheck where the node does not run or does not take it.
    """
    node = cluster.node_container()
    if node is None:
        raise CannotCheck("The cluster's node does not run.", "Run `shipyard up`, then grade again.")
    plugin = (image.folder() / "cluster" / "fence").read_bytes()
    if _stands(node, plugin):
        return
    with alone("fence"):
        if _stands(node, plugin):  # another grader has built it meanwhile
            return
        node.put_archive(FOLDER, _packed(plugin))
        done = run_in(node, ["sh", "-c", ADD])
        if done.code:
            said = done.output.decode(errors="replace")
            raise CannotCheck(f"Pods cannot be kept from each other: {said}", "Run `shipyard doctor`.")
        try:
            _try(client.CoreV1Api(api), client.AppsV1Api(api), node)
        except TimedOut as late:
            raise CannotCheck(f"Pods cannot be kept from each other: {late}", "Run `shipyard doctor`.") from None


def _stands(node: Container, plugin: bytes) -> bool:
    return run_in(node, ["sh", "-c", f"{CALLED} && cat {FOLDER}/{PLUGIN}"]) == (0, plugin)


def _called(node: Container) -> bool:
    return run_in(node, ["sh", "-c", CALLED]).code == 0


def _try(core: client.CoreV1Api, apps: client.AppsV1Api, node: Container) -> None:
    """Start a pod of a submission's namespace, and wait until it was fenced."""
    for left in core.list_namespace().items:  # by a grader that was killed here: none but us tries now
        if left.metadata.name.startswith(TRIED):
            with suppress(ApiException):  # it is on its way out
                core.delete_namespace(left.metadata.name)
    name = TRIED + secrets.token_hex(3)
    core.create_namespace({"metadata": {"name": name}})
    there = apps.read_namespaced_deployment("coredns", "kube-system").spec.template.spec.containers[0].image
    pod = {"metadata": {"name": "try"}, "spec": {"containers": [{"name": "try", "image": there}]}}
    try:
        wait_until(lambda: core.create_namespaced_pod(name, pod), "a namespace", timeout=30, failures=(ApiException,))
        wait_until(lambda: _called(node), "the node's network to call the fence", timeout=30)
    finally:
        core.delete_namespace(name)


def _packed(plugin: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo(PLUGIN)
        entry.size, entry.mode = len(plugin), 0o755
        tar.addfile(entry, io.BytesIO(plugin))
    return data.getvalue()
