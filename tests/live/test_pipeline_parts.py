"""What a pipeline lab stands on, on the real engine and cluster: events, single steps, a rollout under requests."""

import sys
from contextlib import closing, suppress
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container
from kfp import compiler, dsl, local
from kubernetes import client
from namespaces import own_namespace, write_kubeconfig

from autograder import versions
from autograder.facts import NotThere, Place
from autograder.ground import cluster, model_server
from autograder.ground.lab_images import PIPELINE_BASE, have_on_engine
from autograder.labs import checkout
from autograder.notebook.client import Client
from autograder.notebook.pipelines import following, marks
from autograder.probes.docker import Docker
from autograder.probes.events import STEP, Recorder
from autograder.probes.pipeline import read
from autograder.probes.steprun import run_step
from autograder.waiting import wait_until

IMAGE = "localhost:5001/pipeline-base:v1"


@dsl.component(base_image=IMAGE)
def double(
    number: int, rows: dsl.Input[dsl.Dataset], twice: dsl.Output[dsl.Dataset], seen: dsl.Output[dsl.Metrics]
) -> float:
    """Write the rows twice, and log what came in."""
    from pathlib import Path

    text = Path(rows.path).read_text()
    if not text:
        raise ValueError("no rows")
    Path(twice.path).write_text(text * 2)
    seen.log_metric("kind", type(number).__name__)
    return number / 2


@dsl.pipeline(name="doubles")
def doubles(number: int = 3):
    given = dsl.importer(artifact_uri="rows.csv", artifact_class=dsl.Dataset)
    double(number=7, rows=given.output)


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    have_on_engine(Place(work=Path.cwd()), PIPELINE_BASE)
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.Compiler().compile(doubles, str(path))
    return read(path).step("double")


def started(command: str, folder: Path | None = None, labels: dict | None = None, **named) -> None:
    """Run a container that removes itself, to its end."""
    engine = docker.from_env()
    volumes = {str(folder): {"bind": "/given", "mode": "rw"}} if folder else {}
    labels = {versions.LABEL: "test", **(labels or {})}
    one = engine.containers.run(versions.PYTHON_IMAGE, ["sh", "-c", command], detach=True, auto_remove=True,
                                volumes=volumes, labels=labels, **named)  # fmt: skip
    with suppress(docker.errors.NotFound):
        one.wait()
    engine.close()


@pytest.mark.docker
def test_a_container_that_removes_itself_is_heard_of_with_its_exit_code(tmp_path):
    work = tmp_path / "work"
    (work / "runs").mkdir(parents=True)
    with Recorder(None, work) as recorder:
        started("sleep 1; exit 3", work / "runs")
        started("exit 0", tmp_path)  # a folder above the work is not of the work
        started("exit 0")
    (ran,) = recorder.ran()
    assert ran.exit_code == 3
    assert ran.command == ("sh", "-c", "sleep 1; exit 3")
    assert ran.image_id == docker.from_env().images.get(versions.PYTHON_IMAGE).id
    assert ran.file("/given/model") == "runs/model"
    assert ran.file("/etc/passwd") is None
    assert not recorder.lost


@pytest.mark.docker
def test_the_end_of_a_container_is_heard_of_though_nobody_could_look_at_it(tmp_path):
    with Recorder(None, tmp_path) as recorder:
        for number in range(8):  # so quick that they are gone before they are looked at
            started(f"exit {number}", labels={STEP: f"step-{number}"})
        recorder.ran()
    assert recorder.exits == {f"step-{number}": number for number in range(8)}


@pytest.mark.docker
def test_what_was_heard_before_a_restart_of_the_notebook_is_known_after_it(tmp_path):
    journal = tmp_path / "journal"
    work = tmp_path / "work"
    work.mkdir()
    with Recorder(None, work, journal):
        started("exit 0", work)
    with Recorder(None, work, journal) as recorder:
        started("exit 4", work)
        assert [one.exit_code for one in recorder.ran()] == [0, 4]


@dsl.component(base_image=IMAGE)
def ends(code: int):
    """End with an exit code."""
    import os

    os._exit(code)


@pytest.mark.docker
def test_a_step_that_is_gone_before_kfp_asks_counts_as_what_it_was(step, tmp_path, monkeypatch):
    usual = Container.wait

    def late(self, **options):
        """Ask when the container is gone, as on a busy machine."""
        wait_until(lambda: not docker.from_env().containers.list(all=True, filters={"id": self.id}), "its end", 30)
        return usual(self, **options)

    monkeypatch.setattr(Container, "wait", late)
    monkeypatch.chdir(tmp_path)
    local.init(local.DockerRunner(labels=marks("late")), pipeline_root="runs")
    with following("late"):
        ends(code=0)
    with pytest.raises(RuntimeError, match="FAILURE"), following("late"):
        ends(code=1)


@pytest.mark.docker
def test_a_step_runs_alone_on_inputs_of_ours(step):
    outcome = run_step(Docker().client, step, artifacts={"rows": b"1,2\n"})
    assert outcome.exit_code == 0, outcome.log
    assert outcome.artifacts["twice"] == b"1,2\n1,2\n"
    assert outcome.metadata["seen"] == {"kind": "int"}
    assert outcome.parameters == {"Output": 3.5}


@pytest.mark.docker
def test_a_step_that_fails_is_told_with_its_words(step):
    outcome = run_step(Docker().client, step, artifacts={"rows": b""})
    assert outcome.exit_code != 0
    assert "no rows" in outcome.log


@pytest.mark.docker
def test_a_step_that_is_not_given_all_is_the_learners_fault(step):
    with pytest.raises(NotThere, match="rows"):
        run_step(Docker().client, step)


@pytest.fixture
def namespace(tmp_path, monkeypatch):
    """A namespace of one's own, the current one of the kubeconfig."""
    path = tmp_path / "kubeconfig"
    with closing(cluster.connection()) as api, own_namespace(client.CoreV1Api(api), "serving") as name:
        write_kubeconfig(path, name)
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
        yield name


@pytest.fixture
def serving(monkeypatch):
    monkeypatch.syspath_prepend(str(checkout() / "docker" / "pipeline-base"))
    import serving

    yield serving
    sys.modules.pop("serving", None)


def trained(path: Path, rows: int) -> tuple[Path, list, list]:
    """Write a model that has learned from some rows, and return it with rows to ask."""
    import skops.io
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    images, digits = load_digits(return_X_y=True)
    skops.io.dump(LogisticRegression(max_iter=200).fit(images[:rows] / 16, digits[:rows]), path)
    return path, images[-200:].tolist(), digits[-200:].tolist()


@pytest.mark.cluster
def test_a_better_model_is_rolled_out_and_no_request_fails_meanwhile(namespace, serving, tmp_path):
    model_server.have(Place(work=tmp_path))
    assert serving.score([[0] * 64], [0]) == 0
    first, images, digits = trained(tmp_path / "first", 60)
    before = serving.roll_out(first, 0.5, "by hand", "none")
    weak = serving.score(images, digits)
    with Client("reader") as asking:
        second, _, _ = trained(tmp_path / "second", 1400)
        after = serving.roll_out(second, 0.9, "again", "none")
        wait_until(lambda: asking.asked and asking.asked[-1].model == after, "the new model to answer", timeout=60)
    assert {one.model for one in asking.asked} == {before, after}
    assert asking.failed == []
    assert serving.score(images, digits) > weak > 0
    api, where = serving.connect()
    assert where == namespace
    assert serving.serving(api, where)["model"] == after
    assert serving.serving(api, where)["run"] == "again"
    assert serving.roll_out(second, 0.9, "again", "none") == after  # a retry changes nothing
    assert client.AppsV1Api(api).read_namespaced_deployment("reader", where).metadata.generation == 2


@pytest.mark.cluster
def test_a_model_that_the_server_could_not_load_is_refused_before_a_pod_starts(namespace, serving, tmp_path):
    (tmp_path / "model").write_bytes(b"a pickle, perhaps")
    with pytest.raises(ValueError, match="no skops file"):
        serving.roll_out(tmp_path / "model", 1.0, "x", "y")
    api, where = serving.connect()
    assert serving.serving(api, where) == {}
