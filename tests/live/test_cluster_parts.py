"""Stop and kill the parts of Kubernetes that decide: no learner is blamed, and `shipyard up` brings them back."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator

import pytest
from kubernetes import client
from namespaces import own_namespace
from parts import processes, stopped

from autograder import versions
from autograder.checks import Result, Status
from autograder.facts import CannotCheck, Place
from autograder.grading.disturbed import Watch
from autograder.ground import cluster, pulse
from autograder.ground.addon import Addon
from autograder.ground.addons import ADDONS
from autograder.ground.step import climb
from autograder.ground.up import all_steps
from autograder.labs import find_lab
from autograder.probes.kubernetes import Kube
from autograder.sandbox import fence
from autograder.waiting import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.cluster]
CONTROLLERS, SCHEDULER = pulse.DECIDING
GOOD, BAD = [Result("one", status, 0, 1, "", "") for status in (Status.PASS, Status.FAIL)]


def works() -> bool:
    return cluster.answers() and not pulse.away(cluster.connection())


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    """Begin and end with a cluster whose parts work."""
    if not cluster.own():
        pytest.skip("the cluster is not one that we brought up")
    wait_until(works, "the parts to work", timeout=120)
    yield
    climb(all_steps(), lambda *_: None)
    wait_until(works, "the parts to work again", timeout=120)


@pytest.fixture
def kube() -> Iterator[Kube]:
    with own_namespace(client.CoreV1Api(cluster.connection()), "parts-test") as name:
        yield Kube(Place(work=None, namespace=name, context=cluster.context()))


def deploy(kube: Kube, **spec: object) -> None:
    labels = {"app": "web"}
    container = {"name": "web", "image": versions.PYTHON_IMAGE, "command": ["sleep", "600"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    body = {"metadata": {"name": "web"}, "spec": {"selector": {"matchLabels": labels}, "template": template, **spec}}
    kube.apps.create_namespaced_deployment(kube.namespace, body)


def never_looked_at(kube: Kube) -> None:
    with stopped(CONTROLLERS):
        deploy(kube)
        kube.deployment("web").wait_rolled_out(3)


def changed_unseen(kube: Kube) -> None:
    deploy(kube, paused=True)
    wait_until(lambda: kube.deployment("web").observed, "the Deployment to be seen", timeout=30)
    with stopped(CONTROLLERS):
        kube.apps.patch_namespaced_deployment("web", kube.namespace, {"spec": {"paused": False}})
        kube.deployment("web").wait_rolled_out(3)


def never_scheduled(kube: Kube) -> None:
    with stopped(SCHEDULER):
        deploy(kube)
        wait_until(lambda: kube.pods("app=web"), "a pod", timeout=30)
        kube.deployment("web").wait_rolled_out(3)


@pytest.mark.parametrize(
    "asleep, told",
    [(never_looked_at, "not even looked"), (changed_unseen, "not even looked"), (never_scheduled, "has taken up pod")],
)
def test_a_cluster_that_does_not_act_is_no_verdict(kube: Kube, asleep: Callable[[Kube], None], told: str):
    with pytest.raises(CannotCheck, match=told) as seen:
        asleep(kube)
    assert "shipyard up" in seen.value.fix


def test_a_part_that_was_killed_takes_the_verdicts_with_it_the_good_ones_too():
    watch = Watch(find_lab("lab3_deploy"))
    assert watch.fault([GOOD, BAD]) is None
    for one in processes(SCHEDULER):
        one.kill()
    assert SCHEDULER in watch.fault([BAD]).cause  # at once: nobody has taken its place yet
    wait_until(works, "the scheduler to be started again", timeout=90)
    for results in ([GOOD], [BAD]):
        assert SCHEDULER in watch.fault(results).cause
    assert Watch(find_lab("lab3_deploy")).fault([BAD]) is None


def test_a_part_that_stands_still_takes_failed_verdicts_with_it():
    watch = Watch(find_lab("lab4_operate"))
    with stopped(SCHEDULER):
        fault = watch.fault([BAD])
    assert SCHEDULER in fault.cause and "shipyard up" in fault.fix


@pytest.mark.parametrize(
    "slug, addon",
    [
        pytest.param("lab6_training", ADDONS["trainer"], marks=[pytest.mark.trainer, pytest.mark.slow]),
        pytest.param("lab7_kserve", ADDONS["kserve"], marks=pytest.mark.kserve),
    ],
)
def test_an_addon_that_is_away_takes_failed_verdicts_with_it_and_up_brings_it_back(slug: str, addon: Addon):
    watch, apps = Watch(find_lab(slug)), client.AppsV1Api(cluster.connection())
    one = addon.controllers[0]
    apps.patch_namespaced_deployment_scale(one.deployment, one.namespace, {"spec": {"replicas": 0}})
    fault = watch.fault([BAD])
    assert fault and f"shipyard up --lab {slug}" in fault.fix
    assert not addon.ready()
    climb(addon.steps(), lambda *_: None)
    assert addon.ready()


def test_a_lab_without_a_cluster_does_not_ask_it(monkeypatch):
    monkeypatch.setenv("SHIPYARD_CONTEXT", "there-is-none")
    assert Watch(find_lab("lab1_dockerfile")).fault([BAD]) is None
    with pytest.raises(CannotCheck, match="there-is-none"):
        Watch(find_lab("lab3_deploy"))


def test_up_does_not_wait_for_what_kubernetes_holds_back():
    """What dies often is started again after 10, 20, 40 … seconds only; `shipyard up` does not take so long."""
    for _ in range(4):
        for one in processes(CONTROLLERS):
            os.kill(one.pid, signal.SIGKILL)
        wait_until(lambda: not processes(CONTROLLERS), "it to be dead", timeout=20)
        wait_until(lambda: processes(CONTROLLERS) or not cluster.answers(), "it to be back or missed", timeout=60)
    wait_until(lambda: not cluster.answers(), "it to be missed", timeout=60)
    made = cluster.node_container().id
    climb(all_steps(), lambda *_: None)
    assert works()
    assert cluster.node_container().id == made, "the cluster was made anew"


def test_a_trial_of_the_fence_that_a_killed_grader_left_is_removed_by_the_next():
    api = cluster.connection()
    core, left = client.CoreV1Api(api), f"{fence.TRIED}left{uuid.uuid4().hex[:4]}"
    core.create_namespace({"metadata": {"name": left}})
    cluster.node_container().exec_run(["rm", f"{fence.FOLDER}/{fence.PLUGIN}"])
    fence.fence(api)
    names = {one.metadata.name: one.metadata for one in core.list_namespace().items}
    assert left not in names or names[left].deletion_timestamp
    api.close()
