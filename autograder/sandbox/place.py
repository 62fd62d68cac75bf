"""Give a submission a sandbox to run in, and its grader a fresh one to judge in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from jupyter_client.manager import AsyncKernelManager

from autograder.facts import CannotCheck, Place
from autograder.labs import Lab
from autograder.sandbox import copying, network, seeding
from autograder.sandbox.box import Box, box, sweep
from autograder.sandbox.kernel import manager_for


@dataclass
class Sandboxed:
    """Hold a submission's two sandboxes: the learner's, and the judge's, which the learner never touches."""

    learner: Box
    judge: Box
    place: Place
    kernel_manager: type[AsyncKernelManager]
    keep: str
    pool: ThreadPoolExecutor
    over: bool  # whether the learner's is not needed once the notebook has run: no pod pulls from its registry

    def take_back(self) -> list[str]:
        """End the learner's processes and bring the folder back; return what had to be left out."""
        left_out = copying.take_back(self.learner, self.place.work, self.keep)
        if self.over:
            self.pool.submit(self.learner.dispose)  # its memory is free while we judge
        self.judge.wait_ready()
        return left_out


@contextmanager
def sandboxed(
    lab: Lab, mark: str, student: str, work: Path, salt: int, say: Callable[[str], None] = lambda text: None
) -> Iterator[Sandboxed]:
    """Start a submission's sandboxes with its folder copied in; leave nothing of them behind.

    The learner's has a kernel, an engine and, for a lab on the cluster, rights in
    one namespace and a registry of its own. The place that is yielded is the
    judge's: an engine and a registry in the lab's start state, the same namespace.
    Raises CannotCheck where they do not come up.
    """
    sweep(mark)
    seed, registry = seeding.have(lab), "cluster" in lab.needs
    place, variables, keep = Place(work=work, salt=salt), {}, set()
    tokens: list[str] = []
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2))
        aside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shipyard-")))
        boxes = stack.enter_context(_Two(pool, mark, seed, registry))  # they start while the namespace is made
        if registry:
            from autograder.grading.namespace import namespace
            from autograder.ground.cluster import connection

            api = connection()
            stack.callback(api.close)
            network.open_gate(api)
            stack.callback(lambda: [network.forget_images(token, keep) for token in tokens])
            place, variables = stack.enter_context(namespace(mark, lab.slug, student, work, salt, aside, say))
        learner, judge = boxes.started()
        if registry:
            tokens.append(learner.token)
            network.assign(api, place.namespace, learner.token)
            network.kubeconfig(Path(variables["KUBECONFIG"]), learner.folder / "in" / "kubeconfig")
            judge.wait_ready()
            keep |= digests(judge)
        try:
            copying.hand_in(work, learner)
        except copying.TooMuch as much:
            raise CannotCheck(str(much), "Ask the learner to hand in only the lab's files.") from None
        place = Place(
            work=work, namespace=place.namespace, context=place.context, salt=salt, docker_host=judge.docker_host,
            **({"registry": judge.registry} if registry else {}),
        )  # fmt: skip
        yield Sandboxed(learner, judge, place, manager_for(learner), f"{lab.slug}.ipynb", pool, over=not registry)


class _Two:
    """Start two sandboxes at once, the second without waiting for it, and end them at once."""

    def __init__(self, pool: ThreadPoolExecutor, mark: str, seed: str, registry: bool):
        self._pool = pool
        self._boxes = [box(mark, seed=seed, registry=registry, wait=wait) for wait in (True, False)]

    def __enter__(self) -> _Two:
        self._started = [self._pool.submit(one.__enter__) for one in self._boxes]
        return self

    def started(self) -> tuple[Box, Box]:
        """Return the learner's and the judge's. Raises CannotCheck where one does not start."""
        return self._started[0].result(), self._started[1].result()

    def __exit__(self, *_: object) -> None:
        # A context that was not entered (its start failed) has tidied up by itself.
        entered = [one for one, began in zip(self._boxes, self._started, strict=True) if not began.exception()]
        for ended in [self._pool.submit(one.__exit__, None, None, None) for one in entered]:
            ended.result()


def digests(it: Box) -> set[str]:
    """Return the digests of all that a sandbox's registry holds under a tag."""
    found = set()
    accept = ", ".join(
        f"application/vnd.{kind}+json"
        for kind in ("oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.list.v2",
                     "docker.distribution.manifest.v2")
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://{it.registry}/v2", timeout=20) as registry:
            for name in registry.get("/_catalog").json().get("repositories") or []:
                for tag in registry.get(f"/{name}/tags/list").json().get("tags") or []:
                    answer = registry.head(f"/{name}/manifests/{tag}", headers={"accept": accept})
                    found.add(answer.headers.get("docker-content-digest", ""))
    except (httpx.HTTPError, ValueError) as error:
        raise CannotCheck(f"The sandbox's registry does not answer: {error}", "Grade again.") from error
    return found - {""}
