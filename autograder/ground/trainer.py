"""Have Kubeflow Trainer in the cluster: its controller, JobSet's, and the course's training runtimes.

The manifests are the projects' own, out of their Go modules. The controllers'
images are pulled where a registry has them, else built from the same modules.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

import yaml
from docker.errors import APIError
from kubernetes import client as api
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground import cluster, engine, golang, node, pulse
from autograder.ground.images import key_of, present, registry_answers
from autograder.ground.shell import run
from autograder.ground.step import Step, cache_dir, tools
from autograder.labs import checkout
from autograder.probes.execs import run_in
from autograder.waiting import TimedOut, wait_until

GROUP, VERSION, RUNTIMES = "trainer.kubeflow.org", "v1alpha1", "clustertrainingruntimes"
KEY = "shipyard.io/key"  # on each runtime: which runtimes.yaml it is of
TRAINER, JOBSET = "github.com/kubeflow/trainer/v2", "sigs.k8s.io/jobset"
PUBLISHED = {  # the name in the manifests -> the one that is pulled
    "ghcr.io/kubeflow/trainer/trainer-controller-manager":
        f"ghcr.io/kubeflow/trainer/trainer-controller-manager:{versions.TRAINER}",
    "us-central1-docker.pkg.dev/k8s-staging-images/jobset/jobset": f"registry.k8s.io/jobset/jobset:{versions.JOBSET}",
}  # fmt: skip
PROGRAMS = dict(zip(PUBLISHED, ("trainer-controller-manager", "jobset"), strict=True))
CONTROLLERS = {
    "kubeflow-system": "kubeflow-trainer-controller-manager",
    "jobset-system": "jobset-controller-manager",
}  # fmt: skip


def module() -> Path:
    """Return the folder of the Go module that pins both controllers."""
    return checkout() / "k8s" / "addons" / "trainer"


def key() -> str:
    """Return the key of the binaries: a digest of every pin."""
    return key_of(module() / "go.mod", module() / "go.sum")


def folder() -> Path:
    """Return where the binaries of today's pins lie once they are built."""
    return cache_dir() / f"trainer-{key()}"


def built() -> bool:
    """Tell whether the binaries of today's pins are in the cache."""
    return all((folder() / program).exists() for program in PROGRAMS.values())


@cache
def published() -> bool:
    """Tell whether the controllers' images can be pulled; asked once."""
    if not registry_answers():
        return False
    try:
        for reference in PUBLISHED.values():
            engine.client(timeout=10).api.inspect_distribution(reference)
        return True
    except (APIError, OSError):
        return False


def images() -> dict[str, str]:
    """Return the images of the controllers: the name in the manifests -> the one that is run."""
    if published():
        return PUBLISHED
    return {name: f"{node.PREFIX}/{program}:{key()}" for name, program in PROGRAMS.items()}


def binaries() -> Step:
    """Return the step to the controllers' programs; it needs no cluster, so it may be climbed beside others."""
    why = f"Kubeflow Trainer {versions.TRAINER} is compiled once: no registry serves its images here"
    return Step("Trainer binaries", why, 200, lambda: not cluster.own() or published() or built(), build)


def steps() -> list[Step]:
    """Return the steps from a cluster to one with Kubeflow Trainer; one that the user named must have it."""
    if not cluster.own():
        return [Step(f"Trainer in {cluster.context()}", "you named the cluster", 1, ready, refuse)]
    return [
        binaries(),
        Step("Trainer images", "the cluster's node gets the controllers", 15, images_there, load),
        Step("Trainer", f"Kubeflow Trainer {versions.TRAINER} and its training runtimes", 100, ready, install),
    ]  # fmt: skip


def refuse() -> None:
    """Say that the named cluster has no Trainer, or not the course's runtimes."""
    raise CannotCheck(
        f"the cluster of context {cluster.context()!r} has not got Kubeflow Trainer with the course's runtimes",
        f"Install Kubeflow Trainer {versions.TRAINER}, then `kubectl apply -f k8s/addons/trainer/runtimes.yaml`.",
    )


def build() -> None:
    """Build the controllers into the cache; about 3 minutes on 2 cores, once."""
    unfinished = folder().with_suffix(".unfinished")
    unfinished.mkdir(exist_ok=True)
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
    command = [golang.go(), "build", "-trimpath", "-ldflags=-s -w", "-o", f"{unfinished}/", "tool"]
    run(["nice", "-n", "10", *command], cwd=module(), env=env, log=cache_dir() / "trainer.log", timeout=3600)
    shutil.rmtree(folder(), ignore_errors=True)
    unfinished.replace(folder())


def images_there() -> bool:
    """Tell whether the node has the controllers' images; pulled ones it fetches by itself."""
    if published():
        return True
    listed = run_in(cluster.node_container(), ["ctr", "-n", "k8s.io", "images", "ls", "-q"]).output.decode()
    return set(images().values()) <= set(listed.split())


def load() -> None:
    """Make the controllers' images and load them into the node."""
    for name, reference in images().items():
        if not present(reference):
            program = PROGRAMS[name]
            # At the path at which the manifests (JobSet's) or nobody (Trainer's) look for it.
            node.pack(reference, {"manager": folder() / program}, entrypoint=["/manager"], user="65532")
    cluster.load(*images().values())


def ready() -> bool:
    """Tell whether both controllers are available, of today's images, and the runtimes are today's."""
    try:
        connected = cluster.connection()
        apps = api.AppsV1Api(connected)
        for namespace, name in CONTROLLERS.items():
            seen = apps.read_namespaced_deployment(name, namespace, _request_timeout=5)
            same = {one.image for one in seen.spec.template.spec.containers} <= set(images().values())
            if not seen.status.available_replicas or (cluster.own() and not same):
                return False
        if cluster.own() and pulse.late(pulse.take(connected, CONTROLLERS, timeout=5)):
            return False
        found = api.CustomObjectsApi(connected).list_cluster_custom_object(
            GROUP, VERSION, RUNTIMES, _request_timeout=5)["items"]  # fmt: skip
    except (CannotCheck, ApiException, HTTPError, OSError):
        return False
    keys = {one["metadata"]["name"]: (one["metadata"].get("annotations") or {}).get(KEY) for one in found}
    return all(keys.get(one["metadata"]["name"]) == runtimes_key() for one in runtimes())


def runtimes_file() -> Path:
    """Return the file with the course's training runtimes and the right to read them."""
    return module() / "runtimes.yaml"


def runtimes_key() -> str:
    """Return the key of the runtimes."""
    return key_of(runtimes_file())


def runtimes() -> list[dict]:
    """Return the course's training runtimes as manifests."""
    items = yaml.safe_load(runtimes_file().read_text())["items"]
    return [one for one in items if one["kind"] == "ClusterTrainingRuntime"]


def install() -> None:
    """Apply both projects' manifests and the runtimes; wait until the controllers answer."""
    log = cache_dir() / "trainer.log"
    kubectl = [tools() / "kubectl", "--context", cluster.context()]
    apply = [*kubectl, "apply", "--server-side", "--force-conflicts", "-f"]
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        for number, overlay in enumerate((jobset(Path(scratch)), trainer(Path(scratch)))):
            file = Path(scratch) / f"{number}.yaml"
            file.write_text(adapted(run([*kubectl, "kustomize", overlay])))
            run([*apply, file], log=log)
        stamped = Path(scratch) / "runtimes.yaml"
        stamped.write_text(yaml.safe_dump(stamp(yaml.safe_load(runtimes_file().read_text()))))

        def applied() -> bool:
            try:
                run([*apply, stamped], log=log)
            except CannotCheck:  # the webhook that looks at runtimes has no certificate yet
                return False
            return ready()

        try:
            wait_until(applied, "Kubeflow Trainer to be available", timeout=300, pause=2)
        except TimedOut as late:
            fix = f"Look at `kubectl --context {cluster.context()} get pods -A`."
            raise CannotCheck(f"{late} ({log})", fix) from None


def jobset(scratch: Path) -> Path:
    """Return JobSet's own kustomization."""
    return source(JOBSET, scratch / "jobset") / "config" / "default"


def trainer(scratch: Path) -> Path:
    """Return Trainer's own kustomization, without the line that fetches JobSet from the internet."""
    overlay = source(TRAINER, scratch / "trainer") / "manifests" / "overlays" / "manager"
    file = overlay / "kustomization.yaml"
    settings = yaml.safe_load(file.read_text())
    settings["resources"] = [one for one in settings["resources"] if "third-party" not in one]
    file.write_text(yaml.safe_dump(settings))
    return overlay


def source(path: str, target: Path) -> Path:
    """Copy a module's folder out of Go's module cache, which is read-only."""
    shutil.copytree(golang.module_dir(path, module()), target, copy_function=shutil.copyfile)
    for one in [target, *target.rglob("*")]:
        one.chmod(0o755 if one.is_dir() else 0o644)
    return target


def adapted(text: str) -> str:
    """Return manifests with our images, and with requests that leave a small node room for learners' pods."""
    documents = [one for one in yaml.safe_load_all(text) if one]
    for document in documents:
        if document["kind"] != "Deployment":
            continue
        for container in document["spec"]["template"]["spec"]["containers"]:
            container["image"] = images()[container["image"].rpartition(":")[0] or container["image"]]
            container["imagePullPolicy"] = "IfNotPresent"
            container["resources"] = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
    return yaml.safe_dump_all(documents)


def stamp(listed: dict) -> dict:
    """Return the runtimes with the key by which we know later whether they are today's."""
    for one in listed["items"]:
        one["metadata"].setdefault("annotations", {})[KEY] = runtimes_key()
    return listed
