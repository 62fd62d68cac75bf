"""The Kubernetes probe against a real cluster: good rollouts, and each way in which one goes wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kubernetes.utils import create_from_dict
from namespaces import own_namespace

from autograder.facts import CannotCheck, NotThere, Place
from autograder.probes.docker import Docker
from autograder.probes.kubernetes import Kube
from autograder.waiting import wait_until

pytestmark = pytest.mark.cluster

REGISTRY = os.environ.get("SHIPYARD_REGISTRY", "localhost:5001")
IMAGE = f"{REGISTRY}/shipyard-probe-test:v1"
SERVER = """
import contextlib, json, os, signal, socket, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/nan":
            body = b'{"a": NaN}'
        elif self.path == "/large":
            body = b"x" * 3_000_000
        else:
            body = json.dumps({"pod": socket.gethostname(), "path": self.path}).encode()
        self.send_response(503 if self.path == "/readyz" and os.environ.get("LOADING") else 200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who asks for /large hangs up, and a traceback would fill the log
            self.wfile.write(body)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(400 if b"bad" in body else 200)
        self.end_headers()
        self.wfile.write(body)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if os.environ.get("CRASH"):
    sys.exit("the model file is broken")
if os.environ.get("GREEDY"):
    hold = bytearray(300_000_000)
ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("server")
    (folder / "server.py").write_text(SERVER)
    (folder / "Dockerfile").write_text(
        'FROM python:3.11-slim\nCOPY server.py /server.py\nUSER 1000\nCMD ["python", "/server.py"]\n'
    )
    docker = Docker()
    built = docker.build(folder)
    name, _, tag = IMAGE.rpartition(":")
    docker.client.api.tag(built.id, name, tag)
    for line in docker.client.api.push(name, tag, stream=True, decode=True):
        assert "error" not in line, line
    return IMAGE


@pytest.fixture
def kube() -> Iterator[Kube]:
    """A namespace of the test's own, deleted at the end."""
    place = Place(work=Path(), context=os.environ.get("SHIPYARD_CONTEXT"), registry=REGISTRY)
    with own_namespace(Kube(place).core, "probe") as name:
        yield Kube(replace(place, namespace=name))


def deploy(
    kube: Kube, image: str, replicas: int = 1, env: dict | None = None, paused: bool = False, **container
) -> None:
    spec = {
        "name": "server",
        "image": image,
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8000}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        **container,
    }
    pod = {"containers": [spec], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": {"app": "digits"}}, "spec": pod}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "digits"}}
    selector = {"matchLabels": {"app": "digits"}}
    manifest["spec"] = {"replicas": replicas, "paused": paused, "selector": selector, "template": template}
    create_from_dict(kube.api, manifest, namespace=kube.namespace)


def expose(kube: Kube, target: int = 8000, app: str = "digits") -> None:
    spec = {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": target}]}
    manifest = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "digits"}, "spec": spec}
    create_from_dict(kube.api, manifest, namespace=kube.namespace)


def not_rolled_out(kube: Kube, timeout: float) -> NotThere:
    with pytest.raises(NotThere) as seen:
        kube.deployment("digits").wait_rolled_out(timeout)
    return seen.value


def test_a_good_deployment_and_its_service(kube, image):
    deploy(kube, image, replicas=2)
    expose(kube)
    deployment = kube.deployment("digits").wait_rolled_out(90)
    assert (deployment.replicas, deployment.ready, deployment.updated, deployment.observed) == (2, 2, 2, True)
    assert deployment.selector == {"app": "digits"}
    assert deployment.containers[0]["resources"]["requests"]["cpu"] == "10m"

    pods = deployment.pods()
    assert [pod.ready for pod in pods] == [True, True]
    assert {pod.image for pod in pods} == {image}
    assert all(pod.image_id.startswith("sha256:") and pod.node and pod.qos == "Burstable" for pod in pods)
    assert pods[0].requests == (0.01, 32 * 1024**2)

    service = kube.service("digits")
    assert (service.selector, service.type) == ({"app": "digits"}, "ClusterIP")
    assert (service.ports[0].port, service.ports[0].target) == (80, 8000)
    ends = wait_until(lambda: [e for e in kube.endpoints(service) if e.ready][1:], "two endpoints", 20)
    assert ends
    assert {end.pod for end in kube.endpoints("digits")} == {pod.name for pod in pods}
    assert {end.port for end in kube.endpoints("digits")} == {8000}

    assert kube.ask("digits", "/a/b?c=1").json["path"] == "/a/b?c=1"
    assert {kube.ask(service, "/").json["pod"] for _ in range(30)} == {pod.name for pod in pods}
    assert kube.ask("digits", "/x", method="POST", json={"n": [1, 2]}).json == {"n": [1, 2]}
    assert kube.ask("digits", "/x", method="POST", json={"bad": 1}).status == 400
    assert kube.ask("digits", "/nan").json is None
    with pytest.raises(NotThere, match="more than 1 MB"):
        kube.ask("digits", "/large")
    with pytest.raises(NotThere):
        kube.ask("digits", "/", port=81)
    assert "GET" in kube.logs(pods[0], 3)
    assert any(event.kind == "Deployment" for event in kube.events(50))


def test_a_service_that_leads_nowhere(kube, image):
    deploy(kube, image)
    expose(kube, app="numbers")
    kube.deployment("digits").wait_rolled_out(90)
    assert kube.endpoints("digits") == []
    with pytest.raises(NotThere, match="no ready pod") as seen:
        kube.ask("digits", "/")
    assert "selector" in seen.value.hint


def test_a_service_with_the_wrong_target_port(kube, image):
    deploy(kube, image)
    expose(kube, target=5000)
    kube.deployment("digits").wait_rolled_out(90)
    wait_until(lambda: kube.endpoints("digits"), "an endpoint", 20)
    with pytest.raises(NotThere, match="does not answer") as seen:
        kube.ask("digits", "/")
    assert "targetPort" in seen.value.hint


def test_nothing_there_names_what_is_there(kube, image):
    with pytest.raises(NotThere, match="there are: none"):
        kube.deployment("digits")
    with pytest.raises(NotThere, match="no Service digits"):
        kube.ask("digits", "/")
    deploy(kube, image)
    with pytest.raises(NotThere, match="there are: digits"):
        kube.deployment("digit")


def test_a_deployment_in_another_namespace_is_pointed_at(kube):
    with pytest.raises(NotThere, match="stands in namespace kube-system") as seen:
        kube.deployment("coredns")
    assert "namespace:" in seen.value.hint


@pytest.mark.parametrize(
    ("change", "observed", "hint"),
    [
        ({"image": f"{REGISTRY}/nobody-pushed-this:v9"}, "cannot be pulled", "push"),
        ({"image": "nobody-pushed-this:v9"}, "cannot be pulled", f"begins with {REGISTRY}/"),
        ({"image": "Not A Name"}, "InvalidImageName", "name"),
        ({"env": {"CRASH": "1"}}, "the model file is broken", "--previous"),
        ({"env": {"GREEDY": "1"}}, "memory limit (128Mi)", "higher memory limit"),
        ({"env": {"LOADING": "1"}}, "Readiness probe failed", "probe"),
        ({"command": ["gunicron"]}, "gunicron", "the command"),
        ({"resources": {"requests": {"cpu": "900"}}}, "Insufficient cpu", "Request what"),
        ({"replicas": 0}, "0 replicas", "replicas"),
        ({"envFrom": [{"configMapRef": {"name": "not-there"}}]}, "not-there", "ConfigMap"),
    ],
    ids=["unpushed", "no-registry", "no-name", "crash", "memory", "readiness", "command", "cpu", "zero", "config"],
)
def test_a_rollout_that_fails_names_its_reason(kube, image, change, observed, hint):
    deploy(kube, **{"image": image, **change})
    seen = not_rolled_out(kube, 25)
    assert observed in seen.observed
    assert hint in seen.hint


def test_a_pod_from_before_an_update_does_not_wait_for_todays_image(kube, image):
    deploy(kube, f"{REGISTRY}/no-such-image:v1", env={"LOADING": "1"})
    assert kube.deployment("digits").waits_for_image(60)
    containers = [{"name": "server", "image": image}]
    kube.apps.patch_namespaced_deployment(
        "digits", kube.namespace, {"spec": {"template": {"spec": {"containers": containers}}}}
    )
    wait_until(lambda: any(pod.image == image for pod in kube.pods()), "the new pod", timeout=30)
    assert any(pod.because("ErrImagePull", "ImagePullBackOff") for pod in kube.pods())  # the old one is still there
    assert not kube.deployment("digits").waits_for_image(5)


def test_a_rollout_that_was_paused_before_it_began(kube, image):
    deploy(kube, image, paused=True)
    seen = not_rolled_out(kube, 3)
    assert "paused" in seen.observed
    assert "resume" in seen.hint


def test_pods_that_a_quota_refuses(kube, image):
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"requests.cpu": "5m"}}}
    kube.core.create_namespaced_resource_quota(kube.namespace, quota)
    deploy(kube, image)
    assert "exceeded quota" in not_rolled_out(kube, 30).observed


def test_liveness_restarts_are_told_from_crashes(kube, image):
    live = {"httpGet": {"path": "/healthz", "port": 5000}, "periodSeconds": 1, "failureThreshold": 1}
    deploy(kube, image, env={"LOADING": "1"}, livenessProbe=live)

    def restarted() -> bool:
        return any(pod.restarts > 1 for pod in kube.pods())

    wait_until(restarted, "two restarts", timeout=60)
    seen = not_rolled_out(kube, 30)
    assert "liveness probe" in seen.observed.lower()


def test_no_cluster_is_no_verdict(tmp_path):
    with pytest.raises(CannotCheck, match="No Kubernetes cluster is configured"):
        Kube(Place(work=tmp_path, kubeconfig=str(tmp_path / "none"))).deployment("digits")
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n"
        "users: [{name: u, user: {token: t}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    with pytest.raises(CannotCheck, match="did not answer"):
        Kube(Place(work=tmp_path, kubeconfig=str(config))).deployment("digits")


def test_a_cluster_that_does_not_know_us_is_no_verdict(kube, tmp_path):
    settings = kube.api.configuration
    config = tmp_path / "config"
    config.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: c, cluster: {{server: '{settings.host}', "
        f"certificate-authority: '{settings.ssl_ca_cert}'}}}}]\n"
        "users: [{name: u, user: {token: wrong}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    with pytest.raises(CannotCheck, match="401"):
        Kube(Place(work=tmp_path, kubeconfig=str(config))).deployment("digits")
