"""Run a submission's notebook in its workplace, then judge what it made."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from jupyter_core.utils import run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade, is_solution
from traitlets import Integer

import autograder
from autograder.checks import Result
from autograder.facts import CannotCheck, Place
from autograder.grading.admission import cut_links
from autograder.grading.disturbed import Watch
from autograder.grading.judging import Graded, graded_cells, judge_cells, no_verdicts
from autograder.grading.kernel import LAST_TRY, OwnSockets, must_be_its_own
from autograder.grading.verdicts import KEY, as_output
from autograder.grading.workplace import recording, workplace
from autograder.ground.step import tools
from autograder.labs import Lab, lab_of

SHOWN = {"stream", "display_data", "update_display_data", "execute_result", "error"}


class ExecuteAndJudge(Execute):
    """Execute a notebook, then set the output of each graded cell to the verdict of this process.

    Points never come from the learner's kernel: its graded cells are not even
    run. Assignments that are not ours are executed as nbgrader does.
    """

    budget = Integer(1500, help="Seconds that all cells of one notebook may take together.").tag(config=True)
    output_limit = Integer(1_000_000, help="Characters of output that are kept of one cell.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict, km=None) -> tuple[NotebookNode, dict]:
        """Run and judge one notebook; whatever goes wrong on our side becomes ERROR, never a grade."""
        self._ours, here = False, resources["nbgrader"]
        lab = lab_of(here["assignment"])
        if lab is None:
            return super().preprocess(nb, resources, km)
        self._ours, self._ended = True, ""
        self._used: dict[int, int] = {}
        cells = graded_cells(here["db_url"], here["assignment"], here["notebook"])
        results = self._verdicts(lab, nb, resources, cells)
        verdict = {result.name: result for result in results}
        for cell in nb.cells:
            if is_grade(cell) and not is_solution(cell) and cell.metadata.nbgrader.grade_id in verdict:
                cell.outputs = [as_output(verdict[cell.metadata.nbgrader.grade_id])]
        resources = {**resources, KEY: {**resources.get(KEY, {}), "results": results, "note": self._ended}}
        return nb, resources

    def _verdicts(self, lab: Lab, nb: NotebookNode, resources: dict, cells: list[Graded]) -> list[Result]:
        work, student = Path(resources["metadata"]["path"]).resolve(), resources["nbgrader"]["student"]
        results: list[Result] = []
        try:
            digest = resources.get(KEY, {}).get("digest", "")
            with workplace(lab, student, work, digest, self._say) as (place, environment, self._sandbox):
                watch = Watch(lab)
                _start(lab, place)
                self._environment = {**_kernel_environment(), **environment}
                with recording(lab, place, self._sandbox) as place:
                    self._run(nb, resources)
                for what in self._sandbox.take_back() if self._sandbox else ():
                    self._ended += f" Of what the notebook made, this was left out: {what}."
                for name in cut_links(work):
                    self._ended += f" The notebook made {name}, a link out of its folder; it was removed."
                results = judge_cells(lab, place, cells, self._say)
                if disturbed := watch.fault(results) or (self._sandbox and self._sandbox.fault()):
                    results = no_verdicts(lab, cells, disturbed)
        except CannotCheck as fault:
            return results or no_verdicts(lab, cells, fault)
        except Exception as bug:
            fault = CannotCheck(f"The grader itself failed: {type(bug).__name__}: {bug}", "Please report it.")
            self.log.error("Shipyard: %s", fault.cause, exc_info=True)
            return results or no_verdicts(lab, cells, fault)
        return results

    def _run(self, nb: NotebookNode, resources: dict) -> None:
        """Run the cells; a kernel that dies or hangs ends the run, not the judging."""
        self._say("running the notebook")
        self._started, self._deadline = False, time.monotonic() + self.budget
        limit = self.timeout
        self.timeout_func = lambda cell: max(1, min(limit or self.budget, int(self._deadline - time.monotonic())))
        try:
            super().preprocess(nb, resources)
        except Exception as error:
            if self._started:
                raise
            cause = f"The notebook's kernel did not start: {error}"
            fix = "See whether `jupyter kernelspec list` has the lab's kernel, and whether a file in the submission "
            fix += "has the name of a Python module (random.py hides Python's own)."
            raise CannotCheck(cause, fix) from None

    @contextmanager
    def setup_kernel(self, **kwargs):
        """Start the kernel in the workplace's environment; when it ends, end what it left running."""
        if not self._ours:
            with super().setup_kernel(**kwargs):
                yield
            return
        group = None
        self.kernel_manager_class = OwnSockets
        if self._sandbox:
            self.kernel_manager_class = self._sandbox.kernel_manager
            self.shutdown_kernel = "immediate"
        try:
            with super().setup_kernel(env=self._environment, **kwargs):
                self._started = True
                group = getattr(self.km.provisioner, "pgid", None)
                yield
        finally:
            if group and group != os.getpgrp():
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int):
        """Run one cell, unless it is graded or the run has ended."""
        if not self._ours:
            return super().preprocess_cell(cell, resources, index)
        if self._ended or (is_grade(cell) and not is_solution(cell)):
            return cell, resources
        try:
            if time.monotonic() > self._deadline:
                raise _Ended(f"The notebook ran for longer than {self.budget} seconds.")
            return super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            must_be_its_own(run_sync(self.km.provisioner.poll)())
            self._end(cell, "The kernel stopped while this cell ran (out of memory, or the cell ended it).")
        except CellTimeoutError:
            self.shutdown_kernel = "immediate"
            self._end(cell, "This cell ran too long and could not be interrupted.")
        except _Ended as why:
            self._end(cell, str(why))
        return cell, resources

    def process_message(self, msg: dict, cell: NotebookNode, cell_index: int):
        """Keep a cell's output below its limit: an endless loop must not fill the disk."""
        if getattr(self, "_ours", False) and msg["msg_type"] in SHOWN:
            used = self._used.get(cell_index, 0)
            size = len(json.dumps(msg["content"], default=str))
            self._used[cell_index] = used + size
            if used + size > self.output_limit:
                if used <= self.output_limit:
                    text = f"\n[The grader keeps {self.output_limit} characters of a cell's output; the rest is cut.]\n"
                    cell.outputs.append(new_output("stream", name="stdout", text=text))
                return None
        return super().process_message(msg, cell, cell_index)

    def _end(self, cell: NotebookNode, why: str) -> None:
        self._ended = f"{why} The cells after it were not run."
        if cell.cell_type == "code":
            cell.outputs = [*cell.get("outputs", []), new_output("stream", name="stderr", text=self._ended + "\n")]
        self._say(self._ended)

    def _say(self, text: str) -> None:
        self.log.info("Shipyard: %s", text)


class _Ended(Exception):
    """Say that no further cell is run."""


def _start(lab: Lab, place: Place) -> None:
    """Bring a place into the lab's start state, where the lab has one."""
    if begin := getattr(lab.seen, "start", None):
        try:
            begin(place)
        except CannotCheck:
            raise
        except Exception as error:
            cause = f"The lab's start state could not be made: {error}"
            raise CannotCheck(cause) from error


def _kernel_environment() -> dict[str, str]:
    hidden = ("SHIPYARD_COURSE", "SHIPYARD_CONTEXT", LAST_TRY)
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    home = str(Path(autograder.__file__).resolve().parent.parent)
    path = os.pathsep.join(one for one in (home, environment.get("PYTHONPATH")) if one)
    commands = os.pathsep.join([str(tools()), environment.get("PATH", os.defpath)])
    return {**environment, "PATH": commands, "PYTHONPATH": path, "SHIPYARD_GRADING": "1"}
