"""A hostile notebook's feedback page and Formgrader page, seen in a real browser: nothing of it may run."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell
from nbgrader.server_extensions.formgrader import handlers
from traitlets.config import Config

from autograder.grading import plug_in
from autograder.grading.grade import grade
from autograder.grading.outcome import Standing
from autograder.grading.sample import sample
from autograder.grading.verdicts import MIME

TINY = Path(__file__).resolve().parents[1] / "nbgrader" / "tiny_course"
SLUG = "tiny_answer"
pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")]

HTML = {
    "script": "<script>{act}</script>",
    "handler": '<img src="nowhere" onerror="{act}">',
    "svg": '<svg onload="{act}"><script>{act}</script></svg>',
    "frame": '<iframe srcdoc="<script>parent.ran=(parent.ran||[]).concat(1)</script>"></iframe>',
    "frame of data": '<iframe src="data:text/html,<script>top.ran=[1]</script>"></iframe>',
    "closed early": "</pre></div></textarea></title></style><script>{act}</script>",
    "details": '<details open ontoggle="{act}"><summary>x</summary></details>',
    "style": "<style>body{{display:none}} @import url(http://127.0.0.1:9/x)</style>",
    "cover": '<div style="position:fixed;inset:0;background:red" class="cover">covered</div>',
    "form": '<form action="http://127.0.0.1:9"><input autofocus onfocus="{act}"></form>',
    "base": '<base href="http://127.0.0.1:9/"><meta http-equiv="refresh" content="0;url=http://127.0.0.1:9/">',
    "broken": '<img src=x` `<script>{act}</script>"` onerror={act}//>',
    "math": "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src onerror={act}&gt;'>",
    "clobber": '<a id="submission_id" name="comment-answer" class="score tabbable">x</a>',
}
MARKDOWN = ["[x](javascript:{act})", "![x](javascript:{act})", "![x](http://127.0.0.1:9/pixel.png)",
            "![x](../../../gradebook.db)", "<http://a.example/\"onmouseover=\"{act}>", "> quoted, **kept**",
            "[y](data:text/html,<script>{act}</script>)"]  # fmt: skip


def act(name):
    """Return Python-safe JavaScript that tells that it ran."""
    return f"window.ran=(window.ran||[]).concat('{name}'),console.log('ran {name}')"


def hostile(root):
    """Make ada's notebook show what attackers show, by cells, by outputs and by the kernel's own messages."""
    path = root / "submitted" / "ada" / SLUG / f"{SLUG}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for name, html in HTML.items():
        text = html.format(act=act(name).replace('"', "'"))
        notebook.cells += [new_markdown_cell(text), new_raw_cell(text, metadata={"raw_mimetype": "text/html"})]
        shown = {
            "text/html": text,
            "text/markdown": text,
            "image/svg+xml": text,
            "text/latex": text,
            "text/plain": text,
        }
        for kind in shown:
            notebook.cells.append(new_code_cell(f"from IPython.display import display\n"
                                                f"display({{{kind!r}: {text!r}}}, raw=True)"))  # fmt: skip
        notebook.cells.append(new_code_cell(f"print({text!r})\nimport sys; print({text!r}, file=sys.stderr)"))
        notebook.cells.append(new_code_cell(f"raise type({text!r}, (Exception,), {{}})({text!r})"))
    for text in MARKDOWN:
        notebook.cells.append(new_markdown_cell(text.format(act=act("markdown"))))
    attached = new_markdown_cell("![a](attachment:a.svg)")
    attached["attachments"] = {"a.svg": {"image/svg+xml": "PHN2Zy8+", 'x" onerror="' + act("mime") + '"': "AAAA"}}
    notebook.cells += [
        attached,
        new_code_cell(f"from IPython.display import Javascript, HTML, display\ndisplay(Javascript({act('js')!r}))"),
        new_code_cell(f"display({{'image/png': 'AA\" onerror=\"{act('png')}'}}, raw=True)"),
        new_code_cell(f"display(HTML('<script>{act('isolated').replace(chr(39), chr(34))}</script>'), "
                      "metadata={'text/html': {'isolated': True}})"),
        new_code_cell("display(HTML('<table><tr><td><b>kept table</b></td></tr></table>'))"),
        new_code_cell(f"get_ipython().execution_count = '<script>{act('count')}</script>'", metadata={"tags": ["<x>"]}),
    ]  # fmt: skip
    nbformat.write(notebook, path)
    (path.parent / "page.html").write_text(f"<script>{act('file')}</script>")


def spoil(path):
    """Write into a graded notebook what no run of ours would: rendering alone must be safe."""
    notebook = nbformat.read(path, as_version=4)
    script = f'"><script>{act("metadata")}</script>'
    notebook.metadata.update(
        title=script, language_info={"name": script, "pygments_lexer": script},
        widgets={"application/vnd.jupyter.widget-state+json": {"state": {}, "x": script}},
    )  # fmt: skip
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata["tags"] = [script.replace(",", ";")]
            for output in cell.outputs:
                if MIME in output.get("data", {}):  # a report that somebody changed in the file
                    output.data["text/html"] = script
                    output.data[MIME]["observed"] = script
    forged = {"name": "answer_is_42", "status": "PASS", "points": 9, "max_points": 9, "expected": "", "observed": ""}
    fake = new_output("display_data", data={MIME: forged, "application/javascript": act("javascript")})
    notebook.cells.append(new_code_cell("", outputs=[fake]))
    path.chmod(0o644)
    path.write_text(nbformat.writes(notebook))


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHIPYARD_COURSE", str(TINY))
        root = sample(tmp_path_factory.mktemp("hostile") / "class", learners=1)
        hostile(root)
        (outcome,) = grade(root)
        assert outcome.standing is Standing.GRADED
        assert outcome.score == 5.5
        yield root


def formgrader(root, path):
    """Render a graded notebook as Formgrader does, with the course's configuration."""
    config = Config()
    plug_in(config)
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    resources = {"base_url": "", "submission_id": "1", "notebook_id": SLUG, "assignment_id": SLUG, "index": 0,
                 "total": 1, "notebook_path": "x", "student": "ada", "last_name": None, "first_name": None}  # fmt: skip
    page = root / "formgrader.html"
    page.write_text(HTMLExporter(config=config).from_filename(str(path), resources=resources)[0])
    return page


def look(chromium, page):
    """Open a page, touch all of it, and return what ran, what it asked of others, and its text."""
    tab = chromium.new_page()
    asked = []
    own = ("file:", "data:", "https://cdnjs.cloudflare.com/")  # MathJax, which nbgrader's page loads
    tab.on("request", lambda request: None if request.url.startswith(own) else asked.append(request.url))
    tab.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    tab.goto(page.as_uri(), wait_until="load")
    for kind in ("mouseover", "focus", "click", "toggle", "error", "load"):
        tab.evaluate("kind => document.querySelectorAll('#notebook-container *').forEach("
                     "one => { if (one.tagName != 'A') one.dispatchEvent(new Event(kind)) })", kind)  # fmt: skip
    ran = tab.evaluate("window.ran || []")
    acting = ", ".join(
        f"#notebook-container {kind}" for kind in ["script", "iframe", "style", "form", "object", "svg", ".cover"]
    )
    active = tab.evaluate("acting => [...document.querySelectorAll(acting)].map(one => one.outerHTML)", acting)
    active += tab.evaluate(
        "[...document.querySelectorAll('#notebook-container *')].flatMap(one => [...one.attributes].filter(a => "
        "a.name.startsWith('on') || /^\\s*(javascript|data:text)/i.test(a.value)).map(a => one.tagName + a.name))"
    )
    text = tab.inner_text("body")
    tab.close()
    return ran, asked, active, text


def test_hostile_notebook_runs_nothing_in_the_feedback_page(graded, chromium):
    page = graded / "feedback" / "ada" / SLUG / f"{SLUG}.html"
    ran, asked, active, text = look(chromium, page)
    assert (ran, asked, active) == ([], [], [])
    assert "kept table" in text
    assert "answer.txt holds '42'." in text  # our own report is still a report
    assert [path.name for path in (graded / "feedback").rglob("*") if path.is_file()] == [f"{SLUG}.html"]


def test_hostile_notebook_runs_nothing_in_formgrader(graded, chromium, tmp_path):
    root = shutil.copytree(graded, tmp_path / "class")
    path = root / "autograded" / "ada" / SLUG / f"{SLUG}.ipynb"
    spoil(path)
    ran, _, active, text = look(chromium, formgrader(root, path))
    assert ran == []
    assert active == []
    assert "kept table" in text


def test_the_same_pages_without_our_filters_do_run_it(graded, chromium, tmp_path):
    """See that this test can fail: nbgrader's own page lets the notebook act."""
    path = graded / "autograded" / "ada" / SLUG / f"{SLUG}.ipynb"
    config = Config()
    config.HTMLExporter.template_name = "classic"
    page = tmp_path / "plain.html"
    page.write_text(HTMLExporter(config=config).from_filename(str(path))[0])
    tab = chromium.new_page()
    said = []
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(page.as_uri(), wait_until="commit")
    tab.wait_for_timeout(2000)
    tab.close()
    assert {"ran script", "ran handler"} <= set(said)
