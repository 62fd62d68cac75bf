"""Hand a compiled pipeline to a Kubeflow Pipelines server, and follow the run.

submit("pipeline.yaml", {"batch": "tuesday"})

The server is the one that KFP_ENDPOINT names; without it nothing happens.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any

from autograder.notebook.figures import steps_table
from autograder.probes.kfpserver import OVER
from autograder.probes.words import cut

SUBMITTED = Path("runs") / "on-server.txt"  # the id of the last run that was handed in


def submit(path: Path | str, arguments: dict[str, Any], seconds: float = 1800, pause: float = 2.0) -> str | None:
    """Run a compiled pipeline on the server of KFP_ENDPOINT and follow it; return the run's id.

    `seconds` is how long to follow, `pause` the seconds between two looks.
    Never raises: what goes wrong is said.
    """
    endpoint = os.environ.get("KFP_ENDPOINT")
    if not endpoint:
        print("KFP_ENDPOINT is not set: there is no Kubeflow server to run on. Nothing is missing, section 5 ran it.")
        return None
    try:
        from kfp import Client

        warnings.simplefilter("ignore", FutureWarning)  # the client says which servers it knows
        client = Client(host=endpoint)
        made = client.create_run_from_pipeline_package(str(path), arguments=arguments)
        print(f"Run {made.run_id} at {endpoint}")
        SUBMITTED.parent.mkdir(exist_ok=True)
        SUBMITTED.write_text(made.run_id + "\n", encoding="utf-8")
        _follow(client, made.run_id, seconds, pause)
        return made.run_id
    except Exception as error:  # the server's, the network's, the account's: a beginner gets no traceback
        print(f"The server at {endpoint} did not take the run: {type(error).__name__}: {cut(str(error), 300)}")
        return None


def _follow(client: Any, run_id: str, seconds: float, pause: float) -> None:
    """Show the run's steps and their states until it is over."""
    from IPython.display import display

    shown = display({"text/plain": "…"}, raw=True, display_id=True)
    deadline, last = time.monotonic() + seconds, ""
    while True:
        run = client.get_run(run_id)
        html, text = steps_table(rows_of(run), f"Run {run.display_name}: {run.state}")
        if shown is not None and text != last:
            shown.update({"text/html": html, "text/plain": text}, raw=True)
        last = text
        if run.state in OVER or time.monotonic() > deadline:
            return
        time.sleep(pause)


def rows_of(run: Any) -> list[list[str]]:
    """Return the table of a run's steps as the API tells them."""
    details = getattr(run.run_details, "task_details", None) or []
    named = sorted((one for one in details if one.display_name), key=lambda one: str(one.create_time))
    return [["step", "state"], *([one.display_name, one.state or ""] for one in named)]
