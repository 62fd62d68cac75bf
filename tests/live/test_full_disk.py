"""Grade on an engine whose disk is full: nobody gets a grade from it, and with room again a second run completes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from engines import second_engine

from autograder import versions
from autograder.checks import Status
from autograder.grading.grade import grade
from autograder.grading.sample import sample
from autograder.ground import engine

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SLUG = "lab1_dockerfile"
SIZE = 3 * 2**30  # bytes: the base image, and lab 1's image in two versions
LEFT = 40_000_000  # bytes that are left free: the base image's first layers fit, the packages do not


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A second engine, DOCKER_HOST's from now on, on a disk of its own; yield that disk."""
    base = engine.client().images.get(versions.PYTHON_IMAGE)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "shipyard-test", disk], check=True)
    try:
        with second_engine(tmp_path, disk / "engine") as address:
            docker.DockerClient(base_url=address).images.load(base.save(named=True))
            yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_full_disk_of_the_engine_costs_nobody_points_and_a_rerun_completes(small: Path, tmp_path: Path):
    root = sample(tmp_path / "class", slugs=[SLUG], learners=1)
    filler = small / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small).free - LEFT)

    (outcome,) = grade(root)
    assert {one.status for one in outcome.results} == {Status.ERROR}, outcome
    assert outcome.score in (None, 0)
    assert all("disk" in one.observed and "Make room" in one.hint for one in outcome.results), outcome.results
    assert "checks could not be made: The disk of the Docker engine is full" in outcome.line
    page = (root / "feedback" / outcome.student / SLUG / f"{SLUG}.html").read_text()
    assert "no verdict" in page
    assert "Traceback" not in "".join(one.observed + one.hint for one in outcome.results)

    filler.unlink()
    (outcome,) = grade(root)
    assert (outcome.points, outcome.fresh) == (outcome.max_points, True), outcome
    assert not next(iter(grade(root))).fresh
