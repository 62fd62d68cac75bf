"""The model server: what it answers, what it refuses, how it starts and stops."""

import importlib.util
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path

import pytest

SERVER = Path(__file__).resolve().parents[2] / "docker" / "model-server"
sys.path.insert(0, str(SERVER))

from digits_server.app import create_app, settings  # noqa: E402
from digits_server.data import load_split  # noqa: E402
from digits_server.model import BadModel, load  # noqa: E402

from autograder.probes.packages import pins  # noqa: E402
from autograder.waiting import wait_until  # noqa: E402

ROW = [0] * 64
MODEL = SERVER / "model" / "digits.skops"


def start(**config):
    """Return an app whose loading has ended."""
    app = create_app({"POD_NAME": "test-pod", **config})
    app.extensions["loader"].wait(60)
    return app


@pytest.fixture(scope="module")
def client():
    return start().test_client()


@pytest.fixture(scope="module")
def split():
    return load_split()


def metric(client, line):
    """Return the value of one line of /metrics; an absent one counts as 0."""
    found = re.search(rf"^{re.escape(line)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


# ---- predictions


def test_held_out_rows_are_read_right(client, split):
    answer = client.post("/predict", json={"instances": split.test.images.tolist()})
    assert answer.status_code == 200
    right = (answer.json["predictions"] == split.test.digits).mean()
    assert right >= 0.97
    assert right == pytest.approx(client.get("/info").json["accuracy"], abs=1e-4), "model.json tells another accuracy"


def test_an_answer_has_a_digit_ten_probabilities_the_model_and_the_pod(client, split):
    answer = client.post("/predict", json={"instances": split.test.images[:3].tolist()}).json
    assert len(answer["predictions"]) == len(answer["probabilities"]) == 3
    for digit, shares in zip(answer["predictions"], answer["probabilities"], strict=True):
        assert len(shares) == 10 and sum(shares) == pytest.approx(1, abs=1e-4)
        assert shares[digit] == max(shares)
    assert answer["pod"] == "test-pod"
    assert answer["model"] == client.get("/info").json["model"]


def test_a_row_is_read_the_same_alone_and_in_a_batch(client, split):
    rows = split.test.images[:20].tolist()
    batch = client.post("/predict", json={"instances": rows}).json["probabilities"]
    alone = [client.post("/predict", json={"instances": [row]}).json["probabilities"][0] for row in rows]
    for one, other in zip(batch, alone, strict=True):
        assert one == pytest.approx(other, abs=2e-6)


def test_a_thousand_long_rows_are_accepted_without_a_content_type(client):
    body = json.dumps({"instances": [[15.123456789012345] * 64] * 1000})
    assert client.post("/predict", data=body).status_code == 200


# ---- bad input: each answer says which row and what is expected

BAD = {
    "not JSON": (b"{instances: ", "not JSON"),
    "empty body": (b"", "not JSON"),
    "not text": (b"\xff\xfe\x00", "not JSON"),
    "brackets without end": (b"[" * 100_000, "not JSON"),
    "a list": (b"[[1, 2]]", "a list, not an object"),
    "null": (b"null", "null, not an object"),
    "missing key": ({"instance": [ROW]}, '"instances" is missing'),
    "instances is text": ({"instances": "0, 0"}, "text, not a list"),
    "no rows": ({"instances": []}, "empty list"),
    "too many rows": ({"instances": [[]] * 1001}, "1001 rows"),
    "a row without its list": ({"instances": ROW}, "[[...]]"),
    "row is an object": ({"instances": [ROW, {}]}, "Row 1 is an object"),
    "63 numbers": ({"instances": [ROW, ROW, ROW[:63]]}, "Row 2 holds 63 numbers"),
    "an image of 8 lists": ({"instances": [[[0] * 8] * 8]}, "Row 0 holds 8 numbers"),
    "text in a row": ({"instances": [[*ROW[:63], "7"]]}, "Row 0, place 63 is text"),
    "null in a row": ({"instances": [[None, *ROW[1:]]]}, "Row 0, place 0 is null"),
    "true in a row": ({"instances": [[True, *ROW[1:]]]}, "Row 0, place 0 is true"),
    "list in a row": ({"instances": [[[], *ROW[1:]]]}, "Row 0, place 0 is a list"),
    "not a number": ({"instances": [[float("nan"), *ROW[1:]]]}, "Row 0, place 0 is NaN"),
    "infinite": ({"instances": [[float("inf"), *ROW[1:]]]}, "Row 0, place 0 is infinite"),
    "too large": ({"instances": [ROW, [*ROW[:5], 16.5, *ROW[6:]]]}, "Row 1, place 5 is 16.5"),
    "negative": ({"instances": [[-1, *ROW[1:]]]}, "Row 0, place 0 is -1"),
    "huge": ({"instances": [[10**400, *ROW[1:]]]}, "many digits"),
}


@pytest.mark.parametrize("body, said", BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_with_a_sentence(client, body, said):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/predict", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert said in answer.json["error"]
    assert len(answer.json["error"]) < 250


def test_a_body_that_is_too_large_is_413(client):
    answer = client.post("/predict", data=b" " * (2 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    assert "Send fewer rows" in answer.json["error"]


def test_wrong_path_and_wrong_method_are_json_too(client):
    assert client.get("/predictions").status_code == 404
    assert "404" in client.get("/predictions").json["error"]
    answer = client.get("/predict")
    assert answer.status_code == 405 and "POST" in answer.headers["Allow"]
    assert "405" in answer.json["error"]


# ---- readiness


@pytest.fixture
def gate(tmp_path):
    """Return a model path that blocks whoever reads it until the test opens it."""
    path = tmp_path / "pipe.skops"
    os.mkfifo(path)
    return path


def test_ready_only_once_the_model_is_loaded(gate):
    app = create_app({"MODEL_PATH": str(gate)})
    client = app.test_client()
    before = client.get("/readyz")
    assert before.status_code == 503 and "still being loaded" in before.json["reason"]
    assert client.get("/healthz").status_code == 200
    assert client.get("/info").json["model"] is None
    refused = client.post("/predict", json={"instances": [ROW]})
    assert refused.status_code == 503 and "still being loaded" in refused.json["error"]
    assert metric(client, "digits_model_ready") == 0

    gate.write_bytes(MODEL.read_bytes())
    app.extensions["loader"].wait(60)
    assert client.get("/readyz").status_code == 200
    assert client.post("/predict", json={"instances": [ROW]}).status_code == 200
    assert metric(client, "digits_model_ready") == 1


def test_load_seconds_holds_readiness_back():
    started = time.monotonic()
    client = start(LOAD_SECONDS=0.5).test_client()
    assert client.get("/readyz").status_code == 200
    assert time.monotonic() - started >= 0.5


def broken_models(folder):
    """Yield a name, a file that is no usable model, and what must be said of it."""
    yield "missing", folder / "nowhere.skops", "No such file"
    yield "folder", folder, "Is a directory"
    for name, content, said in (
        ("empty", b"", "0 bytes"),
        ("cut", MODEL.read_bytes()[:5000], "damaged"),
        ("pickled", pickle.dumps({"a": 1}), "no skops file"),
    ):
        path = folder / name
        path.write_bytes(content)
        yield name, path, said
    import skops.io
    from sklearn.linear_model import LinearRegression

    other = folder / "other"
    skops.io.dump(LinearRegression().fit([[0], [1]], [0, 1]), other)
    yield "another model", other, "no model that tells ten digits"
    unsafe = folder / "unsafe"
    skops.io.dump({"run": os.system}, unsafe)
    yield "code", unsafe, "not trusted"


def test_a_broken_model_leaves_the_server_up_and_says_why(tmp_path):
    names = []
    for name, path, said in broken_models(tmp_path):
        client = start(MODEL_PATH=str(path)).test_client()
        ready = client.get("/readyz")
        assert ready.status_code == 503, name
        assert said in ready.json["reason"], name
        assert str(path) in ready.json["reason"], name
        assert client.post("/predict", json={"instances": [ROW]}).status_code == 503, name
        assert client.get("/healthz").status_code == 200, name
        assert client.get("/").status_code == 200, name
        names.append(name)
    assert len(names) == 7


def test_a_model_without_its_card_still_predicts(tmp_path):
    (tmp_path / "m.skops").write_bytes(MODEL.read_bytes())
    client = start(MODEL_PATH=str(tmp_path / "m.skops")).test_client()
    assert client.post("/predict", json={"instances": [ROW]}).status_code == 200
    assert client.get("/info").json["accuracy"] is None


def test_settings_come_from_the_environment_and_empty_means_not_set():
    assert settings({"LOAD_SECONDS": "2.5", "MODEL_PATH": "/m", "POD_NAME": "p"}) == {
        "LOAD_SECONDS": 2.5, "MODEL_PATH": "/m", "POD_NAME": "p",
    }  # fmt: skip
    assert settings({"LOAD_SECONDS": "", "MODEL_PATH": ""})["MODEL_PATH"] == str(MODEL)
    assert settings({})["POD_NAME"] == socket.gethostname()
    for wrong in ("soon", "-1", "nan", "1e9"):
        with pytest.raises(ValueError, match="LOAD_SECONDS must be a number of seconds"):
            settings({"LOAD_SECONDS": wrong})


# ---- information and metrics


def test_info_names_model_data_and_versions(client, split):
    info = client.get("/info").json
    assert info["model"] == load(MODEL).digest
    assert info["data"] == split.digest
    assert info["versions"]["scikit-learn"] == version("scikit-learn")
    assert info["pod"] == "test-pod"


def test_metrics_count_requests_and_digits(split):
    client = start().test_client()
    sevens = split.test.images[split.test.digits == 7][:3].tolist()
    read = client.post("/predict", json={"instances": sevens}).json["predictions"]
    client.post("/predict", json={})
    client.get("/no/such/path"), client.get("/another")
    assert metric(client, 'digits_requests_total{path="/predict",status="200"}') == 1
    assert metric(client, 'digits_requests_total{path="/predict",status="400"}') == 1
    assert metric(client, 'digits_requests_total{path="other",status="404"}') == 2
    assert "no/such" not in client.get("/metrics").text
    assert metric(client, 'digits_predictions_total{digit="7"}') == read.count(7) >= 2
    assert metric(client, "digits_prediction_seconds_count") == 1


def test_two_apps_do_not_share_metrics():
    one, other = start(POD_NAME="one").test_client(), start(POD_NAME="other").test_client()
    assert one.post("/predict", json={"instances": [ROW]}).json["pod"] == "one"
    assert other.post("/predict", json={"instances": [ROW]}).json["pod"] == "other"
    one.post("/predict", json={"instances": [ROW]})
    assert metric(one, "digits_prediction_seconds_count") == 2
    assert metric(other, "digits_prediction_seconds_count") == 1


def test_importing_the_package_loads_no_library_for_models():
    code = "import sys, digits_server.app; sys.exit('sklearn' in sys.modules or 'skops' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=SERVER).returncode == 0


# ---- the files


def test_the_committed_model_is_small_and_needs_no_trust():
    assert MODEL.stat().st_size < 500_000
    assert load(MODEL).card["held_out_rows"] == 357
    with pytest.raises(BadModel):
        load(SERVER / "train.py")


def test_the_second_version_is_another_and_reads_smudged_digits_better(split):
    import numpy as np

    first, second = load(MODEL), load(SERVER / "versions" / "v2" / "digits.skops")
    assert first.digest != second.digest
    assert second.card["accuracy"] >= first.card["accuracy"]
    images, rng = np.repeat(split.test.images, 5, axis=0), np.random.default_rng(3)
    dirty = np.clip(images + rng.integers(-7, 8, images.shape), 0, 16).tolist()
    digits = np.repeat(split.test.digits, 5)
    old, new = (np.mean(np.array(one.predict(dirty)[0]) == digits) for one in (first, second))
    assert new > old + 0.02


def test_the_third_version_cannot_be_loaded():
    with pytest.raises(BadModel, match="damaged or no skops file"):
        load(SERVER / "versions" / "v3" / "digits.skops")


def test_training_twice_writes_the_same_bytes(tmp_path):
    spec = importlib.util.spec_from_file_location("digits_train", SERVER / "train.py")
    training = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(training)
    first, second = training.main(tmp_path / "a"), training.main(tmp_path / "b")
    assert first == second
    assert first["accuracy"] >= 0.97
    second = ("versions/v2/digits.skops", "versions/v2/model.json")
    for file in ("model/digits.skops", "model/model.json", "digits_server/static/examples.json", *second):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    committed = SERVER / "digits_server" / "static" / "examples.json"
    assert (tmp_path / "a" / "digits_server/static/examples.json").read_bytes() == committed.read_bytes()


def test_the_data_is_split_without_overlap_and_with_all_digits(split):
    assert len(split.train.images) == 1440 and len(split.test.images) == 357
    trained = {row.tobytes() for row in split.train.images}
    assert not any(row.tobytes() in trained for row in split.test.images)
    assert set(split.test.digits) == set(split.train.digits) == set(range(10))


def test_every_requirement_is_pinned_and_is_what_is_tested_here():
    lines = [line for line in (SERVER / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    for line in lines:
        name, _, pinned = line.partition("==")
        assert pinned, f"{line} is not pinned"
        assert version(name) == pinned, f"{name}: tested with {version(name)}, shipped with {pinned}"


def test_the_list_that_learners_of_lab_1_pin_from_holds_the_servers_own_versions():
    training = SERVER.parents[1] / "solutions" / "lab1_dockerfile" / "starter" / "app" / "training"
    listed, shipped = (pins(path) for path in (training / "freeze.txt", SERVER / "requirements.txt"))
    assert shipped.items() <= listed.items()


# ---- the real server


def get(url):
    """Return status and JSON of a URL; an error status is an answer like any other."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_gunicorn_serves_the_app_and_stops_on_sigterm(tmp_path, gate):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "POD_NAME": "real", "MODEL_PATH": str(gate), "PYTHONDONTWRITEBYTECODE": "1"}
    log = tmp_path / "log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "digits_server.wsgi:app"],
            cwd=SERVER, env=environment, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        alive = wait_until(lambda: get(f"{url}/healthz"), "gunicorn to answer", 60, failures=(OSError,))
        assert alive[0] == 200
        assert get(f"{url}/readyz")[0] == 503
        gate.write_bytes(MODEL.read_bytes())
        assert wait_until(lambda: get(f"{url}/readyz")[0] == 200, "the model", 60)
        assert get(f"{url}/info")[1]["pod"] == "real"
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0, log.read_text()
    finally:
        server.kill()
        server.wait()
    assert '"GET /healthz HTTP/1.1" 200' in log.read_text()
    with pytest.raises(OSError):
        get(f"{url}/healthz")
