"""Judge lab 6 with rows that the learner never saw. Instructors only: never released."""

from __future__ import annotations

import random

from autograder.checks import Finding, check
from autograder.facts import NotThere, fact
from autograder.labs import find_lab
from autograder.probes.rerun import CopyFailed, rerun
from autograder.probes.training import TrainJob
from autograder.probes.trees import learned

from . import seen as base

unseen = find_lab("lab1_dockerfile").hidden  # the same digits, so the same way to change them
PARTS, HALF, SHIFT = 4, 50, 5
LEAST, MOST = 0.35, 0.65  # the share of a node that has about half of the rows
COUNT = 40


def digits_of(salt: int) -> list[list[int]]:
    """Return a digit for each row of each file, most of them from 0 to 4, unevenly spread over files and halves.

    Each half of a file holds all ten digits, so that any way to share rows leaves every node some of each.
    """
    draw = random.Random(salt)
    parts = []
    for _ in range(PARTS):
        part: list[int] = []
        for _ in range(2):
            weights = [draw.choice((1, 2, 4, 8, 16)) for _ in range(SHIFT)]
            half = [*range(10), *draw.choices(range(SHIFT), weights, k=HALF - 10)]
            draw.shuffle(half)
            part += half
        parts.append(part)
    return parts


def views(salt: int) -> list[dict[str, str]]:
    """Return what two nodes find in the place of the rows: the same images, but node 1 reads other digits.

    What is d for node 0 is d + 5 (10 is 0 again) for node 1. So the digits that the trees have counted tell
    which node read which rows.
    """
    images = iter([[unseen.changed(ink, random.Random(salt)) for ink in row] for row in base.rows()[0]] * 2)
    files = {f"part-{number}.csv": [(next(images), digit) for digit in part]
             for number, part in enumerate(digits_of(salt))}  # fmt: skip

    def text(rows: list, node: int) -> str:
        return "".join(",".join(map(str, (*image, (digit + SHIFT * node) % 10))) + "\n" for image, digit in rows)

    return [{name: text(rows, node) for name, rows in files.items()} for node in (0, 1)]


def share_of_first(classes: tuple[float, ...], salt: int) -> float | None:
    """Return the share of all rows that node 0 read; None where some row was read twice or by nobody."""
    total = [sum(part.count(digit) for part in digits_of(salt)) for digit in range(10)]
    for digit in range(SHIFT):
        other = digit + SHIFT
        if abs(classes[digit] + classes[other] - total[digit] - total[other]) > 0.3:
            return None
    # Exact but for the few rows of 5 to 9, of which half are taken to be node 0's.
    first = sum(classes[digit] - total[digit + SHIFT] / 2 for digit in range(SHIFT))
    return first / sum(total[:SHIFT])


class Seen(base.Seen):
    """See what lab 6 sees, the training run once more, and rows that vary from one submission to the next."""

    @fact
    def shared(self) -> tuple[float, ...]:
        """How many rows of each digit the training counts when each node finds rows of its own."""
        found = self.trees_of_a_copy(self.together)
        if isinstance(found, NotThere):
            raise NotThere("Run once more on other rows, the training left no model.")
        return learned(found).classes

    def trees_of_a_copy(self, job: TrainJob, tries: int = 3) -> bytes | NotThere:
        """Return the model that a copy of the training leaves. Raises CopyFailed, NotThere, CannotCheck."""
        with rerun(self.kube, job, views(self.place.salt), base.CLAIM) as trial:
            try:
                trial.wait(max(150, 4 * job.seconds))
            except CopyFailed:
                if tries == 1:
                    raise
            else:
                return trial.read([base.TREES], self.in_cluster)[base.TREES]
        # A training that is at fault fails each time; nodes that met too late, on a busy machine, meet the next time.
        return self.trees_of_a_copy(job, tries - 1)

    @fact
    def asked(self) -> tuple[list[list[int]], list[int]]:
        """Rows that nobody has seen, and what the model on the volume says of them."""
        draw = random.Random(self.place.salt)
        rows = [[unseen.changed(ink, draw) for ink in row] for row in draw.sample(base.rows()[0], COUNT)]
        said = self.ask_models({base.TREES: self.file(base.TREES)}, rows)[base.TREES]
        if isinstance(said, NotThere):
            raise said
        return rows, said


@check(
    "shares_rows",
    points=3,
    expects="Two nodes share one training: run once more on other rows in the same four files, each row is read by one "
    "node, each node reads about half of them, and the model knows them all.",
    hint="A node reads its own share of the files, and what it learns goes into one model by way of the communicator.",
    chapter="kubeflow#distributed-training",
    hidden=True,
)
def shares_rows(seen: Seen) -> Finding:
    if not seen.together.complete:
        return Finding(False, "The TrainJob together is not Complete, so it cannot be run once more.")
    share = share_of_first(seen.shared, seen.place.salt)
    if share is None:
        return Finding(False, "In the model, some rows count twice or not at all.")
    if LEAST <= share <= MOST:
        return Finding(True, "Each node read about half of the rows, and the model has learned from all.")
    hint = "Who trains alone on all rows shares nothing: each node takes its share, inside the communicator."
    return Finding(False, "Nearly all rows that the model has learned from were read by one node.", hint)


@check(
    "predicts_held_out",
    points=1,
    expects="Through the Service, digits that you have not seen are read exactly as the volume's model reads them.",
    hint="The Service must answer with the model that the training wrote, unchanged.",
    chapter="kubernetes#services",
    hidden=True,
)
def predicts_held_out(seen: Seen) -> Finding:
    rows, expected = seen.asked
    assert seen.deployment
    return unseen.compare(rows, expected, lambda body: seen.kube.ask("digits", "/predict", port=base.PORT,
                                                                     method="POST", json=body))  # fmt: skip
