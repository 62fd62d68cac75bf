"""Read files from a volume of the cluster, by a pod that mounts it and ends at once.

files = read_files(kube, "models", ["together.json"], image="localhost:5001/training@sha256:…")
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from autograder.facts import CannotCheck, NotThere
from autograder.probes.apiserver import call
from autograder.probes.engine import LABEL
from autograder.probes.kubernetes import Kube
from autograder.probes.pods import IMAGE, Pod
from autograder.probes.words import listed
from autograder.waiting import TimedOut, wait_until

LARGEST = 2_000_000  # bytes of one file
SECONDS = 120
# Runs in the image, which has Python: a line of JSON, so that nothing is cut on its way through the log.
READ = """
import base64, json, os, sys, zlib
names, most = json.loads(sys.argv[1]), int(sys.argv[2])
found = {"there": sorted(os.listdir("/volume"))[:50], "files": {}}
for name in names:
    path = os.path.join("/volume", name)
    if os.path.isfile(path) and not os.path.islink(path):
        size = os.path.getsize(path)
        data = open(path, "rb").read(most) if size <= most else b""
        found["files"][name] = {"size": size, "data": base64.b64encode(zlib.compress(data)).decode()}
print(json.dumps(found))
"""


def read_files(kube: Kube, claim: str, names: Iterable[str], image: str) -> dict[str, bytes | NotThere]:
    """Return the content of files on the volume of a claim; for one that cannot be had, the reason.

    `image` is one with Python, by digest: what runs is ours. Raises NotThere
    where the claim is not there, CannotCheck where the pod does not come to run.
    """
    if call("read a claim", kube.core.read_namespaced_persistent_volume_claim, claim, kube.namespace) is None:
        raise NotThere(
            f"There is no PersistentVolumeClaim {claim} in namespace {kube.namespace}.",
            "The claim asks for the volume on which the models lie: `kubectl get pvc`.",
        )
    names = list(names)
    seen = _run(kube, claim, names, image)
    found: dict[str, bytes | NotThere] = {}
    for name in names:
        file = seen["files"].get(name)
        if file is None:
            found[name] = NotThere(
                f"There is no file {name} on the volume {claim}; there are: {listed(seen['there'])}."
            )
        elif file["size"] > LARGEST:
            found[name] = NotThere(f"{name} has {file['size']} bytes; a model may have {LARGEST // 1_000_000} MB here.")
        else:
            found[name] = zlib.decompress(base64.b64decode(file["data"]))
    return found


def _run(kube: Kube, claim: str, names: list[str], image: str) -> dict[str, Any]:
    name = f"shipyard-reader-{uuid4().hex[:6]}"
    container = {
        "name": "reader", "image": image, "command": ["python", "-c", READ, json.dumps(names), str(LARGEST)],
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "volume", "mountPath": "/volume", "readOnly": True}],
    }  # fmt: skip
    volume = {"name": "volume", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container],
            "volumes": [volume]}  # fmt: skip
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {LABEL: "1"}}, "spec": spec}
    call("create a pod that reads a volume", kube.core.create_namespaced_pod, kube.namespace, body)
    try:
        last: list[Pod] = []

        def over() -> bool:
            last[:] = [pod for pod in kube.pods(f"{LABEL}=1") if pod.name == name]
            return not last or last[0].phase in ("Succeeded", "Failed")

        try:
            wait_until(over, "the reader", SECONDS, pause=0.5)
        except TimedOut:
            why = "; ".join(str(reason) for pod in last for reason in pod.reasons) or "it does not start"
            fix = "Is the registry up?" if last and last[0].because(*IMAGE) else "Has the cluster room for a pod?"
            raise CannotCheck(f"The volume {claim} could not be read: {why}", f"{fix} Then grade again.") from None
        raw = call("read a pod's log", kube.core.read_namespaced_pod_log, name, kube.namespace, _preload_content=False)
        return json.loads(raw.data)
    except (ValueError, AttributeError) as error:
        raise CannotCheck(f"The volume {claim} could not be read: the reading pod said nothing usable.") from error
    finally:
        call("remove that pod", kube.core.delete_namespaced_pod, name, kube.namespace, grace_period_seconds=0)
