"""Write the batches of rows that the pipeline's `load` step finds in /data: `python batches.py FOLDER`.

A row is a line of 65 numbers: the ink of 8 x 8 pixels (0 to 16), then the digit. The rows are scikit-learn's
handwritten digits, split as the model server splits them (each fifth block of ten rows is held out).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

BLOCK, EVERY = 10, 5
FEW = 100  # rows of the first day
SLIPPED_FROM = 300  # the row from which the labels of a bad day belong to the row before


def batches() -> dict[str, np.ndarray]:
    """Return each batch's rows by its name.

    monday: few rows. tuesday: all of them. wednesday: as many, but somebody
    joined two tables with an off-by-one error, so that most rows carry their
    neighbour's digit; every single value is a possible one.
    """
    images, digits = load_digits(return_X_y=True)
    rows = np.column_stack([images, digits]).astype(int)
    held_out = np.arange(len(rows)) // BLOCK % EVERY == EVERY - 1
    train = rows[~held_out]
    slipped = train.copy()
    slipped[SLIPPED_FROM:, 64] = train[SLIPPED_FROM - 1 : -1, 64]
    return {"monday": train[:FEW], "tuesday": train, "wednesday": slipped, "held-out": rows[held_out]}


def main(folder: Path) -> None:
    """Write a file a batch."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in batches().items():
        np.savetxt(folder / f"{name}.csv", rows, fmt="%d", delimiter=",")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
