"""What could not be judged is graded once more at the end, where the fault may have passed."""

from dataclasses import replace

import pytest

from autograder.checks import Result, Status
from autograder.cli.again import with_second_tries
from autograder.grading.outcome import Outcome, Standing


def outcome(student: str, status: Status = Status.PASS) -> Outcome:
    points = 2.0 if status is Status.PASS else 0.0
    return Outcome(
        student, "lab", Standing.GRADED, results=(Result("answers", status, points, 2.0, "an answer", "one"),)
    )


def tried(first: list[Outcome], second: dict[str, Outcome]) -> tuple[list[Outcome], list[str]]:
    """Return what came, in its order, and who was graded again."""
    again = []

    def grade(left):
        again.extend(student for student, _ in left)
        return (second[student] for student, _ in left)

    return list(with_second_tries(first, grade)), again


FAULT = Outcome("bela", "lab", Standing.FAULT, "the engine went away")


@pytest.mark.parametrize("fault", [FAULT, outcome("bela", Status.ERROR)], ids=["fault", "error"])
def test_a_passing_fault_ends_with_a_grade(fault):
    ada, bela, chen = (outcome(student) for student in ("ada", "bela", "chen"))
    assert tried([ada, fault, chen], {"bela": bela}) == ([ada, fault, chen, bela], ["bela"])


def test_a_fault_that_stays_is_told_and_is_not_tried_for_ever():
    assert tried([outcome("ada"), FAULT], {"bela": FAULT}) == ([outcome("ada"), FAULT, FAULT], ["bela"])


def test_a_verdict_is_never_asked_for_again():
    wrong, unreadable = outcome("ada", Status.FAIL), Outcome("bela", "lab", Standing.UNREADABLE, "no notebook")
    assert tried([wrong, unreadable], {}) == ([wrong, unreadable], [])


def test_where_many_have_no_grade_each_is_told_once_and_nobody_waits_for_all_of_them_once_more():
    class_ = [replace(FAULT, student=str(n)) for n in range(4)] + [outcome(name) for name in "abcdef"]
    assert tried(class_, {}) == (class_, [])


def test_of_a_large_class_a_fifth_is_tried_again():
    class_ = [replace(FAULT, student=str(n)) for n in range(4)] + [outcome(f"{n} fine") for n in range(16)]
    assert tried(class_, {str(n): outcome(str(n)) for n in range(4)})[1] == ["0", "1", "2", "3"]
