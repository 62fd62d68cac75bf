"""What a watching cell draws: valid SVG that says the same as its sentence, whatever was seen."""

import xml.etree.ElementTree as ET

import pytest

from autograder.notebook.drawing import FAILED, Moment, drawing, summary

SVG = "{http://www.w3.org/2000/svg}"
SEEN = [
    Moment({"reader-1-a": 12, "reader-1-b": 8}, 0, 2, 2, 4.0, 20.0),
    Moment({"reader-1-b": 15}, 5, 3, 2, 6.0, 900.0),
]


@pytest.mark.parametrize("moments", [[], [Moment()], SEEN, SEEN * 200])
def test_it_is_svg_with_three_panels_and_a_text_for_those_who_cannot_see_it(moments):
    root = ET.fromstring(drawing(moments))
    assert root.get("aria-label") == summary(moments)
    assert len(root.findall(f"{SVG}g")) == 3


def test_each_pod_has_a_colour_of_its_own_and_failures_have_theirs():
    bars = [one for one in ET.fromstring(drawing(SEEN)).iter(f"{SVG}rect") if float(one.get("x")) < 500]
    assert len({bar.get("fill") for bar in bars}) == 3
    assert [bar.get("fill") for bar in bars].count(FAILED) == 1


def test_all_bars_and_dots_stay_within_their_panel():
    for one in ET.fromstring(drawing(SEEN)).iter():
        for name in ("y", "cy", "height"):
            if one.tag in (f"{SVG}rect", f"{SVG}circle") and one.get(name):
                assert 0 <= float(one.get(name)) <= 130


def test_names_of_strangers_are_no_markup():
    text = drawing([Moment({"<script>-x": 1})])
    assert "<script>" not in text


def test_the_sentence_counts():
    said = summary(SEEN)
    assert said == "2 s: 35 requests answered by 2 pods, 5 failed; 2 replicas; half of the answers within 6 ms."
