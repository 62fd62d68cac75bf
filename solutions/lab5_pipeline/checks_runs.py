"""Judge lab 5's runs: the containers that ran the pipeline, what they made, and what serves in the cluster.

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
from autograder.probes.pipeline import parse
from autograder.probes.runs import Attempt
from autograder.probes.words import cut, listed

from .seen import CLOSE, GOOD, PREFIX, STEPS, Seen, judge_model


@check(
    "ran_in_containers",
    points=2,
    expects="In the runs monday and tuesday, each of the seven steps ran in a container of its own: of the image "
    "pipeline-base, with the command of the compiled pipeline and the label shipyard.run, ended with exit code 0. "
    "(With KFP_ENDPOINT, the run on that server is judged instead: whether it ran your pipeline.yaml, and how its API "
    "says that it and its steps ended.)",
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
    if parse(run.compiled, f"What the run {run.id} on the server was made of").steps != seen.pipeline.steps:
        return Finding(False, f"The run {run.id} on the server ran another pipeline than pipeline.yaml holds.",
                       "Compile and hand in again after each change.")  # fmt: skip
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
    "reaches on the held-out rows when it is asked as the server asks it (ink divided by 16; the most likely digit of "
    "its predict_proba): at least 0.9.",
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
    seen.heard_all()
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
    seen.heard_all()
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
    seen.heard_all()
    if len(tries) < 2:
        return Finding(False, "load was tried once only.")
    if not (told := friday.last("report")) or (told.ran.started or 0) < max(one.ran.ended or 0 for one in tries):
        return Finding(False, "report did not run after load had failed.")
    return Finding(True, f"load was tried {len(tries)} times; then report told how the run ended.")
