"""Name what a thing is made of: it carries the name, so that it is made again only where that changed."""

from __future__ import annotations

import hashlib
from pathlib import Path


def key_of(*parts: str | Path) -> str:
    """Return a short digest of pins and files; what is built from them carries it.

    >>> key_of("a", "b") == key_of("a", "b") != key_of("ab")
    True
    """
    sha = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        sha.update(hashlib.sha256(content).digest())
    return sha.hexdigest()[:16]


def key_of_files(folder: Path) -> str:
    """Return a short digest of a folder's files, their names and contents."""
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and "__pycache__" not in name.parts:
            sha.update(name.as_posix().encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()[:16]
