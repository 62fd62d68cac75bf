"""An attempt that says how long its cells may take is held to it, and nobody else is."""

import os

import pytest

from autograder.cli.handed import BUILD, limited
from autograder.grading.grade import CONFIG


def test_a_class_is_limited_only_as_long_as_it_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv(BUILD, raising=False)
    config = tmp_path / "nbgrader_config.py"
    config.write_text(CONFIG)
    with pytest.raises(KeyboardInterrupt), limited(tmp_path, 20):
        assert config.read_text().endswith("get_config().Execute.timeout = 20\n")
        assert os.environ[BUILD] == "20"
        raise KeyboardInterrupt
    assert config.read_text() == CONFIG
    assert BUILD not in os.environ
