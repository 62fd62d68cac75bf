"""Look up in a registry which image a name stands for."""

from __future__ import annotations

import os

from autograder import versions
from autograder.facts import CannotCheck, NotThere, Place
from autograder.probes.http import ask

MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in ("oci.image.index.v1", "docker.distribution.manifest.list.v2", "oci.image.manifest.v1",
                 "docker.distribution.manifest.v2")
)  # fmt: skip


def digest_of(place: Place, image: str) -> str | None:
    """Return the digest that the place's registry has for an image, None for none.

    Raises CannotCheck where the registry does not answer.

    >>> digest_of(place, "digits:v1")  # doctest: +SKIP
    'sha256:…'
    """
    repository, _, tag = image.partition(":")
    url = f"http://{place.registry}/v2/{repository}/manifests/{tag or 'latest'}"
    try:
        answer = ask("HEAD", url, headers={"accept": MANIFESTS})
    except NotThere as silent:
        raise CannotCheck(f"The registry {place.registry} does not answer.", "Run `make up`.") from silent
    return answer.headers.get("docker-content-digest") if answer.status == 200 else None


def needed(place: Place, image: str) -> str:
    """Return the digest of an image that the lab starts with. Raises CannotCheck where it is not there."""
    digest = digest_of(place, image)
    if digest is None:
        raise CannotCheck(f"The registry has no image {image}.", "Run the first cell of the lab again.")
    return digest


def pulled(place: Place, image: str) -> str:
    """Return the name by which a pod pulls an image that the lab starts with, to the very digest.

    By digest, because learners may push what they like under any tag. Raises CannotCheck where it is not there.

    >>> pulled(place, "digits:v1")  # doctest: +SKIP
    'localhost:5001/digits@sha256:…'
    """
    # Not the place's own address: a sandbox's registry has one for us and another for pods.
    registry = os.environ.get("SHIPYARD_REGISTRY", f"localhost:{versions.REGISTRY_PORT}")
    return f"{registry}/{image.partition(':')[0]}@{needed(place, image)}"
