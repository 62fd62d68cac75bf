"""Be a client that keeps asking while something is rolled out, and show which model answered, and what failed.

with Client("reader") as client:
    ...
client      # in a notebook: a row of marks, one a request
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path

from autograder.facts import CannotCheck, NotThere, Place
from autograder.notebook.figures import steps_table
from autograder.probes.kubernetes import Kube, current_namespace

EVERY_SECONDS = 0.3
MOST = 2000  # requests; a client that is forgotten must not ask for ever


@dataclass(frozen=True)
class Asked:
    """Hold one request: seconds since the first, the model that answered ("" for none), what went wrong."""

    second: float
    model: str
    trouble: str = ""


class Client:
    """Ask /info of a Service about three times a second, as long as the context lasts."""

    def __init__(self, service: str, port: int = 80):
        self.service, self.port = service, port
        self.asked: list[Asked] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_asking, daemon=True)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=15)

    @property
    def failed(self) -> list[Asked]:
        """The requests that got no good answer."""
        return [one for one in self.asked if one.trouble]

    def _keep_asking(self) -> None:
        kube = Kube(Place(work=Path.cwd(), namespace=current_namespace()))
        started = time.monotonic()
        while not self._over.wait(EVERY_SECONDS) and len(self.asked) < MOST:
            second = round(time.monotonic() - started, 1)
            try:
                answer = kube.ask(self.service, "/info", port=self.port, timeout=5)
                good = answer.status == 200 and isinstance(answer.json, dict)
                model = str(answer.json.get("model")) if good else ""
                self.asked.append(Asked(second, model, "" if good else f"status {answer.status}"))
            except NotThere as failed:
                self.asked.append(Asked(second, "", failed.observed))
            except CannotCheck:
                continue  # the way to the cluster, not the service

    def _rows(self) -> list[list[str]]:
        rows = [["who answered", "requests", "from second", "to second"]]
        for name in dict.fromkeys(one.model or "nobody" for one in self.asked):
            its = [one for one in self.asked if (one.model or "nobody") == name]
            told = f"model {name[:19]}…" if name != "nobody" else f"nobody ({its[0].trouble[:60]})"
            rows.append([told, str(len(its)), f"{its[0].second}", f"{its[-1].second}"])
        return rows

    def _title(self) -> str:
        return f"{len(self.asked)} requests, {len(self.failed)} of them failed"

    def __repr__(self) -> str:
        return steps_table(self._rows(), self._title())[1]

    def _repr_html_(self) -> str:
        models = list(dict.fromkeys(one.model for one in self.asked if one.model))
        colours = ("#2563eb", "#15803d", "#7c3aed", "#0e7490")
        marks = "".join(
            f'<span title="{escape(one.trouble or one.model)}" style="color:'
            f'{colours[models.index(one.model) % 4] if one.model else "#b42318"}">{"▮" if one.model else "✗"}</span>'
            for one in self.asked
        )
        table = steps_table(self._rows(), self._title())[0]
        return f'<div style="font:13px monospace;overflow-wrap:anywhere">{marks}</div>{table}'
