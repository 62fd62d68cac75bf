"""Give a submission its workplace on the real engine and cluster: what it may do there, and that nothing is left."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from autograder.facts import CannotCheck
from autograder.grading.workplace import key, workplace
from autograder.labs import Lab

LAB = Lab("workplace_test", "A lab for this test", 1, ("docker", "cluster"), Path())
CLUSTER = replace(LAB, needs=("cluster",))
ENGINE = replace(LAB, needs=("docker",))


def run(variables, *command):
    environment = {**os.environ, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def namespace_of(tmp_path):
    return f"lab-{key(CLUSTER, 'ada', tmp_path)}"


@pytest.mark.cluster
def test_learner_has_rights_in_the_own_namespace_only(tmp_path):
    with workplace(CLUSTER, "ada", tmp_path) as (place, variables, _):
        assert run(variables, "kubectl", "create", "configmap", "own", "--from-literal=a=1").returncode == 0
        assert (
            "own" in run({}, "kubectl", "--context", place.context, "-n", place.namespace, "get", "configmaps").stdout
        )
        for forbidden in (
            ("kubectl", "get", "pods", "-n", "kube-system"),
            ("kubectl", "get", "nodes"),
            ("kubectl", "get", "namespaces"),
            ("kubectl", "delete", "resourcequota", "learner"),
            ("kubectl", "label", "namespace", place.namespace, "pod-security.kubernetes.io/enforce-"),
            ("kubectl", "create", "rolebinding", "more", "--clusterrole=cluster-admin", "--user=ada"),
        ):
            ran = run(variables, *forbidden)
            assert ran.returncode != 0, forbidden
            assert "orbidden" in ran.stderr
        privileged = '{"spec":{"containers":[{"name":"p","image":"p","securityContext":{"privileged":true}}]}}'
        ran = run(variables, "kubectl", "run", "p", "--image=p", f"--overrides={privileged}")
        assert "violates PodSecurity" in ran.stderr
    ran = run(
        {}, "kubectl", "--context", place.context, "wait", "--for=delete", f"ns/{place.namespace}", "--timeout=90s"
    )
    assert ran.returncode == 0 or "NotFound" in ran.stderr


@pytest.mark.cluster
def test_what_a_killed_run_left_is_gone_before_the_next(tmp_path):
    first = workplace(CLUSTER, "ada", tmp_path)
    _, variables, _ = first.__enter__()
    assert run(variables, "kubectl", "create", "configmap", "old", "--from-literal=a=1").returncode == 0
    with workplace(CLUSTER, "ada", tmp_path) as (_, variables, _):
        assert "old" not in run(variables, "kubectl", "get", "configmaps", "-o", "name").stdout
    first.__exit__(None, None, None)


@pytest.mark.cluster
def test_cluster_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SHIPYARD_CONTEXT", "no-such-cluster")
    with pytest.raises(CannotCheck, match="no-such-cluster"), workplace(CLUSTER, "ada", tmp_path):
        pass


@pytest.mark.docker
def test_what_docker_made_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python:3.11-slim\nRUN true\n")
    engine = docker.from_env()
    other = engine.containers.create("python:3.11-slim", ["true"])
    try:
        with workplace(ENGINE, "ada", tmp_path) as (_, variables, _):
            assert run(variables, "docker", "build", "-t", "workplace-test", str(tmp_path)).returncode == 0
            assert (
                run(
                    variables, "docker", "run", "-d", "--name=workplace-test", "workplace-test", "sleep", "600"
                ).returncode
                == 0
            )
            assert run(variables, "docker", "network", "create", "workplace-test").returncode == 0
            assert "workplace-test" in run(variables, "docker", "ps").stdout
        assert not engine.containers.list(all=True, filters={"name": "workplace-test"})
        assert not engine.images.list("workplace-test")
        assert not engine.networks.list(["workplace-test"])
        assert engine.containers.get(other.id)
    finally:
        other.remove()


COMPOSE = """
name: workplace-test
services:
  one: {image: "python:3.11-slim", command: sleep 600, init: true, volumes: ["kept:/kept"]}
volumes: {kept: {}}
"""


@pytest.mark.docker
def test_what_compose_and_run_made_without_a_label_of_ours_is_removed_too(tmp_path):
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    engine = docker.from_env()
    others = engine.volumes.create("workplace-test-others")
    mounts = ["--volume=workplace-test-new:/new", f"--volume={others.name}:/others"]
    try:
        with workplace(ENGINE, "ada", tmp_path) as (_, variables, _):
            folder = ["--project-directory", str(tmp_path)]
            ran = run(variables, "docker", "compose", *folder, "up", "--detach")
            assert ran.returncode == 0, ran.stderr
            ran = run(variables, "docker", "run", "--name=workplace-test", *mounts, "python:3.11-slim", "true")
            assert ran.returncode == 0, ran.stderr
            assert len(engine.volumes.list(filters={"name": "workplace-test"})) == 3
        assert not engine.containers.list(all=True, filters={"name": "workplace-test"})
        assert not engine.networks.list(["workplace-test_default"])
        assert [one.name for one in engine.volumes.list(filters={"name": "workplace-test"})] == [others.name]
    finally:
        others.remove()


@pytest.mark.docker
def test_engine_that_does_not_answer_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(CannotCheck, match="No Docker engine answers"), workplace(ENGINE, "ada", tmp_path):
        pass
