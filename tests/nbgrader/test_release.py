"""Release a tiny lab with the real nbgrader: what learners get, and what authors are told."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograder.labs import find_lab
from autograder.release import ReleaseError, drift, leaks, release
from autograder.release.attempts import attempts

TINY = Path(__file__).parent / "tiny_course"
SLUG = "tiny_answer"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The tiny course with its lab released."""
    root = tmp_path_factory.mktemp("released") / "course"
    shutil.copytree(TINY, root, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPYARD_COURSE", str(root))
        release(SLUG)
    return root


@pytest.fixture
def course(released, tmp_path, monkeypatch):
    """A released course of our own to spoil."""
    root = tmp_path / "course"
    shutil.copytree(released, root)
    monkeypatch.setenv("SHIPYARD_COURSE", str(root))
    return root


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def line_of(path, text):
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_learner_gets_text_stubs_and_starter_files_only(course):
    folder = release(SLUG)
    assert sorted(contents(folder)) == ["checks.py", "given.txt", "notes/words.txt", f"{SLUG}.ipynb"]
    cells = {cell.id: cell for cell in nbformat.read(folder / f"{SLUG}.ipynb", as_version=4).cells}
    assert cells["answer"].source == "%%writefile answer.txt\n# your answer here"
    assert cells["words"].source == "%%bash\n# your answer here"
    assert cells["double"].source.splitlines()[:3] == [
        'program = "import sys"', "# YOUR CODE HERE", "raise NotImplementedError()",
    ]  # fmt: skip
    assert cells["doubles"].source == 'check("doubles")'
    assert cells["doubles"].metadata.nbgrader.points == 1
    assert cells["doubles"].metadata.editable is False
    assert cells["cell-02"].source == "from autograder.notebook import check"


def test_table_of_demands_states_each_demand_and_its_points(course):
    text = nbformat.read(release(SLUG) / f"{SLUG}.ipynb", as_version=4).cells[0].source
    assert "| notes/words.txt holds three words. | 1.5 |" in text
    assert "| double.py prints twice its number. (judged with inputs not shown here) | 1 |" in text
    assert "{{" not in text


def test_releases_are_byte_identical_in_any_folder_and_by_nbgraders_own_command(course, tmp_path):
    first = contents(release(SLUG))
    elsewhere = tmp_path / "elsewhere"
    assert contents(release(SLUG, elsewhere)) == first
    by_command = tmp_path / "instructor"
    by_command.mkdir()
    (by_command / "nbgrader_config.py").write_text("from autograder.grading import plug_in\nplug_in(get_config())\n")
    subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", SLUG], cwd=by_command, check=True, capture_output=True
    )
    assert contents(by_command / "labs" / SLUG) == first
    assert str(course).encode() not in b"".join(first.values())


def test_drift_names_files_that_were_edited_added_or_removed(course):
    folder = release(SLUG)
    assert drift() == []
    edit(folder / f"{SLUG}.ipynb", "The answer", "The answers")
    (folder / "extra.txt").write_text("x")
    (folder / "notes" / "words.txt").unlink()
    assert drift() == [f"labs/{SLUG}/{name}" for name in ("extra.txt", "notes/words.txt", f"{SLUG}.ipynb")]


@pytest.mark.parametrize(
    ("file", "planted", "origin"),
    [
        ("given.txt", 'program += "; print(int(sys.argv[1]) + int(sys.argv[1]))"', "lab.md"),
        ("notes/words.txt", 'x = 1\necho "sea ship harbour" > notes/words.txt', "lab.md"),
        ("checks.py", "HELD_OUT_NUMBER = 1234", "hidden.py"),
        ("checks.py", 'return Finding(seen.doubled == str(2 * HELD_OUT_NUMBER), f"double.py printed', "hidden.py"),
        ("given.txt", "printf '%s\\n' $((6 * 7)) > answer.txt", "attempts/other_way.md"),
    ],
)
def test_planted_leak_is_found(course, file, planted, origin):
    folder = course / "labs" / SLUG
    assert leaks() == []
    (folder / file).write_text((folder / file).read_text() + "\n" + planted)
    if origin == "hidden.py" and "return" in planted:
        (folder / file).write_text((folder / file).read_text() + ' {seen.doubled!r}.")')
    found = leaks()
    assert {(leak.file, leak.origin) for leak in found} == {(f"labs/{SLUG}/{file}", f"solutions/{SLUG}/{origin}")}


def test_leak_in_a_notebooks_output_or_a_hidden_file_is_found(course):
    folder = course / "labs" / SLUG
    path = folder / f"{SLUG}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text='echo "sea ship harbour" > notes/words.txt\n')]
    nbformat.write(notebook, path)
    shutil.copy(course / "solutions" / SLUG / "hidden.py", folder)
    files = {leak.file for leak in leaks()}
    assert files == {f"labs/{SLUG}/{SLUG}.ipynb", f"labs/{SLUG}/hidden.py"}


MISTAKES = {
    "a check without a graded cell": ("lab.md", ":check: given_intact\n", "", "checks.py", '@check("given_intact"'),
    "a graded cell without a check": (
        "lab.md",
        ":check: doubles",
        ":check: trebles",
        "lab.md",
        "```{code-cell}\n:check: trebles",
    ),
    "a name twice": ("lab.md", ":answer: words", ":answer: answer", "lab.md", None),
    "no END SOLUTION": ("lab.md", "42\n### END SOLUTION\n", "42\n", "lab.md", "### BEGIN SOLUTION"),
    "no BEGIN SOLUTION": ("lab.md", "### BEGIN SOLUTION\n42", "42", "lab.md", "### END SOLUTION"),
    "a solution in a cell that is no answer": ("lab.md", ":answer: words\n", "", "lab.md", "%%bash"),
    "a table of demands with a wrong name": ("lab.md", "words_kept, given", "word_kept, given", "lab.md", "{{demands"),
    "a graded cell with a text": ("lab.md", ":check: doubles\n", ":check: doubles\nassert 1\n", "lab.md", None),
    "a name with a blank": ("lab.md", ":answer: double\n", ":answer: my double\n", "lab.md", None),
    "starter_from without files": ("lab.md", '["given.txt"]', '["gone.txt"]', "lab.md", "starter_from"),
    "front matter that is no YAML": ("lab.md", "lab:\n", "lab: [\n", "lab.md", None),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_author_is_told_file_line_and_what_to_do(course, mistake):
    good = contents(course / "labs" / SLUG)
    name, old, new, file, at = MISTAKES[mistake]
    lab = course / "solutions" / SLUG
    edit(lab / name, old, new)
    with pytest.raises(ReleaseError) as error:
        release(SLUG)
    where = f"solutions/{SLUG}/{file}:"
    assert where in str(error.value)
    assert all(problem.line > 0 and problem.what and problem.fix for problem in error.value.problems)
    if at and "\n" not in at:
        assert f"{where}{line_of(lab / file, at)}:" in str(error.value)
    assert contents(course / "labs" / SLUG) == good  # a mistake does not take the released lab away


def test_checks_that_do_not_load_are_a_clear_line(course):
    edit(course / "solutions" / SLUG / "checks.py", "import os\n", "import os\nimport no_such_module\n")
    with pytest.raises(ReleaseError, match=r"checks\.py: The lab's checks cannot be loaded: ModuleNotFoundError"):
        release(SLUG)


def test_every_mistake_is_told_at_once(course):
    path = course / "solutions" / SLUG / "lab.md"
    edit(path, ":check: doubles", ":check: trebles")
    edit(path, "42\n### END SOLUTION\n", "42\n")
    with pytest.raises(ReleaseError) as error:
        release(SLUG)
    assert len(error.value.problems) == 3  # no check trebles, no cell for doubles, no END


def test_an_answer_without_an_end_is_not_taken_for_none(course):
    path = edit(course / "solutions" / SLUG / "attempts" / "off_by_one.md", "41\n```", "41")
    with pytest.raises(ReleaseError, match="'answer' does not end") as error:
        attempts(find_lab(SLUG))
    assert f"{path.name}:{line_of(path, '{answer} answer')}:" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: wrong", "kind: worse", "kind is 'worse'"),
        ("kind: wrong", "kind: wrong\nseconds: soon", "seconds is 'soon'"),
        ("kind: wrong", "kind: wrong\nseconds: 0", "seconds is 0"),
        ("kind: wrong", "kind: wrong\nalone: maybe", "alone is 'maybe'"),
        ("kind: wrong", "kind: wrong\nseconde: 300", "Nothing reads 'seconde'"),
        ("  answer_is_42:", "  answer_is_43:", "'answer_is_43' is no check"),
        ("{answer} answer", "{answer} answers", "'answers' is no answer"),
    ],
)
def test_attempt_with_a_mistake_is_a_clear_line(course, old, new, said):
    path = edit(course / "solutions" / SLUG / "attempts" / "off_by_one.md", old, new)
    with pytest.raises(ReleaseError) as error:
        attempts(find_lab(SLUG))
    assert said in str(error.value)
    assert f"{path.name}:{line_of(path, new.split(chr(10))[-1].strip())}:" in str(error.value)
