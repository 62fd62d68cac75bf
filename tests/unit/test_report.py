"""What a learner reads: in the terminal, as text, as HTML, and from `check` in a notebook."""

import html.parser
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from autograder.checks import Result, Status
from autograder.probes.words import cut, listed, plain, tail
from autograder.report import as_html, as_table, as_text, number, summary

PASS = Result("image_builds", Status.PASS, 1, 1, "It builds.", "It was built.", "", "docker#images")
FAIL = Result("not_root", Status.FAIL, 0.5, 2, "Not root.", "uid 0.\nuid 1000.", "Look up USER.", "docker#users")
ERROR = Result("answers", Status.ERROR, 0, 3, "It answers.", "The engine is down.", "Start Docker.", "docker#ports")
ALL = [PASS, FAIL, ERROR]
NASTY = "<script>alert(1)</script><b onmouseover='x()'>[red]&amp;\x1b[31mcolour\x1b[0m \ud800 \u202eevil [/x]"


class Page(html.parser.HTMLParser):
    """Collect the tags and the text of a page, and see that tags are balanced."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = set(), set(), [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def terminal(results, width=80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(as_table(results, "Lab 1"))
    return out.getvalue()


@pytest.mark.parametrize("show", [as_text, terminal, lambda results: Page(as_html(results)).text])
def test_every_form_tells_the_whole_story(show):
    shown = show(ALL)
    for words in ("PASS", "FAIL", "ERROR", "image_builds", "1/1", "0.5/2", "no verdict", "Not root.", "uid 1000."):
        assert words in shown
    for words in ("Look up USER.", "docker, section users", "Could not look", "The engine is down.", "Start Docker."):
        assert words in shown
    assert "1.5/6 points: 1 passed, 1 failed, 1 could not be checked" in shown
    assert "0/3" not in shown


def test_html_is_escaped_and_needs_nothing_from_outside():
    result = Result(NASTY, Status.FAIL, 0, 1, NASTY, NASTY, NASTY, NASTY)
    page = Page(as_html([result], NASTY))
    assert page.tags <= {"div", "span", "code"}
    assert page.attributes == {"style"}
    assert "<script>alert(1)</script>" in page.text
    text = as_html([result])
    text.encode()
    assert not any(part in text for part in ("http", "url(", "\x1b", "\u202e", "<style", "class="))


def test_markup_in_logs_is_shown_not_obeyed():
    shown = terminal([Result("a", Status.FAIL, 0, 1, "e", "[red]not colour[/red] [/nonsense]", "h", "")])
    assert "[red]not colour[/red] [/nonsense]" in shown


def test_status_is_told_apart_without_colour():
    texts = {status: Page(as_html([r])).text.split()[0] for status, r in zip(Status, ALL, strict=True)}
    assert texts == {Status.PASS: "PASS", Status.FAIL: "FAIL", Status.ERROR: "ERROR"}


def test_long_lines_fit_a_narrow_terminal():
    shown = terminal([Result("a", Status.FAIL, 0, 1, "e", "x" * 500, "h", "")], width=60)
    assert max(map(len, shown.splitlines())) <= 60
    assert shown.count("x") >= 500


def test_numbers_and_no_results():
    assert [number(n) for n in (1.0, 0.5, 10, 1 / 3)] == ["1", "0.5", "10", "0.33"]
    assert summary([]) == "0/0 points: 0 passed, 0 failed."
    assert "0/0" in as_text([]) and "0/0" in as_html([])


# --- strangers' output


def test_plain_removes_what_disturbs():
    assert plain(b"\x1b[1;31mred\x1b[0m\r\n50%\r100%\nbell\x07 \xff") == "red\n100%\nbell \ufffd"
    assert plain("\x1b]0;title\x07a\u202eb\ud800\tc é 数") == "ab\ufffd\tc é 数"


def test_cut_and_tail_have_limits():
    assert cut("a  b\n c") == "a b c"
    assert len(cut("x" * 10_000_000, 50)) == 50
    assert tail("\n".join(f"line {i}" for i in range(99)) + "\n\n", 2) == "line 97\nline 98"
    assert max(map(len, tail("y" * 10_000_000, 3, 80).splitlines())) == 80
    assert listed([]) == "none"
    assert listed([str(i) for i in range(12)], 3) == "0, 1, 2 … (12 in all)"


# --- check() in the learner's kernel

CHECKS = """
from autograder.checks import Finding, check
from autograder.facts import Observation, fact

class Seen(Observation):
    @fact
    def text(self):
        self.callback(lambda: print("closed", file=open(self.work / "closed.txt", "w")))
        return (self.work / "answer.txt").read_text()

def one(name, judged):
    return check(name, points=1, expects="The answer is 42.", hint="Think.", chapter="c")(judged)

answer = one("answer", lambda seen: Finding(seen.text.strip() == "42", f"The answer is {seen.text}."))
stopped = one("stopped", lambda seen: (_ for _ in ()).throw(KeyboardInterrupt()))
leaves = one("leaves", lambda seen: Finding(bool(seen.callback(lambda: 1 / 0)), "done"))
"""


@pytest.fixture
def lab(tmp_path) -> Path:
    folder = tmp_path / "lab9_example"
    (folder / "app").mkdir(parents=True)
    (folder / "checks.py").write_text(CHECKS)
    (folder / "answer.txt").write_text("42")
    return folder


def kernel(folder: Path, code: str, **env: str) -> str:
    """Run code as a learner's kernel does, in the notebook's folder; nothing may reach stderr."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "KUBECONFIG": str(folder), **env}
    code = f"from autograder.notebook import check\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def test_check_judges_and_closes(lab):
    assert "PASS answer 1/1" in kernel(lab, "print(check('answer'))")
    assert (lab / "closed.txt").exists()
    (lab / "answer.txt").write_text("41")
    out = kernel(lab, "r = check('answer'); print(r); print(r._repr_html_())")
    assert "FAIL answer 0/1" in out
    assert "Think." in out
    assert "<code" in out


def test_check_finds_the_lab_after_a_change_of_folder(lab):
    assert "PASS" in kernel(lab, "import os; os.chdir('app'); print(check('answer'))")
    assert "PASS" in kernel(lab / "app", "print(check('answer'))")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("check('held_out')", "the instructor's grader judges this"),
        ("check('answr')", "did you mean 'answer'"),
        ("check('stopped')", "You stopped this check"),
        ("check('leaves')", "could not be removed"),
        ("check(None)", "the instructor's grader judges this"),
    ],
)
def test_check_always_answers_in_words(lab, code, words):
    out = kernel(lab, f"print({code})")
    assert words in out
    assert "Traceback" not in out


def test_check_without_or_with_broken_checks(lab, tmp_path):
    (lab / "checks.py").write_text("def broken(:\n")
    out = kernel(lab, "print(check('answer'))")
    assert "cannot be loaded" in out
    assert "fresh copy" in out
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "No checks.py lies beside this notebook" in kernel(elsewhere, "print(check('answer'))")


def test_check_leaves_judging_to_the_grader_while_it_grades(lab):
    out = kernel(lab, "print(check('answer'))", SHIPYARD_GRADING="1")
    assert "the grader judges this" in out
    assert not (lab / "closed.txt").exists()
