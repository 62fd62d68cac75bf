"""Show figures of a model in a notebook: a confusion matrix, bars of accuracy. HTML of our own, text elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Confusion:
    """Show how often each digit (row) was read as each other (column).

    `logged` is what a ClassificationMetrics artifact holds under confusionMatrix.
    """

    logged: Mapping

    @property
    def names(self) -> list[str]:
        """The classes' names."""
        return [str(one["displayName"]) for one in self.logged["annotationSpecs"]]

    @property
    def counts(self) -> list[list[int]]:
        """The counts, a row a true class."""
        return [[int(count) for count in one["row"]] for one in self.logged["rows"]]

    def __repr__(self) -> str:
        lines = ["true\\read " + " ".join(f"{name:>4}" for name in self.names)]
        lines += [f"{name:>9} " + " ".join(f"{count:>4}" for count in row)
                  for name, row in zip(self.names, self.counts, strict=True)]  # fmt: skip
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self.names)
        body = ""
        for place, (name, row) in enumerate(zip(self.names, self.counts, strict=True)):
            whole = max(1, sum(row))
            cells = "".join(_cell(count, count / whole, place == column) for column, count in enumerate(row))
            body += f"<tr><th>{escape(name)}</th>{cells}</tr>"
        return (
            '<table style="border-collapse:collapse;font:13px system-ui,sans-serif;text-align:center">'
            f"<caption>rows: the digit that it is; columns: the digit that was read</caption>"
            f"<tr><th></th>{head}</tr>{body}</table>"
        )


def _cell(count: int, part: float, right: bool) -> str:
    colour = "37,99,235" if right else "220,38,38"
    shown = str(count) if count else ""
    return f'<td style="width:2.2em;background:rgba({colour},{0.85 * part:.2f});color:#111">{shown}</td>'


@dataclass(frozen=True)
class Bars:
    """Show a bar for each value between 0 and 1, such as the accuracy of each run."""

    values: Mapping[str, float]
    title: str = ""

    def __repr__(self) -> str:
        wide = max((len(name) for name in self.values), default=0)
        lines = [f"{name:<{wide}} {'█' * round(40 * value)} {value:.3f}" for name, value in self.values.items()]
        return "\n".join(([self.title] if self.title else []) + lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left">{escape(name)}</td><td style="text-align:left;width:26em">'
            f'<div style="background:#2563eb;height:1em;width:{100 * min(1, max(0, value)):.1f}%"></div></td>'
            f"<td>{value:.3f}</td></tr>"
            for name, value in self.values.items()
        )
        return f'<table style="font:13px system-ui,sans-serif"><caption>{escape(self.title)}</caption>{rows}</table>'


def steps_table(rows: Sequence[Sequence[str]], title: str) -> tuple[str, str]:
    """Return a table of steps as HTML and as text; the first row holds the columns' names."""
    wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [" ".join(f"{cell:<{size}}" for cell, size in zip(row, wide, strict=True)).rstrip() for row in rows]
    cells = [[f"<{'th' if not number else 'td'} style='text-align:left'>{escape(cell)}" for cell in row]
             for number, row in enumerate(rows)]  # fmt: skip
    body = "".join(f"<tr>{''.join(row)}" for row in cells)
    html = f"<table style='font:13px system-ui,sans-serif'><caption>{escape(title)}</caption>{body}</table>"
    return html, "\n".join([title, *lines])
