"""Look at an image: its settings, its files, its layers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property

import docker
from docker.errors import APIError

from autograder.probes.engine import LABEL, asking
from autograder.probes.layers import Layer, read_layers, reading
from autograder.probes.tars import PIECE, members, opened


class Image:
    """Tell about one image of the engine.

    >>> image.user, image.size < 500_000_000  # doctest: +SKIP
    ('app', True)
    """

    def __init__(self, client: docker.DockerClient, image_id: str, attrs: dict):
        self.client, self.id, self.attrs = client, image_id, attrs
        self._config = attrs.get("Config") or {}
        self._read: list[Layer] | None = None

    def __repr__(self) -> str:
        return f"Image({self.id[:19]})"

    @property
    def size(self) -> int:
        """Bytes of all layers together."""
        return self.attrs.get("Size", 0)

    @property
    def layers(self) -> list[str]:
        """The layers' digests, the base first: two images share what they have in common at the start."""
        return list((self.attrs.get("RootFS") or {}).get("Layers") or [])

    @property
    def user(self) -> str:
        """What USER says; empty means root."""
        return self._config.get("User") or ""

    @property
    def cmd(self) -> list[str]:
        return list(self._config.get("Cmd") or [])

    @property
    def entrypoint(self) -> list[str]:
        return list(self._config.get("Entrypoint") or [])

    @property
    def env(self) -> dict[str, str]:
        pairs = (entry.partition("=") for entry in self._config.get("Env") or [])
        return {name: value for name, _, value in pairs}

    @property
    def labels(self) -> dict[str, str]:
        return dict(self._config.get("Labels") or {})

    @property
    def exposed(self) -> list[str]:
        """Ports as EXPOSE names them, such as "8000/tcp"; exposing publishes nothing."""
        return sorted(self._config.get("ExposedPorts") or {})

    @property
    def healthcheck(self) -> list[str] | None:
        """HEALTHCHECK's test, or None where there is none or it is switched off."""
        test = (self._config.get("Healthcheck") or {}).get("Test") or None
        return None if test == ["NONE"] else test

    @cached_property
    def history(self) -> list[str]:
        """The commands that made the layers, the oldest first."""
        with asking("read the image's history"):
            return [entry.get("CreatedBy") or "" for entry in reversed(self.client.api.history(self.id))]

    @cached_property
    def _files(self) -> dict[str, int]:
        with asking("read the image's files"):
            # Never started, so any command does: an image without CMD has to be given one.
            made = self.client.api.create_container(self.id, command=["-"], labels={LABEL: "1"})["Id"]
            try:
                with reading(), opened(self.client.api.export(made, chunk_size=PIECE)) as tar:
                    return {path: member.size for path, member in members(tar)}
            finally:
                self.client.api.remove_container(made, v=True, force=True)

    def files(self) -> dict[str, int]:
        """Return path -> bytes of all files that a container of this image sees; links count 0."""
        return dict(self._files)

    def layer_files(self) -> Iterator[tuple[int, str, int]]:
        """Yield (layer, path, bytes) of all files of all layers, the base being 0.

        A file that a later layer deletes is still in its own layer, and still
        travels with the image.
        """
        for index, layer in enumerate(self._layers):
            for path, file in layer.items():
                yield index, path, file.size

    def contents(self, after: int = 0) -> dict[str, str]:
        """Return path -> sha256 of the files of all layers from number `after` on; the last layer with a path counts.

        Bytes only: times, owners and rights may differ between two files of the same digest. Of the files of
        passwords, the day on which one was set does not count, either: it is the day on which a user was added.
        """
        return {path: file.sha256 for layer in self._layers[after:] for path, file in layer.items()}

    def contains(self, needle: bytes) -> str | None:
        """Return where bytes are in the image: a path of some layer, its settings, or None."""
        if needle in json.dumps([self._config, self.history], ensure_ascii=False).encode("utf-8", "replace"):
            return "the image's settings (ENV, LABEL, ARG or a command of the Dockerfile)"
        self._read, holding = read_layers(self.client, self.id, needle)
        return holding[0] if holding else None

    @property
    def _layers(self) -> list[Layer]:
        """The files of each layer, read once."""
        if self._read is None:
            self._read, _ = read_layers(self.client, self.id)
        return self._read


def lookup(client: docker.DockerClient, ref: str) -> Image | None:
    """Return the image of that name or id, or None where the engine has none."""
    with asking("look up an image"):
        try:
            attrs = client.api.inspect_image(ref)
        except APIError as error:
            if error.status_code in (400, 404):  # 400: not even a possible name
                return None
            raise
    return Image(client, attrs["Id"], attrs)
