"""Judge lab 1: the image that the learner's Dockerfile makes, and the container it starts."""

from __future__ import annotations

from pathlib import Path

from autograder.checks import Finding, check
from autograder.probes.digits import digits_in
from autograder.probes.http import ask
from autograder.probes.packages import same_version
from autograder.probes.words import cut, listed
from autograder.versions import PYTHON_IMAGE

from .seen import BUDGET, BUILD_SECONDS, COMPILER, LABELS, PIP_CACHE, STOP_SECONDS, Seen, examples


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
    answer = seen.predict(url, rows)
    if answer.status != 200:
        return Finding(0.5, f"/healthz answers, but POST /predict answers with status {answer.status}.")
    digits = digits_in(answer, rows)
    if digits is None:
        return Finding(0.5, f"/healthz answers, but /predict answered {len(rows)} rows with {answer}.")
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
    f"app/training, and at most {BUDGET / 1e6:.0f} MB on top of {PYTHON_IMAGE}.",
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
    said = f"The image has {max(extra, 0) / 1e6:.0f} MB on top of {PYTHON_IMAGE}"
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
    if not seen.packages:
        return Finding(False, "No layer holds the installed packages (scikit-learn was looked for).")
    if not seen.reused:
        return Finding(False, "After an edit to the code, all packages were installed again: their layer is a new one.")
    if not seen.answers:
        return Finding(0.5, "The packages' layer was reused; as the server does not answer, the edit cannot be seen.",
                       "First let the server answer on port 8000, then check again.")  # fmt: skip
    page = ask("GET", f"{seen.edited_server.url}/")
    if seen.edit not in page.text:
        return Finding(False, "The packages were reused, but the new image does not show the edit.",
                       "Where does the code come into the image? Is that step run again after an edit?")  # fmt: skip
    return Finding(True, "After an edit, the packages' layer was reused, and the new image shows the edit.")


@check(
    "pins_packages",
    points=1,
    expects="app/requirements.txt names one exact version of each package in it, and the image holds exactly these "
    "versions of them; flask, gunicorn, numpy, scikit-learn and skops are among them.",
    hint="What does a line without a version install, today and in a year? Two equal signs leave no choice.",
    chapter="docker#images",
)
def pins_packages(seen: Seen) -> Finding:
    wanted = seen.pins
    if missing := sorted({"flask", "gunicorn", "numpy", "scikit-learn", "skops"} - wanted.keys()):
        return Finding(False, f"app/requirements.txt does not name {listed(missing)}.", "The server needs all of them.")
    if loose := sorted(name for name, version in wanted.items() if not version):
        share = 0.5 if len(loose) <= len(wanted) / 2 else False
        return Finding(share, f"app/requirements.txt leaves the version of {listed(loose)} open.")
    there = seen.versions
    other = [
        f"{name} {there.get(name, '(not there)')} instead of {version}"
        for name, version in sorted(wanted.items())
        if not same_version(there.get(name), version)
    ]
    if other:
        return Finding(False, f"The image holds {cut(listed(other), 200)}.",
                       "Which file does the step read that installs packages?")  # fmt: skip
    return Finding(True, f"The image holds exactly the versions of the {len(wanted)} packages in app/requirements.txt.")


@check(
    "tells_health",
    points=1,
    expects="The image has a HEALTHCHECK whose command succeeds while the server answers, and fails in a container "
    "of the same image in which no server runs.",
    hint="The command runs inside the container, with the programs that are there. python can ask for a URL, too.",
    chapter="docker#health",
)
def tells_health(seen: Seen) -> Finding:
    if not seen.image.healthcheck:
        return Finding(False, "The image has no HEALTHCHECK.")
    assert seen.server  # a server that does not answer cannot be found healthy
    (fine, words), (ill, _) = seen.health
    if fine != 0:
        return Finding(False, f"The server answers, but the command of HEALTHCHECK ended with exit code {fine}. "
                              f"It wrote: {cut(words, 200) or 'nothing'}")  # fmt: skip
    if ill == 0:
        return Finding(0.5, "The command of HEALTHCHECK succeeds, but also in a container in which no server runs.",
                       "Let the command ask the server for something.")  # fmt: skip
    return Finding(True, f"It succeeds where the server answers, and ends with exit code {ill} where none runs.")


@check(
    "carries_labels",
    points=1,
    expects="The image says what it is: it carries the labels " + ", ".join(LABELS) + ", none of them empty.",
    hint="The instruction LABEL writes a name and a value into the image. Names are compared to the letter.",
    chapter="docker#labels",
)
def carries_labels(seen: Seen) -> Finding:
    labels = seen.image.labels
    missing = [name for name in LABELS if not labels.get(name, "").strip()]
    if missing:
        return Finding(1 - len(missing) / len(LABELS), f"The image has no label {listed(missing)}.")
    return Finding(True, "It is " + ", ".join(cut(labels[name], 60) for name in LABELS) + ".")


@check(
    "builds_alike",
    points=1,
    expects="Built again after an edit to app/digits_server, the image has the same files, byte for byte, but for the "
    "edited ones. (Times of files, the day on which a user was added and Python's own .pyc files do not count.)",
    hint="Some step writes something else each time that it runs: the time, something random, a log.",
    chapter="docker#reproducible-builds",
)
def builds_alike(seen: Seen) -> Finding:
    if seen.strays:
        return Finding(False, f"Besides the edited files, these changed: {cut(listed(seen.strays[:5]), 200)}.")
    return Finding(True, "Only the edited files changed.")
