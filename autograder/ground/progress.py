"""Show what is being brought up: bars with an estimate on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from autograder.ground.step import Step


def duration(seconds: float) -> str:
    """Say a duration as people do.

    >>> duration(8.2), duration(95), duration(480)
    ('8 s', '1 min 35 s', '8 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes >= 5:
        return f"{round(seconds / 60)} min"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


class Board:
    """Hear what steps do and show it; may be told from several threads.

    An estimate is what the step took on two cores; a bar that reaches it
    waits at its end rather than lie about being done.
    """

    def __init__(self, console: Console):
        self.console = console
        self.times: dict[str, float] = {}
        self._lock = threading.Lock()
        self._tasks: dict[str, tuple[object, float, float]] = {}
        self._now = None
        self._bars = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(), console=console, transient=True,
        )  # fmt: skip
        self._end = threading.Event()

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self._bars.start()
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._bars.stop()

    def say(self, event: str, step: Step, seconds: float) -> None:
        """Hear one event of `climb`."""
        with self._lock:
            if event == "start":
                self._print(f"[bold]…[/] {step.name} [dim](about {duration(seconds)}: {step.why})[/]")
                task = self._bars.add_task(step.name, total=max(seconds, 1), left="")
                self._tasks[step.name] = (task, time.monotonic(), seconds)
            elif event == "done":
                self.times[step.name] = seconds
                if step.name in self._tasks:
                    self._bars.remove_task(self._tasks.pop(step.name)[0])
                self._print(f"[green]✓[/] {step.name} [dim]{duration(seconds)}[/]")

    def doing(self, text: str) -> None:
        """Show what is being done now; only the last such text stays, and only on a terminal."""
        with self._lock:
            if self._now is None:
                self._now = self._bars.add_task(text, total=None, left="")
            self._bars.update(self._now, description=text)

    def note(self, text: str) -> None:
        """Print a line of ours between the steps."""
        with self._lock:
            self._print(text)

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False)

    def _tick(self) -> None:
        while not self._end.wait(0.5):
            with self._lock:
                for task, started, total in self._tasks.values():
                    gone = time.monotonic() - started
                    left = f"about {duration(total - gone)} left" if gone < total else "taking longer than usual"
                    self._bars.update(task, completed=min(gone, total * 0.98), left=left)
