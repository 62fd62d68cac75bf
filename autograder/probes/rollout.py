"""Wait for a rollout, and find the reason where it does not come."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from autograder.facts import CannotCheck, NotThere
from autograder.probes.pods import CONFIG, IMAGE, Pod
from autograder.probes.words import cut
from autograder.waiting import TimedOut, wait_until

if TYPE_CHECKING:
    from autograder.probes.kubernetes import Deployment, Kube

GIVE_UP = 15.0  # seconds in which the same hopeless reason must stand
HOPELESS = {*IMAGE, "CreateContainerConfigError", "CreateContainerError"}
SMALL = (1.0, 2 * 1024**3)  # cores, bytes: what a whole Deployment may ask for without being at fault
ASLEEP = "A part of the cluster does not work. Run `shipyard up`, which waits until it does; then check again."
SLOW = "The machine has much to do, or a large image is being pulled: check again in a while."
UNREACHED = ("connection refused", "i/o timeout", "no such host", "no route to host", "deadline exceeded")


def wait_rolled_out(deployment: Deployment, timeout: float) -> Deployment:
    """Return the Deployment once it is rolled out; see Deployment.wait_rolled_out."""
    started, hopeless_since = time.monotonic(), 0.0
    while not deployment.rolled_out:
        now = time.monotonic()
        if deployment.replicas == 0:
            raise NotThere(f"The Deployment {deployment.name} asks for 0 replicas.", "Set `replicas` in its spec.")
        hopeless_since = (hopeless_since or now) if _hopeless(deployment) else 0.0
        if now - started >= timeout or (hopeless_since and now - hopeless_since >= GIVE_UP):
            raise reason(deployment, now - started)
        time.sleep(0.5)
        deployment = deployment.kube.deployment(deployment.name)
    return deployment


def waits_for_image(deployment: Deployment, timeout: float) -> bool:
    """Say whether a pod waits for its Deployment's image; see Deployment.waits_for_image."""
    asked = deployment.containers[0].get("image")

    def waits() -> bool:
        return any(pod.image == asked and pod.because(*IMAGE) for pod in deployment.pods())

    with suppress(TimedOut):
        return wait_until(waits, "it", timeout, 1)
    return False


def _hopeless(deployment: Deployment) -> bool:
    """Say whether waiting longer cannot help: no image, a crash again and again, pods refused."""
    if _refused(deployment):
        return True
    waiting = [pod for pod in deployment.pods() if not pod.ready and not pod.terminating]
    stuck = [p for p in waiting if p.because(*HOPELESS) or (p.because("CrashLoopBackOff") and p.restarts >= 2)]
    return bool(waiting) and len(stuck) == len(waiting)


def reason(deployment: Deployment, seconds: float) -> NotThere | CannotCheck:
    """Return why a Deployment is not rolled out, as the exception to raise."""
    head = f"After {seconds:.0f} s {deployment.ready} of {deployment.replicas} replicas are ready"
    pods = deployment.pods()
    waiting = [pod for pod in pods if not pod.ready and not pod.terminating]
    if refused := _refused(deployment):
        return NotThere(
            f"{head}: the cluster refuses to create pods. {cut(refused.partition(': ')[2], 300)}",
            "The message names the rule: a quota (ask for less), or a setting that this namespace forbids.",
        )
    if not deployment.observed:
        return CannotCheck(f"{head}, and the cluster has not even looked at the Deployment {deployment.name}.", ASLEEP)
    if not waiting:
        return _nothing_starts(deployment, pods, head)
    kube = deployment.kube
    for explain in (_no_image, _memory, _config, _crash, _no_room, _probe, _asleep):
        for pod in waiting:
            if found := explain(pod, deployment, kube, head):
                return found
    pod = waiting[0]
    why = "; ".join(str(one) for one in pod.reasons) or f"phase {pod.phase}"
    return NotThere(f"{head}. Pod {pod.name} is not: {why}.", f"Look with `kubectl describe pod {pod.name}`.")


def _refused(deployment: Deployment) -> str:
    """Return what the cluster says where it refuses to create the pods of the newest manifest, "" where it does not."""
    condition = deployment.conditions.get("Progressing", "")
    if "ReplicaSetCreateError" in condition:  # then not even its ReplicaSet is made, and nothing counts as observed
        return condition
    condition = deployment.conditions.get("ReplicaFailure", "")
    return condition if deployment.observed and condition.startswith("True") else ""


def _nothing_starts(deployment: Deployment, pods: list[Pod], head: str) -> NotThere | CannotCheck:
    """Return why no pod is on its way to be ready, though some are missing or too many."""
    if deployment.paused:
        return NotThere(f"{head}, and its rollout is paused.", "`kubectl rollout resume` lets it go on.")
    if deployment.strategy.get("type") == "Recreate" and any(pod.terminating for pod in pods):
        return NotThere(f"{head}: pods of the old version, which end first, still run.",
                        "A server must end when it gets SIGTERM.")  # fmt: skip
    if deployment.total > deployment.updated and deployment.min_ready_seconds:
        old = f"{head}, but {deployment.total - deployment.updated} pods of the old version still run."
        return NotThere(old, f"With minReadySeconds: {deployment.min_ready_seconds}, each new pod takes so long.")
    return CannotCheck(f"{head}, and the cluster goes no further, though no pod stands in its way.", ASLEEP)


def _asleep(pod: Pod, deployment: Deployment, kube: Kube, head: str) -> CannotCheck | None:
    if pod.untouched:
        return CannotCheck(f"{head}; nothing in the cluster has taken up pod {pod.name}.", ASLEEP)
    failed = [event for event in kube.events(20, pod.name) if event.reason.startswith("Failed")]
    if sandbox := [event for event in failed if event.reason == "FailedCreatePodSandBox"]:
        return CannotCheck(f"{head}; the node cannot make pod {pod.name}: {cut(sandbox[0].message, 250)}", ASLEEP)
    if pod.because("ContainerCreating") and not failed:  # a volume that is not there would be told
        return CannotCheck(f"{head}; the node has not yet made the container of pod {pod.name}.", SLOW)
    return None


def _no_image(pod: Pod, deployment: Deployment, kube: Kube, head: str) -> NotThere | CannotCheck | None:
    if not (why := pod.because(*IMAGE)):
        return None
    registry = kube.place.registry
    if pod.image.startswith(f"{registry}/") and any(words in why.message for words in UNREACHED):
        return CannotCheck(
            f"The cluster could not reach the registry {registry} to pull {pod.image}.",
            "Run `shipyard up`: it starts the registry. Then grade again.",
        )
    hint = f"Is the image pushed under exactly this name? `docker push {pod.image}` must have worked."
    if not pod.image.startswith(f"{registry}/"):
        hint = (
            f"The cluster pulls from the registry that the name begins with (none means docker.io). "
            f"The lab's image is pushed to {registry}, so its name begins with {registry}/."
        )
    return NotThere(f"{head}. The image {pod.image} cannot be pulled: {why}", hint)


def _memory(pod: Pod, deployment: Deployment, kube: Kube, head: str) -> NotThere | None:
    if not pod.because("OOMKilled"):
        return None
    limits = (pod.spec["containers"][0].get("resources") or {}).get("limits") or {}
    return NotThere(
        f"{head}. A container of pod {pod.name} was ended because it used more than its memory limit "
        f"({limits.get('memory', 'set by the namespace')}); it was restarted {pod.restarts} times.",
        "Give the container a higher memory limit; `kubectl top pods` shows what it uses.",
    )


def _config(pod: Pod, deployment: Deployment, kube: Kube, head: str) -> NotThere | None:
    why = pod.because(*CONFIG)
    hint = "The message names what is missing or wrong: a ConfigMap, a Secret, the command, or the user."
    return NotThere(f"{head}. The container of pod {pod.name} cannot be created: {why}", hint) if why else None


def _crash(pod: Pod, deployment: Deployment, kube: Kube, head: str) -> NotThere | None:
    why = pod.because("CrashLoopBackOff", "Error")
    if not why:
        return None
    killed = [e for e in kube.events(20, pod.name) if e.reason == "Unhealthy" and e.message.startswith("Liveness")]
    if killed:
        return NotThere(
            f"{head}. Kubernetes restarted the container of pod {pod.name} {pod.restarts} times because its liveness "
            f"probe failed: {cut(killed[0].message)}",
            "The liveness probe must ask the port and path where the server answers, and give it time to start.",
        )
    ended = pod.because("Error")
    log = _last_log(kube, pod)
    says = f" It wrote last:\n{log}" if log else " It wrote nothing."
    return NotThere(
        f"{head}. The program in pod {pod.name} ends again and again ({ended.message if ended else why.code}).{says}",
        "Read the program's last lines: `kubectl logs POD --previous`. Does it run with `docker run`?",
    )


def _last_log(kube: Kube, pod: Pod) -> str:
    """Return what a program that ends again and again wrote last, "" for nothing.

    Asked more than once: a container that is being replaced has no log for a moment.
    """
    with suppress(TimedOut):
        return wait_until(lambda: kube.logs(pod, 5, previous=True) or kube.logs(pod, 5), "its log", timeout=3)
    return ""


def _no_room(pod: Pod, deployment: Deployment, kube: Kube, head: str) -> NotThere | CannotCheck | None:
    if not (why := pod.because("Unschedulable")):
        return None
    if "Insufficient" not in why.message:
        if "untolerated taint" in why.message and "affinity" not in why.message:
            return CannotCheck(f"No node takes pods now: {why.message}", "Run `shipyard doctor`: is the node healthy?")
        return NotThere(
            f"{head}. No node may run pod {pod.name}: {why.message}",
            "Look at nodeSelector, affinity and volumes in your manifest.",
        )
    cores, memory = pod.requests
    asked = f"{cores:g} CPU and {memory / 1024**2:.0f} MiB each"
    if cores * deployment.replicas <= SMALL[0] and memory * deployment.replicas <= SMALL[1]:
        return CannotCheck(
            f"The cluster has no room for pods that ask for little ({asked}): {why.message}",
            "Remove what else runs on it (`shipyard reset`), then grade again.",
        )
    return NotThere(
        f"{head}. Pod {pod.name} finds no node: {deployment.replicas} replicas request {asked}. {why.message}",
        "Request what the server really needs; `kubectl top pods` shows it. 100m CPU and 256Mi are plenty here.",
    )


def _probe(pod: Pod, deployment: Deployment, kube: Kube, head: str) -> NotThere | None:
    failed = [event for event in kube.events(20, pod.name) if event.reason == "Unhealthy"]
    if not failed:
        return None
    return NotThere(
        f"{head}. Pod {pod.name} runs, but {cut(failed[0].message, 250)}",
        "A probe must ask the port and the path where the server answers; /readyz answers 503 until the model is "
        "loaded.",
    )
