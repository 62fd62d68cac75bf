"""Tests that run beside the bring-up: their report and exit code arrive, and they end with what fails beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograder.cli.develop import beside
from autograder.waiting import wait_until


def written(folder: Path, body: str) -> list[str]:
    (folder / "test_of_its_own.py").write_text(f"import pathlib, time\ndef test_it():\n    {body}\n")
    return ["-p", "no:cacheprovider", "test_of_its_own.py"]


@pytest.mark.parametrize(("body", "code", "words"), [("pass", 0, "1 passed"), ("assert 1 == 2", 1, "assert 1 == 2")])
def test_a_report_is_printed_and_its_exit_code_returned(tmp_path, capsys, body, code, words):
    with beside(written(tmp_path, body), tmp_path) as ended:
        assert ended() == code
    assert words in capsys.readouterr().out


def test_they_end_with_what_fails_beside_them(tmp_path):
    started, end = tmp_path / "started", tmp_path / "end"
    body = f"pathlib.Path({str(started)!r}).touch(); time.sleep(20); pathlib.Path({str(end)!r}).touch()"
    with pytest.raises(RuntimeError, match="no cluster"), beside(written(tmp_path, body), tmp_path):
        wait_until(started.exists, "the test", timeout=30)
        raise RuntimeError("no cluster")
    assert not end.exists()
