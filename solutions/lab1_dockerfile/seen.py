"""See what lab 1 is about: the image that the learner's Dockerfile makes, and the container it starts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from autograder.facts import CannotCheck, NotThere, fact
from autograder.ground.reset import Made
from autograder.labs import given
from autograder.probes.container import Container, Stop
from autograder.probes.docker import Docker
from autograder.probes.http import Answer
from autograder.probes.image import Image
from autograder.probes.packages import installed, pins, versions
from autograder.probes.patience import Patient
from autograder.versions import PYTHON_IMAGE
from autograder.waiting import TimedOut, wait_until

MADE = Made(containers=("shipyard-lab1-mine",), images=("digits:mine", "digits:again"))
BUDGET = 500_000_000  # bytes on top of the base; the packages of requirements.txt need about 300 MB
BUILD_SECONDS = 300
STOP_SECONDS = 5
COMPILER = re.compile(r"(^|/)bin/([a-z0-9_]+-linux-gnu-)?(gcc|g\+\+|cc|c\+\+|clang|clang\+\+)(-[0-9.]+)?$")
PIP_CACHE = re.compile(r"(^|/)\.cache/pip/.+")
PACKAGES = re.compile(r"(?:^|/)(sklearn/.+\.py)$")  # wherever pip was told to put them
LABELS = tuple(f"org.opencontainers.image.{name}" for name in ("title", "version", "source"))
HEALTH_SECONDS = 20  # the check is asked every second here, whatever HEALTHCHECK's own interval is
ALIKE = 0.9  # of the package's files that must be there, each of its right size


def examples() -> list[list[int]]:
    """Return the rows of example.json, each 64 numbers from 0 to 16."""
    return json.loads(given(__file__, "example.json").read_text())["instances"]


class Seen(Patient):
    """See the learner's folder `app`, built twice: as it is, and after an edit to its code."""

    @fact
    def docker(self) -> Docker:
        return Docker(self.place.docker_host)

    @fact
    def token(self) -> str:
        """A token of this submission's own; the same each time, so that builds find their cache."""
        return f"harbour-{digest('token', self.place.salt)}"

    @fact
    def context(self) -> Path:
        return self.copy_of_app()

    @fact
    def built(self) -> Image:
        return self.build(self.context)

    @fact
    def image(self) -> Image:
        """The image, for checks that are not about building: they need not repeat why it fails."""
        with instead("The image does not build, so this cannot be seen yet.",
                     "First make the check image_builds pass: it shows where the build stops."):  # fmt: skip
            return self.built

    @fact
    def container(self) -> Container:
        return self.closing(self.docker.run(self.image, name_hint="lab1"))

    @fact
    def answering(self) -> Container:
        """The container, once its server has the model and answers."""
        return self.container.wait_ready()

    @fact
    def server(self) -> Container:
        """The same, for checks that are not about answering."""
        container = self.container  # no image, no start: said as it is
        with instead("The container does not answer on port 8000, so this cannot be seen yet.",
                     "First make the check answers_on_8000 pass: it shows what happens instead."):  # fmt: skip
            assert self.answering is container
        return container

    def predict(self, url: str, rows: list[list[int]]) -> Answer:
        """Ask a server for predictions; it is ready when one of its workers is, others may still load the model."""
        return self.ask_again("POST", f"{url}/predict", json={"instances": rows})

    @fact
    def uids(self) -> list[int]:
        """The user numbers of all processes; a server that cannot be reached has them too."""
        reachable = self.answers or self.container.status == "running"
        return (self.container if reachable else self.server).uids

    @fact
    def stop(self) -> Stop:
        """How a container of the image stops: one of its own, so that the other stays for other checks."""
        if not self.answers and self.uids:
            return self.container.stop(timeout=STOP_SECONDS)
        with self.docker.run(self.image, name_hint="lab1-stop") as container:
            container.wait_ready()
            return container.stop(timeout=STOP_SECONDS)

    @fact
    def answers(self) -> bool:
        """Whether the server answers at all."""
        container = self.container
        try:
            return self.answering is container
        except NotThere:
            return False

    @fact
    def base(self) -> Image:
        try:
            return self.docker.image(PYTHON_IMAGE)
        except NotThere as absent:
            raise CannotCheck(
                f"There is no base image {PYTHON_IMAGE} to compare sizes with.", "Run `make up`."
            ) from absent

    @fact
    def packages(self) -> set[int]:
        """The layers that hold scikit-learn, file by file as it is installed here, too; a name alone is no package."""
        wanted, found, layers = installed("sklearn"), set(), set()
        for layer, path, size in self.image.layer_files():
            name = PACKAGES.search(path)
            if name and wanted.get(name[1]) == size:
                found.add(name[1])
                layers.add(layer)
        return layers if len(found) >= ALIKE * len(wanted) else set()

    @fact
    def edit(self) -> str:
        """Words that no build has seen: one that has would be taken from the cache as it was made then."""
        return f"edited-{token_hex(8)}"

    @fact
    def edited_context(self) -> Path:
        """The same folder after an edit to the code of the app."""
        return self.edited(self.edit)

    @fact
    def edited_image(self) -> Image:
        return self.build(self.edited_context)

    @fact
    def reused(self) -> bool:
        """Whether a build after an edit takes the packages' layers from the cache.

        After `docker build --no-cache`, and where two builds ran side by side,
        the cache holds several layers of one step: an edited image may then be
        made of another one than the first image. So if they differ, one more
        edit tells: what is reused is one of the two, what is installed again
        is a third.
        """
        first, second = self.packages_of(self.image), self.packages_of(self.edited_image)
        return first == second or self.packages_of(self.build(self.edited(f"{self.edit}-again"))) in (first, second)

    def packages_of(self, image: Image) -> list[str]:
        """Return the digests of an image's layers that stand where the packages are."""
        return [layer for at, layer in enumerate(image.layers) if at in self.packages]

    @fact
    def pins(self) -> dict[str, str]:
        """What requirements.txt asks for: package -> the one version that it names, "" where it leaves a choice."""
        return pins(self.work / "app" / "requirements.txt")

    @fact
    def versions(self) -> dict[str, str]:
        """The packages in the image: name -> version."""
        return versions(self.image.files())

    @fact
    def health(self) -> tuple[tuple[int, str], tuple[int, str]]:
        """What the image's HEALTHCHECK says where the server answers, and where no server was started."""
        every = {"interval": 1_000_000_000}  # in nanoseconds; test, timeout and so on stay the image's own
        with self.docker.run(self.image, name_hint="lab1-well", healthcheck=every) as well:
            well.wait_ready()
            fine = asked(well, lambda said: said[0] == 0)
        sleep = {"entrypoint": ["sleep"], "command": [str(10 * HEALTH_SECONDS)]}
        with self.docker.run(self.image, name_hint="lab1-ill", healthcheck=every, **sleep) as ill:
            return fine, asked(ill, lambda said: True)

    @fact
    def strays(self) -> list[str]:
        """Files outside of the edited code that a build after the edit makes differently."""
        before, after = self.image, self.edited_image
        pairs = zip(before.layers, after.layers, strict=False)
        same = next((at for at, (one, other) in enumerate(pairs) if one != other), len(before.layers))
        old, new = before.contents(same), after.contents(same)
        edited = {hashlib.sha256(path.read_bytes()).hexdigest() for path in code_of(self.edited_context)}
        return sorted(
            path for path in old.keys() | new.keys()
            if old.get(path) != new.get(path) and new.get(path) not in edited and not path.endswith(".pyc")
        )  # fmt: skip

    @fact
    def edited_server(self) -> Container:
        return self.closing(self.docker.run(self.edited_image, name_hint="lab1-edited")).wait_ready()

    def build(self, folder: Path) -> Image:
        # Tests need not wait as long as a learner may build.
        return self.docker.build(folder, timeout=float(os.environ.get("SHIPYARD_BUILD_SECONDS", BUILD_SECONDS)))

    def edited(self, words: str) -> Path:
        folder = self.copy_of_app()
        edit_app(folder, words)
        return folder

    def copy_of_app(self) -> Path:
        """Copy the learner's app, with a token of ours in .env, into a folder that goes away; NotThere for none."""
        app = self.work / "app"
        if app.is_symlink() or not app.is_dir():
            raise NotThere("There is no folder `app` beside the notebook.", "Do not rename or move the folder `app`.")
        folder = Path(self.closing(tempfile.TemporaryDirectory(prefix="shipyard-lab1-"))) / "app"
        shutil.copytree(app, folder, symlinks=True)
        (folder / ".env").unlink(missing_ok=True)  # it may be a link
        (folder / ".env").write_text(f"MODEL_STORE_TOKEN={self.token}\n")
        return folder


def asked(container: Container, enough: Callable[[tuple[int, str]], bool]) -> tuple[int, str]:
    """Return what a container's health check says, once that is enough or time is up. NotThere where nobody asks."""
    with suppress(TimedOut):
        wait_until(lambda: (said := container.health) and enough(said), "the health check", HEALTH_SECONDS, 0.5)
    if (said := container.health) is None:
        raise NotThere(f"HEALTHCHECK's command gave no answer within {HEALTH_SECONDS} s.", "It must end, and soon.")
    return said


def digest(word: str, salt: int) -> str:
    """Return 16 characters that depend on a word and a submission's salt."""
    return hashlib.sha256(f"{word} {salt}".encode()).hexdigest()[:16]


@contextmanager
def instead(observed: str, hint: str) -> Iterator[None]:
    """Say `observed` and `hint` in the place of what is really missing: another check shows that."""
    try:
        yield
    except NotThere as absent:
        raise NotThere(observed, hint) from absent


def edit_app(folder: Path, words: str) -> None:
    """Add a comment to each file of the app's code: the page at / then carries `words`. NotThere for no code."""
    code = code_of(folder)
    if not any(path.suffix == ".html" for path in code):
        raise NotThere("The app's code (app/digits_server) is not there.", "Leave the folder digits_server as it was.")
    for path in code:
        with path.open("a") as file:
            file.write(f"\n# {words}\n" if path.suffix == ".py" else f"<!-- {words} -->\n")


def code_of(folder: Path) -> list[Path]:
    """Return the files of the app's code, never through a link."""
    code = [path for path in folder.glob("digits_server/**/*") if path.suffix in (".py", ".html")]
    return [path for path in code if path.resolve().is_relative_to(folder.resolve())]
