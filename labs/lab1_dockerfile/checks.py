"""Judge lab 1: the image that the learner's Dockerfile makes, and the container it starts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autograder.checks import Finding, check
from autograder.facts import CannotCheck, NotThere, Observation, fact
from autograder.ground.reset import Made
from autograder.probes.container import Container, Stop
from autograder.probes.docker import Docker
from autograder.probes.http import ask
from autograder.probes.image import Image

MADE = Made(containers=("shipyard-lab1-mine",), images=("digits:mine",))
BASE = "python:3.11-slim"
BUDGET = 500_000_000  # bytes on top of the base; the packages of requirements.txt need about 300 MB
BUILD_SECONDS = 300
STOP_SECONDS = 5
COMPILER = re.compile(r"(^|/)bin/([a-z0-9_]+-linux-gnu-)?(gcc|g\+\+|cc|c\+\+|clang|clang\+\+)(-[0-9.]+)?$")
PIP_CACHE = re.compile(r"(^|/)\.cache/pip/.+")
PACKAGES = re.compile(r"(^|/)sklearn/__init__\.py$")  # wherever pip was told to put them


def examples() -> list[list[int]]:
    """Return the rows of example.json, each 64 numbers from 0 to 16."""
    here = Path(__file__).parent
    beside = [here / "example.json", here / "starter" / "example.json"]
    return json.loads(next(path for path in beside if path.exists()).read_text())["instances"]


class Seen(Observation):
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
            return self.docker.image(BASE)
        except NotThere as absent:
            raise CannotCheck(f"There is no base image {BASE} to compare sizes with.", "Run `make up`.") from absent

    @property
    def edit(self) -> str:
        return f"edited-{digest('edit', self.place.salt)}"

    @fact
    def edited_image(self) -> Image:
        """The image of the same folder after an edit to the code of the app."""
        folder = self.copy_of_app()
        edit_app(folder, self.edit)
        return self.build(folder)

    @fact
    def edited_server(self) -> Container:
        return self.closing(self.docker.run(self.edited_image, name_hint="lab1-edited")).wait_ready()

    def build(self, folder: Path) -> Image:
        # Tests need not wait as long as a learner may build.
        return self.docker.build(folder, timeout=float(os.environ.get("SHIPYARD_BUILD_SECONDS", BUILD_SECONDS)))

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
    code = [path for path in folder.glob("digits_server/**/*") if path.suffix in (".py", ".html")]
    code = [path for path in code if path.resolve().is_relative_to(folder.resolve())]  # never through a link
    if not any(path.suffix == ".html" for path in code):
        raise NotThere("The app's code (app/digits_server) is not there.", "Leave the folder digits_server as it was.")
    for path in code:
        with path.open("a") as file:
            file.write(f"\n# {words}\n" if path.suffix == ".py" else f"<!-- {words} -->\n")


@check(
    "image_builds",
    points=1,
    expects=f"`docker build app` makes an image, within {BUILD_SECONDS // 60} minutes.",
    hint="Run the cell with `docker build` and read the last lines: they name the step that failed.",
    chapter="docker#images",
)
def image_builds(seen: Seen) -> Finding:
    return Finding(True, f"The image was built and has {len(seen.built.layers)} layers.")


@check(
    "answers_on_8000",
    points=2,
    expects="The container, started without arguments, answers on port 8000: /healthz says that it lives, "
    "/predict returns one digit for each row of example.json.",
    hint="Which program does the container start, and on which address and port does it listen? `docker logs` tells.",
    chapter="docker#ports",
)
def answers_on_8000(seen: Seen) -> Finding:
    url = seen.answering.url
    health = ask("GET", f"{url}/healthz")
    if health.status != 200:
        return Finding(False, f"GET /healthz answers with status {health.status} instead of 200.")
    rows = examples()
    answer = ask("POST", f"{url}/predict", json={"instances": rows})
    if answer.status != 200:
        return Finding(0.5, f"/healthz answers, but POST /predict answers with status {answer.status}.")
    digits = answer.json.get("predictions") if isinstance(answer.json, dict) else None
    if not isinstance(digits, list) or len(digits) != len(rows) or any(digit not in range(10) for digit in digits):
        return Finding(0.5, f"/healthz answers, but /predict returned {str(digits)[:80]} for {len(rows)} rows.")
    return Finding(True, f"It answers on port 8000 and reads the {len(rows)} example rows as {digits}.")


@check(
    "runs_unprivileged",
    points=1,
    expects="No process in the running container belongs to root.",
    hint="The instruction USER decides as whom a container runs. Which of your steps need root, and which do not?",
    chapter="docker#users",
)
def runs_unprivileged(seen: Seen) -> Finding:
    numbers = ", ".join(str(uid) for uid in seen.uids)
    return Finding(0 not in seen.uids, f"The processes in the container run as user number {numbers} (0 is root).")


@check(
    "stops_on_sigterm",
    points=1,
    expects=f"When it is asked to stop (SIGTERM), the container ends by itself within {STOP_SECONDS} seconds.",
    hint="A signal goes to process 1. What becomes process 1 by a CMD with brackets, and what by one without?",
    chapter="docker#signals",
)
def stops_on_sigterm(seen: Seen) -> Finding:
    if seen.stop.killed:
        return Finding(False, f"It did not react to SIGTERM and was killed after {STOP_SECONDS} seconds.")
    return Finding(True, f"It ended by itself {seen.stop.seconds:.1f} s after SIGTERM.")


@check(
    "no_secrets",
    points=2,
    expects="The token in app/.env is nowhere in the image: in no layer, not even one whose files were deleted "
    "later, and in no setting. (The grader puts a token of its own into .env before it builds.)",
    hint="A step can copy only what is in the build context, and app/.dockerignore says what is not.",
    chapter="docker#secrets",
)
def no_secrets(seen: Seen) -> Finding:
    where = seen.image.contains(seen.token.encode())
    if where is None:
        return Finding(True, "The token is in no layer and no setting.")
    if not where.startswith("/"):
        return Finding(False, f"The token stands in {where}.",
                       "ENV and ARG stay readable: hand secrets over when the container starts.")  # fmt: skip
    if where in seen.image.files():
        return Finding(False, f"The token can be read in the image, in the file {where}.")
    return Finding(
        False,
        f"The token is still in a layer of the image: {where} was deleted in a later step, which only hides it.",
        "A later step cannot take a file out of an earlier layer. What keeps it out of the build context?",
    )


@check(
    "no_build_tools",
    points=1,
    expects="The image holds what the server needs and nothing else: no compiler, no cache of pip, nothing of "
    f"app/training, and at most {BUDGET / 1e6:.0f} MB on top of {BASE}.",
    hint="Three things add up: what the base image brings, what pip keeps, what the build context holds.",
    chapter="docker#size",
)
def no_build_tools(seen: Seen) -> Finding:
    files = seen.image.files()
    leftovers = {path.name for path in (seen.context / "training").glob("*")}
    for what, found in (
        ("a compiler", [path for path in files if COMPILER.search(path)]),
        ("the cache of pip", [path for path, size in files.items() if size and PIP_CACHE.search(path)]),
        ("what training left", [path for path in files if Path(path).name in leftovers and "training/" in path]),
    ):
        if found:
            return Finding(False, f"The image holds {what}: {sorted(found)[0]}.")
    extra = seen.image.size - seen.base.size
    said = f"The image has {max(extra, 0) / 1e6:.0f} MB on top of {BASE}"
    if extra > BUDGET:
        return Finding(False, f"{said}; at most {BUDGET / 1e6:.0f} are wanted.")
    return Finding(True, f"{said} and no leftovers.")


@check(
    "cache_friendly",
    points=2,
    expects="After an edit to a file in app/digits_server, a new build reuses the layers that hold the installed "
    "packages (the grader compares layers, not times), and the new image shows the edit.",
    hint="A layer is reused while what its step read is unchanged. What does the step that installs requirements.txt "
    "read in your file?",
    chapter="docker#layers",
)
def cache_friendly(seen: Seen) -> Finding:
    before, after = seen.image.layers, seen.edited_image.layers
    packages = sorted({layer for layer, path, _ in seen.image.layer_files() if PACKAGES.search(path)})
    if not packages:
        return Finding(False, "No layer holds the installed packages (scikit-learn was looked for).")
    if any(layer >= len(after) or before[layer] != after[layer] for layer in packages):
        return Finding(False, "After an edit to the code, all packages were installed again: their layer is a new one.")
    if not seen.answers:
        return Finding(0.5, "The packages' layer was reused; as the server does not answer, the edit cannot be seen.",
                       "First let the server answer on port 8000, then check again.")  # fmt: skip
    page = ask("GET", f"{seen.edited_server.url}/")
    if seen.edit not in page.text:
        return Finding(False, "The packages were reused, but the new image does not show the edit.",
                       "Where does the code come into the image? Is that step run again after an edit?")  # fmt: skip
    return Finding(True, "After an edit, the packages' layer was reused, and the new image shows the edit.")
