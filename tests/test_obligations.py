"""The proofs can fail: take any barrier or guard away and named obligations no longer hold."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest

from engine.claims import Invariant
from engine.discharge import answer_of, discharge, script
from engine.faults import FaultCase
from engine.obligations import Catalogue, Obligation, Verdict
from engine.protocol import System
from engine.question import Question
from engine.rules import Transition
from engine.smt import Arithmetic
from engine.solvers import Answer, ask
from engine.terms import low_bits
from examples.mailbox.proof import THEORY as MAILBOX
from model.system import specification
from proofs.theory import THEORY

BARRIERS = [
    (step.rule.name, guard.name)
    for step in specification().transitions
    for guard in step.guards
    if guard.barrier
]
BREAKS = {
    "free_slot": "memory.free",
    "fence_packet_slot": "memory.initialised",
    "fence_command_slot": "memory.command-ring",
}
"""What these rules break without a barrier, where looking through all that they keep takes long."""


def changed(rule: str, without: str) -> System:
    """The specification with one named guard of a rule taken away."""

    def change(step: Transition) -> Transition:
        if step.rule.name != rule:
            return step
        left = tuple(guard for guard in step.guards if guard.name != without)
        assert len(left) == len(step.guards) - 1
        return attrs.evolve(step, guards=left)

    system = specification()
    return attrs.evolve(system, transitions=tuple(change(step) for step in system.transitions))


def concerning(known: Catalogue, rule: str) -> list[str]:
    """The safety obligations that speak of a rule."""
    return [
        name
        for name in known.entries
        if name == f"step/{rule}" or (name.startswith("race/") and rule in name.split("/"))
    ]


def results(known: Catalogue, names: list[str]) -> Iterator[str]:
    """What comes of obligations, in integers."""
    for name in names:
        yield discharge(known, Obligation(name, "", "safety", "integer", "")).result


def conjunct_of(known: Catalogue, rule: str, name: str) -> Question:
    """Whether a rule keeps one conjunct of the invariant."""
    question = known.question(f"step/{rule}")
    (part,) = (part for part in question.parts if part[0] == name)
    return attrs.evolve(question, parts=(part,))


def test_there_are_barriers() -> None:
    assert len(BARRIERS) >= 15


@pytest.mark.parametrize(("rule", "barrier"), BARRIERS, ids=lambda text: text.replace(" ", "-"))
def test_without_a_barrier_named_obligations_fail(rule: str, barrier: str) -> None:
    known = Catalogue(THEORY, changed(rule, barrier))
    if rule in BREAKS:
        question = conjunct_of(known, rule, BREAKS[rule])
        answer = answer_of(THEORY, question, Arithmetic.INTEGER)
        assert answer is Answer.SATISFIABLE, f"{rule} does not need {barrier!r}"
    else:
        found = results(known, concerning(known, rule))
        assert "refuted" in found, f"{rule} does not need {barrier!r}"


def test_with_all_barriers_those_obligations_hold() -> None:
    known = Catalogue.of(THEORY)
    rules = dict.fromkeys(rule for rule, _ in BARRIERS)
    names = [name for rule in rules for name in concerning(known, rule)]
    assert set(results(known, names)) == {"proved"}


def test_what_is_too_much_for_one_query_is_asked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Answer] = []

    def first_gives_up(solver: str, text: str, seed: int = 0) -> Answer:
        asked.append(ask(solver, text, seed) if asked else Answer.UNKNOWN)
        return asked[-1]

    monkeypatch.setattr("engine.discharge.ask", first_gives_up)
    item = Obligation("step/wait_for_leavers", "", "safety", "integer", "")
    assert discharge(Catalogue.of(THEORY), item).result == "proved"
    assert len(asked) > 2


def test_both_arithmetics_have_the_same_obligations_but_for_masks_and_runs() -> None:
    listed = Catalogue.of(THEORY).obligations()
    by_arithmetic = {
        kind.value: {item.id for item in listed if item.arithmetic == kind.value}
        for kind in Arithmetic
    }
    difference = by_arithmetic["integer"] ^ by_arithmetic["machine"]
    masks = {f"initial/{item.name}" for item in THEORY.invariants if item.machine_only}
    assert masks <= difference
    runs_of_rules, runs_of_code = "vacuity/", "code/"
    allowed = ("index/", runs_of_rules, runs_of_code)
    assert all(name.startswith(allowed) for name in difference - masks)
    assert len(listed) == len({(item.id, item.arithmetic) for item in listed})


def test_what_is_said_of_the_bits_of_counters_has_a_base_case() -> None:
    wrong = Invariant(
        "tx.wrong-mask", (), lambda s: s.tx.prod_i == low_bits(s.tx.prod) + 1, machine_only=True
    )
    known = Catalogue(attrs.evolve(THEORY, invariants=[*THEORY.invariants, wrong]))
    masks = [item for item in known.theory.invariants if item.machine_only]
    assert len(masks) == 4
    for item in masks:
        entry = known.entries[f"initial/{item.name}"]
        assert (entry.property, entry.arithmetics) == ("indices", (Arithmetic.MACHINE,))
        asked = Obligation(entry.id, "", "lemma", "machine", "")
        for solver in ("z3", "cvc5"):
            result = discharge(known, asked, solver=solver).result
            assert result == ("refuted" if item is wrong else "proved")


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
@pytest.mark.parametrize("arithmetic", ["integer", "machine"])
def test_the_exported_text_is_what_the_solvers_decide(solver: str, arithmetic: str) -> None:
    item = Obligation("property/transmit-fifo", "transmit-fifo", "safety", arithmetic, "")
    assert ask(solver, script(Catalogue.of(THEORY), item)) is Answer.UNSATISFIABLE


TEXTS = {name: entry.text for name, entry in Catalogue.of(THEORY).entries.items() if entry.text}


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
@pytest.mark.parametrize("name", TEXTS)
def test_both_solvers_prove_what_is_written_as_text(name: str, solver: str) -> None:
    """Each reads the logic that the text names in its own way."""
    assert ask(solver, TEXTS[name]) is Answer.UNSATISFIABLE


@pytest.mark.parametrize("case", MAILBOX.cases()[:3], ids=lambda case: case.fault.id)
def test_a_false_claim_is_refuted_by_both_solvers(case: FaultCase) -> None:
    known = Catalogue(MAILBOX, case.change(MAILBOX.specification()))
    names = [name for name in known.entries if name.startswith(("step/", "race/"))]
    said = {
        solver: {
            name: verdict.detail
            for name in names
            if (verdict := asked(known, name, solver)).result != "proved"
        }
        for solver in ("z3", "cvc5")
    }
    assert said["z3"] == said["cvc5"] != {}
    assert all(said["z3"].values())


@pytest.mark.parametrize("solver", ["z3", "cvc5"])
def test_both_solvers_refute_a_false_claim_about_the_card_and_name_it(solver: str) -> None:
    known = Catalogue(THEORY, changed("cmd.speculate_status", "acquire: owner before status"))
    verdict = asked(known, "step/cmd.speculate_status", solver)
    assert (verdict.result, verdict.detail) == ("refuted", "cmd.speculated-status")


def asked(known: Catalogue, name: str, solver: str) -> Verdict:
    return discharge(known, Obligation(name, "", "safety", "integer", ""), solver=solver)
