"""The course's own labs: generated files are up to date, no answer leaks, each check is proven by attempts."""

import pytest

from autograder.labs import course_root, syllabus
from autograder.release.attempts import attempts
from autograder.release.leaking import leaks
from autograder.release.releasing import drift


@pytest.fixture(autouse=True)
def the_real_course(monkeypatch):
    monkeypatch.delenv("SHIPYARD_COURSE", raising=False)


def folders(room: str) -> set[str]:
    return {
        path.name for path in (course_root() / room).iterdir()
        if path.is_dir() and not path.name.startswith((".", "_")) and not path.is_symlink()
    }  # fmt: skip


def test_syllabus_solutions_and_labs_name_the_same_labs():
    slugs = {lab.slug for lab in syllabus()}
    assert slugs == folders("solutions") == folders("labs")


def test_labs_are_what_solutions_make_to_the_byte():
    assert drift(course_root()) == []


def test_no_answer_and_no_hidden_check_is_in_labs():
    assert leaks(course_root()) == []


@pytest.mark.parametrize("lab", syllabus(), ids=lambda lab: lab.slug)
def test_each_check_is_failed_by_some_wrong_answer_and_passed_by_another_right_one(lab):
    found = attempts(lab)
    failed = {name for attempt in found if attempt.kind == "wrong" for name in attempt.fails}
    assert failed == {check.name for check in lab.checks}
    assert sum(attempt.kind == "right" for attempt in found) >= 2, "the reference and another way"


@pytest.mark.parametrize("lab", syllabus(), ids=lambda lab: lab.slug)
def test_a_check_is_failed_by_four_wrong_answers_on_average(lab):
    wrong = [attempt for attempt in attempts(lab) if attempt.kind == "wrong"]
    times = {check.name: sum(check.name in attempt.fails for attempt in wrong) for check in lab.checks}
    assert sum(times.values()) / len(times) >= 4, times
