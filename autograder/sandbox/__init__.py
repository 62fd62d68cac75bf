"""Run a submission where it can harm nobody: a disposable container with an engine of its own.

with box(lab, mark, work) as it:          # box.py: start, dispose
    it.docker_host, it.kernel_manager()   # the private engine; the learner's kernel
left_behind(it.token)                     # proof.py: nothing
"""

import os


def wanted() -> bool:
    """Tell whether submissions run in sandboxes: they do, unless SHIPYARD_SANDBOX=0 (`shipyard grade --no-sandbox`)."""
    return os.environ.get("SHIPYARD_SANDBOX") != "0"
