"""Look at what runs in one namespace of a Kubernetes cluster.

kube = Kube(place)
deployment = kube.deployment("digits").wait_rolled_out(120)
kube.ask("digits", "/predict", method="POST", json={"instances": rows}).json
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kubernetes import client

from autograder.facts import CannotCheck, NotThere, Place
from autograder.probes.apiserver import call, connect, current_namespace, through_service
from autograder.probes.http import Answer, loads
from autograder.probes.pods import Pod, pod_of
from autograder.probes.rollout import wait_rolled_out, waits_for_image
from autograder.probes.words import listed, tail

__all__ = ["Deployment", "Endpoint", "Event", "Kube", "Port", "Service", "current_namespace"]


@dataclass(frozen=True)
class Deployment:
    """Tell about one Deployment as it was when it was looked at."""

    name: str
    replicas: int  # asked for
    ready: int
    updated: int  # of the newest template
    total: int  # of all templates, old pods included
    observed: bool  # the controller has seen the newest manifest
    selector: dict[str, str]
    template: dict[str, Any]  # in the spelling of manifests: template["spec"]["containers"][0]
    conditions: dict[str, str]  # type -> "status reason: message"
    strategy: dict[str, Any]
    paused: bool
    min_ready_seconds: int
    kube: Kube = field(repr=False, compare=False)

    @property
    def containers(self) -> list[dict[str, Any]]:
        """The containers of its pod template, in the spelling of manifests."""
        return self.template["spec"]["containers"]

    @property
    def rolled_out(self) -> bool:
        """Say whether all replicas are of the newest template and ready, and no old pod is left."""
        done = self.updated == self.replicas == self.ready == self.total
        return self.observed and self.replicas > 0 and done

    def wait_rolled_out(self, timeout: float = 120.0) -> Deployment:
        """Wait until it is rolled out, and return it as it is then.

        `timeout` is seconds. Raises NotThere with the reason from its pods (image,
        crash, memory, probe, refused), CannotCheck where the cluster has no room.
        """
        return wait_rolled_out(self, timeout)

    def waits_for_image(self, timeout: float = 30.0) -> bool:
        """Say whether a pod has not the image that is asked for now, once one waits or `timeout` seconds are over.

        After an update, a pod from before stays until the new one is ready: what that one waits for does not count.
        """
        return waits_for_image(self, timeout)

    def pods(self) -> list[Pod]:
        """Return the pods that its selector matches."""
        return self.kube.pods(self.selector)


@dataclass(frozen=True)
class Port:
    """Hold one port of a service; `target` is a number or the name of a container's port."""

    port: int
    target: int | str
    name: str = ""
    node_port: int | None = None


@dataclass(frozen=True)
class Service:
    """Tell about one Service."""

    name: str
    type: str
    selector: dict[str, str]
    ports: tuple[Port, ...]
    cluster_ip: str


@dataclass(frozen=True)
class Endpoint:
    """Hold one address behind a service."""

    address: str
    port: int | None
    ready: bool
    pod: str


@dataclass(frozen=True)
class Event:
    """Hold one event: what Kubernetes noted about an object."""

    kind: str
    name: str
    reason: str
    message: str
    count: int


SUBMISSION = "shipyard.io/submission"  # the label of a submission's namespace
LOG_GONE = b"unable to retrieve container logs for "  # the kubelet's word, in the log's place and with status 200


class Kube:
    """Look at one submission's namespace. Every method raises CannotCheck where the cluster does not answer."""

    def __init__(self, place: Place):
        self.place, self.namespace = place, place.namespace

    @cached_property
    def api(self) -> client.ApiClient:
        return connect(self.place)

    @cached_property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    @cached_property
    def apps(self) -> client.AppsV1Api:
        return client.AppsV1Api(self.api)

    def deployment(self, name: str) -> Deployment:
        """Return the Deployment of that name. Raises NotThere, naming those there are."""
        seen = call("read a Deployment", self.apps.read_namespaced_deployment, name, self.namespace)
        if seen is None:
            raise self._missing("Deployment", name, self.apps.list_namespaced_deployment,
                                self.apps.list_deployment_for_all_namespaces)  # fmt: skip
        conditions = {one.type: f"{one.status} {one.reason}: {one.message}" for one in seen.status.conditions or []}
        return Deployment(
            name=name,
            replicas=1 if seen.spec.replicas is None else seen.spec.replicas,
            ready=seen.status.ready_replicas or 0,
            updated=seen.status.updated_replicas or 0,
            total=seen.status.replicas or 0,
            observed=(seen.status.observed_generation or 0) >= seen.metadata.generation,
            selector=dict(seen.spec.selector.match_labels or {}),
            template=self.api.sanitize_for_serialization(seen.spec.template),
            conditions=conditions,
            strategy=self.api.sanitize_for_serialization(seen.spec.strategy) or {},
            paused=bool(seen.spec.paused),
            min_ready_seconds=seen.spec.min_ready_seconds or 0,
            kube=self,
        )

    def pods(self, selector: dict[str, str] | str = "") -> list[Pod]:
        """Return the pods whose labels match (all, without a selector), the newest first."""
        labels = selector if isinstance(selector, str) else ",".join(f"{k}={v}" for k, v in selector.items())
        found = call("list pods", self.core.list_namespaced_pod, self.namespace, label_selector=labels)
        items = sorted(found.items, key=lambda pod: pod.metadata.creation_timestamp, reverse=True)
        return [pod_of(one, self.api) for one in items]

    def service(self, name: str) -> Service:
        """Return the Service of that name. Raises NotThere, naming those there are."""
        seen = call("read a Service", self.core.read_namespaced_service, name, self.namespace)
        if seen is None:
            raise self._missing("Service", name, self.core.list_namespaced_service,
                                self.core.list_service_for_all_namespaces)  # fmt: skip
        ports = tuple(
            Port(one.port, one.port if one.target_port is None else one.target_port, one.name or "", one.node_port)
            for one in seen.spec.ports or []
        )
        return Service(name, seen.spec.type, dict(seen.spec.selector or {}), ports, seen.spec.cluster_ip or "")

    def endpoints(self, service: Service | str) -> list[Endpoint]:
        """Return the addresses behind a service, one for each pod and port."""
        name = service if isinstance(service, str) else service.name
        label = f"kubernetes.io/service-name={name}"
        listing = client.DiscoveryV1Api(self.api).list_namespaced_endpoint_slice
        # Read as it was sent: the official client rejects the slice of a Service without pods, whose list is null.
        raw = call("list a service's endpoints", listing, self.namespace, label_selector=label, _preload_content=False)
        slices = (loads(raw.data.decode()) or {}).get("items") or []
        return [
            Endpoint(
                one["addresses"][0],
                port.get("port"),
                (one.get("conditions") or {}).get("ready") is not False,  # absent means ready
                (one.get("targetRef") or {}).get("name", ""),
            )
            for piece in slices
            for one in piece.get("endpoints") or []
            for port in piece.get("ports") or [{}]
        ]

    def ask(
        self,
        service: Service | str,
        path: str,
        port: int | str | None = None,
        method: str = "GET",
        json: Any = None,
        timeout: float = 10.0,
    ) -> Answer:
        """Send a request to a service; each may reach another of its ready pods.

        `port` is the service's (its first one where not given), `timeout`
        seconds. Raises NotThere where no pod gives a usable answer.
        """
        if isinstance(service, str) and port is None:
            service = self.service(service)
        name = service if isinstance(service, str) else service.name
        if port is None:
            if not service.ports:
                raise NotThere(f"The Service {name} has no port.", "Add `ports:` with `port` and `targetPort`.")
            port = service.ports[0].port
        return through_service(self.api, self.namespace, f"{name}:{port}", path, method, json, timeout)

    def events(self, limit: int = 20, about: str = "") -> list[Event]:
        """Return the namespace's events, the newest first; `about` names one object."""
        named = {"field_selector": f"involvedObject.name={about}"} if about else {}
        found = call("list events", self.core.list_namespaced_event, self.namespace, **named)

        def moment(event: client.CoreV1Event) -> str:
            return str(event.last_timestamp or event.event_time or event.metadata.creation_timestamp)

        return [
            Event(e.involved_object.kind, e.involved_object.name, e.reason or "", e.message or "", e.count or 1)
            for e in sorted(found.items, key=moment, reverse=True)[:limit]
        ]

    def logs(self, pod: Pod | str, n: int = 10, previous: bool = False) -> str:
        """Return the last `n` lines of a pod's first container; `previous` asks for the one before a restart."""
        name = pod if isinstance(pod, str) else pod.name
        named = {} if isinstance(pod, str) else {"container": pod.spec["containers"][0]["name"]}
        try:
            raw = call(
                "read a pod's log", self.core.read_namespaced_pod_log, name, self.namespace, tail_lines=max(n, 1),
                previous=previous, limit_bytes=200_000, _preload_content=False, **named,
            )  # fmt: skip
            # The container was removed between the question and the answer: a new one has taken its place.
            return "" if raw is None or raw.data.startswith(LOG_GONE) else tail(raw.data, n)
        except CannotCheck:  # 400: the container has not started, so there is no log
            return ""

    def _missing(self, kind: str, name: str, here: Any, everywhere: Any) -> NotThere:
        """Say what there is instead, and whether it stands in another namespace."""
        names = [one.metadata.name for one in call(f"list {kind}s", here, self.namespace).items]
        names = [one for one in names if (kind, one) != ("Service", "kubernetes")]
        observed = f"There is no {kind} {name} in namespace {self.namespace}; there are: {listed(names)}."
        hint = f"Look with `kubectl get {kind.lower()}s`, and compare the name in your manifest."
        try:
            found = call("look into other namespaces", everywhere, field_selector=f"metadata.name={name}")
            # Namespaces of other submissions are nobody's business, and not where this learner applied anything.
            open_ones = call("list namespaces", self.core.list_namespace, label_selector=f"!{SUBMISSION}").items
            known = {one.metadata.name for one in open_ones}
            elsewhere = sorted({one.metadata.namespace for one in found.items} & known)
        except CannotCheck:  # a grader for one namespace may not look there; it is only for the hint
            elsewhere = []
        if elsewhere:
            observed += f" One of that name stands in namespace {listed(elsewhere)}."
            hint = "Leave `namespace:` out of the manifest (and `-n` out of the command): the current one is meant."
        return NotThere(observed, hint)
