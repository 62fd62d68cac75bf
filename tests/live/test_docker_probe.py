"""The Docker probe against a real engine: what a learner's images and containers can do to it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import docker as docker_py
import pytest

from autograder.facts import CannotCheck, NotThere
from autograder.probes import docker as docker_probe
from autograder.probes.builder import Builder, builder
from autograder.probes.docker import Docker
from autograder.probes.engine import LABEL
from autograder.probes.http import ask
from autograder.probes.standing import standing
from autograder.waiting import wait_until

pytestmark = pytest.mark.docker

SERVER = """
import os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        loading = os.environ.get("LOADING")
        self.send_response(503 if loading else 200)
        self.end_headers()
        self.wfile.write(b"the model is not loaded" if loading else b"ok")

if not os.environ.get("DEAF"):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("serving", flush=True)
HTTPServer((os.environ.get("BIND", "0.0.0.0"), int(os.environ.get("AT", "8000"))), Handler).serve_forever()
"""
GOOD = """
FROM python:3.11-slim
COPY server.py /app/server.py
RUN rm -f /app/none && echo hello > /app/told.txt
USER 1000
EXPOSE 8000
ENV COLOUR=blue
CMD ["python", "/app/server.py"]
"""


@pytest.fixture(scope="module")
def engine() -> Docker:
    return Docker()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "server.py").write_text(SERVER)
    (folder / "Dockerfile").write_text(GOOD)
    return folder


@pytest.fixture(scope="module")
def image(engine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    (folder / "server.py").write_text(SERVER)
    (folder / "Dockerfile").write_text(GOOD)
    return engine.build(folder)


def gone(engine: Docker, container) -> bool:
    return container.id not in {one.id for one in engine.client.containers.list(all=True)}


def failed(engine: Docker, app: Path, dockerfile: str, **options) -> NotThere:
    (app / "Dockerfile").write_text(dockerfile)
    with pytest.raises(NotThere) as seen:
        engine.build(app, **options)
    return seen.value


# --- building


def test_image_tells_what_the_dockerfile_set(image):
    assert (image.user, image.cmd, image.entrypoint) == ("1000", ["python", "/app/server.py"], [])
    assert image.exposed == ["8000/tcp"]
    assert image.env["COLOUR"] == "blue"
    assert image.labels[LABEL] == "1"
    assert image.healthcheck is None
    assert image.size > 50_000_000
    assert any("COPY server.py" in step for step in image.history)


def test_files_and_layers_are_listed(image):
    files = image.files()
    assert files["/app/server.py"] == len(SERVER)
    assert any(path.startswith("/usr") for path in files)
    layers = list(image.layer_files())
    assert {index for index, _, _ in layers} <= set(range(len(image.layers)))
    assert [index for index, path, _ in layers if path == "/app/server.py"] == [len(image.layers) - 2]


def test_a_deleted_file_is_still_found_in_its_layer(engine, app):
    (app / "secret.txt").write_text("x" * 1_500_000 + "TOKEN-4711")
    (app / "Dockerfile").write_text("FROM python:3.11-slim\nCOPY secret.txt /s\nRUN rm /s\nENV SHOWN=PASSWORD-4712\n")
    image = engine.build(app)
    assert "/s" not in image.files()
    assert "/s" in {path for _, path, _ in image.layer_files()}
    assert image.contains(b"TOKEN-4711") == "/s"
    assert "settings" in image.contains(b"PASSWORD-4712")
    assert image.contains(b"TOKEN-4713") is None


def test_a_line_is_found_however_long_the_log_has_grown(engine):
    said = "print('GET /info from inside'); [print('GET /readyz', n) for n in range(5000)]; print('GET /info', end='')"
    made = engine.client.containers.run(
        "python:3.11-slim", ["python", "-c", said], detach=True, labels={LABEL: "1"}, name="shipyard-test-log"
    )
    try:
        made.wait(timeout=60)
        assert standing(engine, "shipyard-test-log").log_lines("GET /info") == ["GET /info from inside", "GET /info"]
    finally:
        made.remove(force=True)


def test_two_builds_of_a_user_are_alike_though_midnight_lies_between_them(engine, app):
    """`useradd` writes the day into /etc/shadow; a password that differs still counts."""
    digests = []
    for day, password in (("2026-11-25", "!"), ("2026-11-26", "!"), ("2026-11-26", "open")):
        (app / "Dockerfile").write_text(
            "FROM python:3.11-slim\nRUN useradd app\n"
            f"RUN usermod -p '{password}' app && chage -d {day} app && rm -f /etc/shadow-\n"
        )
        digests.append(engine.build(app).contents()["/etc/shadow"])
    assert digests[0] == digests[1] != digests[2]


def test_an_unchanged_step_is_shared_by_two_builds(engine, app):
    first = engine.build(app)
    (app / "server.py").write_text(SERVER + "# edited\n")
    second = engine.build(app)
    same = [a == b for a, b in zip(first.layers, second.layers, strict=True)]
    assert same[:-2] == [True] * (len(same) - 2)
    assert not same[-2]


def test_no_dockerfile(engine, app):
    (app / "Dockerfile").rename(app / "Dockerfile.txt")
    with pytest.raises(NotThere, match=r"no Dockerfile in app/.*Dockerfile\.txt"):
        engine.build(app)


def test_a_link_out_of_the_folder_is_not_followed(engine, app, tmp_path):
    (tmp_path / "elsewhere").write_text("FROM python:3.11-slim\n")
    (app / "Dockerfile").unlink()
    (app / "Dockerfile").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotThere, match="leads out of app/"):
        engine.build(app)
    (tmp_path / "alias").symlink_to(app)
    with pytest.raises(NotThere, match="alias/ is a link"):
        engine.build(tmp_path / "alias")


@pytest.mark.parametrize("buildkit", [True, False])
def test_a_failed_step_shows_its_last_words(engine, app, monkeypatch, buildkit):
    if not buildkit:
        monkeypatch.setattr(docker_probe, "builder", lambda: Builder(builder().cli, False))
    said = failed(
        engine, app, "FROM python:3.11-slim\nRUN echo 'it was \\033[31mthe pump\\033[0m' && cat /nowhere\n"
    ).observed
    assert "cat: /nowhere: No such file or directory" in said
    assert "the pump" in said
    assert "\x1b" not in said
    assert not any(noise in said for noise in ("sha256:", "transferring", "DEPRECATED", "Sending build context"))


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [("", "empty"), ("FRM python\n", "FRM"), ("FROM python:3.11-slim\nCOPY nothing.txt /x\n", "nothing.txt")],
)
def test_a_dockerfile_with_a_mistake(engine, app, dockerfile, words):
    assert words in failed(engine, app, dockerfile).observed


def test_endless_output_is_cut(engine, app):
    said = failed(engine, app, "FROM python:3.11-slim\nRUN head -c 30000000 /dev/urandom && false\n").observed
    assert len(said) < 3000


def test_a_wrong_base_image_is_named(engine, app):
    try:
        said = failed(engine, app, "FROM localhost:5001/pyton-nowhere:3.11\n")
    except CannotCheck as silent:  # where no registry stands at that address, nobody can know
        assert "pyton-nowhere" in silent.cause
    else:
        assert "pyton-nowhere" in said.observed
        assert "FROM" in said.hint


def test_a_syntax_line_needs_no_registry(engine, app):
    (app / "Dockerfile").write_text("# syntax=docker/dockerfile:1\n" + GOOD)
    assert engine.build(app).user == "1000"


@pytest.mark.parametrize("buildkit", [True, False])
def test_a_build_without_end_is_ended_with_all_it_started(engine, app, monkeypatch, buildkit):
    if not buildkit:
        monkeypatch.setattr(docker_probe, "builder", lambda: Builder(builder().cli, False))
    mark = f"4{app.stat().st_ino}"
    seen = failed(engine, app, f"FROM python:3.11-slim\nRUN echo started && sleep {mark}\n", timeout=8)
    assert "not finished after 8 s" in seen.observed

    def gone() -> bool:
        running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return f"sleep {mark}" not in running and str(app) not in running

    assert wait_until(gone, "the build's processes to be gone", timeout=15)
    assert not [c for c in engine.client.containers.list() if mark in str(c.attrs.get("Config", {}).get("Cmd"))]


# --- running


def test_a_good_server_is_ready_unprivileged_and_stops(engine, image):
    with engine.run(image, name_hint="probe") as container:
        container.wait_ready()
        assert ask("GET", container.url).text == "ok"
        assert container.uids == [1000]
        assert (container.status, container.exit_code) == ("running", None)
        assert "serving" in container.logs(50)
        stop = container.stop(timeout=10)
        assert (stop.exit_code, stop.killed) == (0, False)
    assert gone(engine, container)


def test_a_server_that_ignores_sigterm_is_killed(engine, image):
    with engine.run(image, env={"DEAF": "1"}, command=["sh", "-c", "python /app/server.py; true"]) as container:
        stop = container.wait_ready().stop(timeout=1)
    assert stop.killed
    assert stop.exit_code == 137


@pytest.mark.parametrize(
    ("env", "observed", "hint"),
    [
        ({"BIND": "127.0.0.1"}, "listens on 127.0.0.1:8000", "0.0.0.0:8000"),
        ({"AT": "5000"}, "listens on 0.0.0.0:5000", "port 8000"),
        ({"LOADING": "1"}, "503 the model is not loaded", "not ready"),
    ],
)
def test_a_server_that_is_not_ready_gets_the_fitting_hint(engine, image, env, observed, hint):
    with engine.run(image, env=env) as container, pytest.raises(NotThere) as seen:
        container.wait_ready(timeout=4)
    assert observed in seen.value.observed
    assert hint in seen.value.hint
    assert "serving" in seen.value.observed


@pytest.mark.parametrize(
    ("command", "observed"),
    [
        (["sh", "-c", "echo bye; exit 3"], "exit code 3. The last it wrote:\nbye"),
        (["true"], "exit code 0. It wrote nothing."),
        (["python", "-c", "import nowhere"], "No module named 'nowhere'"),
    ],
)
def test_a_container_that_exits_at_once(engine, image, command, observed):
    with engine.run(image, command=command) as container, pytest.raises(NotThere) as seen:
        container.wait_ready(timeout=20)
    assert observed in seen.value.observed
    assert gone(engine, container)


def test_a_program_that_is_not_there(engine, image):
    with pytest.raises(NotThere, match="could not be started") as seen, engine.run(image, command=["gunicron"]):
        pass
    assert "gunicron" in seen.value.observed
    assert "not in the image" in seen.value.hint


def test_an_image_without_cmd_and_with_an_unknown_user(engine, app):
    (app / "Dockerfile").write_text("FROM scratch\nCOPY server.py /\n")
    with pytest.raises(NotThere) as seen, engine.run(engine.build(app)):
        pass
    assert "no CMD" in seen.value.hint
    (app / "Dockerfile").write_text("FROM python:3.11-slim\nUSER nobody-here\nCMD sleep 5\n")
    with pytest.raises(NotThere) as seen, engine.run(engine.build(app)):
        pass
    assert "USER" in seen.value.hint


def test_much_and_unreadable_output_stays_small(engine, image):
    noise = "import sys\nfor _ in range(300000): sys.stdout.buffer.write(b'\\xff\\xfe noise \\x1b[31m red\\n')\n1/0"
    with engine.run(image, command=["python", "-c", noise]) as container, pytest.raises(NotThere) as seen:
        container.wait_ready(timeout=60)
    assert "noise  red" in seen.value.observed
    assert len(seen.value.observed) < 2000
    seen.value.observed.encode()


def test_an_image_that_is_not_there(engine):
    with pytest.raises(NotThere, match="no image digits-nobody:v0"):
        engine.image("digits-nobody:v0")
    with pytest.raises(NotThere, match="no image Not A Name"):
        engine.image("Not A Name")


# --- the engine's own faults


def test_no_engine_is_no_verdict(app):
    with pytest.raises(CannotCheck, match=r"No Docker engine answers at unix:///nowhere\.sock"):
        Docker("unix:///nowhere.sock").build(app)


def test_an_engine_that_goes_away_in_the_middle_is_no_verdict(engine, image, tmp_path):
    """A relay stands between probe and engine, and is cut while a container runs."""
    with Relay(tmp_path / "d.sock") as relay:
        through = Docker(f"unix://{relay.path}")
        with through.run(through.image(image.id)) as container:
            container.wait_ready()
            name = container._made.name
            relay.cut()
            with pytest.raises(CannotCheck, match="Docker engine"):
                container.logs()
            with pytest.raises(CannotCheck, match="Docker engine"):
                container.stop()
        engine.client.containers.get(name).remove(force=True)


def test_an_engine_that_goes_away_during_a_build_is_no_verdict(app, tmp_path):
    (app / "Dockerfile").write_text(f"FROM python:3.11-slim\nRUN echo {tmp_path} && sleep 20\n")
    with Relay(tmp_path / "d.sock") as relay:
        threading.Timer(4, relay.cut).start()
        with pytest.raises(CannotCheck, match="Docker engine"):
            Docker(f"unix://{relay.path}").build(app, timeout=60)


class Relay:
    """Pass bytes between a socket of our own and the engine's, until cut."""

    def __init__(self, path: Path):
        self.path, self.open = path, []
        self.server = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Relay:
        self.server.bind(str(self.path))
        self.server.listen()
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def accept(self) -> None:
        target = docker_py.constants.DEFAULT_UNIX_SOCKET.removeprefix("http+unix://")
        try:
            while True:
                near, _ = self.server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(target)
                self.open += [near, far]
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self.pump, args=(a, b), daemon=True).start()
        except OSError:
            pass

    @staticmethod
    def pump(a: socket.socket, b: socket.socket) -> None:
        try:
            while piece := a.recv(65536):
                b.sendall(piece)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self) -> None:
        self.path.unlink(missing_ok=True)
        for one in (self.server, *self.open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def test_the_builder_is_one_that_is_there():
    found = builder()
    assert shutil.which(found.cli)
