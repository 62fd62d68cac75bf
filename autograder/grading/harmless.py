"""Make what strangers wrote harmless before a person's browser shows it: feedback pages and Formgrader.

Both render with nbconvert's HTMLExporter, so `plug_in` puts the three parts
of this module there: a preprocessor for outputs and metadata, and the two filters
through which all other text of a notebook goes. What is safe is listed; all
else is removed, so that a new kind of output is not shown rather than trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from bleach.sanitizer import Cleaner
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from nbgrader.utils import is_grade, is_solution

from autograder.grading.verdicts import MIME, from_json
from autograder.report import as_html

TEXT = "a abbr b br caption code col colgroup dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li ol "
TEXT += "blockquote p pre q s small span strong sub summary sup table tbody td tfoot th thead tr u ul var"
TAGS = frozenset(TEXT.split())
# No id, name or class: they would be found by Formgrader's own scripts. No style: it could cover the page.
ATTRIBUTES = {"a": ["href", "title"], "abbr": ["title"], "img": ["src", "alt", "width", "height"],
              "ol": ["start"], "td": ["colspan", "rowspan"], "th": ["colspan", "rowspan", "scope"]}  # fmt: skip
PICTURE = re.compile(r"data:image/(?:png|jpeg|gif);base64,[A-Za-z0-9+/=\s]+")
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
PLAIN, PICTURES = ("text/plain", "text/latex"), ("image/png", "image/jpeg")
DROPPED = re.compile(r"<(script|style|iframe|object|embed|template|noscript)\b.*?(</\1\s*>|\Z)", re.I | re.S)


class Harmless(Preprocessor):
    """Keep of a notebook's outputs and metadata what cannot act: text, pictures, tables, and our own reports."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Clean one notebook, in place."""
        nb.metadata = NotebookNode(language_info=NotebookNode(name="python"))
        for cell in nb.cells:
            own = cell.metadata.get("nbgrader") if isinstance(cell.get("metadata"), dict) else None
            cell.metadata = NotebookNode(nbgrader=own) if own else NotebookNode()
            if cell.cell_type == "raw":
                cell.source = clean(cell.source)
            elif cell.cell_type == "markdown":
                cell.attachments = _pictures(cell.get("attachments"))
            else:
                cell.execution_count = _count(cell.get("execution_count"))
                graded = is_grade(cell) and not is_solution(cell)
                if graded:
                    cell.metadata.nbgrader.verdict = _verdict(cell)
                shown = _joined(cell.get("outputs", []))
                cell.outputs = [kept for output in shown if (kept := _output(output, graded))]
        return nb, resources


def clean(html: str) -> str:
    """Return HTML without anything that acts, loads or covers: no script, handler, style, frame or remote picture.

    >>> clean('<b onclick="x()">8</b><script>x()</script>')
    '<b>8</b>'
    """
    return Cleaner(tags=TAGS, attributes=_allowed, protocols={"http", "https", "mailto", "data"}, strip=True).clean(
        DROPPED.sub("", str(html))
    )


@pass_context
def markdown2html(context: Context, source: str) -> str:
    """Render a markdown text and clean what it gave; pictures that lie in a file or elsewhere are not loaded."""
    attachments = context.get("cell", {}).get("attachments", {})
    renderer = IPythonRenderer(escape=False, attachments=attachments, exclude_anchor_links=True)
    try:
        return clean(MarkdownWithMath(renderer=renderer).render(str(source)))
    except Exception:  # one cell (a picture that is missing, a thousand brackets) must not cost the page
        return f"<pre>{escape(str(source))}</pre>"


def highlight_code(source: str, language: str | None = None, metadata: dict | None = None) -> str:
    """Colour Python; which language it is does not come from the notebook, whose word for it gets into the page."""
    return Highlight2HTML(pygments_lexer="ipython3")(str(source))


def _allowed(tag: str, name: str, value: str) -> bool:
    if name not in ATTRIBUTES.get(tag, ()):
        return False
    if name == "src":
        return bool(PICTURE.fullmatch(value))
    return name != "href" or not re.sub(r"[\s\x00-\x1f]", "", value).lower().startswith("data:")


def _joined(outputs: Iterable[NotebookNode]) -> Iterator[NotebookNode]:
    """Yield outputs, what was printed in a row as one: a program's words come in pieces that are cut anywhere.

    nbconvert's CoalesceStreamsPreprocessor does so too, but its search for `\\r` takes minutes on a line of a megabyte.
    """
    for (kind, _), together in groupby(outputs, key=lambda one: (one.get("output_type"), one.get("name"))):
        if kind == "stream":
            lines = "".join(_text(one.get("text")) for one in together).replace("\r\n", "\n").split("\n")
            yield NotebookNode(output_type=kind, text="\n".join(map(_overwritten, lines)))
        else:
            yield from together


def _overwritten(line: str) -> str:
    """Return what a terminal shows of a line at its end: a progress bar goes back by `\\r` and writes over itself.

    >>> _overwritten("  1 %\\r 50 %\\r100 % in 3 s")
    '100 % in 3 s'
    """
    shown = ""
    for piece in reversed(line.split("\r")):  # from the last on: a time that grows with the line's length only
        shown += piece[len(shown) :]
    return shown


def _output(output: NotebookNode, graded: bool) -> NotebookNode | None:
    kind = output.get("output_type")
    if kind == "stream":
        return NotebookNode(output_type=kind, name="stdout", text=_text(output.get("text")))
    if kind == "error":
        lines = output.get("traceback") if isinstance(output.get("traceback"), list) else []
        said = {name: _text(output.get(name)) for name in ("ename", "evalue")}
        return NotebookNode(output_type=kind, traceback=[_text(line) for line in lines], **said)
    if kind not in ("display_data", "execute_result") or not isinstance(output.get("data"), dict):
        return None
    data = {name: _text(value) for name, value in output.data.items() if name in PLAIN}
    for name in PICTURES:
        if BASE64.fullmatch(picture := _text(output.data.get(name))) and picture:
            data[name] = picture
    if graded and (report := _report(output.data.get(MIME))):
        data["text/html"] = report  # written anew: what stands in the file may not be ours
    else:
        for name in ("text/html", "text/markdown"):
            if name in output.data:
                data[name] = clean(_text(output.data[name])) if name == "text/html" else _text(output.data[name])
    if not data:
        return None
    kept = NotebookNode(output_type=kind, data=NotebookNode(data), metadata=NotebookNode())
    if kind == "execute_result":
        kept.execution_count = _count(output.get("execution_count"))
    return kept


def _verdict(cell: NotebookNode) -> str:
    """Return PASS, FAIL or ERROR as a graded cell's report says, "" where there is none."""
    found = [output["data"][MIME] for output in cell.get("outputs", []) if MIME in output.get("data", {})]
    try:
        return str(from_json(found[:1])[0].status)
    except (TypeError, KeyError, ValueError, IndexError):
        return ""


def _report(value: object) -> str:
    try:
        return as_html(from_json([value]))
    except (TypeError, KeyError, ValueError):
        return ""


def _text(value: object) -> str:
    if isinstance(value, list):
        return "".join(map(str, value))
    return "" if value is None else str(value)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _pictures(attachments: object) -> NotebookNode:
    """Return the attachments that are pictures, each with the kinds that are safe."""
    found = NotebookNode()
    for name, kinds in attachments.items() if isinstance(attachments, dict) else ():
        data = kinds.items() if isinstance(kinds, dict) else ()
        if kept := {kind: text for kind, text in data if kind in PICTURES and BASE64.fullmatch(_text(text))}:
            found[name] = kept
    return found
