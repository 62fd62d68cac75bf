"""What a learner may do with training: make TrainJobs and read what became of them, and nothing that would forge it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from autograder.facts import NotThere, Place
from autograder.probes.kubernetes import Kube
from autograder.probes.training import JOBSETS, RUNTIMES, TRAINJOBS, Trainings
from autograder.sandbox.namespace import namespace
from autograder.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.trainer]
JOB = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "metadata": {"name": "mine"},
    "spec": {"runtimeRef": {"name": "sklearn"},
             "trainer": {"image": "localhost:5001/no-such-image:v1", "command": ["python", "-c", "print(1)"]}},
}  # fmt: skip


@pytest.fixture(scope="module")
def learner(tmp_path_factory) -> Iterator[tuple[Place, client.CustomObjectsApi]]:
    """A submission's namespace, and a client with the learner's rights in it."""
    aside = tmp_path_factory.mktemp("aside")
    with namespace("facefacefa", "lab6_training", "ada", aside, 0, aside, print) as (place, variables):
        api = config.new_client_from_config(str(Path(variables["KUBECONFIG"])))
        custom = client.CustomObjectsApi(api)
        custom.create_namespaced_custom_object(*within(TRAINJOBS, place), JOB)
        yield place, custom
        api.close()


def within(kind: tuple[str, str, str], place: Place) -> tuple[str, str, str, str]:
    group, version, plural = kind
    return group, version, place.namespace, plural


def test_a_trainjob_of_the_learner_gets_its_jobset_from_the_controllers(learner):
    place, custom = learner
    job = wait_until(lambda: (seen := Trainings(Kube(place)).job("mine")).jobset and seen, "its JobSet", timeout=60)
    assert not job.ended and job.runtime == "sklearn"
    assert custom.get_namespaced_custom_object(*within(JOBSETS, place), "mine")["metadata"]["name"] == "mine"
    assert {one["metadata"]["name"] for one in custom.list_cluster_custom_object(*RUNTIMES)["items"]} >= {"sklearn"}


def test_the_learner_cannot_say_that_a_training_is_complete(learner):
    place, custom = learner
    told = {"status": {"conditions": [{"type": "Complete", "status": "True", "reason": "Mine", "message": "",
                                       "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}  # fmt: skip
    for kind in (TRAINJOBS, JOBSETS):
        with pytest.raises(ApiException) as refused:
            custom.patch_namespaced_custom_object_status(*within(kind, place), "mine", told)
        assert refused.value.status == 403
    assert not Trainings(Kube(place)).job("mine").complete


@pytest.mark.parametrize("kind", ["jobsets", "trainingruntimes"])
def test_the_learner_makes_no_jobset_and_no_runtime(learner, kind):
    place, custom = learner
    group, version = (JOBSETS if kind == "jobsets" else TRAINJOBS)[:2]
    with pytest.raises(ApiException) as refused:
        custom.create_namespaced_custom_object(group, version, place.namespace, kind, {"metadata": {"name": "forged"}})
    assert refused.value.status == 403


def test_a_trainjob_that_is_not_there_is_said_with_those_that_are(learner):
    place, _ = learner
    with pytest.raises(NotThere, match="no TrainJob other in namespace lab-facefacefa; there are: mine"):
        Trainings(Kube(place)).job("other")
