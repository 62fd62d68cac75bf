"""A silent port is the learner's fault or the engine's: the container's own network tells which."""

from __future__ import annotations

import pytest
from parts import processes

from autograder import versions
from autograder.facts import CannotCheck, NotThere
from autograder.ground import engine as ground
from autograder.probes.docker import Docker

pytestmark = pytest.mark.docker
CLOSES = "import socket\ns = socket.create_server(('', 8000))\nwhile True: s.accept()[0].close()"


def test_a_port_that_the_engine_does_not_lead_in_is_nobodys_fault():
    if not ground.pid_file():
        pytest.skip("the engine on this machine is not one that we started")
    command = ["sh", "-c", "touch /tmp/readyz; exec python -m http.server --directory /tmp 8000"]
    with Docker().run(versions.PYTHON_IMAGE, command=command, name_hint="cut-off") as container:
        outside = container.wait_ready(timeout=20).url.rpartition(":")[2]
        (proxy,) = [one for one in processes("docker-proxy") if outside in one.cmdline()]
        proxy.kill()
        with pytest.raises(CannotCheck, match="not through the port that the engine published") as seen:
            container.wait_ready(timeout=2)
    assert "restart the engine" in seen.value.fix


def test_a_server_that_closes_each_connection_is_the_learners():
    serving = Docker().run(versions.PYTHON_IMAGE, command=["python", "-c", CLOSES], name_hint="closes")
    with serving as container, pytest.raises(NotThere, match=r"listens on 0\.0\.0\.0:8000") as seen:
        container.wait_ready(timeout=2)
    assert "closed before an answer" in seen.value.hint
