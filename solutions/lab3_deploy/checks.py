"""Judge lab 3: what the learner's manifests made in the namespace."""

from __future__ import annotations

from autograder.checks import Finding, check
from autograder.probes.apiserver import call
from autograder.probes.digits import digits_in
from autograder.probes.words import cut

from .seen import (
    BELONGS,
    NAME,
    QUESTIONS,
    SECRET,
    SETTING,
    SETTINGS,
    TOKEN,
    VALUE,
    VARIABLE,
    Seen,
    examples,
)


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
    digits = digits_in(answer, rows)
    if digits is None:
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
    ready = {pod.name for pod in seen.pods}
    behind = {one.pod for one in seen.endpoints} & ready
    if len(behind) < 2:
        there = f"only {behind.pop()}" if behind else "no ready pod of the Deployment"
        return Finding(False, f"Behind the Service stands {there}.")
    pods: set[str] = set()
    for asked in range(1, QUESTIONS + 1):
        answer = seen.ask("/info")
        if answer.status != 200 or not isinstance(answer.json, dict):
            return Finding(False, f"/info answered: {answer}")
        pods.add(str(answer.json.get("pod")))
        if unknown := pods - behind:
            return Finding(False, f"An answer came from {cut(unknown.pop(), 60)}, which is no pod behind the Service.")
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


@check(
    "settings_arrive",
    points=2,
    expects="The ConfigMap digits-settings says LOAD_SECONDS=1, the Deployment takes it from there, and the server in "
    "every pod was started with it.",
    hint="Variables are read when a process starts. A changed ConfigMap starts no process anew; who does?",
    chapter="kubernetes#settings",
)
def settings_arrive(seen: Seen) -> Finding:
    said = seen.configmap.get(SETTING)
    if said != VALUE:
        return Finding(False, f"The ConfigMap says {SETTING}={said}." if said else f"The ConfigMap has no {SETTING}.",
                       f"Its key is the variable's name, and its value in the end {VALUE}.")  # fmt: skip
    found = {one.get(SETTING) for one in seen.environments}
    if found != {VALUE}:
        there = ", ".join(sorted(str(one or "without it") for one in found))
        return Finding(
            False, f"The ConfigMap says {SETTING}={VALUE}; the servers in the pods were started with: {there}."
        )
    if seen.literal(SETTING):
        return Finding(False, f"The Deployment's template says {SETTING} itself.",
                       "valueFrom and envFrom take a variable from a ConfigMap.")  # fmt: skip
    if not seen.takes(SETTING, "configMap", SETTINGS):
        return Finding(False, f"The Deployment does not take {SETTING} from the ConfigMap {SETTINGS}.",
                       "What is set later hides what is set before: which object does the template name?")  # fmt: skip
    return Finding(True, f"The ConfigMap says {SETTING}={VALUE}, and so do the servers in all {len(seen.pods)} pods.")


@check(
    "secret_arrives",
    points=1,
    expects="The Secret digits-token holds TOKEN=harbour-lights-7, exactly; the server in every pod has it as the "
    "variable TOKEN, the Deployment takes it from there and does not tell it itself.",
    hint="A Secret's `data` is base64 of the value and of nothing more; `stringData` and --from-literal encode it.",
    chapter="kubernetes#settings",
)
def secret_arrives(seen: Seen) -> Finding:
    held = seen.secret.get(VARIABLE)
    if held != TOKEN:
        there = f"{VARIABLE}={cut(held, 40)!r}, {len(held)} characters" if held else f"no {VARIABLE}"
        return Finding(False, f"The Secret holds {there}; wanted are the {len(TOKEN)} of {TOKEN}.")
    if seen.literal(VARIABLE):
        return Finding(False, f"The Deployment's template tells {VARIABLE} in plain text.",
                       "valueFrom with secretKeyRef, or envFrom, takes it from the Secret.")  # fmt: skip
    if any(one.get(VARIABLE) != TOKEN for one in seen.environments):
        return Finding(False, f"A server in the pods was not started with {VARIABLE} of the Secret.",
                       "The container must name the Secret, and the pods must be newer than it.")  # fmt: skip
    if not seen.takes(VARIABLE, "secret", SECRET):
        return Finding(False, f"The Deployment does not take {VARIABLE} from the Secret {SECRET}.",
                       "valueFrom with secretKeyRef, or envFrom with secretRef, names the Secret.")  # fmt: skip
    return Finding(True, f"The Secret holds it, and the servers in all {len(seen.pods)} pods have it.")


@check(
    "labelled",
    points=1,
    expects="One question finds all four: the Deployment digits, the Service digits, the ConfigMap digits-settings and "
    "the Secret digits-token carry the label part-of=reader.",
    hint="`kubectl label` adds a label to an object that is there; in a file it stands under metadata.labels.",
    chapter="kubernetes#labels",
)
def labelled(seen: Seen) -> Finding:
    core, apps = seen.kube.core, seen.kube.apps
    missing = []
    for kind, name, listing in (
        ("Deployment", NAME, apps.list_namespaced_deployment), ("Service", NAME, core.list_namespaced_service),
        ("ConfigMap", SETTINGS, core.list_namespaced_config_map), ("Secret", SECRET, core.list_namespaced_secret),
    ):  # fmt: skip
        found = call(f"list {kind}s", listing, seen.kube.namespace, label_selector=BELONGS).items
        missing += [f"{kind} {name}"] * (name not in {one.metadata.name for one in found})
    if missing:
        return Finding(False, f"With {BELONGS} one does not find: {', '.join(missing)}.")
    return Finding(True, f"With {BELONGS} one finds all four.")


@check(
    "quay_runs",
    points=1,
    expects="The repaired Deployment quay has come to run, with the image localhost:5001/digits:v1.",
    hint="The events at the end of `kubectl describe pod` name what could not be done. Is the corrected file applied?",
    chapter="kubernetes#looking-for-a-fault",
)
def quay_runs(seen: Seen) -> Finding:
    pods = seen.repaired("quay")
    return Finding(all(pod.image_id == seen.digest for pod in pods), f"A pod is ready; it runs {pods[0].image}.")


@check(
    "crane_runs",
    points=1,
    expects="The repaired Deployment crane has come to run, and its server has loaded its model.",
    hint="`kubectl logs` shows what the program says about its model. Is the corrected file applied?",
    chapter="kubernetes#looking-for-a-fault",
)
def crane_runs(seen: Seen) -> Finding:
    pods = seen.repaired("crane")
    if not all(seen.loaded(pod) for pod in pods):
        return Finding(False, "A pod is ready, but its server has no model (/readyz does not answer with 200).",
                       "A pod that is called ready is not yet one that can work. Why has it no model?")  # fmt: skip
    return Finding(True, "A pod is ready, and its server has loaded its model.")


@check(
    "tug_answers",
    points=1,
    expects="The repaired Service tug answers on port 80 with the pod of the Deployment tug behind it.",
    hint="`kubectl get endpointslices` shows whom a Service has found, by labels. Is the corrected file applied?",
    chapter="kubernetes#looking-for-a-fault",
)
def tug_answers(seen: Seen) -> Finding:
    names = {pod.name for pod in seen.repaired("tug")}
    answer = seen.ask_of(seen.kube.deployment("tug"), "tug", "/info")
    pod = answer.json.get("pod") if isinstance(answer.json, dict) else None
    if answer.status != 200 or pod not in names:
        return Finding(False, f"The Service tug answered: {answer}")
    return Finding(True, "The Service answers, and it is its own pod that does.")
