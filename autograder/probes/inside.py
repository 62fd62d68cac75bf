"""Look into a pod's container: its process's variables, its files."""

from __future__ import annotations

import urllib3
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from websocket import WebSocketException

from autograder.facts import CannotCheck
from autograder.probes.kubernetes import Kube
from autograder.probes.pods import Pod
from autograder.probes.words import cut

LARGEST = 100_000  # characters
SECONDS = 20


def text(kube: Kube, pod: Pod, path: str) -> str | None:
    """Return what a file in a pod's first container holds, None where it cannot be read there.

    Raises CannotCheck where the cluster does not let us look.
    """
    try:
        # `cat` is in every image with a shell; nothing of the learner's is run.
        answer = stream(
            kube.core.connect_get_namespaced_pod_exec, pod.name, kube.namespace,
            container=pod.spec["containers"][0]["name"], command=["cat", path], stdout=True, stderr=True, stdin=False,
            tty=False, _preload_content=False, _request_timeout=SECONDS,
        )  # fmt: skip
    except (ApiException, WebSocketException, urllib3.exceptions.HTTPError, OSError) as error:
        # Of an answer to a handshake, the client keeps all headers and the body, too.
        why = cut(str(getattr(error, "reason", error)).partition(" -+-+-")[0])
        cause = f"The cluster could not look into pod {pod.name}, which may have just been replaced: {why}"
        raise CannotCheck(cause, "Grade again.") from error
    answer.run_forever(timeout=SECONDS)
    said = answer.read_stdout()[:LARGEST] if answer.peek_stdout() else ""
    code = None if answer.is_open() else answer.returncode
    answer.close()
    return said if code == 0 else None


def variables(kube: Kube, pod: Pod) -> dict[str, str] | None:
    """Return the variables that a pod's first process was started with, None where they cannot be read.

    They are what counts, not what the manifest or a ConfigMap says by now.
    """
    said = text(kube, pod, "/proc/1/environ")
    if said is None:
        return None
    pairs = (entry.partition("=") for entry in said.split("\0") if entry)
    return {name: value for name, _, value in pairs}
