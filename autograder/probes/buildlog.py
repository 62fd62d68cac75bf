"""Read the output of `docker build`: what matters in it, and whose fault a failure is."""

from __future__ import annotations

import re

from autograder.probes.words import plain, tail

NOISE = re.compile(
    r"^(-{3,}|>+ |> \[|\d+ \| *$|DONE|CACHED|CANCELED|sha256:|transferring|extracting|naming to|writing image|exporting"
    r"|resolve |\[internal\]|---> |Removing intermediate|Sending build context|DEPRECATED: The legacy builder"
    r"|Install the buildx|BuildKit is enabled|https://docs.docker.com/(go/buildx|build/buildkit)|View build details"
    r"|\d+ warnings? found|WARNING: (Running pip as|You are using pip)|\[notice\]"
    r"|Collecting |Downloading |Using cached )"
)
STEP = re.compile(r"^#\d+ (?:\d+\.\d+ )?")  # BuildKit's "#7 0.512 "
WRAPPINGS = (
    "failed to solve with frontend dockerfile.v0: ",
    "failed to create LLB definition: ",
    "failed to solve: ",
    "rpc error: code = Unknown desc = ",
)
ENGINE_LOST = re.compile(
    r"Cannot connect to the Docker daemon|error during connect|unexpected EOF$|rpc error: code = Unavailable"
    r"|connection reset by peer$|transport is closing"
)
NO_REGISTRY = re.compile(
    r"(dial tcp|no such host|i/o timeout|TLS handshake|x509|connection refused|Temporary failure in name"
    r"|network is unreachable|Client\.Timeout|context deadline exceeded)", re.IGNORECASE,
)  # fmt: skip
NO_SUCH_IMAGE = re.compile(
    r"pull access denied|manifest unknown|manifest for \S+ not found|insufficient_scope"
    r"|(?:docker\.io|registry|localhost:\d+)\S*: not found$"
)
FRONTEND = re.compile(r"docker/dockerfile(?:-upstream)?[:@]|resolve image config for docker\S*/docker/dockerfile")


def meaning(log: str, lines: int = 8) -> str:
    """Return the last lines of a build's output that tell something, without the builder's own noise."""
    kept: list[str] = []
    for line in plain(log).split("\n"):
        line = STEP.sub("", line.strip()).strip()
        for wrapping in WRAPPINGS:
            line = line.replace(wrapping, "")
        if line and not NOISE.match(line) and line not in kept[-6:]:
            kept.append(line)
    return tail("\n".join(kept), lines)


def lost_engine(log: str) -> bool:
    """Say whether the output's end says that the engine went away."""
    return bool(ENGINE_LOST.search(tail(log, 1, 500)))


def no_registry(log: str) -> bool:
    """Say whether an image was wanted from a registry that could not be reached."""
    end = tail(log, 6, 600)
    wanted = "metadata" in end or "registry" in end or "/v2/" in end or "failed to do request" in end
    return wanted and bool(NO_REGISTRY.search(end))


def no_such_image(log: str) -> bool:
    """Say whether a registry answered that it has no such image."""
    return bool(NO_SUCH_IMAGE.search(tail(log, 3, 600)))


def no_frontend(log: str) -> bool:
    """Say whether the image that a `# syntax=` line asks for could not be had."""
    return bool(FRONTEND.search(tail(log, 6, 600))) and (no_registry(log) or no_such_image(log))
