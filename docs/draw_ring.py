"""Draw the life of a transmit slot, from runs of the specification: `python docs/draw_ring.py`.

The figure is what a run shows and not what somebody remembers: random runs are watched at one slot,
each step that changes what the slot is about is noted, and the steps that occurred are written at
the arrows. Run it from the project's folder; it writes `docs/ring.svg`.
"""

from __future__ import annotations

import math
import random
from html import escape
from pathlib import Path
from typing import Final

from engine.executor import Executor
from engine.scope import FlatState
from model.opening import open_card
from model.scope import Scope
from model.state import Label, Stage
from model.system import specification

SLOT: Final = 0
STEPS: Final = 30_000
CALM: Final = {"card.fatal_error", "interrupt", "begin_close"}
PHASES: Final = {
    "free": ("host", "free"),
    "filled": ("host", "being filled in"),
    "handed over": ("memory", "owner=DEVICE on its way"),
    "card's": ("card", "waits for the card"),
    "in hand": ("card", "read and sent by the card"),
    "returned": ("memory", "returned, not yet taken back"),
}
"""What may be true of the slot, in the order in which it comes about; who has it, and the words."""
COLOURS: Final = {"host": "#cfe3f7", "memory": "#f7e9c4", "card": "#d3ecd0"}
SIZE: Final = (960, 560)


def phase(executor: Executor, state: FlatState) -> str:
    """What the slot is about in a state."""

    def tx(name: str) -> object:
        value = executor.value(state, f"tx.{name}")
        return value[SLOT] if isinstance(value, tuple) else value

    labels = executor.value(state, "threads.pc")
    filling = {Label.TX_FIRST_WORD, Label.TX_LAST_WORD, Label.TX_FIELDS, Label.TX_OWNER} & set(
        labels
    )
    if tx("owner_pending"):
        return "handed over"
    if tx("owner"):
        reading = tx("stage") not in (Stage.IDLE, Stage.LOOK) and tx("dev_i") == SLOT
        return "in hand" if reading else "card's"
    if filling and tx("prod_i") == SLOT:
        return "filled"
    size = len(executor.value(state, "tx.owner"))
    outstanding = executor.value(state, "tx.prod") - executor.value(state, "tx.cons")
    ahead = (SLOT - executor.value(state, "tx.cons_i")) % size
    return "returned" if ahead < outstanding else "free"


def seen() -> dict[tuple[str, str], list[str]]:
    """The steps that led from one phase to another in a random run, with nothing going wrong."""
    scope = Scope(ring_size=2, users=3, rules=lambda name, _: name not in CALM)
    executor = Executor.of(specification(), scope)
    start, _ = open_card(executor)
    state, before = start, phase(executor, start)
    found: dict[tuple[str, str], set[str]] = {}
    for step in executor.walk(random.Random(1), STEPS, start):
        state = executor.fire(state, step)
        now = phase(executor, state)
        if now != before:
            found.setdefault((before, now), set()).add(step.name)
        before = now
    return {arrow: sorted(names) for arrow, names in found.items()}


def drawing(arrows: dict[tuple[str, str], list[str]]) -> str:
    """The figure as SVG: phases around a ring, steps between them."""
    width, height = SIZE
    across, up = 330, 200
    places = {}
    for number, name in enumerate(PHASES):
        angle = 2 * math.pi * number / len(PHASES) - 2 * math.pi / 3
        places[name] = (width / 2 + across * math.cos(angle), height / 2 + up * math.sin(angle))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="14" text-anchor="middle">',
        "<title>The life of a transmit slot</title>",
        '<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L9,4 L0,8 z"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for (one, two), names in arrows.items():
        (x, y), (u, v) = places[one], places[two]
        share = 0.26 if abs(u - x) < abs(v - y) * 2 else 0.34
        a, b = x + (u - x) * share, y + (v - y) * share
        c, d = u - (u - x) * share, v - (v - y) * share
        lines.append(
            f'<line x1="{a:.0f}" y1="{b:.0f}" x2="{c:.0f}" y2="{d:.0f}" stroke="black" '
            'stroke-width="1.5" marker-end="url(#tip)"/>'
        )
        middle, level = (x + u) / 2, (y + v) / 2
        inward = 0.20 if abs(v - y) < 1 else 0.30
        middle += (width / 2 - middle) * inward
        level += (height / 2 - level) * inward
        for row, name in enumerate(names):
            lines.append(
                f'<text x="{middle:.0f}" y="{level + 17 * row:.0f}" font-family="monospace">'
                f"{escape(name)}</text>"
            )
    for name, (holder, words) in PHASES.items():
        x, y = places[name]
        lines += [
            f'<rect x="{x - 108:.0f}" y="{y - 28:.0f}" width="216" height="56" rx="8" '
            f'fill="{COLOURS[holder]}" stroke="black"/>',
            f'<text x="{x:.0f}" y="{y + 5:.0f}">{escape(words)}</text>',
        ]
    lines += [
        f'<text x="{width / 2:.0f}" y="{height / 2 - 8:.0f}" font-size="16">a transmit slot</text>',
        f'<text x="{width / 2:.0f}" y="{height / 2 + 14:.0f}" font-size="12">'
        "blue: host, green: card, yellow: between</text>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the figure."""
    Path(__file__).with_name("ring.svg").write_text(drawing(seen()), encoding="utf-8")


if __name__ == "__main__":
    main()
