"""Grade attempts, each within the seconds that it says a cell or a build of it may take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from autograder.cli.again import with_second_tries
from autograder.grading.grade import CONFIG, grade_these
from autograder.grading.outcome import Outcome, Step
from autograder.release.attempts import Attempt

BUILD = "SHIPYARD_BUILD_SECONDS"  # as lab 1 reads it
Handed = tuple[str, str]  # learner, lab


def grade_handed(
    root: Path, handed: Sequence[tuple[Handed, Attempt]], force: bool, progress: Callable[[Step], None],
    jobs: int | None,
) -> Iterator[Outcome]:  # fmt: skip
    """Grade what learners handed in, in the given order, as often as it is named; last, what has seconds of its own.

    What could not be judged is graded once more at the end, one at a time.
    """
    attempts = dict(handed)

    def again(left: Sequence[Handed]) -> Iterator[Outcome]:
        return _in_turn(root, [(at, attempts[at]) for at in left], True, progress, 1)

    yield from with_second_tries(_in_turn(root, handed, force, progress, jobs), again)


def _in_turn(
    root: Path, handed: Sequence[tuple[Handed, Attempt]], force: bool, progress: Callable[[Step], None],
    jobs: int | None,
) -> Iterator[Outcome]:  # fmt: skip
    """Grade first what has no seconds of its own.

    A build that never ends costs 20 s then, where a learner's may take minutes in each of its cells.
    """
    usual = [at for at, one in handed if one.seconds == Attempt.seconds]
    yield from grade_these(root, usual, force, progress, jobs=jobs)
    for seconds in sorted({one.seconds for _, one in handed} - {Attempt.seconds}):
        with limited(root, seconds):
            mine = [at for at, one in handed if one.seconds == seconds]
            yield from grade_these(root, mine, force, progress, jobs=jobs)


@contextmanager
def limited(root: Path, seconds: int) -> Iterator[None]:
    """Let no cell and no build of the class in `root` take longer than `seconds`."""
    config, before = root / "nbgrader_config.py", os.environ.get(BUILD)
    config.write_text(f"{CONFIG}get_config().Execute.timeout = {seconds}\n")
    os.environ[BUILD] = str(seconds)
    try:
        yield
    finally:
        config.write_text(CONFIG)
        if before is None:
            del os.environ[BUILD]
        else:
            os.environ[BUILD] = before
