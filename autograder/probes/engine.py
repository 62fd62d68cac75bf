"""Reach the Docker engine, and say plainly when it cannot be reached."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig

from autograder.facts import CannotCheck, NotThere
from autograder.probes.words import cut

LABEL = "shipyard.lab"  # on everything that a probe creates: `shipyard down` removes by it
# Which of the engine's parts could not do it: nothing that a learner can use.
WRAPPINGS = (
    "failed to create task for container: ",
    "failed to create shim task: ",
    "OCI runtime create failed: ",
    "runc create failed: ",
    "unable to start container process: ",
)
NO_ROOM = "no space left on device"  # the engine's words; programs in a build write it with a capital N
_spoken: dict[str, str] = {}  # the API's version, by address: an engine takes 20 ms to say it
DISK_FIX = "Make room (`docker system df` shows what takes it, `docker system prune` frees it), then grade again."


def engine_host(host: str | None = None) -> str:
    """Return the address of the engine: the given one, DOCKER_HOST, or that of docker's current context."""
    if host or os.environ.get("DOCKER_HOST"):
        return host or os.environ["DOCKER_HOST"]
    try:
        context = docker.context.ContextAPI.get_current_context()
        return (context and context.Host) or "unix:///var/run/docker.sock"
    except Exception:  # a context file that cannot be read is not worth more than the default
        return "unix:///var/run/docker.sock"


def connect(host: str | None = None, timeout: float = 120) -> docker.DockerClient:
    """Return a client of the engine that answers there. Raises CannotCheck where none does."""
    address = engine_host(host)
    try:
        version = _spoken.get(address, "auto")
        client = docker.DockerClient(base_url=address, version=version, timeout=timeout, tls=_tls(address))
        client.ping()
        _spoken[address] = client.api.api_version
        return client
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        _spoken.pop(address, None)  # the next one there may be of another version
        if "Permission denied" in str(error):
            fix = "Add your user to the group `docker` (then log in again), or use rootless Docker."
            raise CannotCheck(f"You may not talk to the Docker engine at {address}.", fix) from error
        fix = "Start Docker (`shipyard up` does it on Linux), then run this again; `shipyard doctor` tells more."
        raise CannotCheck(f"No Docker engine answers at {address}: {reason(error)}.", fix) from error


def reason(error: BaseException) -> str:
    """Return what the operating system said about an error, else the client's words.

    >>> try:
    ...     docker.DockerClient(base_url="unix:///none.sock", version="auto")
    ... except DockerException as error:
    ...     reason(error)
    'no such file or directory'
    """
    words, cause = cut(str(error)).rstrip("."), error
    while cause := cause.__cause__ or cause.__context__:
        if isinstance(cause, OSError) and cause.strerror:
            words = cause.strerror.lower()
    return words


def _tls(address: str) -> TLSConfig | None:
    folder = Path(os.environ.get("DOCKER_CERT_PATH", ""))
    if not address.startswith("tcp://") or not os.environ.get("DOCKER_TLS_VERIFY"):
        return None
    cert, key, authority = (str(folder / name) for name in ("cert.pem", "key.pem", "ca.pem"))
    return TLSConfig(client_cert=(cert, key), ca_cert=authority, verify=True)


def said(error: APIError) -> str:
    """Return the engine's own words for an error."""
    text = cut(error.explanation or str(error), 600)
    for wrapping in WRAPPINGS:
        text = text.replace(wrapping, "")
    return text.removesuffix(": unknown")


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn every failure of the engine while it does `what` into CannotCheck.

    >>> with asking("list images"):  # doctest: +SKIP
    ...     client.images.list()
    """
    try:
        yield
    except (NotThere, CannotCheck):
        raise
    except APIError as error:
        if NO_ROOM in said(error).lower():
            raise CannotCheck(f"The Docker engine has no disk space left to {what}.", DISK_FIX) from error
        raise CannotCheck(f"The Docker engine could not {what}: {said(error)}") from error
    except requests.ReadTimeout as error:
        raise CannotCheck(f"The Docker engine took too long to {what}.") from error
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        fix = "Is it still running? `shipyard up` starts it again; then grade again."
        raise CannotCheck(f"The Docker engine stopped answering while it had to {what}.", fix) from error
