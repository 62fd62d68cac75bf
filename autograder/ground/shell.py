"""Run the programs that build and start things; reading state is left to the clients."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from autograder.ending import end_group
from autograder.facts import CannotCheck

_running: set[subprocess.Popen] = set()


@atexit.register
def end_all() -> None:
    """End what still runs when we end: Ctrl-C reaches the main thread only, builds run beside it."""
    for process in list(_running):
        end_group(process)


def run(
    command: Sequence[str | Path],
    *,
    timeout: float = 600,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: object = subprocess.DEVNULL,
    stdout: object = None,
) -> str:
    """Run a command to its end and return what it printed.

    Output also goes to `log` where given. `timeout` in seconds; over time the
    command's whole process group is ended. Raises CannotCheck with the last
    lines of output.
    """
    words = [str(word) for word in command]
    name = Path(words[0]).name
    if shutil.which(words[0], path=(env or os.environ).get("PATH")) is None:
        raise CannotCheck(f"the program {name} is not installed", "Run `shipyard up`, which installs what is missing.")
    process = subprocess.Popen(
        words,
        stdin=stdin,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.STDOUT if stdout is None else subprocess.PIPE,
        env=None if env is None else {**os.environ, **env},
        cwd=cwd,
        start_new_session=True,
    )
    _running.add(process)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        end_group(process)
        raise CannotCheck(f"{' '.join(words[:3])} did not finish within {timeout:.0f} s") from None
    except BaseException:  # Ctrl-C must not leave it running behind our back
        end_group(process)
        raise
    finally:
        _running.discard(process)
    text = (out or err or b"").decode(errors="replace")
    if log is not None:
        with log.open("a") as book:
            book.write(f"$ {' '.join(words)}\n{text}\n")
    if process.returncode != 0:
        tail = "\n".join((text or (err or b"").decode(errors="replace")).strip().splitlines()[-12:])
        where = f" (all of it: {log})" if log else ""
        raise CannotCheck(f"{' '.join(words[:4])} failed with exit code {process.returncode}{where}:\n{tail}")
    return text


def apt_install(packages: Sequence[str], log: Path) -> None:
    """Install Debian packages. Raises CannotCheck where this is not Debian or we are not root."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise CannotCheck(
            f"these Debian packages are missing and cannot be installed from here: {', '.join(packages)}",
            "Install them (or Docker itself) as root, then run this again.",
        )
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    # A lock held by an unattended upgrade is waited for, not failed on.
    install = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends", *packages]
    try:
        run(install, log=log, env=env)
    except CannotCheck:
        run(["apt-get", "-o", "DPkg::Lock::Timeout=120", "update"], log=log, env=env)
        run(install, log=log, env=env)
