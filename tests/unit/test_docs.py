"""What the documents name is there: files, tests, make targets, commands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/decisions.md"]
ROOMS = ("autograder", "course", "docker", "docs", "k8s", "labs", "solutions", "tests")


def named(doc: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, (ROOT / doc).read_text(), re.MULTILINE))


@pytest.mark.parametrize("doc", DOCS)
def test_files_that_a_document_names_are_there(doc):
    paths = {path for path in named(doc, r"`([\w./-]+/[\w./-]*)`") if path.startswith(ROOMS)}
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_tests_that_the_threat_model_names_are_there():
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = {name for name in named("SECURITY.md", r"`(test_\w+)`")}
    assert names and {name for name in names if f"def {name}(" not in written} == set()


@pytest.mark.parametrize("doc", DOCS)
def test_make_targets_that_a_document_names_are_there(doc):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named(doc, r"(?:^    |`)make ([a-z-]+)") <= targets


def test_commands_that_the_readme_names_are_there():
    from autograder.cli.main import typed

    commands = {command.callback.__name__ for command in typed.registered_commands}
    assert named("README.md", r"shipyard ([a-z]+)") <= commands
