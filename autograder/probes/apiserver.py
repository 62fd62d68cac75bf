"""Reach the Kubernetes API server, and say plainly when it cannot be reached."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from autograder.facts import CannotCheck, Place
from autograder.probes.http import LARGEST, Answer, Unreachable, loads
from autograder.probes.words import cut

CALL_SECONDS = 20
UP = "Run `shipyard doctor`; `shipyard up` brings the cluster up again. Then grade again."


def connect(place: Place) -> client.ApiClient:
    """Return a client for the place's cluster. Raises CannotCheck where none is configured."""
    try:
        return config.new_client_from_config(config_file=place.kubeconfig, context=place.context)
    except (ConfigException, OSError, ValueError, TypeError) as error:
        which = f" (context {place.context})" if place.context else ""
        raise CannotCheck(f"No Kubernetes cluster is configured here{which}: {cut(str(error))}", UP) from error


def current_namespace(kubeconfig: str | None = None) -> str:
    """Return the namespace that kubectl would use now; "default" where nothing is configured."""
    try:
        _, active = config.list_kube_config_contexts(config_file=kubeconfig)
        return active["context"].get("namespace") or "default"
    except (ConfigException, OSError, ValueError, TypeError, KeyError):
        return "default"


def message(error: ApiException) -> str:
    """Return the API server's own words for an error."""
    status = loads(error.body if isinstance(error.body, str) else (error.body or b"").decode("utf-8", "replace"))
    return cut((status.get("message") if isinstance(status, dict) else "") or str(error.reason), 300)


def call(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call the official client to `what`; 404 gives None. Raises CannotCheck for every other failure.

    >>> call("list pods", CoreV1Api(api).list_namespaced_pod, "default")  # doctest: +SKIP
    """
    try:
        return function(*arguments, _request_timeout=CALL_SECONDS, **named)
    except ApiException as error:
        if error.status == 404:
            return None
        if error.status == 401:
            raise CannotCheck(f"The cluster does not know us, so we could not {what} (401).", UP) from error
        if error.status == 403:
            fix = "The grader's account needs this right; `shipyard up` grants what the course uses."
            raise CannotCheck(f"The cluster does not let us {what}: {message(error)}", fix) from error
        raise CannotCheck(f"The cluster could not {what}: {message(error)} ({error.status})", UP) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise CannotCheck(f"The Kubernetes API server did not answer when asked to {what}.", UP) from error
    except ValueError as error:
        why = cut(str(error))
        raise CannotCheck(f"The cluster was asked to {what}, and its answer cannot be read: {why}") from error


def through_service(
    api: client.ApiClient, namespace: str, target: str, path: str, method: str, json: Any, timeout: float
) -> Answer:
    """Send a request to a service ("name:port") through the API server, which picks a ready pod.

    `timeout` is seconds for the whole exchange. Raises Unreachable (a NotThere)
    where no pod gives a usable answer, CannotCheck where the API server itself fails.
    """
    where = f"{method} {path} of service {target}"
    headers: dict[str, str] = {"Accept": "*/*", "Accept-Encoding": "identity"}
    api.update_params_for_auth(headers, [], ["BearerToken"])
    body = None
    if json is not None:
        body, headers["Content-Type"] = jsonlib.dumps(json).encode(), "application/json"
    url = f"{api.configuration.host}/api/v1/namespaces/{namespace}/services/{quote(target, safe=':')}/proxy/"
    started = time.monotonic()
    try:
        # The pool of the official client: its certificates and its proxy, but an answer of limited size and time.
        answer = api.rest_client.pool_manager.request(
            method,
            url + path.lstrip("/"),
            body=body,
            headers=headers,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(timeout),
        )
        try:
            text = _limited(answer, where, started + timeout, timeout)
        finally:
            answer.close()
    except urllib3.exceptions.ReadTimeoutError as error:
        raise _slow(where, timeout) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise CannotCheck(f"The Kubernetes API server did not answer {where}.", UP) from error
    replied = {name.lower(): value for name, value in answer.headers.items()}
    result = Answer(answer.status, loads(text), text, replied, round(time.monotonic() - started, 3))
    _refuse(result, where, target)
    return result


def _limited(answer: urllib3.BaseHTTPResponse, where: str, deadline: float, timeout: float) -> str:
    read = bytearray()
    while piece := answer.read1(65536):
        read += piece
        if len(read) > LARGEST:
            raise Unreachable("large", f"{where} was answered with more than {LARGEST // 1_000_000} MB.")
        if time.monotonic() > deadline:
            raise _slow(where, timeout)
    return read.decode("utf-8", "replace")


def _slow(where: str, timeout: float) -> Unreachable:
    return Unreachable("slow", f"{where} was not answered completely within {timeout:g} s.", "Look at the pods' log.")


def _refuse(answer: Answer, where: str, target: str) -> None:
    """Raise where the answer is the API server's own, not a pod's."""
    status = answer.json if isinstance(answer.json, dict) and answer.json.get("kind") == "Status" else {}
    said = cut(str(status.get("message", "")) or answer.text, 300)
    if answer.status in (401, 403) and status:
        # Not in its own words: a pod can answer like this, too.
        raise CannotCheck(f"The cluster does not let us ask service {target} (status {answer.status}).", UP)
    if answer.status == 404 and status.get("reason") == "NotFound":
        raise Unreachable("refused", f"There is no service {target} here.", "Is it created, in this namespace?")
    if answer.status in (500, 503) and "no endpoints available" in said:
        raise Unreachable(
            "refused",
            f"{where}: the service has no ready pod behind it.",
            "The service's selector must match the labels of the pods, and the pods must be ready: "
            "`kubectl get endpointslices`.",
        )
    if answer.status in (500, 502, 503) and "error trying to reach service" in said:
        raise Unreachable(
            "closed",
            f"{where}: the pod does not answer ({said}).",
            "The service's targetPort must be the port that the server in the container listens on.",
        )
    if answer.status in (400, 503) and "no service port" in said:
        raise Unreachable("refused", f"{where}: {said}.", "Compare the service's ports with the one that was asked.")
