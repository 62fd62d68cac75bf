"""Counting verdicts goes on where it stopped, and sees one that flips."""

from autograder.checks import Result, Status
from autograder.cli.flaky import counted, report
from autograder.grading.outcome import Outcome, Standing
from autograder.grading.tally import Tally, code_of
from autograder.labs import find_lab
from autograder.release.attempts import REFERENCE

LAB = "lab1_dockerfile"
CHOSEN = {("ada", LAB): REFERENCE}


def outcome(status: Status) -> Outcome:
    points = 2.0 if status is Status.PASS else 0.0
    return Outcome("ada", LAB, Standing.GRADED, results=(Result("answers", status, points, 2.0, "an answer", "one"),))


def test_a_count_goes_on_after_a_run_that_was_killed_while_it_wrote(tmp_path):
    path = tmp_path / "counts" / "flaky.jsonl"
    Tally(path, {LAB: "a"}).add(LAB, REFERENCE, outcome(Status.PASS))
    path.write_text(path.read_text() + "\n" + path.read_text().strip()[:40])
    Tally(path, {LAB: "a"}).add(LAB, REFERENCE, outcome(Status.PASS))
    assert counted(Tally(path, {LAB: "a"}), CHOSEN, 20) == 2


def test_more_gradings_than_asked_for_are_not_counted_twice(tmp_path):
    tally = Tally(tmp_path / "flaky.jsonl", {LAB: "a"})
    for _ in range(3):
        tally.add(LAB, REFERENCE, outcome(Status.PASS))
    assert counted(tally, CHOSEN, 2) == 2


def test_other_code_begins_a_new_count_and_leaves_the_old_one(tmp_path):
    path = tmp_path / "flaky.jsonl"
    Tally(path, {LAB: "a"}).add(LAB, REFERENCE, outcome(Status.PASS))
    assert counted(Tally(path, {LAB: "b"}), CHOSEN, 20) == 0
    assert counted(Tally(path, {LAB: "a"}), CHOSEN, 20) == 1


def test_a_verdict_that_flips_is_counted_and_named_also_over_two_runs(tmp_path):
    path = tmp_path / "flaky.jsonl"
    for status in (Status.PASS, Status.PASS, Status.FAIL):
        Tally(path, {LAB: "a"}).add(LAB, REFERENCE, outcome(status))
    table, differed, unexpected = report(Tally(path, {LAB: "a"}), CHOSEN)
    assert (differed, unexpected) == (1, 1)
    assert [list(column.cells) for column in table.columns][2:4] == [["3"], ["answers"]]


def test_a_fault_of_the_grader_differs_from_a_verdict(tmp_path):
    tally = Tally(tmp_path / "flaky.jsonl", {LAB: "a"})
    tally.add(LAB, REFERENCE, outcome(Status.PASS))
    tally.add(LAB, REFERENCE, Outcome("ada", LAB, Standing.FAULT, "the engine went away"))
    assert report(tally, CHOSEN)[1:] == (1, 1)


def test_the_code_that_judged_differs_from_lab_to_lab_and_in_and_out_of_sandboxes():
    labs = [find_lab(LAB), find_lab("lab3_deploy")]
    assert len({code_of(lab, where) for lab in labs for where in ("sandbox", "engine")}) == 4
    assert code_of(labs[0], "engine") == code_of(labs[0], "engine")
