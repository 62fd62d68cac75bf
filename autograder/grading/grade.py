"""Grade a class: each submission that has no grade yet, several at once, with nbgrader's own commands."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import nbformat
from docker.errors import DockerException
from sqlalchemy.exc import SQLAlchemyError

from autograder.checks import Result, Status
from autograder.facts import CannotCheck
from autograder.grading.admission import Refused, admit
from autograder.grading.entered import points_of, ready, score_of
from autograder.grading.feedback import complete
from autograder.grading.gradebook import retrying
from autograder.grading.kernel import KILLED, LAST_TRY
from autograder.grading.outcome import Outcome, Standing, Step
from autograder.grading.running import Ran, Runner
from autograder.grading.slots import Pace, allowed_jobs, default_jobs
from autograder.grading.troubles import explain
from autograder.grading.turn import alone
from autograder.grading.verdicts import graded, why_again
from autograder.grading.workplace import key
from autograder.labs import find_lab, syllabus
from autograder.sandbox import wanted
from autograder.sandbox.ahead import Ahead
from autograder.sandbox.box import sweep_ended

CONFIG = "from autograder.grading import plug_in\nplug_in(get_config())\n"
LIMIT = 2400  # seconds a submission: above the budget of its cells, so that it is still judged


def grade(
    root: Path,
    labs: Sequence[str] | None = None,
    students: Sequence[str] | None = None,
    force: bool = False,
    progress: Callable[[Step], None] = lambda step: None,
    limit: float = LIMIT,
    jobs: int | None = None,
) -> Iterator[Outcome]:
    """Grade submitted/<student>/<lab>/ below a course's folder, and yield an outcome for each as it is done.

    A submission is graded if it has no grade, could not be checked, was handed
    in again, or with `force`. `jobs` are graded at the same time (None: as many
    as fit this machine). Interrupted at any step, a second call goes on where
    the first one stopped. `limit` is seconds a submission. Raises
    FileNotFoundError where the folder has no nbgrader_config.py, KeyError for
    an unknown lab.

    >>> for outcome in grade(Path("build/class")): print(outcome.line)  # doctest: +SKIP
    """
    slugs = [find_lab(slug).slug for slug in labs] if labs is not None else [lab.slug for lab in syllabus()]
    todo = [(student, slug) for slug in slugs for student in students_of(root, slug, students)]
    yield from grade_these(root, todo, force, progress, limit, jobs)


def grade_these(
    root: Path,
    todo: Sequence[tuple[str, str]],
    force: bool = False,
    progress: Callable[[Step], None] = lambda step: None,
    limit: float = LIMIT,
    jobs: int | None = None,
) -> Iterator[Outcome]:
    """Grade submissions as `grade` does, each named by its student and its lab, in the given order.

    >>> todo = [("ada", "lab2_container"), ("bela", "lab1_dockerfile")]
    >>> for outcome in grade_these(Path("build/class"), todo): print(outcome.line)  # doctest: +SKIP
    """
    root, wanted_jobs = root.resolve(), jobs or default_jobs()
    if not (root / "nbgrader_config.py").is_file():
        raise FileNotFoundError(f"{root} has no nbgrader_config.py. Put one there, with these lines:\n{CONFIG}")
    # Labs that may be graded together are; one whose submissions would meet on the engine is graded alone.
    slugs = dict.fromkeys(slug for _, slug in todo)
    together = {slug for slug in slugs if allowed_jobs(find_lab(slug), wanted_jobs) == wanted_jobs}
    for group, slots in [(together, wanted_jobs), *(({slug}, 1) for slug in slugs if slug not in together)]:
        if mine := [at for at in todo if at[1] in group]:
            yield from _Class(root, mine, force, progress, limit, slots).outcomes()


class _Class:
    """Grade some submissions in slots: threads, each of which waits for a process."""

    def __init__(
        self, root: Path, todo: Sequence[tuple[str, str]], force: bool, progress: Callable[[Step], None], limit: float,
        jobs: int,
    ):  # fmt: skip
        self.root, self.force, self.progress, self.limit = root, force, progress, limit
        self.todo = list(enumerate(todo, 1))
        self.pace = Pace([slug for _, slug in todo], min(jobs, len(todo)))
        self.jobs, self.total, self.done = min(jobs, len(todo)), len(todo), 0
        self.ready: dict[str, str] = {}
        self.lock, self.preparing, self.telling = threading.Condition(), threading.Lock(), threading.Lock()
        self.busy: set[str] = set()  # learners who are being graded: the gradebook enters a new one once
        self.stopped = threading.Event()

    def outcomes(self) -> Iterator[Outcome]:
        """Yield outcomes as they are done; left early or interrupted, end all slots first."""
        found: queue.Queue[Outcome | BaseException] = queue.Queue()
        first = self.todo[0][1]
        if wanted():
            with suppress(CannotCheck, DockerException):  # said by the first submission that needs an engine
                sweep_ended()
        with (
            alone(self.root, lambda text: self._tell(first, 1, text)) as held,
            Runner(self.root, sorted({slug for _, (_, slug) in self.todo}), [held]) as self.runner,
            Ahead() as self.ahead,
        ):
            slots = [threading.Thread(target=self._slot, args=(found,), daemon=True) for _ in range(self.jobs)]
            for slot in slots:
                slot.start()
            try:
                for _ in range(self.total):
                    outcome = found.get()
                    if isinstance(outcome, BaseException):
                        raise outcome
                    yield outcome
            finally:
                self.stopped.set()
                with self.lock:
                    self.lock.notify_all()
                self.runner.close()
                for slot in slots:
                    slot.join(10)

    def _slot(self, found: queue.Queue[Outcome | BaseException]) -> None:
        while taken := self._take():
            number, (student, slug) = taken
            started = time.monotonic()
            try:
                outcome = self._grade_one(number, student, slug)
            except BaseException as bug:
                found.put(bug)
                return
            seconds = time.monotonic() - started
            self.pace.took(slug, seconds)
            with self.lock:
                self.done += 1
                self.busy.remove(student)
                self.lock.notify_all()
            found.put(replace(outcome, seconds=round(seconds, 1)))

    def _take(self) -> tuple[int, tuple[str, str]] | None:
        """Return the next submission of a learner who is not being graded in another lab; None at the end."""
        with self.lock:
            self.lock.wait_for(lambda: self.stopped.is_set() or not self.todo or self._free())
            taken = None if self.stopped.is_set() else self._free()
            if not taken:
                return None
            self.todo.remove(taken)
            self.busy.add(taken[1][0])
            following = self._free()
        if following and wanted():
            self._prepare(*following[1])
        return taken

    def _free(self) -> tuple[int, tuple[str, str]] | None:
        return next((one for one in self.todo if one[1][0] not in self.busy), None)

    def _tell(self, at: tuple[str, str], number: int, doing: str) -> None:
        student, slug = at
        step = Step(student, slug, number, self.total, doing, self.done, self.pace.left())
        with self.telling:
            self.progress(step)

    def _grade_one(self, number: int, student: str, slug: str) -> Outcome:
        root, force = self.root, self.force

        def say(doing: str) -> None:
            self._tell((student, slug), number, doing)

        try:
            digest = admit(root / "submitted" / student / slug, slug)
        except Refused as why:
            return Outcome(student, slug, Standing.UNREADABLE, str(why))
        path = root / "autograded" / student / slug / f"{slug}.ipynb"
        again = "asked for" if force else why_again(path, digest)
        if not again and not self._recorded(slug, student, path):
            again, force = "the gradebook does not hold its grade", True
        if again:
            if fault := self._prepared(slug):
                return Outcome(student, slug, Standing.FAULT, fault)
            say(f"grading ({again})")
            lab, arguments = find_lab(slug), ["autograde", slug, f"--student={student}"]
            forced = [*arguments, "--force"]
            ran = self.runner.nbgrader(forced if force else arguments, say, self.limit, self.ahead.take(lab, student))
            self.ahead.done(lab, student)
            found = graded(path)
            if ran.code == 0 and found and any(one.observed == KILLED for one in found[1]):
                say("grading once more (its kernel was killed)")
                ran = self.runner.nbgrader(forced, say, self.limit, {LAST_TRY: "1"})
                found = graded(path)
            if ran.code != 0 or found is None or found[0] != digest:
                return Outcome(student, slug, *_failed(ran, self.limit), fresh=True)
        _, results, note = graded(path)
        if again or not complete(root / "feedback" / student / slug / f"{slug}.html", path):
            say("writing the feedback")
            ran = self.runner.nbgrader(["generate_feedback", slug, f"--student={student}", "--force"], say, self.limit)
            if ran.code != 0:
                note = f"graded, but the feedback could not be written: {ran.reason()}"
        note = f"{note} {_remark(root / 'submitted' / student / slug / f'{slug}.ipynb')}"
        try:
            score = retrying(lambda: score_of(root, slug, student))
        except SQLAlchemyError as fault:
            note, score = f"{note} The score could not be read: {explain(str(fault)) or fault}.", None
        return Outcome(student, slug, Standing.GRADED, _line(results, note), tuple(results), score, bool(again))

    def _prepare(self, student: str, slug: str) -> None:
        """Start the sandboxes of a submission that comes next, where it is going to be graded."""
        lab, work = find_lab(slug), self.root / "autograded" / student / slug
        with suppress(Refused, OSError):
            digest = admit(self.root / "submitted" / student / slug, slug)
            if lab.needs and (self.force or why_again(work / f"{slug}.ipynb", digest)):
                self.ahead.begin(lab, student, key(lab, student, work.resolve()))

    def _recorded(self, slug: str, student: str, path: Path) -> bool:
        """Tell whether the gradebook has what the graded notebook says: it may be an older copy, or a new one."""
        _, results, _ = graded(path)
        try:
            with self.preparing:  # the first one to open it may have to make it
                points = retrying(lambda: points_of(self.root, slug, student))
        except SQLAlchemyError:
            return True  # a gradebook that cannot be read is said where the score is read
        return all(points.get(one.name) == one.points for one in results if one.status is not Status.ERROR)

    def _prepared(self, slug: str) -> str:
        with self.preparing:
            if slug not in self.ready:
                self.ready[slug] = ready(self.root, slug)
            return self.ready[slug]


def students_of(root: Path, slug: str, students: Sequence[str] | None) -> list[str]:
    """Return who handed a lab in, or of whom it is asked, sorted."""
    if students is not None:
        return list(students)
    return sorted(folder.parent.name for folder in (root / "submitted").glob(f"*/{slug}"))


def _remark(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    if any(cell.source.strip() for cell in cells if cell.cell_type == "code"):
        return ""
    return "The notebook holds no code: ask the learner whether it is the right file."


def _failed(ran: Ran, limit: float) -> tuple[Standing, str]:
    if ran.code is None:
        return Standing.FAULT, f"not graded: still running after {limit:.0f} seconds, stopped; grade again"
    reason = ran.reason()
    if reason.startswith("unreadable"):
        return Standing.UNREADABLE, reason
    if ran.code == 0:
        return Standing.FAULT, f"not graded: nbgrader ran without our checks; nbgrader_config.py needs:\n{CONFIG}"
    if explain(ran.log):
        return Standing.FAULT, f"not graded: {reason}"
    return Standing.FAULT, f"not graded: {reason}; grade again, and report it if it comes back"


def _line(results: Sequence[Result], note: str) -> str:
    faults = [result for result in results if result.status is Status.ERROR]
    parts = [note.strip()] if note.strip() else []
    if faults:
        parts.append(f"{len(faults)} of {len(results)} checks could not be made: {faults[0].observed} {faults[0].hint}")
    return " ".join(parts)
