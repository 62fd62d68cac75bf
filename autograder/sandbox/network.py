"""Let a sandbox and the cluster meet: the API server for the one, the sandbox's own registry for the other.

One small container, the gate, stands on the cluster's network. It opens one
socket that leads to the API server, and nothing else; and it serves to the node
what lies in a sandbox's registry, for reading, to whoever knows its token. Pods
in the sandbox's namespace get names with that token by an admission policy
(docker/sandbox/cluster/own-registry.yaml), so that localhost:5001/digits:v1 of
two submissions is each one's own.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import docker
import yaml
from docker.errors import DockerException, NotFound
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground import cluster, engine
from autograder.ground.keys import key_of
from autograder.ground.locks import alone
from autograder.probes.execs import run_in
from autograder.sandbox import folders, image
from autograder.sandbox.fence import fence
from autograder.waiting import TimedOut, wait_until

GATE = "shipyard-gate"
NODE_LABEL = "shipyard.node"  # a cluster that was made anew needs its policy anew
NAME = f"shipyard-boxes:{versions.REGISTRY_PORT}"  # the registry in the rewritten names, as in the policy
HOSTS = f"/etc/containerd/certs.d/{NAME}"
REGISTRY_LABEL = "shipyard.io/registry"
API_INSIDE = "https://127.0.0.1:6443"  # the API server's certificate names 127.0.0.1
POLICY = "shipyard-own-registry"
POLICY_KEY = "shipyard.io/key"  # of the policies' text: a cluster may have older ones


def open_gate(api: client.ApiClient) -> None:
    """See that the gate runs, the node knows it, and the policy is in force; quick where it is so.

    Raises CannotCheck where that cannot be done.
    """
    try:
        host = engine.client(timeout=60)
        if _is_open(host) and _in_place(api):
            fence(api)
            return
        with alone("gate"):
            fence(api)
            if not _in_place(api):
                _apply_policies(api)
            if not _is_open(host):
                _tell_node()
                _run_gate(host)
    except (DockerException, OSError) as error:
        raise CannotCheck(f"The sandboxes' gate does not start: {error}", "Run `shipyard doctor`.") from error
    except (ApiException, HTTPError) as error:
        cause = f"The cluster does not take the sandboxes' policy: {getattr(error, 'reason', error)}"
        raise CannotCheck(cause, "Run `shipyard up` with a cluster of Kubernetes 1.36 or newer.") from error
    except TimedOut as late:
        raise CannotCheck(f"The sandboxes' gate is too slow: {late}") from None


def close_gate() -> None:
    """Remove the gate; the next sandbox that needs the cluster starts it again."""
    with suppress(NotFound):
        engine.client().containers.get(GATE).remove(force=True, v=True)


def opened() -> str:
    """Return since when the gate runs: a later time means that for a while there was none.

    Raises CannotCheck where it does not run, or where the engine does not answer.
    """
    try:
        state = engine.client(timeout=60).containers.get(GATE).attrs["State"]
    except NotFound:
        state = {"Running": False}
    except (DockerException, OSError) as error:
        cause = f"The sandboxes' gate cannot be seen: {error}"
        raise CannotCheck(cause, "Run `shipyard up`, then grade again.") from error
    if not state["Running"]:
        raise CannotCheck("The sandboxes' gate to the cluster ended.", "Grade again.")
    return state["StartedAt"]


def assign(api: client.ApiClient, namespace: str, token: str) -> None:
    """Let localhost:5001 in a namespace be the registry of the sandbox with that token."""
    body = {"metadata": {"labels": {REGISTRY_LABEL: token}}}
    try:
        client.CoreV1Api(api).patch_namespace(namespace, body)
    except (ApiException, HTTPError) as error:
        raise CannotCheck(f"Namespace {namespace} cannot be given its registry: {error}") from error


def kubeconfig(path: Path, target: Path) -> None:
    """Write a kubeconfig anew for use inside a sandbox, where the API server has another address."""
    settings = yaml.safe_load(path.read_text())
    for one in settings["clusters"]:
        one["cluster"]["server"] = API_INSIDE
    target.write_text(yaml.safe_dump(settings))
    target.chmod(0o644)  # its folder is the sandbox's alone


def forget_images(token: str, keep: set[str]) -> None:
    """Remove from the node what pods pulled from a sandbox's registry; `keep` are digests that come again.

    Those keep a name of ours, so that the next submission does not pull 500 MB.
    """
    node = cluster.node_container()
    if node is None:
        return
    _, listed = run_in(node, ["ctr", "-n", "k8s.io", "images", "ls"], stderr=False)
    names: dict[str, str] = {}
    for line in listed.decode(errors="replace").splitlines()[1:]:
        words = line.split()
        if digest := next((word for word in words[1:] if re.fullmatch(r"sha256:[0-9a-f]{64}", word)), None):
            names[words[0]] = digest
    ours = {name: digest for name, digest in names.items() if name.startswith(f"{NAME}/{token}/")}
    if not ours:
        return
    for digest in set(ours.values()) & keep:
        # With the host in front: the node's Kubernetes side takes a bare name for docker.io's and finds nothing.
        kept = f"{NAME}/seed/image:{digest[7:19]}"
        if kept not in names:
            source = next(name for name, its in ours.items() if its == digest)
            run_in(node, ["ctr", "-n", "k8s.io", "images", "tag", source, kept])
            names[kept] = digest
    others = {digest for name, digest in names.items() if name not in ours and not name.startswith("sha256:")}
    # The node also keeps each image under its own digest: that name goes with the last other one.
    alone = [name for name, digest in names.items() if name.startswith("sha256:")
             and digest in ours.values() and digest not in others]  # fmt: skip
    run_in(node, ["ctr", "-n", "k8s.io", "images", "rm", *ours, *alone])


def images_of(token: str) -> list[str]:
    """Return the images on the node that came from a sandbox's registry."""
    return sorted(name for name in cluster.images_there() if name.startswith(f"{NAME}/{token}/"))


def _is_open(host: docker.DockerClient) -> bool:
    """Tell whether today's gate runs, for today's cluster."""
    try:
        there, node = host.containers.get(GATE), host.containers.get(cluster.NODE)
    except NotFound:
        return False
    socket = (folders.gate() / "api.sock").is_socket()
    today = there.labels.get(NODE_LABEL) == node.id and there.image.id == host.images.get(image.GATE_IMAGE).id
    return there.status == "running" and socket and today


def _run_gate(host: docker.DockerClient) -> None:
    with suppress(NotFound):
        host.containers.get(GATE).remove(force=True, v=True)
    node = host.containers.get(cluster.NODE)
    for folder in (folders.boxes(), folders.gate()):
        folder.mkdir(parents=True, exist_ok=True)
    (folders.gate() / "api.sock").unlink(missing_ok=True)
    host.containers.run(
        image.GATE_IMAGE, ["route", "tcp::5000", "/boxes", f"unix:/gate/api.sock=tcp:{cluster.NODE}:6443"],
        name=GATE, detach=True, network="kind", read_only=True, cap_drop=["ALL"], mem_limit="128m",
        pids_limit=64, security_opt=["no-new-privileges"], restart_policy={"Name": "unless-stopped"},
        user=f"{folders.boxes().stat().st_uid}", labels={versions.LABEL: "gate", NODE_LABEL: node.id},
        volumes=[f"{folders.boxes()}:/boxes:ro", f"{folders.gate()}:/gate"],
    )  # fmt: skip
    wait_until((folders.gate() / "api.sock").is_socket, "the gate to open", timeout=20, pause=0.05)


def _tell_node() -> None:
    hosts = f'[host."http://{GATE}:5000"]'
    node = cluster.node_container()
    if node is None:
        raise CannotCheck("The cluster's node does not run.", "Run `shipyard up`, then grade again.")
    run_in(node, ["sh", "-c", f"mkdir -p {HOSTS} && echo '{hosts}' > {HOSTS}/hosts.toml"])


def _policies() -> list[Path]:
    return sorted((image.folder() / "cluster").glob("*.yaml"))


def _in_place(api: client.ApiClient) -> bool:
    """Tell whether the cluster has today's policies."""
    path = f"/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/{POLICY}"
    try:
        found, _, _ = api.call_api(path, "GET", auth_settings=["BearerToken"], response_type="object")
    except ApiException as error:
        if error.status == 404:
            return False
        raise
    return found["metadata"].get("labels", {}).get(POLICY_KEY) == key_of(*_policies())


def _apply_policies(api: client.ApiClient) -> None:
    # The last one is the one that _in_place looks at.
    for document in (one for path in _policies() for one in yaml.safe_load_all(path.read_text())):
        kind = document["kind"].lower()
        kind = kind.removesuffix("y") + "ies" if kind.endswith("policy") else kind + "s"
        document["metadata"]["labels"][POLICY_KEY] = key_of(*_policies())
        api.call_api(
            f"/apis/{document['apiVersion']}/{kind}/{document['metadata']['name']}", "PATCH",
            query_params=[("fieldManager", "shipyard"), ("force", "true")],
            header_params={"Content-Type": "application/apply-patch+yaml", "Accept": "application/json"},
            body=document, auth_settings=["BearerToken"], response_type="object",
        )  # fmt: skip
    wait_until(lambda: _in_force(api), "the policies to be in force", timeout=30, pause=0.3)


def _in_force(api: client.ApiClient) -> bool:
    """Try the policies on objects that are not made: the API server takes a moment to load one."""
    core, name = client.CoreV1Api(api), "shipyard-policy"
    labels = {REGISTRY_LABEL: "try"}
    try:
        core.create_namespace({"metadata": {"name": name, "labels": labels}})
    except ApiException as error:
        if error.status != 409:
            raise
    container = {"name": "try", "image": f"localhost:{versions.REGISTRY_PORT}/try"}
    pod = {"metadata": {"name": "try"}, "spec": {"containers": [container]}}
    try:
        made = core.create_namespaced_pod(name, pod, dry_run="All")
    except ApiException as error:
        if error.status in (403, 404):  # the namespace's account is not there yet
            return False
        raise
    if not made.spec.containers[0].image.startswith(f"{NAME}/try/"):
        return False
    ports = [{"port": 80}]
    service = {"metadata": {"name": "try"}, "spec": {"externalIPs": ["192.0.2.9"], "ports": ports}}
    with suppress(ApiException):  # which says that it is refused
        core.create_namespaced_service(name, service, dry_run="All")
        return False
    core.delete_namespace(name)
    return True
