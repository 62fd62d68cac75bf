"""Hand out the data: scikit-learn's handwritten digits, split once and for all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

PIXELS = 64  # 8 rows of 8
INK = 16  # a pixel's value: 0 is paper, 16 is full ink
BLOCK = 10  # rows: the file shows 0 to 9 again and again
EVERY = 5  # each fifth block is held out


class Rows(NamedTuple):
    """Hold images (n x 64 numbers from 0 to 16) and the digit that each one shows."""

    images: np.ndarray
    digits: np.ndarray


class Split(NamedTuple):
    """Hold the rows to train on, the held-out rows, and the digest of them all."""

    train: Rows
    test: Rows
    digest: str


def load_split() -> Split:
    """Return scikit-learn's 1,797 digits as train and held-out rows, and their digest.

    Each fifth block of ten rows is held out. Nothing is shuffled, so the split
    depends on no random generator, and row 5 is the same row for everybody. The
    file goes writer by writer; blocks take some of each one's, so the held-out
    rows say how well familiar hands are read, not new ones.

    >>> split = load_split()
    >>> len(split.train.images), len(split.test.images)
    (1440, 357)
    """
    import numpy as np  # both here: the server itself never needs the data
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    digest = hashlib.sha256(images.astype("<f8").tobytes() + digits.astype("<i8").tobytes()).hexdigest()
    held_out = np.arange(len(images)) // BLOCK % EVERY == EVERY - 1
    train, test = (Rows(images[kept], digits[kept]) for kept in (~held_out, held_out))
    return Split(train, test, f"sha256:{digest}")
