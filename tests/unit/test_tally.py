"""Counting verdicts goes on where it stopped, and sees one that flips."""

import json
import random
import shutil
from dataclasses import replace

import pytest

from autograder.checks import Result, Status
from autograder.cli.flaky import counted, evidence, in_rounds, report
from autograder.cli.together import alone
from autograder.grading.outcome import Outcome, Standing
from autograder.grading.tally import Tally, code_of, common, judged_by, meaning
from autograder.labs import find_lab
from autograder.release.attempts import REFERENCE, attempts

LAB = "lab1_dockerfile"
CHOSEN = {("ada", LAB): REFERENCE}
CODE = {(LAB, "reference"): "a"}


def outcome(status: Status) -> Outcome:
    points = 2.0 if status is Status.PASS else 0.0
    return Outcome("ada", LAB, Standing.GRADED, results=(Result("answers", status, points, 2.0, "an answer", "one"),))


def test_a_count_goes_on_after_a_run_that_was_cut_off(tmp_path):
    path = tmp_path / "counts" / "flaky.jsonl"
    Tally(path, CODE, "sandbox", "1").add(LAB, REFERENCE, outcome(Status.PASS))
    path.write_text(path.read_text() + path.read_text()[:40])
    Tally(path, CODE, "sandbox", "1").add(LAB, REFERENCE, outcome(Status.PASS))
    assert counted(Tally(path, CODE, "sandbox", "1"), CHOSEN, 20) == 2


def test_more_gradings_than_asked_for_are_not_counted_twice(tmp_path):
    tally = Tally(tmp_path / "flaky.jsonl", CODE, "sandbox", "1")
    for _ in range(3):
        tally.add(LAB, REFERENCE, outcome(Status.PASS))
    assert counted(tally, CHOSEN, 2) == 2


def test_a_round_holds_what_lacks_most_gradings_first_and_each_as_often_as_it_lacks(tmp_path):
    tally = Tally(tmp_path / "flaky.jsonl", CODE, "sandbox", "1")
    other = replace(REFERENCE, name="other")
    for _ in range(2):
        tally.add(LAB, REFERENCE, outcome(Status.PASS))
    groups = alone({**CHOSEN, ("bela", LAB): other})
    order = [one.name for one in in_rounds(tally, groups, 4, random.Random(1))]
    assert order[:2] == ["other", "other"]
    assert [sorted(order[at : at + 2]) for at in (2, 4)] == [["other", "reference"]] * 2
    assert len(order) == 6


def test_other_code_begins_a_new_count_and_the_old_one_goes(tmp_path):
    path = tmp_path / "flaky.jsonl"
    Tally(path, CODE, "sandbox", "1").add(LAB, REFERENCE, outcome(Status.PASS))
    other = Tally(path, {(LAB, "reference"): "b"}, "sandbox", "1")
    assert counted(other, CHOSEN, 20) == 0
    other.add(LAB, REFERENCE, outcome(Status.PASS))
    assert len(path.read_text().splitlines()) == 1


def test_an_edit_to_what_all_labs_share_asks_for_one_more_grading_and_hides_no_flip(tmp_path):
    path, other = tmp_path / "flaky.jsonl", replace(REFERENCE, name="other")
    chosen = {**CHOSEN, ("bela", LAB): other}
    code = {**CODE, (LAB, "other"): "a"}
    for _ in range(4):
        Tally(path, code, "sandbox", "1").add(LAB, REFERENCE, outcome(Status.PASS))
    Tally(path, code, "sandbox", "1").add(LAB, other, outcome(Status.PASS))
    today = Tally(path, code, "sandbox", "2")
    assert [today.lacks(LAB, name, 4) for name in ("reference", "other")] == [1, 3]
    assert counted(today, chosen, 4) == 4
    names = [one.name for one in in_rounds(today, alone(chosen), 4, random.Random(1))]
    assert sorted(names) == ["other", "other", "other", "reference"]
    today.add(LAB, REFERENCE, replace(outcome(Status.PASS), standing=Standing.FAULT, results=()))
    assert today.lacks(LAB, "reference", 4) == 1
    today.add(LAB, REFERENCE, outcome(Status.FAIL))
    again = Tally(path, code, "sandbox", "2")
    assert again.lacks(LAB, "reference", 4) == 0
    assert report(again, CHOSEN)[1:] == (1, 1, 1)


def test_other_labs_and_places_are_counted_beside_each_other(tmp_path):
    path = tmp_path / "flaky.jsonl"
    Tally(path, CODE, "sandbox", "1").add(LAB, REFERENCE, outcome(Status.PASS))
    Tally(path, {("lab3_deploy", "reference"): "a"}, "sandbox", "1").add("lab3_deploy", REFERENCE, outcome(Status.PASS))
    outside = Tally(path, CODE, "engine", "1")
    outside.add(LAB, REFERENCE, outcome(Status.PASS))
    outside.forget()
    assert counted(outside, CHOSEN, 20) == 0
    assert counted(Tally(path, CODE, "sandbox", "1"), CHOSEN, 20) == 1
    assert len(path.read_text().splitlines()) == 2


def test_the_same_outcome_takes_one_line_however_often_it_was_given(tmp_path):
    path = tmp_path / "flaky.jsonl"
    for _ in range(20):
        Tally(path, CODE, "sandbox", "1").add(LAB, REFERENCE, outcome(Status.PASS))
    assert len(path.read_text().splitlines()) == 1
    assert counted(Tally(path, CODE, "sandbox", "1"), CHOSEN, 20) == 20


def test_a_verdict_that_flips_is_counted_and_named_also_over_two_runs(tmp_path):
    path = tmp_path / "flaky.jsonl"
    for status in (Status.PASS, Status.PASS, Status.FAIL):
        Tally(path, CODE, "sandbox", "1").add(LAB, REFERENCE, outcome(status))
    table, differed, unexpected, _ = report(Tally(path, CODE, "sandbox", "1"), CHOSEN)
    assert (differed, unexpected) == (1, 1)
    assert [list(column.cells) for column in table.columns][2:4] == [["3"], ["answers"]]


def test_a_verdict_in_company_is_compared_with_those_given_alone(tmp_path):
    path = tmp_path / "flaky.jsonl"
    both = (*outcome(Status.PASS).results, Result("counts", Status.PASS, 1.0, 1.0, "a number", "two"))
    for _ in range(2):
        Tally(path, CODE, "sandbox", "1").add(LAB, REFERENCE, replace(outcome(Status.PASS), results=both))
    Tally(path, CODE, "sandbox", "1").add(LAB, REFERENCE, outcome(Status.PASS), ["no_count"])
    assert report(Tally(path, CODE, "sandbox", "1"), CHOSEN)[1:] == (0, 0, 0)
    assert [json.loads(one).get("beside") for one in path.read_text().splitlines()].count(["no_count"]) == 1
    Tally(path, CODE, "sandbox", "1").add(LAB, REFERENCE, outcome(Status.FAIL), ["no_count"])
    assert report(Tally(path, CODE, "sandbox", "1"), CHOSEN)[1:] == (1, 1, 0)
    assert counted(Tally(path, CODE, "sandbox", "1"), CHOSEN, 20) == 4


def test_a_grading_that_left_a_check_out_differs(tmp_path):
    tally = Tally(tmp_path / "flaky.jsonl", CODE, "sandbox", "1")
    both = (*outcome(Status.PASS).results, Result("counts", Status.PASS, 1.0, 1.0, "a number", "two"))
    for beside in ([], ["no_label"]):
        for _ in range(2):
            tally.add(LAB, REFERENCE, replace(outcome(Status.PASS), results=both), beside)
        tally.add(LAB, REFERENCE, outcome(Status.PASS), beside)
    table, differed, *_ = report(tally, CHOSEN)
    assert differed == 2
    assert list(table.columns[3].cells) == ["checks, checks+no_label"]


def test_of_an_unexpected_verdict_is_said_what_was_seen_and_its_notebook_is_kept(tmp_path):
    notebook = tmp_path / "autograded" / "ada" / LAB / f"{LAB}.ipynb"
    notebook.parent.mkdir(parents=True)
    notebook.write_text("graded the first time")
    said = evidence(tmp_path, REFERENCE, outcome(Status.FAIL))
    notebook.write_text("graded the second time")
    assert said[0] == "answers: expected PASS, got FAIL: one"
    (kept,) = (tmp_path / "unexpected").iterdir()
    assert str(kept) in said[1]
    assert kept.read_text() == "graded the first time"


def test_of_a_grader_that_failed_is_said_why(tmp_path):
    fault = Outcome("ada", LAB, Standing.FAULT, "the engine went away")
    assert evidence(tmp_path, REFERENCE, fault) == ["the engine went away"]


@pytest.mark.parametrize(
    "fault",
    [Outcome("ada", LAB, Standing.FAULT, "the engine went away"), outcome(Status.ERROR)],
    ids=["fault", "error"],
)
def test_a_grading_without_a_verdict_is_counted_apart_and_lacks(tmp_path, fault):
    tally = Tally(tmp_path / "flaky.jsonl", CODE, "sandbox", "1")
    tally.add(LAB, REFERENCE, outcome(Status.PASS))
    tally.add(LAB, REFERENCE, fault)
    table, *figures = report(tally, CHOSEN)
    assert figures == [0, 0, 1]
    assert [list(column.cells) for column in table.columns][2:] == [["1"], ["none"], ["none"], ["1"]]
    assert counted(tally, CHOSEN, 20) == 1
    assert len(list(in_rounds(tally, alone(CHOSEN), 20, random.Random(1)))) == 19


def test_a_verdict_that_flips_beside_one_that_could_not_be_made_is_seen(tmp_path):
    tally = Tally(tmp_path / "flaky.jsonl", CODE, "sandbox", "1")
    counts = Result("counts", Status.PASS, 1.0, 1.0, "a number", "two")
    for status, other in ((Status.PASS, Status.PASS), (Status.PASS, Status.PASS), (Status.FAIL, Status.ERROR)):
        both = (*outcome(status).results, replace(counts, status=other, points=float(other is Status.PASS)))
        tally.add(LAB, REFERENCE, replace(outcome(status), results=both))
    table, *figures = report(tally, CHOSEN)
    assert figures == [1, 0, 1]
    assert list(table.columns[3].cells) == ["answers"]


def test_a_notebook_that_cannot_be_read_is_a_verdict(tmp_path):
    tally = Tally(tmp_path / "flaky.jsonl", CODE, "sandbox", "1")
    tally.add(LAB, REFERENCE, Outcome("ada", LAB, Standing.UNREADABLE, "no notebook"))
    assert counted(tally, CHOSEN, 20) == 1


def test_the_code_that_judged_differs_from_lab_to_lab_and_from_attempt_to_attempt():
    first, second = find_lab(LAB), find_lab("lab3_deploy")
    assert code_of(first) == code_of(first)
    assert code_of(first)["reference"] != code_of(second)["reference"]
    assert len(set(code_of(first).values())) == len(attempts(first))


def test_an_edit_to_an_attempt_begins_its_own_count_and_one_to_a_check_that_of_all(tmp_path):
    folder = tmp_path / LAB
    shutil.copytree(find_lab(LAB).folder, folder)
    lab = replace(find_lab(LAB), folder=folder)
    before = code_of(lab)
    path = folder / "attempts" / "build_date.md"
    assert "quick" not in path.read_text()
    path.write_text(path.read_text().replace("kind: wrong\n", "kind: wrong\nquick: true\n"))
    assert next(one for one in attempts(lab) if one.name == "build_date").quick
    assert code_of(lab) == before
    path.write_text(path.read_text().replace("builds_alike", "no_secrets"))
    assert {name for name, code in code_of(lab).items() if code != before[name]} == {"build_date"}
    (folder / "checks.py").write_text((folder / "checks.py").read_text() + "\nMORE = 1\n")
    assert not set(code_of(lab).values()) & set(before.values())


def test_a_lab_is_judged_by_the_probes_and_the_other_labs_that_it_uses_and_by_no_others():
    def judging(slug: str) -> set[str]:
        return {f"{path.parent.name}/{path.name}" for path in judged_by(find_lab(slug))}

    first, seventh = judging(LAB), judging("lab7_kserve")
    assert {"probes/deployed.py", "probes/rollout.py", "lab4_operate/hidden.py", f"{LAB}/hidden.py"} <= seventh
    assert {"probes/image.py", "grading/judging.py", "notebook/checking.py", "digits_server/app.py"} <= first
    assert "probes/caller_in_pod.py" in judging("lab4_operate")  # read as a file, never imported
    assert not {"probes/deployed.py", "lab4_operate/hidden.py", "cli/flaky.py", "grading/tally.py"} & first
    assert not {"grading/harmless.py", "grading/feedback.py", "feedback/index.html.j2", "ground/orphans.py"} & first
    shared = {f"{path.parent.name}/{path.name}" for path in common()}
    both = {"grading/judging.py", "sandbox/box.py", "sandbox/start", "autograder/checks.py", "notebook/begin.py"}
    assert both <= shared & first
    assert not {one for one in shared if one.startswith(("probes/", "lab", "digits_server/"))}


def test_a_comment_begins_no_new_count_and_a_condition_does():
    said = {meaning(source) for source in (
        b'def right(seen):\n    """Tell."""\n    return seen > 1\n',
        b'"""Judge."""\n\ndef right(seen):\n    # why\n    return (seen > 1)\n',
        b"def right(seen):\n    return seen > 2\n",
    )}  # fmt: skip
    assert len(said) == 2
