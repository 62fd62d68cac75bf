"""Draw a compiled pipeline: a box a step, an arrow for what flows, a dashed frame for "only if".

Dag(Path("pipeline.yaml"))   # shown as a picture in a notebook, as lines of text elsewhere
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from autograder.facts import NotThere
from autograder.probes.pipeline import Pipeline, Step, read

WIDTH, HEIGHT, ACROSS, DOWN = 128, 46, 56, 34  # of a box, and of the gaps between boxes
BLUE, GREEN, GREY = "#2563eb", "#15803d", "#6b7280"


@dataclass(frozen=True)
class Dag:
    """Show the pipeline in a file."""

    path: Path | str

    def _repr_html_(self) -> str:
        try:
            return svg(read(Path(self.path)))
        except NotThere as absent:
            return f"<p>{escape(absent.observed)}</p>"

    def __repr__(self) -> str:
        try:
            return text(read(Path(self.path)))
        except NotThere as absent:
            return absent.observed


def text(pipeline: Pipeline) -> str:
    """Return a line a step: what it waits for, and on which condition it runs."""
    lines = []
    for column in columns(pipeline):
        for step in column:
            line = f"{step.name} <- {', '.join(sorted(ahead(step))) or 'the parameters'}"
            lines.append(line + (f"  if {condition(step)}" if step.conditions else ""))
    return "\n".join(lines)


def ahead(step: Step) -> frozenset[str]:
    """Return the steps that an arrow leads from: those that it needs, and those that it waits for otherwise."""
    if step.exit_of:
        return frozenset()
    conditions = frozenset().union(*(one.depends for one in step.conditions)) if step.conditions else frozenset()
    return step.needs | conditions | (frozenset() if step.needs or step.conditions else step.after)


def columns(pipeline: Pipeline) -> list[list[Step]]:
    """Return the steps from left to right: each stands behind all that it waits for; exit steps come last."""
    steps = {step.name: step for step in pipeline.steps}
    depth: dict[str, int] = {}

    def deep(name: str, path: frozenset[str] = frozenset()) -> int:
        if name not in depth:
            before = [one for one in ahead(steps[name]) if one in steps and one not in path]
            depth[name] = 1 + max((deep(one, path | {name}) for one in before), default=-1)
        return depth[name]

    last = max((deep(name) for name, step in steps.items() if not step.exit_of), default=-1)
    for name, step in steps.items():
        if step.exit_of:
            depth[name] = last + 1
    found = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name in sorted(steps):
        found[depth[name]].append(steps[name])
    return [column for column in found if column]


def condition(step: Step) -> str:
    """Return under which condition a step runs, in words of the pipeline.

    >>> condition(step)  # doctest: +SKIP
    'evaluate > score-serving'
    """
    said = []
    for one in step.conditions:
        words = one.text
        for name, value in one.values.items():
            origin = " or ".join(sorted(source.step or source.key for source in value.sources)) or name
            words = words.replace(f"inputs.parameter_values['{name}']", origin)
        said.append(words)
    return " and ".join(said)


def svg(pipeline: Pipeline) -> str:
    """Return the picture, as SVG of our own: no library, no script."""
    placed: dict[str, tuple[int, int]] = {}
    drawn = columns(pipeline)
    tallest = max((len(column) for column in drawn), default=1)
    for number, column in enumerate(drawn):
        top = (tallest - len(column)) * (HEIGHT + DOWN) // 2
        for row, step in enumerate(column):
            placed[step.name] = (20 + number * (WIDTH + ACROSS), 34 + top + row * (HEIGHT + DOWN))
    width = 20 + len(drawn) * (WIDTH + ACROSS)
    height = 60 + tallest * (HEIGHT + DOWN)
    parts = [_arrow(placed[one], placed[step.name]) for column in drawn for step in column
             for one in sorted(ahead(step)) if one in placed]  # fmt: skip
    parts += [_box(step, *placed[step.name]) for column in drawn for step in column]
    head = (f'<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0 8 4 0 8z" fill="{GREY}"/></marker>')  # fmt: skip
    label = escape(f"The pipeline {pipeline.name}: " + "; ".join(text(pipeline).splitlines()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{label}" style="max-width:100%;background:#fff;font:13px system-ui,sans-serif">'
        f"<defs>{head}</defs>{''.join(parts)}</svg>"
    )


def _box(step: Step, x: int, y: int) -> str:
    colour = GREEN if step.conditions else GREY if step.exit_of else BLUE
    dash = ' stroke-dasharray="5 3"' if step.conditions or step.exit_of else ""
    kinds = [kind.removeprefix("system.") for kind in step.gives.values() if kind.startswith("system.")]
    small = "after all, good or bad" if step.exit_of else ", ".join(kinds)
    if step.conditions:
        small = f"if {condition(step)}"
    small = small if len(small) < 30 else small[:28] + "…"
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="#fff" stroke="{colour}" '
        f'stroke-width="2"{dash}/>'
        f'<text x="{x + WIDTH // 2}" y="{y + 28}" text-anchor="middle" fill="#111">{escape(step.name)}</text>'
        f'<text x="{x + WIDTH // 2}" y="{y + HEIGHT + 14}" text-anchor="middle" fill="{GREY}" font-size="10">'
        f"{escape(small)}</text>"
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0] - 2, end[1] + HEIGHT // 2
    bend = (x1 + x2) // 2
    return (f'<path d="M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}" fill="none" stroke="{GREY}" '
            f'stroke-width="1.4" marker-end="url(#tip)"/>')  # fmt: skip
