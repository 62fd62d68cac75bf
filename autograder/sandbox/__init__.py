"""Run a submission where it can harm nobody: a disposable container with an engine of its own.

with box(lab, mark, work) as it:          # box.py: start, dispose
    it.docker_host, it.kernel_manager()   # the private engine; the learner's kernel
left_behind(it.token)                     # proof.py: nothing
"""
