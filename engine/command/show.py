"""Print a trace: in colours and as wide as it is on a terminal, plain elsewhere."""

from __future__ import annotations

from typing import Final

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style

from engine.ladder import Page, ladder
from engine.phrases import Phrases
from engine.trace import Trace

__all__ = ["print_trace"]

STYLES: Final = {
    "head": Style.parse("bold"),
    "verdict": Style.parse("bold red"),
    "faint": Style.parse("dim"),
    "host": Style.parse("cyan"),
    "memory": Style.parse("yellow"),
    "device": Style.parse("green"),
}


def print_trace(
    trace: Trace,
    phrases: Phrases,
    *,
    fold: int = 0,
    fold_text: str = "",
    console: Console | None = None,
) -> None:
    """Print the trace's ladder; `fold` and `fold_text` tell its first steps in one line."""
    target = Console(soft_wrap=True) if console is None else console
    colours = target.is_terminal and not target.no_color

    def style(role: str, words: str) -> str:
        if not colours:
            return words
        return STYLES[role].render(words, color_system=ColorSystem.STANDARD)

    page = Page.of(target.file)
    for line in ladder(trace, phrases, fold=fold, fold_text=fold_text, style=style, page=page):
        target.file.write(line + "\n")
