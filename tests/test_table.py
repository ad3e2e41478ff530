"""What the judge knows follows from what rules declare, and nothing was lost by it."""

import json
from pathlib import Path

import pytest

from engine.rules import Kind
from engine.table import table_of
from engine.terms import TRUE
from judge.judge import ELSEWHERE, UNSEEN, Specification
from model.scope import Scope
from model.state import Label
from model.system import specification

GOLDEN = json.loads((Path(__file__).parent / "golden" / "judge_table.json").read_text())
"""The tables that stood beside the rules before they were derived from them."""
RENAMED = {"restore rx.pointer": "store rx.pointer", "arrive RST": "arrive RST to FLAGS"}
"""Accesses that have other names now: the first is a store like any other."""
TABLE = table_of(specification(), without=ELSEWHERE, unseen=UNSEEN)


def written(seen):
    return " ".join(filter(None, seen))


@pytest.mark.parametrize("label", Label)
def test_at_each_program_counter_the_same_accesses_are_seen_as_before(label):
    derived = {written(seen): set(rules) for seen, rules in TABLE.seen.get(label, {}).items()}
    before = GOLDEN["seen"].get(label.name, {})
    assert derived == {RENAMED.get(seen, seen): set(rules) for seen, rules in before.items()}


@pytest.mark.parametrize("label", Label)
def test_at_each_program_counter_the_same_steps_are_silent_as_before(label):
    assert {rule for rule, _ in TABLE.silent.get(label, ())} == set(
        GOLDEN["silent"].get(label.name, ())
    )


def test_each_step_is_about_the_same_slot_as_before():
    assert {
        rule: repr(item.slot) for rule, item in TABLE.deciding.items() if item.slot is not None
    } == GOLDEN["slots"]


def test_steps_that_are_silent_at_times_say_when():
    at_times = {rule for rules in TABLE.silent.values() for rule, when in rules if when is not TRUE}
    assert at_times == {
        *("tx.no_completion", "cmd.no_completion", "no_packet_waits"),
        *("rx.nothing_to_read", "rx.look_at_next", "rx.leave_queue"),
    }


def test_the_rules_that_are_left_out_exist():
    assert {*ELSEWHERE, *UNSEEN} <= {step.rule.name for step in specification().transitions}


def test_what_is_left_out_of_the_table_would_be_in_it():
    without_exceptions = table_of(specification())
    assert {"wake", "rx.keep_untouched", "tx.next_of_batch"} <= set(without_exceptions.deciding)
    assert "rx.keep" in {rule for rule, _ in without_exceptions.silent[Label.RX_REPOST]}


def test_every_operation_of_the_host_is_asked_about():
    """A kind of operation that no table row can have would go unjudged."""
    kinds = {item.kind for step in specification().transitions for item in step.operations}
    rows = {seen[0] for row in TABLE.seen.values() for seen in row}
    assert {kind.value for kind in kinds} - rows == {Kind.WAKE.value, Kind.ALLOCATE.value}


def test_the_judge_has_the_table():
    spec = Specification(Scope())
    assert spec.table.seen == TABLE.seen
