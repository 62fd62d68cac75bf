"""Give a submission a place of its own to run in, and leave nothing of it behind."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autograder.facts import Place
from autograder.labs import Lab
from autograder.sandbox import wanted

if TYPE_CHECKING:
    from autograder.sandbox.place import Sandboxed

LABEL = "shipyard.io/submission"


def key(lab: Lab, student: str, work: Path) -> str:
    """Return a name for one submission, the same in each run: ten hexadecimal digits."""
    return hashlib.sha256(f"{lab.slug}\0{student}\0{work}".encode()).hexdigest()[:10]


def salt_of(lab: Lab, student: str, digest: str) -> int:
    """Return what varies a submission's hidden inputs: the same whenever it is judged again, another for another text.

    `digest` is that of the submission's files: whoever saw inputs on a feedback
    page gets others for the next try.
    """
    return int(hashlib.sha256(f"{lab.slug}\0{student}\0{digest}".encode()).hexdigest()[:12], 16) % 2**31


@contextmanager
def workplace(
    lab: Lab, student: str, work: Path, digest: str = "", say: Callable[[str], None] = lambda text: None
) -> Iterator[tuple[Place, dict[str, str], Sandboxed | None]]:
    """Yield a submission's place, as the grader sees it, variables for its kernel, and its sandbox if it has one.

    A lab that needs a cluster gets a namespace with rights in that namespace
    only; one that needs Docker gets what it makes labelled. Both are removed
    afterwards, and before, if a killed run left them. Raises CannotCheck where
    engine or cluster do not answer.
    """
    mark = key(lab, student, work)
    salt = salt_of(lab, student, digest)
    if lab.needs and wanted():
        from autograder.sandbox.place import sandboxed

        with sandboxed(lab, mark, student, work, salt, say) as sandbox:
            yield sandbox.place, {}, sandbox
        return
    with ExitStack() as stack:
        aside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shipyard-")))
        variables: dict[str, str] = {}
        place = Place(work=work, salt=salt)
        if "docker" in lab.needs:
            from autograder.grading.containers import labelled

            made = getattr(lab.seen, "MADE", None) if (lab.folder / "checks.py").is_file() else None
            variables |= stack.enter_context(labelled(mark, aside, say, work, made))
        if "cluster" in lab.needs:
            from autograder.sandbox.namespace import namespace

            place, more = stack.enter_context(namespace(mark, lab.slug, student, work, salt, aside, say))
            variables |= more
        yield place, variables, None


@contextmanager
def recording(lab: Lab, place: Place, sandbox: Sandboxed | None) -> Iterator[Place]:
    """Yield a place whose recorder hears the notebook's engine, until the context ends, for labs that set RECORDS.

    Raises CannotCheck where the engine does not answer.
    """
    if not getattr(lab.seen, "RECORDS", False):
        yield place
        return
    from autograder.probes.events import Recorder

    host, below = (sandbox.learner.docker_host, "/work") if sandbox else (place.docker_host, place.work)
    with Recorder(host, below) as recorder:
        yield replace(place, recorder=recorder)
