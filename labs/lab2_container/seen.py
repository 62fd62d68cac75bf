"""See what lab 2 is about: the containers that the learner runs, and how they find each other."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from pathlib import Path

from docker.errors import APIError

from autograder.facts import CannotCheck, NotThere, Place, fact
from autograder.ground.keys import key_of_files
from autograder.ground.reset import Made
from autograder.labs import checkout, given
from autograder.probes.docker import Docker
from autograder.probes.engine import asking
from autograder.probes.http import Answer, ask
from autograder.probes.image import lookup
from autograder.probes.patience import NOT_YET, PATIENCE, Patient
from autograder.probes.registry import digest_of
from autograder.probes.standing import Standing, answered, copied, project, standing
from autograder.waiting import TimedOut, wait_until

MODEL, GATEWAY, PINNED = "shipyard-lab2-model", "shipyard-lab2-gateway", "shipyard-lab2-pinned"
VOLUME, NETWORK, PROJECT = "shipyard-lab2-models", "shipyard-lab2-net", "shipyard-lab2"
IMAGE, REPOSITORY = "digits:v1", "lab2/digits"
MODEL_PORT, GATEWAY_PORT, COMPOSE_PORT = 8020, 8021, 8022
SERVICES = ("model", "gateway", "redis")
NAMED = "pier-7"
BACK_SECONDS, HEALTH_SECONDS = 60, 60
GATEWAY_SECONDS = 20  # it waits for the model itself, and before that until its name is looked up
ON_LEARNERS_ENGINE = True  # what is judged are the containers that run: a sandbox keeps its engine for the judge
MADE = Made(
    containers=(MODEL, GATEWAY, PINNED), networks=(NETWORK,), volumes=(VOLUME,), projects=(PROJECT,),
    images=("shipyard-lab2-gateway:v1", *(f"localhost:5001/{REPOSITORY}:{tag}" for tag in ("v1", "latest"))),
    pushed=(REPOSITORY,),
)  # fmt: skip


def examples() -> list[list[int]]:
    """Return the rows of example.json, each 64 numbers from 0 to 16."""
    return json.loads(given(__file__, "example.json").read_text())["instances"]


def start(place: Place) -> None:
    """See to it that the engine has the model server's image as digits:v1, and the lab's ports are free.

    Raises CannotCheck where that cannot be had.
    """
    docker = Docker(place.docker_host)
    folder = checkout() / "docker" / "model-server"
    if folder.is_dir():
        have_image(docker, folder)
    else:  # a learner without the course's checkout: what the instructor pushed
        with asking("pull the model server's image"):
            docker.client.images.pull(f"{place.registry}/{IMAGE}").tag(*IMAGE.split(":"))
    if place.docker_host is None:
        free_ports(docker)


def have_image(docker: Docker, folder: Path) -> None:
    """See to it that digits:v1 is the image of the folder; nothing is built where today's is there."""
    source = f"source-{key_of_files(folder)}"
    image = lookup(docker.client, f"digits:{source}")
    if image is None:
        try:
            image = docker.build(folder, timeout=600)
        except NotThere as broken:
            raise CannotCheck(f"The model server's image cannot be built: {broken.observed}") from broken
    with asking("name the model server's image"):
        for tag in ("v1", source):
            docker.client.api.tag(image.id, "digits", tag)


def free_ports(docker: Docker) -> None:
    """Raise CannotCheck where a program other than the lab's containers holds one of the lab's ports."""
    with asking("list containers"):
        ours = [one.name for one in docker.client.containers.list(ignore_removed=True)]
    for port in (MODEL_PORT, GATEWAY_PORT, COMPOSE_PORT):
        with socket.socket() as probe:
            if not any(name.startswith("shipyard-lab2-") for name in ours) and not probe.connect_ex(
                ("127.0.0.1", port)
            ):
                raise CannotCheck(f"Another program holds port {port}, which this lab needs.",
                                  f"End it: `ss -ltnp sport = :{port}` names it.")  # fmt: skip


class Seen(Patient):
    """See the learner's containers, copies of the model's without its volume, and the compose project."""

    @fact
    def docker(self) -> Docker:
        return Docker(self.place.docker_host)

    @fact
    def model(self) -> Standing:
        return standing(self.docker, MODEL).running()

    @fact
    def model_url(self) -> str:
        """Where the model answers, ready."""
        url = self.closing(self.model.reachable(MODEL_PORT))
        answer = answered(url)
        if answer.status != 200:
            raise NotThere(
                f"The server runs, but GET /readyz answers {answer}",
                "The server says which model file it misses. What does MODEL_PATH say, what does the volume hold?",
            )
        return url

    @fact
    def info(self) -> dict:
        answer = ask("GET", f"{self.model_url}/info")
        return answer.json if isinstance(answer.json, dict) else {}

    @fact
    def without_volume(self) -> Answer:
        """What a copy of the model's container says whose volume is empty."""
        with copied(self.model, 8000) as copy:
            port = next(ports[0] for ports in wait_until(lambda: copy.published, "a port", 20).values())
            with copy.reachable(port) as url:
                return settled(url)

    @fact
    def sick(self) -> tuple[str, str]:
        """What the health check says of a copy whose model cannot be found: its status and its words."""
        with copied(self.model, 8000, {"MODEL_PATH": "/not/there.skops"}) as copy:
            if not copy.health:
                return "", ""
            port = next(ports[0] for ports in wait_until(lambda: copy.published, "a port", 20).values())
            with copy.reachable(port) as url:
                settled(url)
            # Only what was asked from now on counts: before, nothing could answer.
            before = copy.health_asked
            try:
                wait_until(lambda: len(copy.health_asked - before) > 1, "health checks", HEALTH_SECONDS, 0.5)
            except TimedOut:
                return "starting", ""
            return ("healthy" if copy.health_fine else "unhealthy"), copy.health_said

    @fact
    def gateway(self) -> Standing:
        return standing(self.docker, GATEWAY).running()

    @fact
    def gateway_url(self) -> str:
        url = self.closing(self.gateway.reachable(GATEWAY_PORT))
        answered(url, "/healthz", 20)
        return url

    @fact
    def digest(self) -> str:
        """The digest of what was pushed."""
        digest = digest_of(self.place, f"{REPOSITORY}:v1")
        if digest is None:
            raise NotThere(
                f"The registry has no image {REPOSITORY}:v1.",
                "First `docker tag` gives the image the registry's name, then `docker push` sends it.",
            )
        return digest

    @fact
    def services(self) -> dict[str, Standing]:
        found = project(self.docker, PROJECT)
        missing = [name for name in SERVICES if name not in found]
        if missing:
            raise NotThere(f"The project {PROJECT} has the services {', '.join(sorted(found))}; missing: "
                           f"{', '.join(missing)}.", "Each service is a name under `services:`.")  # fmt: skip
        return {name: found[name].running() for name in SERVICES}

    @fact
    def compose_url(self) -> str:
        url = self.closing(self.services["gateway"].reachable(COMPOSE_PORT))
        answered(url, "/healthz", 20)
        with suppress(NotThere):
            ready = answered(url, "/readyz", PATIENCE)  # through the gateway: the model's own answer
            if ready.status == NOT_YET:
                self.give_up(url)
        return url

    def predict(self, url: str, rows: list[list[int]]) -> Answer:
        """Ask the model, or a gateway to it, for predictions; one of its workers may still load the model."""
        return self.ask_again("POST", f"{url}/predict", json={"instances": rows}, timeout=GATEWAY_SECONDS)

    def count(self) -> int:
        """Return how many predictions are counted. Raises NotThere where nobody counts."""
        answer = ask("GET", f"{self.compose_url}/count", timeout=GATEWAY_SECONDS)
        number = answer.json.get("predictions") if isinstance(answer.json, dict) else None
        if answer.status != 200 or not isinstance(number, int):
            raise NotThere(f"The gateway does not count: GET /count answers {answer}")
        return number

    def kept(self, volume: str) -> str:
        """Return the count that a new Redis reads from a volume, "" for none."""
        with asking("start a container"):
            made = self.docker.client.containers.run(
                self.services["redis"].image_id, ["redis-server", "--save", "", "--appendonly", "no"], detach=True,
                labels={"shipyard.lab": "1"}, volumes={volume: {"bind": "/data", "mode": "ro"}}, mem_limit="256m",
            )  # fmt: skip
        try:
            new = Standing(self.docker, made)
            wait_until(lambda: new.run("redis-cli", "PING")[1].strip() == "PONG", "Redis", 60, failures=(NotThere,))
            return new.run("redis-cli", "GET", "predictions")[1].strip()
        except TimedOut as late:
            if new.status == "running":
                raise CannotCheck("A new Redis did not answer within 60 s.", "Grade again.") from late
            return ""
        finally:
            with suppress(APIError):
                made.remove(force=True, v=True)

    def counting(self, rows: list[list[int]]) -> tuple[Answer, int]:
        """Ask the compose project's gateway, and return its answer and by how much the count has grown."""
        before = self.count()
        answer = self.predict(self.compose_url, rows)
        return answer, self.count() - before


def settled(url: str, seconds: float = 60) -> Answer:
    """Ask /readyz until the server has made up its mind: its model is there, or it says why not."""
    deadline = time.monotonic() + seconds
    answered(url, "/healthz", seconds)
    while True:
        answer = ask("GET", f"{url}/readyz")
        if answer.status == 200 or "still being loaded" not in answer.text or time.monotonic() > deadline:
            return answer
        time.sleep(0.3)
