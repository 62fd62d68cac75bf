"""Compiled pipelines: what flows between steps, conditions, groups; how they are drawn; what is no pipeline."""

from pathlib import Path

import pytest
from kfp import compiler, dsl

from autograder.facts import NotThere
from autograder.notebook.dag import Dag
from autograder.probes.pipeline import Pipeline, Source, read

IMAGE = "localhost:5001/steps:v1"


@dsl.component(base_image=IMAGE)
def fetch(day: str, rows: dsl.Output[dsl.Dataset]):
    """Fetch rows."""


@dsl.component(base_image=IMAGE)
def learn(rows: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model]) -> float:
    """Learn from rows."""
    return 1.0


@dsl.component(base_image=IMAGE)
def ship(model: dsl.Input[dsl.Model]):
    """Ship a model."""


@dsl.component(base_image=IMAGE)
def tell(status: dsl.PipelineTaskFinalStatus):
    """Tell how it ended."""


@dsl.pipeline(name="line")
def line(day: str = "monday"):
    with dsl.ExitHandler(tell()):
        fetched = fetch(day=day).set_retry(num_retries=3)
        learned = learn(rows=fetched.outputs["rows"]).set_caching_options(False)
        with dsl.If(learned.outputs["Output"] > 0.5):
            ship(model=learned.outputs["model"])


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.Compiler().compile(line, str(file))
    return file


@pytest.fixture
def pipeline(path) -> Pipeline:
    return read(path)


def test_steps_are_found_in_whatever_group_they_are(pipeline):
    assert {step.function for step in pipeline.steps} == {"fetch", "learn", "ship", "tell"}
    assert pipeline.name == "line"
    assert pipeline.defaults == {"day": "monday"}
    assert {step.image for step in pipeline.steps} == {IMAGE}


def test_what_flows_is_followed_through_groups_to_the_step_that_made_it(pipeline):
    assert pipeline.step("ship").artifacts["model"].sources == {Source("learn", "model")}
    assert pipeline.step("learn").artifacts["rows"].sources == {Source("fetch", "rows")}
    assert pipeline.step("fetch").parameters["day"].sources == {Source("", "day")}
    assert pipeline.before("ship") == {"learn", "fetch"}


def test_condition_retries_cache_and_exit_handler_are_told(pipeline):
    assert [one.depends for one in pipeline.step("ship").conditions] == [frozenset({"learn"})]
    assert not pipeline.step("learn").conditions
    assert (pipeline.step("fetch").retries, pipeline.step("learn").retries) == (3, 0)
    assert (pipeline.step("fetch").cached, pipeline.step("learn").cached) == (True, False)
    assert pipeline.step("tell").exit_of == {"fetch", "learn", "ship"}
    assert not pipeline.step("ship").exit_of


def test_types_of_outputs_are_those_of_the_signature(pipeline):
    assert pipeline.step("learn").gives == {"model": "system.Model", "Output": "NUMBER_DOUBLE"}


def test_a_step_that_is_not_there_is_told_with_those_that_are(pipeline):
    with pytest.raises(NotThere, match=r"no step deploy; there are: .*fetch"):
        pipeline.step("deploy")


@pytest.mark.parametrize("text", ["", "just words", "a: [1", "root: {dag: {}}", "[1, 2]", "root: 7"])
def test_what_is_no_pipeline_is_refused_in_a_sentence(text, tmp_path):
    file = tmp_path / "pipeline.yaml"
    file.write_text(text)
    with pytest.raises(NotThere, match=r"pipeline\.yaml"):
        read(file)


def test_no_file_and_a_link_are_refused(tmp_path, path):
    with pytest.raises(NotThere, match="There is no compiled pipeline"):
        read(tmp_path / "pipeline.yaml")
    (tmp_path / "link.yaml").symlink_to(path)
    with pytest.raises(NotThere, match="link"):
        read(tmp_path / "link.yaml")


def test_picture_and_text_show_every_step_and_the_condition(path):
    picture, text = Dag(path)._repr_html_(), repr(Dag(path))
    for step in ("fetch", "learn", "ship", "tell"):
        assert step in picture
        assert step in text
    assert "learn > 0.5" in text
    assert "ship <- learn" in text
    assert "<script" not in picture


def test_picture_of_no_pipeline_is_a_sentence(tmp_path):
    assert "no compiled pipeline" in Dag(tmp_path / "none.yaml")._repr_html_()
