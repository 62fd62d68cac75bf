"""Have another project's controllers in the cluster: compiled from pinned Go modules or pulled, then applied.

A subclass of Addon names one project: its controllers, and where its manifests lie.
The manifests are the project's own, out of its Go module. Its images are pulled
where a registry has them, else built from the same module.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from docker.errors import APIError
from kubernetes import client as api
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from autograder.facts import CannotCheck
from autograder.ground import cluster, engine, golang, node, pulse
from autograder.ground.images import present, registry_answers
from autograder.ground.keys import key_of
from autograder.ground.shell import run
from autograder.ground.step import Step, cache_dir, tools
from autograder.labs import checkout
from autograder.waiting import TimedOut, wait_until


@dataclass(frozen=True)
class Controller:
    """Name one controller: where it runs, its image in the manifests and in a registry, its program."""

    namespace: str
    deployment: str
    image: str  # as the manifests name it, without a tag
    published: str  # the one that is pulled
    program: str  # as `go build` calls it

    @property
    def called(self) -> str:
        """The name of the image that is built here."""
        return untagged(self.published).rpartition("/")[2]


class Addon:
    """Bring up the controllers of one project. A subclass says which, and overrides what is its own."""

    name: str  # of the need in the syllabus, and of the folder below k8s/addons/
    short: str  # in the names of steps
    what: str  # with its version, as an instructor reads it
    controllers: tuple[Controller, ...]
    compiles: float  # seconds on 2 cores
    comes_up: float  # seconds from applied manifests to controllers that answer

    def kustomizations(self, scratch: Path) -> Iterator[Path]:
        """Yield the project's kustomizations in the order in which they are applied, copied to `scratch`."""
        raise NotImplementedError

    def fit(self, documents: list[dict[str, Any]]) -> None:
        """Change its manifests to what the course wants, in place."""

    def finish(self, apply: Callable[[Path], None], scratch: Path) -> None:
        """Apply what only works once the controllers answer; called again where it raises CannotCheck."""

    def complete(self, connected: api.ApiClient) -> bool:
        """Tell whether what `finish` applied is there, as it stands in the checkout today."""
        return True

    @property
    def module(self) -> Path:
        """The folder of the Go module that pins the controllers."""
        return checkout() / "k8s" / "addons" / self.name

    @property
    def key(self) -> str:
        """The key of the programs: a digest of every pin."""
        return key_of(self.module / "go.mod", self.module / "go.sum")

    @property
    def folder(self) -> Path:
        """Where the programs of today's pins lie once they are built."""
        return cache_dir() / f"{self.name}-{self.key}"

    @property
    def log(self) -> Path:
        """Where the commands' output goes."""
        return cache_dir() / f"{self.name}.log"

    @property
    def namespaces(self) -> dict[str, str]:
        """The controllers by namespace, as `pulse` asks for them."""
        return {one.namespace: one.deployment for one in self.controllers}

    def built(self) -> bool:
        """Tell whether the programs of today's pins are in the cache."""
        return all((self.folder / one.program).exists() for one in self.controllers)

    def published(self) -> bool:
        """Tell whether the controllers' images can be pulled."""
        return can_pull(tuple(one.published for one in self.controllers))

    def images(self) -> dict[str, str]:
        """Return the images of the controllers: the name in the manifests -> the one that is run."""
        if self.published():
            return {one.image: one.published for one in self.controllers}
        return {one.image: f"{node.PREFIX}/{one.called}:{self.key}" for one in self.controllers}

    def binaries(self) -> Step:
        """Return the step to the controllers' programs; it needs no cluster, so it may be climbed beside others."""
        why = f"{self.what} is compiled once: no registry serves its images here"
        there = lambda: not cluster.own() or self.published() or self.built()  # noqa: E731
        return Step(f"{self.short} binaries", why, self.compiles, there, self.build)

    def steps(self) -> list[Step]:
        """Return the steps from a cluster to one with the addon; one that the user named must have it."""
        if not cluster.own():
            return [Step(f"{self.short} in {cluster.context()}", "you named the cluster", 1, self.ready, self.refuse)]
        load = Step(f"{self.short} images", "the cluster's node gets the controllers", 15, self.loaded, self.load)
        return [self.binaries(), load, Step(self.short, self.what, self.comes_up, self.ready, self.install)]

    def refuse(self) -> None:
        """Say that the named cluster has not got it, with what to do."""
        raise CannotCheck(
            f"the cluster of context {cluster.context()!r} has not got {self.what}", f"Install {self.what} there."
        )

    def build(self) -> None:
        """Build the controllers into the cache, once."""
        unfinished = self.folder.with_suffix(".unfinished")
        unfinished.mkdir(exist_ok=True)
        env = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local"}
        command = [golang.go(), "build", "-trimpath", "-ldflags=-s -w", "-o", f"{unfinished}/", "tool"]
        run(["nice", "-n", "10", *command], cwd=self.module, env=env, log=self.log, timeout=3600)
        shutil.rmtree(self.folder, ignore_errors=True)
        unfinished.replace(self.folder)

    def loaded(self) -> bool:
        """Tell whether the node has the controllers' images; pulled ones it fetches by itself."""
        return self.published() or set(self.images().values()) <= cluster.images_there()

    def load(self) -> None:
        """Make the controllers' images and load them into the node."""
        images = self.images()
        for one in self.controllers:
            if not present(images[one.image]):
                # At the path at which the manifests look for it, or nobody does.
                files = {"manager": self.folder / one.program}
                node.pack(images[one.image], files, entrypoint=["/manager"], user="65532")
        cluster.load(*images.values())

    def ready(self) -> bool:
        """Tell whether the controllers are available, of today's images, and the rest is today's."""
        try:
            connected = cluster.connection()
            apps, today = api.AppsV1Api(connected), {*self.images().values()}
            for one in self.controllers:
                seen = apps.read_namespaced_deployment(one.deployment, one.namespace, _request_timeout=5)
                same = {container.image for container in seen.spec.template.spec.containers} <= today
                if not seen.status.available_replicas or (cluster.own() and not same):
                    return False
            if cluster.own() and pulse.late(pulse.take(connected, self.namespaces, timeout=5)):
                return False
            return self.complete(connected)
        except (CannotCheck, ApiException, HTTPError, OSError):
            return False

    def install(self) -> None:
        """Apply the project's manifests and what is ours; wait until the controllers answer."""
        kubectl = [tools() / "kubectl", "--context", cluster.context()]

        def apply(file: Path) -> None:
            run([*kubectl, "apply", "--server-side", "--force-conflicts", "-f", file], log=self.log)

        with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
            for number, overlay in enumerate(self.kustomizations(Path(scratch))):
                file = Path(scratch) / f"{number}.yaml"
                file.write_text(self.adapted(run([*kubectl, "kustomize", overlay])))
                apply(file)

            def applied() -> bool:
                try:
                    self.finish(apply, Path(scratch))
                except CannotCheck:  # a webhook that looks at it has no certificate yet
                    return False
                return self.ready()

            try:
                wait_until(applied, f"{self.what} to be available", timeout=300, pause=2)
            except TimedOut as late:
                fix = f"Look at `kubectl --context {cluster.context()} get pods -A`."
                raise CannotCheck(f"{late} ({self.log})", fix) from None

    def adapted(self, text: str) -> str:
        """Return manifests with our images, and with requests that leave a small node room for learners' pods."""
        documents = [one for one in yaml.safe_load_all(text) if one]
        for document in documents:
            if document["kind"] == "Deployment":
                document["spec"].setdefault("replicas", 1)  # unsaid, a Deployment that was scaled away stays away
            for container in containers(document):
                container["image"] = self.images()[untagged(container["image"])]
                container["imagePullPolicy"] = "IfNotPresent"
                container["resources"] = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
        self.fit(documents)
        return yaml.safe_dump_all(documents)

    def source(self, path: str, target: Path) -> Path:
        """Copy a Go module's folder out of Go's module cache, which is read-only."""
        shutil.copytree(golang.module_dir(path, self.module), target, copy_function=shutil.copyfile)
        for one in [target, *target.rglob("*")]:
            one.chmod(0o755 if one.is_dir() else 0o644)
        return target


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the containers of a Deployment, none of anything else."""
    return document["spec"]["template"]["spec"]["containers"] if document["kind"] == "Deployment" else []


@cache
def can_pull(references: tuple[str, ...]) -> bool:
    """Tell whether images can be pulled; asked once."""
    if not registry_answers():
        return False
    try:
        for reference in references:
            engine.client(timeout=10).api.inspect_distribution(reference)
        return True
    except (APIError, OSError):
        return False


def untagged(image: str) -> str:
    """Return an image's name without its tag.

    >>> untagged("registry.example:5000/team/app:v1"), untagged("registry.example:5000/team/app")
    ('registry.example:5000/team/app', 'registry.example:5000/team/app')
    """
    return re.sub(r":[^/:]*$", "", image)
