"""Ask again while a server says that it cannot serve yet: slow is not wrong."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from autograder.facts import Observation, fact
from autograder.probes.http import Answer, ask

NOT_YET = 503  # Service Unavailable: for now (RFC 9110, 15.6.4)
PATIENCE = 60  # seconds until each worker and each pod has its model, however busy the machine


class Patient(Observation):
    """See servers that may need time, and wait for each of them once, however many checks ask it."""

    @fact
    def given_up(self) -> set[str]:
        """The servers that were waited for in vain."""
        return set()

    def give_up(self, url: str) -> None:
        """Take note that the server of this URL was waited for in vain."""
        self.given_up.add(urlsplit(url).netloc)

    def ask_again(self, method: str, url: str, *, within: float = PATIENCE, **options: Any) -> Answer:
        """Ask as `ask` does, and again while the server answers that it cannot serve yet.

        A server with several workers is ready when one of them is; the next request may
        reach another one, which still loads the model. After `within` seconds that answer
        is returned, too, and from then on this server is asked once.

        >>> seen.ask_again("GET", "http://127.0.0.1:8000/info").status  # doctest: +SKIP
        200
        """
        deadline = time.monotonic() + within
        while (answer := ask(method, url, **options)).status == NOT_YET and urlsplit(url).netloc not in self.given_up:
            if time.monotonic() > deadline:
                self.give_up(url)
                break
            time.sleep(0.5)
        return answer
