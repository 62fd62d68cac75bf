"""A pod that is called ready before it has its model costs nobody a point: its Service is asked until it has."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from kubernetes.utils import create_from_dict
from namespaces import own_namespace

from autograder.facts import NotThere, Place, fact
from autograder.ground import model_server
from autograder.probes import deployed
from autograder.probes.deployed import Deployed
from autograder.probes.http import Answer
from autograder.probes.kubernetes import Kube
from autograder.probes.registry import pulled

pytestmark = pytest.mark.cluster

ROW = [0] * 64
QUESTIONS = 8  # of two pods by chance: that one of them is asked by none is a matter of 1 in 128


class Counting(Kube):
    """Count how often a Service is asked; before the third time, `third` happens."""

    questions = 0
    third: Callable[[], object] | None = None

    def ask(self, *args, **named) -> Answer:
        self.questions += 1
        if self.third and self.questions == 3:
            self.third()
        return super().ask(*args, **named)


class Seen(Deployed):
    """See the Deployment and the Service digits."""

    name, first = "digits", "rolled_out"

    @fact
    def kube(self) -> Counting:
        return Counting(self.place)

    def predict(self) -> Answer:
        return self.ask("/predict", {"instances": [ROW]})


@pytest.fixture
def seen():
    """A namespace of the test's own, deleted at the end."""
    place = Place(work=Path(), context=os.environ.get("SHIPYARD_CONTEXT"))
    model_server.have(place)
    with own_namespace(Kube(place).core, "deployed") as name, Seen(replace(place, namespace=name)) as seen:
        yield seen


def deploy(seen: Seen, probe: str | None, target: int = 8000, app: str = "digits", **environment: str) -> None:
    container = {
        "name": "server",
        "image": pulled(seen.place, "digits:v1"),
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": {"requests": {"cpu": "25m", "memory": "160Mi"}, "limits": {"memory": "384Mi"}},
    }
    if probe:
        container["readinessProbe"] = {"httpGet": {"path": probe, "port": 8000}, "periodSeconds": 1}
    template = {"metadata": {"labels": {"app": "digits"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "digits"}}, "template": template}
    create(seen, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "digits"}, "spec": spec})
    spec = {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": target}]}
    create(seen, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "digits"}, "spec": spec})


def create(seen: Seen, manifest: dict) -> None:
    create_from_dict(seen.kube.api, manifest, namespace=seen.kube.namespace)


@pytest.mark.parametrize("probe", ["/healthz", None])
def test_pods_that_are_called_ready_too_early_are_given_time_to_load(seen, probe):
    deploy(seen, probe, LOAD_SECONDS="6")
    assert seen.rolled_out
    assert [seen.predict().status for _ in range(QUESTIONS)] == [200] * QUESTIONS


def test_a_model_that_never_loads_is_waited_for_once_and_then_called_missing(seen, monkeypatch):
    monkeypatch.setattr(deployed, "PATIENCE", 4)
    deploy(seen, "/healthz", MODEL_PATH="/not/there.skops")
    assert seen.predict().status == 503
    before = seen.kube.questions
    assert before > 1
    assert seen.predict().status == 503
    assert seen.kube.questions == before + 1


def test_pods_that_are_not_yet_written_down_behind_the_service_are_waited_for(seen):
    deploy(seen, "/readyz", app="other")
    assert seen.rolled_out
    body = {"spec": {"selector": {"app": "digits"}}}
    seen.kube.third = lambda: seen.kube.core.patch_namespaced_service("digits", seen.kube.namespace, body)
    assert seen.ask("/readyz").status == 200
    assert seen.kube.questions > 2


@pytest.mark.parametrize(("app", "target", "said"), [("other", 8000, "no ready pod"), ("digits", 9000, "targetPort")])
def test_a_service_that_leads_nowhere_is_asked_a_little_longer_once_and_then_called_so(
    seen, monkeypatch, app, target, said
):
    monkeypatch.setattr(deployed, "LAG", 3)
    deploy(seen, "/readyz", target=target, app=app)
    with pytest.raises(NotThere) as told:
        seen.predict()
    assert said in f"{told.value.observed} {told.value.hint}"
    before = seen.kube.questions
    assert before > 1
    with pytest.raises(NotThere):
        seen.predict()
    assert seen.kube.questions == before + 1
