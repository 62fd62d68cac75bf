"""Asking strangers' servers: whatever they do, an answer or a sentence comes, in time."""

import json
import math
import re
import socket
import threading
from contextlib import contextmanager, suppress

import httpx
import pytest

from autograder.facts import CannotCheck, NotThere, Place
from autograder.probes.builder import Builder, run_build
from autograder.probes.buildlog import lost_engine, meaning, no_registry, no_such_image
from autograder.probes.http import Unreachable, ask, loads
from autograder.probes.listening import ears
from autograder.probes.patience import Patient


def whole_request(connection):
    """Read head and body: a client may send them in two pieces."""
    request = connection.recv(65536)
    if length := re.search(rb"content-length: (\d+)", request, re.IGNORECASE):
        while len(request.partition(b"\r\n\r\n")[2]) < int(length[1]):
            request += connection.recv(65536)
    return request


@contextmanager
def server(talk):
    """Run `talk(connection, request's bytes)` for each connection to a port, and yield its URL."""
    done = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection):
        with connection, suppress(OSError):
            talk(connection, whole_request(connection), done)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        listener.close()


def says(body: bytes, status="200 OK", *headers: str):
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""])

    def talk(connection, request, done):
        connection.sendall(head.encode() + body)

    return talk


def fails(talk, kind, timeout=2.0):
    with server(talk) as url, pytest.raises(Unreachable) as seen:
        ask("GET", url + "/x", timeout=timeout)
    assert seen.value.kind == kind
    assert isinstance(seen.value, NotThere)
    assert "GET http" in seen.value.observed
    assert seen.value.hint
    return seen.value


def test_an_answer():
    with server(says(b'{"a": [1, 2]}', "200 OK", "X-Pod: p1")) as url:
        answer = ask("GET", url)
    assert (answer.status, answer.json, answer.headers["x-pod"]) == (200, {"a": [1, 2]}, "p1")
    assert answer.seconds >= 0


def test_what_is_sent():
    got = {}

    def talk(connection, request, done):
        got["raw"] = request
        says(b"{}")(connection, request, done)

    with server(talk) as url:
        ask("POST", url + "/predict", json={"instances": [[1]]}, headers={"X-Learner": "me"})
    head, _, body = got["raw"].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /predict HTTP/1.1")
    assert json.loads(body) == {"instances": [[1]]}
    assert b"application/json" in head
    assert b"me" in head


def test_a_proxy_of_the_user_s_is_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with server(says(b"{}")) as url:
        assert ask("GET", url).status == 200


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "500 Oops", "503 Wait"])
def test_any_status_is_an_answer(status):
    with server(says(b"why", status)) as url:
        answer = ask("GET", url)
    assert (answer.status, answer.text, answer.json) == (int(status[:3]), "why", None)
    assert str(answer) == f"{status[:3]} why"


def test_a_worker_that_still_loads_is_asked_again(tmp_path):
    answers = iter(["503 Service Unavailable", "503 Service Unavailable", "200 OK"])
    with server(lambda connection, *rest: says(b"{}", next(answers))(connection, *rest)) as url:
        assert Patient(Place(tmp_path)).ask_again("POST", url, json={"instances": []}).status == 200


def test_a_server_that_stays_unavailable_is_not_asked_for_ever(tmp_path):
    asked, seen = [], Patient(Place(tmp_path))

    def busy(connection, *rest):
        asked.append(1)
        says(b"{}", "503 Service Unavailable")(connection, *rest)

    with server(busy) as url:
        assert seen.ask_again("GET", url, within=1).status == 503
        assert len(asked) > 1
        asked.clear()
        assert seen.ask_again("GET", f"{url}/again").status == 503
        assert len(asked) == 1  # it was waited for in vain: once is enough


def test_a_fault_of_the_server_s_is_not_asked_again(tmp_path):
    answers = iter(["500 Internal Server Error", "200 OK"])
    with server(lambda connection, *rest: says(b"{}", next(answers))(connection, *rest)) as url:
        assert Patient(Place(tmp_path)).ask_again("GET", url).status == 500


def test_a_redirect_is_not_followed():
    with server(says(b"", "302 Found", "Location: http://127.0.0.1:9/elsewhere")) as url:
        assert ask("GET", url).status == 302


@pytest.mark.parametrize("body", ['{"a": NaN}', "[Infinity]", "-Infinity", "1e999", "[" * 100_000, "9" * 9000, "{"])
def test_what_is_not_json_is_none(body):
    assert loads(body) is None
    with server(says(body.encode())) as url:
        assert ask("GET", url).json is None


def test_numbers_that_are_json():
    assert loads("[1, 2.5, 1e3]") == [1, 2.5, 1000.0]
    assert math.isfinite(loads("1e308"))


def test_bytes_that_are_no_text():
    with server(says(b"\xff\xfe\x00ok")) as url:
        assert ask("GET", url).text.endswith("ok")


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="nothing listens") as seen:
        ask("GET", f"http://127.0.0.1:{port}/")
    assert seen.value.kind == "refused"


def test_closed_before_an_answer():
    fails(lambda connection, request, done: None, "closed")


def test_reset():
    def talk(connection, request, done):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    fails(talk, "closed")


def test_not_http():
    fails(lambda connection, request, done: connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n"), "garbled")


def test_silence():
    fails(lambda connection, request, done: done.wait(30), "slow", timeout=0.4)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: "])
def test_a_dripping_answer_ends_with_the_time_limit(start):
    def talk(connection, request, done):
        connection.sendall(start)
        while not done.wait(0.05):
            connection.sendall(b"x")

    fails(talk, "slow", timeout=0.6)


def test_an_endless_answer_ends_with_the_size_limit():
    def talk(connection, request, done):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not done.is_set():
            connection.sendall(b"x" * 65536)

    fails(talk, "large", timeout=20)


def test_a_compressed_answer_is_not_unpacked():
    with server(says(b"\x1f\x8b\x08junk", "200 OK", "Content-Encoding: gzip")) as url:
        assert ask("GET", url).status == 200


def test_headers_without_end():
    def talk(connection, request, done):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not done.is_set():
            connection.sendall(b"X-A: " + b"b" * 1000 + b"\r\n")

    fails(talk, "garbled", timeout=20)


def test_a_kept_connection_has_the_same_limits():
    def talk(connection, request, done):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")
        while not done.wait(0.05):
            connection.sendall(b"x")

    with server(talk) as url, httpx.Client() as client:
        assert ask("GET", url, client=client).text == "ok"
        with pytest.raises(Unreachable, match="did not answer completely"):
            ask("GET", url, client=client, timeout=0.6)


def test_a_url_that_is_none_is_our_fault():
    with pytest.raises(CannotCheck):
        ask("GET", "nowhere")


# --- what the Docker probe reads


def test_ears_of_a_container():
    table = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 00000000:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   2: 0100007F:1F40 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0
   1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 0
garbage 0A"""
    found = ears(table)
    assert [str(ear) for ear in found] == ["[::]:80", "[::1]:81", "0.0.0.0:5000", "127.0.0.1:8000"]
    assert [ear.local for ear in found] == [False, True, False, True]


BUILDKIT = """#1 [internal] load build definition from Dockerfile
#1 sha256:0b6b4c
#1 transferring dockerfile: 92B done
#1 DONE 0.0s
#5 [2/2] RUN pip install nowhere
#5 0.512 \x1b[31mERROR: No matching distribution found for nowhere\x1b[0m
#5 ERROR: executor failed running [/bin/sh -c pip install nowhere]: exit code: 1
------
 > [2/2] RUN pip install nowhere:
------
executor failed running [/bin/sh -c pip install nowhere]: exit code: 1
"""
LOST = BUILDKIT + "ERROR: Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?\n"
OFFLINE = 'ERROR: failed to do request: Head "https://registry.invalid/v2/library/pyton/manifests/3": no such host'


def test_the_end_of_a_build_in_plain_words():
    lines = meaning(BUILDKIT).split("\n")
    assert lines[:2] == ["[2/2] RUN pip install nowhere", "ERROR: No matching distribution found for nowhere"]
    assert not any(line.startswith(("#", "---", "sha256")) for line in lines)


def test_whose_fault_a_failed_build_is():
    assert lost_engine(LOST)
    assert not lost_engine(BUILDKIT)
    assert no_registry(OFFLINE)
    assert not no_registry(BUILDKIT + "pip: connection refused\n")
    assert no_such_image("ERROR: pull access denied for pyton, repository does not exist")
    assert not no_such_image('ERROR: "/secret.txt" not found: not found')


def test_a_build_over_time_ends_with_its_children(tmp_path):
    """The process group of a command is ended, also where it ignores the polite signal."""
    program = tmp_path / "docker"
    alive = tmp_path / "alive"
    program.write_text(f"#!/bin/sh\ntrap '' TERM\n(while :; do touch {alive}; sleep 0.1; done) &\necho began\nwait\n")
    program.chmod(0o755)
    built = run_build(Builder(str(program), False), "unix:///x.sock", ["."], timeout=0.5)
    assert built.code is None
    assert built.log == "began\n"
    alive.unlink()
    threading.Event().wait(0.5)
    assert not alive.exists()
