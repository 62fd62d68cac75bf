"""Make strangers' output fit to show: logs, answers, error messages."""

from __future__ import annotations

import re
import unicodedata

ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.?")

# In a sandbox's namespace the cluster reads `localhost:5001/x` as this; the token is nobody's business.
REWRITTEN = re.compile(r"shipyard-boxes:(\d+)/[0-9a-f]{10}-[0-9a-f]{16}/")


def as_written(text: str) -> str:
    """Return text with image names as the learner wrote them.

    >>> as_written("shipyard-boxes:5001/0123456789-0123456789abcdef/digits:v1")
    'localhost:5001/digits:v1'
    """
    return REWRITTEN.sub(r"localhost:\1/", text)


def plain(text: str | bytes) -> str:
    """Return text without colours, control characters, half characters and overwritten progress bars.

    >>> plain(b"\\x1b[31mno\\x1b[0m \\xff")
    'no \\ufffd'
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = ESCAPES.sub("", as_written(text)).replace("\r\n", "\n")
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join("".join(_fit(char) for char in line) for line in lines)


def _fit(char: str) -> str:
    if char == "\t" or char.isprintable():
        return char
    if unicodedata.category(char) == "Cs":  # half a character cannot be written to any file
        return "\ufffd"
    # Cf holds marks that turn the direction of writing: text could pretend to be other text.
    return " " if unicodedata.category(char) == "Zs" else ""


def cut(text: str | bytes, width: int = 200) -> str:
    """Return the text on one line of at most `width` characters.

    >>> cut("a\\nb", 10)
    'a b'
    """
    line = " ".join(plain(text[: width * 20]).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def tail(text: str | bytes, lines: int = 8, width: int = 200) -> str:
    """Return the last `lines` lines that are not empty, each cut to `width` characters."""
    last = [line.rstrip() for line in plain(text[-lines * width * 20 :]).split("\n") if line.strip()][-lines:]
    return "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in last)


def listed(names: list[str] | tuple[str, ...], most: int = 8) -> str:
    """Return names as a phrase: "none", "a", "a, b", "a, b … (12 in all)"."""
    if not names:
        return "none"
    shown = ", ".join(cut(name, 80) for name in names[:most])
    return shown if len(names) <= most else f"{shown} … ({len(names)} in all)"
