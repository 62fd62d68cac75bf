"""The doctor reads everything, changes nothing, and has a fix for all that is in the way."""

import subprocess
from pathlib import Path

from autograder.ground import doctor, engine
from autograder.waiting import wait_until


def test_without_engine_and_cluster_each_missing_thing_has_a_fix(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody-listens.sock")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-such-config"))
    readings = {reading.what: reading for reading in doctor.examine()}
    assert {"Docker engine", "Cluster", "Base images"} <= {r.what for r in readings.values() if r.state == "missing"}
    assert all(reading.fix for reading in readings.values() if reading.state == "missing")


def test_a_reading_that_fails_is_a_line_not_a_traceback():
    def broken():
        """Broken."""
        raise ZeroDivisionError("dividing")

    reading = doctor._safely(broken)
    assert (reading.what, reading.state) == ("Broken", "missing")
    assert "dividing" in reading.seen


def test_a_process_is_told_from_a_dead_one_and_from_another_program():
    child = subprocess.Popen(["sleep", "60"])
    try:
        wait_until(lambda: engine.runs(str(child.pid), "sleep"), "the child to run", timeout=5)
        assert not engine.runs(str(child.pid), "dockerd")
        child.kill()
        # Ended, but not reaped by us: it still has an entry in /proc.
        wait_until(lambda: not engine.runs(str(child.pid), "sleep"), "the child to have ended", timeout=5)
        assert Path(f"/proc/{child.pid}").exists()
    finally:
        child.kill()
        child.wait()
    assert not engine.runs(str(child.pid), "sleep")
