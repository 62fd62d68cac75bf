"""The transformations that turn a lab's text into nbgrader's source notebook, in their order.

Each is a pure function: it takes a notebook and the lesson it is from, and
returns a new notebook.
"""

from autograder.release.steps.bare import bare
from autograder.release.steps.demands import demands
from autograder.release.steps.expand import expand

STEPS = (demands, expand, bare)

__all__ = ["STEPS", "bare", "demands", "expand"]
