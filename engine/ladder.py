"""A trace for people: a ladder of three columns, one line a step, only what changed.

    host threads | memory | device

The party that takes a step is named in its own column, followed by what the step does; what changes
elsewhere stands in the other columns. *Buffered* is a store that its processor has issued and the
device does not see yet; *visible* is when it does. *Posted* is a register write on its way.

On a narrow page the columns are narrower and a step may take several lines.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import IO, Final, TypeAlias

import attrs

from engine.phrases import Column, Context, Phrases, step_name
from engine.rules import Party
from engine.trace import Step, Trace

__all__ = ["FULL", "Column", "Page", "Row", "Style", "ladder", "rows", "text"]

Style: TypeAlias = Callable[[str, str], str]
"""Marks up a piece of text: gets its role ("host", "memory", "device", "head", "verdict", "faint")
and the text, returns the text to print."""
TITLES: Final = ("host threads", "memory", "device")
ROLES: Final = ("host", "memory", "device")
WIDTHS: Final = (42, 29, 26)
WIDTH: Final = 110
NARROWEST: Final = 40
FRAME: Final = WIDTH - sum(WIDTHS)
"""What a line has besides its cells: the number of the step, and what separates columns."""
_ASCII: Final = str.maketrans("│─┼┌└…", "|-+++~")


@attrs.frozen
class Page:
    """What a ladder is drawn on.

    Attributes:
        width: Characters in a line, from 40 to 110.
        ascii: It has no other characters than those of ASCII.
    """

    width: int = WIDTH
    ascii: bool = False

    @classmethod
    def of(cls, stream: IO[str]) -> Page:
        """A terminal as wide as it is, anything else in full width; ASCII if it must be."""
        try:
            # A terminal that does not know its size says 0.
            columns = os.get_terminal_size(stream.fileno()).columns or WIDTH
        except (OSError, ValueError):
            columns = WIDTH
        return cls(max(NARROWEST, min(columns, WIDTH)), ascii=not _can_write_lines(stream))

    def columns(self) -> tuple[int, int, int]:
        """How wide the cells are: all of them as much narrower as the page is."""
        room = self.width - FRAME
        first, second = (width * room // sum(WIDTHS) for width in WIDTHS[:2])
        return first, second, room - first - second

    def wrapped(self, words: str, first: str = "", then: str = "") -> list[str]:
        """Words as lines that fit, with what stands before the first and before the others."""
        lines = textwrap.wrap(words, self.width, initial_indent=first, subsequent_indent=then)
        return lines or [""]

    def printable(self, line: str) -> str:
        """The line in characters that the page has."""
        if not self.ascii:
            return line
        return line.translate(_ASCII).encode("ascii", "backslashreplace").decode()


def _can_write_lines(stream: IO[str]) -> bool:
    try:
        "".join(map(chr, _ASCII)).encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


FULL: Final = Page()


@attrs.frozen
class Row:
    """One step as it is shown: its number and the three cells."""

    number: int
    actor: Column
    cells: tuple[str, str, str]


def _actor(step: Step) -> Column:
    """The column of whoever takes the step. Users stand for the environment where one acts."""
    if step.party is Party.MEMORY:
        return Column.MEMORY
    if step.party is Party.HOST or "t" in step.parameters:
        return Column.HOST
    return Column.DEVICE


def _fit(head: str, parts: Iterable[str], width: int) -> str:
    """As many of `parts` after `head` as there is room for."""
    line = head
    for part in parts:
        longer = f"{line}, {part}" if line and not line.endswith(": ") else line + part
        if len(longer) > width:
            if not line:
                line = longer
            break
        line = longer
    return line if len(line) <= width else line[: width - 1] + "…"


def rows(trace: Trace, phrases: Phrases) -> Iterator[Row]:
    """Each step of the trace as it is shown."""
    states = trace.states()
    before = next(states)
    for number, (step, after) in enumerate(zip(trace.steps, states, strict=True), start=1):
        context = Context(step, before, after)
        actor = _actor(step)
        cells: list[str] = []
        for column, width in zip(Column, WIDTHS, strict=True):
            said = phrases.changes(context, column)
            head = ""
            if column is actor and not (actor is Column.MEMORY and said):
                head = phrases.subject(step) + phrases.phrase(context) + phrases.chosen(step)
            cells.append(_fit(head, said, width))
        yield Row(number, actor, (cells[0], cells[1], cells[2]))
        before = after


def _plain(role: str, words: str) -> str:
    return words


def ladder(
    trace: Trace,
    phrases: Phrases,
    *,
    fold: int = 0,
    fold_text: str = "",
    style: Style = _plain,
    explain: bool = True,
    page: Page = FULL,
) -> Iterator[str]:
    """The trace as lines of text that fit on the page.

    Args:
        trace: The run to show.
        phrases: What its steps and changes are called.
        fold: Number of steps at the beginning that are told in one line.
        fold_text: What these steps do, e.g. "user 2 opens the card".
        style: Marks up the text; by default it stays plain.
        explain: Whether a list of what each step means follows.
        page: What it is drawn on; by default 110 characters wide.
    """
    lines = _drawn(trace, phrases, fold, fold_text, style, page)
    yield from map(page.printable, lines)
    if explain:
        yield ""
        yield from map(page.printable, _explanations(trace, phrases, fold, page))


def _drawn(
    trace: Trace, phrases: Phrases, fold: int, fold_text: str, style: Style, page: Page
) -> Iterator[str]:
    """The ladder itself, from its title to its verdict."""
    sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in trace.scope.items())
    yield from (style("head", line) for line in page.wrapped(trace.title))
    yield from (style("faint", line) for line in page.wrapped(sizes))
    yield ""
    widths = page.columns()
    yield from (style("head", line) for line in _lines("step", TITLES, widths))
    rule = "┼".join("─" * (width + 2) for width in widths)
    yield "─" * 5 + "┼" + rule[:-1]
    if fold:
        told = textwrap.wrap(f"{fold_text or 'not shown'} ({fold} steps)", page.width - 8)
        for line, number in zip_longest(told, (f"1-{fold}",), fillvalue=""):
            yield style("faint", f"{number.rjust(4)} │ {line}")
    for row in rows(trace, phrases):
        if row.number <= fold:
            continue
        if trace.loop is not None and row.number == trace.loop + 1:
            yield style("head", "     ┌── from here on for ever:")
        yield from _lines(str(row.number), row.cells, widths, row.actor, style)
    ending = ""
    if trace.loop == len(trace.steps):
        ending = "and here it stays: no step is left that must ever be taken"
    elif trace.loop is not None:
        ending = f"and again from step {trace.loop + 1}"
    if ending:
        yield from (style("head", line) for line in page.wrapped(ending, "     └── ", " " * 9))
    if trace.verdict:
        yield ""
        for place, line in enumerate(trace.verdict.splitlines()):
            margin = ("    ", "    ") if place else ("==> ", "")
            yield from (style("verdict", part) for part in page.wrapped(line.strip(), *margin))


def _lines(
    number: str,
    cells: tuple[str, str, str],
    widths: tuple[int, int, int],
    actor: Column | None = None,
    style: Style = _plain,
) -> Iterator[str]:
    """A row as lines: several where a cell is longer than its column is wide."""
    wrapped = (textwrap.wrap(cell, width) for cell, width in zip(cells, widths, strict=True))
    for parts in zip_longest([number], *wrapped, fillvalue=""):
        padded = [part.ljust(width) for part, width in zip(parts[1:], widths, strict=True)]
        if actor is not None:
            padded[actor] = style(ROLES[actor], padded[actor])
        yield f"{parts[0].rjust(4)} │ {' │ '.join(padded)}".rstrip()


def _explanations(trace: Trace, phrases: Phrases, fold: int, page: Page) -> Iterator[str]:
    """What each step shown means, in order of first appearance."""
    meanings = {step_name(step): step.meaning for step in trace.steps[fold:]}
    if not meanings:
        return
    yield "What the steps mean"
    margin = min(26, page.width // 4, max(map(len, meanings)))
    for name, meaning in meanings.items():
        yield from page.wrapped(meaning, f"  {name.ljust(margin)}  ", " " * (margin + 4))
    if phrases.legend:
        yield ""
        yield from page.wrapped(phrases.legend)


def text(
    trace: Trace,
    phrases: Phrases,
    *,
    fold: int = 0,
    fold_text: str = "",
    page: Page = FULL,
) -> str:
    """The whole ladder as one plain string."""
    return "\n".join(ladder(trace, phrases, fold=fold, fold_text=fold_text, page=page)) + "\n"
