"""Load the model from its file, and predict with it."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from digits_server.data import INK, PIXELS

log = logging.getLogger(__name__)

# The types that a model file may hold beyond those that skops itself trusts. None: a
# file that asks for more is refused. (A pickle would run whatever code it carries.)
TRUSTED: list[str] = []


class BadModel(Exception):
    """Say in one sentence why no model could be loaded."""


@dataclass(frozen=True)
class Model:
    """Hold a loaded model, the sha256 of its file, and what model.json tells about it."""

    estimator: Any
    digest: str
    card: dict[str, Any] = field(default_factory=dict)

    def predict(self, rows: list[list[float]]) -> tuple[list[int], list[list[float]]]:
        """Return each row's digit and its ten probabilities, rounded to 6 places."""
        import numpy as np

        probabilities = self.estimator.predict_proba(np.asarray(rows, dtype=float) / INK)
        return probabilities.argmax(axis=1).tolist(), probabilities.round(6).tolist()


def load(path: Path) -> Model:
    """Load the model file at `path`, and model.json beside it if it is about that file.

    Raises BadModel where the file is missing, is no skops file, asks for types
    that are not trusted, or holds something else than a model for digits.
    """
    # Imported here, not above: this takes a second, in which the server already answers.
    import skops.io

    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadModel(f"The model file {path} cannot be read: {error.strerror}. Check MODEL_PATH.") from error
    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED))
        if unknown:
            raise BadModel(f"The model file {path} holds types that are not trusted: {', '.join(unknown)}.")
        estimator = skops.io.loads(content, trusted=TRUSTED)
    except BadModel:
        raise
    except Exception as error:  # a damaged file can fail in any way; the server must outlive all of them
        raise BadModel(
            f"The model file {path} ({len(content)} bytes) is damaged or no skops file ({type(error).__name__})."
        ) from error
    classes = [int(c) for c in getattr(estimator, "classes_", ())]
    if getattr(estimator, "n_features_in_", None) != PIXELS or classes != list(range(10)):
        raise BadModel(f"The model file {path} holds no model that tells ten digits from {PIXELS} numbers.")
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    model = Model(estimator, digest, _card(path.with_name("model.json"), digest))
    model.predict([[0.0] * PIXELS])  # the first call is the slow one: no user should wait for it
    return model


def _card(path: Path, digest: str) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text())
        return card if card["model"] == digest else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # a model swapped in without its card still predicts


class Loader:
    """Load a model in the background, so that the server can say "not yet" meanwhile."""

    def __init__(self, path: Path, delay: float = 0.0):
        self._path, self._delay = path, delay
        self.model: Model | None = None
        self.reason = "The model is still being loaded."
        self._thread = threading.Thread(target=self._run, name="model-loader", daemon=True)

    def start(self) -> Loader:
        """Begin to load; `delay` seconds pass first (LOAD_SECONDS stands in for a big model)."""
        self._thread.start()
        return self

    def wait(self, timeout: float | None = None) -> None:
        """Wait until loading has ended, well or badly, or `timeout` seconds are over."""
        self._thread.join(timeout)

    def _run(self) -> None:
        time.sleep(self._delay)
        try:
            self.model = load(self._path)
            log.info("Model %s is loaded from %s.", self.model.digest, self._path)
        except BadModel as error:
            self.reason = str(error)
            log.error("%s", error)
        except Exception as error:  # a missing library, no memory: a thread that dies in silence helps nobody
            self.reason = f"The model could not be loaded: {type(error).__name__}: {error}"
            log.exception("The model could not be loaded.")
