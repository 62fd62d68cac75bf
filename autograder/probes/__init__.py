"""Look at Docker, HTTP and Kubernetes: read-only nouns, one a file.

A probe never judges. What the learner's work lacks is raised as NotThere, what
we could not see as CannotCheck (autograder.facts). Import a probe from its own
file, so that a lab about Docker never loads the Kubernetes client:

    from autograder.probes.docker import Docker
    from autograder.probes.http import ask
    from autograder.probes.kubernetes import Kube
"""
