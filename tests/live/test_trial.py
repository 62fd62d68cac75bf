"""A copy of a pod is watched whether its probe lets it in: also where its server takes long to listen."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from namespaces import own_namespace

from autograder.facts import Place
from autograder.ground import model_server
from autograder.probes.kubernetes import Kube
from autograder.probes.registry import pulled
from autograder.probes.trial import trial

pytestmark = pytest.mark.cluster

BUSY = 28  # seconds until it listens; with a probe each second these are more events than a node writes about a pod
SERVER = """
import os, time
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(503 if self.path == "/readyz" else 200)

time.sleep(float(os.environ["BUSY"]))
HTTPServer(("", 8000), Handler).serve_forever()
"""


@pytest.fixture
def kube():
    """A namespace of the test's own, deleted at the end."""
    place = Place(work=Path(), context=os.environ.get("SHIPYARD_CONTEXT"))
    model_server.have(place)
    with own_namespace(Kube(place).core, "trial") as name:
        yield Kube(replace(place, namespace=name))


@pytest.mark.parametrize(("path", "ready"), [("/readyz", False), ("/healthz", True)])
def test_a_server_that_takes_long_to_listen_is_judged_by_what_its_readiness_probe_says_then(kube, path, ready):
    probe = {"httpGet": {"path": path, "port": 8000}, "periodSeconds": 2}
    alive = {"httpGet": {"path": "/healthz", "port": 8000}, "periodSeconds": 1, "failureThreshold": 90}
    container = {
        "name": "server",
        "image": pulled(kube.place, "digits:v1"),
        "command": ["python3", "-c", SERVER],
        "startupProbe": alive,
        "readinessProbe": probe,
    }
    template = {"spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    with trial(kube, template, {"BUSY": str(BUSY)}) as copy:
        gate = copy.watch()
    assert gate.ready == ready
    assert ready or "503" in gate.said
