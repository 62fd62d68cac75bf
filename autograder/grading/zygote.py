"""Run `nbgrader ...` in processes that need not load nbgrader first: one process loads it, and forks for each.

A command is a process of its own, so that its crash costs one submission; but
loading nbgrader takes longer than grading a small notebook. The process
that has it loaded is started with this module as its program. It ends, and
ends what it has forked, when the pipe from its parent closes: a grader
that was killed leaves no grading behind.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy.orm import configure_mappers

from autograder.facts import CannotCheck
from autograder.ground import engine

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of Linux: sys/prctl.h
GRACE = 60  # seconds to remove a workplace after an interrupt
LOADED = (
    "nbgrader.apps.nbgraderapp", "nbgrader.apps.autogradeapp", "nbgrader.apps.generatefeedbackapp",
    "autograder.grading.plugging", "autograder.grading.execute", "autograder.grading.feedback",
    "autograder.grading.save", "autograder.grading.restore", "autograder.sandbox.place", "nbconvert.exporters.html",
    "nbclient", "jupyter_client.provisioning", "pygments.lexers.python", "pygments.formatters.html",
    "IPython.core.completer", "fastjsonschema", "alembic",
)  # fmt: skip


def main() -> None:
    """Serve the parent; arguments are the file descriptor of its socket, and slugs of labs to load."""
    link = socket.socket(fileno=int(sys.argv[1]))
    link.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which tells us
    adopt_orphans()
    load(sys.argv[2:])
    gc.freeze()  # what is loaded stays in memory that all commands share
    wake, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    with selectors.DefaultSelector() as waiting:
        waiting.register(link, selectors.EVENT_READ)
        waiting.register(wake, selectors.EVENT_READ)
        while True:
            for ready, _ in waiting.select():
                if ready.fileobj is not link:
                    os.read(wake, 4096)
                    continue
                order, handed, _, _ = socket.recv_fds(link, 1 << 20, 1)
                if not order:
                    end(running)
                    return
                order, parent = json.loads(order), os.getpid()
                pid = os.fork()
                if not pid:
                    die_with(parent)
                    link.close()
                    command(order["arguments"], order["root"], order["environment"], handed[0])
                running[pid] = order["number"]
                os.close(handed[0])
                tell(link, number=order["number"], pid=pid)
            for pid, code in reaped(running):
                number = running.pop(pid)
                end_orphans(running)
                tell(link, number=number, code=code)


def load(slugs: list[str]) -> None:
    """Load what every command needs, and the labs' checks with the clients that those need.

    `jsonschema` looks for a grammar of web addresses that nobody uses here: 0.8 s.
    """
    sys.modules["rfc3987_syntax"] = None
    for name in LOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    for slug in slugs:
        with suppress(Exception):  # a lab that cannot be loaded says so when it is graded
            from autograder.labs import find_lab

            assert find_lab(slug).checks
    with suppress(CannotCheck):
        engine.client(timeout=5).close()  # which version it speaks, each command knows then
    configure_mappers()
    write_a_page()


def write_a_page() -> None:
    """Write a page of a notebook, so that what is made at the first one is there: validators, lexers, patterns."""
    from nbconvert.exporters import HTMLExporter
    from nbformat import v4

    output = v4.new_output("execute_result", {"text/html": "<b>1</b>", "text/plain": "1"})
    cells = [v4.new_markdown_cell("# `a`\n\n* [b](c)"), v4.new_code_cell("%time 1  # a", outputs=[output])]
    HTMLExporter(template_name="classic").from_notebook_node(v4.new_notebook(cells=cells))


def command(arguments: list[str], root: str, environment: dict[str, str], output: int) -> None:
    """Be one `nbgrader` command, in this process, and end with it."""
    code = 1
    try:
        os.setsid()
        adopt_orphans()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(root)
        os.environ.clear()
        os.environ.update(environment)
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, output), (2, output)):
            os.dup2(source, target)
        os.close(null)
        os.close(output)
        sys.stdout = open(1, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="replace", closefd=False)  # noqa: SIM115
        from nbgrader.apps.nbgraderapp import NbGraderApp

        sys.argv = ["nbgrader", *arguments]
        NbGraderApp.launch_instance(arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def die_with(parent: int) -> None:
    """Ask Linux to end this process when the one that has forked it ends; elsewhere, nothing."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of every process below that loses its own, so that it can be found and ended."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def prctl(option: int, value: int) -> None:
    """Set a property of this process where the system is Linux."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_orphans(running: dict[int, int]) -> None:
    """End what commands that are gone have left: kernels, and processes that a notebook sent to the background."""
    children = Path("/proc/self/task", str(os.getpid()), "children")
    for _ in range(100):  # ending one may bring its children to us
        with suppress(OSError):
            orphans = {int(pid) for pid in children.read_text().split()} - running.keys()
            if not orphans:
                return
            for pid in orphans:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            for pid in orphans:
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            continue
        return


def reaped(running: dict[int, int]) -> list[tuple[int, int]]:
    """Return (pid, exit code) of the commands that have ended; a signal's code is negative."""
    found = []
    for command in running:
        with suppress(ChildProcessError):
            pid, status = os.waitpid(command, os.WNOHANG)
            if pid:
                found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def tell(link: socket.socket, **message: int) -> None:
    """Send the parent a line; one that is gone is noticed at the next reading."""
    with suppress(OSError):
        link.sendall(json.dumps(message).encode() + b"\n")


def end(running: dict[int, int]) -> None:
    """Interrupt the commands, so that they remove their workplaces, then end them for good."""
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    until = time.monotonic() + GRACE
    left = dict(running)
    while left and time.monotonic() < until:
        for pid, _ in reaped(left):
            del left[pid]
        time.sleep(0.05)
    for pid in left:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    end_orphans({})


if __name__ == "__main__":
    main()
