"""Runs of a pipeline told apart by their containers: steps, jobs, artifacts, and files that are out of bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autograder.facts import NotThere
from autograder.notebook.figures import Bars, Confusion
from autograder.probes.events import Ran
from autograder.probes.runs import Runs


def ran(work: Path, run: str, step: str, job: str, code: int | None = 0, moment: float = 1.0) -> Ran:
    """Return a container as the recorder tells of it: its folder is mounted where it lies."""
    task = f"{work}/runs/{job}/{step}"
    given = {
        "inputs": {"parameterValues": {"batch": run}},
        "outputs": {
            "artifacts": {"model": {"artifacts": [{"name": "model", "uri": f"{task}/model"}]}},
            "outputFile": f"{task}/executor_output.json",
        },
    }
    command = ("sh", "-c", "…", "--executor_input", json.dumps(given), "--function_to_execute", step)
    return Ran(f"{run}-{step}-{moment}", "steps:v1", "sha256:1", command, {"shipyard.run": run},
               {f"{work}/runs": "runs"}, moment, moment, moment + 1, code)  # fmt: skip


def test_steps_of_runs_are_told_apart(tmp_path):
    runs = Runs([ran(tmp_path, "monday", "train", "job-1"), ran(tmp_path, "tuesday", "train", "job-2", 1)], tmp_path)
    assert runs.names == ["monday", "tuesday"]
    assert runs["monday"].last("train").parameters == {"batch": "monday"}
    assert runs["tuesday"].last("train") is None
    assert [one.ok for one in runs["tuesday"].of("train")] == [False]
    assert runs["friday"].steps == []


def test_a_cell_that_was_run_again_makes_a_new_job(tmp_path):
    first, second = (ran(tmp_path, "monday", "train", f"job-{n}", moment=n) for n in (1, 2))
    runs = Runs([first, second], tmp_path)
    assert [one.job for one in runs["monday"].attempts] == ["job-1", "job-2"]
    assert [one.job for one in runs["monday"].newest.attempts] == ["job-2"]


def test_artifacts_are_read_from_the_folder_of_the_work(tmp_path):
    folder = tmp_path / "runs" / "job-1" / "train"
    folder.mkdir(parents=True)
    (folder / "model").write_bytes(b"a model")
    told = {
        "artifacts": {"model": {"artifacts": [{"metadata": {"accuracy": 0.5}}]}},
        "parameterValues": {"Output": 0.5},
    }
    (folder / "executor_output.json").write_text(json.dumps(told))
    seen = Runs([ran(tmp_path, "monday", "train", "job-1")], tmp_path)["monday"].last("train")
    assert seen.output("model") == b"a model"
    assert seen.metadata("model") == {"accuracy": 0.5}
    assert seen.told["parameterValues"] == {"Output": 0.5}


def test_work_that_was_moved_since_is_found_all_the_same(tmp_path):
    inside = Path("/work")
    folder = tmp_path / "runs" / "job-1" / "train"
    folder.mkdir(parents=True)
    (folder / "model").write_bytes(b"a model")
    assert (
        Runs([ran(inside, "monday", "train", "job-1")], tmp_path)["monday"].last("train").output("model") == b"a model"
    )


@pytest.mark.parametrize(
    "uri", ["/etc/passwd", "/work/runs/../../etc/passwd", "/work/runs/link", "", "s3://bucket/model"]
)
def test_files_outside_of_the_work_are_not_read(uri, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "link").symlink_to("/etc/passwd")
    one = ran(Path("/work"), "monday", "train", "job-1")
    command = tuple(word.replace("/work/runs/job-1/train/model", uri) for word in one.command)
    changed = Ran(one.id, one.image, one.image_id, command, one.labels, one.mounts, 1.0, 1.0, 2.0, 0)
    with pytest.raises(NotThere):
        Runs([changed], tmp_path)["monday"].last("train").output("model")


def test_a_command_that_no_runner_wrote_is_no_step(tmp_path):
    odd = Ran("1", "x", "sha256:1", ("sleep", "1", "--executor_input"), {"shipyard.run": "monday"}, {"/w": "."})
    run = Runs([odd], tmp_path)["monday"]
    assert (run.attempts[0].step, run.attempts[0].given, run.attempts[0].job) == ("", {}, "")


def test_figures_have_a_text_and_a_picture():
    logged = {
        "annotationSpecs": [{"displayName": "a"}, {"displayName": "<b>"}],
        "rows": [{"row": [3, 1]}, {"row": [0, 4]}],
    }
    assert "3    1" in repr(Confusion(logged))
    assert "&lt;b&gt;" in Confusion(logged)._repr_html_()
    assert "0.500" in repr(Bars({"monday": 0.5}))
    assert "width:50.0%" in Bars({"monday": 0.5})._repr_html_()
