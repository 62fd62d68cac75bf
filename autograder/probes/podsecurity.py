"""Ask Pod Security whether a pod would pass a stricter level, without creating it."""

from __future__ import annotations

import copy
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from autograder.facts import CannotCheck
from autograder.probes.apiserver import CALL_SECONDS, UP, call, message
from autograder.probes.kubernetes import Kube
from autograder.probes.words import cut

LEVEL = "pod-security.kubernetes.io"


def complaints(kube: Kube, template: dict[str, Any]) -> str:
    """Return what the namespace's `warn` or `enforce` level has against a pod of this template; empty for nothing.

    The API server judges the pod as if it were created (dryRun) and says so in its answer. Raises CannotCheck
    where it does not answer, or where neither level is set to `restricted`.
    """
    spec = copy.deepcopy(template["spec"])
    for container in spec["containers"]:  # a quota that is nearly used up has nothing to do with it
        container["resources"] = {**(container.get("resources") or {}), "requests": {"cpu": "1m", "memory": "1Mi"}}
    body = client.V1Pod(api_version="v1", kind="Pod", spec=spec,
                        metadata=client.V1ObjectMeta(generate_name="shipyard-trial-"))  # fmt: skip
    try:
        _, _, headers = kube.core.create_namespaced_pod_with_http_info(
            kube.namespace, body, dry_run="All", _request_timeout=CALL_SECONDS
        )
    except ApiException as error:
        if error.status == 403 and "violates PodSecurity" in message(error):
            return message(error)
        raise CannotCheck(f"The cluster could not judge a pod: {message(error)}", UP) from error
    except (OSError, ValueError) as error:
        raise CannotCheck("The Kubernetes API server did not answer when asked to judge a pod.", UP) from error
    said = " ".join(value for key, value in headers.items() if key.lower() == "warning")
    if "would violate PodSecurity" in said:
        return cut(said.partition("would violate ")[2].replace('\\"', '"'), 300)
    _restricted(kube)
    return ""


def _restricted(kube: Kube) -> None:
    """Raise where nobody was asked: the namespace neither warns nor enforces at the level `restricted`."""
    fix = f"Run the lab's cell that labels your namespace: `{LEVEL}/warn=restricted`."
    seen = call("read the namespace", kube.core.read_namespace, kube.namespace)
    labels = (seen.metadata.labels if seen else None) or {}
    if "restricted" not in (labels.get(f"{LEVEL}/warn"), labels.get(f"{LEVEL}/enforce")):
        raise CannotCheck(f"The namespace {kube.namespace} does not compare pods with the level restricted.", fix)
