"""Have the course's model server in the registry, in the versions that a lab starts with."""

from __future__ import annotations

from pathlib import Path

from autograder.facts import Place
from autograder.ground import lab_images
from autograder.ground.lab_images import LabImage
from autograder.labs import checkout

FOLDER = "docker/model-server"


def image(version: str) -> LabImage:
    """Return what a version's image is built from: the same server with another model.

    >>> image("v2").beside
    {'docker/model-server/versions/v2': 'model'}
    """
    return LabImage("digits", version, FOLDER, without=("versions",), beside={_model(version): "model"})


def have(place: Place, versions: tuple[str, ...] = ("v1",)) -> None:
    """See to it that the registry has the server as digits:v1, digits:v2, …; quick where it has.

    Raises CannotCheck where engine or registry do not answer, or an image cannot be built.
    """
    for version in versions:
        lab_images.have(place, image(version))


def model_of(version: str) -> Path:
    """Return the folder that holds a version's model.

    >>> model_of("v2").name
    'v2'
    """
    return checkout() / _model(version)


def _model(version: str) -> str:
    return f"{FOLDER}/model" if version == "v1" else f"{FOLDER}/versions/{version}"
