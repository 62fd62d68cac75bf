"""Judging: pass, fail and "could not check" are three things; labs are found and their parts put together."""

import sys
from pathlib import Path

import pytest

from autograder.checks import Finding, Status, check, judge, judge_all
from autograder.facts import CannotCheck, NotThere, Observation, Place, fact
from autograder.labs import Lab, find_lab, lab_at, syllabus


def one(judged, points=2.0):
    return check("name", points=points, expects="It works.", hint="Read on.", chapter="docker#users")(judged)


def verdict(judged, seen=None, **options):
    return judge(one(judged, **options), seen)


def test_pass_has_all_points_and_no_hint():
    result = verdict(lambda seen: Finding(True, "It answers."))
    assert (result.status, result.points, result.max_points) == (Status.PASS, 2, 2)
    assert (result.observed, result.hint, result.expected) == ("It answers.", "", "It works.")


def test_fail_takes_the_finding_s_hint_before_the_check_s():
    assert verdict(lambda seen: Finding(False, "No.")).hint == "Read on."
    result = verdict(lambda seen: Finding(False, "No.", "This cause."))
    assert (result.status, result.points, result.hint, result.chapter) == (
        Status.FAIL,
        0,
        "This cause.",
        "docker#users",
    )


def test_part_of_the_points():
    result = verdict(lambda seen: Finding(0.25, "One of four."))
    assert (result.status, result.points) == (Status.FAIL, 0.5)


@pytest.mark.parametrize("share", [float("nan"), 1.5, -1, float("inf"), "much", None])
def test_an_impossible_share_is_our_fault(share):
    result = verdict(lambda seen: Finding(share, "?"))
    assert (result.status, result.points) == (Status.ERROR, 0)


def test_the_learner_s_fault_fails():
    def judged(seen):
        raise NotThere("It ended at once.")

    result = verdict(judged)
    assert (result.status, result.observed, result.hint) == (Status.FAIL, "It ended at once.", "Read on.")


def test_our_fault_is_no_verdict():
    def judged(seen):
        raise CannotCheck("The engine is down.", "Start it.")

    result = verdict(judged)
    assert (result.status, result.observed, result.hint) == (Status.ERROR, "The engine is down.", "Start it.")


def test_a_check_that_crashes_is_no_verdict_and_shows_no_traceback():
    result = verdict(lambda seen: {}["missing"])
    assert result.status is Status.ERROR
    assert "KeyError" in result.observed
    assert "Traceback" not in result.observed


def test_all_checks_judge_one_snapshot(tmp_path):
    class Seen(Observation):
        looks = 0

        @fact
        def image(self):
            Seen.looks += 1
            return Seen.looks

    checks = [one(lambda seen: Finding(seen.image == 1, str(seen.image))) for _ in range(3)]
    results = judge_all(checks, Seen(Place(work=tmp_path)))
    assert [result.status for result in results] == [Status.PASS] * 3


def test_hidden_checks_come_last_and_show_nothing_that_came_after_their_inputs(tmp_path):
    order = []

    class Seen(Observation):
        @fact
        def server(self):
            raise NotThere("There is no server.")

    def named(name, hidden, judged):
        def told(seen):
            order.append(name)
            return judged(seen)

        return check(name, points=1, expects="", hint="Read on.", chapter="", hidden=hidden)(told)

    def answered(seen):
        raise NotThere("It answered: row 7, row 8.", "Look at the port.")

    checks = [
        named("secret", True, answered),
        named("shown", False, lambda seen: Finding(seen.server, "")),
        named("on what is missing", True, lambda seen: Finding(seen.server, "")),
        named("broken", True, lambda seen: int("row 7")),
    ]
    results = judge_all(checks, Seen(Place(work=tmp_path)))
    assert order[0] == "shown"
    assert [result.name for result in results] == ["secret", "shown", "on what is missing", "broken"]
    assert "row" not in "".join(result.observed for result in results)
    assert (results[0].hint, results[2].observed) == ("Look at the port.", "There is no server.")


# --- labs

VISIBLE = """
from __future__ import annotations
from dataclasses import dataclass
from autograder.checks import Finding, check
from autograder.facts import Observation, fact

@dataclass
class Size:
    number: int

class Seen(Observation):
    @fact
    def size(self):
        return Size(len((self.work / "a.txt").read_text()))

@check("first", points=1, expects="a", hint="h", chapter="c")
def first(seen):
    return Finding(seen.size.number == 3, "seen")

@check("second", points=1, expects="b", hint="h", chapter="c")
def second(seen):
    return Finding(True, "seen")
"""
HIDDEN = """
from autograder.checks import Finding, check
from autograder.facts import fact
from . import checks as base
first = base.first

class Seen(base.Seen):
    @fact
    def twice(self):
        return self.size.number * 2

@check("unseen", points=2, expects="c", hint="h", chapter="c")
def unseen(seen):
    return Finding(seen.twice == 6, "seen")
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    lab = tmp_path / "lab9_example"
    lab.mkdir()
    (lab / "checks.py").write_text(VISIBLE)
    (lab / "a.txt").write_text("abc")
    return lab


def test_a_released_lab_has_its_visible_checks_only(folder):
    lab = lab_at(folder)
    assert [one.name for one in lab.checks] == ["first", "second"]
    assert lab.hidden is None
    with lab.observe(Place(work=folder)) as seen:
        assert [r.status for r in judge_all(lab.checks, seen)] == [Status.PASS] * 2


def test_hidden_checks_build_on_the_visible_ones(folder):
    (folder / "hidden.py").write_text(HIDDEN)
    lab = lab_at(folder)
    assert [(one.name, one.hidden) for one in lab.checks] == [("first", False), ("second", False), ("unseen", True)]
    with lab.observe(Place(work=folder)) as seen:
        assert isinstance(seen, lab.seen.Seen)
        assert [r.status for r in judge_all(lab.checks, seen)] == [Status.PASS] * 3


def test_many_checks_go_on_in_another_file(folder):
    third = VISIBLE[VISIBLE.index('@check("second"') :].replace("second", "third")
    (folder / "checks_more.py").write_text("from autograder.checks import Finding, check\n" + third)
    (folder / "hidden.py").write_text(HIDDEN)
    assert [one.name for one in lab_at(folder).checks] == ["first", "second", "third", "unseen"]


def test_one_name_for_two_checks_is_refused(folder):
    (folder / "hidden.py").write_text(HIDDEN.replace('"unseen"', '"second"'))
    with pytest.raises(ValueError, match="second"):
        _ = lab_at(folder).checks


def test_looking_at_a_lab_leaves_nothing_in_its_folder(folder):
    _ = lab_at(folder).checks
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "checks.py"]


def test_a_broken_lab_can_be_mended_and_loaded(folder):
    (folder / "checks.py").write_text("import nowhere_at_all")
    with pytest.raises(ImportError):
        _ = lab_at(folder).checks
    (folder / "checks.py").write_text(VISIBLE)
    assert len(lab_at(folder).checks) == 2
    assert not [name for name in sys.modules if "nowhere_at_all" in name]


def test_a_folder_without_a_lab(tmp_path):
    with pytest.raises(KeyError, match=r"checks\.py"):
        lab_at(tmp_path)


def test_every_lab_of_the_syllabus_is_found_by_its_slug():
    labs = syllabus()
    assert labs
    for lab in labs:
        assert isinstance(lab, Lab)
        assert find_lab(lab.slug) == lab
    with pytest.raises(KeyError, match=labs[0].slug):
        find_lab("no_such_lab")
