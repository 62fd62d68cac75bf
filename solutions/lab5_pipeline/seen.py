"""Judge lab 5: the compiled pipeline, the containers that ran it, what they made, and what serves in the cluster.

What a step's container did is known from the engine's own events, which the
grader's process hears while the notebook runs. The states that kfp's local
runner prints are not used: it can call a failed container a success.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from autograder.facts import CannotCheck, NotThere, Observation, Place, fact
from autograder.ground import model_server
from autograder.ground.lab_images import PIPELINE_BASE, have_on_engine
from autograder.ground.reset import Made
from autograder.probes.docker import Docker
from autograder.probes.kubernetes import Deployment, Kube
from autograder.probes.pipeline import Pipeline, Source, Step, read
from autograder.probes.runs import Attempt, Runs
from autograder.probes.words import cut, listed

MADE = Made(deployments=("reader",), services=("reader",), others=("configmap/reader-runs",))
RECORDS = True  # the grader listens to the engine while the notebook runs
NAME, PORT, PREFIX = "reader", 80, "shipyard.io/"
STEPS = ("load", "validate", "train", "evaluate", "score_serving", "deploy", "report")
INK, PIXELS = 16, 64
GOOD = 0.9  # accuracy that a model of tuesday's rows has to reach on the held-out rows
CLOSE = 0.0006  # two accuracies are the same: people round, and the server's way of summing is its own
ROLLOUT_SECONDS = 60


def start(place: Place) -> None:
    """See to it that the registry has the model server's image and that of the steps; quick where it has.

    Raises CannotCheck where engine or registry do not answer, or an image cannot be built.
    """
    model_server.have(place)
    have_on_engine(place, PIPELINE_BASE)


@dataclass(frozen=True)
class Judged:
    """Tell what a model file says of rows: its digest, accuracy, and how often each digit was read as which."""

    digest: str
    guesses: list[int]
    accuracy: float
    confusion: list[list[int]]


def load_model(content: bytes) -> Any:
    """Return the model in a skops file. Raises NotThere where the model server could not use it."""
    import skops.io

    hint = "Write the trained model with skops.io.dump(classifier, model.path)."
    try:
        if unknown := skops.io.get_untrusted_types(data=content):
            raise NotThere(f"The model file holds types that the server does not trust: {listed(sorted(unknown))}.",
                           "Train a kind of model whose file holds none, such as LogisticRegression.")  # fmt: skip
        model = skops.io.loads(content, trusted=[])
    except NotThere:
        raise
    except Exception as broken:
        raise NotThere(f"The artifact model is no skops file ({type(broken).__name__}).", hint) from broken
    classes = [int(one) for one in getattr(model, "classes_", ())]
    if getattr(model, "n_features_in_", None) != PIXELS or classes != list(range(10)):
        raise NotThere("The model does not tell ten digits from 64 numbers.",
                       "Its input are the 64 columns of ink, what it learns is the last column.")  # fmt: skip
    if not hasattr(model, "predict_proba"):
        raise NotThere("The model has no predict_proba, which the server asks for.", hint)
    return model


def judge_model(content: bytes, rows: list[list[float]], digits: list[int]) -> Judged:
    """Ask the model in a skops file about rows, as the model server does: ink divided by 16."""
    import numpy as np

    model = load_model(content)
    try:
        guesses = [int(one) for one in model.predict_proba(np.asarray(rows, dtype=float) / INK).argmax(axis=1)]
    except Exception as broken:
        raise NotThere(f"The model cannot read rows: {type(broken).__name__}: {cut(str(broken))}") from broken
    confusion = [[0] * 10 for _ in range(10)]
    for digit, guess in zip(digits, guesses, strict=True):
        confusion[digit][guess] += 1
    right = sum(one == other for one, other in zip(guesses, digits, strict=True))
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Judged(digest, guesses, right / len(digits), confusion)


def held_out() -> tuple[list[list[float]], list[int]]:
    """Return the held-out rows and their digits: each fifth block of ten of scikit-learn's handwritten digits."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    kept = [number for number in range(len(images)) if number // 10 % 5 == 4]
    return images[kept].tolist(), [int(digits[number]) for number in kept]


class Seen(Observation):
    """See the compiled pipeline, the containers of its runs, their artifacts, and the cluster."""

    @fact
    def kube(self) -> Kube:
        return Kube(self.place)

    @fact
    def docker(self) -> Docker:
        return Docker(self.place.docker_host)

    @fact
    def pipeline(self) -> Pipeline:
        return read(self.work / "pipeline.yaml")

    @fact
    def runs(self) -> Runs:
        recorder = self.place.recorder
        if recorder is None:
            raise CannotCheck("Nothing has listened to the engine.", "Run the first cell of the lab, then the runs.")
        return Runs(recorder.ran(), self.work)

    def heard_all(self) -> None:
        """Raise CannotCheck where something may not have been heard: what is missing tells nothing then."""
        if self.place.recorder.lost:
            fix = "Run the notebook again." if not self.place.salt else "Grade again."
            why = "The Docker engine went away while the notebook ran, or was too busy: some of it was not heard."
            raise CannotCheck(why, fix)

    def missing(self, observed: str, hint: str = "") -> NotThere:
        """Return what to raise where a container was not seen. Raises CannotCheck where it may be us."""
        self.heard_all()
        return NotThere(observed, hint)

    def ran(self, run: str, step: str) -> Attempt:
        """Return the last container of a run's step that ended well. Raises NotThere with what there is instead."""
        if found := self.runs[run].last(step):
            return found
        if not self.runs[run].attempts:
            raise self.missing(
                f"No container with the label shipyard.run={run} has run; labels seen: {listed(self.runs.names)}.",
                f"Run the cell of that day: run({run.removesuffix('-again')!r}, …). Its runner needs "
                "labels=marks(name).",
            )
        tries = self.runs[run].of(step)
        if not tries:
            steps = listed(self.runs[run].steps)
            raise self.missing(f"In the run {run}, no container of the step {step} has run; those of: {steps}.")
        if step == "deploy":
            self.room()
        code = tries[-1].ran.exit_code
        raise self.missing(
            f"In the run {run}, the container of {step} {f'failed with exit code {code}' if code else 'has no end'}.",
            f"runs/{run}.log holds what it printed.",
        )

    def room(self) -> None:
        """Raise CannotCheck where the cluster had no room for the new pods: then deploy fails, whatever was written."""
        for event in self.kube.events(100):
            if event.reason == "FailedScheduling" and "Insufficient" in event.message:
                raise CannotCheck(f"The cluster had no room for the pods of {NAME}: {cut(event.message, 200)}",
                                  "Remove what else runs on it (`shipyard reset`), then grade again.")  # fmt: skip

    @fact
    def rows(self) -> tuple[list[list[float]], list[int]]:
        return held_out()

    def model(self, run: str) -> bytes:
        """Return the model file that a run's training gave."""
        trained = self.pipeline.step("train")
        names = [name for name, kind in trained.gives.items() if kind == "system.Model"]
        if not names:
            raise NotThere("The step train gives no artifact of the type Model.", "Declare model: Output[Model].")
        return self.ran(run, "train").output(names[0])

    @fact
    def better(self) -> Judged:
        """What the grader finds of the model that was trained on tuesday's rows."""
        return judge_model(self.model("tuesday"), *self.rows)

    @fact
    def deployment(self) -> Deployment:
        return self.kube.deployment(NAME)

    @fact
    def notes(self) -> dict[str, str]:
        """The annotations of the Deployment, without their prefix."""
        seen = self.kube.apps.read_namespaced_deployment(NAME, self.place.namespace) if self.deployment else None
        notes = seen.metadata.annotations or {}
        return {key.removeprefix(PREFIX): value for key, value in notes.items()}

    @fact
    def served(self) -> str:
        """The digest of the model that serves, as the pods behind the Service say it."""
        self.deployment.wait_rolled_out(ROLLOUT_SECONDS)
        told = set()
        for _ in range(4):
            answer = self.kube.ask(NAME, "/info", port=PORT)
            if answer.status != 200 or not isinstance(answer.json, dict):
                raise NotThere(f"/info of the Service {NAME} answered: {answer}")
            told.add(str(answer.json.get("model")))
        if len(told) > 1:
            raise NotThere(
                f"The pods of {NAME} serve different models: {listed(sorted(cut(one, 20) for one in told))}."
            )
        return told.pop()


def dataset(step: Step) -> str:
    """Return the name of the one Dataset that a step is given. Raises NotThere for none or several."""
    names = [name for name, one in step.artifacts.items() if one.type == "system.Dataset"]
    if len(names) != 1:
        raise NotThere(f"The step {step.name} is given {len(names)} artifacts of the type Dataset; one is wanted.")
    return names[0]


def given(step: Step, kind: str) -> frozenset[Source]:
    """Return where a step's artifacts of one type come from."""
    return frozenset().union(*(one.sources for one in step.artifacts.values() if one.type == kind))
