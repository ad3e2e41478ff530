"""The steps of the card's engines, stage by stage, are read off the specification's rules."""

import itertools

import attrs
import pytest

from engine.terms import And, evaluate, variables
from model.device_spec import BOOK, running
from model.state import Flags, Stage
from model.system import DUCT, specification
from monitor.stages import steps_by_stage

STEPS = {
    "tx": {
        Stage.IDLE: "tx.look_ahead",
        Stage.LOOK: "tx.examine",
        Stage.FETCH: "tx.fetch",
        Stage.READ_FIRST_WORD: "tx.read_first_word",
        Stage.READ_LAST_WORD: "tx.read_last_word",
        Stage.SEND: "tx.send",
        Stage.WRITE_OWNER: "tx.complete",
    },
    "cmd": {
        Stage.IDLE: "cmd.look_ahead",
        Stage.LOOK: "cmd.examine",
        Stage.FETCH: "cmd.fetch",
        Stage.EXECUTE: "cmd.execute",
        Stage.STOPPING: "cmd.stopped",
        Stage.WRITE_STATUS: "cmd.write_status",
        Stage.WRITE_OWNER: "cmd.complete",
    },
    "rx": {
        Stage.LOOK: "rx.examine",
        Stage.FETCH: "rx.fetch",
        Stage.WRITE_FIRST_WORD: "rx.write_first_word",
        Stage.WRITE_LAST_WORD: "rx.write_last_word",
        Stage.WRITE_HEADER: "rx.write_header",
        Stage.WRITE_OWNER: "rx.complete",
    },
}


def changed(name, /, **change):
    """The card's rules, one of them changed."""
    return DUCT.system(
        attrs.evolve(rule, **change) if rule.name == name else rule for rule in BOOK.rules
    )


def sends_at(stage):
    def body(s):
        s.require(running(s) & (s.tx.stage == stage))

    return changed("tx.send", body=body)


@pytest.mark.parametrize("ring", STEPS)
def test_each_stage_has_the_step_that_the_rules_say(ring):
    assert steps_by_stage(specification(), ring) == STEPS[ring]


def test_a_rule_that_demands_another_stage_is_the_step_of_that_one():
    steps = steps_by_stage(sends_at(Stage.STOPPING), "tx")
    assert steps[Stage.STOPPING] == "tx.send"
    assert Stage.SEND not in steps


def test_a_rule_with_another_name_is_the_step():
    assert steps_by_stage(changed("tx.send", name="tx.put"), "tx")[Stage.SEND] == "tx.put"


def test_two_rules_for_one_stage_are_refused():
    with pytest.raises(ValueError) as caught:
        steps_by_stage(sends_at(Stage.FETCH), "tx")
    assert str(caught.value) == "tx.send has no stage of its own"


def test_a_rule_for_any_stage_is_refused():
    system = changed("tx.send", body=lambda s: s.require(running(s)))
    with pytest.raises(ValueError) as caught:
        steps_by_stage(system, "tx")
    assert str(caught.value) == "tx.send has no stage of its own"


@pytest.mark.parametrize("ring", ["tx", "cmd"])
def test_wherever_an_engine_may_look_it_may_look_ahead(ring):
    look, ahead = (specification().named(f"{ring}.{name}").guard for name in ("look", "look_ahead"))
    values = {
        "card.flags": list(Flags),
        f"{ring}.stage": list(Stage),
        f"{ring}.owner": [(False,), (True,)],
        f"{ring}.dev_i": [0],
    }
    names = [item.name for item in variables(And(look, ahead))]
    choices = [values.get(name, [False, True]) for name in names]
    states = [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*choices)]
    looks = [state for state in states if evaluate(look, state)]
    assert looks
    assert all(evaluate(ahead, state) for state in looks)
