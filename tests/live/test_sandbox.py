"""What a submission can and cannot do in its sandbox: real kernels, real engines, the real cluster."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import docker
import nbformat
import pytest
from nbclient import NotebookClient

from autograder.facts import CannotCheck
from autograder.grading.workplace import key
from autograder.ground import engine, golang
from autograder.ground.step import climb
from autograder.labs import Lab, course_root, find_lab, syllabus
from autograder.probes.docker import Docker
from autograder.probes.http import ask
from autograder.sandbox import image, seeding
from autograder.sandbox.ahead import Ahead
from autograder.sandbox.box import Box, box
from autograder.sandbox.limits import MB, Limits
from autograder.sandbox.pair import TOKENS
from autograder.sandbox.place import Sandboxed, sandboxed
from autograder.sandbox.proof import left_behind
from autograder.waiting import wait_until

pytestmark = pytest.mark.docker
LAB1, LAB3 = "lab1_dockerfile", "lab3_deploy"


@pytest.fixture(scope="module")
def seed() -> str:
    climb(image.steps(), lambda event, step, seconds: None)
    return seeding.have(find_lab(LAB1))


@pytest.fixture(scope="module")
def shared(seed: str) -> Iterator[Box]:
    """One sandbox for tests that change nothing in it."""
    with box(new_mark(), seed=seed) as it:
        yield it


def new_mark() -> str:
    return uuid4().hex[:10]


def learner(it: Box, script: str) -> str:
    """Run a shell script as the learner and return what it said."""
    _, output = it.run(["/usr/local/lib/shipyard/learner", "bash", "-c", f"exec 2>&1; {script}"])
    return output.decode(errors="replace")


@contextmanager
def opened(slug: str, work: Path, mark: str | None = None) -> Iterator[Sandboxed]:
    lab: Lab = find_lab(slug)
    shutil.copytree(Path(__file__).resolve().parents[2] / "labs" / slug, work)
    with sandboxed(lab, mark or new_mark(), "ada", work, 7) as it:
        yield it


def notebook(it: Sandboxed, *sources: str) -> list[str]:
    """Run cells in the sandbox's kernel and return the text that each printed."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nb = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(nb, kernel_manager_class=it.kernel_manager, shutdown_kernel="immediate", timeout=240,
                   kernel_name="python3", allow_errors=True).execute()  # fmt: skip
    return ["".join(out.get("text") or out.get("evalue", "") for out in cell.outputs) for cell in nb.cells]


LATE = """#!/usr/bin/python3
import os, socket, time
os.umask(0o777)
listener = socket.socket(socket.AF_UNIX)
listener.bind("/run/engine/docker.sock")
listener.listen()
time.sleep(1)
os.chmod("/run/engine/docker.sock", 0o660)
while True:
    client, _ = listener.accept()
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nOK")
    client.close()
"""


def test_an_engine_that_closes_its_socket_to_others_late_is_opened_all_the_same(
    seed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Docker's does so a moment after it has made the socket; here, the moment is a second."""
    program, others = tmp_path / "rootlesskit", image.compiled()
    program.write_text(LATE)
    program.chmod(0o755)
    monkeypatch.setattr(image, "compiled", lambda: {**others, "/usr/bin/rootlesskit": program})
    with box(new_mark(), registry=True) as it:
        it.must_answer()
        assert learner(it, "curl -s --unix-socket /run/engine/docker.sock http://engine/_ping") == "OK"


def test_a_kernel_runs_as_a_user_without_rights_and_its_files_come_back(seed: str, tmp_path: Path):
    work, mark = tmp_path / "work", new_mark()
    with opened(LAB1, work, mark) as it:
        who, _, found = notebook(
            it,
            "!id -un; grep -E 'CapBnd|NoNewPrivs' /proc/self/status",
            "from pathlib import Path\nPath('made').write_text('here')\n!ln -s /etc/passwd link; rm example.json",
            "from autograder.notebook import check\nprint(check('image_builds').note)",
        )
        assert who.split() == ["learner", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1"]
        assert "judges this" in found
        assert left_behind(mark), "the probe sees a sandbox that is there"
        assert ["link" in line for line in it.take_back()] == [True]
    assert (work / "made").read_text() == "here"
    assert not (work / "link").is_symlink() and not (work / "example.json").exists()
    assert (work / f"{LAB1}.ipynb").is_file()
    assert left_behind(mark) == []


def test_the_first_cell_of_each_lab_begins(seed: str, tmp_path: Path):
    """A lab whose first cell fails in a sandbox is graded all the same, and what it would have imported is missed."""
    first = []
    for lab in syllabus():
        cells = nbformat.read(course_root() / "labs" / lab.slug / f"{lab.slug}.ipynb", as_version=4).cells
        first.append(next(cell.source for cell in cells if cell.cell_type == "code" and "begin()" in cell.source))
    with opened(LAB1, tmp_path / "work") as it:
        assert set(notebook(it, *first)) == {"The grader has prepared this lab.\n"}


def test_a_cell_can_be_interrupted_and_a_kernel_can_die(seed: str, tmp_path: Path):
    with opened(LAB1, tmp_path / "work") as it:
        cells = [nbformat.v4.new_code_cell(s) for s in ("while True: pass", "print('goes on')")]
        nb = nbformat.v4.new_notebook(cells=cells)
        NotebookClient(nb, kernel_manager_class=it.kernel_manager, kernel_name="python3", timeout=5,
                       interrupt_on_timeout=True, allow_errors=True, shutdown_kernel="immediate").execute()  # fmt: skip
        assert nb.cells[0].outputs[-1].ename == "KeyboardInterrupt"
        assert "goes on" in nb.cells[1].outputs[0].text
        it.take_back()


def test_the_learner_builds_runs_and_asks_with_the_private_engine(seed: str, tmp_path: Path):
    with opened(LAB1, tmp_path / "work") as it:
        (said,) = notebook(
            it,
            "!printf 'FROM python:3.11-slim\\nRUN echo built > /x\\nCMD python -m http.server 8000\\n' > Dockerfile\n"
            "!docker build -q -t mine . && docker run -d --name web -p 127.0.0.1::8000 mine\n"
            "!for n in $(seq 30); do curl -sf http://$(docker port web 8000)/x && break; sleep 0.2; done\n"
            "!docker top web",
        )
        assert "built" in said and "http.server" in said
        it.take_back()
        judge = Docker(it.place.docker_host)
        assert not [tag for one in judge.client.images.list() for tag in one.tags if "mine" in tag]
        with judge.run(judge.build(it.place.work), name_hint="test") as container:
            assert ask("GET", f"{container.wait_ready('/x').url}/x").text.strip() == "built"
            assert container.uids == [0]
    assert not [tag for one in engine.client().images.list() for tag in one.tags if tag.startswith("mine")]


@pytest.mark.parametrize("target", ["1.1.1.1/53", "169.254.169.254/80", "172.17.0.1/2375", "172.18.0.2/6443"])
def test_no_address_outside_is_reached(shared: Box, target: str):
    assert "unreachable" in learner(shared, f"echo > /dev/tcp/{target}")


@pytest.mark.parametrize("options", [
    "--privileged", "-v /:/host", "-v /run/user/10002:/x", "--mount type=bind,source=/var/lib/engine,target=/x",
    "--pid=host", "--network=host", "--ipc=host", "--uts=host", "--cap-add=SYS_ADMIN", "--device=/dev/net/tun",
    "--security-opt seccomp=unconfined", "--security-opt systempaths=unconfined", "--cgroup-parent=/x",
])  # fmt: skip
def test_a_container_that_leads_out_is_refused(shared: Box, options: str):
    said = learner(shared, f"docker run --rm {options} python:3.11-slim true; echo code=$?")
    assert "sandbox of this course does not allow" in said and "code=0" not in said


@pytest.mark.parametrize("command", [
    "docker volume create -o type=none -o o=bind -o device=/ x",
    "cd $(mktemp -d) && echo FROM python:3.11-slim > Dockerfile && docker build --network=host .",
    "curl -s --unix-socket /run/engine/docker.sock -X POST http://x/grpc",
    "curl -s --unix-socket /run/engine/docker.sock -X POST -H 'Content-Type: application/json' "
    "-d '{\"Image\":\"python:3.11-slim\",\"HostConfig\":{\"Privileged\":true}}' http://x/containers%2Fcreate",
    "curl -s --unix-socket /run/engine/docker.sock -X POST http://x/v1.41/plugins/pull?remote=x",
])  # fmt: skip
def test_a_request_that_leads_out_is_refused(shared: Box, command: str):
    assert "sandbox of this course does not allow" in learner(shared, command)


@pytest.mark.parametrize("command", [
    "pkill -9 dockerd", "pkill -9 guard", "kill -9 1", "rm -f /run/engine/docker.sock", "touch /run/engine/x",
    "ls /run/private/gate", "cat /proc/1/environ", "nsenter -t $(pgrep -x dockerd) -m true", "unshare -Ur true",
    "newuidmap $$ 0 200000 1", "touch /usr/bin/x", "touch /handed/x", "mknod /tmp/x b 254 0", "ls /seed/engine",
    "cat /etc/shadow", "ls /root",
])  # fmt: skip
def test_the_learner_cannot_touch_what_runs_the_sandbox(shared: Box, command: str):
    said = learner(shared, f"{command}; echo code=$?")
    assert "code=0" not in said
    assert "True" in str(docker.DockerClient(base_url=shared.docker_host).ping())


def test_no_program_raises_rights(shared: Box):
    said = learner(shared, "find / -xdev -perm /6000 -type f 2>/dev/null; getcap -r / 2>/dev/null")
    assert sorted(line.split()[0] for line in said.splitlines()) == ["/usr/bin/newgidmap", "/usr/bin/newuidmap"]


def test_what_outlives_the_kernel_is_ended(seed: str):
    with box(new_mark(), seed=seed) as it:
        learner(it, "setsid nohup sh -c 'while :; do sleep 1; done' > /dev/null 2>&1 &")
        assert "sleep" in learner(it, "ps -u learner -o comm")
        it.end_learner()
        _, left = it.run(["sh", "-c", "ps -u learner -o comm="])
        assert left.strip() == b""


def test_a_fork_bomb_hurts_only_itself(seed: str, tmp_path: Path):
    with opened(LAB1, tmp_path / "work") as it:
        it.learner.run(["/usr/local/lib/shipyard/learner", "sh", "-c",
                        "echo mine > answer; (bomb() { bomb | bomb & }; bomb) > /dev/null 2>&1; sleep 1"])  # fmt: skip
        it.take_back()
        assert (tmp_path / "work" / "answer").read_text() == "mine\n"
        assert Docker(it.place.docker_host).image("python:3.11-slim")
    assert engine.answers()


def test_memory_and_disk_have_an_end(seed: str):
    small = Limits(memory=600 * MB, engine_disk="200m")
    with box(new_mark(), seed=seed, limits=small) as it:
        assert "code=137" in learner(it, "python -c 'x = bytearray(2_000_000_000)'; echo code=$?")
        for folder in ("/work", "/tmp", "/home/learner"):
            assert "No space left" in learner(it, f"head -c 400M /dev/zero > {folder}/x; rm -f {folder}/x")
        said = learner(it, "docker run --rm python:3.11-slim sh -c 'head -c 400M /dev/zero > /x'")
        assert "No space left" in said
        assert docker.DockerClient(base_url=it.docker_host).ping()


def test_a_sandbox_that_does_not_come_up_is_nobodys_fault_but_ours_and_leaves_nothing(seed: str):
    mark = new_mark()
    with pytest.raises(CannotCheck), box(mark, seed=seed, limits=Limits(engine_disk="1k")):
        pass
    assert left_behind(mark) == []


@pytest.mark.cluster
def test_one_name_is_each_submissions_own_image_in_engine_registry_and_pods(seed: str, tmp_path: Path):
    """Two submissions push other content as localhost:5001/digits:v1 at the same time."""
    marks = {"ada": new_mark(), "bela": new_mark()}

    def submit(name: str) -> tuple[str, str, str]:
        with opened(LAB3, tmp_path / name, marks[name]) as it:
            engines, pods, others = notebook(
                it,
                f"!printf 'FROM python:3.11-slim\\nRUN echo {name} > /who\\nCMD cat /who; sleep 999\\n' > Dockerfile\n"
                "!docker build -q -t localhost:5001/digits:v1 . && docker push -q localhost:5001/digits:v1\n"
                "!docker rmi -f localhost:5001/digits:v1 > /dev/null\n"
                "!docker run --rm localhost:5001/digits:v1 cat /who 2> /dev/null",
                "!kubectl run who --image=localhost:5001/digits:v1 > /dev/null\n"
                "!kubectl wait --for=condition=Ready pod/who --timeout=90s > /dev/null; kubectl logs who",
                "!kubectl get pods -A; kubectl get nodes; kubectl get secrets -n kube-system\n"
                '!kubectl run h --image=x --overrides=\'{"spec":{"hostNetwork":true}}\'',
            )
            assert others.count("(Forbidden)") == 4, others
            it.take_back()
            return engines.split()[-1], pods.split()[-1], it.learner.token

    with ThreadPoolExecutor(2) as pool:
        seen = {name: one.result() for name, one in {name: pool.submit(submit, name) for name in marks}.items()}
    for name, (engines, pods, _) in seen.items():
        assert (engines, pods) == (name, name)
    for mark in marks.values():
        wait_until(lambda mark=mark: not left_behind(mark, cluster=True), "everything to be gone", timeout=120)


@pytest.mark.cluster
def test_layers_of_an_image_that_adds_nothing_to_its_base_are_read(seed: str, tmp_path: Path):
    (tmp_path / "Dockerfile").write_text('FROM python:3.11-slim\nCMD ["sleep", "9"]\n')
    with box(new_mark(), seed=seed) as it:
        image = Docker(it.docker_host).build(tmp_path)
        assert image.contains(b"no such bytes anywhere") is None
        assert any(path.endswith("/python3.11") for _, path, _ in image.layer_files())


@pytest.mark.slow  # these labs' images take a minute each to prepare
@pytest.mark.parametrize(
    ("slug", "base"), [("lab2_container", "digits:v1"), ("lab6_training", "localhost:5001/training:v1")]
)
def test_a_push_of_what_a_lab_begins_with_sends_names_and_no_layer(slug: str, base: str):
    build = f"cd /work && printf 'FROM {base}\\nLABEL mine=1\\n' | docker build -q -t localhost:5001/mine/digits:v1 -"
    with box(new_mark(), seed=seeding.have(find_lab(slug)), registry=True) as it:
        said = learner(it, f"{build} && docker push localhost:5001/mine/digits:v1")
        assert "digest: sha256:" in said and "Mounted from" in said
        assert "Pushed" not in said


def test_one_that_ends_takes_no_image_from_another(seed: str, tmp_path: Path):
    """The lab's own image is one image on the node, under a name for each submission."""
    start = (
        "!kubectl run {name} --image=localhost:5001/digits:v1 > /dev/null\n"
        "!kubectl wait --for=condition=Ready pod/{name} --timeout=60s"
    )
    with opened(LAB3, tmp_path / "stays") as stays:
        with opened(LAB3, tmp_path / "ends") as ends:
            assert "condition met" in notebook(ends, start.format(name="one"))[0]
        assert "condition met" in notebook(stays, start.format(name="two"))[0]


def test_sandboxes_that_were_started_ahead_are_taken_and_nothing_is_left(seed: str, tmp_path: Path, monkeypatch):
    """Two learners after each other; the second one's sandbox of before the first one's end is the one it runs in."""
    lab, works = find_lab(LAB1), [tmp_path / name for name in ("ada", "bela", "chen")]
    marks = [key(lab, work.name, work) for work in works]
    with Ahead() as ahead:
        for work in works:
            shutil.copytree(Path(__file__).resolve().parents[2] / "labs" / LAB1, work)
            ahead.begin(lab, work.name, key(lab, work.name, work))
        tokens = {work.name: ahead.take(lab, work.name)[TOKENS].split() for work in works}
        engine.client().api.kill(f"shipyard-box-{tokens['bela'][0]}")
        for work, mark in zip(works[:2], marks[:2], strict=True):
            monkeypatch.setenv(TOKENS, " ".join(tokens[work.name]))
            with sandboxed(lab, mark, work.name, work, 7) as it:
                used = [it.learner.token, it.judge.token]
                assert notebook(it, "!id -un")[0].split() == ["learner"]
            # One of bela's has died meanwhile: she gets two that run.
            assert (used == tokens[work.name]) == (work.name == "ada")
            ahead.done(lab, work.name)  # in the background, while feedback is written
            wait_until(lambda mark=mark: not left_behind(mark), "both sandboxes to be gone", timeout=20)
    for mark in marks:  # chen's, too, which nobody took
        assert left_behind(mark) == []


def test_the_guard_allows_and_refuses_what_it_says():
    guard = Path(__file__).resolve().parents[2] / "docker" / "sandbox" / "guard"
    done = subprocess.run([golang.go(), "test", "./..."], cwd=guard, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
