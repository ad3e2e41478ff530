"""Kept runs: what was shown by a run is shown again, or looked for anew."""

import json
import subprocess
import sys

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.answers import Answers
from engine.catch import breaks
from engine.digest import digest, of_system, of_term
from engine.discharge import Past, discharge
from engine.executor import Executor
from engine.kept_runs import catch_again
from engine.mutations import never, only_when
from engine.obligations import Catalogue
from engine.scope import Scope
from engine.terms import Sort, constant, symbol
from engine.witnesses import Setting
from examples.mailbox.proof import THEORY as MAILBOX
from proofs.theory import THEORY as DUCT
from tests.test_theory import FORGETS, PROPERTIES, SKIPS, WHOLE, specification

BOTH = [(WHOLE, "forgets"), *((MAILBOX, fault.id) for fault in MAILBOX.faults)]


def key_of_run(theory, name):
    return digest("run", theory.protocol.name, name)


def fault_of(theory, name):
    return theory.case_of(name).fault


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers"


# What is replayed


@pytest.mark.parametrize(
    ("theory", "name"), BOTH, ids=lambda item: item if type(item) is str else ""
)
def test_a_run_that_showed_a_fault_shows_it_again(theory, name, path):
    fault = fault_of(theory, name)
    first = catch_again(theory, fault, answers=Answers(path))
    again = catch_again(theory, fault, answers=Answers(path))
    assert (first.kept, again.kept) == (False, True)
    assert "no shorter one was looked for" in again.note
    assert attrs.evolve(again, note=first.note, seconds=first.seconds, kept=False) == first


def test_whoever_asks_for_a_ring_size_gets_a_search(path):
    answers = Answers(path)
    catch_again(WHOLE, FORGETS.fault, answers=answers)
    again = catch_again(WHOLE, FORGETS.fault, ring_size=1, answers=Answers(path))
    assert not again.kept


def lasso_faults():
    return [case.fault for case in DUCT.cases() if case.keeps is not None]


@pytest.mark.parametrize("fault", lasso_faults(), ids=lambda fault: fault.id)
def test_a_run_that_goes_on_for_ever_is_replayed_with_its_cycle(fault, path):
    first = catch_again(DUCT, fault, answers=Answers(path))
    again = catch_again(DUCT, fault, answers=Answers(path))
    assert again.kept
    assert (again.trace, again.steps) == (first.trace, first.steps)
    # Without its last step the cycle does not come back.
    run = json.loads(Answers(path).note(key_of_run(DUCT, fault.id)))
    run["steps"].pop()
    Answers(path).add(key_of_run(DUCT, fault.id), json.dumps(run))
    assert not catch_again(DUCT, fault, answers=Answers(path)).kept


# What is not believed


def kept_with(theory, fault, path, run):
    answers = Answers(path)
    answers.add(key_of_run(theory, fault.id), run if type(run) is str else json.dumps(run))
    return catch_again(theory, fault, answers=Answers(path))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "take", "steal"]),
        st.dictionaries(st.sampled_from(["t", "k"]), st.integers(-1, 2), max_size=1),
    ),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(
    steps=STEPS,
    boot=st.integers(-1, 3),
    loop=st.none() | st.integers(0, 3),
    size=st.sampled_from([0, 1, 2, 3, -1]),
)
def test_whatever_is_kept_a_fault_is_caught_by_a_run_of_the_faulty_system(
    tmp_path_factory, steps, boot, loop, size
):
    run = {"ring_size": size, "boot": boot, "loop": loop, "steps": steps}
    found = kept_with(WHOLE, FORGETS.fault, tmp_path_factory.mktemp("runs") / "answers", run)
    assert found.result == "caught"
    executor = Executor.of(WHOLE.faulty("forgets"), Scope(found.ring_size))
    states = executor.replay([(step.rule, step.parameters) for step in found.trace.steps])
    assert breaks(WHOLE, "taken", executor)(states[-1])
    assert 0 < found.steps <= len(found.trace.steps)


@pytest.mark.parametrize(
    "run", ["{}", "[]", "1", "no json", '{"ring_size": "x"}', '{"steps": [1]}']
)
def test_what_is_no_run_is_passed_over(run, path):
    found = kept_with(WHOLE, FORGETS.fault, path, run)
    assert (found.result, found.kept) == ("caught", False)


def test_a_run_shows_nothing_of_a_system_without_the_fault(path):
    catch_again(WHOLE, FORGETS.fault, answers=Answers(path))
    innocent = attrs.evolve(FORGETS, change=lambda system: system)
    mended = attrs.evolve(WHOLE, cases=lambda: [innocent])
    found = catch_again(mended, FORGETS.fault, answers=Answers(path))
    assert (found.result, found.kept) == ("missed", False)
    # Nor is it forgotten: what is missed replaces nothing.
    assert catch_again(WHOLE, FORGETS.fault, answers=Answers(path)).kept


def test_a_run_of_which_the_last_step_breaks_a_promise_is_looked_at_step_by_step(path):
    ordered = attrs.evolve(WHOLE, steps=PROPERTIES.steps, cases=lambda: [SKIPS])
    first = catch_again(ordered, SKIPS.fault, answers=Answers(path))
    assert catch_again(ordered, SKIPS.fault, answers=Answers(path)).kept
    run = json.loads(Answers(path).note(key_of_run(ordered, "skips")))
    run["steps"] = run["steps"][:-1]
    found = kept_with(ordered, SKIPS.fault, path, run)
    assert (found.kept, found.steps) == (False, first.steps)


# What a random run depends on

SETTING = Setting(Scope(), {"box.sent": 1}, frozenset({"take"}), steps=500, seed=3)


def test_a_digest_is_the_same_in_every_process():
    text = (
        "from tests.test_kept_runs import *\n"
        "print(SETTING.digest(specification()), of_term(specification().transitions[0].guard))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", text],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[0]
        for seed in ("1", "2")
    }
    assert said == {SETTING.digest(specification())}


@pytest.mark.parametrize(
    "other",
    [
        attrs.evolve(SETTING, scope=Scope(2)),
        attrs.evolve(SETTING, scope=Scope(users=2)),
        attrs.evolve(SETTING, scope=Scope(words=(0,))),
        attrs.evolve(SETTING, start={}),
        attrs.evolve(SETTING, start={"box.sent": 2}),
        attrs.evolve(SETTING, without=frozenset()),
        attrs.evolve(SETTING, steps=501),
        attrs.evolve(SETTING, seed=4),
    ],
)
def test_a_digest_covers_the_setting(other):
    assert other.digest(specification()) != SETTING.digest(specification())


@pytest.mark.parametrize(
    "change", [only_when("take", lambda s: s.box.sent == 1, "Take the first."), never("put")]
)
def test_a_digest_covers_the_rules(change):
    changed = change(specification())
    assert SETTING.digest(changed) != SETTING.digest(specification())


def test_a_digest_covers_the_program(monkeypatch):
    before = SETTING.digest(specification())
    monkeypatch.setattr("engine.digest._program", lambda: "another version")
    assert SETTING.digest(specification()) != before


def test_a_scope_that_leaves_rules_out_has_no_digest():
    with pytest.raises(ValueError, match="has no digest"):
        of_system(specification(), Scope(rules=["put"]))


NUMBERS = st.deferred(
    lambda: st.one_of(
        st.integers(0, 2).map(constant),
        st.sampled_from("xy").map(lambda name: symbol(name, Sort.NUMBER)),
        st.tuples(NUMBERS, NUMBERS).map(lambda pair: pair[0] + pair[1]),
        st.tuples(NUMBERS, NUMBERS).map(lambda pair: pair[0] - pair[1]),
    )
)


@given(NUMBERS, NUMBERS)
def test_two_terms_have_one_digest_if_they_are_one(one, other):
    assert (of_term(one) == of_term(other)) == (one is other)


def vacuity(known):
    return [item for item in known.obligations() if item.kind == "vacuity"]


def test_what_a_random_run_has_shown_is_kept_until_a_rule_changes(path):
    known = Catalogue(WHOLE)
    first = [discharge(known, item, past=Past(answers=Answers(path))) for item in vacuity(known)]
    assert {(item.result, item.kept) for item in first} == {("proved", False)}
    again = [discharge(known, item, past=Past(answers=Answers(path))) for item in vacuity(known)]
    assert {(item.result, item.kept) for item in again} == {("proved", True)}
    changed = Catalogue(WHOLE, WHOLE.faulty("forgets"))
    anew = [discharge(changed, item, past=Past(answers=Answers(path))) for item in vacuity(changed)]
    assert not any(item.kept for item in anew)


def test_what_no_run_has_shown_is_not_kept(path):
    stuck = Catalogue(attrs.evolve(WHOLE, settings=[Setting(without=frozenset({"put"}), steps=0)]))
    for _ in range(2):
        results = [discharge(stuck, o, past=Past(answers=Answers(path))) for o in vacuity(stuck)]
        assert {(item.result, item.kept) for item in results} == {("refuted", False)}
