"""A STAND-IN for a Kubeflow Pipelines server, for tests only: it runs nothing.

It speaks the part of the REST API v2beta1 that kfp's client uses to submit and follow a run. The shapes of what it
answers are those of kfp's published API client (kfp_server_api 2.17.3): each answer is one of its models, written by
its own serializer, so that a field which the API does not have cannot be answered. A run goes one state further each
time it is asked for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import kfp_server_api as api

ROOT = "/apis/v2beta1"
EXPERIMENT = api.V2beta1Experiment(experiment_id="e-1", display_name="Default", namespace="")


class StandIn:
    """Hold what was sent, and what the run's steps come to."""

    def __init__(self, steps: dict[str, str], end: str = "SUCCEEDED", looks: int = 2):
        self.steps, self.end, self.looks = steps, end, looks
        self.sent: list[dict] = []

    def run(self) -> api.V2beta1Run:
        """Return the run as it is at this look."""
        self.looks -= 1
        over = self.looks < 0
        sent = self.sent[-1]
        tasks = [
            api.V2beta1PipelineTaskDetail(
                run_id="r-1", task_id=f"t-{name}", display_name=name, state=state if over else "RUNNING",
                outputs={"model": api.V2beta1ArtifactList(artifact_ids=["1"])} if name == "train" else None,
            )
            for name, state in self.steps.items()
        ]  # fmt: skip
        group = api.V2beta1PipelineTaskDetail(
            run_id="r-1", task_id="t-root", display_name="root", state="RUNNING",
            child_tasks=[api.PipelineTaskDetailChildTask(task_id="t-train")],
        )  # fmt: skip
        return api.V2beta1Run(
            run_id="r-1", experiment_id="e-1", display_name=sent.get("display_name"),
            state=self.end if over else "RUNNING", pipeline_spec=sent.get("pipeline_spec"),
            runtime_config=api.V2beta1RuntimeConfig(parameters=sent.get("runtime_config", {}).get("parameters")),
            run_details=api.V2beta1RunDetails(task_details=[group, *tasks]),
        )  # fmt: skip

    def answer(self, method: str, path: str, body: dict) -> object | None:
        """Return the model to answer a request with, None for what is not there."""
        if (method, path) == ("GET", f"{ROOT}/healthz"):
            return api.V2beta1GetHealthzResponse(multi_user=False)
        if (method, path) == ("GET", f"{ROOT}/experiments"):
            return api.V2beta1ListExperimentsResponse(experiments=[EXPERIMENT], total_size=1)
        if (method, path) == ("POST", f"{ROOT}/experiments") or path == f"{ROOT}/experiments/e-1":
            return EXPERIMENT
        if (method, path) == ("POST", f"{ROOT}/runs"):
            self.sent.append(body)
            return api.V2beta1Run(run_id="r-1", experiment_id="e-1", display_name=body.get("display_name"))
        if (method, path) == ("GET", f"{ROOT}/runs/r-1") and self.sent:
            return self.run()
        return None


@contextmanager
def stand_in(steps: dict[str, str], end: str = "SUCCEEDED") -> Iterator[tuple[str, StandIn]]:
    """Yield the address of a stand-in on loopback, and the stand-in."""
    it, writer = StandIn(steps, end), api.ApiClient()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply("GET")

        def do_POST(self) -> None:
            self._reply("POST")

        def _reply(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            found = it.answer(method, urlsplit(self.path).path, json.loads(body or b"{}"))
            error = {"code": 5, "message": "Run not found", "details": []}  # google.rpc.Status, as the API has it
            text = json.dumps(writer.sanitize_for_serialization(found) if found is not None else error).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", it
    finally:
        server.shutdown()
        server.server_close()
