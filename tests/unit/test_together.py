"""Wrong answers that stand in one notebook are judged as each of them is alone."""

from dataclasses import replace

import nbformat
import pytest

from autograder.checks import Result, Status
from autograder.cli.together import Group, alone, grouped, joined, merge
from autograder.grading.expecting import expected
from autograder.grading.outcome import Outcome, Standing
from autograder.grading.sample import each_once
from autograder.labs import find_lab, syllabus
from autograder.release.attempts import Attempt, read
from autograder.release.handing_in import hand_in, reference

FIRST = Attempt("first", "First", "wrong", {"builds": "step"}, {"file": "A\nb\nc\nd"})
SECOND = Attempt("second", "Second", "wrong", {"answers": "port"}, {"file": "a\nb\nc\nD"})
BASE = {"file": "a\nb\nc\nd"}
GROUP = Group(("ada", "lab"), joined(FIRST, SECOND, BASE), (FIRST, SECOND))


def outcome(**verdicts: Status) -> Outcome:
    results = tuple(Result(name, status, 0.0, 1.0, "all well", "step", "port") for name, status in verdicts.items())
    return Outcome("ada", "lab", Standing.GRADED, results=results)


@pytest.mark.parametrize("lab", syllabus(), ids=lambda lab: lab.slug)
def test_each_attempt_is_in_one_group_and_no_check_is_failed_by_two_of_a_group(lab):
    handed = each_once([lab])
    groups = grouped(handed)
    members = [one for group in groups for one in group.members]
    assert sorted(one.name for one in members) == sorted(one.name for one in handed.values())
    assert len(groups) < len(handed)
    assert len({group.at for group in groups}) == len(groups)
    for group in groups:
        failed = [name for one in group.members for name in one.fails]
        assert len(failed) == len(set(failed))
        assert group.attempt.fails.keys() == set(failed)
        assert {one.kind for one in group.members} == {"wrong"} or len(group.members) == 1


def test_both_mistakes_stand_in_the_notebook_that_is_handed_in(tmp_path):
    lab = find_lab("lab7_kserve")
    mine = [read(lab.folder / "attempts" / f"{name}.md", lab) for name in ("by_memory", "half_a_diagnosis")]
    both = joined(*mine, reference(lab))
    released = lab.folder.parent.parent / "labs" / lab.slug
    folder = hand_in(lab, both, released, tmp_path / "ada")
    sources = [cell.source for cell in nbformat.read(folder / f"{lab.slug}.ipynb", 4).cells]
    assert all(answer in sources for one in mine for answer in one.answers.values())


def test_edits_of_different_lines_are_merged_and_those_of_the_same_line_are_not():
    assert GROUP.attempt.answers == {"file": "A\nb\nc\nD"}
    assert joined(FIRST, replace(SECOND, answers={"file": "x\nb\nc\nd"}), BASE) is None
    assert merge("a", "a", "b") == merge("a", "b", "a") == "b"


@pytest.mark.parametrize(
    "other",
    [
        replace(SECOND, fails={"builds": "step", "answers": "port"}),
        replace(SECOND, kind="right", fails={}),
        replace(SECOND, kind="broken", edit="not_json", answers={}),
        replace(SECOND, seconds=20),
        replace(SECOND, alone=True),
    ],
    ids=["fails the same check", "right", "broken", "seconds of its own", "says so"],
)
def test_what_would_hide_a_verdict_stays_alone(other):
    assert joined(FIRST, other, BASE) is None


def test_each_of_a_group_is_judged_without_what_the_others_fail():
    as_expected = outcome(builds=Status.FAIL, answers=Status.FAIL, labelled=Status.PASS)
    for member, seen in ((FIRST, ["builds", "labelled"]), (SECOND, ["answers", "labelled"])):
        of = GROUP.of(member, as_expected)
        assert [one.name for one in of.results] == seen
        assert expected(member, of)
    assert expected(GROUP.attempt, as_expected)
    assert GROUP.beside(FIRST) == ["second"]


def test_a_flip_is_that_of_the_attempt_that_fails_the_check_and_of_all_where_none_does():
    flipped = outcome(builds=Status.PASS, answers=Status.FAIL, labelled=Status.PASS)
    assert [expected(one, GROUP.of(one, flipped)) for one in GROUP.members] == [False, True]
    nobodys = outcome(builds=Status.FAIL, answers=Status.FAIL, labelled=Status.FAIL)
    assert [expected(one, GROUP.of(one, nobodys)) for one in GROUP.members] == [False, False]


def test_a_grader_that_failed_is_told_of_each():
    fault = Outcome("ada", "lab", Standing.FAULT, "the engine went away")
    assert [expected(one, GROUP.of(one, fault)) for one in GROUP.members] == [False, False]


def test_alone_makes_a_group_of_each():
    handed = {("ada", "lab"): FIRST, ("bela", "lab"): SECOND}
    assert [(one.at, one.name, one.beside(one.members[0])) for one in alone(handed)] == [
        (("ada", "lab"), "first", []),
        (("bela", "lab"), "second", []),
    ]
