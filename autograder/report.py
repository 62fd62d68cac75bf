"""Show results: for the terminal, as plain text and as HTML.

    Console().print(as_table(results))     # shipyard grade
    print(as_text(results))                # a notebook without HTML
    as_html(results)                       # JupyterLab, nbgrader's feedback page

Points are only shown here, never decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autograder.checks import Result, Status
from autograder.probes.words import plain

# Words carry the meaning, colour only repeats it. White on each of these has a contrast of 5:1 or
# more, so the badges need no light and no dark variant; all other colours are the page's own.
COLOURS = {Status.PASS: "#1a7f37", Status.FAIL: "#b42318", Status.ERROR: "#8a5a00"}
STYLES = {Status.PASS: "bold white on green4", Status.FAIL: "bold white on red3", Status.ERROR: "bold white on orange4"}


def number(points: float) -> str:
    """Return points as people write them.

    >>> number(1.0), number(0.5)
    ('1', '0.5')
    """
    return f"{points:.2f}".rstrip("0").rstrip(".")


def score(result: Result) -> str:
    """Return "1/2", or "no verdict" for a check that could not be made."""
    if result.status is Status.ERROR:
        return f"no verdict (of {number(result.max_points)})" if result.max_points else "no verdict"
    return f"{number(result.points)}/{number(result.max_points)}"


def summary(results: Sequence[Result]) -> str:
    """Return one sentence on all results: points, passed, failed, without verdict."""
    count = {status: sum(r.status is status for r in results) for status in Status}
    points = f"{number(sum(r.points for r in results))}/{number(sum(r.max_points for r in results))} points"
    parts = [f"{count[Status.PASS]} passed", f"{count[Status.FAIL]} failed"]
    if count[Status.ERROR]:
        parts.append(f"{count[Status.ERROR]} could not be checked (not graded)")
    return f"{points}: {', '.join(parts)}."


def details(result: Result) -> list[tuple[str, str]]:
    """Return what to show under a result, as (word, text): a pass needs no hint."""
    ours = result.status is Status.ERROR
    rows = [("Expected", result.expected), ("Could not look" if ours else "Observed", result.observed)]
    if result.status is not Status.PASS:
        rows += [("What to do" if ours else "Hint", result.hint)]
        rows += [] if ours else [("Read", result.chapter and f"chapter {result.chapter.replace('#', ', section ')}")]
    return [(word, plain(text)) for word, text in rows if text]


def as_table(results: Sequence[Result], title: str = "") -> Group:
    """Return a rich renderable for the terminal: one block a check, then the summary."""
    blocks = [Text(plain(title), style="bold")] if title else []
    for result in results:
        head = Table.grid(padding=(0, 1), expand=False)
        head.add_row(
            Text(f" {result.status} ", style=STYLES[result.status]),
            Text(plain(result.name), style="bold"),
            Text(score(result), style="dim"),
        )
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column(overflow="fold")
        for word, text in details(result):
            rows.add_row(word, Text(text))  # Text: square brackets in a log are no markup
        blocks += [head, Padding(rows, (0, 0, 1, 2))]
    return Group(*blocks, Text(summary(results), style="bold")) if len(results) != 1 else Group(*blocks)


def as_text(results: Sequence[Result], title: str = "") -> str:
    """Return plain text without colours."""
    lines = [plain(title)] if title else []
    for result in results:
        lines.append(f"{result.status} {plain(result.name)} {score(result)}")
        for word, text in details(result):
            lines.append(f"  {word}: " + text.replace("\n", "\n    "))
    return "\n".join(lines + ([summary(results)] if len(results) != 1 else []))


def as_html(results: Sequence[Result], title: str = "") -> str:
    """Return a fragment of HTML that needs no style sheet, script or file; everything in it is escaped.

    Styles stand on the elements: JupyterLab and nbgrader's feedback page each
    have tables and colours of their own, and a <style> would change the page.
    """
    parts = ['<div style="max-width:60em;line-height:1.45;font-family:system-ui,sans-serif;text-align:left">']
    if title:
        parts.append(f'<div style="font-weight:600;margin:0 0 .4em">{escape(plain(title))}</div>')
    parts += [_block(result) for result in results]
    if len(results) != 1:
        parts.append(f'<div style="font-weight:600;margin:.4em 0">{escape(summary(results))}</div>')
    return "".join(parts) + "</div>"


def _block(result: Result) -> str:
    colour = COLOURS[result.status]
    rows = "".join(
        f'<div style="margin:.15em 0"><span style="opacity:.75;font-weight:600">{escape(word)}:</span> '
        f'<span style="white-space:pre-wrap;overflow-wrap:anywhere">{escape(text)}</span></div>'
        for word, text in details(result)
    )
    return (
        f'<div style="border:1px solid rgba(128,128,128,.4);border-left:5px solid {colour};border-radius:4px;'
        f'padding:.5em .8em;margin:.4em 0">'
        f'<div><span style="background:{colour};color:#fff;border-radius:3px;padding:.1em .5em;font-weight:700">'
        f"{result.status}</span> "
        f'<code style="background:none;color:inherit;font-weight:600">{escape(plain(result.name))}</code> '
        f'<span style="opacity:.75">{escape(score(result))}</span></div>{rows}</div>'
    )
