"""See what lab 6 is about: the training that ran on the cluster, and the models that came out of it."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

from autograder.checks import Finding
from autograder.facts import NotThere, Observation, Place, fact
from autograder.ground.lab_images import TRAINING, have
from autograder.ground.reset import Made
from autograder.probes.docker import Docker
from autograder.probes.kubernetes import Deployment, Kube
from autograder.probes.registry import needed
from autograder.probes.scoring import accuracy, predictions
from autograder.probes.training import Trainings, TrainJob
from autograder.probes.trees import Learned, learned
from autograder.probes.volume import LARGEST, read_files

MADE = Made(
    deployments=("digits",), services=("digits",),
    others=("pod/reader", "trainjob/alone", "trainjob/together", "trainjob/broken", "trainjob/repaired",
            "persistentvolumeclaim/models", "limitrange/training-defaults"),
)  # fmt: skip
IMAGE, CLAIM, PORT = "training:v1", "models", 80
SKOPS, TREES, REPAIRED = "alone.skops", "together.json", "repaired.skops"
LOCAL = Path("local") / SKOPS
ENOUGH = 0.90  # of the held-out rows; scikit-learn's usual models reach 0.95 and more
MEMORY, CORES = 512 * 2**20, 0.5
JOB_SECONDS = 120
ROLLOUT_SECONDS = 90


def start(place: Place) -> None:
    """See to it that the registry has the image for training; quick where it has."""
    have(place, TRAINING)


@cache
def rows() -> tuple[list[list[int]], list[int], list[int]]:
    """Return the held-out rows, their digits, and how many training rows there are of each digit."""
    import numpy as np
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    held_out = np.arange(len(digits)) // 10 % 5 == 4  # each fifth block of ten, as everywhere in the course
    counts = np.bincount(digits[~held_out], minlength=10).tolist()
    return images[held_out].astype(int).tolist(), digits[held_out].tolist(), counts


class Seen(Observation):
    """See the TrainJobs of the namespace, the files on its volume, what they predict, and what serves."""

    @fact
    def kube(self) -> Kube:
        return Kube(self.place)

    @fact
    def trainings(self) -> Trainings:
        return Trainings(self.kube)

    @fact
    def docker(self) -> Docker:
        return Docker(self.place.docker_host)

    @fact
    def digest(self) -> str:
        return needed(self.place, IMAGE)

    @property
    def in_cluster(self) -> str:
        """The course's image as pods name it: by digest, so that what runs is ours."""
        return f"localhost:5001/training@{self.digest}"

    @fact
    def alone(self) -> TrainJob:
        return self.trainings.ended("alone", JOB_SECONDS)

    @fact
    def together(self) -> TrainJob:
        return self.trainings.ended("together", JOB_SECONDS)

    @fact
    def broken(self) -> TrainJob:
        return self.trainings.ended("broken", JOB_SECONDS)

    @fact
    def repaired(self) -> TrainJob:
        return self.trainings.ended("repaired", JOB_SECONDS)

    @fact
    def files(self) -> dict[str, bytes | NotThere]:
        """The models on the volume, once the trainings that may still write them have ended."""
        for name in ("alone", "together", "repaired"):
            with suppress(NotThere):
                getattr(self, name)
        return read_files(self.kube, CLAIM, [SKOPS, TREES, REPAIRED], self.in_cluster)

    def file(self, name: str) -> bytes:
        """Return a model's file as it lies on the volume. Raises NotThere."""
        found = self.files[name]
        if isinstance(found, NotThere):
            raise found
        return found

    @fact
    def local(self) -> bytes:
        path = self.work / LOCAL
        if path.is_symlink() or not path.is_file():
            raise NotThere(f"There is no file {LOCAL} in the lab's folder.")
        if path.stat().st_size > LARGEST:
            raise NotThere(f"{LOCAL} has more than {LARGEST // 1_000_000} MB.")
        return path.read_bytes()

    def ask_models(self, models: dict[str, bytes], asked: list[list[int]]) -> dict[str, list[int] | NotThere]:
        return predictions(self.docker, f"{self.place.registry}/training@{self.digest}", models, asked)

    @fact
    def scored(self) -> dict[str, list[int] | NotThere]:
        """What the models on the volume say of the held-out rows."""
        there = {name: one for name, one in self.files.items() if isinstance(one, bytes)}
        said = self.ask_models(there, rows()[0])
        return {**self.files, **said}

    def score(self, name: str) -> float:
        """Return a model's accuracy on the held-out rows, computed here. Raises NotThere."""
        return accuracy(self.scored[name], rows()[1])

    @fact
    def learned(self) -> Learned:
        return learned(self.file(TREES))

    @fact
    def deployment(self) -> Deployment:
        return self.kube.deployment("digits").wait_rolled_out(ROLLOUT_SECONDS)


def good_enough(share: float, what: str) -> Finding:
    """Judge an accuracy on the held-out rows."""
    said = f"{what} reads {share:.1%} of {len(rows()[1])} held-out digits rightly."
    return Finding(share >= ENOUGH, said if share >= ENOUGH else f"{said} At least {ENOUGH:.0%} are asked for.")
