"""Bring a model into the cluster, and ask the one that serves there.

Used by the steps of the pipeline, and by anybody who holds a model file:

    from serving import roll_out
    roll_out("model.skops", accuracy=0.97, run="by hand", pipeline="none")

The model goes into a ConfigMap that is named by the model's digest, and a
Deployment mounts it. Another model is another ConfigMap: pods of the old one
serve until those of the new one are ready, and going back needs nothing new.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from pathlib import Path

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

NAME = "reader"  # of the Deployment and of the Service in front of it
IMAGE = "localhost:5001/digits:v1"  # the model server; it reads the file that MODEL_PATH names
MODEL_PATH = "/served/digits.skops"
PREFIX = "shipyard.io/"  # of the annotations: model, accuracy, run, pipeline
LARGEST = 900_000  # bytes; a ConfigMap holds a megabyte, written as text
KEPT = 3  # models that stay in the cluster
ANSWER_SECONDS = 20


def connect() -> tuple[client.ApiClient, str]:
    """Return a client of the cluster and the namespace to work in.

    In a pod, the pod's own account counts; else the kubeconfig in the variable
    CLUSTER, or the file that kubectl reads.
    """
    account = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    if account.exists():
        config.load_incluster_config()
        return client.ApiClient(), account.read_text().strip()
    if text := os.environ.get("CLUSTER"):
        settings = yaml.safe_load(text)
        current = next(one for one in settings["contexts"] if one["name"] == settings["current-context"])
        return config.new_client_from_config_dict(settings), current["context"].get("namespace") or "default"
    _, current = config.list_kube_config_contexts()
    return config.new_client_from_config(), current["context"].get("namespace") or "default"


def digest_of(model: bytes) -> str:
    """Return the name that a model's content gives it: sha256 and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(model).hexdigest()}"


def serving(api: client.ApiClient, namespace: str, name: str = NAME) -> dict[str, str]:
    """Return the model, accuracy, run and pipeline of what serves; nothing where nothing does."""
    try:
        found = client.AppsV1Api(api).read_namespaced_deployment(name, namespace)
    except ApiException as error:
        if error.status == 404:
            return {}
        raise
    notes = found.metadata.annotations or {}
    return {key.removeprefix(PREFIX): value for key, value in notes.items() if key.startswith(PREFIX)}


def ask(api: client.ApiClient, namespace: str, path: str, body: dict | None = None, name: str = NAME) -> dict:
    """Send a request to the Service, which picks a ready pod, and return the answer."""
    answer, _, _ = api.call_api(
        f"/api/v1/namespaces/{namespace}/services/{name}:80/proxy/{path.lstrip('/')}",
        "POST" if body else "GET",
        header_params={"Accept": "application/json", "Content-Type": "application/json"},
        body=body, auth_settings=["BearerToken"], _preload_content=False, _request_timeout=ANSWER_SECONDS,
    )  # fmt: skip
    return json.loads(answer.data)


def score(rows: list[list[float]], digits: list[int], name: str = NAME) -> float:
    """Return which part of the rows the model that serves reads right; 0 where none serves."""
    api, namespace = connect()
    if not serving(api, namespace, name):
        return 0.0
    said = ask(api, namespace, "/predict", {"instances": rows}, name)["predictions"]
    return sum(one == other for one, other in zip(said, digits, strict=True)) / len(digits)


def roll_out(
    model_file: str | Path, accuracy: float, run: str, pipeline: str, name: str = NAME, seconds: float = 300
) -> str:
    """Let the model in `model_file` serve, wait until it does, and return its digest.

    May be repeated: what is there already stays. Raises ValueError for a model
    that the server could not load, RuntimeError where the new pods do not get
    ready within `seconds`; the old ones serve on.
    """
    model = Path(model_file).read_bytes()
    look_at(model)
    digest = digest_of(model)
    api, namespace = connect()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    config_map = f"{name}-{digest[7:19]}"
    labels = {"app": name}
    notes = {"model": digest, "accuracy": f"{accuracy:.4f}", "run": run, "pipeline": pipeline}
    notes = {PREFIX + key: value for key, value in notes.items()}
    body = {
        "apiVersion": "v1", "kind": "ConfigMap", "immutable": True,
        "metadata": {"name": config_map, "labels": labels, "annotations": notes},
        "binaryData": {"digits.skops": base64.b64encode(model).decode()},
    }  # fmt: skip
    _have(core.create_namespaced_config_map, namespace, body)
    deployment = _deployment(name, labels, notes, config_map)
    if not _have(apps.create_namespaced_deployment, namespace, deployment):
        apps.patch_namespaced_deployment(name, namespace, deployment)
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
    }  # fmt: skip
    _have(core.create_namespaced_service, namespace, service)
    owner = apps.read_namespaced_deployment(name, namespace).metadata
    belongs = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": owner.uid}
    # Whoever removes the Deployment removes its models, too.
    core.patch_namespaced_config_map(config_map, namespace, {"metadata": {"ownerReferences": [belongs]}})
    _wait(apps, namespace, name, digest, seconds)
    _forget(core, apps, namespace, name, config_map)
    return digest


def look_at(model: bytes) -> None:
    """Raise ValueError, with the reason, for a model that the server could not load: pods would wait for it in vain."""
    import skops.io

    if len(model) > LARGEST:
        raise ValueError(f"The model has {len(model):,} bytes; {LARGEST:,} fit. Train a smaller one.")
    try:
        unknown = skops.io.get_untrusted_types(data=model)
    except Exception as error:
        raise ValueError(f"The file of the model is no skops file ({type(error).__name__}).") from error
    if unknown:
        raise ValueError(f"The file of the model holds types that the server does not trust: {', '.join(unknown)}.")


def _deployment(name: str, labels: dict, notes: dict, config_map: str) -> dict:
    container = {
        "name": "server",
        "image": IMAGE,
        "ports": [{"containerPort": 8000}],
        "env": [{"name": "MODEL_PATH", "value": MODEL_PATH}],
        "volumeMounts": [{"name": "model", "mountPath": str(Path(MODEL_PATH).parent), "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8000}, "periodSeconds": 1},
        # The pod is taken out of the Service while it sleeps: requests that are on their way still find it.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "resources": {"requests": {"cpu": "25m", "memory": "160Mi"}, "limits": {"memory": "384Mi"}},
    }
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "labels": labels, "annotations": notes},
        "spec": {
            "replicas": 2,
            "revisionHistoryLimit": KEPT - 1,
            "selector": {"matchLabels": labels},
            # No pod of the old model goes before one of the new model is ready.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 2}},
            "template": {
                "metadata": {"labels": labels, "annotations": notes},
                "spec": {
                    "containers": [container],
                    "volumes": [{"name": "model", "configMap": {"name": config_map}}],
                },
            },
        },
    }  # fmt: skip


def _have(create, namespace: str, body: dict) -> bool:
    """Create an object; return False where it is there already."""
    try:
        create(namespace, body)
        return True
    except ApiException as error:
        if error.status == 409:
            return False
        raise


def _wait(apps: client.AppsV1Api, namespace: str, name: str, digest: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        seen = apps.read_namespaced_deployment(name, namespace)
        status, wanted = seen.status, seen.spec.replicas
        if status.observed_generation == seen.metadata.generation and (
            status.updated_replicas == status.ready_replicas == status.replicas == wanted
        ):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"After {seconds:.0f} s {status.ready_replicas or 0} of {wanted} pods are ready. Does the file "
                f"{digest} hold a model that the server can load? `kubectl logs deployment/{name}` tells."
            )
        time.sleep(0.5)


def _forget(core: client.CoreV1Api, apps: client.AppsV1Api, namespace: str, name: str, current: str) -> None:
    """Remove models that no pod and no earlier version of the Deployment uses."""
    used = {current}
    for one in apps.list_namespaced_replica_set(namespace, label_selector=f"app={name}").items:
        used |= {volume.config_map.name for volume in one.spec.template.spec.volumes or [] if volume.config_map}
    for one in core.list_namespaced_config_map(namespace, label_selector=f"app={name}").items:
        if one.binary_data and one.metadata.name not in used:
            core.delete_namespaced_config_map(one.metadata.name, namespace)


def note(run: str, outcome: str, name: str = NAME) -> None:
    """Write how a run ended into the ConfigMap `reader-runs`, one line a run."""
    api, namespace = connect()
    core = client.CoreV1Api(api)
    body = {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": f"{name}-runs", "labels": {"app": name}}, "data": {run: outcome},
    }  # fmt: skip
    if not _have(core.create_namespaced_config_map, namespace, body):
        core.patch_namespaced_config_map(f"{name}-runs", namespace, {"data": {run: outcome}})
