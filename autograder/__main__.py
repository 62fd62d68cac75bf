"""`python -m autograder` is `shipyard`."""

from autograder.cli import app

app()
