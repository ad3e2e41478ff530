"""Traces: as data, as a ladder, as ITF."""

import functools
import json
import random
from pathlib import Path
from typing import Any

import itf_py
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.executor import Executor, run_to_rest
from engine.itf import from_itf, to_itf, write_itf
from engine.ladder import ladder, text
from engine.record import record
from engine.rules import Party
from engine.scope import FlatState, Instance
from engine.trace import Change, Trace
from model.opening import open_card
from model.phrases import PHRASES
from model.scope import Scope
from model.system import specification

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
        ladder(sending(), PHRASES, fold=fold, fold_text="user 2 opens the card", explain=False)
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
@settings(max_examples=10)
def test_the_ladder_is_never_too_wide_and_cuts_no_phrase(seed: int) -> None:
    run = executor()
    opened, _ = opening()
    path = run.walk(random.Random(seed), 300, opened)
    for line in text(record(run, path, "A walk", start=opened), PHRASES).splitlines():
        assert len(line) <= 110
        assert "…" not in line


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
