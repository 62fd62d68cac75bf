"""Judge lab 6: the training that ran on the cluster, and the models that came out of it."""

from __future__ import annotations

import hashlib
import json

from kubernetes.utils import parse_quantity

from autograder.checks import Finding, check
from autograder.probes.scoring import accuracy
from autograder.probes.training import TrainJob
from autograder.probes.volume import LARGEST
from autograder.probes.words import cut

from .seen import CORES, ENOUGH, MEMORY, PORT, REPAIRED, SKOPS, TREES, Seen, good_enough, rows


@check(
    "tried_locally",
    points=1,
    expects=f"The function train was tried on your machine first: local/{SKOPS} in the lab's folder is a scikit-learn "
    f"model, of types that skops trusts, and reads at least {ENOUGH:.0%} of held-out digits (ink from 0 to 16).",
    hint="Run the cell with the local backend: the function must write the file into the folder named by MODELS.",
    chapter="kubeflow#trainer",
)
def tried_locally(seen: Seen) -> Finding:
    said = seen.ask_models({SKOPS: seen.local}, rows()[0])[SKOPS]
    return good_enough(accuracy(said, rows()[1]), f"local/{SKOPS}")


@check(
    "alone_completes",
    points=1,
    expects="The TrainJob alone uses the runtime sklearn and is Complete: its one node ended with exit code 0.",
    hint="`kubectl describe trainjob alone` and the node's log tell what stands in the way.",
    chapter="kubeflow#trainer",
)
def alone_completes(seen: Seen) -> Finding:
    return completed(seen.alone, "sklearn", 1)


@check(
    "together_completes",
    points=2,
    expects="The TrainJob together uses the runtime xgboost and is Complete: its JobSet ran two nodes, and both ended "
    "with exit code 0.",
    hint="Ask for two nodes with num_nodes. Where a node fails, its log says why: `node-0` and `node-1`.",
    chapter="kubeflow#distributed-training",
)
def together_completes(seen: Seen) -> Finding:
    return completed(seen.together, "xgboost", 2)


def completed(job: TrainJob, runtime: str, nodes: int) -> Finding:
    """Judge that Trainer's controller calls a TrainJob complete, and that its pods say the same."""
    if job.runtime != runtime:
        return Finding(False, f"The TrainJob {job.name} uses the runtime {cut(job.runtime, 40)}.",
                       f"Name the runtime {runtime} when you call train.")  # fmt: skip
    if not job.complete:
        return Finding(False, f"The TrainJob {job.name} is not Complete. {job.why()}")
    codes = [node.exit_code for node in job.nodes]
    if len(codes) != nodes:
        return Finding(False, f"The TrainJob {job.name} ran on {len(codes)} node(s), {nodes} are asked for.")
    if any(code != 0 for code in codes):
        return Finding(False, f"The nodes of {job.name} ended with exit codes {codes}.")
    return Finding(True, f"{job.name} is Complete after {job.seconds:.0f} s; {nodes} node(s) ended with exit code 0.")


@check(
    "right_image",
    points=1,
    expects="All nodes of alone and together ran the image of the runtimes, localhost:5001/training:v1, to the digest.",
    hint="The image stands in the runtime: do not give the TrainJob another one.",
    chapter="kubeflow#runtimes",
)
def right_image(seen: Seen) -> Finding:
    nodes = [node for job in (seen.alone, seen.together) for node in job.nodes]
    if len({job.name for job in (seen.alone, seen.together) if job.nodes}) < 2:
        return Finding(False, "Not every TrainJob has come to run a node.")
    others = {
        f"{cut(one.pod.image, 80)} ({one.pod.image_id[:19]}…)" for one in nodes if one.pod.image_id != seen.digest
    }
    if others:
        return Finding(False, f"Nodes ran {', '.join(sorted(others))}; training:v1 is {seen.digest[:19]}…")
    return Finding(True, f"All {len(nodes)} nodes ran {seen.digest[:19]}…")


@check(
    "resources_set",
    points=1,
    expects="Each node of alone and together asks for memory and has a memory limit, of at most 512Mi; it asks for no "
    "more than half a core.",
    hint="CustomTrainer's resources_per_node sets requests and limits of every node.",
    chapter="kubernetes#resources",
)
def resources_set(seen: Seen) -> Finding:
    for job in (seen.alone, seen.together):
        if wrong := resources_wrong(job):
            return Finding(False, f"A node of {job.name} {wrong}.")
    return Finding(True, "Every node asks for memory and has a limit, within bounds.")


def resources_wrong(job: TrainJob) -> str:
    """Return what is wrong with a node's resources, "" for nothing."""
    limits = job.resources.get("limits") or {}
    requests = {**limits, **(job.resources.get("requests") or {})}
    if "memory" not in limits or "memory" not in requests:
        return "has no request and limit for memory"
    if float(parse_quantity(limits["memory"])) > MEMORY:
        return f"has a memory limit of {cut(limits['memory'], 20)}, which is more than 512Mi"
    if float(parse_quantity(requests.get("cpu", 0))) > CORES:
        return f"asks for {cut(requests['cpu'], 20)} CPU, which is more than half a core"
    return ""


@check(
    "alone_scores",
    points=1,
    expects=f"The model that alone left on the volume models, {SKOPS}, reads at least {ENOUGH:.0%} of held-out digits.",
    hint="The function must write its model into the folder that MODELS names, with skops.io.dump.",
    chapter="kubeflow#trainer",
)
def alone_scores(seen: Seen) -> Finding:
    return good_enough(seen.score(SKOPS), SKOPS)


@check(
    "one_training",
    points=2,
    expects=f"The trees in {TREES} have learned from all 1,440 training rows, from each of them once. (They are "
    "counted in the trees; leave lambda, subsample and weights of rows as they are.)",
    hint="Both nodes must train inside one CommunicatorContext, each on its own share of the files.",
    chapter="kubeflow#distributed-training",
)
def one_training(seen: Seen) -> Finding:
    found, counts = seen.learned, rows()[2]
    if found.matches(counts):
        return Finding(True, f"The trees have learned from {found.rows:.0f} rows, as many of each digit as there are.")
    said = f"The trees have learned from {found.rows:.0f} rows; there are {sum(counts)}."
    if found.rows > 1.2 * sum(counts):
        return Finding(False, said, "Rows count twice where both nodes read the same files: which are this node's?")
    if found.rows < 0.8 * sum(counts):
        return Finding(False, said, "A node that trains alone knows its own rows only: is the training inside the "
                                    "CommunicatorContext, and are all files read by some node?")  # fmt: skip
    return Finding(False, f"{said} Of the digits 0 to 9: {', '.join(f'{one:.0f}' for one in found.classes)}; there are "
                          f"{', '.join(map(str, counts))}.")  # fmt: skip


@check(
    "together_scores",
    points=1,
    expects=f"The model that together left on the volume models, {TREES}, reads at least {ENOUGH:.0%} of held-out "
    "digits.",
    hint="One node writes the model, with save_model, into the folder that MODELS names.",
    chapter="kubeflow#distributed-training",
)
def together_scores(seen: Seen) -> Finding:
    return good_enough(seen.score(TREES), TREES)


@check(
    "read_back",
    points=1,
    expects=f"serving/{TREES} in the lab's folder is, byte for byte, the file {TREES} on the volume.",
    hint="The pod reader shows the volume in /models: copy the file from there.",
    chapter="kubeflow#trainer",
)
def read_back(seen: Seen) -> Finding:
    path = seen.work / "serving" / TREES
    if path.is_symlink() or not path.is_file():
        return Finding(False, f"There is no file serving/{TREES} in the lab's folder.")
    here, there = (hashlib.sha256(one).hexdigest() for one in (path.read_bytes()[: LARGEST + 1], seen.file(TREES)))
    if here == there:
        return Finding(True, f"Both are sha256:{there[:12]}…")
    return Finding(False, f"serving/{TREES} is sha256:{here[:12]}…, the file on the volume sha256:{there[:12]}…")


@check(
    "serves_model",
    points=2,
    expects=f"The Deployment digits is rolled out, and the Service digits answers on port 80 with {TREES} of the "
    "volume: /readyz names the file's digest.",
    hint="Build the image again after the model was read back, push it, and let the Deployment take the new tag.",
    chapter="kubernetes#deployments",
)
def serves_model(seen: Seen) -> Finding:
    assert seen.deployment
    answer = seen.kube.ask("digits", "/readyz", port=PORT)
    wanted = f"sha256:{hashlib.sha256(seen.file(TREES)).hexdigest()}"
    told = answer.json.get("model") if isinstance(answer.json, dict) else None
    if answer.status == 200 and told == wanted:
        return Finding(True, f"The Service answers with the model {wanted[:19]}…")
    return Finding(False, f"/readyz answered {answer}; the model on the volume is {wanted[:19]}…")


@check(
    "failure_explained",
    points=1,
    expects="diagnosis.json says of the node of the TrainJob broken what the cluster says: the reason of its end and "
    "its exit code. Leave broken in the namespace.",
    hint="`kubectl describe pod` shows the last state of a container: Reason and Exit Code.",
    chapter="kubeflow#trainer",
)
def failure_explained(seen: Seen) -> Finding:
    if not seen.broken.failed or not seen.broken.nodes:
        return Finding(False, f"The TrainJob broken has not failed. {seen.broken.why()}",
                       "Apply broken.yaml as it is, and leave it there.")  # fmt: skip
    path = seen.work / "diagnosis.json"
    try:
        told = json.loads(path.read_text()[:2000])
        reason, code = str(told["reason"]).strip(), int(told["exit_code"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Finding(False, "diagnosis.json is not there, or has not got the two fields.")
    node = seen.broken.nodes[0]
    # A busy machine loses the news of why a process was killed: then the cluster says Error, and only the code tells.
    known = {node.reason.lower(), *(["oomkilled"] if node.exit_code == 137 else [])}
    if code == node.exit_code and reason.lower() in known:
        return Finding(True, f"The node of broken ended with exit code {code}: {node.reason}.")
    return Finding(False, f"diagnosis.json says {cut(reason, 40)} and {code}; the cluster says something else.")


@check(
    "repaired",
    points=2,
    expects=f"The TrainJob repaired is Complete with a memory limit of at most 512Mi, and its model {REPAIRED} on the "
    f"volume models reads at least {ENOUGH:.0%} of held-out digits.",
    hint="A repaired job can fail for a second reason: look at its log as well.",
    chapter="kubeflow#trainer",
)
def repaired(seen: Seen) -> Finding:
    job = seen.repaired
    if not job.complete:
        return Finding(False, f"The TrainJob repaired is not Complete. {job.why()}")
    if wrong := resources_wrong(job):
        return Finding(False, f"The node of repaired {wrong}.", "Keep a memory limit that fits what the program needs.")
    return good_enough(seen.score(REPAIRED), REPAIRED)
