"""Release labs and tell whether the committed ones are what a release gives."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from autograder.labs import course_root, find_lab, syllabus
from autograder.release.problems import Problem, ReleaseError, StaleGradebook
from autograder.release.source import write_source


def release(slug: str, root: Path | None = None) -> Path:
    """Write source/<slug>/ and labs/<slug>/ below a course's folder, and return the latter.

    nbgrader's own generate_assignment does the second part, so the gradebook in
    `root` knows the lab afterwards. Two releases give the same bytes. Raises
    KeyError for an unknown slug, ReleaseError for mistakes in the lab's source
    and where the gradebook holds submissions of a lab with other cells.

    >>> release("lab1_dockerfile")  # doctest: +SKIP
    PosixPath('labs/lab1_dockerfile')
    """
    root = (root or course_root()).resolve()
    lab = find_lab(slug)
    write_source(lab, root)
    said = _generate(slug, root)
    if not said["success"]:
        raise _why(lab.folder / "lab.md", slug, said.get("log", "") + said.get("error", ""))
    return root / "labs" / slug


def release_all(root: Path | None = None) -> list[Path]:
    """Release every lab of the syllabus; see release."""
    return [release(lab.slug, root) for lab in syllabus()]


def drift(root: Path | None = None) -> list[str]:
    """Return the files in labs/ that a release would change, add or remove; an empty list is good."""
    committed = (root or course_root()) / "labs"
    with tempfile.TemporaryDirectory(prefix="shipyard-release-") as fresh:
        release_all(Path(fresh))
        now, then = _contents(Path(fresh) / "labs"), _contents(committed)
    return sorted(f"labs/{name}" for name in now.keys() | then.keys() if now.get(name) != then.get(name))


def _contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    names = ((path.relative_to(folder), path) for path in found)
    return {
        name.as_posix(): path.read_bytes()
        for name, path in names
        if not {"__pycache__", ".ipynb_checkpoints"} & set(name.parts)
    }


def _generate(slug: str, root: Path) -> dict:
    from nbgrader.converters.generate_assignment import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.utils import capture_log
    from traitlets.config import Config

    from autograder.grading import plug_in
    from autograder.grading.gradebook import address, course_id

    config = Config()
    plug_in(config)
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.db_url = address(root)
    config.CourseDirectory.course_id = course_id(root)
    config.CourseDirectory.assignment_id = slug
    return capture_log(GenerateAssignment(CourseDirectory(config=config), config=config, force=True))


def _why(path: Path, slug: str, log: str) -> ReleaseError:
    if "there are submissions associated" in log.replace("\n", " ") or "because there" in log:
        what = f"The gradebook holds submissions of {slug}, and its answers or checks have changed since."
        fix = "Grade them with the version they were handed out with, or put gradebook.db aside and release again."
        return StaleGradebook([Problem(path, 0, what, fix)])
    errors = re.findall(r"^\s*(?:[\w.]*(?:Error|Exception)): .+$", log, re.MULTILINE)
    said = [line.strip() for line in errors if "NbGraderException" not in line] or log.strip().splitlines()
    last = said[-1] if said else "no reason given"
    problem = Problem(path, 0, f"nbgrader could not release {slug}: {last}", "Correct that and release again.")
    return ReleaseError([problem])
