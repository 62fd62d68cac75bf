"""Judge lab 5's pipeline as it was compiled: steps, data flow, conditions. checks_runs.py judges its runs."""

from __future__ import annotations

from autograder.checks import Finding, check
from autograder.probes.pipeline import Source, Step
from autograder.probes.words import cut, listed

from .seen import STEPS, Seen, given


@check(
    "compiles",
    points=1,
    expects="pipeline.yaml holds a compiled pipeline with the name digits, a parameter batch, and the steps load, "
    "validate, train, evaluate, score_serving, deploy and report, all on the image localhost:5001/pipeline-base:v1.",
    hint='Call each component inside the function under @dsl.pipeline(name="digits"), then compile again.',
    chapter="kubeflow#pipelines",
)
def compiles(seen: Seen) -> Finding:
    there = {step.function for step in seen.pipeline.steps}
    if missing := [step for step in STEPS if step not in there]:
        return Finding(False, f"The pipeline has no step {', '.join(missing)}; it has: {listed(sorted(there))}.")
    if seen.pipeline.name != "digits" or "batch" not in seen.pipeline.defaults:
        return Finding(False, f"The pipeline's name is {cut(seen.pipeline.name, 40)}, its parameters are "
                              f"{listed(sorted(seen.pipeline.defaults))}.")  # fmt: skip
    image = "localhost:5001/pipeline-base:v1"
    if others := sorted({f"{one.name}: {one.image}" for one in seen.pipeline.steps if one.image != image}):
        return Finding(False, f"Not all steps have the image {image}: {listed(others)}.", "Set base_image=IMAGE.")
    return Finding(True, f"It has {len(seen.pipeline.steps)} steps, all on {image}.")


@check(
    "types_are_said",
    points=1,
    expects="validate gives a Dataset, train gives a Model, and evaluate gives Metrics, ClassificationMetrics and a "
    "float.",
    hint="An output artifact is a parameter of the component, such as model: dsl.Output[dsl.Model].",
    chapter="kubeflow#artifacts",
)
def types_are_said(seen: Seen) -> Finding:
    wanted = {
        "validate": {"system.Dataset"},
        "train": {"system.Model"},
        "evaluate": {"system.Metrics", "system.ClassificationMetrics", "NUMBER_DOUBLE"},
    }
    lacking = [f"{step} gives no {kind.removeprefix('system.').replace('NUMBER_DOUBLE', 'float')}"
               for step, kinds in wanted.items() for kind in sorted(kinds)
               if kind not in seen.pipeline.step(step).gives.values()]  # fmt: skip
    if lacking:
        return Finding(False, f"{'; '.join(lacking)}.")
    return Finding(True, "Datasets, model and metrics have their types.")


@check(
    "data_flows",
    points=2,
    expects="load's rows go to validate, what validate gives goes to train (and nothing else does), and evaluate gets "
    "train's model and load's held-out rows (test); deploy gets that model and evaluate's accuracy.",
    hint="Follow the arrows of the picture backwards: each input of a step is one output of another.",
    chapter="kubeflow#artifacts",
)
def data_flows(seen: Seen) -> Finding:
    flow = seen.pipeline
    test, checked = Source("load", "test"), given(flow.step("train"), "system.Dataset")
    wrong = []
    if given(flow.step("validate"), "system.Dataset") != {Source("load", "rows")}:
        wrong.append("validate is not given load's rows")
    if test in checked:
        wrong.append("train is given the held-out rows, which are there to judge it")
    elif {one.step for one in checked} != {"validate"}:
        wrong.append(f"train is given rows of {listed(sorted(one.step for one in checked))}, not validate's")
    if given(flow.step("evaluate"), "system.Dataset") != {test}:
        wrong.append("evaluate is not given the held-out rows (load's output test), and those alone")
    if {one.step for one in given(flow.step("evaluate"), "system.Model")} != {"train"}:
        wrong.append("evaluate is not given train's model")
    if {one.step for one in given(flow.step("deploy"), "system.Model")} != {"train"}:
        wrong.append("deploy is not given train's model")
    accuracy = flow.step("deploy").parameters.get("accuracy")
    if accuracy is None or {one.step for one in accuracy.sources} != {"evaluate"}:
        wrong.append("deploy's accuracy does not come from evaluate")
    if wrong:
        return Finding(0.5 if len(wrong) == 1 else False, f"{'; '.join(wrong)}.".capitalize())
    return Finding(True, "Rows, model and accuracy flow from step to step.")


@check(
    "asks_before_it_deploys",
    points=2,
    expects="deploy runs only on a condition that compares evaluate's accuracy with what score_serving says of the "
    "same held-out rows: a better model is deployed, an equally good or worse one is not.",
    hint="with dsl.If(first > second): what is called under it runs only if the comparison is true.",
    chapter="kubeflow#conditions",
)
def asks_before_it_deploys(seen: Seen) -> Finding:
    step = seen.pipeline.step("deploy")
    if not step.conditions:
        return Finding(False, "deploy runs on no condition at all.")
    if given(seen.pipeline.step("score_serving"), "system.Dataset") != {Source("load", "test")}:
        return Finding(False, "score_serving is not given the held-out rows: two different things are compared.")
    sides = {name for one in step.conditions for name in one.depends}
    for name in tuple(sides):
        sides |= seen.pipeline.before(name)  # a step of one's own may do the comparing
    if lacking := {"evaluate", "score-serving"} - sides:
        return Finding(False, f"The condition does not look at {' and '.join(sorted(lacking))}: "
                              f"{cut(step.conditions[-1].text, 160)}")  # fmt: skip
    if (verdict := decide(step)) and verdict != (True, False, False):
        kinds = ("a better model", "an equally good one", "a worse one")
        words = [f"{kind}: {'yes' if one else 'no'}" for kind, one in zip(kinds, verdict, strict=True)]
        return Finding(False, f"Whether the condition would deploy … {', '.join(words)}.")
    return Finding(True, "deploy runs only where evaluate's accuracy beats score_serving's.")


def decide(step: Step) -> tuple[bool, ...] | None:
    """Return what the conditions decide for a better, an equal and a worse model; None where that cannot be told.

    It can be told where they hold nothing but the two accuracies.
    """
    from kfp.local import io
    from kfp.local.orchestrator.enhanced_dag_orchestrator import ConditionEvaluator

    decided = []
    for new, old in ((0.9, 0.8), (0.8, 0.8), (0.7, 0.8)):
        store = io.IOStore()
        for one in step.conditions:
            for name, value in one.values.items():
                origins = {source.step for source in value.sources}
                if origins not in ({"evaluate"}, {"score-serving"}) or value.type != "NUMBER_DOUBLE":
                    return None
                number = new if origins == {"evaluate"} else old
                for source in value.sources:
                    store.put_task_output(source.step, source.key, number)
                store.put_parent_input(name, number)
        decided.append(all(ConditionEvaluator.evaluate_condition(one.text, store) for one in step.conditions))
    return tuple(decided)


@check(
    "tries_again",
    points=1,
    expects="load and deploy, which depend on the world outside, are tried again at least once when they fail; "
    "validate is not: bad rows do not get better.",
    hint="A task has .set_retry(num_retries=…).",
    chapter="kubeflow#retries",
)
def tries_again(seen: Seen) -> Finding:
    never = [name for name in ("load", "deploy") if not seen.pipeline.step(name).retries]
    if never:
        return Finding(False, f"{' and '.join(never)} would not be tried again.")
    if seen.pipeline.step("validate").retries:
        return Finding(False, "validate would be tried again, on the same rows.")
    return Finding(True, "load and deploy are tried again when they fail.")


@check(
    "report_comes_last",
    points=1,
    expects="report is the exit handler of all other steps: it runs when they are over, however they ended.",
    hint="with dsl.ExitHandler(task): everything else is called under it.",
    chapter="kubeflow#exit-handlers",
)
def report_comes_last(seen: Seen) -> Finding:
    ends = seen.pipeline.step("report").exit_of
    if not ends:
        return Finding(False, "report is an ordinary step: it does not run when another one has failed.")
    if outside := sorted({step.name for step in seen.pipeline.steps} - ends - {"report"}):
        return Finding(False, f"The exit handler does not span {', '.join(outside)}.")
    return Finding(True, f"report runs after all {len(ends)} other steps, however they end.")
