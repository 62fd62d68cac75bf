"""Have a Kubernetes cluster: kind's, of one node, with a registry beside it."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import yaml
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from kubernetes import client as api
from kubernetes import config as kubeconfig
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground import commands, engine, golang, node, programs, pulse
from autograder.ground.images import present
from autograder.ground.orphans import thaw
from autograder.ground.shell import run
from autograder.ground.step import Step, cache_dir, tools
from autograder.labs import checkout
from autograder.probes.execs import run_in
from autograder.waiting import TimedOut, wait_until

NODE = f"{versions.CLUSTER}-control-plane"
REGISTRY_IMAGE = f"{node.PREFIX}/registry:{versions.REGISTRY}"
HOSTS = f"/etc/containerd/certs.d/localhost:{versions.REGISTRY_PORT}"  # on the node
STORAGE = "local-path-storage"  # namespace of what makes volumes, on kind's own node as on ours


def context() -> str:
    """Return the context of the cluster to grade on: SHIPYARD_CONTEXT (`--context`), else our own."""
    return os.environ.get("SHIPYARD_CONTEXT") or versions.CONTEXT


def own() -> bool:
    """Tell whether the cluster is the one we bring up, not one that the user named."""
    return context() == versions.CONTEXT


def connection() -> api.ApiClient:
    """Return a client of the cluster with the user's own rights. Raises CannotCheck where there is no such context."""
    try:
        # The client library reads KUBECONFIG when it is imported; we, when it is used.
        return kubeconfig.new_client_from_config(os.environ.get("KUBECONFIG"), context())
    except (kubeconfig.ConfigException, OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise CannotCheck(
            f"There is no cluster called {context()} in the kubeconfig: {error}",
            "Run `shipyard up`, or name yours with --context.",
        ) from None


def answers(timeout: float = 4) -> bool:
    """Tell whether the API server says that it is ready, the node is Ready, and the parts that decide are at work."""
    return _there(timeout) and not asleep(timeout)


def asleep(timeout: float = 4) -> list[str]:
    """Return the deciding parts of our own cluster that are not at work, as far as its leases tell."""
    try:
        return pulse.late(pulse.take(connection(), timeout=timeout)) if own() else []
    except (CannotCheck, ApiException, HTTPError, OSError):
        return []


def _there(timeout: float = 4) -> bool:
    """Tell whether the API server answers and the node is Ready."""
    try:
        nodes = api.CoreV1Api(connection()).list_node(_request_timeout=timeout).items
    except (CannotCheck, ApiException, HTTPError, OSError):
        return False
    ready = [c.status == "True" for n in nodes for c in n.status.conditions or [] if c.type == "Ready"]
    return bool(ready) and all(ready)


def keeps_answering(seconds: int = 4) -> bool:
    """Tell whether it answers all of that time: a cluster that was killed can answer once, and then start again."""
    for _ in range(seconds):
        if not answers():
            return False
        time.sleep(1)
    return answers()


def steps() -> list[Step]:
    """Return the steps to a cluster with its registry and addons; one that the user named need only answer."""
    if not own():
        named = Step(f"Cluster {context()}", "you named it", 1, answers, refuse)
        tool = Step("kubectl", "the learner's command", 200, lambda: bool(shutil.which("kubectl")), commands.build)
        return [named, tool]
    return [
        *node.steps(),
        Step("kind and kubectl", "the learner's commands", 1, commands.there, commands.install),
        Step("Registry", f"images go to localhost:{versions.REGISTRY_PORT}", 3, registry_ready, start_registry),
        Step("Cluster", "kind makes a node of Kubernetes", 40, cluster_ready, create),
        Step("Addons", "metrics, storage, and the registry's name inside the cluster", 25, addons_ready, add),
    ]  # fmt: skip


def refuse() -> None:
    """Say that the cluster which the user named does not answer."""
    raise CannotCheck(
        f"the cluster of context {context()!r} does not answer",
        "Check `kubectl --context … get nodes`; without --context, `shipyard up` brings up an own cluster.",
    )


def registry_ready() -> bool:
    """Tell whether the registry's container runs."""
    try:
        return engine.client().containers.get(versions.REGISTRY_NAME).status == "running"
    except NotFound:
        return False


def start_registry() -> None:
    """Start the registry that kind's recipe puts beside the cluster; what was pushed stays in its volume."""
    client = engine.client()
    try:
        wake(client.containers.get(versions.REGISTRY_NAME))
        return
    except NotFound:
        pass
    if not present(REGISTRY_IMAGE):
        node.pack(
            REGISTRY_IMAGE,
            {"registry": programs.registry(), "config.yml": checkout() / "docker/registry/config.yml"},
            entrypoint=["/registry", "serve", "/config.yml"],
        )  # fmt: skip
    client.containers.run(
        REGISTRY_IMAGE, detach=True, name=versions.REGISTRY_NAME, labels={versions.LABEL: "registry"},
        restart_policy={"Name": "always"}, ports={"5000/tcp": ("127.0.0.1", versions.REGISTRY_PORT)},
        volumes={"shipyard-registry": {"bind": "/var/lib/registry", "mode": "rw"}},
    )  # fmt: skip


def node_container() -> Container | None:
    """Return the node's container, None where there is none."""
    try:
        return engine.client().containers.get(NODE)
    except NotFound:
        return None


def cluster_ready() -> bool:
    """Tell whether the node's container runs and its API server answers."""
    container = node_container()
    return container is not None and container.status == "running" and answers()


def create() -> None:
    """Create the cluster; one that is merely stopped is started, one that is broken is made anew."""
    container = node_container()
    if container is not None:
        if container.status != "paused":  # of that, the engine has to know
            thaw(container.id)  # else a node that was killed while a pod began would never end
        if container.status == "running":
            restart_kubelet(container)
        try:
            wait_until(lambda: comes_back(container), "the stopped cluster to come back", timeout=90, pause=1)
            return
        except TimedOut:
            if _there():  # what stands in it is somebody's work
                cause = f"the cluster answers only now and then (away: {', '.join(asleep()) or 'no part, right now'})"
                raise CannotCheck(cause, "Run `shipyard up` again, or `shipyard down` for a new cluster.") from None
            remove()
    settings = yaml.safe_load((checkout() / "k8s" / "kind.yaml").read_text())
    if node.reference() == node.BUILT:
        patch = {"kind": "ClusterConfiguration", "imageRepository": node.PREFIX}
        settings["kubeadmConfigPatches"].append(yaml.safe_dump(patch))
    written = cache_dir() / "kind.yaml"
    written.write_text(yaml.safe_dump(settings))
    before = current_context()
    run(
        [tools() / "kind", "create", "cluster", "--name", versions.CLUSTER, "--image", node.reference(),
         "--config", written, "--wait", "120s"],
        log=cache_dir() / "cluster.log", timeout=400,
    )  # fmt: skip
    if before:  # kind makes its own context the current one; the user's choice stays
        run([tools() / "kubectl", "config", "use-context", before])


def comes_back(container: Container) -> bool:
    """Tell whether the cluster keeps answering; a node that does not run is started."""
    wake(container)
    return keeps_answering()


def wake(container: Container) -> None:
    """Start a container that does not run; one that somebody paused goes on."""
    container.reload()
    if container.status == "paused":
        container.unpause()
    elif container.status != "running":
        container.start()


def restart_kubelet(container: Container) -> None:
    """Let the node start at once what has died: kubelet lets it wait, up to five minutes where it died often.

    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restarts
    """
    # A node on which nothing can be run is made anew, if it does not come back.
    with suppress(APIError, OSError):  # requests' exceptions are OSErrors
        run_in(container, ["systemctl", "restart", "--no-block", "kubelet"])


def current_context() -> str | None:
    """Return the current context of the user's kubeconfig, None where there is none."""
    try:
        return kubeconfig.list_kube_config_contexts(os.environ.get("KUBECONFIG"))[1]["name"]
    except (kubeconfig.ConfigException, OSError, TypeError, KeyError):
        return None


def remove() -> None:
    """Delete the cluster with everything in it."""
    if container := node_container():
        thaw(container.id)  # else the engine cannot end it
    run([tools() / "kind", "delete", "cluster", "--name", versions.CLUSTER], log=cache_dir() / "cluster.log")


def addons_ready() -> bool:
    """Tell whether the addons are available and the node knows the registry's name."""
    apps = api.AppsV1Api(connection())
    try:
        metrics = apps.read_namespaced_deployment("metrics-server", "kube-system", _request_timeout=5)
        storage = apps.list_namespaced_deployment(STORAGE, _request_timeout=5).items
    except (ApiException, HTTPError):
        return False
    return bool(storage) and all(one.status.available_replicas for one in (metrics, *storage)) and registry_linked()


def registry_linked() -> bool:
    """Tell whether images named localhost:5001/… reach the registry from the node."""
    container = node_container()
    code, _ = run_in(container, ["test", "-f", f"{HOSTS}/hosts.toml"])
    joined = engine.client().containers.get(versions.REGISTRY_NAME).attrs["NetworkSettings"]["Networks"]
    return code == 0 and "kind" in joined


def add() -> None:
    """Link the registry, apply the addons, wait until they are available."""
    client = engine.client()
    hosts = f'[host."http://{versions.REGISTRY_NAME}:5000"]'
    container = node_container()
    run_in(container, ["sh", "-c", f"mkdir -p {HOSTS} && echo '{hosts}' > {HOSTS}/hosts.toml"])
    registry = client.containers.get(versions.REGISTRY_NAME)
    if "kind" not in registry.attrs["NetworkSettings"]["Networks"]:
        client.networks.get("kind").connect(registry)
    kubectl = [tools() / "kubectl", "--context", context()]
    if node.reference() == node.PULLED:  # ours holds this image; storage both bring along
        node.pack(node.METRICS, {"metrics-server": golang.folder() / "metrics-server"}, entrypoint=["/metrics-server"])
        load(node.METRICS)
    for file in (checkout() / "k8s" / "addons" / "metrics-server.yaml", registry_hosting()):
        run([*kubectl, "apply", "--server-side", "--force-conflicts", "-f", file], log=cache_dir() / "cluster.log")
    try:
        wait_until(addons_ready, "the addons to be available", timeout=120, pause=1)
    except TimedOut as late:
        raise CannotCheck(str(late), f"Look at `kubectl --context {context()} get pods -A`.") from None


def images_there() -> set[str]:
    """Return the names of the images that the node has; none where there is no node."""
    container = node_container()
    if container is None:
        return set()
    _, listed = run_in(container, ["ctr", "-n", "k8s.io", "images", "ls", "-q"], stderr=False)
    return set(listed.decode(errors="replace").split())


def load(*images: str) -> None:
    """Copy images from the engine into the node."""
    run([tools() / "kind", "load", "docker-image", "--name", versions.CLUSTER, *images],
        log=cache_dir() / "cluster.log", timeout=300)  # fmt: skip


def registry_hosting() -> Path:
    """Write the ConfigMap by which tools find a cluster's local registry (KEP 1755)."""
    path = cache_dir() / "registry-hosting.yaml"
    hosting = f'host: "localhost:{versions.REGISTRY_PORT}"\n'
    document = {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "local-registry-hosting", "namespace": "kube-public"},
        "data": {"localRegistryHosting.v1": hosting},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(document))
    return path
