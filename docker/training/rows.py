"""Write the rows to train on as CSV files: 64 numbers from 0 to 16, then the digit. `python rows.py FOLDER`.

Several files, as big data has: each node of a training reads some of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from digits_server.data import load_split

PARTS = 4


def main(folder: Path) -> None:
    """Write the 1,440 training rows in four files of equal size, taking turns; the held-out rows stay out."""
    folder.mkdir(parents=True, exist_ok=True)
    images, digits = load_split().train
    for part in range(PARTS):
        lines = [
            ",".join(str(int(number)) for number in (*image, digit))
            for image, digit in zip(images[part::PARTS], digits[part::PARTS], strict=True)
        ]
        (folder / f"part-{part}.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
