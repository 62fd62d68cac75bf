"""The stand-in for runc asks for no capability that the machine cannot give, and changes nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WRAPPER = Path(__file__).parents[2] / "docker" / "engine" / "runc-within-bounds"
ALL = ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_CHECKPOINT_RESTORE"]


@pytest.fixture
def runc(tmp_path):
    """A runc that writes down how it was called; the real one needs root and a kernel's help."""
    log = tmp_path / "called"
    program = tmp_path / "bin" / "runc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {log}\n')
    program.chmod(0o755)

    def call(*words):
        path = f"{program.parent}:{os.environ['PATH']}"
        subprocess.run([sys.executable, WRAPPER, *words], check=True, env={**os.environ, "PATH": path})
        return log.read_text().splitlines()

    return call


def can_have() -> set[str]:
    mask = next(int(x.split()[1], 16) for x in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in x)
    return {name for name, bit in zip(ALL, (0, 21, 24, 40), strict=True) if mask >> bit & 1}


def test_create_asks_only_for_what_the_machine_can_give(runc, tmp_path):
    config = tmp_path / "config.json"
    asked = {"process": {"args": ["sleep"], "capabilities": {"bounding": ALL, "effective": ALL}}, "root": {"path": "r"}}
    config.write_text(json.dumps(asked))
    words = ["--root", "/run/x", "create", "--bundle", str(tmp_path), "--pid-file", "p", "name"]
    assert runc(*words) == words
    got = json.loads(config.read_text())
    assert set(got["process"]["capabilities"]["bounding"]) == can_have()
    assert (got["process"]["args"], got["root"]) == (["sleep"], {"path": "r"})


def test_exec_is_trimmed_too_and_other_commands_pass_through(runc, tmp_path):
    process = tmp_path / "process.json"
    process.write_text(json.dumps({"capabilities": {"permitted": ALL}, "cwd": "/"}))
    runc("exec", f"--process={process}", "name")
    assert set(json.loads(process.read_text())["capabilities"]["permitted"]) == can_have()
    assert runc("state", "name") == ["state", "name"]
