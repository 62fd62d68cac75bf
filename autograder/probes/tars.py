"""Read the tar streams of the engine without keeping them."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterable, Iterator

PIECE = 1 << 20  # bytes read at a time


class Stream(io.RawIOBase):
    """Make a readable file of an iterator of bytes."""

    def __init__(self, pieces: Iterable[bytes]):
        self._pieces, self._rest = iter(pieces), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def opened(pieces: Iterable[bytes]) -> tarfile.TarFile:
    """Open a tar that arrives in pieces; its members can be read once, in their order."""
    return tarfile.open(fileobj=io.BufferedReader(Stream(pieces), PIECE), mode="r|", errorlevel=0)


def members(tar: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """Yield (absolute path, member) for what is no folder and no mark of a deletion."""
    for member in tar:
        path = posixpath.normpath("/" + member.name)
        if not member.isdir() and not posixpath.basename(path).startswith(".wh."):
            yield path, member
        tar.members.clear()  # TarFile remembers every member otherwise
