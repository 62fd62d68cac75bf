"""Read a compiled pipeline: its steps, what flows between them, and under which conditions they run.

ir = read(work / "pipeline.yaml")
ir.step("train").artifacts["rows"].sources        # {Source("validate", "checked")}
ir.step("deploy").conditions[0].depends           # {"evaluate", "score-serving"}

Everything is read by the specification's own protobuf (kfp.pipeline_spec), so
that what a learner's tool writes in another order or another syntax is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as spec

from autograder.facts import NotThere
from autograder.probes.words import cut, listed

LARGEST = 2_000_000  # bytes of a compiled pipeline
CHANNEL = re.compile(r"inputs\.parameter_values\['([^']+)'\]")
AFTER_ALL = spec.PipelineTaskSpec.TriggerPolicy.ALL_UPSTREAM_TASKS_COMPLETED


@dataclass(frozen=True)
class Source:
    """Say where a value comes from: the output of a step, or a parameter of the pipeline (step "")."""

    step: str
    key: str


@dataclass(frozen=True)
class Input:
    """Hold one input of a step: what it may come from, or the constant that it is."""

    type: str  # "system.Dataset", "STRING", …
    sources: frozenset[Source] = frozenset()
    constant: Any = None


@dataclass(frozen=True)
class Condition:
    """Hold one condition: its text, and the values in it by the names that the text has for them."""

    text: str
    values: dict[str, Input] = field(hash=False)

    @property
    def depends(self) -> frozenset[str]:
        """The steps whose outputs stand in it."""
        return frozenset(source.step for value in self.values.values() for source in value.sources if source.step)


@dataclass(frozen=True)
class Step:
    """Tell about one step that runs a container."""

    name: str  # of the task, such as "score-serving"
    function: str  # of the component, such as "score_serving"; "" where it is no function
    image: str
    command: tuple[str, ...]  # command and arguments, with placeholders
    parameters: dict[str, Input] = field(hash=False)
    artifacts: dict[str, Input] = field(hash=False)
    gives: dict[str, str] = field(hash=False)  # output -> type
    after: frozenset[str]  # steps that have to be over before it starts, in its own scope and around it
    conditions: tuple[Condition, ...]
    retries: int
    cached: bool
    exit_of: frozenset[str]  # the steps after whose end, good or bad, it runs

    @property
    def needs(self) -> frozenset[str]:
        """The steps whose outputs go into it."""
        flows = [*self.artifacts.values(), *self.parameters.values()]
        return frozenset(source.step for flow in flows for source in flow.sources if source.step)


@dataclass(frozen=True)
class Pipeline:
    """Tell about one compiled pipeline."""

    spec: spec.PipelineSpec

    @property
    def name(self) -> str:
        """The name that `@dsl.pipeline` gives it."""
        return self.spec.pipeline_info.name

    @property
    def defaults(self) -> dict[str, Any]:
        """The pipeline's parameters, each with its default or None."""
        known = self.spec.root.input_definitions.parameters
        return {name: json_format.MessageToDict(one.default_value) if one.HasField("default_value") else None
                for name, one in known.items()}  # fmt: skip

    @cached_property
    def steps(self) -> list[Step]:
        """The steps, in the order of the file, those of nested groups too."""
        scope = {name: frozenset({Source("", name)}) for name in self.spec.root.input_definitions.parameters}
        return list(_steps(self.spec, self.spec.root, scope, {}, (), frozenset()))

    def step(self, name: str) -> Step:
        """Return the step of that function or task. Raises NotThere, naming those there are."""
        for one in self.steps:
            if name in (one.function, one.name) or one.name == name.replace("_", "-"):
                return one
        raise NotThere(
            f"The pipeline has no step {name}; there are: {listed([step.name for step in self.steps])}.",
            "A step is there once its component is called inside the function under @dsl.pipeline.",
        )

    def before(self, name: str) -> frozenset[str]:
        """Return the names of all steps whose outputs, directly or through others, go into a step."""
        found: set[str] = set()
        ahead = {self.step(name).name}
        while ahead:
            needed = set().union(*(self.step(one).needs for one in ahead)) - found
            found |= needed
            ahead = needed
        return frozenset(found)


def read(path: Path) -> Pipeline:
    """Read a compiled pipeline. Raises NotThere where there is none, or what is there is none."""
    hint = "Run the cell that compiles the pipeline again; it writes this file."
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST:
            raise NotThere(f"{path.name} is no compiled pipeline: it is a link, or far too large.", hint)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise NotThere(f"There is no compiled pipeline {path.name}.", hint) from None
    try:
        found = next(one for one in yaml.safe_load_all(text) if isinstance(one, dict))
    except (yaml.YAMLError, StopIteration, RecursionError) as error:
        raise NotThere(f"{path.name} is no compiled pipeline: {cut(str(error))}", hint) from None
    return parse(found, path.name, hint)


def parse(found: Any, name: str, hint: str = "") -> Pipeline:
    """Return a pipeline from its compiled form as JSON has it. Raises NotThere where `name` is none."""
    try:
        pipeline = Pipeline(json_format.ParseDict(found, spec.PipelineSpec(), ignore_unknown_fields=True))
    except (json_format.ParseError, RecursionError, TypeError, AttributeError) as error:
        raise NotThere(f"{name} is no compiled pipeline: {cut(str(error))}", hint) from None
    try:
        if pipeline.steps:
            return pipeline
    except RecursionError:  # groups that hold each other: no compiler writes that
        pass
    raise NotThere(f"{name} holds a pipeline without steps.", hint)


def _steps(
    whole: spec.PipelineSpec,
    component: spec.ComponentSpec,
    parameters: dict[str, frozenset[Source]],
    artifacts: dict[str, frozenset[Source]],
    conditions: tuple[Condition, ...],
    after: frozenset[str],
) -> Iterator[Step]:
    """Yield the steps of a group, whose own inputs come from `parameters` and `artifacts`."""
    executors = whole.deployment_spec.fields["executors"].struct_value.fields
    tasks = component.dag.tasks
    for name, task in tasks.items():
        its = whole.components[task.component_ref.name]
        ins = {key: _parameter(one, its, key, parameters, whole, tasks) for key, one in task.inputs.parameters.items()}
        arts = {key: _artifact(one, its, key, artifacts, whole, tasks) for key, one in task.inputs.artifacts.items()}
        around, ahead = conditions, after | frozenset(_inner(whole, tasks, task.dependent_tasks))
        if text := task.trigger_policy.condition:
            around = (*conditions, Condition(text, {key: ins[key] for key in CHANNEL.findall(text) if key in ins}))
        if its.WhichOneof("implementation") == "dag":
            yield from _steps(whole, its, {key: one.sources for key, one in ins.items()},
                              {key: one.sources for key, one in arts.items()}, around, ahead)  # fmt: skip
            continue
        container = json_format.MessageToDict(executors[its.executor_label].struct_value.fields["container"])
        container = container if isinstance(container, dict) else {}
        args = [str(one) for one in container.get("args") or []]
        function = args[args.index("--function_to_execute") + 1] if "--function_to_execute" in args[:-1] else ""
        ends = task.trigger_policy.strategy == AFTER_ALL
        gives = {key: one.artifact_type.schema_title for key, one in its.output_definitions.artifacts.items()}
        gives |= {key: spec.ParameterType.ParameterTypeEnum.Name(one.parameter_type)
                  for key, one in its.output_definitions.parameters.items()}  # fmt: skip
        yield Step(
            name, function, str(container.get("image", "")), (*map(str, container.get("command") or []), *args),
            ins, arts, gives, ahead, around, task.retry_policy.max_retry_count, task.caching_options.enable_cache,
            frozenset(_inner(whole, tasks, task.dependent_tasks)) if ends else frozenset(),
        )  # fmt: skip


def _inner(whole: spec.PipelineSpec, tasks: Any, names: Any) -> Iterator[str]:
    """Yield the steps that tasks stand for: themselves, or all that are in a group."""
    for name in names:
        component = whole.components[tasks[name].component_ref.name]
        if component.WhichOneof("implementation") == "dag":
            yield from _inner(whole, component.dag.tasks, component.dag.tasks)
        else:
            yield name


def _parameter(one: Any, its: spec.ComponentSpec, key: str, scope: dict, whole: spec.PipelineSpec, tasks: Any) -> Input:
    kind = spec.ParameterType.ParameterTypeEnum.Name(its.input_definitions.parameters[key].parameter_type)
    match one.WhichOneof("kind"):
        case "task_output_parameter":
            made = one.task_output_parameter
            return Input(kind, _made(whole, tasks, made.producer_task, made.output_parameter_key, "parameters"))
        case "component_input_parameter":
            return Input(kind, scope.get(one.component_input_parameter, frozenset()))
        case "runtime_value":
            return Input(kind, constant=json_format.MessageToDict(one.runtime_value.constant))
    return Input(kind)


def _artifact(one: Any, its: spec.ComponentSpec, key: str, scope: dict, whole: spec.PipelineSpec, tasks: Any) -> Input:
    kind = its.input_definitions.artifacts[key].artifact_type.schema_title
    if one.WhichOneof("kind") == "task_output_artifact":
        made = one.task_output_artifact
        return Input(kind, _made(whole, tasks, made.producer_task, made.output_artifact_key, "artifacts"))
    return Input(kind, scope.get(one.component_input_artifact, frozenset()))


def _made(whole: spec.PipelineSpec, tasks: Any, producer: str, key: str, what: str) -> frozenset[Source]:
    """Return where an output comes from; that of a group comes from steps in it."""
    component = whole.components[tasks[producer].component_ref.name]
    if component.WhichOneof("implementation") != "dag":
        return frozenset({Source(producer, key)})
    output = getattr(component.dag.outputs, what)[key]
    if what == "artifacts":
        chosen = output.artifact_selectors
        pairs = [(one.producer_subtask, one.output_artifact_key) for one in chosen]
    else:
        chosen = [output.value_from_parameter, *output.value_from_oneof.parameter_selectors]
        pairs = [(one.producer_subtask, one.output_parameter_key) for one in chosen if one.producer_subtask]
    inner = component.dag.tasks
    return frozenset().union(*(_made(whole, inner, task, name, what) for task, name in pairs))
