"""What must come up follows from what labs need."""

import threading

import pytest
import yaml

from autograder.facts import CannotCheck
from autograder.ground.background import Background
from autograder.ground.step import Step
from autograder.ground.trainer import adapted, images, runtimes, stamp
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
    name = "ghcr.io/kubeflow/trainer/trainer-controller-manager"
    pod = {"spec": {"containers": [{"name": "manager", "image": f"{name}:v2.3.0"}]}}
    text = yaml.safe_dump({"kind": "Deployment", "spec": {"template": pod}})
    assert images()[name] in adapted(text)
    assert "cpu: 20m" in adapted(text)


def test_each_runtime_is_stamped_so_that_an_older_one_is_noticed():
    stamped = stamp({"items": runtimes()})["items"]
    assert {one["metadata"]["name"] for one in stamped} == {"sklearn", "xgboost"}
    assert len({one["metadata"]["annotations"]["shipyard.io/key"] for one in stamped}) == 1
