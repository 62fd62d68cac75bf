"""Give a submission a namespace of its own, with rights in that namespace only."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from autograder.facts import CannotCheck, Place
from autograder.ground.cluster import connection, context
from autograder.waiting import TimedOut, wait_until

LABEL, LAB, STUDENT = "shipyard.io/submission", "shipyard.io/lab", "shipyard.io/student"
ACCOUNT = "learner"
TOKEN_SECONDS = 7200

READ, ALL = (
    ["get", "list", "watch"],
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"],
)
RIGHTS = [
    ([""], ["pods", "services", "configmaps", "secrets", "persistentvolumeclaims"], ALL),
    (
        [""],
        ["pods/log", "pods/status", "endpoints", "events", "resourcequotas", "limitranges", "serviceaccounts"],
        READ,
    ),
    ([""], ["pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy"], ["get", "create"]),
    (["apps"], ["deployments", "deployments/scale", "replicasets"], ALL),
    (["autoscaling"], ["horizontalpodautoscalers"], ALL),
    (["batch"], ["jobs"], ALL),
    (["policy"], ["poddisruptionbudgets"], ALL),
    (["networking.k8s.io"], ["networkpolicies"], ALL),
    ([""], ["pods/eviction"], ["create"]),
    (["events.k8s.io"], ["events"], READ),
    (["discovery.k8s.io"], ["endpointslices"], READ),
    (["metrics.k8s.io"], ["pods"], READ),
    # A TrainJob's status is its controller's, so is its JobSet; which runtimes there are is the course's.
    (["trainer.kubeflow.org"], ["trainjobs"], ALL),
    (["trainer.kubeflow.org"], ["trainjobs/status", "trainingruntimes"], READ),
    (["jobset.x-k8s.io"], ["jobsets", "jobsets/status"], READ),
    (["serving.kserve.io"], ["inferenceservices"], ALL),
    (["serving.kserve.io"], ["inferenceservices/status"], READ),
]
QUOTA = {
    "pods": "20", "requests.cpu": "2", "requests.memory": "2Gi", "limits.memory": "6Gi", "services": "8",
    "services.nodeports": "0", "services.loadbalancers": "0", "persistentvolumeclaims": "4", "requests.storage": "4Gi",
    # What fills the cluster's database, 1 MB an object, or the node's disk.
    "configmaps": "20", "secrets": "20", "count/deployments.apps": "20", "count/replicasets.apps": "60",
    "count/jobs.batch": "20", "count/horizontalpodautoscalers.autoscaling": "5", "limits.ephemeral-storage": "20Gi",
    "count/poddisruptionbudgets.policy": "5", "count/networkpolicies.networking.k8s.io": "5",
    "count/trainjobs.trainer.kubeflow.org": "10", "count/inferenceservices.serving.kserve.io": "5",
}  # fmt: skip
# A learner alone has no quota: pods that ask for nothing must run here too, so they get modest defaults.
DEFAULTS = {
    "default": {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "1Gi"},
    "default_request": {"cpu": "25m", "memory": "64Mi", "ephemeral-storage": "16Mi"},
}


@contextmanager
def namespace(
    mark: str, slug: str, student: str, work: Path, salt: int, aside: Path, say: Callable[[str], None]
) -> Iterator[tuple[Place, dict[str, str]]]:
    """Yield a place in a fresh namespace, and the kernel's KUBECONFIG for it; delete the namespace at the end.

    Raises CannotCheck where the cluster does not answer or refuses us.
    """
    name, api = f"lab-{mark}", connection()
    try:
        with _ours():
            remove(api, name, wait=True)
            _create(api, name, mark, slug, student)
            path = _kubeconfig(api, name, aside / "kubeconfig")
        yield Place(work=work, namespace=name, context=context(), salt=salt), {"KUBECONFIG": str(path)}
    finally:
        try:
            remove(api, name, wait=False)
        except (ApiException, HTTPError) as error:
            say(f"namespace {name} could not be removed: {getattr(error, 'reason', error)}")
        api.close()


def remove(api: client.ApiClient, name: str, wait: bool) -> None:
    """Delete a namespace and end its pods at once; with `wait`, return when it is gone."""
    core = client.CoreV1Api(api)
    try:
        if LABEL not in (core.read_namespace(name).metadata.labels or {}):
            raise CannotCheck(f"Namespace {name} is there and is not ours.", "Delete or rename it, then grade again.")
        core.delete_namespace(name)
    except ApiException as error:
        if error.status == 404:
            return
        if error.status != 409:  # 409: it is being deleted already
            raise
    # A server that ignores SIGTERM would keep its place on the node for 30 s more.
    core.delete_collection_namespaced_pod(name, grace_period_seconds=0)
    if wait:
        wait_until(lambda: _is_gone(core, name), f"namespace {name} to be deleted", timeout=120, pause=0.5)


def sweep() -> list[str]:
    """Delete every submission's namespace, wait until they are gone, and return their names."""
    api = connection()
    with _ours():
        found = client.CoreV1Api(api).list_namespace(label_selector=LABEL).items
        for wait in (False, True):
            for one in found:
                remove(api, one.metadata.name, wait)
    return [one.metadata.name for one in found]


def _create(api: client.ApiClient, name: str, mark: str, slug: str, student: str) -> None:
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    labels = {LABEL: mark, LAB: re.sub(r"[^A-Za-z0-9_.-]", "-", slug)[:63]}
    labels["pod-security.kubernetes.io/enforce"] = "baseline"
    labels["pod-security.kubernetes.io/warn"] = "restricted"  # said by kubectl, and asked by a check
    meta = client.V1ObjectMeta(name=name, labels=labels, annotations={STUDENT: student})
    core.create_namespace(client.V1Namespace(metadata=meta))
    account = client.V1ObjectMeta(name=ACCOUNT)
    core.create_namespaced_service_account(name, client.V1ServiceAccount(metadata=account))
    rules = [client.V1PolicyRule(api_groups=g, resources=r, verbs=v) for g, r, v in RIGHTS]
    rbac.create_namespaced_role(name, client.V1Role(metadata=account, rules=rules))
    subject = client.RbacV1Subject(kind="ServiceAccount", name=ACCOUNT, namespace=name)
    role = client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name=ACCOUNT)
    rbac.create_namespaced_role_binding(
        name, client.V1RoleBinding(metadata=account, subjects=[subject], role_ref=role)
    )  # fmt: skip
    core.create_namespaced_resource_quota(
        name, client.V1ResourceQuota(metadata=account, spec=client.V1ResourceQuotaSpec(hard=QUOTA))
    )
    item = client.V1LimitRangeItem(type="Container", **DEFAULTS)
    core.create_namespaced_limit_range(
        name, client.V1LimitRange(metadata=account, spec=client.V1LimitRangeSpec(limits=[item]))
    )

    def pods_may_come() -> bool:
        try:
            return bool(core.read_namespaced_service_account("default", name))
        except ApiException as error:
            if error.status == 404:
                return False
            raise

    wait_until(pods_may_come, f"namespace {name} to be ready", timeout=30)


def _kubeconfig(api: client.ApiClient, name: str, path: Path) -> Path:
    """Write a kubeconfig with the learner's rights and the namespace as its default."""
    body = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=TOKEN_SECONDS)
    )
    token = client.CoreV1Api(api).create_namespaced_service_account_token(ACCOUNT, name, body).status.token
    cluster: dict = {"server": api.configuration.host}
    if api.configuration.ssl_ca_cert:
        authority = Path(api.configuration.ssl_ca_cert).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    if not api.configuration.verify_ssl:
        cluster["insecure-skip-tls-verify"] = True
    text = yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": ACCOUNT, "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": ACCOUNT, "namespace": name}}],
    })  # fmt: skip
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _is_gone(core: client.CoreV1Api, name: str) -> bool:
    try:
        core.read_namespace(name)
    except ApiException as error:
        if error.status == 404:
            return True
        raise
    return False


@contextmanager
def _ours() -> Iterator[None]:
    """Turn what the cluster answers to us into CannotCheck."""
    try:
        yield
    except ApiException as error:
        cause = f"The cluster refused the grader's request: {error.status} {error.reason}"
        raise CannotCheck(
            cause, "See whether your kubeconfig's user may create namespaces, roles and tokens."
        ) from None
    except HTTPError as error:
        raise CannotCheck(f"The cluster does not answer: {error}", "Run `shipyard up`, then grade again.") from None
    except TimedOut as late:
        raise CannotCheck(f"The cluster is too slow: {late}") from None
