"""Judge lab 7: what KServe made of the learner's InferenceServices."""

from __future__ import annotations

from autograder.checks import Finding, check
from autograder.probes.digits import digits_in
from autograder.probes.words import cut, listed

from .seen import REPAIRED, Seen, examples

KINDS = ("Deployment", "Service", "HorizontalPodAutoscaler")
LEAST, MOST, AIM = 2, 4, 60


@check(
    "service_ready",
    points=2,
    expects="KServe calls the InferenceService digits ready, and its pods run what it says now.",
    hint="`kubectl describe inferenceservice digits` and `kubectl get pods` tell what stands in the way.",
    chapter="kubeflow#kserve",
)
def service_ready(seen: Seen) -> Finding:
    found = seen.ready
    return Finding(True, f"It is ready, and the Deployment {found.workload} has rolled out.")


@check(
    "made_by_kserve",
    points=1,
    expects="The Deployment, the Service and the HorizontalPodAutoscaler digits-predictor belong to the "
    "InferenceService digits: KServe made them, not you.",
    hint="You write one InferenceService. Who makes the other objects?",
    chapter="kubeflow#kserve",
)
def made_by_kserve(seen: Seen) -> Finding:
    service = seen.service.followed()
    foreign = [kind for kind in KINDS if not service.made(kind).own]
    if foreign:
        return Finding(False, f"Not of the InferenceService, though named like it: {listed(foreign)}.",
                       "Delete what you made by hand under that name; KServe makes its own.")  # fmt: skip
    return Finding(True, f"All three of {service.workload} belong to it.")


@check(
    "answers_by_name",
    points=1,
    expects="The Service digits-predictor answers on port 80: /predict returns one digit for each row of example.json.",
    hint="KServe leads port 80 of the Service to the first containerPort that your container names.",
    chapter="kubeflow#kserve",
)
def answers_by_name(seen: Seen) -> Finding:
    rows = examples()
    answer = seen.ask("/predict", {"instances": rows})
    digits = digits_in(answer, rows)
    if digits is None:
        return Finding(False, f"/predict answered the {len(rows)} example rows with: {answer}")
    return Finding(True, f"The Service answers and reads the {len(rows)} example rows as {digits}.")


@check(
    "readiness_gates",
    points=2,
    expects="A pod gets requests only when its model is loaded: a copy of your pod whose model cannot be found runs, "
    "but never becomes ready.",
    hint="Where you say nothing, KServe only asks whether the port is open. What else could be asked?",
    chapter="kubernetes#probes",
)
def readiness_gates(seen: Seen) -> Finding:
    if not seen.gate.ready:
        return Finding(True, f"A copy without a model ran and stayed not ready: {cut(seen.gate.said, 120)}")
    probe = seen.deployment.containers[0].get("readinessProbe") or {}
    asked = "a path" if "httpGet" in probe else "whether its port is open" if "tcpSocket" in probe else "something"
    return Finding(False, f"A copy of your pod without a model became ready: its readiness probe asks {asked}, and was "
                          "content.")  # fmt: skip


@check(
    "scales",
    points=2,
    expects="KServe's autoscaler keeps digits between 2 and 4 replicas, and aims at 60 % of the requested CPU.",
    hint="The InferenceService says it to KServe, under spec.predictor; KServe says it to the autoscaler.",
    chapter="kubeflow#kserve",
)
def scales(seen: Seen) -> Finding:
    found = seen.autoscaler
    aim = found.aim.get("cpu")
    said = f"It keeps between {found.least} and {found.most} replicas and aims at {aim or 'no'} % of the CPU."
    right = [found.least == LEAST, found.most == MOST, aim == AIM]
    if all(right):
        return Finding(True, said)
    if right[:2] == [True, True]:
        return Finding(0.5, said, "scaleMetric says of what, scaleTarget at how many percent.")
    return Finding(False, f"{said} {LEAST} to {MOST} at {AIM} % were asked for.")


@check(
    "came_back",
    points=1,
    expects="The Deployment digits-predictor was deleted once, and KServe has made it anew: it is younger than the "
    "Service beside it.",
    hint="Delete that Deployment, and nothing else. Who notices?",
    chapter="kubeflow#kserve",
)
def came_back(seen: Seen) -> Finding:
    service = seen.service.followed()
    deployment, beside = service.made("Deployment"), service.made("Service")
    apart = (deployment.created - beside.created).total_seconds()
    if foreign := [one.kind for one in (deployment, beside) if not one.own]:
        return Finding(False, f"Not of the InferenceService, so its age tells nothing: {listed(foreign)}.")
    if apart >= 1:  # where none was deleted, KServe made the Deployment first
        return Finding(True, f"The Deployment is {apart:.0f} s younger than the Service.")
    return Finding(False, "The Deployment is as old as the Service: it was not deleted since the InferenceService is.")


@check(
    "second_version",
    points=2,
    expects="All ready pods of digits run the image that the registry has as localhost:5001/digits:v2, to the very "
    "digest.",
    hint="Change the image in inferenceservice.yaml, and apply it. KServe changes the Deployment.",
    chapter="kubeflow#kserve",
)
def second_version(seen: Seen) -> Finding:
    pods = seen.pods
    others = sorted({pod.image for pod in pods if pod.image_id != seen.digest})
    if others:
        return Finding(False, f"digits:v2 is {seen.digest[:19]}… in the registry, but pods run {listed(others)}.")
    seen.rolled_out  # noqa: B018  a bad version beside the good one is no update
    return Finding(True, f"All {len(pods)} pods run {seen.digest[:19]}…")


@check(
    "fault_found",
    points=2,
    expects="diagnosis.json says of the InferenceService broken, as it was given, why its container does not start "
    "(the cluster's word for it), and which port its readiness probe asks. Leave broken in the namespace.",
    hint="`kubectl get pods` shows why a container waits; `kubectl describe pod` shows its probes.",
    chapter="kubernetes#looking-for-a-fault",
)
def fault_found(seen: Seen) -> Finding:
    deployment, told = seen.broken, seen.diagnosis
    if not seen.waits_for_image:
        return Finding(False, "The pod of broken does not wait for its image.",
                       "Apply broken.yaml as it is, and leave it there.")  # fmt: skip
    probe = deployment.containers[0].get("readinessProbe") or {}
    port = (probe.get("tcpSocket") or probe.get("httpGet") or {}).get("port")
    # The cluster says the first at the first try, the second while it waits for the next one.
    reason_right = str(told.get("reason", "")).strip().lower() in {"errimagepull", "imagepullbackoff"}
    port_right = str(told.get("port", "")).strip() == str(port)
    said = [f"the reason is {'right' if reason_right else 'not what the cluster says'}",
            f"the port is {'right' if port_right else 'not the one that is asked'}"]  # fmt: skip
    return Finding((reason_right + port_right) / 2, f"In diagnosis.json, {' and '.join(said)}.")


@check(
    "repaired_serves",
    points=2,
    expects="The InferenceService repaired is ready, and the Service repaired-predictor answers /readyz on port 80.",
    hint="There are two faults. A pod that starts can still be asked at the wrong place.",
    chapter="kubernetes#looking-for-a-fault",
)
def repaired_serves(seen: Seen) -> Finding:
    found = seen.repaired
    answer = seen.ask_of(seen.kube.deployment(found.workload), found.workload, "/readyz")
    if answer.status != 200:
        return Finding(False, f"The Service {REPAIRED}-predictor answered: {answer}")
    model = answer.json.get("model") if isinstance(answer.json, dict) else None
    return Finding(True, f"It is ready, and its server has loaded {cut(str(model), 20)}")
