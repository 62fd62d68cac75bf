"""Look at a run on a Kubeflow Pipelines server, by kfp's own client and the API v2beta1.

seen = server_run(run_id)           # at KFP_ENDPOINT
seen.state, seen.steps["train"].state, seen.steps["train"].artifacts
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from autograder.facts import CannotCheck, NotThere
from autograder.probes.words import cut

OVER = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


@dataclass(frozen=True)
class ServerStep:
    """Tell about one step as the server tells of it."""

    name: str
    state: str  # SUCCEEDED, FAILED, SKIPPED, RUNNING …
    artifacts: tuple[str, ...] = ()  # names of the outputs that the server has recorded


@dataclass(frozen=True)
class ServerRun:
    """Tell about one run on a server."""

    id: str
    name: str
    state: str
    compiled: Any = field(repr=False, default=None)  # the pipeline that it runs, as JSON has it
    steps: dict[str, ServerStep] = field(default_factory=dict, hash=False)

    @property
    def over(self) -> bool:
        """Say whether it has ended, well or badly."""
        return self.state in OVER


def server_run(run_id: str, endpoint: str | None = None) -> ServerRun:
    """Return a run as the server tells of it now.

    Raises NotThere where the server knows no such run, CannotCheck where it
    does not answer or no server is named.
    """
    endpoint = endpoint or os.environ.get("KFP_ENDPOINT")
    if not endpoint:
        raise CannotCheck("No Kubeflow Pipelines server is named.", "Set KFP_ENDPOINT to its address.")
    from kfp import Client
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return of(Client(host=endpoint).get_run(run_id))
    except ApiException as error:
        if error.status == 404:
            raise NotThere(f"The server knows no run {cut(run_id, 40)}.", "Submit the pipeline again.") from None
        raise CannotCheck(f"The Kubeflow server at {endpoint} refuses: {error.status} {error.reason}") from error
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        raise CannotCheck(f"The Kubeflow server at {endpoint} does not answer: {cut(str(error))}") from error


def of(run: Any) -> ServerRun:
    """Return a run from the object of kfp's client; groups and the server's own tasks are left out."""
    details = getattr(run.run_details, "task_details", None) or []
    steps = {}
    for one in details:
        name = one.display_name or ""
        if not name or name == "root" or name.endswith("-driver") or one.child_tasks:
            continue
        steps[name] = ServerStep(name, one.state or "", tuple(sorted(one.outputs or {})))
    compiled = run.pipeline_spec
    if isinstance(compiled, dict) and "pipeline_spec" in compiled:  # beside what only Kubernetes needs
        compiled = compiled["pipeline_spec"]
    return ServerRun(run.run_id, run.display_name or "", run.state or "", compiled, steps)
