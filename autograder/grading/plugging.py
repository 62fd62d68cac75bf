"""Configure nbgrader: which steps it takes, and with which limits."""

from __future__ import annotations

from typing import Any


def plug_in(c: Any) -> None:
    """Configure nbgrader to release and grade Shipyard's labs; `c` is what get_config() returns.

    Labs that are not ours keep nbgrader's own behaviour, so that a course may
    hold both. Call it once in nbgrader_config.py; settings after it win.

    >>> plug_in(get_config())  # doctest: +SKIP
    """
    from nbconvert.preprocessors import ClearMetadataPreprocessor
    from nbgrader import preprocessors as nb

    from autograder.grading.converting import install
    from autograder.grading.execute import ExecuteAndJudge
    from autograder.grading.feedback import harmless
    from autograder.grading.gradebook import scripts_on_path, wait_for_others
    from autograder.grading.restore import Restore
    from autograder.grading.save import SaveVerdicts
    from autograder.release.steps.stubs import Stubs

    scripts_on_path()
    wait_for_others()
    install()
    harmless(c)
    c.CourseDirectory.release_directory = "labs"
    c.GenerateAssignment.preprocessors = [
        nb.IncludeHeaderFooter, nb.LockCells, Stubs, nb.ClearOutput, nb.CheckCellMetadata, nb.ComputeChecksums,
        nb.SaveCells, nb.ClearHiddenTests, nb.ClearMarkScheme, nb.ComputeChecksums, nb.CheckCellMetadata,
    ]  # fmt: skip
    c.Autograde.sanitize_preprocessors = [
        Restore, nb.ClearOutput, nb.DeduplicateIds, nb.OverwriteKernelspec, nb.OverwriteCells, nb.CheckCellMetadata,
    ]  # fmt: skip
    c.Autograde.autograde_preprocessors = [
        ExecuteAndJudge, nb.IgnorePattern, ClearMetadataPreprocessor, nb.LimitOutput, SaveVerdicts,
        nb.AssignLatePenalties, nb.CheckCellMetadata,
    ]  # fmt: skip
    c.OverwriteCells.add_missing_cells = False  # Restore adds them: nbgrader's way stops at a deleted answer
    c.Execute.skip_cells_with_tag = ""  # a learner's own tag must not keep a cell from running
    c.Execute.timeout = 300  # seconds a cell: an image may have to be built
    c.Execute.iopub_timeout = 30
    c.LimitOutput.max_lines = 500
