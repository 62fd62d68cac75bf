"""Submitting to a Kubeflow server and following the run, with kfp's own client against a stand-in of its API."""

import pytest
from kfp import compiler, dsl
from kfp_server_api import V2beta1Run
from kfp_stand_in import stand_in

from autograder.checks import Status, judge
from autograder.facts import CannotCheck, NotThere, Place
from autograder.labs import find_lab
from autograder.notebook.kfpserver import submit
from autograder.probes.kfpserver import of, server_run

STEPS = {"load": "SUCCEEDED", "train": "SUCCEEDED", "deploy": "SKIPPED"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    @dsl.component(base_image="steps:v1")
    def load():
        pass

    @dsl.pipeline(name="digits")
    def digits(batch: str = "monday"):
        load()

    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(digits, str(path))
    return path


def test_the_compiled_pipeline_and_its_arguments_are_handed_in(package, monkeypatch, capsys):
    with stand_in(STEPS) as (address, server):
        monkeypatch.setenv("KFP_ENDPOINT", address)
        assert submit(package, {"batch": "tuesday"}, pause=0.01) == "r-1"
    (sent,) = server.sent
    assert sent["pipeline_spec"]["pipelineInfo"]["name"] == "digits"
    assert sent["runtime_config"]["parameters"] == {"batch": "tuesday"}
    assert "Run r-1" in capsys.readouterr().out


@pytest.mark.parametrize(("end", "passed"), [("SUCCEEDED", True), ("FAILED", False)])
def test_lab_5_is_judged_by_what_the_server_tells(end, passed, package, monkeypatch, tmp_path):
    lab = find_lab("lab5_pipeline")
    check = next(one for one in lab.checks if one.name == "ran_in_containers")
    steps = ("load", "validate", "train", "evaluate", "score-serving", "deploy", "report")
    with stand_in(dict.fromkeys(steps, "SUCCEEDED"), end) as (address, _):
        monkeypatch.setenv("KFP_ENDPOINT", address)
        submit(package, {"batch": "tuesday"}, pause=0.01)
        result = judge(check, lab.observe(Place(work=tmp_path)))
    assert (result.status is Status.PASS) is passed
    assert f"The run r-1 is {end} on the server" in result.observed


def test_a_run_of_another_pipeline_than_the_learners_counts_for_nothing(package, monkeypatch, tmp_path):
    lab = find_lab("lab5_pipeline")
    check = next(one for one in lab.checks if one.name == "ran_in_containers")
    steps = ("load", "validate", "train", "evaluate", "score-serving", "deploy", "report")
    with stand_in(dict.fromkeys(steps, "SUCCEEDED")) as (address, _):
        monkeypatch.setenv("KFP_ENDPOINT", address)
        submit(package, {}, pause=0.01)
        package.write_text(package.read_text().replace("steps:v1", "steps:v2"))
        result = judge(check, lab.observe(Place(work=tmp_path)))
    assert result.status is Status.FAIL
    assert "another pipeline than pipeline.yaml holds" in result.observed


def test_a_pipeline_is_found_beside_what_only_kubernetes_needs():
    run = V2beta1Run(run_id="r-1", pipeline_spec={"pipeline_spec": {"root": {}}, "platform_spec": {"platforms": {}}})
    assert of(run).compiled == {"root": {}}


def test_the_run_is_followed_until_it_is_over(package, monkeypatch):
    with stand_in(STEPS) as (address, server):
        monkeypatch.setenv("KFP_ENDPOINT", address)
        submit(package, {}, pause=0.01)
        assert server.looks < 0
        seen = server_run("r-1")
    assert (seen.state, seen.over) == ("SUCCEEDED", True)
    assert {name: step.state for name, step in seen.steps.items()} == STEPS
    assert seen.steps["train"].artifacts == ("model",)


def test_a_run_that_failed_is_told_as_failed(package, monkeypatch):
    with stand_in({"load": "FAILED"}, "FAILED") as (address, _):
        monkeypatch.setenv("KFP_ENDPOINT", address)
        submit(package, {}, pause=0.01)
        assert server_run("r-1").state == "FAILED"


def test_a_run_that_the_server_does_not_know_is_the_learners_and_no_server_is_ours(monkeypatch):
    monkeypatch.delenv("KFP_ENDPOINT", raising=False)
    with pytest.raises(CannotCheck, match="No Kubeflow Pipelines server is named"):
        server_run("r-1")
    with stand_in(STEPS) as (address, _), pytest.raises(NotThere, match="knows no run"):
        server_run("r-9", address)


def test_without_a_server_a_learner_is_told_that_nothing_is_missing(package, monkeypatch, capsys):
    monkeypatch.delenv("KFP_ENDPOINT", raising=False)
    assert submit(package, {}) is None
    assert "Nothing is missing" in capsys.readouterr().out


def test_a_server_that_is_not_there_gives_a_sentence_and_no_traceback(package, monkeypatch, capsys):
    monkeypatch.setenv("KFP_ENDPOINT", "http://127.0.0.1:9")
    assert submit(package, {}) is None
    assert "did not take the run" in capsys.readouterr().out
