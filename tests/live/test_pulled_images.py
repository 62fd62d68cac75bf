"""Bring the ground up where a registry answers: images are pulled then, and what nobody publishes is built.

The registry is the course's own, a mirror for a second engine. What it serves in
the place of the published images is made of ours: without wheels and labels, with
kubeadm's own names for the images of a cluster, and without metrics-server's.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import ContainerError
from engines import second_engine
from kubernetes import client as api

from autograder import versions
from autograder.ground import addon, cluster, commands, engine, images, node
from autograder.ground.images import KEY, offline
from autograder.ground.step import cache_dir, climb
from autograder.waiting import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.cluster, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
OURS = f"localhost:{versions.REGISTRY_PORT}"
NODE = versions.NODE_IMAGE.partition("@")[0]
BARE = "rm -rf /opt/wheels /etc/pip.conf"
RENAMED = """FROM {built}
RUN (containerd > /dev/null 2>&1 & echo $! > /tmp/pid) && until ctr version > /dev/null 2>&1; do sleep 0.1; done \\
 && for asked in $(kubeadm config images list --kubernetes-version {version}); do \\
      ctr -n k8s.io images tag {prefix}/${{asked##*/}} $asked; done \\
 && ctr -n k8s.io images rm {metrics} \\
 && kill $(cat /tmp/pid) && while pgrep -x containerd > /dev/null; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def published() -> dict[str, str]:
    """Push stand-ins of the published images to the registry; return their names there and digests."""
    host = engine.client(timeout=600)
    container = host.containers.run(versions.PYTHON_IMAGE, ["sh", "-c", BARE], detach=True)
    container.wait()
    python = f"{OURS}/library/{versions.PYTHON_IMAGE.partition(':')[0]}"
    told = ['CMD ["python3"]', "ENV LANG=C.UTF-8"]
    host.api.import_image_from_data(b"".join(container.export()), repository=python, tag="3.11-slim", changes=told)
    container.remove()
    host.images.get(f"{python}:3.11-slim").tag(python, "3.11")
    dockerfile = RENAMED.format(built=node.BUILT, version=versions.KUBERNETES, prefix=node.PREFIX, metrics=node.METRICS)
    kindest = f"{OURS}/{NODE}"
    host.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=kindest)
    names = (f"{python}:3.11-slim", f"{python}:3.11", kindest)
    for name in names:
        assert '"error"' not in host.images.push(name)
    digests = {name.removeprefix(f"{OURS}/"): host.images.get(name).attrs["RepoDigests"][0].partition("@")[2]
               for name in names}  # fmt: skip
    for name in names:
        host.images.remove(name)
    return digests


@pytest.fixture(scope="module")
def second(published: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A second engine whose mirror is the registry, with a cache, a kubeconfig and ports of its own."""
    folder = tmp_path_factory.mktemp("second")
    for one in cache_dir().iterdir():
        if one.name.startswith(("node-", "tools-", "wheels")) and one.is_dir():
            shutil.copytree(one, folder / "cache" / "shipyard" / one.name, copy_function=link, symlinks=True)
    with (
        pytest.MonkeyPatch.context() as patch,
        second_engine(folder, folder / "engine", f"--registry-mirror=http://{OURS}"),
    ):
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        patch.setattr(versions, "REGISTRY_PORT", 5011)
        patch.setattr(cluster, "HOSTS", "/etc/containerd/certs.d/localhost:5011")
        patch.setattr(commands, "SYSTEM", folder)
        patch.setattr(node, "PULLED", f"{NODE}@{published[NODE]}")
        asked = (images.registry_answers, node.published, addon.can_pull)
        for one in asked:
            one.cache_clear()
        yield folder
        for one in asked:
            one.cache_clear()
        for one in engine.client().containers.list(all=True):
            one.remove(force=True, v=True)
        engine.client().networks.prune()  # else the bridge of kind's network outlives the engine
    shutil.rmtree(folder / "engine", ignore_errors=True)  # pytest keeps its folders for a while


def link(source: str, target: str) -> None:
    """Let a file have a second name where it can, else copy it."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target)


def climbed(steps) -> list[str]:
    """Climb steps and return the names of those that had something to do."""
    done: list[str] = []
    climb(steps, lambda event, step, seconds: done.append(step.name) if event == "done" else None)
    return done


def test_base_images_are_pulled_and_nothing_is_built(second: Path, published: dict[str, str]):
    assert climbed(images.steps()) == [f"Image {versions.PYTHON_IMAGE}", f"Image {versions.PYTHON_IMAGE_FULL}"]
    pulled = engine.client().images.get(versions.PYTHON_IMAGE)
    assert KEY not in pulled.labels
    assert published["library/python:3.11-slim"] in str(pulled.attrs["RepoDigests"])
    assert climbed(images.steps()) == []


def test_a_pulled_base_image_gets_wheels_for_sandboxes_and_stays_as_it_is(second: Path):
    climbed(images.steps())
    install = ["python3", "-m", "pip", "install", "--quiet", "--break-system-packages", "flask"]
    run = engine.client().containers.run
    run(offline(versions.PYTHON_IMAGE), install, network_mode="none", remove=True)
    with pytest.raises(ContainerError):
        run(versions.PYTHON_IMAGE, install, network_mode="none", remove=True)


def test_a_cluster_stands_on_the_pulled_node_with_metrics_and_storage(second: Path, published: dict[str, str]):
    done = climbed(cluster.steps())
    assert "Node image" in done
    assert not {"Node binaries", "Build packages"} & set(done)
    with pytest.raises(docker.errors.ImageNotFound):
        engine.client().images.get(node.BUILT)
    assert published[NODE] in str(cluster.node_container().image.attrs["RepoDigests"])
    classes = api.StorageV1Api(cluster.connection()).list_storage_class().items
    assert [one.metadata.annotations["storageclass.kubernetes.io/is-default-class"] for one in classes] == ["true"]
    custom = api.CustomObjectsApi(cluster.connection())

    def usage() -> list[dict]:
        return custom.list_cluster_custom_object("metrics.k8s.io", "v1beta1", "nodes")["items"]

    (used,) = wait_until(usage, "metrics", timeout=90, pause=2, failures=(api.ApiException,))
    assert used["metadata"]["name"] == cluster.NODE
    assert climbed(cluster.steps()) == []
