"""Have the image of Redis: pulled where a registry answers, built from Debian's package where none does."""

from __future__ import annotations

from autograder import versions
from autograder.ground import engine, images
from autograder.ground.keys import key_of
from autograder.ground.shell import run
from autograder.ground.step import Step, cache_dir
from autograder.labs import checkout


def step() -> Step:
    """Return the step to the image."""
    return Step(f"Image {versions.REDIS_IMAGE}", "a store that labs count in", 40,
                lambda: images.present(versions.REDIS_IMAGE, key()), make)  # fmt: skip


def key() -> str:
    """Return the key of the stand-in: its packages and its files."""
    folder = checkout() / "docker" / "redis"
    return key_of(" ".join(versions.REDIS_PACKAGES), folder / "Dockerfile", folder / "entrypoint")


def make() -> None:
    """Pull the image, or build its stand-in."""
    if images.registry_answers():
        engine.client(timeout=600).images.pull(versions.REDIS_IMAGE)
        return
    rootfs = f"shipyard/rootfs-{versions.REDIS_IMAGE.replace(':', '-')}:{versions.DEBIAN}"
    if not images.present(rootfs):
        images.bootstrap(rootfs, versions.REDIS_PACKAGES)
    run(["docker", "build", "-q", "-t", versions.REDIS_IMAGE, "--label", versions.LABEL,
         "--label", f"{images.KEY}={key()}", "--build-arg", f"ROOTFS={rootfs}", checkout() / "docker" / "redis"],
        log=cache_dir() / "images.log", env={"DOCKER_BUILDKIT": "0"})  # fmt: skip
