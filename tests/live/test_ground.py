"""The ground is what labs need, and bringing it up again changes nothing."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import subprocess
import tarfile
import time
import uuid
from pathlib import Path

import pytest
from engines import second_engine
from kubernetes import client as api
from namespaces import own_namespace

from autograder import versions
from autograder.ground import cluster, doctor, down, engine, orphans, reset
from autograder.ground.step import climb, tools
from autograder.ground.up import all_steps
from autograder.labs import find_lab
from autograder.waiting import wait_until

pytestmark = pytest.mark.docker


@pytest.fixture
def namespace():
    with own_namespace(api.CoreV1Api(cluster.connection()), "ground-test") as name:
        yield name


def pod(name: str, image: str, command: list[str], **spec) -> api.V1Pod:
    container = api.V1Container(
        name="main", image=image, command=command, volume_mounts=spec.pop("mounts", None),
    )  # fmt: skip
    return api.V1Pod(
        metadata=api.V1ObjectMeta(name=name),
        spec=api.V1PodSpec(containers=[container], restart_policy="Never", termination_grace_period_seconds=0, **spec),
    )


def finished(core: api.CoreV1Api, namespace: str, name: str) -> str | None:
    phase = core.read_namespaced_pod(name, namespace).status.phase
    return phase if phase in ("Succeeded", "Failed") else None


@pytest.mark.cluster
def test_when_everything_is_up_no_step_runs_again():
    said = []
    climb(all_steps(), lambda event, step, seconds: said.append(event))
    assert set(said) == {"ready"}


@pytest.mark.cluster
def test_the_doctor_finds_nothing_missing():
    assert [reading for reading in doctor.examine() if reading.state == "missing"] == []


def test_a_build_installs_requirements_as_a_learner_writes_them():
    dockerfile = b"FROM python:3.11-slim\nRUN pip install flask==3.1.3 && python -c 'import flask'\n"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        tar.addfile(entry, io.BytesIO(dockerfile))
    context.seek(0)
    image, _ = engine.client(300).images.build(
        fileobj=context, custom_context=True, nocache=True, forcerm=True, labels={versions.LABEL: "test"}
    )
    engine.client().images.remove(image.id, force=True)


def test_only_the_full_image_has_a_compiler():
    for reference, expected in ((versions.PYTHON_IMAGE, 1), (versions.PYTHON_IMAGE_FULL, 0)):
        container = engine.client().containers.run(reference, ["sh", "-c", "command -v gcc || exit 1"], detach=True)
        try:
            assert container.wait(timeout=30)["StatusCode"] == expected, reference
        finally:
            container.remove(force=True)


@pytest.mark.cluster
def test_an_image_pushed_to_the_local_registry_runs_in_the_cluster(namespace):
    client = engine.client(120)
    tag = f"localhost:{versions.REGISTRY_PORT}/ground-test"
    client.images.get(versions.PYTHON_IMAGE).tag(tag, "v1")
    answer = client.images.push(tag, "v1")
    assert "error" not in answer, answer
    core = api.CoreV1Api(cluster.connection())
    core.create_namespaced_pod(namespace, pod("pulled", f"{tag}:v1", ["python", "-c", "print('ahoy')"]))
    wait_until(lambda: finished(core, namespace, "pulled"), "the pod to finish", timeout=120)
    assert core.read_namespaced_pod_log("pulled", namespace).strip() == "ahoy"
    client.images.remove(f"{tag}:v1")


@pytest.mark.cluster
def test_a_claim_gets_a_volume_of_the_default_storage_class_that_outlives_its_pod(namespace):
    core = api.CoreV1Api(cluster.connection())
    claim = api.V1PersistentVolumeClaim(
        metadata=api.V1ObjectMeta(name="data"),
        spec=api.V1PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"], resources=api.V1VolumeResourceRequirements(requests={"storage": "1Mi"})
        ),
    )
    core.create_namespaced_persistent_volume_claim(namespace, claim)
    source = api.V1PersistentVolumeClaimVolumeSource(claim_name="data")
    mounted = {
        "volumes": [api.V1Volume(name="data", persistent_volume_claim=source)],
        "mounts": [api.V1VolumeMount(name="data", mount_path="/data")],
    }
    image = f"localhost:{versions.REGISTRY_PORT}/ground-test:v1"
    client = engine.client(120)
    client.images.get(versions.PYTHON_IMAGE).tag(image)
    client.images.push(image)
    for name, command in (("writer", "echo kept > /data/file"), ("reader", "cat /data/file")):
        core.create_namespaced_pod(namespace, pod(name, image, ["sh", "-c", command], **mounted))
        assert wait_until(lambda n=name: finished(core, namespace, n), f"the {name}", timeout=120) == "Succeeded"
    assert core.read_namespaced_pod_log("reader", namespace).strip() == "kept"
    client.images.remove(image)


@pytest.mark.cluster
def test_metrics_of_the_node_can_be_read():
    custom = api.CustomObjectsApi(cluster.connection())

    def usage():
        return custom.list_cluster_custom_object("metrics.k8s.io", "v1beta1", "nodes")["items"]

    node = wait_until(usage, "metrics", timeout=90, pause=2, failures=(api.ApiException,))[0]
    assert node["metadata"]["name"] == cluster.NODE and node["usage"]["cpu"]


def test_what_a_lab_made_is_removed_from_an_engine_and_what_others_made_stays(tmp_path):
    made = find_lab("lab2_container").seen.MADE
    with second_engine(tmp_path, tmp_path / "data"):
        client = engine.client()
        client.api.import_image_from_data(b"\0" * 1024, repository="others", tag="1")
        of_compose = {reset.PROJECT: made.projects[0]}
        for kind in (client.networks, client.volumes):
            kind.create("others")
            kind.create(f"{made.projects[0]}_default", labels=of_compose)
        client.networks.create(made.networks[0])
        client.volumes.create(made.volumes[0])
        holder = client.containers.create("others:1", ["true"], volumes={made.volumes[0]: {"bind": "/kept"}})

        (line,) = down.clear(client, say=lambda what: None)
        assert made.volumes[0] in line and holder.id[:12] in line, line
        holder.remove()
        assert down.clear(client, say=lambda what: None) == []
        assert {one.name for one in client.networks.list()} == {"bridge", "host", "none", "others"}
        assert [one.name for one in client.volumes.list()] == ["others"]
        assert client.images.get("others:1")


@pytest.mark.cluster
def test_what_somebody_paused_goes_on_with_up():
    for name in (versions.REGISTRY_NAME, cluster.NODE):
        engine.client().containers.get(name).pause()
    climb(all_steps(), lambda event, step, seconds: None)
    assert {engine.client().containers.get(name).status for name in (versions.REGISTRY_NAME, cluster.NODE)} == {
        "running"
    }


@pytest.mark.cluster
def test_the_learners_kubectl_is_of_the_clusters_release():
    told = subprocess.run(
        [tools() / "kubectl", "--context", cluster.context(), "version"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert told.stdout.count(versions.KUBERNETES) == 2, told.stdout + told.stderr


def kill_engine():
    if not engine.pid_file():
        pytest.skip("the engine on this machine is not one that we started")
    os.kill(int(engine.pid_file()), signal.SIGKILL)
    wait_until(lambda: not engine.answers(), "the engine to be gone", timeout=10)


@pytest.mark.cluster
@pytest.mark.slow
def test_no_container_lives_on_when_its_engine_was_killed_while_it_started():
    name, outlived = f"ground-test-{uuid.uuid4().hex[:6]}", 0
    for turn in range(6):
        starting = [
            subprocess.Popen(["docker", "run", "--detach", "--rm", "--name", f"{name}-{turn}-{number}",
                              versions.PYTHON_IMAGE, "sleep", "600"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for number in range(6)
        ]  # fmt: skip
        time.sleep(random.uniform(0.3, 2))  # somewhere in the middle, on purpose not at a known place
        kill_engine()
        for process in starting:
            process.wait(timeout=60)
        lived = set(orphans.shims().values())
        climb(all_steps(), lambda *_: None)
        known = {one.id for one in engine.client().containers.list()}
        outlived += len(lived - known)
        assert set(orphans.shims().values()) <= known, "a container runs that the engine does not know"
    print(f"\n{outlived} containers outlived 6 killed engines, none the next engine's start")
    assert outlived, "nothing was there to be ended: the test shows nothing"


@pytest.mark.cluster
@pytest.mark.slow
def test_a_killed_engine_comes_back_with_its_cluster():
    kill_engine()
    started = time.monotonic()
    climb(all_steps(), lambda *_: None)
    assert cluster.answers() and cluster.addons_ready()
    print(f"\nengine killed, everything back after {time.monotonic() - started:.0f} s")


@pytest.fixture
def kept() -> str:
    """A namespace in the cluster: it is gone where the cluster was made anew."""
    core = api.CoreV1Api(cluster.connection())
    with own_namespace(core, "ground-test") as name:
        yield name


def freeze_a_pod() -> None:
    """Leave a pod of the node as a runtime does that is killed while it sets the pod's devices."""
    within = orphans.FREEZER / cluster.node_container().id
    running = [path for path in within.rglob("cri-containerd-*/cgroup.procs") if path.read_text().strip()]
    (running[0].parent / "freezer.state").write_text("FROZEN")


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("with_its_engine", [False, True])
def test_a_node_that_was_killed_while_a_pod_began_comes_back_with_what_stands_in_it(kept, with_its_engine):
    if not orphans.FREEZER.is_dir():
        pytest.skip("cgroups of version 2: what is frozen can be killed")
    freeze_a_pod()
    os.kill(cluster.node_container().attrs["State"]["Pid"], signal.SIGKILL)
    if with_its_engine:
        kill_engine()
    climb(all_steps(), lambda *_: None)
    assert cluster.answers() and cluster.addons_ready()
    assert kept in {one.metadata.name for one in api.CoreV1Api(cluster.connection()).list_namespace().items}


@pytest.mark.cluster
@pytest.mark.slow
def test_a_container_that_its_killed_engine_had_half_made_can_be_started():
    labels = {versions.LABEL: "ground-test"}
    made = engine.client().containers.run(versions.PYTHON_IMAGE, ["sleep", "600"], detach=True, labels=labels)
    try:
        kill_engine()
        # containerd makes the folder first; it writes this file, and runc is called, only then
        (orphans.BUNDLES / made.id / "runtime").unlink()
        shutil.rmtree(Path("/run/docker/runtime-runc/moby") / made.id)
        climb(all_steps(), lambda *_: None)
        made.start()
        made.reload()
        assert made.status == "running"
    finally:
        made.remove(force=True)
