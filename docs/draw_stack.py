"""Draw the stack from the application to the card, from text: `python docs/draw_stack.py`.

Reads `docs/stack.txt`, which says how it is to be read, and writes `docs/stack.svg`. Run it from
the project's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Final

SOURCE: Final = Path("docs/stack.txt")
TARGET: Final = Path("docs/stack.svg")
COLOURS: Final = {
    "process": "#cfe3f7",
    "kernel": "#f7e9c4",
    "machine": "#e6dcf2",
    "card": "#d3ecd0",
}
WIDTH: Final = 960
LEFT, RIGHT = 150, 690
BOX: Final = 54
PASSAGE: Final = 46
MIDDLE: Final = (LEFT + RIGHT) / 2

HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#444"/></marker></defs>
<rect width="{width}" height="{height}" fill="#ffffff"/>
"""


def text(x: float, y: float, words: str, more: str = "", size: int = 14) -> str:
    """Words at a place."""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" {more}>{escape(words)}</text>\n'


def box(y: float, place: str, title: str, what: str) -> Iterator[str]:
    """A box, or several side by side."""
    titles, whats = title.split(" / "), what.split(" / ")
    gap = 12
    width = (RIGHT - LEFT - gap * (len(titles) - 1)) / len(titles)
    yield text(16, y + BOX / 2 + 5, place, 'fill="#666" font-style="italic"')
    for number, (name, meaning) in enumerate(zip(titles, whats, strict=True)):
        x = LEFT + number * (width + gap)
        yield f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{BOX}" rx="6" '
        yield f'fill="{COLOURS[place]}" stroke="#444"/>\n'
        yield text(x + width / 2, y + 22, name, 'font-weight="bold" text-anchor="middle"')
        yield text(x + width / 2, y + 42, meaning, 'text-anchor="middle"', 12)


def between(y: float, down: str, up: str) -> Iterator[str]:
    """What passes between the box above and the one below."""
    for x, ends in ((MIDDLE - 12, (y, y + PASSAGE)), (MIDDLE + 12, (y + PASSAGE, y))):
        yield f'<line x1="{x:g}" y1="{ends[0]:g}" x2="{x:g}" y2="{ends[1]:g}" '
        yield 'stroke="#444" marker-end="url(#tip)"/>\n'
    yield text(MIDDLE - 24, y + PASSAGE / 2 + 5, down, 'text-anchor="end" fill="#333"')
    yield text(MIDDLE + 24, y + PASSAGE / 2 + 5, up, 'fill="#333"')


def aside(y: float, title: str, what: str) -> Iterator[str]:
    """Who looks at the passage that ends at y."""
    top, x = y - PASSAGE - 14, RIGHT + 20
    yield f'<rect x="{x}" y="{top:g}" width="{WIDTH - x - 16}" height="{PASSAGE + 28}" rx="6" '
    yield 'fill="#fbe3e0" stroke="#444" stroke-dasharray="5 3"/>\n'
    yield text(x + 12, top + 22, title, 'font-weight="bold"')
    words = what.split()
    half = (len(words) + 1) // 2
    for number, part in enumerate((words[:half], words[half:])):
        yield text(x + 12, top + 42 + 18 * number, " ".join(part), size=12)
    yield f'<line x1="{MIDDLE + 24 + 150:g}" y1="{y - PASSAGE / 2:g}" x2="{x}" '
    yield f'y2="{y - PASSAGE / 2:g}" stroke="#444" stroke-dasharray="5 3"/>\n'


def draw(source: str) -> str:
    """The figure that a text describes, as SVG."""
    y = 16.0
    parts: list[str] = []
    for line in source.splitlines():
        kind, _, rest = line.partition(": ")
        fields = [field.strip() for field in rest.split("|")]
        if kind == "box":
            parts += box(y, *fields)
            y += BOX
        elif kind == "between":
            parts += between(y, *fields)
            y += PASSAGE
        elif kind == "aside":
            parts += aside(y, *fields)
    return HEAD.format(width=WIDTH, height=f"{y + 16:g}") + "".join(parts) + "</svg>\n"


if __name__ == "__main__":
    TARGET.write_text(draw(SOURCE.read_text()))
