"""Strangers' output is shown without tricks, and image names as the learner wrote them."""

from autograder.probes.words import cut, plain


def test_the_sandboxes_names_do_not_reach_a_page():
    said = 'Failed to pull image "shipyard-boxes:5001/0123456789-0123456789abcdef/digits:v2": not found'
    assert cut(said) == 'Failed to pull image "localhost:5001/digits:v2": not found'


def test_colours_bars_and_text_that_runs_backwards_are_taken_out():
    assert plain(b"\x1b[31mred\x1b[0m 10%\r100%\n\xe2\x80\xaetxt") == "100%\ntxt"
