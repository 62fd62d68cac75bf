"""What is typed wrongly is answered in plain words, each letter of it as it was typed."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

import autograder.cli.regrade
from autograder.cli.grade import Teller, line
from autograder.cli.main import app
from autograder.facts import CannotCheck
from autograder.grading.grade import CONFIG
from autograder.grading.outcome import Outcome, Standing, Step
from autograder.ground.progress import Board


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course in which two learners have handed something in."""
    root = tmp_path / "ml [containers]"
    for name in ("ada", "bela"):
        (root / "submitted" / name / "lab1_dockerfile").mkdir(parents=True)
    root.joinpath("nbgrader_config.py").write_text(CONFIG)
    return root


@pytest.fixture
def shipyard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command that must fail, and return what it says."""

    def run(*typed: str) -> str:
        monkeypatch.setattr(sys, "argv", ["shipyard", *typed])
        with pytest.raises(SystemExit) as ended:
            app()
        assert ended.value.code == 1
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", ["[/b]", "[red]lab1", "lab1[", "lab1\\"])
def test_a_name_that_looks_like_markup_is_said_as_it_is(shipyard, name):
    said = shipyard("reset", name)
    assert name in said
    assert "lab1_dockerfile" in said


def test_a_course_that_is_not_there_is_told_from_one_without_a_configuration(shipyard, course):
    assert "there is no folder" in shipyard("grade", "--course", str(course / "other"))
    course.joinpath("nbgrader_config.py").unlink()
    said = shipyard("grade", "--course", str(course))
    assert f"{course} has no nbgrader_config.py" in said
    assert "plug_in(get_config())" in said


@pytest.mark.parametrize("command", ["grade", "regrade"])
def test_a_mistyped_student_is_named_before_anything_is_brought_up(shipyard, course, command):
    said = shipyard(command, "--course", str(course), "--student", "ada", "--student", "bella")
    assert "no folder in submitted/ called bella" in said
    assert "Did you mean bela?" in said


def test_regrading_brings_up_nothing_for_labs_that_nobody_handed_in(shipyard, course, monkeypatch):
    def bring_up(needs):
        raise CannotCheck(f"brought up: {sorted(needs)}")

    monkeypatch.setattr(autograder.cli.regrade, "bring_up", bring_up)
    assert "brought up: ['docker']" in shipyard("regrade", "--course", str(course))


def test_a_learner_whose_name_looks_like_markup_is_graded_under_it(capsys):
    name = "[/b]ela"
    with Board(Console(force_terminal=True, width=100)) as board:
        board.note(line(Outcome(name, "lab1_dockerfile", Standing.UNREADABLE)))
        Teller(board)(Step(name, "lab1_dockerfile", 1, 2, "judging [alone]"))
    said = capsys.readouterr().out
    assert f"{name}: unreadable" in said.replace("\x1b[33m", "").replace("\x1b[0m", "")
    assert f"{name}: judging [alone]" in said
