"""Watch a Service while something happens to it: somebody asks it all the time, and the cell draws what comes back.

    with watch("reader") as live:
        !kubectl scale deployment/reader --replicas=3
        live.go_on(20)

The cell magic `%%watching reader` does the same with a cell of shell commands.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from autograder.facts import CannotCheck, NotThere, Place
from autograder.notebook.drawing import Moment, drawing, summary
from autograder.probes.words import cut

RATE = 20  # requests a second
LOAD_RATE, LOAD_ROWS = 40, 60  # a load generator's: heavy for one pod, light for the machine
LONGEST = 420  # seconds, whatever happens


class Live:
    """Be what `watch` yields. In a grader's run, where nobody looks, nothing is watched and nothing is waited for."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def go_on(self, seconds: float) -> None:
        """Watch for some seconds more."""

    def until(self, replicas: int, at_most: float = 120) -> None:
        """Watch until that many replicas are ready, for at most so many seconds."""


class _Watching(Live):
    """Ask a Service from a pod, look at its Deployment once a second, and draw both in the cell."""

    def __init__(self, service: str, load: bool, stack: ExitStack):
        from IPython.display import display

        from autograder.probes.caller import calling
        from autograder.probes.kubernetes import Kube, current_namespace
        from autograder.probes.registry import pulled

        super().__init__()
        self._service, self._counts = service, {}
        place = Place(work=Path.cwd(), namespace=current_namespace())
        self._kube, image = Kube(place), pulled(place, "digits:v1")
        self._shown = display(self, display_id=True)
        self._caller = stack.enter_context(calling(self._kube, service, image, rate=RATE, seconds=LONGEST))
        if load:
            stack.enter_context(
                calling(self._kube, service, image, rate=LOAD_RATE, rows=LOAD_ROWS, seconds=LONGEST)
            )  # fmt: skip
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        stack.callback(self._end)

    def go_on(self, seconds: float) -> None:
        time.sleep(min(seconds, LONGEST))

    def until(self, replicas: int, at_most: float = 120) -> None:
        ends = time.monotonic() + min(at_most, LONGEST)
        while time.monotonic() < ends and not (self.moments and self.moments[-1].ready == replicas):
            time.sleep(1)

    def _repr_html_(self) -> str:
        return drawing(self.moments) + f"<div>{summary(self.moments)}</div>" if self.moments else "The watch begins …"

    def __repr__(self) -> str:
        return summary(self.moments) if self.moments else "The watch begins …"

    def _run(self) -> None:
        while not self._over.wait(1):
            with suppress(CannotCheck, NotThere):  # the cluster is busy: the next second will do
                self._look()
                self._shown.update(self)

    def _look(self) -> None:
        seconds = self._caller.seconds()
        if not seconds:
            return
        seen = self._kube.deployment(self._service)
        self._counts[len(seconds) - 1] = (seen.replicas, seen.ready)
        counts, moments = (seen.replicas, seen.ready), []
        for number, one in enumerate(seconds):
            counts = self._counts.get(number, counts if number else next(iter(self._counts.values())))
            moments.append(Moment(one["pods"], one["failed"], *counts, *one["ms"]))
        self.moments = moments

    def _end(self) -> None:
        self._over.set()
        self._thread.join(30)
        with suppress(CannotCheck, NotThere):
            self._caller.wait_counted(1, 10)
            self._look()
        self._shown.update(self)  # from the cell's own thread: this one is kept in the notebook


@contextmanager
def watch(service: str, load: bool = False) -> Iterator[Live]:
    """Ask a Service twenty times a second while the block runs, and draw who answers, how fast, and the replicas.

    The one who asks is a pod in your namespace; `load=True` starts a second one that sends much more work. Both
    are gone when the block ends. Where the cluster cannot be watched the reason is printed and the block runs all
    the same.

    >>> with watch("reader") as live:  # doctest: +SKIP
    ...     live.go_on(10)
    """
    if os.environ.get("SHIPYARD_GRADING"):
        print("The grader does not watch; it tries these things itself.")
        yield Live()
        return
    with ExitStack() as stack:
        live: Live = Live()
        try:
            live = _Watching(service, load, stack)
        except (CannotCheck, NotThere) as fault:
            print(f"Nothing can be watched: {fault}")
        except Exception as fault:  # ours: the learner's commands must run all the same
            print(f"Nothing can be watched: {type(fault).__name__}: {cut(str(fault))}")
        yield live


def watching(line: str, cell: str) -> None:
    """Run a cell's shell commands while a Service is watched: `%%watching reader`."""
    with watch(line.strip() or "reader") as live:
        live.go_on(2)
        with subprocess.Popen(
            ["bash", "-c", cell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as commands:
            for said in commands.stdout:
                print(said, end="", flush=True)
        live.go_on(4)


def _register() -> None:
    """Make `%%watching` known to the notebook that imports this."""
    with suppress(ImportError):
        from IPython import get_ipython

        if shell := get_ipython():
            shell.register_magic_function(watching, "cell")


_register()
