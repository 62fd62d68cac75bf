"""Count in a model of trees from how many rows of each class it was learned.

A tree's root says how much all rows together weigh (`sum_hessian`) and where
their errors pull (`base_weights`). Before the first tree every row has the same
probabilities, so both can be turned back into numbers of rows. With several
nodes these are sums over all of them: whether two nodes made one training, and
of which rows, stands in the model itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from autograder.facts import NotThere

LAMBDA = 1.0  # XGBoost's own; the labs ask to leave it
LARGEST = 4_000_000  # bytes of a model's file
NO_TREES = "Save it with `save_model` of XGBoost, under a name that ends in .json."


@dataclass(frozen=True)
class Learned:
    """Hold the numbers of rows, whole and of each class, as the trees have them; they are not rounded."""

    rows: float
    classes: tuple[float, ...]

    def matches(self, classes: list[int], tolerance: float = 0.05) -> bool:
        """Tell whether these are the rows, each of them once; `tolerance` is for the sums of 32 bit numbers."""
        near = len(classes) == len(self.classes)
        return near and all(abs(a - b) <= tolerance for a, b in zip(self.classes, classes, strict=True))


def learned(content: bytes) -> Learned:
    """Return from how many rows of each class a model (XGBoost's JSON) was learned.

    Raises NotThere for a file that is no such model of several classes, or one
    whose first trees do not say it.
    """
    if len(content) > LARGEST:
        raise NotThere(f"The model file has {len(content)} bytes; at most {LARGEST} are read.")
    try:
        learner = json.loads(content)["learner"]
        settings, booster = learner["learner_model_param"], learner["gradient_booster"]
        model = booster.get("model") or booster["gbtree"]["model"]
        count = int(settings["num_class"])
        trees = model["trees"][:count]
        of = [int(one) for one in model["tree_info"][:count]]
        if learner["objective"]["name"] not in ("multi:softprob", "multi:softmax"):
            raise NotThere(
                f"The model was trained for {learner['objective']['name'][:40]}, not to tell ten digits.",
                'The objective "multi:softprob" gives a probability for each class.',
            )
        if of != list(range(count)):
            raise NotThere("The model's first trees are not one for each digit.",
                           "Leave `multi_strategy` and `num_parallel_tree` as they are.")  # fmt: skip
        start = softmax(numbers(settings["base_score"], count))
        return counted(start, [root(tree) for tree in trees])
    except NotThere:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, ZeroDivisionError, OverflowError,
            RecursionError) as error:  # fmt: skip
        raise NotThere(f"The file is no model of XGBoost's trees ({type(error).__name__}).", NO_TREES) from error


def root(tree: dict[str, Any]) -> tuple[float, float]:
    """Return a tree's sum of hessians and its weight at the root."""
    return float(tree["sum_hessian"][0]), float(tree["base_weights"][0])


def counted(start: list[float], roots: list[tuple[float, float]]) -> Learned:
    """Return the numbers of rows; `start` are the probabilities before the first tree.

    For a row of probability p, XGBoost's softmax has the hessian 2 p (1 - p) and
    the gradient p, less 1 for the row's own class.

    >>> counted([0.5, 0.5], [(2.0, -0.0), (2.0, 0.0)])
    Learned(rows=4.0, classes=(2.0, 2.0))
    """
    rows = sum(weight for weight, _ in roots) / sum(2 * p * (1 - p) for p in start)
    classes = [rows * p + pull * (weight + LAMBDA) for p, (weight, pull) in zip(start, roots, strict=True)]
    if not all(math.isfinite(one) for one in (rows, *classes)):
        raise ValueError("not finite")
    return Learned(rows, tuple(classes))


def numbers(text: str, count: int) -> list[float]:
    """Return the scores from which a model starts: one for each class, or one for all.

    >>> numbers("[1E0,2E0]", 2), numbers("5E-1", 2)
    ([1.0, 2.0], [0.5, 0.5])
    """
    found = [float(one) for one in str(text).strip("[]").split(",")]
    return found * count if len(found) == 1 else found


def softmax(scores: list[float]) -> list[float]:
    """Return probabilities from scores."""
    top = max(scores)
    powers = [math.exp(one - top) for one in scores]
    return [one / sum(powers) for one in powers]
