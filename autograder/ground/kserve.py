"""Have KServe in the cluster: its controller, for InferenceServices that become plain Deployments.

Three things differ from KServe's own installation, and stand here or in
k8s/addons/kserve/settings.yaml: its webhooks' certificate is made by us, where it
asks for cert-manager; its model caches for big models are left out; and a
service needs no Knative and no ingress.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client as api
from kubernetes.client.exceptions import ApiException

from autograder import versions
from autograder.ground import cluster
from autograder.ground.addon import Addon, Controller, containers
from autograder.ground.certificates import self_signed
from autograder.ground.keys import key_of

NAMESPACE, HOOKS, CERTIFICATE = "kserve", "kserve-webhook-server-service", "kserve-webhook-server-cert"
SETTINGS, KEY = "inferenceservice-config", "shipyard.io/key"
KUSTOMIZATION = {
    "namespace": NAMESPACE,
    "resources": [f"config/{part}" for part in ("crd", "rbac", "configmap", "manager", "webhook")],
    "sortOptions": {"order": "legacy"},  # a namespace before what lies in it
}


class KServe(Addon):
    """Bring up KServe, with settings that suit a small cluster."""

    name, short, what = "kserve", "KServe", f"KServe {versions.KSERVE}"
    compiles, comes_up = 130, 40
    controllers = (
        Controller(
            NAMESPACE, "kserve-controller-manager",
            image="ko://github.com/kserve/kserve/cmd/manager",
            published=f"kserve/kserve-controller:{versions.KSERVE}",
            program="manager",
        ),
    )  # fmt: skip

    def kustomizations(self, scratch: Path) -> Iterator[Path]:
        """Yield one of KServe's parts that the course uses, and the webhooks' certificate."""
        whole = self.source("github.com/kserve/kserve", scratch / "kserve")
        (whole / "certificate.yaml").write_text(yaml.safe_dump(self.certificate()))
        parts = {**KUSTOMIZATION, "resources": [*KUSTOMIZATION["resources"], "certificate.yaml"]}
        (whole / "kustomization.yaml").write_text(yaml.safe_dump(parts))
        yield whole

    def certificate(self) -> dict[str, Any]:
        """Return the Secret with the webhooks' certificate: the one that is there, else a new one."""
        try:
            seen = api.CoreV1Api(cluster.connection()).read_namespaced_secret(CERTIFICATE, NAMESPACE)
            pair = {name: base64.b64decode(seen.data[name]).decode() for name in ("tls.crt", "tls.key")}
        except ApiException as error:
            if error.status != 404:
                raise
            pair = dict(zip(("tls.crt", "tls.key"), self_signed(f"{HOOKS}.{NAMESPACE}.svc"), strict=True))
        return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                "metadata": {"name": CERTIFICATE, "namespace": NAMESPACE}, "stringData": pair}  # fmt: skip

    def fit(self, documents: list[dict[str, Any]]) -> None:
        """Set the course's settings, the authority that signs for the webhooks, and an early readiness."""
        named = {(one["kind"], one["metadata"]["name"]): one for one in documents}
        authority = base64.b64encode(named["Secret", CERTIFICATE]["stringData"]["tls.crt"].encode()).decode()
        settings = named["ConfigMap", SETTINGS]
        for key, ours in yaml.safe_load(self.settings_file.read_text()).items():
            settings["data"][key] = json.dumps(json.loads(settings["data"][key]) | ours)
        settings["metadata"].setdefault("annotations", {})[KEY] = key_of(self.settings_file)
        for document in documents:
            for hook in document.get("webhooks") or []:
                hook["clientConfig"]["service"] |= {"name": HOOKS, "namespace": NAMESPACE}
                hook["clientConfig"]["caBundle"] = authority
            for container in containers(document):
                container["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 2}  # theirs waits 30 s

    def complete(self, connected: api.ApiClient) -> bool:
        """Tell whether its settings are today's."""
        seen = api.CoreV1Api(connected).read_namespaced_config_map(SETTINGS, NAMESPACE, _request_timeout=5)
        return (seen.metadata.annotations or {}).get(KEY) == key_of(self.settings_file)

    @property
    def settings_file(self) -> Path:
        """The file with what the course changes in KServe's settings."""
        return self.module / "settings.yaml"
