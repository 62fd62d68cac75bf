"""Look at an image: its settings, its files, its layers."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import IO, Any

import docker
from docker.errors import APIError

from autograder.facts import CannotCheck
from autograder.probes.engine import LABEL, asking
from autograder.probes.tars import holds, members, opened

PASSWORDS = ("/etc/shadow", "/etc/shadow-")
Tell = Callable[[IO[bytes] | None, tarfile.TarInfo, str], Any]  # of a file's bytes (None: a link), entry and path


class Image:
    """Tell about one image of the engine.

    >>> image.user, image.size < 500_000_000  # doctest: +SKIP
    ('app', True)
    """

    def __init__(self, client: docker.DockerClient, image_id: str, attrs: dict):
        self.client, self.id, self.attrs = client, image_id, attrs
        self._config = attrs.get("Config") or {}

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
                with _reading(), opened(self.client.api.export(made, chunk_size=1 << 20)) as tar:
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
        for index, found in enumerate(self._scan(_size)):
            for path, size in found.items():
                yield index, path, size

    def contents(self, after: int = 0) -> dict[str, str]:
        """Return path -> sha256 of the files of all layers from number `after` on; the last layer with a path counts.

        Bytes only: times, owners and rights may differ between two files of the same digest. Of the files of
        passwords, the day on which one was set does not count, either: it is the day on which a user was added.
        """
        found: dict[str, str] = {}
        for layer in self._scan(_sha256)[after:]:
            found |= layer
        return found

    def contains(self, needle: bytes) -> str | None:
        """Return where bytes are in the image: a path of some layer, its settings, or None."""
        if needle in json.dumps([self._config, self.history], ensure_ascii=False).encode("utf-8", "replace"):
            return "the image's settings (ENV, LABEL, ARG or a command of the Dockerfile)"

        def seek(file: IO[bytes] | None, member: tarfile.TarInfo, path: str) -> None:
            if file and holds(file, needle):
                raise _Held(path)

        try:
            self._scan(seek)
        except _Held as held:
            return str(held)
        return None

    def _scan(self, tell: Tell) -> list[dict[str, Any]]:
        """Read `docker save` once: of each layer in order, path -> what `tell` says of the file.

        The archive is either docker's own (ID/layer.tar, equal layers as links)
        or OCI's (blobs/sha256/…); in both manifest.json names the layers in order,
        and may come last.
        """
        layers: dict[str, dict[str, Any]] = {}
        links: dict[str, str] = {}
        order: list[str] = []
        with (
            asking("read the image's layers"),
            _reading(),
            opened(self.client.api.get_image(self.id, chunk_size=1 << 20)) as tar,
        ):
            for path, member in members(tar):
                if member.issym():
                    links[path] = "/" + "/".join(member.linkname.split("/")[-2:])
                elif path == "/manifest.json":
                    order = ["/" + name for name in json.load(tar.extractfile(member))[0]["Layers"] or []]
                elif path.endswith("/layer.tar") or path.startswith("/blobs/"):
                    layers[path] = _layer(tar.extractfile(member), tell)
        return [layers.get(links.get(path, path), {}) for path in order]


class _Held(Exception):
    """End a search: some file, whose path this is, holds what was looked for."""


def _size(file: IO[bytes] | None, member: tarfile.TarInfo, path: str) -> int:
    return member.size


def _sha256(file: IO[bytes] | None, member: tarfile.TarInfo, path: str) -> str:
    if file is None:
        return member.linkname
    told = hashlib.sha256()
    while piece := file.read(1 << 20):
        told.update(_without_days(piece) if path in PASSWORDS else piece)
    return told.hexdigest()


def _without_days(shadow: bytes) -> bytes:
    """Return a file of passwords without the days on which they were set: the third field of a line (shadow(5)).

    >>> _without_days(b"app:!:20783::::::")
    b'app:!:::::::'
    """
    return re.sub(rb"(?m)^([^:\n]*:[^:\n]*:)[0-9]*:", rb"\1:", shadow)


def _layer(stream: IO[bytes] | None, tell: Tell) -> dict[str, Any]:
    """Return path -> what `tell` says of each file of a layer."""
    found: dict[str, Any] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for path, member in members(tar):
                found[path] = tell(tar.extractfile(member) if member.isfile() else None, member, path)
    except tarfile.ReadError:
        pass  # a blob that is no layer: a manifest or the settings
    return found


class _reading:
    """Turn a tar that breaks off into CannotCheck: the engine went away, or its disk is full."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, tarfile.TarError | EOFError):
            raise CannotCheck("The Docker engine broke off while an image was read.") from error


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
