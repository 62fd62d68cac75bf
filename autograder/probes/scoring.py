"""Ask model files for predictions, in a container that has nothing else: the files are strangers'.

answers = predictions(docker, "localhost:5001/training@sha256:…", {"a.skops": content}, rows)
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping

import docker.errors
import requests

from autograder.facts import CannotCheck, NotThere
from autograder.probes.docker import Docker
from autograder.probes.engine import LABEL, asking
from autograder.probes.words import cut

SECONDS = 90
MEMORY = 1 << 30
PREDICT = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
rows = np.array(json.load(open("/tmp/asked/rows.json")), dtype=float)
def digits(path):
    if path.endswith(".json"):
        import xgboost
        model = xgboost.Booster(model_file=path)
        found = np.asarray(model.predict(xgboost.DMatrix(rows)))
        return found.argmax(axis=1) if found.ndim == 2 else found
    import skops.io
    unknown = skops.io.get_untrusted_types(file=path)
    if unknown:
        raise ValueError("it holds types that are not trusted: " + ", ".join(unknown[:5]))
    return skops.io.load(path, trusted=[]).predict(rows)
found = {}
for name in sorted(os.listdir("/tmp/asked/models")):
    try:
        found[name] = {"digits": [int(one) for one in digits("/tmp/asked/models/" + name)]}
    except BaseException as error:
        found[name] = {"error": f"{type(error).__name__}: {error}"[:300]}
os.write(3, json.dumps(found).encode())
"""


def predictions(
    engine: Docker, image: str, models: Mapping[str, bytes], rows: list[list[int]]
) -> dict[str, list[int] | NotThere]:
    """Return each model's digits for rows of 64 numbers; for a file that gives none, the reason.

    Files that end in .json are XGBoost's, others skops'. Raises CannotCheck
    where the container cannot be run.
    """
    if not models:
        return {}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        contents = {"asked/rows.json": json.dumps(rows).encode()}
        for path, content in {**contents, **{f"asked/models/{name}": one for name, one in models.items()}}.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    client = engine.client
    with asking(f"pull {image}"):
        client.images.pull(image)  # by digest: nothing is fetched where it is there
    with asking("run a container that asks models"):
        made = client.containers.create(
            image, ["sh", "-c", 'exec 3>&1 1>/dev/null 2>&1; exec python -c "$0"', PREDICT], labels={LABEL: "1"},
            network_mode="none", mem_limit=MEMORY, cap_drop=["ALL"], pids_limit=64,
        )  # fmt: skip
    try:
        with asking("ask models for predictions"):
            made.put_archive("/tmp", packed.getvalue())
            made.start()
            try:
                made.wait(timeout=SECONDS)
            except (requests.RequestException, docker.errors.APIError):
                made.kill()
            text = made.logs(stdout=True, stderr=False)
    finally:
        with asking("remove a container"):
            made.remove(force=True, v=True)
    try:
        found = json.loads(text)
    except ValueError:
        # One file ended or held up all of them: each alone, so that it harms only itself.
        if len(models) > 1:
            return {name: predictions(engine, image, {name: one}, rows)[name] for name, one in models.items()}
        return {name: NotThere(f"{name} gives no predictions within {SECONDS} s.") for name in models}
    return {name: _answer(name, found.get(name), len(rows)) for name in models}


def _answer(name: str, found: object, count: int) -> list[int] | NotThere:
    digits = found.get("digits") if isinstance(found, dict) else None
    if isinstance(digits, list) and len(digits) == count and all(isinstance(one, int) for one in digits):
        return digits
    why = found.get("error", "") if isinstance(found, dict) else ""
    return NotThere(f"{name} is no model that can be asked: {cut(str(why), 200)}",
                    "A model's file is written by skops.io.dump, or by XGBoost's save_model as .json.")  # fmt: skip


def accuracy(digits: list[int] | NotThere | CannotCheck, right: list[int]) -> float:
    """Return the share of digits that are right. Raises the reason where there are none."""
    if isinstance(digits, Exception):
        raise digits
    return sum(one == other for one, other in zip(digits, right, strict=True)) / len(right)
