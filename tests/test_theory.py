"""A theory: what a small protocol has to say to be proved, and how it gets to another process."""

from __future__ import annotations

import enum
import functools
import pickle
import types

import attrs
import pytest

from engine.catch import breaks, catch
from engine.claims import By, InvariantBook, PropertyBook
from engine.command.main import main
from engine.command.work import Proof, ProofTask, Search, SearchTask, Source, run
from engine.discharge import discharge
from engine.executor import Executor
from engine.faults import Fault, FaultCase
from engine.leads_to import Case, Process, Promise, count
from engine.mutations import never, then
from engine.obligations import Catalogue
from engine.protocol import Protocol, System
from engine.question import Entry, follows
from engine.rules import THREAD, Party, Recorder, RuleBook
from engine.scenario import Scenario
from engine.scope import Scope
from engine.smt import Machine
from engine.terms import FALSE, TRUE, Bool, Domain, Implies, Number
from engine.theory import Theory, load
from engine.variables import Group, flag, number, numbers
from proofs.theory import THEORY

# The command forks; other threads (those of a test runner) take no part in what its children do.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


# A box for one message, from its rules to its faults


class Label(enum.IntEnum):
    IDLE = 0


@attrs.define(eq=False)
class Threads(Group):
    pc: object = numbers(Domain.THREAD, "where each thread is")


@attrs.define(eq=False)
class Box(Group):
    full: Bool = flag("a message is in the box")
    message: Number = number("the message in the box")
    sent: Number = number("messages put into the box")
    got: Number = number("the message that was taken last")


@attrs.define(eq=False)
class State(Recorder):
    threads: Threads
    box: Box


RULES, PROPERTIES, INVARIANTS = RuleBook(), PropertyBook(), InvariantBook()


@RULES.rule("", Party.HOST, THREAD, fair="thread")
def put(s: State, t: Number) -> None:
    """Put the next message into the empty box."""
    s.require(s.threads.pc[t] == Label.IDLE)
    s.require(~s.box.full)
    s.box.sent = s.box.sent + 1
    s.box.message = s.box.sent
    s.box.full = TRUE


@RULES.rule("", Party.DEVICE, fair="device")
def take(s: State) -> None:
    """Take the message out of the box."""
    s.require(s.box.full)
    s.box.got = s.box.message
    s.box.full = FALSE


@PROPERTIES.property("taken")
def newest_is_taken(s: State) -> Bool:
    """What is taken is what was put last."""
    return Implies(~s.box.full, s.box.got == s.box.sent)


@INVARIANTS.invariant("box.full")
def box_holds_newest(s: State) -> Bool:
    """The box holds the newest message, if any."""
    return Implies(s.box.full, s.box.message == s.box.sent)


INVARIANTS.invariant("box.empty")(newest_is_taken)


def is_full(s: State) -> Bool:
    """Each message is taken."""
    return s.box.full


TAKEN = Promise(
    "taken",
    "messages-taken",
    (),
    is_full,
    lambda s: ~is_full(s),
    lambda s: (count(is_full(s)),),
    lambda s: [Case("device", is_full(s), Process("device"))],
)


def forgets(s: State) -> None:
    """Take the message out of the box, and keep the one before."""
    s.box.got = s.box.sent - 1


FORGETS = FaultCase(
    Fault("forgets", "own", "a message is forgotten", "Its place is taken by an old one.", "taken"),
    then("take", forgets),
    Scenario(frozenset({"put", "take"})),
)
BOX = Protocol("box", State, Label)


@PROPERTIES.step("order")
def in_order(s: State, later: State, by: By) -> Bool:
    """What is taken is the one after what was taken before, and the device takes it."""
    same = s.box.got == later.box.got
    taken = later.box.got == s.box.got + 1
    return same | taken if by.party is Party.DEVICE else same


def skips(s: State) -> None:
    """Take the message out of the box, and take it for the one after it."""
    s.box.got = s.box.sent + 1


SKIPS = attrs.evolve(
    FORGETS,
    fault=Fault("skips", "own", "a message is taken for the next one", "One is missing.", "order"),
    change=then("take", skips),
)


@functools.cache
def specification() -> System:
    return BOX.system(RULES.rules)


SMALL = Theory(
    place="tests.test_theory:SMALL",
    program="tests.box",
    protocol=BOX,
    specification=specification,
    invariants=INVARIANTS.invariants,
    properties=PROPERTIES.properties,
)
WHOLE = attrs.evolve(
    SMALL,
    promises=[TAKEN],
    undone=lambda s, t, k: {"message": s.box.full},
    cases=lambda: [FORGETS],
    verdicts={"race-freedom": "Said otherwise."},
)


def proved(known: Catalogue) -> dict[str, str]:
    return {item.id: discharge(known, item).result for item in known.obligations()}


def test_what_is_promised_of_steps_is_asked_of_each_rule_that_it_is_about():
    ordered = attrs.evolve(
        SMALL, place="tests.test_theory:ORDERED", steps=PROPERTIES.steps, cases=lambda: [SKIPS]
    )
    named = {name for name in Catalogue(ordered).entries if name.startswith("property/order")}
    assert named == {"property/order/others", "property/order/take"}
    assert ordered.meaning("order") == ordered.verdict("order") == PROPERTIES.steps[0].meaning
    known = Catalogue(ordered)
    assert proved(known)["property/order/others"] == "proved"
    # The invariant does not say how far the one who takes is behind.
    assert proved(known)["property/order/take"] == "refuted"


def test_a_step_that_breaks_a_promise_is_the_last_one_of_its_run():
    ordered = attrs.evolve(SMALL, steps=PROPERTIES.steps, cases=lambda: [SKIPS])
    found = catch(ordered, SKIPS.fault)
    assert (found.result, found.steps) == ("caught", 2)
    assert [step.rule for step in found.trace.steps] == ["put", "take"]
    assert "order is broken: What is taken is" in found.trace.verdict


def test_a_small_theory_says_little_and_is_proved():
    results = proved(Catalogue.of(SMALL))
    assert set(results.values()) == {"proved"}
    assert set(results) == {
        *("initial/box.full", "initial/box.empty", "step/put", "step/take", "property/taken"),
        *("vacuity/rule/put", "vacuity/rule/take"),
    }


def test_what_else_a_theory_says_is_proved_too():
    known = Catalogue.of(WHOLE)
    more = set(known.entries) - set(Catalogue.of(SMALL).entries)
    assert more == {
        *("deadlock/message", "promise/taken/helper", "promise/taken/rank"),
        *("promise/taken/step/put", "promise/taken/step/take", "vacuity/premise/taken"),
        *("rule/least-rank", "rule/fair-run"),
    }
    assert set(proved(known).values()) == {"proved"}


def test_a_changed_system_is_refuted():
    known = Catalogue(WHOLE, WHOLE.faulty("forgets"))
    results = proved(known)
    assert {name for name, result in results.items() if result != "proved"} == {"step/take"}


def test_a_fault_is_caught():
    found = catch(WHOLE, FORGETS.fault)
    assert (found.result, found.steps) == ("caught", 2)
    assert found.trace.verdict == "taken is broken: What is taken is what was put last."


def test_a_theory_may_bring_a_kind_of_obligation():
    def kind(theory, system):
        claim = follows("true", theory.ordinary, lambda: TRUE)
        yield Entry("own/true", "own", "safety", "What is true.", claim)

    assert "own/true" in Catalogue(attrs.evolve(SMALL, kinds=[kind])).entries
    with pytest.raises(ValueError, match="two obligations have the name 'own/true'"):
        Catalogue(attrs.evolve(SMALL, kinds=[kind, kind]))


def test_what_is_undone_at_rest_is_a_deadlock():
    executor = Executor.of(SMALL.specification(), Scope())
    moving = executor.changed(executor.initial(), box__full=True)
    assert not breaks(WHOLE, "deadlock-freedom", executor)(moving)
    slow = Executor.of(never("take")(SMALL.specification()), Scope())
    assert breaks(WHOLE, "deadlock-freedom", slow)(moving)
    with pytest.raises(KeyError, match="none"):
        breaks(WHOLE, "none", executor)


def test_what_a_property_says_comes_from_where_it_is_stated():
    assert WHOLE.meaning("taken") == "What is taken is what was put last."
    assert WHOLE.meaning("messages-taken") == "Each message is taken."
    assert WHOLE.meaning("race-freedom").startswith("Host and device never touch")
    assert WHOLE.verdict("race-freedom") == "Said otherwise."
    assert WHOLE.meaning("something else") == ""


# The command


def test_the_command_proves_any_theory(capsys):
    assert main(WHOLE, ["--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "All 27 obligations are proved and the one fault is caught, in " in out
    assert main(WHOLE, ["--fault", "forgets", "--jobs", "1"]) == 1
    assert "It breaks taken: What is taken is what was put last." in capsys.readouterr().out


def test_the_command_speaks_in_the_program_s_name(capsys):
    assert main(WHOLE, ["--fault", "none"]) == 3
    assert capsys.readouterr().err == "tests.box: there is no fault 'none'; --list names all 1\n"
    with pytest.raises(SystemExit):
        main(WHOLE, ["--help"])
    assert "usage: python -m tests.box" in capsys.readouterr().out
    assert main(WHOLE, ["--assumptions"]) == 0


def test_options_know_the_protocol_s_words_and_ring_sizes(capsys):
    machine = Machine(bits=16, shifts=(1, 2, 3))
    small = attrs.evolve(WHOLE, protocol=attrs.evolve(BOX, machine=machine))
    assert main(small, ["--ring-size", "16"]) == 3
    assert "a power of two from 2 to 8, not '16'" in capsys.readouterr().err
    assert main(small, ["--jobs", "1", "--only", "taken", "--with-premises"]) == 0
    assert "in 16-bit machine words" in capsys.readouterr().out


# In another process


def test_a_theory_is_sent_by_its_place():
    assert pickle.loads(pickle.dumps(THEORY)) is THEORY
    assert load("proofs.theory:THEORY") is THEORY
    with pytest.raises(TypeError, match=r"proofs\.theory:BIT_LEMMAS is no theory"):
        load("proofs.theory:BIT_LEMMAS")
    with pytest.raises(pickle.PicklingError, match=r"proofs\.theory:THEORY is another theory"):
        pickle.dumps(attrs.evolve(THEORY, program="another"))


def test_a_catalogue_is_made_where_it_is_sent():
    known = Catalogue.of(THEORY)
    assert pickle.loads(pickle.dumps(known)) is known
    with pytest.raises(pickle.PicklingError, match="only the specification itself"):
        pickle.dumps(Catalogue(THEORY, never("tx.send")(THEORY.specification())))


def test_a_worker_that_starts_afresh_proves_and_searches(monkeypatch):
    """Where processes are not copies of this one, they import the theory."""
    monkeypatch.setattr("engine.command.work.sys", types.SimpleNamespace(platform="elsewhere"))
    source = Source.of(THEORY)
    (bounds,) = (
        item
        for item in source.catalogue()
        if (item.id, item.arithmetic) == ("property/bounds", "integer")
    )
    fault = THEORY.case_of("no-doorbell").fault
    tasks = [ProofTask(bounds, ("z3",), None, 0, None), SearchTask(fault, None, 0)]
    events = [event for event in run(source, [tasks], 1) if event is not None]
    assert [type(event) for event in events] == [Proof, Search]
    assert events[0].verdict.result == "proved"
    assert events[1].catch.result == "caught"
