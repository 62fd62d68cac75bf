"""Train both versions of the model and write model/, versions/v2/ and the page's examples: `python train.py`.

The same libraries on the same kind of processor write the same bytes, so that
the file's digest names the model. (Another processor may round differently.)
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import skops.io
from digits_server.data import INK, Rows, Split, load_split
from digits_server.model import load
from scipy import ndimage
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
COPIES = 10
LEFTOVERS = ("_optimizer", "_random_state", "_best_coefs", "_best_intercepts", "loss_curve_", "validation_scores_")


def varied(rows: Rows, copies: int = COPIES) -> Rows:
    """Return the rows and `copies` turned, slanted, stretched and shifted versions of each.

    Nobody writes twice alike, and 1,440 images show too little of that.
    """
    rng = np.random.default_rng(0)
    images = [rows.images]
    for _ in range(copies):
        images.append(np.array([_bend(image.reshape(8, 8), rng).ravel() for image in rows.images]))
    return Rows(np.concatenate(images), np.tile(rows.digits, copies + 1))


def _bend(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    angle = np.deg2rad(rng.uniform(-12, 12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.diag(rng.uniform(0.85, 1.15, 2))
    slant = np.array([[1, 0], [rng.uniform(-0.2, 0.2), 1]])
    matrix, middle = turn @ stretch @ slant, np.array([3.5, 3.5])
    offset = middle - matrix @ middle + rng.uniform(-0.8, 0.8, 2)
    return np.clip(ndimage.affine_transform(image, matrix, offset=offset, order=1).round(), 0, INK)


def smudged(rows: Rows) -> Rows:
    """Return the rows and a smudged copy of each: half of its pixels lighter or darker by up to 5 of 16."""
    rng = np.random.default_rng(1)
    change = rng.integers(-5, 6, rows.images.shape) * (rng.random(rows.images.shape) < 0.5)
    dirty = np.clip(rows.images + change, 0, INK)
    return Rows(np.concatenate([rows.images, dirty]), np.tile(rows.digits, 2))


def train(rows: Rows, hidden: int = 128, seed: int = 0) -> MLPClassifier:
    """Return a network of `hidden` units trained on `rows`; one thread, so that sums are taken in one order."""
    model = MLPClassifier(
        (hidden,), alpha=0.1, learning_rate_init=0.002, max_iter=25, tol=0, n_iter_no_change=25, random_state=seed
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 25 rounds are enough; more learns the rows by heart
        model.fit(rows.images / INK, rows.digits)
    for name in LEFTOVERS:  # needed to go on training, not to predict
        vars(model).pop(name, None)
    return model


def to_bytes(model: MLPClassifier) -> bytes:
    """Return the model as a skops file that is the same each time.

    skops names parts by their address in memory and notes the time: both are
    replaced, by a running number and a fixed date.
    """
    numbers: dict[str, str] = {}

    def number(found: re.Match) -> str:
        return found[1] + numbers.setdefault(found[2], str(len(numbers) + 1))

    given = zipfile.ZipFile(io.BytesIO(skops.io.dumps(model)))
    schema = re.sub(r'("__id__": |"file": ")(\d+)', number, given.read("schema.json").decode())
    parts = {"schema.json": schema.encode()}
    for name in given.namelist():
        if name != "schema.json":
            stem, _, ending = name.partition(".")
            parts[f"{numbers[stem]}.{ending}"] = given.read(name)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in sorted(parts.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    return made.getvalue()


def write(model: MLPClassifier, out: Path, split: Split) -> dict:
    """Write a model and its card into the folder `out`, and return the card."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "digits.skops").write_bytes(to_bytes(model))
    written = load(out / "digits.skops")  # the file is judged, not the object that it was made of
    guesses, _ = written.predict(split.test.images.tolist())
    card = {
        "model": written.digest,
        "data": split.digest,
        "accuracy": round(float(np.mean(np.array(guesses) == split.test.digits)), 4),
        "train_rows": len(split.train.digits),
        "held_out_rows": len(split.test.digits),
        "versions": {name: version(name) for name in ("scikit-learn", "numpy", "scipy", "skops")},
    }
    (out / "model.json").write_text(json.dumps(card, indent=2) + "\n")
    return card


def main(folder: Path = HERE) -> dict:
    """Train, write the files below `folder`, and return what model.json says."""
    split = load_split()
    rows = varied(split.train)
    card = write(train(rows), folder / "model", split)
    write(train(smudged(rows), hidden=160, seed=1), folder / "versions" / "v2", split)
    first = [int(np.flatnonzero(split.test.digits == digit)[0]) for digit in range(10)]
    examples = [split.test.images[row].astype(int).tolist() for row in first]
    static = folder / "digits_server" / "static"
    static.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(image, separators=(",", ":")) for image in examples)
    (static / "examples.json").write_text(f"[\n{lines}\n]\n")
    return card


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
