"""What labs say of the course is so: the chapters that hints name, the minutes in the syllabus."""

import re

import pytest

from autograder.labs import course_root, syllabus

CHECKS = [pytest.param(one, id=f"{lab.slug}-{one.name}") for lab in syllabus() for one in lab.checks]


@pytest.mark.parametrize("check", CHECKS)
def test_hint_points_to_a_heading_of_a_chapter(check):
    chapter, _, anchor = check.chapter.partition("#")
    text = (course_root() / "course" / f"{chapter}.md").read_text()
    headings = [heading.strip().lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.M)]
    assert anchor in headings


@pytest.mark.parametrize("lab", syllabus(), ids=lambda lab: lab.slug)
def test_lab_and_syllabus_say_the_same_time(lab):
    text = (lab.folder / "lab.md").read_text()
    assert re.findall(r"^\*\*Time\.\*\* About (\d+) minutes", text, re.M) == [str(lab.minutes)]
