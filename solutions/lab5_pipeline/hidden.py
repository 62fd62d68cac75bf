"""Judge lab 5 with rows and models that the learner never saw. Instructors only: never released."""

from __future__ import annotations

import random

from autograder.checks import Finding, check
from autograder.facts import fact
from autograder.labs import find_lab
from autograder.probes.digits import digits_in
from autograder.probes.steprun import Outcome, run_step

from . import seen as base

unseen = find_lab("lab1_dockerfile").hidden  # the same data, so the same way to change ink a little


def as_csv(rows: list[list[float]], digits: list[int]) -> bytes:
    """Return rows as load gives them: 64 numbers of ink and the digit, a line each."""
    return "".join(f"{','.join(str(int(ink)) for ink in row)},{digit}\n"
                   for row, digit in zip(rows, digits, strict=True)).encode()  # fmt: skip


class Seen(base.Seen):
    """See what lab 5 sees, and single steps of the learner's pipeline at work on rows of ours."""

    @fact
    def draw(self) -> random.Random:
        return random.Random(self.place.salt)

    @fact
    def train_rows(self) -> tuple[list[list[float]], list[int]]:
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        kept = [number for number in range(len(images)) if number // 10 % 5 != 4]
        return images[kept].tolist(), [int(digits[number]) for number in kept]

    def run(self, step: str, **artifacts: bytes) -> Outcome:
        """Run one step of the compiled pipeline in a fresh container, with inputs of ours."""
        return run_step(self.docker.client, self.pipeline.step(step), artifacts=artifacts)


@check(
    "validate_refuses",
    points=1,
    expects="validate, run by itself, hands good rows on unchanged, and fails for a row with ink outside 0 to 16 or "
    "with a digit outside 0 to 9.",
    hint="Look at the smallest and the largest value of the ink and of the digits; raise ValueError.",
    chapter="kubeflow#components",
    hidden=True,
)
def validate_refuses(seen: Seen) -> Finding:
    step, draw = seen.pipeline.step("validate"), random.Random(seen.place.salt)
    name, (images, digits) = base.dataset(step), seen.train_rows
    chosen = draw.sample(range(len(images)), 40)
    rows, labels = [list(images[number]) for number in chosen], [digits[number] for number in chosen]
    good = seen.run("validate", **{name: as_csv(rows, labels)})
    if good.exit_code != 0:
        return Finding(False, "validate failed for rows that are good.")
    gives = [one for one, kind in step.gives.items() if kind == "system.Dataset"]
    if not gives or not _same(good.artifacts.get(gives[0], b""), rows, labels):
        return Finding(False, "What validate hands on is not what it was given.")
    place, pixel, missed = draw.randrange(40), draw.randrange(64), []
    for what, values in (("ink", (-3, 17)), ("a digit", (-1, 10))):  # below and above: one bound alone is not enough
        for value in values:
            ink, odd = [list(row) for row in rows], list(labels)
            if what == "ink":
                ink[place][pixel] = value
            else:
                odd[place] = value
            if seen.run("validate", **{name: as_csv(ink, odd)}).exit_code == 0:
                missed.append(what)
    if missed:
        share = 0.5 if set(missed) == {"a digit"} else False
        return Finding(share, f"validate let a row pass with {missed[0]} out of range.")
    return Finding(True, "validate hands good rows on and refuses what is too small or too large.")


def _same(content: bytes, rows: list[list[float]], labels: list[int]) -> bool:
    import io

    import numpy as np

    try:
        table = np.loadtxt(io.BytesIO(content), delimiter=",", ndmin=2)
    except ValueError:
        return False
    wanted = np.column_stack([np.asarray(rows), np.asarray(labels)])
    return table.shape == wanted.shape and bool(np.allclose(table, wanted))


@check(
    "train_learns",
    points=2,
    expects="train, run by itself on rows that you have not seen, learns these and nothing else.",
    hint="The only data that train may use are those of its input artifact.",
    chapter="kubeflow#components",
    hidden=True,
)
def train_learns(seen: Seen) -> Finding:
    step, draw = seen.pipeline.step("train"), random.Random(seen.place.salt + 1)
    images, digits = seen.train_rows
    other = list(range(10))
    while any(one == number for number, one in enumerate(other)):  # every digit gets another name
        draw.shuffle(other)
    rows = [[unseen.changed(int(ink), draw) for ink in row] for row in images]
    outcome = seen.run("train", **{base.dataset(step): as_csv(rows, [other[digit] for digit in digits])})
    if outcome.exit_code != 0:
        return Finding(False, "train failed on rows of the same kind.")
    model = next((outcome.artifacts[name] for name, kind in step.gives.items()
                  if kind == "system.Model" and name in outcome.artifacts), b"")  # fmt: skip
    test, true = seen.rows
    judged = base.judge_model(model, test, [other[digit] for digit in true])
    said = f"Trained on rows with other labels, the model reads {judged.accuracy:.0%} of held-out rows by these labels."
    return Finding(judged.accuracy >= 0.85, said)


@check(
    "evaluates_what_it_gets",
    points=2,
    expects="evaluate, run by itself with a model and rows that you have not seen, tells the accuracy of that model on "
    "these rows, as metric and as result.",
    hint="evaluate may use its two input artifacts only: the model and the test rows.",
    chapter="kubeflow#metrics",
    hidden=True,
)
def evaluates_what_it_gets(seen: Seen) -> Finding:
    step, draw = seen.pipeline.step("evaluate"), random.Random(seen.place.salt + 2)
    images, digits = seen.rows
    chosen = draw.sample(range(len(images)), draw.randrange(150, 250))
    rows = [[unseen.changed(int(ink), draw) for ink in images[number]] for number in chosen]
    labels = [digits[number] if draw.random() < 0.6 else draw.randrange(10) for number in chosen]
    model = seen.model("tuesday")
    true = base.judge_model(model, rows, labels).accuracy
    models = [name for name, one in step.artifacts.items() if one.type == "system.Model"]
    if len(models) != 1:
        return Finding(False, f"evaluate is given {len(models)} models.")
    outcome = seen.run("evaluate", **{models[0]: model, base.dataset(step): as_csv(rows, labels)})
    if outcome.exit_code != 0:
        return Finding(False, "evaluate failed on rows of the same kind.")
    logged = [one["accuracy"] for name, one in outcome.metadata.items()
              if step.gives.get(name) == "system.Metrics" and isinstance(one.get("accuracy"), int | float)]  # fmt: skip
    close = [abs(one - true) <= base.CLOSE for one in logged]
    returned = any(abs(value - true) <= base.CLOSE for value in outcome.parameters.values()
                   if isinstance(value, int | float))  # fmt: skip
    if not any(close):
        return Finding(False, "The accuracy that was logged is not that of the given model on the given rows.")
    said = "It logged the true accuracy of a model on rows that it had never seen"
    return Finding(1 if returned else 0.5, f"{said}." if returned else f"{said}, but returned something else.")


@check(
    "serves_held_out",
    points=1,
    expects="The Service reader reads digits that you have not seen exactly as tuesday's model reads them.",
    hint="The pods must serve tuesday's model, and it must have been trained on ink / 16.",
    chapter="kubeflow#deploy-step",
    hidden=True,
)
def serves_held_out(seen: Seen) -> Finding:
    draw = random.Random(seen.place.salt + 3)
    images, digits = seen.rows
    chosen = draw.sample(range(len(images)), 60)
    rows = [[unseen.changed(int(ink), draw) for ink in images[number]] for number in chosen]
    labels = [digits[number] for number in chosen]
    judged = base.judge_model(seen.model("tuesday"), rows, labels)
    assert seen.served
    answer = seen.kube.ask(base.NAME, "/predict", port=base.PORT, method="POST", json={"instances": rows})
    said = digits_in(answer, rows)
    if said is None:
        return Finding(False, "The Service gave no usable answer.")
    same = sum(one == other for one, other in zip(said, judged.guesses, strict=True))
    if judged.accuracy < 0.8:
        return Finding(False, f"The model reads {judged.accuracy:.0%} of the rows right.")
    return Finding(same >= len(rows) - 1, f"{same} of {len(rows)} unseen digits are read as tuesday's model does.")
