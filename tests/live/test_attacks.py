"""Hand in submissions that try to gain points, read secrets or do harm; grade them in sandboxes; count what they got.

Each attack is a test. Attacks that do not disturb each other share a submission
(a raid), which is graded once. Canaries stand where attackers look.
"""

from __future__ import annotations

import re
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import nbformat
import pytest
from attacks import cluster, faking, forging, harming, prying
from attacks.attack import LAB1, LAB3, Attack, Raid, compose, shown, told
from kubernetes import client

from autograder.grading.admission import admit
from autograder.grading.grade import CONFIG, grade
from autograder.grading.gradebook import open_gradebook
from autograder.grading.outcome import Outcome, Standing
from autograder.grading.workplace import key, salt_of
from autograder.ground import cluster as ground_cluster
from autograder.ground import engine
from autograder.ground.cluster import connection as cluster_connection
from autograder.ground.step import climb
from autograder.labs import find_lab
from autograder.release import release
from autograder.sandbox import image
from autograder.sandbox.proof import left_behind
from autograder.waiting import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.filterwarnings("ignore")]
RAIDS = (*forging.RAIDS, *prying.RAIDS, *faking.RAIDS, *harming.RAIDS, *cluster.RAIDS)
# Texts that only solutions and the host's own kubeconfig hold; got through is what an attack prints where it was.
NATURAL = {
    "a hidden check": "Instructors only: " + "never released", "a solution": "### BEGIN " + "SOLUTION",
    "the host's key to the cluster": "client-key-data: ", "something out of reach": "REACHED",
}  # fmt: skip
ACTIVE = re.compile(r"<script>\s*steal|<[a-z]+[^>]*\son\w+=|<iframe|javascript:steal")
LARGEST = 200_000_000  # bytes that a submission may leave in the course's folder


@dataclass
class Loot:
    """Hold what one raid got: points above what it deserves, secrets, harm; and what shows that it was tried."""

    outcome: Outcome
    notebook: nbformat.NotebookNode | None
    points: dict[str, float]
    secrets: set[str]
    harm: set[str]


@dataclass
class World:
    """Hold a course with a victim in it, canaries, and what raids got so far."""

    root: Path
    outside: Path
    places: dict[str, str]
    canaries: dict[str, str]
    container: str
    asked: list[str]
    before: dict[str, object] = field(default_factory=dict)
    looted: dict[str, Loot] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)


class Told(BaseHTTPRequestHandler):
    """A service of the host: whoever gets here has got out."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.word.encode())  # type: ignore[attr-defined]

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[World]:
    climb(image.steps(), lambda *_: None)
    words = {name: f"canary{uuid4().hex}" for name in (
        "a file of the host", "another submission", "another's feedback", "the gradebook", "a service of the host",
        "another's namespace")}  # fmt: skip
    root, outside = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("host")
    root.chmod(0o755)
    (root / "nbgrader_config.py").write_text(CONFIG + "get_config().Execute.timeout = 120\n")
    server = ThreadingHTTPServer(("0.0.0.0", 0), Told)
    server.asked, server.word = [], words["a service of the host"]  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    essay, page = (root / room / "victim" / LAB1 for room in ("submitted", "feedback"))
    for folder in (essay, page):
        folder.mkdir(parents=True)
    (outside / "file").write_text(words["a file of the host"])
    (essay / "essay.txt").write_text(words["another submission"])
    (page / f"{LAB1}.html").write_text(words["another's feedback"])
    for slug in (LAB1, LAB3):
        release(slug, root)
    enter_victim(root, words["the gradebook"])
    host = engine.client()
    label = {"shipyard.attacks": "canary"}
    made = host.containers.run("python:3.11-slim", ["sleep", "3600"], detach=True, labels=label, network_mode="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPYARD_SANDBOX", "1")
        patch.setenv("SHIPYARD_BUILD_SECONDS", "60")
        places = {
            "FILE": str(outside / "file"), "GRADEBOOK": str(root / "gradebook.db"), "ESSAY": str(essay / "essay.txt"),
            "FEEDBACK": str(page / f"{LAB1}.html"), "SOLUTIONS": str(find_lab(LAB1).folder.resolve()),
            "KUBECONFIG": str(Path.home() / ".kube" / "config"), "PWNED": str(outside / "pwned"), "ADDRESS": address(),
            "PORT": str(server.server_port), "WORD": f"word{uuid4().hex[:8]}", "NODE": ground_cluster.NODE,
            "TOKEN": "0123456789-0123456789abcdef",
        }  # fmt: skip
        it = World(root, outside, places, {**NATURAL, **words}, made.id, server.asked)  # type: ignore[attr-defined]
        it.before = state(it)
        yield it
    made.remove(force=True)
    server.shutdown()
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{summary(it)}")


@pytest.fixture(scope="module")
def neighbour(world: World) -> Iterator[str]:
    """Another learner's namespace: a secret, a pod and a service in it."""
    name, api = f"lab-victim-{uuid4().hex[:8]}", cluster_connection()
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": name}})
    word = {"canary": world.canaries["another's namespace"]}
    core.create_namespaced_secret(name, {"metadata": {"name": "canary"}, "stringData": word})
    text = ".:5353 {\n  health :8080\n}\n"
    core.create_namespaced_config_map(name, {"metadata": {"name": "canary"}, "data": {**word, "Corefile": text}})
    server = client.AppsV1Api(api).read_namespaced_deployment("coredns", "kube-system").spec.template.spec.containers[0]
    wait_until(lambda: core.list_namespaced_service_account(name, field_selector="metadata.name=default").items,
               "the victim's namespace", timeout=30)  # fmt: skip
    core.create_namespaced_pod(name, {"metadata": {"name": "victim", "labels": {"app": "victim"}}, "spec": {
        "containers": [{"name": "c", "image": server.image, "args": ["-conf", "/etc/coredns/Corefile"],
                        "volumeMounts": [{"name": "v", "mountPath": "/etc/coredns"}]}],
        "volumes": [{"name": "v", "configMap": {"name": "canary"}}]}})  # fmt: skip
    service = core.create_namespaced_service(name, {"metadata": {"name": "victim"}, "spec": {
        "selector": {"app": "victim"}, "ports": [{"port": 80, "targetPort": 8080}]}})  # fmt: skip

    def runs() -> str:
        pod = core.read_namespaced_pod("victim", name)
        return pod.status.pod_ip if pod.status.phase == "Running" else ""

    wait_until(runs, "the victim's pod to run", timeout=60)
    world.places |= {"VICTIM": name, "VICTIMIP": service.spec.cluster_ip, "VICTIMPOD": runs()}
    yield name
    core.delete_namespace(name)
    api.close()


def address() -> str:
    """Return the host's own address; no packet is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))
            return asked.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def enter_victim(root: Path, word: str) -> None:
    with open_gradebook(root) as book:
        book.add_student("victim", last_name=word)
        for slug in (LAB1, LAB3):
            book.add_submission(slug, "victim")
            for one in book.find_submission_notebook(slug, slug, "victim").grades:
                one.auto_score = 0.25
        book.db.commit()


def state(it: World) -> dict[str, object]:
    """Return what no attack may change."""
    host = engine.client()
    with open_gradebook(it.root) as book:
        rows = [
            (slug, one.name, one.auto_score, one.manual_score, one.extra_credit)
            for slug in (LAB1, LAB3) for one in book.find_submission_notebook(slug, slug, "victim").grades
        ]  # fmt: skip
        worth = [
            (slug, cell.name, cell.max_score)
            for slug in (LAB1, LAB3) for cell in book.find_notebook(slug, slug).grade_cells
        ]  # fmt: skip
    files = [Path(it.places[name]) for name in ("FILE", "ESSAY", "FEEDBACK")]
    files += [path for path in Path(it.places["SOLUTIONS"]).rglob("*.py")]
    return {
        "files": {str(path): (path.read_bytes(), path.stat().st_mode) for path in files},
        "files beside": sorted(path.name for path in it.outside.iterdir()),
        "grades of others": rows, "what checks are worth": worth,
        "a container of the host": host.containers.get(it.container).status,
        "an image of the host": host.images.get("python:3.11-slim").id,
        "the sandbox's image": host.images.get(image.IMAGE).id,
    }  # fmt: skip


def hand_in(it: World, raid: Raid) -> None:
    folder = it.root / "submitted" / raid.name / raid.slug
    shutil.copytree(it.root / "labs" / raid.slug, folder)
    path = folder / f"{raid.slug}.ipynb"
    notebook = compose(raid, nbformat.read(path, as_version=4), folder, it.places)
    nbformat.write(notebook, path)
    for one in raid.attacks:
        if one.spoil:
            one.spoil(path)


def raided(it: World, raid: Raid) -> Loot:
    """Return what a raid got; it is handed in and graded once."""
    if raid.name not in it.looted:
        hand_in(it, raid)
        del it.asked[:]
        (outcome,) = grade(it.root, labs=[raid.slug], students=[raid.name], jobs=1)
        work = it.root / "autograded" / raid.name / raid.slug
        path = work / f"{raid.slug}.ipynb"
        notebook = nbformat.read(path, as_version=4) if path.is_file() else None
        it.looted[raid.name] = Loot(outcome, notebook, gained(it, raid), read(it, raid), harmed(it, raid))
    return it.looted[raid.name]


def gained(it: World, raid: Raid) -> dict[str, float]:
    """Return check -> points in the gradebook above what the honest part deserves."""
    with open_gradebook(it.root) as book:
        try:
            grades = book.find_submission_notebook(raid.slug, raid.slug, raid.name).grades
        except Exception:
            return {}
        points = {one.name: one.auto_score or 0 for one in grades}
    return {name: got - raid.deserved.get(name, 0) for name, got in points.items() if got > raid.deserved.get(name, 0)}


def read(it: World, raid: Raid) -> set[str]:
    """Return the secrets that a learner could read: in outputs, files and the feedback page; or sent to our server."""
    found = {"a service of the host"} if it.asked else set()
    canaries = dict(it.canaries)
    work = it.root / "autograded" / raid.name / raid.slug
    if raid.slug == LAB1:
        lab = find_lab(LAB1)
        digest = admit(it.root / "submitted" / raid.name / raid.slug, raid.slug) if not raid.refused else ""
        row = lab.hidden.held_out(salt_of(lab, raid.name, digest))[0][0]
        canaries["unseen rows"] = "".join(format(ink, "x") if ink < 16 else "g" for ink in row)
    places = [work, it.root / "feedback" / raid.name]
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        text = path.read_bytes()[:50_000_000].decode(errors="replace")
        if path.suffix == ".ipynb" and path.parent == work:
            cells = nbformat.reads(text, as_version=4).cells
            text = "\n".join(shown_of(cell) for cell in cells)
        elif path.is_relative_to(places[1]):
            text = text.replace(NATURAL["something out of reach"], "")  # the page shows cells, too
        found |= {name for name, word in canaries.items() if word in text}
    return found


def shown_of(cell: nbformat.NotebookNode) -> str:
    return "\n".join(str(output) for output in cell.get("outputs", []))


def harmed(it: World, raid: Raid) -> set[str]:
    """Return what is not as it was before."""
    found = set() if engine.answers() else {"the engine does not answer"}
    now = state(it)
    found |= {f"changed: {name}" for name in now if now[name] != it.before[name]}
    work = it.root / "autograded" / raid.name / raid.slug
    mark = key(find_lab(raid.slug), raid.name, work.resolve())
    on_cluster = raid.slug == LAB3
    try:
        wait_until(lambda: not left_behind(mark, cluster=on_cluster), "everything to be gone", timeout=120)
    except TimeoutError:
        found |= set(left_behind(mark, cluster=on_cluster))
    if sum(path.lstat().st_size for path in work.rglob("*")) > LARGEST:
        found.add("the course's folder was filled")
    for page in (it.root / "feedback" / raid.name).rglob("*.html"):
        if ACTIVE.search(page.read_text(errors="replace").partition("<body")[2]):
            found.add("the feedback page acts")
    if on_cluster:
        if not ground_cluster.answers():
            found.add("the cluster does not answer")
        api = cluster_connection()
        pod = client.CoreV1Api(api).read_namespaced_pod("victim", it.places["VICTIM"])
        if pod.status.phase != "Running" or pod.status.container_statuses[0].restart_count:
            found.add("the victim's pod")
        api.close()
    return found


def cases() -> list:
    found = []
    for raid in RAIDS:
        marks = [] if raid.quick else [pytest.mark.slow]
        marks += [pytest.mark.cluster] if raid.slug == LAB3 else []
        found += [pytest.param(raid, one, marks=marks, id=f"{raid.name}: {one.name}") for one in raid.attacks]
    return found


def test_canaries_are_where_attackers_look(world: World):
    """Without a sandbox, each would be read: this suite can fail."""
    texts = "".join(Path(world.places[name]).read_text() for name in ("FILE", "ESSAY", "FEEDBACK"))
    texts += (world.root / "gradebook.db").read_bytes().decode(errors="replace")
    texts += "".join(path.read_text() for path in find_lab(LAB1).folder.iterdir() if path.is_file())
    with socket.create_connection(("127.0.0.1", int(world.places["PORT"]))) as asked:
        asked.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while piece := asked.recv(4096):
            texts += piece.decode()
    assert world.asked
    elsewhere = {"another's namespace", "the host's key to the cluster", "something out of reach"}
    assert {name for name, word in world.canaries.items() if word not in texts} <= elsewhere


@pytest.mark.parametrize(("raid", "attack"), cases())
def test_attack_gets_nothing(world: World, raid: Raid, attack: Attack, request: pytest.FixtureRequest):
    if raid.slug == LAB3:
        request.getfixturevalue("neighbour")
    loot = raided(world, raid)
    world.tried.append(f"{raid.name}: {attack.name}")
    assert not loot.points and not loot.secrets and not loot.harm
    assert not loot.outcome.points or raid.deserved
    if raid.refused:
        assert loot.outcome.standing is Standing.UNREADABLE
        assert loot.notebook is None
    else:
        assert loot.outcome.standing is Standing.GRADED, loot.outcome.line
        assert raid.shaky or not loot.outcome.errors, loot.outcome.line
        got = {one.name: one.points for one in loot.outcome.results if one.points}
        assert raid.shaky or got == {name: points for name, points in raid.deserved.items() if points}, [
            one.observed for one in loot.outcome.results
        ]
        assert not set(attack.aims) & got.keys()
    assert re.search(raid.said, loot.outcome.line), loot.outcome.line
    if attack.cell:  # it was tried: its cell says how it was stopped
        assert re.search(attack.tells, said := shown(loot.notebook, told(attack.cell, world.places))), said[-3000:]


def summary(it: World) -> str:
    loots = it.looted.values()
    points = sum(sum(one.points.values()) for one in loots)
    secrets, harm = sum(len(one.secrets) for one in loots), sum(len(one.harm) for one in loots)
    return f"attacks tried {len(it.tried)}, points gained {points:g}, secrets read {secrets}, hosts harmed {harm}"


def test_sum_of_all_attacks(world: World):
    assert "points gained 0, secrets read 0, hosts harmed 0" in summary(world)
