"""Judge lab 3: what the learner's manifests made in the namespace."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from autograder.checks import Finding, check
from autograder.facts import CannotCheck, NotThere, Observation, Place, fact
from autograder.ground.reset import Made
from autograder.labs import course_root
from autograder.probes.docker import Docker
from autograder.probes.engine import asking
from autograder.probes.http import Answer, ask
from autograder.probes.kubernetes import Deployment, Endpoint, Kube
from autograder.probes.pods import Pod
from autograder.probes.trial import Gate, trial

MADE = Made(containers=("shipyard-lab3-docker",), deployments=("digits",), services=("digits",))
NAME, IMAGE, PORT = "digits", "digits", 80
ROLLOUT_SECONDS = 60
QUESTIONS = 30  # two pods take turns by chance: that one of them misses all is a matter of 1 in 500 million
MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in ("oci.image.index.v1", "docker.distribution.manifest.list.v2", "oci.image.manifest.v1",
                 "docker.distribution.manifest.v2")
)  # fmt: skip


def examples() -> list[list[int]]:
    """Return the rows of example.json, each 64 numbers from 0 to 16."""
    here = Path(__file__).parent
    beside = [here / "example.json", here / "starter" / "example.json"]
    return json.loads(next(path for path in beside if path.exists()).read_text())["instances"]


def start(place: Place) -> None:
    """See to it that the registry has the model server's image as digits:v1; quick where it has.

    Raises CannotCheck where engine or registry do not answer, or the image cannot be built.
    """
    folder = course_root() / "docker" / "model-server"
    there = digest_of(place, "v1")
    if not folder.is_dir():  # a learner without the course's checkout: what the instructor pushed
        if there:
            return
        raise CannotCheck(f"The registry has no image {IMAGE}:v1.", "Ask your instructor to run `make up`.")
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            sha.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    source = f"source-{sha.hexdigest()[:16]}"
    if there and there == digest_of(place, source):
        return
    docker = Docker(place.docker_host)
    try:
        image = docker.build(folder, timeout=600)
    except NotThere as broken:
        raise CannotCheck(f"The model server's image cannot be built: {broken.observed}") from broken
    for tag in ("v1", source):
        with asking("push the model server's image"):
            docker.client.api.tag(image.id, f"{place.registry}/{IMAGE}", tag)
            for line in docker.client.api.push(f"{place.registry}/{IMAGE}", tag, stream=True, decode=True):
                if "error" in line:
                    raise CannotCheck(f"{place.registry} does not take the image: {line['error']}", "Run `make up`.")


def digest_of(place: Place, tag: str) -> str | None:
    """Return the digest that the registry has for the image's tag, None for none.

    Raises CannotCheck where the registry does not answer.
    """
    url = f"http://{place.registry}/v2/{IMAGE}/manifests/{tag}"
    try:
        answer = ask("HEAD", url, headers={"accept": MANIFESTS})
    except NotThere as silent:
        raise CannotCheck(f"The registry {place.registry} does not answer.", "Run `make up`.") from silent
    return answer.headers.get("docker-content-digest") if answer.status == 200 else None


class Seen(Observation):
    """See the namespace: the Deployment, its pods, the Service, and a copy of a pod whose model is missing."""

    @fact
    def kube(self) -> Kube:
        return Kube(self.place)

    @fact
    def docker(self) -> Docker:
        return Docker(self.place.docker_host)

    @fact
    def deployment(self) -> Deployment:
        return self.kube.deployment(NAME)

    @fact
    def rolled_out(self) -> Deployment:
        try:
            return self.deployment.wait_rolled_out(ROLLOUT_SECONDS)
        except NotThere as late:
            # Where only a child process is killed, Kubernetes sees a container that runs and is never ready.
            if any("out of memory" in self.kube.logs(pod, 20) for pod in self.deployment.pods()):
                raise NotThere(
                    f"{late.observed} Its log says that the server's worker is killed for lack of memory.",
                    "Raise the memory limit: this server needs about 130 MiB when its model is loaded.",
                ) from late
            raise

    @fact
    def pods(self) -> list[Pod]:
        """The ready pods of the Deployment, after it had its time to roll out."""
        deployment = self.deployment
        with suppress(NotThere):  # some pods may serve all the same, such as those from before an update
            deployment = self.rolled_out
        ready = [pod for pod in deployment.pods() if pod.ready]
        if not ready:
            raise NotThere(
                "No pod of the Deployment is ready, so this cannot be seen yet.",
                "First make the check rolled_out pass: it shows what stands in the way.",
            )
        return ready

    @fact
    def endpoints(self) -> list[Endpoint]:
        return [one for one in self.kube.endpoints(self.kube.service(NAME)) if one.ready]

    def ask(self, path: str, body: Any = None) -> Answer:
        """Ask the Service on its port 80, once the Deployment had its time to roll out."""
        assert self.pods
        return self.kube.ask(NAME, path, port=PORT, method="POST" if body else "GET", json=body)

    @fact
    def digest(self) -> str:
        digest = digest_of(self.place, "v1")
        if digest is None:
            raise CannotCheck(f"The registry has no image {IMAGE}:v1.", "Run the first cell of the lab again.")
        return digest

    @fact
    def in_docker(self) -> Answer:
        """What the same image says of the example rows when it runs in Docker."""
        ref = f"{self.place.registry}/{IMAGE}@{self.digest}"
        with asking(f"pull {ref}"):
            self.docker.client.images.pull(ref)
        try:
            with self.docker.run(ref, name_hint="lab3") as container:
                return ask("POST", f"{container.wait_ready().url}/predict", json={"instances": examples()})
        except NotThere as broken:
            raise CannotCheck(f"The lab's own image does not run in Docker: {broken.observed}") from broken

    @fact
    def gate(self) -> Gate:
        """What a copy of the pod does whose model cannot be found."""
        with trial(self.kube, self.deployment.template, {"MODEL_PATH": "/not/there.skops"}) as copy:
            return copy.watch()


@check(
    "rolled_out",
    points=2,
    expects="The Deployment digits has come to run: at least 2 replicas, all of the newest version, all ready.",
    hint="`kubectl describe deployment digits` and `kubectl get pods` tell what stands in the way.",
    chapter="kubernetes#deployments",
)
def rolled_out(seen: Seen) -> Finding:
    found = seen.rolled_out
    said = f"{found.ready} of {found.replicas} replicas are ready, all of the newest version."
    if found.replicas < 2:
        return Finding(0.5, f"{said} At least 2 are wanted.", "A Deployment keeps as many replicas as its spec says.")
    return Finding(True, said)


@check(
    "right_image",
    points=1,
    expects="The pods run the image that the registry has as localhost:5001/digits:v1, to the very digest.",
    hint="Compare the image's name in your template with the pushed one; a change counts once it is applied.",
    chapter="kubernetes#registries",
)
def right_image(seen: Seen) -> Finding:
    running = {pod.image_id for pod in seen.pods}
    if running == {seen.digest}:
        return Finding(True, f"All {len(seen.pods)} pods run {seen.digest[:19]}…")
    others = sorted({f"{pod.image} ({pod.image_id[:19]}…)" for pod in seen.pods if pod.image_id != seen.digest})
    return Finding(False, f"digits:v1 is {seen.digest[:19]}… in the registry, but pods run {', '.join(others)}.")


@check(
    "service_selects",
    points=1,
    expects="The Service digits selects your pods: its endpoints are exactly the ready pods of the Deployment.",
    hint="The Service's `selector` must be labels that stand in the Deployment's template.",
    chapter="kubernetes#services",
)
def service_selects(seen: Seen) -> Finding:
    behind, pods = {one.pod for one in seen.endpoints}, {pod.name for pod in seen.pods}
    if behind == pods:
        return Finding(True, f"The Service has {len(behind)} endpoints: the ready pods of the Deployment.")
    if not behind:
        return Finding(False, f"The Service has no endpoints, though {len(pods)} pods of the Deployment are ready.")
    there, wanted = ", ".join(sorted(behind)), ", ".join(sorted(pods))
    return Finding(False, f"The endpoints are {there}; the ready pods of the Deployment are {wanted}.")


@check(
    "answers_through_service",
    points=2,
    expects="The Service answers on port 80: /predict returns one digit for each row of example.json.",
    hint="`port` is where the Service listens (80), `targetPort` where the container listens (8000).",
    chapter="kubernetes#services",
)
def answers_through_service(seen: Seen) -> Finding:
    rows = examples()
    answer = seen.ask("/predict", {"instances": rows})
    digits = answer.json.get("predictions") if isinstance(answer.json, dict) else None
    good = isinstance(digits, list) and len(digits) == len(rows) and all(digit in range(10) for digit in digits)
    if answer.status != 200 or not good:
        return Finding(False, f"/predict answered the {len(rows)} example rows with: {answer}")
    return Finding(True, f"The Service answers and reads the {len(rows)} example rows as {digits}.")


@check(
    "load_is_spread",
    points=1,
    expects="Requests through the Service are answered by at least two different pods.",
    hint="Two pods must be ready and selected by the Service: look at `replicas` and at the endpoints.",
    chapter="kubernetes#services",
)
def load_is_spread(seen: Seen) -> Finding:
    pods: set[str] = set()
    for asked in range(1, QUESTIONS + 1):
        answer = seen.ask("/info")
        if answer.status != 200 or not isinstance(answer.json, dict):
            return Finding(False, f"/info answered: {answer}")
        pods.add(str(answer.json.get("pod")))
        if len(pods) > 1:
            return Finding(True, f"{len(pods)} pods answered within {asked} requests.")
    return Finding(False, f"All {QUESTIONS} requests were answered by one pod, {pods.pop()}.")


@check(
    "same_as_docker",
    points=1,
    expects="Through the Service, the model says of example.json exactly what it says when its image runs in Docker.",
    hint="The pods must run the lab's image with its own model: no other command, no other MODEL_PATH.",
    chapter="kubernetes#registries",
)
def same_as_docker(seen: Seen) -> Finding:
    here = seen.ask("/predict", {"instances": examples()})
    there = seen.in_docker
    if here.status != 200 or not isinstance(here.json, dict):
        return Finding(False, f"The Service answered: {here}")
    for part in ("model", "predictions", "probabilities"):
        if here.json.get(part) != there.json.get(part):
            return Finding(False, f"The {part} differ: {str(here.json.get(part))[:60]}, in Docker "
                                  f"{str(there.json.get(part))[:60]}.")  # fmt: skip
    return Finding(True, "Model, predictions and probabilities are the same.")


@check(
    "readiness_gates",
    points=2,
    expects="A pod gets requests only when its model is loaded: a copy of your pod whose model cannot be found runs, "
    "but never becomes ready.",
    hint="A readinessProbe asks a container whether it can take requests. Which of the server's paths knows that?",
    chapter="kubernetes#probes",
)
def readiness_gates(seen: Seen) -> Finding:
    if not seen.gate.ready:
        return Finding(True, f"A copy without a model ran and stayed not ready: {seen.gate.said[:120]}")
    probes = [one.get("readinessProbe") for one in seen.deployment.containers]
    if any(probes):
        return Finding(False, "A copy of your pod without a model became ready: its readiness probe was content.",
                       "/healthz says that the process lives, /readyz that the model is loaded. Which of them should "
                       "decide about requests?")  # fmt: skip
    return Finding(False, "A copy of your pod without a model became ready: nothing asks whether it is.")


@check(
    "resources_set",
    points=1,
    expects="Every container of the Deployment requests CPU and memory, and has a memory limit.",
    hint="A container's `resources` say what it needs (requests) and what it may take at most (limits).",
    chapter="kubernetes#resources",
)
def resources_set(seen: Seen) -> Finding:
    missing = []
    for container in seen.deployment.containers:
        resources = container.get("resources") or {}
        limits = resources.get("limits") or {}
        requests = {**limits, **(resources.get("requests") or {})}  # Kubernetes requests a limit where nothing is said
        missing += [f"a request for {name}" for name in ("cpu", "memory") if name not in requests]
        missing += ["a limit for memory"] * ("memory" not in limits)
    if missing:
        return Finding(False, f"The Deployment's container has not got: {', '.join(missing)}.")
    return Finding(True, "Requests for CPU and memory and a memory limit are set.")
