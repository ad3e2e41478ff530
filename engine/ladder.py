"""A trace for people: a ladder of three columns, one line a step, only what changed.

    host threads | memory | device

The party that takes a step is named in its own column, followed by what the step does; what changes
elsewhere stands in the other columns. *Buffered* is a store that its processor has issued and the
card does not see yet; *visible* is when it does. *Posted* is a register write on its way.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Final, TypeAlias

import attrs

from engine.phrases import Column, Context, Phrases, step_name
from engine.rules import Party
from engine.trace import Step, Trace

__all__ = ["Column", "Row", "Style", "ladder", "rows", "text"]

Style: TypeAlias = Callable[[str, str], str]
"""Marks up a piece of text: gets its role ("host", "memory", "device", "head", "verdict", "faint")
and the text, returns the text to print."""
WIDTHS: Final = (42, 29, 26)
WIDTH: Final = 110


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
) -> Iterator[str]:
    """The trace as lines of text, at most 110 characters wide.

    Args:
        trace: The run to show.
        phrases: What its steps and changes are called.
        fold: Number of steps at the beginning that are told in one line.
        fold_text: What these steps do, e.g. "user 2 opens the card".
        style: Marks up the text; by default it stays plain.
        explain: Whether a list of what each step means follows.
    """
    sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in trace.scope.items())
    yield style("head", trace.title)
    yield style("faint", sizes)
    yield ""
    titles = ("host threads", "memory", "device")
    roles = ("host", "memory", "device")
    yield style("head", _line("step", titles))
    rule = "┼".join("─" * (width + 2) for width in WIDTHS)
    yield "─" * 5 + "┼" + rule[:-1]
    if fold:
        told = textwrap.wrap(f"{fold_text or 'not shown'} ({fold} steps)", WIDTH - 8)
        for line, number in zip_longest(told, (f"1-{fold}",), fillvalue=""):
            yield style("faint", f"{number.rjust(4)} │ {line}")
    for row in rows(trace, phrases):
        if row.number <= fold:
            continue
        if trace.loop is not None and row.number == trace.loop + 1:
            yield style("head", "     ┌── from here on for ever:")
        cells = [
            style(roles[column], cell.ljust(width)) if column == row.actor else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row.cells, WIDTHS, strict=True))
        ]
        yield _line(str(row.number), cells).rstrip()
    if trace.loop == len(trace.steps):
        yield style("head", "     └── and here it stays: no step is left that must ever be taken")
    elif trace.loop is not None:
        yield style("head", f"     └── and again from step {trace.loop + 1}")
    if trace.verdict:
        yield ""
        for place, line in enumerate(trace.verdict.splitlines()):
            margin = "    " if place else "==> "
            behind = "    " if place else ""
            told = textwrap.wrap(
                line.strip(), WIDTH, initial_indent=margin, subsequent_indent=behind
            )
            yield from (style("verdict", part) for part in told)
    if explain:
        yield ""
        yield from _explanations(trace, fold)


def _line(number: str, cells: Iterable[str]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))
    return f"{number.rjust(4)} │ {' │ '.join(padded)}".rstrip()


def _explanations(trace: Trace, fold: int) -> Iterator[str]:
    """What each step shown means, in order of first appearance."""
    meanings = {step_name(step): step.meaning for step in trace.steps[fold:]}
    if not meanings:
        return
    yield "What the steps mean"
    margin = min(26, max(map(len, meanings)))
    for name, meaning in meanings.items():
        yield from textwrap.wrap(
            meaning,
            WIDTH,
            initial_indent=f"  {name.ljust(margin)}  ",
            subsequent_indent=" " * (margin + 4),
        )
    yield ""
    yield from textwrap.wrap(
        "buffered: stored by a processor, the card does not see it yet; visible: now it does; "
        "posted: a register write on its way; #n: the packet or command that a word belongs to; "
        "start, end: an early and a late word of the payload",
        WIDTH,
    )


def text(trace: Trace, phrases: Phrases, *, fold: int = 0, fold_text: str = "") -> str:
    """The whole ladder as one plain string."""
    return "\n".join(ladder(trace, phrases, fold=fold, fold_text=fold_text)) + "\n"
