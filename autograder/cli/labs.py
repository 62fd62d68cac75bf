"""The commands for labs: grade, release, ..."""

import typer


def register(typed: typer.Typer) -> None:
    """Add this module's commands."""
