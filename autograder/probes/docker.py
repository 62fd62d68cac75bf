"""Build, find and run images on a Docker engine.

docker = Docker()
image = docker.build(Path("app"))
with docker.run(image) as container:
    container.wait_ready()
    ask("GET", container.url + "/info")
"""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import docker

from autograder.facts import CannotCheck, NotThere
from autograder.probes import buildlog
from autograder.probes.builder import Built, builder, run_build
from autograder.probes.container import Container, running
from autograder.probes.engine import DISK_FIX, LABEL, NO_ROOM, asking, connect, engine_host
from autograder.probes.image import Image, lookup
from autograder.probes.words import listed, tail
from autograder.versions import PYTHON_IMAGE

OURS = ("<none>", "shipyard/", "localhost/shipyard/", "kindest/")  # no learner built these
LITTLE = 1_000_000_000  # bytes free on the engine's disk, under which "no space left" is no fault of the Dockerfile


class Docker:
    """Talk to one engine: DOCKER_HOST's or that of docker's context, unless `host` names another."""

    def __init__(self, host: str | None = None):
        self.host = engine_host(host)

    @cached_property
    def client(self) -> docker.DockerClient:
        """The official client. Raises CannotCheck where no engine answers."""
        return connect(self.host)

    def image(self, ref: str) -> Image:
        """Return the image of that name or id. Raises NotThere, naming those there are."""
        found = lookup(self.client, ref)
        if found is None:
            with asking("list images"):
                tags = sorted({tag for one in self.client.api.images() for tag in one.get("RepoTags") or []})
            there = listed([tag for tag in tags if not tag.startswith(OURS)])
            raise NotThere(
                f"The engine has no image {ref}. It has: {there}.",
                f"Build it under exactly this name: docker build -t {ref} …",
            )
        return found

    def run(
        self,
        image: Image | str,
        port: int = 8000,
        env: dict[str, str] | None = None,
        command: list[str] | str | None = None,
        name_hint: str = "",
        **options: Any,
    ) -> AbstractContextManager[Container]:
        """Run an image in the background, its `port` published on 127.0.0.1; removed when the context ends.

        `options` are more of docker-py's, such as `entrypoint` and `healthcheck`.
        Entering raises NotThere where the image cannot be started: no CMD, a
        program or user that it does not have.
        """
        return running(self.client, image, port, env, command, name_hint, self.host, **options)

    def build(self, folder: Path, timeout: float = 300.0, note: str = "") -> Image:
        """Build the Dockerfile of a folder as `docker build` does, and return the image.

        `timeout` is seconds, `note` a label's value. Raises NotThere for no
        Dockerfile, a failed build (with the last lines of its output) and one
        that takes too long; CannotCheck where the engine is the reason.
        """
        folder = Path(folder)
        file = _dockerfile(folder)
        self.client  # noqa: B018  no engine: say so before anything is read
        with tempfile.TemporaryDirectory(prefix="shipyard-") as scratch:
            built, image_id = self._run(folder, file, timeout, note, Path(scratch))
            if built.code not in (0, None) and buildlog.no_frontend(built.log):
                # `# syntax=` asks a registry for a newer reader of Dockerfiles; without one the engine's own reads.
                text = file.read_text(errors="surrogateescape")
                file = Path(scratch, "Dockerfile")
                file.write_text(re.sub(r"(?im)^#\s*syntax\s*=.*\n", "#\n", text, count=1), errors="surrogateescape")
                built, image_id = self._run(folder, file, timeout, note, Path(scratch))
            if built.code not in (0, None) and buildlog.lost_engine(built.log):
                self._alive()  # it may be back: a program can also print these words, so once more
                built, image_id = self._run(folder, file, timeout, note, Path(scratch))
        if built.code == 0 and image_id:
            return self.image(image_id)
        self._alive()
        raise self._failure(built, timeout)

    def _run(self, folder: Path, file: Path, timeout: float, note: str, scratch: Path) -> tuple[Built, str]:
        ids = scratch / "image"
        ids.unlink(missing_ok=True)
        labels = [f"--label={LABEL}=1", *([f"--label=shipyard.note={note}"] if note else [])]
        built = run_build(builder(), self.host, [*labels, f"--iidfile={ids}", f"--file={file}", str(folder)], timeout)
        if built.code is None and (step := re.findall(r"---> Running in ([0-9a-f]{12,64})", built.log)):
            # The old builder's step is a container: it ends with its build, but only when the engine notices.
            with suppress(docker.errors.APIError), asking("end a build"):
                self.client.api.remove_container(step[-1], v=True, force=True)
        return built, ids.read_text().strip() if ids.exists() else ""

    def _failure(self, built: Built, timeout: float) -> NotThere | CannotCheck:
        end = buildlog.meaning(built.log)
        if built.code is None:
            return NotThere(
                f"The build was not finished after {timeout:.0f} s and was ended. Its last output:\n{end}",
                "A build must end by itself: a server is started by CMD, not by RUN, and no step may wait for input.",
            )
        if NO_ROOM in tail(built.log, 12, 2000).lower() and self._full():
            return CannotCheck("The disk of the Docker engine is full, so the image could not be built.", DISK_FIX)
        if buildlog.no_registry(built.log):
            if self._without_registry():
                return NotThere(
                    f"The build needs an image that is not on this machine. Its output ends with:\n{end}",
                    "Check the name in FROM. This course also runs without the internet; "
                    f"its base image is {PYTHON_IMAGE}.",
                )
            return CannotCheck(
                f"A base image could not be pulled because its registry did not answer:\n{end}",
                "Check the name in FROM and the network, then try again.",
            )
        if buildlog.no_such_image(built.log):
            return NotThere(
                f"The build failed: FROM names an image that does not exist. Its output ends with:\n{end}",
                f"Check the name and the tag in FROM, for example {PYTHON_IMAGE}.",
            )
        return NotThere(f"The build failed. Its output ends with:\n{end}")

    def _alive(self) -> None:
        with asking("build an image"):
            self.client.ping()

    def _full(self) -> bool:
        """Say whether the engine's disk is full, believing the message where the disk cannot be seen from here."""
        with asking("describe itself"):
            root = self.client.info().get("DockerRootDir", "")
        try:
            return shutil.disk_usage(root).free < LITTLE
        except OSError:
            return True

    def _without_registry(self) -> bool:
        """Say whether this machine's base image was built here: then no registry could be had."""
        base = lookup(self.client, PYTHON_IMAGE)
        return base is not None and not base.attrs.get("RepoDigests")


def _dockerfile(folder: Path) -> Path:
    where = f"{folder.name}/"
    if folder.is_symlink():  # the context would be a folder of the grader's machine
        raise NotThere(f"{where} is a link to another folder.", f"Make {where} a real folder with the files in it.")
    if not folder.is_dir():
        raise NotThere(f"There is no folder {where}.", "The lab's text says which files belong where.")
    for name in ("Dockerfile", "dockerfile"):
        file = folder / name
        if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
            raise NotThere(f"{where}{name} is a link that leads out of {where}.", "Make it a real file.")
        if file.is_file():
            return file
    names = listed(sorted(entry.name for entry in folder.iterdir()))
    raise NotThere(
        f"There is no Dockerfile in {where}. It holds: {names}.",
        f"Write the file {where}Dockerfile (exactly this name, no ending such as .txt).",
    )
