"""The trees say from how many rows they were learned; the grader's own rows say which node read them."""

import json
from itertools import chain

import numpy as np
import pytest
import xgboost

from autograder.facts import NotThere
from autograder.labs import find_lab
from autograder.probes.trees import learned

hidden = find_lab("lab6_training").hidden


def grown(digits, **parameters) -> bytes:
    """Grow trees from random images of these digits, as a learner would, and return the file."""
    images = np.random.default_rng(0).integers(0, 17, (len(digits), 64))
    settings = {"objective": "multi:softprob", "num_class": 10, "nthread": 1, **parameters}
    return bytes(xgboost.train(settings, xgboost.DMatrix(images, label=digits), 3).save_raw("json"))


@pytest.mark.parametrize("parameters", [{}, {"base_score": 0.5}, {"objective": "multi:softmax"}, {"eta": 0.1},
                                        {"booster": "dart"}, {"max_depth": 1}])  # fmt: skip
def test_rows_of_each_digit_are_counted_whatever_the_parameters(parameters):
    counts = [7, 30, 12, 55, 20, 9, 41, 18, 3, 26]
    found = learned(grown(np.repeat(np.arange(10), counts), **parameters))
    assert found.matches(counts), found
    assert not found.matches([*counts[:-1], 27])
    assert round(found.rows) == sum(counts)


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"[]", b"{}", b'{"learner": 3}', b"[" * 100_000,
                                     grown(np.arange(10) % 2, objective="binary:logistic", num_class=0),
                                     grown(np.arange(100) % 10, booster="gblinear"),
                                     grown(np.arange(100) % 10, multi_strategy="multi_output_tree")])  # fmt: skip
def test_what_is_no_such_model_is_the_learners_fault_said_plainly(content):
    with pytest.raises(NotThere) as said:
        learned(content)
    assert "Traceback" not in said.value.observed and said.value.observed.endswith(".")


def test_a_model_without_numbers_is_refused():
    model = json.loads(grown(np.arange(100) % 10))
    model["learner"]["gradient_booster"]["model"]["trees"][0]["sum_hessian"][0] = float("nan")
    with pytest.raises(NotThere):
        learned(json.dumps(model).encode())


def digits_in(view: dict[str, str]) -> list[list[int]]:
    return [[int(line.rpartition(",")[2]) for line in text.splitlines()] for _, text in sorted(view.items())]


def flat(parts) -> list[int]:
    return list(chain.from_iterable(parts))


def counted(rows_of_node: list[list[int]]) -> tuple[float, ...]:
    return tuple(float(one) for one in np.bincount(flat(rows_of_node), minlength=10))


SHARES = {
    "every second file": (lambda parts, node: flat(parts[node::2]), True),
    "blocks of files": (lambda parts, node: flat(parts[2 * node : 2 * node + 2]), True),
    "every second row": (lambda parts, node: flat(parts)[node::2], True),
    "halves of files": (lambda parts, node: flat(part[50 * node :][:50] for part in parts), True),
    "node 0 reads all": (lambda parts, node: [] if node else flat(parts), False),
    "both read all": (lambda parts, node: flat(parts), False),
    "both read the same half": (lambda parts, node: flat(parts[:2]), False),
    "node 0's half only": (lambda parts, node: [] if node else flat(parts[:2]), False),
    "a file is forgotten": (lambda parts, node: flat(parts[:3][node::2]), False),
    "a file is read twice": (lambda parts, node: flat(parts[: 2 + node] if node else parts[2:]), False),
}


@pytest.mark.parametrize("salt", [0, 1, 2**31 - 1])
@pytest.mark.parametrize("name", SHARES)
def test_who_read_which_rows_is_told_from_the_counts_alone(name, salt):
    share, right = SHARES[name]
    views = hidden.views(salt)
    found = hidden.share_of_first(counted([share(digits_in(view), node) for node, view in enumerate(views)]), salt)
    assert (found is not None and hidden.LEAST <= found <= hidden.MOST) is right, found


def test_every_node_sees_every_digit_however_rows_are_shared():
    for share, right in SHARES.values():
        for node, view in enumerate(hidden.views(5)):
            if right:
                assert set(share(digits_in(view), node)) == set(range(10))
