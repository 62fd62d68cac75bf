"""Judge lab 2: the containers that the learner runs, and how they find each other."""

from __future__ import annotations

import ipaddress
import time
from contextlib import suppress
from urllib.parse import urlsplit

from autograder.checks import Finding, check
from autograder.probes.digits import digits_in
from autograder.probes.standing import answered, standing
from autograder.waiting import TimedOut, wait_until

from .seen import (
    BACK_SECONDS,
    COMPOSE_PORT,
    GATEWAY,
    GATEWAY_PORT,
    HEALTH_SECONDS,
    IMAGE,
    MODEL,
    MODEL_PORT,
    NAMED,
    NETWORK,
    PINNED,
    PROJECT,
    REPOSITORY,
    SERVICES,
    VOLUME,
    Seen,
    examples,
)


@check(
    "published",
    points=2,
    expects=f"The container {MODEL} runs the image {IMAGE}, and port {MODEL_PORT} of the machine leads to it: "
    f"http://127.0.0.1:{MODEL_PORT}/predict returns one digit for each row of example.json.",
    hint="`--publish 127.0.0.1:OUTSIDE:INSIDE`: the server listens on 8000 inside.",
    chapter="docker#ports",
)
def published(seen: Seen) -> Finding:
    if seen.model.image_id != seen.docker.image(IMAGE).id:
        return Finding(False, f"The container runs the image {seen.model.image}, which is not {IMAGE}.",
                       "The image's name comes after all options; what follows it is a command.")  # fmt: skip
    rows = examples()
    answer = seen.predict(seen.model_url, rows)
    digits = digits_in(answer, rows)
    if digits is None:
        return Finding(False, f"/predict answered the {len(rows)} example rows with: {answer}")
    return Finding(True, f"Port {MODEL_PORT} answers and reads the {len(rows)} example rows as {digits}.")


@check(
    "named_by_environment",
    points=1,
    expects=f"The server calls itself {NAMED}: its answer to /info says so under `pod`. It takes the name from the "
    "variable POD_NAME.",
    hint="A container does not see your shell's variables: each one is handed over with `--env NAME=value`.",
    chapter="docker#containers",
)
def named_by_environment(seen: Seen) -> Finding:
    name = str(seen.info.get("pod"))[:80]
    return Finding(name == NAMED, f"/info says that the server's name is {name}.")


@check(
    "model_from_volume",
    points=2,
    expects=f"The server reads its model from the volume {VOLUME}: a copy of your container in which the volume is "
    "empty has no model.",
    hint="Two things belong together: where the volume is mounted, and where MODEL_PATH lets the server look.",
    chapter="docker#volumes",
)
def model_from_volume(seen: Seen) -> Finding:
    if VOLUME not in seen.model.volumes.values():
        there = ", ".join(seen.model.volumes.values()) or "none"
        return Finding(False, f"The volume {VOLUME} is not mounted. Named volumes of the container: {there}.")
    assert seen.model_url  # with the volume it is ready
    if seen.without_volume.status == 200:
        return Finding(False, "With an empty volume, a copy of your container had a model all the same: it reads the "
                              "one in the image.")  # fmt: skip
    return Finding(True, "With the volume the model is loaded, with an empty one there is none.")


@check(
    "health_knows_the_model",
    points=2,
    expects="Docker knows whether the model is loaded: it calls your container healthy (within "
    f"{HEALTH_SECONDS} seconds), and a copy whose model cannot be found unhealthy.",
    hint="The image asks /healthz, which says that the process lives. `--health-cmd` asks something else: /readyz.",
    chapter="docker#health",
)
def health_knows_the_model(seen: Seen) -> Finding:
    model = seen.model
    if not model.health:
        return Finding(False, "Nothing asks for the container's health.")
    with suppress(TimedOut):
        wait_until(lambda: model.health == "healthy", "a health check", HEALTH_SECONDS, 0.5)
    if model.health != "healthy":
        return Finding(False, f"Docker calls the container {model.health}. The last question gave: {model.health_said}",
                       "The command runs inside the container: it can use only what is in the image (there is no "
                       "curl), and the server's port is 8000 there.")  # fmt: skip
    status, said = seen.sick
    if status == "healthy":
        return Finding(0.5, "Docker calls the container healthy, but a copy without a model, too.")
    return Finding(True, f"Your container is healthy; a copy without a model is {status}: {said[:80]}")


@check(
    "asked_from_inside",
    points=1,
    expects=f"With `docker exec`, /info was asked from inside {MODEL}: its log shows GET /info from 127.0.0.1.",
    hint="`docker exec CONTAINER COMMAND` runs a command inside; the server is at 127.0.0.1:8000 there.",
    chapter="docker#containers",
)
def asked_from_inside(seen: Seen) -> Finding:
    asked = seen.model.log_lines("GET /info")
    if any(line.startswith(("127.0.0.1", "::1")) for line in asked):
        return Finding(True, "The log shows GET /info from 127.0.0.1.")
    if asked:
        return Finding(False, "The log shows GET /info, but only from outside the container.")
    return Finding(False, "The log shows no GET /info.", "A container that is started anew has a new log: ask again.")


@check(
    "comes_back",
    points=2,
    expects=f"When process 1 of {MODEL} is asked to end (SIGTERM, sent from inside) and ends, the container is started "
    f"again by itself and answers within {BACK_SECONDS} seconds.",
    hint="`--restart` says when Docker starts a container again: never, after a failure, or always.",
    chapter="docker#restarts",
)
def comes_back(seen: Seen) -> Finding:
    model, url = seen.model, seen.model_url
    before = model.started
    code, words = model.run("sh", "-c", "kill 1")
    if code not in (None, 0, 137, 143):  # None: process 1 was gone before the engine could tell how the command ended
        return Finding(False, f"Process 1 could not be asked to end: {words[:100]}")
    try:
        wait_until(lambda: model.started != before or model.status == "exited", "an end", BACK_SECONDS)
        if model.status == "exited":
            time.sleep(2)
    except TimedOut:
        return Finding(False, f"Process 1 did not end within {BACK_SECONDS} seconds.")
    if model.started == before:
        policy = (model.attrs["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no"
        code = model.attrs["State"]["ExitCode"]
        model.start()  # as it was found
        answered(url)
        return Finding(False, f"The server ended (exit code {code}) and was not started again; the restart policy is "
                              f"{policy}.")  # fmt: skip
    answer = answered(url, seconds=BACK_SECONDS)
    return Finding(answer.status == 200, f"It ended and was started again; /readyz answers {answer.status}.")


@check(
    "calls_by_name",
    points=2,
    expects=f"The container {GATEWAY} runs on the network {NETWORK} together with {MODEL}, and calls it by name: "
    f"http://127.0.0.1:{GATEWAY_PORT}/predict passes example.json on and returns the model's answer. (It takes the "
    "model's address from MODEL_URL and listens on port 8080.)",
    hint="On a network that you made, a container's name is its address. Which name, and which port inside?",
    chapter="docker#networks",
)
def calls_by_name(seen: Seen) -> Finding:
    for one in (seen.gateway, seen.model):
        if NETWORK not in one.networks:
            return Finding(False, f"{one.name} is not on the network {NETWORK}, but on {', '.join(one.networks)}.",
                           "`docker network connect NETWORK CONTAINER` joins a running one.")  # fmt: skip
    host = urlsplit(seen.gateway.env.get("MODEL_URL", "")).hostname or ""
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return Finding(False, f"MODEL_URL names the address {host}.",
                       "The next container may get another address; its name stays.")  # fmt: skip
    rows = examples()
    info = seen.info  # the model is ready
    answer = seen.predict(seen.gateway_url, rows)
    if digits_in(answer, rows) is None:
        return Finding(False, f"The gateway answered: {answer}")
    if answer.json.get("pod") != info.get("pod"):
        return Finding(False, f"The answer is from {str(answer.json.get('pod'))[:60]}, not from {info.get('pod')}.")
    return Finding(True, f"The gateway finds the model as {host or 'model'} and passes its answer on.")


@check(
    "pushed",
    points=1,
    expects=f"The registry has your image as localhost:5001/{REPOSITORY}:v1; it is {IMAGE}, to the very digest.",
    hint="A registry's name is the first part of an image's name: tag it so, then push.",
    chapter="docker#registries",
)
def pushed(seen: Seen) -> Finding:
    known = seen.docker.image(IMAGE).attrs
    digests = {one.rpartition("@")[2] for one in known.get("RepoDigests") or []} | {known["Id"]}
    said = f"The registry has {REPOSITORY}:v1 with the digest {seen.digest[:19]}…"
    return Finding(seen.digest in digests, said if seen.digest in digests else f"{said}, which is not {IMAGE}.")


@check(
    "runs_by_digest",
    points=1,
    expects=f"The container {PINNED} runs, and was started by digest: localhost:5001/{REPOSITORY}@sha256:…",
    hint="A tag can be moved to another image, a digest cannot. `docker push` prints it.",
    chapter="docker#registries",
)
def runs_by_digest(seen: Seen) -> Finding:
    pinned = standing(seen.docker, PINNED).running()
    right = pinned.image.endswith(f"{REPOSITORY}@{seen.digest}") or pinned.image.endswith(
        f"{REPOSITORY}:v1@{seen.digest}"
    )
    return Finding(right, f"{PINNED} was started as {pinned.image[:120]}.")


@check(
    "compose_runs",
    points=2,
    expects=f"Compose runs the project {PROJECT} with the services {', '.join(SERVICES)}; "
    f"http://127.0.0.1:{COMPOSE_PORT}/predict passes example.json on to the model.",
    hint="`docker compose ps` and `docker compose logs` tell what runs and what it says. Service names are addresses.",
    chapter="docker#compose",
)
def compose_runs(seen: Seen) -> Finding:
    rows = examples()
    answer = seen.predict(seen.compose_url, rows)
    if digits_in(answer, rows) is None:
        return Finding(False, f"All services run, but the gateway answered: {answer}")
    return Finding(True, f"{len(SERVICES)} services run, and the gateway passes predictions on.")


@check(
    "one_door",
    points=1,
    expects="Of the three services, only the gateway is published: model and redis are reached by name, inside.",
    hint="Services of one project reach each other without `ports:`. Who outside needs to reach Redis?",
    chapter="docker#networks",
)
def one_door(seen: Seen) -> Finding:
    open_too = [name for name in ("model", "redis") if seen.services[name].published]
    if open_too:
        return Finding(False, f"Published as well: {', '.join(open_too)}.")
    if not seen.services["gateway"].published:
        return Finding(False, "No service is published, the gateway neither.")
    return Finding(True, "Only the gateway has a port of the machine.")


@check(
    "counts_predictions",
    points=2,
    expects=f"Redis counts: after /predict with n rows, http://127.0.0.1:{COMPOSE_PORT}/count is greater by n. (The "
    "gateway takes the name of Redis from REDIS_HOST.)",
    hint="Which name has Redis for its neighbours, and does the gateway know it?",
    chapter="docker#compose",
)
def counts_predictions(seen: Seen) -> Finding:
    rows = examples()
    answer, grown = seen.counting(rows)
    if digits_in(answer, rows) is None:
        return Finding(False, f"The gateway answered: {answer}")
    return Finding(grown == len(rows), f"After a request with {len(rows)} rows the count grew by {grown}.")


@check(
    "count_survives",
    points=2,
    expects="The count is in a named volume: a new Redis container with that volume at /data knows it.",
    hint="Redis writes to /data. A volume without a name belongs to one container, and the next one gets another.",
    chapter="docker#volumes",
)
def count_survives(seen: Seen) -> Finding:
    redis = seen.services["redis"]
    if not redis.volumes:
        return Finding(False, "The redis service has no named volume.")
    seen.counting(examples()[:1])
    count = seen.count()
    code, words = redis.run("redis-cli", "SAVE")
    if code or "OK" not in words:
        return Finding(False, f"Redis could not write its data: {words[:120]}")
    found = {name: seen.kept(name) for name in redis.volumes.values()}
    if str(count) in found.values():
        return Finding(True, f"A new Redis container with the same volume knows the count, {count}.")
    return Finding(
        False, f"A new Redis container with the volume {', '.join(found)} knows no count, and {count} is right."
    )
