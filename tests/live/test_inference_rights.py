"""What a learner may do with KServe: make InferenceServices and read what became of them, and nothing beyond."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from autograder.facts import NotThere, Place
from autograder.ground.cluster import connection
from autograder.ground.pulse import restarted, take
from autograder.probes.inference import SERVICES, Inference
from autograder.probes.kubernetes import Kube
from autograder.sandbox.namespace import namespace
from autograder.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.kserve]
GROUP, VERSION, PLURAL = SERVICES
KSERVE = {"kserve": "kserve-controller-manager"}
MINE = {
    "apiVersion": f"{GROUP}/{VERSION}", "kind": "InferenceService", "metadata": {"name": "mine"},
    "spec": {"predictor": {"containers": [{"name": "kserve-container", "image": "localhost:5001/no-such-image:v1"}]}},
}  # fmt: skip
ODD = {
    "a worker without a model": {"predictor": {"workerSpec": {}, "containers": [{"name": "a", "image": "x"}]}},
    "a model of no known kind": {"predictor": {"model": {"modelFormat": {"name": "nothing"}}}},
    "a model from elsewhere": {"predictor": {"sklearn": {"storageUri": "s3://nowhere/model"}}},
    "two containers of other names": {
        "predictor": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]}
    },
    "an empty transformer": {"predictor": {"containers": [{"name": "a", "image": "x"}]}, "transformer": {}},
}


@pytest.fixture(scope="module")
def learner(tmp_path_factory) -> Iterator[tuple[Place, client.CustomObjectsApi]]:
    """A submission's namespace, and a client with the learner's rights in it."""
    aside = tmp_path_factory.mktemp("aside")
    with namespace("facefacefb", "lab7_kserve", "ada", aside, 0, aside, print) as (place, variables):
        api = config.new_client_from_config(str(Path(variables["KUBECONFIG"])))
        custom = client.CustomObjectsApi(api)
        custom.create_namespaced_custom_object(GROUP, VERSION, place.namespace, PLURAL, MINE)
        yield place, custom
        api.close()


def test_an_inference_service_of_the_learner_gets_what_kserve_makes(learner):
    place, _ = learner
    service = Inference(Kube(place)).service("mine").followed()
    made = [service.made(kind) for kind in ("Deployment", "Service", "HorizontalPodAutoscaler")]
    assert all(one.own and one.name == "mine-predictor" for one in made)
    assert not service.ready


def test_the_learner_cannot_say_that_a_service_is_ready(learner):
    place, custom = learner
    told = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    with pytest.raises(ApiException) as refused:
        custom.patch_namespaced_custom_object_status(GROUP, VERSION, place.namespace, PLURAL, "mine", told)
    assert refused.value.status == 403
    custom.patch_namespaced_custom_object(GROUP, VERSION, place.namespace, PLURAL, "mine", told)  # taken, and not heard
    assert not Inference(Kube(place)).service("mine").ready


@pytest.mark.parametrize("kind", ["servingruntimes", "inferencegraphs", "trainedmodels"])
def test_the_learner_makes_nothing_else_of_kserve(learner, kind):
    place, custom = learner
    with pytest.raises(ApiException) as refused:
        custom.create_namespaced_custom_object(
            GROUP, "v1alpha1", place.namespace, kind, {"metadata": {"name": "forged"}}
        )
    assert refused.value.status == 403


def test_what_somebody_changes_in_the_deployment_is_changed_back(learner):
    place, _ = learner
    kube = Kube(place)
    Inference(kube).service("mine").followed()
    image = {"spec": {"template": {"spec": {"containers": [{"name": "kserve-container", "image": "forged"}]}}}}
    kube.apps.patch_namespaced_deployment("mine-predictor", place.namespace, image)
    wanted = MINE["spec"]["predictor"]["containers"][0]["image"]
    wait_until(lambda: kube.deployment("mine-predictor").containers[0]["image"] == wanted, "its image", timeout=30)


def test_odd_inference_services_do_not_end_kserve(learner):
    place, custom = learner
    before, taken = take(connection(), KSERVE), []
    for number, spec in enumerate(ODD.values()):
        odd = copy.deepcopy(MINE) | {"metadata": {"name": f"odd-{number}"}, "spec": spec}
        try:
            custom.create_namespaced_custom_object(GROUP, VERSION, place.namespace, PLURAL, odd)
        except ApiException as refused:
            assert refused.status in (400, 403, 422)
            continue
        taken.append(odd["metadata"]["name"])
        try:
            Inference(Kube(place)).service(taken[-1]).followed(5)
        except NotThere as told:
            assert told.hint
        custom.delete_namespaced_custom_object(GROUP, VERSION, place.namespace, PLURAL, taken[-1])
    assert taken  # else nothing odd reached the controller
    assert restarted(before, take(connection(), KSERVE)) == []
    assert Inference(Kube(place)).service("mine").followed()


def test_one_that_is_not_there_is_said_with_those_that_are(learner):
    place, _ = learner
    with pytest.raises(NotThere, match="no InferenceService other in namespace lab-facefacefb; there are: mine"):
        Inference(Kube(place)).service("other")
