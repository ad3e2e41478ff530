"""Lines over two axes as SVG, readable on light and dark pages; no figure is computed here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final
from xml.sax.saxutils import escape

import attrs

__all__ = ["Chart", "Line", "drawn"]

WIDTH: Final = 720
HEIGHT: Final = 400
MOST_MARKS: Final = 6
"""Where there are more figures than these across, round ones are written in their place."""
LEFT, RIGHT, TOP, BOTTOM = 76, 172, 40, 52
COLOURS: Final = (
    ("#1f6feb", "#79b8ff"), ("#bf3989", "#f692ce"), ("#1a7f37", "#56d364"),
    ("#9a6700", "#e3b341"), ("#cf222e", "#ff7b72"), ("#57606a", "#b1bac4"),
)  # fmt: skip
"""Of lines: on a light page, and on a dark one."""
STYLE: Final = (
    "text{font:13px sans-serif;fill:#1f2328}.axis{stroke:#57606a}.grid{stroke:#d0d7de}"
    + "".join(f".c{n}{{stroke:{light};fill:{light}}}" for n, (light, _) in enumerate(COLOURS))
    + ".line{fill:none;stroke-width:2}.page{fill:#ffffff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{stroke:#b1bac4}"
    ".grid{stroke:#30363d}.page{fill:#0d1117}"
    + "".join(f".c{n}{{stroke:{dark};fill:{dark}}}" for n, (_, dark) in enumerate(COLOURS))
    + ".line{fill:none}}"
)


@attrs.frozen
class Line:
    """A line.

    Attributes:
        name: What it is.
        points: From left to right.
        colour: One of six, from 0 on; the same things have the same in all charts.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int


@attrs.frozen
class Chart:
    """What is drawn.

    Attributes:
        title: What it shows.
        across, up: What the axes are, with units.
        lines: What is drawn.
        log_across, log_up: The axis is logarithmic. Otherwise `up` begins at 0.
    """

    title: str
    across: str
    up: str
    lines: tuple[Line, ...]
    log_across: bool = False
    log_up: bool = False


@attrs.frozen
class _Axis:
    """From figures to places: `low` is at `begin`, `high` at `end`."""

    low: float
    high: float
    begin: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        scale: Callable[[float], float] = math.log if self.log else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return round(self.begin + share * (self.end - self.begin), 1)


def _steps_up(low: float, high: float, log: bool) -> list[float]:
    """Round figures from one not above the lowest to one not below the highest."""
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return [10.0**power for power in range(first, max(last, first + 1) + 1)]
    unit = 10.0 ** math.floor(math.log10(high or 1))
    step = next(part * unit for part in (0.1, 0.2, 0.5, 1, 2) if high / (part * unit) <= 6)
    return [step * number for number in range(math.ceil(high / step) + 1)]


def _text(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _label(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}"{more}>{escape(text)}</text>'


def _stroke(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def drawn(chart: Chart) -> str:
    """The chart as SVG. Raises `ValueError` if there is nothing to draw."""
    points = [point for line in chart.lines for point in line.points]
    if not points:
        raise ValueError(f"{chart.title}: there is nothing to draw")
    marks = sorted({x for x, _ in points})
    if len(marks) > MOST_MARKS and not chart.log_across:
        marks = _steps_up(0, marks[-1], log=False)
    heights = [y for _, y in points]
    steps = _steps_up(min(heights), max(heights), chart.log_up)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    low, high = marks[0], marks[-1] if marks[-1] > marks[0] else marks[0] + 1
    across = _Axis(low, high, LEFT, right, chart.log_across)
    up = _Axis(steps[0], steps[-1], bottom, TOP, chart.log_up)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(chart.title)}</title><style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        _label(LEFT, 22, chart.title, ' font-weight="bold"'),
    ]
    for step in steps:
        y = up.place(step)
        parts.append(_stroke("grid", LEFT, y, right, y))
        parts.append(_label(LEFT - 8, y + 4, _text(step), ' text-anchor="end"'))
    for x in _spread([(mark, across.place(mark)) for mark in marks]):
        parts.append(_stroke("axis", x[1], bottom, x[1], bottom + 5))
        parts.append(_label(x[1], bottom + 20, _text(x[0]), ' text-anchor="middle"'))
    parts += [
        _stroke("axis", LEFT, bottom, right, bottom),
        _stroke("axis", LEFT, TOP, LEFT, bottom),
        _label((LEFT + right) / 2, HEIGHT - 10, chart.across, ' text-anchor="middle"'),
        _label(
            16, (TOP + bottom) / 2, chart.up,
            f' text-anchor="middle" transform="rotate(-90 16 {(TOP + bottom) / 2})"',
        ),
    ]  # fmt: skip
    for line in chart.lines:
        number = line.colour
        places = [(across.place(x), up.place(y)) for x, y in line.points]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline class="line c{number}" points="{path}"/>')
        parts += [f'<circle class="c{number}" cx="{x}" cy="{y}" r="3"/>' for x, y in places]
    ends = [(up.place(line.points[-1][1]), number) for number, line in enumerate(chart.lines)]
    free = TOP
    for y, number in sorted(ends):
        free = max(free, y)
        line = chart.lines[number]
        parts.append(
            f'<circle class="c{line.colour}" cx="{right + 14}" cy="{round(free, 1)}" r="4"/>'
        )
        parts.append(_label(right + 22, round(free + 4, 1), line.name))
        free += 18
    return "\n".join([*parts, "</svg>", ""])


def _spread(marks: Sequence[tuple[float, float]], apart: float = 38) -> list[tuple[float, float]]:
    """Those that have room for their text beside each other."""
    kept: list[tuple[float, float]] = []
    for mark in marks:
        if not kept or mark[1] - kept[-1][1] >= apart:
            kept.append(mark)
    return kept
