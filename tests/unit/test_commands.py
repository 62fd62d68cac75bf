"""kind and kubectl are found by a shell, and a learner's own ones stay."""

from pathlib import Path

import pytest

from autograder.ground import commands, golang
from autograder.ground.step import tools


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of /usr/local/bin; programs are built, and PATH is a lab's kernel's."""
    folder, built = tmp_path / "system", tmp_path / "shipyard" / "node-1"
    for one in (folder, built):
        one.mkdir(parents=True)
    for name in commands.NAMES:
        built.joinpath(name).write_text("#!/bin/sh\n")
        built.joinpath(name).chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(commands, "SYSTEM", folder)
    monkeypatch.setattr(golang, "folder", lambda: built)
    monkeypatch.setenv("PATH", f"{tools()}:{folder}")
    return folder


def test_both_are_linked_where_a_shell_looks_though_our_own_folder_is_in_path(system: Path):
    tools().joinpath("kind").symlink_to(golang.folder() / "kind")
    assert not commands.there()
    commands.install()
    assert commands.there()
    assert {one.name for one in system.iterdir()} == set(commands.NAMES)


def test_a_link_to_a_cache_that_was_removed_is_led_to_the_new_one(system: Path, tmp_path: Path):
    system.joinpath("kind").symlink_to(tmp_path / "shipyard" / "node-0" / "kind")
    commands.install()
    assert commands.there()
    assert system.joinpath("kind").readlink() == golang.folder() / "kind"


def test_a_kubectl_of_the_users_own_stays(system: Path):
    system.joinpath("kubectl").write_text("#!/bin/sh\necho mine\n")
    system.joinpath("kubectl").chmod(0o755)
    commands.install()
    assert commands.there()
    assert "mine" in system.joinpath("kubectl").read_text()


def test_a_system_that_cannot_be_written_to_does_without(system: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(commands.os, "access", lambda place, mode: Path(place) != system)
    commands.install()
    assert commands.there()
    assert list(system.iterdir()) == []
