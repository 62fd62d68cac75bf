"""Judge lab 5: the compiled pipeline, the containers that ran it, what they made, and what serves in the cluster.

What a step's container did is known from the engine's own events, which the
grader's process hears while the notebook runs. The states that kfp's local
runner prints are not used: it can call a failed container a success."""

from __future__ import annotations

import hashlib
import json
import os

from autograder.checks import Finding, check
from autograder.ground.lab_images import PIPELINE_BASE
from autograder.probes.kfpserver import server_run
from autograder.probes.pipeline import Source, Step
from autograder.probes.runs import Attempt
from autograder.probes.words import cut, listed

from .seen import CLOSE, GOOD, PREFIX, STEPS, Seen, given, judge_model


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


@check(
    "ran_in_containers",
    points=2,
    expects="In the runs monday and tuesday, each of the seven steps ran in a container of its own: of the image "
    "pipeline-base, with the command of the compiled pipeline and the label shipyard.run, ended with exit code 0. "
    "(With KFP_ENDPOINT, the run on that server is judged instead, by what its API tells of the run and its steps.)",
    hint="local.init(runner=local.DockerRunner(labels=marks(name), …)); a step that failed says why in runs/NAME.log.",
    chapter="kubeflow#local-runs",
)
def ran_in_containers(seen: Seen) -> Finding:
    if told := on_server(seen):
        return told
    pipeline, image = seen.pipeline, seen.docker.image(PIPELINE_BASE.reference(seen.place))
    for run in ("monday", "tuesday"):
        for name in STEPS:
            ran, step = seen.ran(run, name).ran, pipeline.step(name)
            if ran.image_id != image.id:
                return Finding(False, f"In the run {run}, {name} ran in {cut(ran.image, 60)} ({ran.image_id[:19]}…), "
                                      f"not in pipeline-base ({image.id[:19]}…).")  # fmt: skip
            if not _same(ran.command, step.command):
                return Finding(False, f"In the run {run}, {name} ran other code than pipeline.yaml holds.",
                               "Compile and run again after each change.")  # fmt: skip
    count = sum(len(seen.runs[run].attempts) for run in ("monday", "tuesday"))
    return Finding(True, f"{count} containers ran the seven steps on two days.")


def on_server(seen: Seen) -> Finding | None:
    """Judge the run that was handed in to a Kubeflow server, where one is named; None where none is."""
    submitted = seen.work / "runs" / "on-server.txt"
    if not os.environ.get("KFP_ENDPOINT") or not submitted.is_file():
        return None
    run = server_run(cut(submitted.read_text(encoding="utf-8", errors="replace"), 60))
    said = f"The run {run.id} is {run.state} on the server; its steps: "
    said += listed([f"{step.name} {step.state}" for step in run.steps.values()], 12)
    missing = [step for step in STEPS if step.replace("_", "-") not in run.steps]
    bad = [step.name for step in run.steps.values() if step.state not in ("SUCCEEDED", "SKIPPED")]
    good = run.state == "SUCCEEDED" and not missing and not bad and bool(run.steps["train"].artifacts)
    return Finding(
        good, f"{said}.", "" if good else "Look at the run in the server's own pages: it keeps each step's log."
    )


def _same(ran: tuple[str, ...], compiled: tuple[str, ...]) -> bool:
    """Tell whether a container's command is a compiled one whose placeholders were filled in."""
    pairs = zip(ran[-len(compiled) :], compiled, strict=False)
    return len(ran) >= len(compiled) and all(one == other or "{{$" in other for one, other in pairs)


@check(
    "accuracy_is_true",
    points=2,
    expects="In the run tuesday, evaluate logs a metric accuracy (0 to 1) and returns it, and it is what your model "
    "reaches on the held-out rows when it is asked as the server asks it (ink divided by 16): at least 0.9.",
    hint='Compare model.predict(ink / 16) with the digits of the test rows; metrics.log_metric("accuracy", …).',
    chapter="kubeflow#metrics",
)
def accuracy_is_true(seen: Seen) -> Finding:
    evaluated = seen.ran("tuesday", "evaluate")
    true = seen.better.accuracy
    logged = _metric(seen, evaluated)
    told = evaluated.told.get("parameterValues") or {}
    returned = [value for value in told.values() if isinstance(value, int | float)]
    if logged is None:
        return Finding(False, "No metric accuracy was logged.")
    said = f"evaluate logged {logged:.4f}; on the held-out rows the model reaches {true:.4f}"
    if abs(logged - true) > CLOSE:
        return Finding(False, f"{said}.")
    if not any(abs(value - true) <= CLOSE for value in returned):
        return Finding(0.5, f"{said}; the step returned {listed([f'{value:.4f}' for value in returned])}.")
    if true < GOOD:
        return Finding(0.5, f"{said}: less than {GOOD}.", "Train on ink / 16 until the model has settled (max_iter).")
    return Finding(True, f"{said}.")


def _metric(seen: Seen, evaluated: Attempt) -> float | None:
    for name, kind in seen.pipeline.step("evaluate").gives.items():
        value = evaluated.metadata(name).get("accuracy") if kind == "system.Metrics" else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


@check(
    "matrix_is_true",
    points=1,
    expects="In the run tuesday, evaluate logs the confusion matrix of the ten digits (rows: the true digit, columns: "
    "the digit that was read), and its counts are those of your model on the held-out rows.",
    hint="matrix.log_confusion_matrix(names, counts) of a ClassificationMetrics artifact.",
    chapter="kubeflow#metrics",
)
def matrix_is_true(seen: Seen) -> Finding:
    evaluated, true = seen.ran("tuesday", "evaluate"), seen.better.confusion
    for name, kind in seen.pipeline.step("evaluate").gives.items():
        if kind != "system.ClassificationMetrics" or not (logged := evaluated.metadata(name).get("confusionMatrix")):
            continue
        try:
            counts = [[int(count) for count in row["row"]] for row in logged["rows"]]
        except (KeyError, TypeError, ValueError):
            return Finding(False, f"What was logged is no matrix of counts: {cut(json.dumps(logged), 120)}")
        if counts == true:
            return Finding(True, f"The matrix is that of the model: {sum(map(sum, counts))} held-out rows.")
        turned = [list(column) for column in zip(*true, strict=True)]
        hint = "Rows are the true digits, columns what was read: yours are the other way round." * (counts == turned)
        at = next((digit for digit, row in enumerate(true) if counts[digit : digit + 1] != [row]), 0)
        row = counts[at] if at < len(counts) else "missing"
        return Finding(False, f"Its row of the digit {at} is {row}; the model's is {true[at]}.", hint)
    return Finding(False, "No confusion matrix was logged.")


@check(
    "serves_better_model",
    points=2,
    expects="After all runs, the Deployment reader is rolled out, and every pod behind its Service serves the very "
    "model that the run tuesday trained (same digest).",
    hint="Look at /info of the Service, and at the digest that the deploy step of tuesday returned.",
    chapter="kubeflow#deploy-step",
)
def serves_better_model(seen: Seen) -> Finding:
    served, trained = seen.served, hashlib.sha256(seen.model("tuesday")).hexdigest()
    said = f"The pods serve {served[:19]}…, tuesday's model is sha256:{trained[:12]}…"
    return Finding(served == f"sha256:{trained}", said)


@check(
    "deployment_is_annotated",
    points=1,
    expects="The Deployment reader says where its model is from: annotations shipyard.io/model (the digest), "
    "shipyard.io/run (the job of the run tuesday), shipyard.io/pipeline (digits); it was updated, not made anew.",
    hint='deploy takes run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER and pipeline="digits".',
    chapter="kubeflow#deploy-step",
)
def deployment_is_annotated(seen: Seen) -> Finding:
    deployed, notes = seen.ran("tuesday", "deploy"), seen.notes
    wanted = {"model": f"sha256:{hashlib.sha256(seen.model('tuesday')).hexdigest()}", "run": deployed.job,
              "pipeline": "digits"}  # fmt: skip
    for key, value in wanted.items():
        if notes.get(key) != value:
            return Finding(False, f"{PREFIX}{key} is {cut(notes.get(key, 'missing'), 80)}, not {cut(value, 80)}.")
    if int(notes.get("deployment.kubernetes.io/revision", "0")) < 2:
        return Finding(False, "The Deployment is in its first version: monday's model did not serve before.")
    return Finding(True, f"It serves {wanted['model'][:19]}… of {wanted['run']}, by rolling update.")


@check(
    "second_run_is_cached",
    points=2,
    expects="In the run tuesday-again, load, validate and train did not run again (their results are taken from the "
    "cache), but score_serving did: the world may have changed.",
    hint="local.init(enable_caching=True) uses the cache; task.set_caching_options(False) keeps one step out of it.",
    chapter="kubeflow#caching",
)
def second_run_is_cached(seen: Seen) -> Finding:
    for step in ("load", "validate", "train"):
        seen.ran("tuesday", step)  # what never ran cannot be cached
    again = seen.runs["tuesday-again"].newest
    if not again.attempts:
        seen.ran("tuesday-again", "score_serving")  # says what there is instead
    if twice := [step for step in ("load", "validate", "train") if again.of(step)]:
        return Finding(False, f"In the run tuesday-again, these ran again: {', '.join(twice)}.")
    if not again.of("score_serving"):
        return Finding(0.5, "In the run tuesday-again, score_serving was taken from the cache: it told of the past.",
                       "A step whose answer depends on more than its inputs must not be cached.")  # fmt: skip
    return Finding(True, f"In the run tuesday-again, only these ran: {listed(again.steps)}.")


@check(
    "worse_model_stays_out",
    points=2,
    expects="In the run wednesday, whose rows have slipped labels, the model is trained and evaluated on the held-out "
    "rows, but deploy does not run.",
    hint="The condition compares two accuracies on the same held-out rows.",
    chapter="kubeflow#conditions",
)
def worse_model_stays_out(seen: Seen) -> Finding:
    seen.ran("tuesday", "deploy")  # a pipeline that deploys nothing keeps nothing out
    worse = judge_model(seen.model("wednesday"), *seen.rows)
    seen.ran("wednesday", "evaluate")  # after it, nothing but the condition keeps deploy from running
    said = f"wednesday's model reaches {worse.accuracy:.3f}, tuesday's {seen.better.accuracy:.3f}"
    if seen.runs["wednesday"].newest.of("deploy"):
        return Finding(False, f"{said}, and yet deploy ran.")
    return Finding(True, f"{said}; deploy did not run.".capitalize())


@check(
    "failure_is_told",
    points=1,
    expects="In the run friday, for which there are no rows, load failed and was tried again, nothing that needs its "
    "rows ran, and report ran at the end.",
    hint="The exit handler must span all steps, and load must be tried again at least once.",
    chapter="kubeflow#exit-handlers",
)
def failure_is_told(seen: Seen) -> Finding:
    friday = seen.runs["friday"].newest
    tries = friday.of("load")
    if not tries:
        seen.ran("friday", "load")  # says what there is instead
    if any(one.ok for one in tries):
        return Finding(False, "load ended well, though there are no rows of friday.")
    if others := [step for step in friday.steps if step not in ("load", "report")]:
        return Finding(False, f"These ran although load had failed: {listed(others)}.")
    if len(tries) < 2:
        return Finding(False, "load was tried once only.")
    if not (told := friday.last("report")) or (told.ran.started or 0) < max(one.ran.ended or 0 for one in tries):
        return Finding(False, "report did not run after load had failed.")
    return Finding(True, f"load was tried {len(tries)} times; then report told how the run ended.")
