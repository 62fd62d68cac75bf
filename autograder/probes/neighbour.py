"""Ask a container's server from its own network: what lies between it and us is then no reason for silence."""

from __future__ import annotations

from docker.models.containers import Container as EngineContainer

from autograder.facts import CannotCheck
from autograder.probes.engine import LABEL, asking
from autograder.probes.http import Unreachable, ask
from autograder.versions import PYTHON_IMAGE

ASK = """
import http.client, socket, sys
there = http.client.HTTPConnection(socket.gethostbyname(socket.gethostname()), int(sys.argv[1]), timeout=5)
there.request("GET", sys.argv[2])
there.getresponse()
"""


def see_the_way(container: EngineContainer, port: int, url: str, path: str) -> None:
    """Raise CannotCheck where a server answers inside and the way to it from here (`url`) is cut.

    No learner can be blamed for that: a published port is the engine's work.
    """
    if not answers_a_neighbour(container, port, path):
        return
    try:
        ask("GET", url + path)  # it may have begun to answer since
    except Unreachable as cut_off:
        if cut_off.kind not in ("refused", "closed"):
            return  # it is reached, and its answer is no good
        raise CannotCheck(
            f"The container answers on port {port}, but not through the port that the engine published for it.",
            "The engine's network is damaged: restart the engine, then grade again.",
        ) from cut_off


def answers_a_neighbour(container: EngineContainer, port: int, path: str) -> bool:
    """Tell whether something answers GET `path` over HTTP at the container's own address.

    What asks is of the labs' own base image, which every engine has that grades.
    """
    command = ["python", "-c", ASK, str(port), path]
    with asking("ask a container from its own network"):
        made = container.client.containers.create(
            PYTHON_IMAGE, command, network_mode=f"container:{container.id}", labels={LABEL: "1"}, user="65534",
            mem_limit="128m", pids_limit=32, cap_drop=["ALL"],
        )  # fmt: skip
        try:
            made.start()
            return made.wait(timeout=30)["StatusCode"] == 0
        finally:
            made.remove(force=True, v=True)
