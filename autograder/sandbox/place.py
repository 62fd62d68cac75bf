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
from autograder.probes.registry import MANIFESTS
from autograder.sandbox import copying, network
from autograder.sandbox.box import Box
from autograder.sandbox.kernel import manager_for
from autograder.sandbox.pair import pair
from autograder.sandbox.seeding import with_registry


@dataclass
class Sandboxed:
    """Hold a submission's two sandboxes: the learner's, and the judge's, which the learner never touches."""

    learner: Box
    judge: Box
    place: Place
    kernel_manager: type[AsyncKernelManager]
    keep: str
    over: bool  # whether the learner's is not needed once the notebook has run: no pod pulls from its registry
    gate: str = ""  # since when the gate runs, where the lab needs it

    def take_back(self) -> list[str]:
        """End the learner's processes and bring the folder back; return what had to be left out."""
        left_out = copying.take_back(self.learner, self.place.work, self.keep)
        if self.over:
            self.learner.end()  # its memory is free while we judge
        self.judge.wait_ready()
        return left_out

    def fault(self) -> CannotCheck | None:
        """Return why no verdict counts: something that it hung on ended while the work was done or judged.

        A pod whose registry is gone has no image, a command whose way to the cluster is gone has no effect.
        """
        needed = [self.judge]
        if not self.over and not self.learner.out_of_memory():  # it ends by what the learner did, then
            needed.append(self.learner)
        try:
            for one in needed:
                one.must_answer()
            if self.gate and self.gate != network.opened():
                return CannotCheck("While this was graded, the sandboxes' gate to the cluster ended.", "Grade again.")
        except CannotCheck as fault:
            return fault
        return None


@contextmanager
def sandboxed(
    lab: Lab, mark: str, student: str, work: Path, salt: int, say: Callable[[str], None] = lambda text: None
) -> Iterator[Sandboxed]:
    """Start a submission's sandboxes with its folder copied in; leave nothing of them behind.

    The learner's has a kernel, an engine and, for a lab that needs them, a registry
    of its own and rights in one namespace. The place that is yielded is the
    judge's: an engine and a registry in the lab's start state, the same namespace.
    Where the learner's containers are what is judged (the lab says
    ON_LEARNERS_ENGINE), it is the learner's engine, on which nobody of the
    learner's side runs any more but these containers.
    Raises CannotCheck where they do not come up.
    """
    cluster = "cluster" in lab.needs
    registry = with_registry(lab)
    own = getattr(lab.seen, "ON_LEARNERS_ENGINE", False)  # what runs there is what is judged
    place, variables, keep = Place(work=work, salt=salt), {}, set()
    pulled: list[str] = []
    gate = ""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2))
        aside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shipyard-")))
        boxes = stack.enter_context(pair(pool, lab, mark))  # they start while the namespace is made
        if cluster:
            from autograder.ground.cluster import connection
            from autograder.sandbox.namespace import namespace

            api = connection()
            stack.callback(api.close)
            network.open_gate(api)
            gate = network.opened()
            stack.callback(lambda: [network.forget_images(token, keep) for token in pulled])
            place, variables = stack.enter_context(namespace(mark, lab.slug, student, work, salt, aside, say))
        learner, judge = boxes.started()
        learner.wait_ready()
        if cluster:
            pulled.append(learner.token)
            network.assign(api, place.namespace, learner.token)
            network.kubeconfig(Path(variables["KUBECONFIG"]), learner.folder / "in" / "kubeconfig")
            judge.wait_ready()
            keep |= digests(judge)
        try:
            copying.hand_in(work, learner)
        except copying.TooMuch as much:
            raise CannotCheck(str(much), "Ask the learner to hand in only the lab's files.") from None
        place = Place(
            work=work, namespace=place.namespace, context=place.context, salt=salt,
            docker_host=(learner if own else judge).docker_host,
            **({"registry": (learner if own else judge).registry} if registry else {}),
        )  # fmt: skip
        yield Sandboxed(
            learner,
            judge,
            place,
            manager_for(learner),
            f"{lab.slug}.ipynb",
            over=not (registry or own),
            gate=gate,
        )


def digests(it: Box) -> set[str]:
    """Return the digests of all that a sandbox's registry holds under a tag."""
    found = set()
    try:
        with httpx.Client(base_url=f"http://{it.registry}/v2", timeout=20) as registry:
            for name in registry.get("/_catalog").json().get("repositories") or []:
                for tag in registry.get(f"/{name}/tags/list").json().get("tags") or []:
                    answer = registry.head(f"/{name}/manifests/{tag}", headers={"accept": MANIFESTS})
                    found.add(answer.headers.get("docker-content-digest", ""))
    except (httpx.HTTPError, ValueError) as error:
        raise CannotCheck(f"The sandbox's registry does not answer: {error}", "Grade again.") from error
    return found - {""}
