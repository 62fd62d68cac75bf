"""Have Kubeflow Trainer in the cluster: its controller, JobSet's, and the course's training runtimes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from kubernetes import client as api

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground import cluster
from autograder.ground.addon import Addon, Controller
from autograder.ground.keys import key_of

GROUP, VERSION, RUNTIMES = "trainer.kubeflow.org", "v1alpha1", "clustertrainingruntimes"
KEY = "shipyard.io/key"  # on each runtime: which runtimes.yaml it is of


class Trainer(Addon):
    """Bring up Kubeflow Trainer, and the course's training runtimes."""

    name, short, what = "trainer", "Trainer", f"Kubeflow Trainer {versions.TRAINER}"
    compiles, comes_up = 200, 100
    controllers = (
        Controller(
            "kubeflow-system", "kubeflow-trainer-controller-manager",
            image="ghcr.io/kubeflow/trainer/trainer-controller-manager",
            published=f"ghcr.io/kubeflow/trainer/trainer-controller-manager:{versions.TRAINER}",
            program="trainer-controller-manager",
        ),
        Controller(
            "jobset-system", "jobset-controller-manager",
            image="us-central1-docker.pkg.dev/k8s-staging-images/jobset/jobset",
            published=f"registry.k8s.io/jobset/jobset:{versions.JOBSET}",
            program="jobset",
        ),
    )  # fmt: skip

    def kustomizations(self, scratch: Path) -> Iterator[Path]:
        """Yield JobSet's, then Trainer's own without the line that fetches JobSet from the internet."""
        yield self.source("sigs.k8s.io/jobset", scratch / "jobset") / "config" / "default"
        trainer = self.source("github.com/kubeflow/trainer/v2", scratch / "trainer")
        overlay = trainer / "manifests" / "overlays" / "manager"
        file = overlay / "kustomization.yaml"
        settings = yaml.safe_load(file.read_text())
        settings["resources"] = [one for one in settings["resources"] if "third-party" not in one]
        file.write_text(yaml.safe_dump(settings))
        yield overlay

    def finish(self, apply: Callable[[Path], None], scratch: Path) -> None:
        """Apply the course's training runtimes, which a webhook of Trainer looks at."""
        stamped = scratch / "runtimes.yaml"
        stamped.write_text(yaml.safe_dump(self.stamp(yaml.safe_load(self.runtimes_file.read_text()))))
        apply(stamped)

    def complete(self, connected: api.ApiClient) -> bool:
        """Tell whether the runtimes are there, and today's."""
        found = api.CustomObjectsApi(connected).list_cluster_custom_object(
            GROUP, VERSION, RUNTIMES, _request_timeout=5)["items"]  # fmt: skip
        keys = {one["metadata"]["name"]: (one["metadata"].get("annotations") or {}).get(KEY) for one in found}
        wanted = key_of(self.runtimes_file)
        return all(keys.get(one["metadata"]["name"]) == wanted for one in self.runtimes())

    def refuse(self) -> None:
        """Say that the named cluster has no Trainer, or not the course's runtimes."""
        raise CannotCheck(
            f"the cluster of context {cluster.context()!r} has not got Kubeflow Trainer with the course's runtimes",
            f"Install {self.what}, then `kubectl apply -f k8s/addons/trainer/runtimes.yaml`.",
        )

    @property
    def runtimes_file(self) -> Path:
        """The file with the course's training runtimes and the right to read them."""
        return self.module / "runtimes.yaml"

    def runtimes(self) -> list[dict]:
        """Return the course's training runtimes as manifests."""
        items = yaml.safe_load(self.runtimes_file.read_text())["items"]
        return [one for one in items if one["kind"] == "ClusterTrainingRuntime"]

    def stamp(self, listed: dict) -> dict:
        """Return the runtimes with the key by which we know later whether they are today's."""
        for one in listed["items"]:
            one["metadata"].setdefault("annotations", {})[KEY] = key_of(self.runtimes_file)
        return listed
