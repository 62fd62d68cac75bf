"""Give a submission a place of its own to run in, and leave nothing of it behind."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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


@contextmanager
def workplace(
    lab: Lab, student: str, work: Path, say: Callable[[str], None] = lambda text: None
) -> Iterator[tuple[Place, dict[str, str], Sandboxed | None]]:
    """Yield a submission's place, as the grader sees it, variables for its kernel, and its sandbox if it has one.

    A lab that needs a cluster gets a namespace with rights in that namespace
    only; one that needs Docker gets what it makes labelled. Both are removed
    afterwards, and before, if a killed run left them. Raises CannotCheck where
    engine or cluster do not answer.
    """
    mark = key(lab, student, work)
    salt = int(mark, 16) % 2**31
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

            variables |= stack.enter_context(labelled(mark, aside, say))
        if "cluster" in lab.needs:
            from autograder.grading.namespace import namespace

            place, more = stack.enter_context(namespace(mark, lab.slug, student, work, salt, aside, say))
            variables |= more
        yield place, variables, None
