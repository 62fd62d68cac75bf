"""Draw what a watching cell saw: who answered, how many replicas there were, how long answers took. SVG, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, LEFT, RIGHT, TALL, GAP = 720, 46, 150, 92, 34
FAILED = "#d55e00"
# Okabe and Ito's colours, which colour-blind people can tell apart; the first is for failures only.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442", "#999999", "#5c4b9b")


@dataclass(frozen=True)
class Moment:
    """Hold one second: answers by pod, failed requests, replicas asked for and ready, ms of the answers."""

    pods: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    wanted: int = 0
    ready: int = 0
    median: float = 0.0
    slowest: float = 0.0


def summary(moments: Sequence[Moment]) -> str:
    """Return the whole of it in one sentence.

    >>> summary([Moment({"a": 2}, 1, 2, 2, 5, 9)])
    '1 s: 2 requests answered by 1 pod, 1 failed; 2 replicas; half of the answers within 5 ms.'
    """
    answered = sum(sum(one.pods.values()) for one in moments)
    failed = sum(one.failed for one in moments)
    pods = len({name for one in moments for name in one.pods})
    counts = sorted({one.ready for one in moments})
    span = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}" if counts else "no"
    medians = sorted(one.median for one in moments if one.pods)
    speed = f"; half of the answers within {medians[len(medians) // 2]:.0f} ms" if medians else ""
    return (
        f"{len(moments)} s: {answered:,} requests answered by {pods} pod{'s' * (pods != 1)}, {failed} failed; "
        f"{span} replicas{speed}."
    )


def drawing(moments: Sequence[Moment]) -> str:
    """Return an SVG with three panels, one above the other; time runs to the right."""
    steps = max(len(moments), 20)
    panels = [_requests(moments, steps), _replicas(moments, steps), _times(moments, steps)]
    each = TALL + GAP
    body = "".join(f'<g transform="translate(0,{n * each + GAP - 8})">{one}</g>' for n, one in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(panels) * each + 8}" '
        f'style="max-width:{WIDTH}px;width:100%" role="img" aria-label="{escape(summary(moments))}" '
        f'font-family="system-ui,sans-serif" font-size="11" '
        f'fill="currentColor">{body}</svg>'
    )


def _x(step: float, steps: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * step / steps


def _frame(title: str, top: float, steps: int) -> str:
    """Return a panel's title, its base line, its highest value and the seconds below."""
    marks = "".join(
        f'<text x="{_x(at, steps):.1f}" y="{TALL + 13}" text-anchor="middle" opacity=".7">{at} s</text>'
        for at in range(0, steps + 1, max(10, steps // 6 // 10 * 10))
    )
    return (
        f'<text x="{LEFT}" y="-5" font-weight="600">{title}</text>{marks}'
        f'<text x="{LEFT - 6}" y="9" text-anchor="end" opacity=".7">{top:g}</text>'
        f'<text x="{LEFT - 6}" y="{TALL}" text-anchor="end" opacity=".7">0</text>'
        f'<path d="M{LEFT} {TALL}H{WIDTH - RIGHT}" stroke="currentColor" opacity=".4"/>'
    )


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    return "".join(
        f'<rect x="{WIDTH - RIGHT + 10}" y="{13 * n}" width="9" height="9" fill="{colour}"/>'
        f'<text x="{WIDTH - RIGHT + 24}" y="{13 * n + 9}">{escape(name)}</text>'
        for n, (name, colour) in enumerate(entries)
    )


def _requests(moments: Sequence[Moment], steps: int) -> str:
    names = list(dict.fromkeys(name for one in moments for name in one.pods))
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names)}
    top = max([10, *(sum(one.pods.values()) + one.failed for one in moments)])
    bars, wide = "", max(1.0, _x(1, steps) - _x(0, steps) - 0.6)
    for step, one in enumerate(moments):
        parts = [(one.pods[name], colours[name]) for name in names if name in one.pods] + [(one.failed, FAILED)]
        filled = TALL
        for count, colour in parts:
            high = TALL * count / top
            filled -= high
            if count:
                bars += (
                    f'<rect x="{_x(step, steps):.1f}" y="{filled:.1f}" width="{wide:.1f}" height="{high:.1f}" '
                    f'fill="{colour}"/>'
                )
    shown = [(_short(name), colours[name]) for name in names[-6:]]
    failed = sum(one.failed for one in moments)
    return (
        _frame("Requests a second, by the pod that answered", top, steps)
        + bars
        + _legend([*shown, (f"failed: {failed}", FAILED)])
    )


def _replicas(moments: Sequence[Moment], steps: int) -> str:
    top = max([3, *(max(one.wanted, one.ready) for one in moments)])
    lines = ""
    for values, style in (
        ([one.wanted for one in moments], 'stroke="currentColor" stroke-dasharray="4 3" opacity=".7"'),
        ([one.ready for one in moments], f'stroke="{COLOURS[2]}" stroke-width="2.5"'),
    ):
        path = "".join(
            f"{'H' if step else 'M'}{_x(step, steps):.1f}{'' if step else ' '}"
            + (f"V{TALL * (1 - value / top):.1f}" if step else f"{TALL * (1 - value / top):.1f}")
            for step, value in enumerate(values)
        )
        if path:
            lines += f'<path d="{path}H{_x(len(values), steps):.1f}" fill="none" {style}/>'
    return _frame("Replicas", top, steps) + lines + _legend([("ready", COLOURS[2]), ("asked for", "#888888")])


def _times(moments: Sequence[Moment], steps: int) -> str:
    top = max([50.0, *(one.slowest for one in moments)])
    dots = "".join(
        f'<circle cx="{_x(step + 0.5, steps):.1f}" cy="{TALL * (1 - value / top):.1f}" r="{r}" fill="{colour}"/>'
        for step, one in enumerate(moments) if one.pods
        for value, r, colour in ((one.slowest, 2, COLOURS[1]), (one.median, 2.5, COLOURS[0]))
    )  # fmt: skip
    legend = _legend([("median of a second", COLOURS[0]), ("slowest", COLOURS[1])])
    return _frame("Time for an answer, in ms", round(top), steps) + dots + legend


def _short(name: str) -> str:
    """Return what tells a pod from its fellows: the last two parts of its name."""
    return "-".join(name.split("-")[-2:])
