"""Have a Docker engine: use the one that is there, else Debian's, started by hand where services are not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import docker
import psutil

from autograder import versions
from autograder.facts import CannotCheck
from autograder.ground.orphans import end_orphans, lives
from autograder.ground.shell import apt_install, run
from autograder.ground.step import Step, cache_dir
from autograder.probes.engine import connect
from autograder.waiting import TimedOut, wait_until

PID_FILE = Path("/run/shipyard-dockerd.pid")
ENGINE_PID, CONTAINERD_PID = Path("/var/run/docker.pid"), Path("/var/run/docker/containerd/containerd.pid")
WRAPPER = Path(__file__).resolve().parents[2] / "docker" / "engine" / "runc-within-bounds"
CAP_LAST = "/proc/sys/kernel/cap_last_cap"


def client(timeout: float = 60) -> docker.DockerClient:
    """Return a client of the user's engine (DOCKER_HOST, docker's context, or the default socket).

    Raises CannotCheck when no engine answers.
    """
    return connect(timeout=timeout)


def answers() -> bool:
    """Tell whether an engine answers now."""
    try:
        client(timeout=5).close()
        return True
    except CannotCheck:
        return False


def missing_capabilities() -> bool:
    """Tell whether this machine withholds a capability that a privileged container asks for."""
    status = Path("/proc/self/status").read_text()
    mask = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd"))
    return mask != (2 << int(Path(CAP_LAST).read_text())) - 1


def steps() -> list[Step]:
    """Return the steps to an engine that answers."""
    return [
        Step(
            "Docker engine: packages",
            "no engine answers and none is installed: Debian's docker.io is small and signed by Debian",
            15,
            lambda: answers() or all(map(shutil.which, ("dockerd", "iptables", "ip"))),
            lambda: apt_install(versions.ENGINE_PACKAGES, cache_dir() / "apt.log"),
        ),
        Step(
            "Docker engine: running",
            "everything else runs in containers",
            5,
            answers,
            start,
        ),
    ]


def start() -> None:
    """Start Debian's engine, by systemd where it runs the machine, else detached.

    Raises CannotCheck with the engine's own last words.
    """
    if os.environ.get("DOCKER_HOST"):
        raise CannotCheck(
            f"DOCKER_HOST is {os.environ['DOCKER_HOST']}, and no engine answers there",
            "Start that engine, or unset DOCKER_HOST to use one on this machine.",
        )
    if os.geteuid() != 0:
        raise CannotCheck("the Docker engine is not running and only root can start it", "Run `sudo shipyard up`.")
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "start", "docker"], timeout=60)
        return wait_for_answer(None)
    stop()  # a half-dead engine and its containerd must be gone, or the new one dies silently
    forget_the_dead()
    if not ENGINE_PID.exists():  # else another engine runs that does not answer: its containers are its own
        end_orphans()
    command = ["dockerd"]
    if missing_capabilities():
        # A copy: the engine outlives the checkout that started it.
        wrapper = shutil.copy(WRAPPER, cache_dir("engine"))
        command += ["--add-runtime", f"shipyard={wrapper}", "--default-runtime", "shipyard"]
    log = cache_dir() / "dockerd.log"
    with log.open("ab") as book:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=book, stderr=book, start_new_session=True, cwd="/"
        )
    PID_FILE.write_text(str(process.pid))
    wait_for_answer(process)


def forget_the_dead() -> None:
    """Remove the pid files of an engine and a containerd that were killed.

    The numbers may be other programs' by now, or processes that ended and are
    not reaped: the engine takes both for itself and refuses to start, or waits
    for a containerd that never answers.
    """
    for noted, name in ((ENGINE_PID, "dockerd"), (CONTAINERD_PID, "containerd")):
        if noted.exists() and not runs(noted.read_text().strip(), name):
            noted.unlink()


def runs(pid: str, name: str) -> bool:
    """Tell whether that process is the named program and has not ended."""
    try:
        process = psutil.Process(int(pid))
        return process.name() == name and lives(process)
    except (psutil.NoSuchProcess, ValueError):  # a file that was never written to its end holds no number
        return False


def wait_for_answer(process: subprocess.Popen | None) -> None:
    """Wait until the engine answers. Raises CannotCheck with the end of its log."""

    def up() -> bool:
        if process is not None and process.poll() is not None:
            raise CannotCheck(f"the Docker engine ended at once (exit code {process.returncode}):\n{last_words()}")
        return answers()

    try:
        wait_until(up, "the Docker engine to answer", timeout=60)
    except TimedOut:
        raise CannotCheck(f"the Docker engine does not answer after 60 s:\n{last_words()}") from None


def last_words(lines: int = 8) -> str:
    """Return the end of the log of the engine that we started."""
    log = cache_dir() / "dockerd.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"


def stop(timeout: float = 40) -> None:
    """Stop the engine that `start` started, and wait until it and its containerd have ended."""
    for sent, seconds in ((signal.SIGTERM, timeout), (signal.SIGKILL, 10)):
        for pid in ours():
            with suppress(ProcessLookupError):
                os.kill(pid, sent)
        with suppress(TimedOut):
            wait_until(lambda: not ours(), "the old engine to end", timeout=seconds)
            break
    else:
        raise CannotCheck(f"the old engine (process {ours()[:1]}) cannot be ended", "Restart the machine.")
    PID_FILE.unlink(missing_ok=True)


def ours() -> list[int]:
    """Return the pids of the engine that we started and of its containerd.

    A pid file alone proves nothing (pids are used again), so the command line decides.
    """
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or [""]
        name = Path(words[0]).name
        engine = name == "dockerd" and str(process.pid) == pid_file()
        containerd = name == "containerd" and "/var/run/docker/containerd/containerd.toml" in words
        if (engine or containerd) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def pid_file() -> str:
    """Return the pid that we noted when we started an engine, "" when we started none."""
    return PID_FILE.read_text().strip() if PID_FILE.exists() else ""
