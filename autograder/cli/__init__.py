"""The command line: each command says what it does, then lets the rooms of the house do it."""

from autograder.cli.main import app

__all__ = ["app"]
