"""What a sandbox hands back and lets through, tried without an engine."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tarfile
import threading
from pathlib import Path

import pytest
import yaml

import autograder
from autograder.probes.doors import Door, doors
from autograder.probes.http import Unreachable, ask
from autograder.sandbox import folders, network
from autograder.sandbox.copying import TooMuch, hand_in, unpack
from autograder.sandbox.image import package
from autograder.sandbox.limits import Limits


def tar_of(*entries: tuple[str, bytes | str]) -> io.BytesIO:
    """Return a tar: bytes are a file's content, a text is a link's target, "<dev>" a device."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
                continue
            entry.type = tarfile.CHRTYPE if content == "<dev>" else tarfile.SYMTYPE
            entry.linkname = content
            tar.addfile(entry)
    stream.seek(0)
    return stream


def test_files_come_back_as_they_are(tmp_path: Path):
    left_out = unpack(tar_of(("./app/Dockerfile", b"FROM x"), ("notes", b"")), tmp_path, Limits())
    assert left_out == []
    assert (tmp_path / "app" / "Dockerfile").read_bytes() == b"FROM x"
    assert (tmp_path / "notes").read_bytes() == b""


@pytest.mark.parametrize("name, content", [
    ("../out", b"x"), ("/etc/out", b"x"), ("a/../../out", b"x"), ("link", "/etc/passwd"), ("link", "app"),
    ("device", "<dev>"), ("a\nb", b"x"), ("long" * 60, b"x"), ("d/" * 40 + "deep", b"x"),
])  # fmt: skip
def test_whatever_leads_elsewhere_is_left_out_and_named(tmp_path: Path, name: str, content: bytes | str):
    inside = tmp_path / "work"
    inside.mkdir()
    left_out = unpack(tar_of((name, content), ("kept", b"yes")), inside, Limits())
    assert len(left_out) == 1 and repr(name[:20])[1:-1] in left_out[0]
    assert [path.name for path in tmp_path.rglob("*")] == ["work", "kept"]


def test_a_file_does_not_pass_through_a_link_made_before(tmp_path: Path):
    outside, inside = tmp_path / "outside", tmp_path / "work"
    outside.mkdir()
    inside.mkdir()
    unpack(tar_of(("link", str(outside)), ("link/x", b"x")), inside, Limits())
    assert list(outside.iterdir()) == []


def test_too_many_or_too_large_files_are_cut_off(tmp_path: Path):
    few = Limits(handed_in=1000, files=3)
    assert "more than" in unpack(tar_of(("a", b"1" * 900), ("b", b"2" * 900)), tmp_path, few)[-1]
    assert not (tmp_path / "b").exists()
    more = unpack(tar_of(*[(f"f{n}", b"") for n in range(9)]), tmp_path, few)
    assert "more than 3 files" in more[-1]


def test_a_stream_that_breaks_off_gives_what_came(tmp_path: Path):
    whole = tar_of(("a", b"first"), ("b", b"2" * 5000)).getvalue()
    left_out = unpack(io.BytesIO(whole[:3000]), tmp_path, Limits())
    assert (tmp_path / "a").read_bytes() == b"first"
    assert left_out and "the rest" in left_out[-1]


class Folder:
    def __init__(self, folder: Path, limits: Limits):
        self.folder, self.limits = folder, limits
        (folder / "in").mkdir(parents=True)


def test_handing_in_follows_no_links_and_keeps_to_the_limits(tmp_path: Path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "answer").write_text("mine")
    (work / "link").symlink_to("/etc/passwd")
    box = Folder(tmp_path / "box", Limits(handed_in=1000))
    hand_in(work, box)
    assert [path.name for path in (box.folder / "in" / "work").iterdir()] == ["answer"]
    (work / "large").write_bytes(b"x" * 2000)
    with pytest.raises(TooMuch):
        hand_in(work, box)


def joined(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=2)


def test_a_door_leads_to_the_port_that_it_names(tmp_path: Path):
    path, heard = tmp_path / "ports.sock", []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        client, _ = server.accept()
        with client, client.makefile("rb") as lines:
            heard.extend([lines.readline(), lines.readline()])
            client.sendall(b"answer")

    threading.Thread(target=serve, daemon=True).start()
    with doors(f"unix://{tmp_path}/docker.sock") as reach, joined(reach(8080)) as one:
        one.sendall(b"question\n")
        assert one.makefile("rb").read() == b"answer"
    assert heard == [b"8080\n", b"question\n"]
    server.close()


def test_two_sandboxes_have_the_same_port_and_a_learner_reads_no_other(tmp_path: Path):
    (tmp_path / "ports.sock").touch()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with doors(f"unix://{tmp_path}/docker.sock") as one, doors(f"unix://{tmp_path}/docker.sock") as other:
        assert one(port) != other(port)
        for address in (one(port), other(port)):
            with pytest.raises(
                Unreachable, match=rf"^GET http://127\.0\.0\.1:{port}/readyz: the connection was closed"
            ):
                ask("GET", f"http://{address}/readyz")


def test_ports_of_an_ordinary_engine_are_reached_as_they_are(tmp_path: Path):
    with doors(f"unix://{tmp_path}/docker.sock") as reach:
        assert reach(8080) == "127.0.0.1:8080"
    with doors("tcp://127.0.0.1:2375") as reach:
        assert reach(8080) == "127.0.0.1:8080"


def test_a_closed_door_lets_nobody_in(tmp_path: Path):
    with Door(tmp_path / "nothing.sock") as door:
        address = door.address
    with pytest.raises(ConnectionRefusedError):
        joined(address)


def test_two_runs_of_one_submission_have_names_that_cannot_be_guessed():
    first, second = folders.new_token("0123456789"), folders.new_token("0123456789")
    assert first != second and folders.TOKEN.fullmatch(first) and first.startswith("0123456789-")


def test_the_kubeconfig_inside_names_the_address_inside_and_the_same_rights(tmp_path: Path):
    outside = {"clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:35791"}}],
               "users": [{"name": "learner", "user": {"token": "t"}}]}  # fmt: skip
    (tmp_path / "out").write_text(yaml.safe_dump(outside))
    network.kubeconfig(tmp_path / "out", tmp_path / "in")
    inside = yaml.safe_load((tmp_path / "in").read_text())
    assert inside["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    assert inside["users"] == outside["users"]


def test_what_a_notebook_imports_needs_no_file_that_is_not_in_a_sandbox(tmp_path: Path):
    names = []
    for path in package():
        part = path.relative_to(Path(autograder.__file__).parent)
        (tmp_path / "autograder" / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "autograder" / part)
        if part.parts[0] == "notebook" and path.stem != "__init__":
            names.append(f"autograder.notebook.{path.stem}")
    # Without `site` (-S), or the checkout that is installed here gives what is missing.
    paths = {"PYTHONPATH": os.pathsep.join([str(tmp_path), sysconfig.get_path("purelib")])}
    asked = [sys.executable, "-S", "-c", f"import {', '.join(names)}"]
    done = subprocess.run(asked, cwd=tmp_path, env=paths, capture_output=True, text=True)
    assert not done.stderr
