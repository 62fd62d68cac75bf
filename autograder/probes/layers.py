"""Read the files of all layers of an image, in one go: an engine takes seconds to give them."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import docker

from autograder.facts import CannotCheck
from autograder.probes.engine import asking
from autograder.probes.tars import PIECE, members, opened

PASSWORDS = ("/etc/shadow", "/etc/shadow-")


@dataclass(frozen=True)
class File:
    """Hold what is kept of a file: its bytes' number and their digest; of a link 0, and where it leads."""

    size: int
    sha256: str


Layer = dict[str, File]


def read_layers(client: docker.DockerClient, image_id: str, needle: bytes = b"") -> tuple[list[Layer], list[str]]:
    """Return path -> file of each layer, the base first, and the paths of the files that hold `needle`.

    The archive is either docker's own (ID/layer.tar, equal layers as links)
    or OCI's (blobs/sha256/…); in both manifest.json names the layers in order,
    and may come last. Raises CannotCheck where the engine breaks off.
    """
    layers: dict[str, Layer] = {}
    links: dict[str, str] = {}
    order: list[str] = []
    holding: list[str] = []
    with (
        asking("read the image's layers"),
        reading(),
        opened(client.api.get_image(image_id, chunk_size=PIECE)) as tar,
    ):
        for path, member in members(tar):
            if member.issym():
                links[path] = "/" + "/".join(member.linkname.split("/")[-2:])
            elif path == "/manifest.json":
                order = ["/" + name for name in json.load(tar.extractfile(member))[0]["Layers"] or []]
            elif path.endswith("/layer.tar") or path.startswith("/blobs/"):
                layers[path] = _layer(tar.extractfile(member), needle, holding)
    return [layers.get(links.get(path, path), {}) for path in order], holding


class reading:
    """Turn a tar that breaks off into CannotCheck: the engine went away, or its disk is full."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, tarfile.TarError | EOFError):
            raise CannotCheck("The Docker engine broke off while an image was read.") from error


def _layer(stream: IO[bytes] | None, needle: bytes, holding: list[str]) -> Layer:
    """Return path -> file of one layer; `holding` gets the paths of those that hold the needle."""
    found: Layer = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as tar:
            for path, member in members(tar):
                if not member.isfile():
                    found[path] = File(member.size, member.linkname)
                    continue
                seek, told = Seeker(needle), hashlib.sha256()
                for piece in _pieces(tar.extractfile(member)):
                    seek.read(piece)
                    told.update(without_days(piece) if path in PASSWORDS else piece)
                found[path] = File(member.size, told.hexdigest())
                if seek.found:
                    holding.append(path)
    except tarfile.ReadError:
        pass  # a blob that is no layer: a manifest or the settings
    return found


class Seeker:
    """Look for bytes in what is read piece by piece, also across the borders of the pieces.

    >>> seek = Seeker(b"token")
    >>> seek.read(b"a to"), seek.read(b"ken")
    (None, None)
    >>> seek.found
    True
    """

    def __init__(self, needle: bytes):
        self.needle, self.found, self._before = needle, False, b""

    def read(self, piece: bytes) -> None:
        """Take the next piece."""
        if self.needle and not self.found:
            both = self._before + piece
            self.found = self.needle in both
            self._before = both[len(both) - min(len(both), len(self.needle) - 1) :]


def without_days(shadow: bytes) -> bytes:
    """Return a file of passwords without the days on which they were set: the third field of a line (shadow(5)).

    >>> without_days(b"app:!:20783::::::")
    b'app:!:::::::'
    """
    return re.sub(rb"(?m)^([^:\n]*:[^:\n]*:)[0-9]*:", rb"\1:", shadow)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece
