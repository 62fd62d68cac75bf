"""What a learner's notebook uses: `from autograder.notebook import check`."""

from autograder.notebook.checking import Report, check

__all__ = ["Report", "check"]
