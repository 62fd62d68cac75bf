"""Serve a model of XGBoost's with the course's model server: MODEL_PATH may end in .json."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from digits_server import model
from digits_server.app import create_app, settings
from digits_server.data import INK, PIXELS
from digits_server.model import BadModel, Model

load_skops = model.load


class Trees:
    """Give XGBoost's trees the one method that the server asks of a model."""

    def __init__(self, content: bytes):
        import xgboost  # not above: it takes a moment, in which the server already answers

        self._matrix, self._booster = xgboost.DMatrix, xgboost.Booster()
        self._booster.load_model(bytearray(content))

    def predict_proba(self, rows: Any):
        """Return ten probabilities a row; the server gives ink from 0 to 1, the trees know 0 to 16."""
        return self._booster.predict(self._matrix(rows * INK)).astype(float)


def load(path: Path) -> Model:
    """Load a model file of either kind. Raises BadModel."""
    if path.suffix != ".json":
        return load_skops(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadModel(f"The model file {path} cannot be read: {error.strerror}. Check MODEL_PATH.") from error
    try:
        found = Model(Trees(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
        answers = found.predict([[0.0] * PIXELS])[1]  # the first call is the slow one: no user should wait for it
    except Exception as error:  # a damaged file can fail in any way; the server must outlive all of them
        raise BadModel(f"The model file {path} holds no trees of XGBoost's ({type(error).__name__}).") from error
    if [len(one) for one in answers] != [10]:
        raise BadModel(f"The model file {path} holds no model that tells ten digits from {PIXELS} numbers.")
    return found


model.load = load  # the one door through which the server's loader gets a model
app = create_app(settings(os.environ))
