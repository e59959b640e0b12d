"""The figures as a chart: how far each is from its goal, on one logarithmic scale."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from tests.bench.measure import Figure, Goal, Measured

WIDTH, LABELS, VALUES = 960, 260, 300
TOP, ROW, BOTTOM = 64, 26, 46
LEAST, MOST = 0.1, 100.0
"""Times its goal, at the ends of the scale."""
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .small { font-size: 11px; fill: #59636e; }
  .title { font-size: 15px; font-weight: 600; }
  .number { text-anchor: end; }
  .middle { text-anchor: middle; }
  .ground { fill: #ffffff; }
  .met { fill: #2da44e; } .missed { fill: #bf8700; }
  .grid { stroke: #d1d9e0; } .goal { stroke: #59636e; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9198a1; }
    .ground { fill: #0d1117; }
    .met { fill: #3fb950; } .missed { fill: #d29922; }
    .grid { stroke: #3d444d; } .goal { stroke: #9198a1; }
  }
"""


def draw(measured: list[Measured], machine: dict[str, str | int]) -> str:
    """An SVG with a bar for each figure that has a goal, longer where it is better."""
    figures = [(each, each.goal) for each in measured if isinstance(each, Figure) and each.goal]
    height = TOP + ROW * len(figures) + BOTTOM
    below = TOP + ROW * len(figures)
    title = "How far past its goal each figure is (longer is better)"
    foot = "From one run of make bench: each ratio, what it is a ratio to, and its goal."
    size = f'viewBox="-12 -12 {WIDTH + 24} {height + 24}" width="{WIDTH + 24}"'
    facts = ", ".join(f"{name} {value}" for name, value in machine.items())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">',
        f"<style>{STYLE}</style>",
        '<rect class="ground" x="-12" y="-12" width="100%" height="100%"/>',
        f'<text class="title" x="0" y="18">{title}</text>',
        f'<text class="small" x="0" y="38">{escape(facts)}</text>',
        *(_grid(mark, below) for mark in (0.1, 1.0, 10.0, 100.0)),
        *(_row(figure, goal, TOP + ROW * n) for n, (figure, goal) in enumerate(figures)),
        f'<text class="small" x="0" y="{height - 6}">{foot}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _grid(mark: float, below: int) -> str:
    x = _x(mark)
    kind, text = ("goal", "goal") if mark == 1 else ("grid", f"{mark:g} times")
    return (
        f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{below}"/>'
        f'<text class="small middle" x="{x:.1f}" y="{below + 16}">{text}</text>'
    )


def _row(figure: Figure, goal: Goal, top: int) -> str:
    past = figure.ratio / goal.ratio if goal.at_least else goal.ratio / figure.ratio
    kind = "met" if goal.met(figure.ratio) else "missed"
    start, end = sorted((_x(1.0), _x(past)))
    base = top + ROW * 0.65
    told = f"{figure.ratio:.2g} of {figure.against}"
    return (
        f'<text class="number" x="{LABELS - 12}" y="{base:.1f}">{escape(figure.name)}</text>'
        f'<rect class="{kind}" x="{start:.1f}" y="{top + 5}" width="{max(2.0, end - start):.1f}" '
        f'height="{ROW - 10}" rx="2"/>'
        f'<text class="small" x="{WIDTH - VALUES + 10}" y="{base:.1f}">{escape(told)} '
        f"({escape(str(goal))})</text>"
    )


def _x(times: float) -> float:
    """Where on the scale a number of times the goal is."""
    place = (math.log10(times) - math.log10(LEAST)) / (math.log10(MOST) - math.log10(LEAST))
    return LABELS + min(1.0, max(0.0, place)) * (WIDTH - LABELS - VALUES)
