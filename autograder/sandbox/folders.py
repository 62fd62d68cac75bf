"""Name sandboxes, and lay out the folder by which the grader reaches one."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path

TOKEN = re.compile(r"[0-9a-f]{10}-[0-9a-f]{16}")


def base() -> Path:
    """Return the folder of all sandboxes' sockets: short, because a socket's path has 107 characters at most."""
    if os.geteuid() == 0:
        return Path("/run/shipyard")
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/shipyard-{os.geteuid()}") / "shipyard"


def boxes() -> Path:
    """Return the folder that holds one folder a sandbox."""
    return base() / "boxes"


def gate() -> Path:
    """Return the folder of the socket that leads to the API server."""
    return base() / "gate"


def new_token(mark: str) -> str:
    """Return a name for one run of one submission; its second half cannot be guessed.

    >>> bool(TOKEN.fullmatch(new_token("0123456789")))
    True
    """
    return f"{mark}-{secrets.token_hex(8)}"


def make(token: str) -> Path:
    """Make a sandbox's folder: `gate` for its sockets, `in` for what is handed to it. Nobody else may look in."""
    base().mkdir(mode=0o755, parents=True, exist_ok=True)
    boxes().mkdir(mode=0o711, exist_ok=True)
    gate().mkdir(mode=0o755, exist_ok=True)
    folder = boxes() / token
    folder.mkdir(mode=0o711)
    for name in ("gate", "in"):
        (folder / name).mkdir(mode=0o755)
    return folder


def remove(token: str) -> None:
    """Remove a sandbox's folder with its sockets."""
    shutil.rmtree(boxes() / token, ignore_errors=True)
