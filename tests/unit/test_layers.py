"""What must come up follows from what labs need."""

import base64
import json
import threading

import pytest
import yaml

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground.addon import can_pull
from autograder.ground.addons import ADDONS
from autograder.ground.background import Background
from autograder.ground.step import Step
from autograder.ground.up import LAYERS, layers, needs_of
from autograder.labs import syllabus


@pytest.mark.parametrize(
    "needs, found",
    [
        ([], []),
        (["docker"], ["docker"]),
        (["trainer"], ["docker", "cluster", "trainer"]),
        (["compose", "registry"], ["docker", "services"]),
        (["cluster", "docker"], ["docker", "cluster"]),
    ],
)
def test_a_need_brings_what_it_stands_on(needs, found):
    assert layers(needs) == found


def test_every_need_of_the_syllabus_is_a_layer():
    assert set(needs_of(syllabus())) <= set(LAYERS)


def test_a_layer_begins_when_the_one_below_is_done_and_inherits_its_fault():
    done, go = [], threading.Event()

    def slow() -> None:
        go.wait(10)
        done.append("below")

    below = Background(lambda: [Step("below", "", 1, lambda: "below" in done, slow)], lambda *_: None)
    above = Background(lambda: [Step("above", "", 1, lambda: "above" in done, lambda: done.append("above"))],
                       lambda *_: None, after=below)  # fmt: skip
    go.set()
    above.wait()
    assert done == ["below", "above"]

    def fail() -> None:
        raise CannotCheck("no disk", "make room")

    broken = Background(lambda: [Step("broken", "", 1, lambda: False, fail)], lambda *_: None)
    never = Background(lambda: [Step("never", "", 1, lambda: False, lambda: done.append("never"))],
                       lambda *_: None, after=broken)  # fmt: skip
    with pytest.raises(CannotCheck, match="no disk"):
        never.wait()
    assert "never" not in done


def test_manifests_get_images_that_are_there_and_requests_for_a_small_node(monkeypatch):
    monkeypatch.setenv("SHIPYARD_OFFLINE", "1")
    can_pull.cache_clear()
    trainer = ADDONS["trainer"]
    name = trainer.controllers[0].image
    pod = {"spec": {"containers": [{"name": "manager", "image": f"{name}:v2.3.0"}]}}
    text = yaml.safe_dump({"kind": "Deployment", "spec": {"template": pod}})
    assert trainer.images()[name] in trainer.adapted(text)
    assert "cpu: 20m" in trainer.adapted(text)


def test_each_runtime_is_stamped_so_that_an_older_one_is_noticed():
    trainer = ADDONS["trainer"]
    stamped = trainer.stamp({"items": trainer.runtimes()})["items"]
    assert {one["metadata"]["name"] for one in stamped} == {"sklearn", "xgboost"}
    assert len({one["metadata"]["annotations"]["shipyard.io/key"] for one in stamped}) == 1


def test_what_is_said_of_a_version_is_what_is_compiled():
    for addon, pins in (("trainer", (versions.TRAINER, versions.JOBSET)), ("kserve", (versions.KSERVE,))):
        module = (ADDONS[addon].module / "go.mod").read_text()
        assert set(pins) <= set(module.split()), addon


def test_kserves_webhooks_know_the_authority_of_its_certificate(monkeypatch):
    monkeypatch.setenv("SHIPYARD_OFFLINE", "1")
    can_pull.cache_clear()
    kserve = ADDONS["kserve"]
    settings = {"deploy": '{"defaultDeploymentMode": "Serverless"}', "ingress": '{"urlScheme": "http"}',
                "inferenceService": "{}", "credentials": "{}"}  # fmt: skip
    hook = {"name": "a", "clientConfig": {"service": {"name": "$(webhookServiceName)", "path": "/mutate"}}}
    documents = [
        {"kind": "Secret", "metadata": {"name": "kserve-webhook-server-cert"}, "stringData": {"tls.crt": "ours"}},
        {"kind": "MutatingWebhookConfiguration", "metadata": {"name": "b"}, "webhooks": [hook]},
        {"kind": "ConfigMap", "metadata": {"name": "inferenceservice-config"}, "data": settings},
    ]
    _, hooks, config = yaml.safe_load_all(kserve.adapted(yaml.safe_dump_all(documents)))
    told = hooks["webhooks"][0]["clientConfig"]
    assert base64.b64decode(told["caBundle"]).decode() == "ours"
    assert told["service"] == {"name": "kserve-webhook-server-service", "namespace": "kserve", "path": "/mutate"}
    assert json.loads(config["data"]["deploy"]) == {"defaultDeploymentMode": "RawDeployment"}
    assert json.loads(config["data"]["ingress"])["urlScheme"] == "http"  # theirs, where we say nothing
    assert config["data"]["credentials"] == "{}"
