"""Traces: as data, as a ladder, as ITF."""

import contextlib
import fcntl
import functools
import io
import json
import os
import pty
import random
import struct
import termios
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import itf_py
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.executor import Executor, run_to_rest
from engine.itf import from_itf, itf_text, to_itf, write_itf
from engine.ladder import Page, ladder, text
from engine.record import record
from engine.rules import Party
from engine.scope import FlatState, Instance
from engine.trace import Change, Trace
from model.opening import open_card
from model.scope import Scope
from model.system import specification

PHRASES = specification().phrases
GOLDEN = Path(__file__).parent / "golden" / "empty_packet.txt"


@functools.cache
def executor() -> Executor:
    return Executor.of(specification(), Scope(ring_size=2, users=2))


@functools.cache
def opening() -> tuple[FlatState, tuple[Instance, ...]]:
    return open_card(executor())


@functools.cache
def sending() -> Trace:
    """User 3 sends an empty packet on a card that user 2 opened."""
    run = executor()
    opened, boot = opening()
    begin = run.find("begin_write", t=3, zero=1, nonblocking=0, more=0)
    _, path = run_to_rest(run, run.fire(opened, begin))
    return record(run, (*boot, begin, *path), "An empty packet is sent")


def test_a_step_holds_only_what_it_changed() -> None:
    run = executor()
    trace = record(run, [("card.fatal_error", {})], "The card fails")
    (step,) = trace.steps
    assert step.party is Party.DEVICE
    assert step.meaning == "The card fails: it halts, sets FLAGS.HWERR and raises vector 1."
    assert step.changes == (
        Change("card.flags", None, 0, 1),
        Change("card.vector1", None, False, True),
    )


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_a_trace_holds_all_states(seed: int) -> None:
    run = executor()
    opened, _ = opening()
    path = run.walk(random.Random(seed), 80, opened)
    trace = record(run, path, "A walk", start=opened)
    assert [tuple(values.values()) for values in trace.states()] == run.replay(path, opened)
    assert Trace.from_json(json.loads(json.dumps(trace.to_json()))) == trace


def test_another_version_of_the_format_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        Trace.from_json({"version": 2})
    assert str(caught.value) == "trace format must be version 1, not 2"


def test_the_ladder_of_an_empty_packet() -> None:
    fold = len(opening()[1])
    shown = "\n".join(
        ladder(
            sending(),
            PHRASES,
            fold=fold,
            fold_text="user 2 opens the card",
            explain=False,
        )
    )
    assert shown == GOLDEN.read_text(encoding="utf-8").rstrip("\n")


def test_the_ladder_explains_its_steps() -> None:
    shown = text(sending(), PHRASES)
    assert "\nWhat the steps mean\n" in shown
    assert "Write the slot's index to DBELL" in shown


def test_a_cycle_and_a_verdict_are_shown() -> None:
    run = executor()
    path = [("card.spurious_vector0", {}), ("event_interrupt", {"t": 0})]
    trace = record(run, path, "Nonsense", loop=1, verdict="nothing ever rests")
    lines = list(ladder(trace, PHRASES, explain=False))
    assert [line.rstrip(" │") for line in lines[5:]] == [
        "   1 │ " + " " * 42 + " │ " + " " * 29 + " │ vector 0 for no reason",
        "     ┌── from here on for ever:",
        "   2 │ handler: takes vector 0",
        "     └── and again from step 2",
        "",
        "==> nothing ever rests",
    ]


@given(st.integers(0, 2**32))
@example(547)  # a card that reads an old word of a buffer
@settings(max_examples=10)
def test_the_ladder_is_never_too_wide_and_cuts_no_phrase(seed: int) -> None:
    run = executor()
    opened, _ = opening()
    path = run.walk(random.Random(seed), 300, opened)
    for line in text(record(run, path, "A walk", start=opened), PHRASES).splitlines():
        assert len(line) <= 110
        assert "…" not in line


def cells_of(lines: Iterable[str]) -> dict[int, list[str]]:
    """What stands in the columns of each step, however many lines it takes, without spaces."""
    found: dict[int, list[str]] = {}
    for line in lines:
        number, *cells = (part.strip() for part in line.split("│"))
        if number.isdigit():
            step = found.setdefault(int(number), ["", "", ""])
        if number.isdigit() or (found and not number and cells):
            for place, cell in enumerate(cells):
                step[place] += cell.replace(" ", "")
    return found


@given(st.integers(0, 2**32), st.integers(40, 109))
@settings(max_examples=20)
def test_a_narrow_ladder_says_the_same_and_is_never_too_wide(seed: int, width: int) -> None:
    run = executor()
    opened, _ = opening()
    trace = record(run, run.walk(random.Random(seed), 100, opened), "A walk", start=opened)
    narrow = text(trace, PHRASES, page=Page(width)).splitlines()
    assert max(map(len, narrow)) <= width
    assert cells_of(narrow) == cells_of(text(trace, PHRASES).splitlines())


def test_a_cycle_and_a_verdict_fit_a_narrow_page() -> None:
    path = [("card.spurious_vector0", {})]
    why = "nobody ever looks at what has come, and so nothing ever gets on"
    trace = record(executor(), path, "Nonsense " * 9, loop=1, verdict=why)
    lines = list(ladder(trace, PHRASES, explain=False, page=Page(60)))
    assert max(map(len, lines)) <= 60
    assert lines[-5:] == [
        "     └── and here it stays: no step is left that must ever",
        "         be taken",
        "",
        "==> nobody ever looks at what has come, and so nothing ever",
        "gets on",
    ]


def test_a_ladder_can_be_drawn_in_ascii() -> None:
    trace = record(executor(), [("card.spurious_vector0", {})], "A naïve run", loop=0)
    lines = list(ladder(trace, PHRASES, page=Page(ascii=True)))
    assert "".join(lines).isascii()
    assert lines[0] == r"A na\xefve run"
    assert lines[3].startswith("step | host threads ")
    assert lines[4].startswith("-----+--")
    assert lines[5] == "     +-- from here on for ever:"
    assert [line.replace("|", "│") for line in lines[6:7]] == list(ladder(trace, PHRASES))[6:7]


class Terminal(io.StringIO):
    """A stream that is the terminal behind a descriptor."""

    def __init__(self, descriptor: int, encoding: str) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._encoding = encoding

    def fileno(self) -> int:
        return self._descriptor

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


@pytest.mark.parametrize(
    ("columns", "width"), [(0, 110), (1, 40), (60, 60), (109, 109), (110, 110), (300, 110)]
)
def test_a_page_is_as_wide_as_the_terminal(columns: int, width: int) -> None:
    with open_terminal(columns) as descriptor:
        assert Page.of(Terminal(descriptor, "utf-8")) == Page(width)


def test_what_is_no_terminal_gets_a_wide_page(tmp_path: Path) -> None:
    assert Page.of(io.StringIO()) == Page(110)
    with (tmp_path / "file").open("w", encoding="utf-8") as file:
        assert Page.of(file) == Page(110)


@pytest.mark.parametrize(
    ("encoding", "plain"),
    [("ascii", True), ("latin-1", True), ("utf-8", False), ("utf-16", False), ("cp437", True)],
)
def test_a_page_has_the_characters_that_its_stream_can_write(encoding: str, plain: bool) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    page = Page.of(stream)
    assert page.ascii == plain
    stream.write(text(sending(), PHRASES, page=page))


@contextlib.contextmanager
def open_terminal(columns: int) -> Iterator[int]:
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        yield slave
    finally:
        os.close(master)
        os.close(slave)


def test_every_text_has_the_style_of_its_role() -> None:
    roles: set[str] = set()

    def style(role: str, words: str) -> str:
        roles.add(role)
        return words

    list(ladder(sending(), PHRASES, fold=3, style=style))
    assert roles == {"head", "faint", "host", "memory", "device"}


def test_itf_holds_every_state() -> None:
    trace = sending()
    data = json.loads(json.dumps(to_itf(trace, PHRASES.named)))
    assert data["#meta"]["description"] == "An empty packet is sent"
    assert "loop" not in data
    assert data["states"][1]["#meta"]["rule"] == "begin_open"
    expected = [
        {name.replace(".", "_"): _by_name(name, value) for name, value in values.items()}
        for values in trace.states()
    ]
    assert from_itf(data) == expected


def test_the_text_of_an_itf_file_says_what_itf_holds_a_line_a_state() -> None:
    trace = sending()
    text = itf_text(trace, PHRASES.named)
    assert json.loads(text) == to_itf(trace, PHRASES.named)
    assert len(text.splitlines()) == len(trace.steps) + 3


def _by_name(name: str, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_by_name(name, item) for item in value)
    names = PHRASES.named.get(name)
    return value if names is None or value not in set(names) else names(value).name


def test_itf_of_a_cycle_says_where_it_begins() -> None:
    trace = record(executor(), [("card.spurious_vector0", {})], "A cycle", loop=0)
    assert to_itf(trace, PHRASES.named)["loop"] == 0


def test_one_itf_file_for_each_trace(tmp_path: Path) -> None:
    (path,) = write_itf(tmp_path / "traces", [("zero-length stall", sending())], PHRASES.named)
    assert path.name == "zero-length-stall.itf.json"
    read = itf_py.trace_from_json(json.loads(path.read_text(encoding="utf-8")))
    assert len(read.states) == len(sending().steps) + 1
