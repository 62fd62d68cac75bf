"""Start a lab: see that what it stands on is up, and prepare what it starts from."""

from __future__ import annotations

import os
from pathlib import Path

from autograder.facts import CannotCheck, Place
from autograder.labs import Lab
from autograder.notebook.checking import _lab, _namespace, _recorder
from autograder.probes.words import cut

WAIT = "Wait: it is being brought up. The terminal where `make lab` or `shipyard up` runs says when it is there."


def begin() -> None:
    """Prepare the lab of the notebook's folder, and say in a line each what happens.

    Never raises: what is missing is said, with what to do about it.

    >>> begin()  # doctest: +SKIP
    Docker answers.
    The lab is ready. Go on with the next cell.
    """
    try:
        lab, work = _lab()
        if os.environ.get("SHIPYARD_GRADING"):
            print("The grader has prepared this lab.")
            return
        place = Place(work=work, namespace=_namespace(lab))
        _look(lab, place)
        _start(lab, place)
        _recorder(lab, work)
        print("The lab is ready. Go on with the next cell.")
    except CannotCheck as fault:
        print(f"Not ready: {fault.cause}\nWhat to do: {_what_to_do(fault)}\nThen run this cell again.")
    except KeyError:
        print(f"Not ready: no checks.py lies beside this notebook (looked in {Path.cwd().name}/).")
        print("What to do: open the notebook inside its lab's folder, with the files that came with it.")
    except Exception as fault:  # ours: a beginner's first cell must not end in a traceback
        print(f"Not ready: {type(fault).__name__}: {cut(str(fault))}")
        print("What to do: restart the kernel and run this cell again; if it comes back, report it.")


def _what_to_do(fault: CannotCheck) -> str:
    from autograder.ground.locks import coming_up  # not in a sandbox, where nothing is ever brought up

    return WAIT if coming_up() else fault.fix


def _look(lab: Lab, place: Place) -> None:
    """Raise CannotCheck where the engine or the cluster that the lab needs is not there."""
    if "docker" in lab.needs:
        from autograder.probes.docker import Docker

        Docker(place.docker_host).client.ping()
        print("Docker answers.")
    if "cluster" in lab.needs:
        from autograder.probes.kubernetes import Kube

        Kube(place).pods()
        print(f"The cluster answers; you work in the namespace {place.namespace}.")
    if "trainer" in lab.needs:
        from autograder.probes.kubernetes import Kube
        from autograder.probes.training import Trainings

        Trainings(Kube(place)).runtimes()
        print("Kubeflow Trainer answers.")
    if "kserve" in lab.needs:
        from autograder.probes.inference import Inference
        from autograder.probes.kubernetes import Kube

        Inference(Kube(place)).names()
        print("KServe answers.")


def _start(lab: Lab, place: Place) -> None:
    """Call the lab's own `start(place)` in seen.py, if it has one."""
    if start := getattr(lab.seen, "start", None):
        print("Preparing what the lab starts from; the first time takes about a minute …", flush=True)
        start(place)
