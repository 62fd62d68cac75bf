"""Make the Flask app: its routes, its errors, its settings."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from digits_server.metrics import Metrics
from digits_server.model import Loader
from digits_server.page import page
from digits_server.rows import MAX_BYTES, BadRows, read_rows

MODEL = Path(__file__).resolve().parent.parent / "model" / "digits.skops"
LIBRARIES = ("scikit-learn", "numpy", "skops", "flask", "gunicorn")


def settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the app's settings from environment variables; an empty one counts as not set.

    Raises ValueError where LOAD_SECONDS is no number of seconds.
    """
    text = environment.get("LOAD_SECONDS") or "0"
    try:
        delay = float(text)
        if not 0 <= delay <= 3600:
            raise ValueError
    except ValueError:
        raise ValueError(f"LOAD_SECONDS must be a number of seconds from 0 to 3600, not {text!r}.") from None
    return {
        "MODEL_PATH": environment.get("MODEL_PATH") or str(MODEL),
        "LOAD_SECONDS": delay,
        "POD_NAME": environment.get("POD_NAME") or socket.gethostname(),  # in a pod, the host's name is the pod's
    }


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return an app that answers at once and loads its model in the background.

    `config` may set MODEL_PATH, LOAD_SECONDS and POD_NAME. Where the model cannot
    be loaded the app stays up, and /readyz says why.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    app = Flask(__name__)
    app.config.update(settings({}))
    app.config.update(config or {})
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.json.sort_keys = False
    app.register_blueprint(page)

    loader = Loader(Path(app.config["MODEL_PATH"]), app.config["LOAD_SECONDS"]).start()
    metrics = Metrics()
    metrics.ready.set_function(lambda: float(loader.model is not None))
    app.extensions["loader"], app.extensions["metrics"] = loader, metrics
    pod = app.config["POD_NAME"]

    @app.get("/healthz")
    def healthz():
        """Say that the process lives; a restart would not bring back a broken model."""
        return {"status": "alive"}

    @app.get("/readyz")
    def readyz():
        """Say whether predictions can be asked for."""
        if loader.model is None:
            return {"status": "not ready", "reason": loader.reason}, 503
        return {"status": "ready", "model": loader.model.digest}

    @app.post("/predict")
    def predict():
        """Predict the digits of a batch of rows."""
        model = loader.model
        if model is None:
            return {"error": f"No prediction yet: {loader.reason}", "pod": pod}, 503, {"Retry-After": "1"}
        rows = read_rows(request.get_data(cache=False))
        with metrics.seconds.time():
            predictions, probabilities = model.predict(rows)
        for digit in predictions:
            metrics.predictions.labels(str(digit)).inc()
        return {"predictions": predictions, "probabilities": probabilities, "model": model.digest, "pod": pod}

    @app.get("/info")
    def info():
        """Tell which model this is, what it learned from, and who answers."""
        card = loader.model.card if loader.model else {}
        return {
            "model": loader.model.digest if loader.model else None,
            "data": card.get("data"),
            "accuracy": card.get("accuracy"),
            "trained_with": card.get("versions"),
            "versions": {name: version(name) for name in LIBRARIES},
            "pod": pod,
        }

    @app.get("/metrics")
    def show_metrics():
        """Give Prometheus its figures."""
        return Response(metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")

    @app.errorhandler(BadRows)
    def bad_rows(error: BadRows):
        return {"error": str(error)}, 400

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(error: RequestEntityTooLarge):
        return {"error": f"The body is larger than {MAX_BYTES // 2**20} MB. Send fewer rows at a time."}, 413

    @app.errorhandler(HTTPException)
    def any_other(error: HTTPException):
        answer = error.get_response()  # kept for its headers: a 405 must name the methods that are allowed
        answer.data = jsonify(error=f"{error.code} {error.name}: {error.description}").data
        answer.content_type = "application/json"
        return answer

    @app.after_request
    def count(response: Response):
        # Only paths that exist become labels: a scanner must not fill the memory with its guesses.
        path = request.url_rule.rule if request.url_rule else "other"
        metrics.requests.labels(path, str(response.status_code)).inc()
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return app
