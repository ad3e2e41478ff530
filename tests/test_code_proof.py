"""The proof of the driver's lines: what it stands on, what it proves, and that it can fail.

A fixed part of it runs here: the two calls that take seconds, faults in them, and changes of the
proof itself, each of which must be noticed. `python -m proofs.check` proves all calls, and
`python -m bench.code_faults` refutes all faults.
"""

import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

import attrs
import hypothesis.strategies as st
import pytest
import z3
from hypothesis import given

from bench import code_faults, code_mutants
from bench.code_faults import NOT_REACHED, REACHED, changed, explored, in_these_files
from bench.code_mutants import CHANGES, noticed
from bench.code_mutants import changed as proof_changed
from bench.named import options
from engine.claims import Claim
from engine.discharge import discharge
from engine.induction import fresh
from engine.obligations import Catalogue, Obligation
from engine.refine.explorer import explore
from engine.refine.knowledge import Knowledge, Moment
from engine.refine.rely import rely_of
from engine.refine.values import LOW, Integer, NotModelledError, Truth, greatest, least, low
from engine.refine.z3_terms import Z3Terms
from engine.smt import Arithmetic, script
from engine.solvers import Answer, ask
from engine.spare import Spare
from engine.terms import (
    TRUE,
    And,
    Array,
    If,
    Or,
    Sort,
    constant,
    evaluate,
    ring_size,
    select,
    substitute,
    symbol,
)
from model.state import NOBODY, Label
from proofs.refine import barrier_machine, coverage, scene, sources, stand_ins
from proofs.refine.calls import CALLS, prove
from proofs.refine.driver import load
from proofs.refine.obligations import KINDS, verdict
from proofs.refine.relation import RELATION
from proofs.refine.setting import setting, without_lock
from properties.faults import fault
from tests.background import PATIENCE, until

N = symbol("n", Sort.NUMBER)


# What answers depend on

LOADED: Final = """
import sys
from pathlib import Path
from proofs.refine import obligations
from proofs.refine.calls import CALLS, prove
from proofs.refine.driver import load
prove(CALLS["serve_fatal"], load())
print(*(module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)))
"""


def test_answers_depend_on_all_files_that_a_proof_uses():
    said = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, cwd=sources.ROOT
    ).stdout
    own = {Path(name) for name in said.split() if Path(name).is_relative_to(sources.ROOT)}
    used = {path for path in own if "site-packages" not in path.parts and path.suffix == ".py"}
    assert sources.ROOT / "impl/controller.py" in used
    assert used <= set(sources.files())


# Values


class Straight:
    """A run in which every condition is known."""

    def decide(self, condition):
        return evaluate(condition, {"N": 8})


NUMBERS = st.integers(-100, 100)


@given(NUMBERS, NUMBERS)
def test_numbers_that_are_terms_compute_as_python_does(a, b):
    run = Straight()
    one, two = Integer(run, constant(a)), Integer(run, constant(b))
    for mine, right in (
        *((one + two, a + b), (one - b, a - b), (a - two, a - b), (one + b, a + b)),
        *((least(one, b), min(a, b)), (greatest(one, b), max(a, b)), (greatest(a, two), max(a, b))),
    ):
        assert evaluate(mine.term, {"N": 8}) == right
    for mine, right in (
        *((one == b, a == b), (one != b, a != b), (one < b, a < b), (one <= b, a <= b)),
        *((one > b, a > b), (one >= b, a >= b)),
    ):
        assert isinstance(mine, Truth)
        assert bool(mine) is right
    assert bool(one) is bool(a)


@given(st.integers(0, 100))
def test_a_number_masked_is_its_low_bits(a):
    number = Integer(Straight(), constant(a))
    mask = Integer(Straight(), ring_size() - 1)
    assert (number & mask).term is low(constant(a))
    assert (number % Integer(Straight(), ring_size())).term is low(constant(a))
    assert evaluate((number + (number > 50)).term, {"N": 8}) == a + (a > 50)


@pytest.mark.parametrize(
    "use", [lambda n: n & 3, lambda n: n % 8, lambda n: n * n, lambda n: [0][n], hash]
)
def test_what_has_no_meaning_on_terms_is_refused(use):
    with pytest.raises((NotModelledError, TypeError)):
        use(Integer(Straight(), N))


ARRAY = symbol("array", Sort.NUMBER_ARRAY)
ELSEWHERE = symbol("another array", Sort.NUMBER_ARRAY)
TERMS = st.recursive(
    st.one_of(st.sampled_from([N, ring_size()]), st.integers(-2, 3).map(constant)),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] - pair[1]),
        st.tuples(inner, inner, inner).map(
            lambda items: If(items[0] < items[1], items[1], items[2])
        ),
        st.tuples(inner, inner, inner).map(
            lambda items: select(_put(ARRAY, items[0], items[1]), items[2])
        ),
    ),
    max_leaves=6,
)
CONDITIONS = st.recursive(
    st.tuples(TERMS, TERMS).flatmap(
        lambda pair: st.sampled_from([pair[0] < pair[1], pair[0] == pair[1]])
    ),
    lambda inner: st.one_of(
        inner.map(lambda item: ~item),
        st.tuples(inner, inner).map(lambda pair: And(*pair)),
        st.tuples(inner, inner).map(lambda pair: Or(*pair)),
    ),
    max_leaves=4,
)


def _put(array, index, value):
    changed = Array(array)
    changed[index] = value
    return changed.term


@given(CONDITIONS)
def test_terms_for_z3_mean_what_their_text_means(condition):
    text = z3.SimpleSolver()
    text.from_string(script(Arithmetic.INTEGER, [condition]))
    made = z3.SimpleSolver()
    made.add(z3.Int("N") >= 1)
    made.add(Z3Terms().expression(condition))
    assert made.check() == text.check()


OTHER = symbol("other", Sort.NUMBER)
VALUES = TERMS.map(lambda term: substitute(term, {N: OTHER, ARRAY: ELSEWHERE}))
"""Terms of another state."""


@given(CONDITIONS, VALUES, st.tuples(VALUES, VALUES), st.booleans())
def test_claims_of_a_moment_are_the_same_of_terms_and_of_z3s_own(condition, number, put, stands):
    """At an index, too: the number that the condition speaks of is a variable, or the index."""
    index = fresh("slot")
    said = condition if stands else substitute(condition, {N: index})
    item = Claim("said", () if stands else ("slot",), lambda state, *indices: said)
    values = {N: number, ARRAY: _put(ELSEWHERE, *put)}
    moment = Moment(None, values, [item])
    at = None if stands else OTHER - 1
    solver = z3.SimpleSolver()
    made = z3.BoolRef(moment.instances.of(item, at))
    solver.add(made != Z3Terms().expression(moment.at(item, at)))
    assert solver.check() == z3.unsat


# Ways


def knowledge():
    return Knowledge(lambda index, moment: ())


def gone(body, **options):
    return explore(body, knowledge, traced=lambda name: name == __file__, **options)


def test_all_ways_are_gone_and_none_that_is_none():
    def body(way):
        n = Integer(way, N)
        if n > 2:
            kind = way.choose(("big", "bigger")) if n > 5 else "some"
        else:
            kind = "never" if n > 3 else "few"
        way.prove(kind, TRUE, "")

    found = gone(body)
    assert found.proved
    assert found.obligations == {"big": 1, "bigger": 1, "some": 1, "few": 1}
    assert (found.ways, found.impossible) == (4, 0)


def test_each_way_is_gone_once_and_by_a_process_of_its_own(tmp_path):
    """Whatever the code does before it is not done again, and nobody undoes what is behind it."""
    log = tmp_path / "log"
    log.touch()

    def body(way):
        with log.open("a") as file:
            file.write("begun ")
        try:
            way.decide(N == 1)
            way.end("done")
        finally:
            log.write_text("unwound")

    assert gone(body).ways == 2
    assert log.read_text() == "begun "


def test_a_process_that_is_killed_is_a_failure():
    def body(way):
        if way.decide(N == 1):
            os.kill(os.getpid(), signal.SIGKILL)

    (failure,) = gone(body).failures
    assert failure.undecided
    assert "the process that went another way ended with wait status 9" in failure.message


def test_who_goes_other_ways_ends_with_whom_it_would_tell(tmp_path):
    """A proof that is killed leaves nothing behind that computes on."""
    told = tmp_path / "who"

    def body(way):
        if way.decide(N == 1):
            told.write_text(f"{os.getpid()} ")
            time.sleep(PATIENCE)

    process = os.fork()
    if process == 0:
        gone(body)
        os._exit(0)
    until(lambda: told.exists() and told.read_text().endswith(" "))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    until(lambda: not runs(int(told.read_text())))


def test_ways_are_gone_at_the_same_time_while_there_are_processors_to_spare(tmp_path):
    """Each of three waits for the other two."""

    def body(way):
        number = way.choose(range(3))
        (tmp_path / str(number)).touch()
        until(lambda: len(list(tmp_path.iterdir())) == 3)

    assert gone(body, spare=Spare(2)).ways == 3


@pytest.mark.parametrize("processors", [0, 1, 5])
def test_whoever_goes_them_the_ways_are_the_same(processors):
    def body(way):
        for turn in range(4):
            if way.decide(symbol(f"n#{way.number()}", Sort.NUMBER) == 1):
                way.cut("here", turn)
            way.goes_on()
        way.prove("steps", N == 1, "it is 1")

    spare = Spare(processors)
    found = gone(body, spare=spare)
    assert (found.ways, found.cuts, len(found.failures)) == (11, 6, 5)
    assert [spare.take() for _ in range(processors + 1)] == [True] * processors + [False]


def test_a_processor_comes_back_from_a_process_that_is_killed():
    def body(way):
        if way.decide(N == 1):
            os.kill(os.getpid(), signal.SIGKILL)

    spare = Spare(1)
    with pytest.raises(RuntimeError, match="wait status 9"):
        gone(lambda way: os.kill(os.getpid(), signal.SIGKILL), spare=spare)
    assert len(gone(body, spare=spare).failures) == 1
    assert [spare.take(), spare.take()] == [True, False]


def runs(process):
    """Whether a process is there, and has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_the_first_failure_can_be_the_last_thing_that_is_done():
    def body(way):
        way.choose(range(100))
        way.fail("steps", "it fails")

    assert gone(body, first_failure=True).ways == 1
    assert gone(body).ways == 100


def test_what_is_not_proved_is_not_known_afterwards():
    """Or one failure would hide all that come after it."""

    def body(way):
        try:
            way.prove("steps", N == 1, "it is 1")
        except BaseException:
            way.prove("steps", N == 2, "it is 2")

    found = gone(body)
    assert [item.message for item in found.failures] == ["it is 1"]


def test_what_was_proved_is_known():
    def body(way):
        way.assume(N > 3)
        way.prove("steps", N > 2, "it is more than 2")
        assert not way.decide(N == 1)

    assert gone(body).proved


def test_a_loop_without_end_is_cut():
    def body(way):
        number = Integer(way, constant(0))
        while True:
            if way.decide(number.term == 0):
                number.term = constant(1)
            way.cut("here", ())
            way.goes_on()

    found = gone(body)
    assert found.proved
    assert found.cuts == 1


def test_a_loop_that_does_nothing_is_a_failure():
    def body(way, does):
        number = Integer(way, constant(0))
        while way.decide(number.term < N):
            number.term = symbol(f"n#{way.number()}", Sort.NUMBER)
            way.cut("the loop", ())
            if does:
                way.goes_on()

    assert gone(functools.partial(body, does=True)).proved
    (failure,) = gone(functools.partial(body, does=False)).failures
    assert failure.kind == "progress"
    assert (
        failure.message == "the lines come to the loop again and again, and do nothing in between"
    )


def test_a_loop_that_is_never_cut_is_a_failure():
    """Not a proof without end."""

    def body(way):
        number = Integer(way, constant(0))
        while number != N:
            number += 1

    found = gone(body, first_failure=True)
    assert [item.kind for item in found.failures] == ["progress"]


def test_places_that_are_always_new_are_a_failure():
    """Not a proof without end, such as where a list that grows tells them apart."""

    def body(way):
        for number in itertools.count():
            way.goes_on()
            way.cut("a turn", number)

    found = gone(body, first_failure=True)
    assert [
        (item.kind, "what tells them apart grows" in item.message) for item in found.failures
    ] == [("progress", True)]


def test_coming_to_two_places_one_after_the_other_is_no_loop():
    def body(way):
        way.cut("one", ())
        way.cut("another", way.decide(N == 1))

    assert gone(body).proved


def test_an_exception_that_the_code_swallows_is_a_failure():
    def body(way):
        try:
            {}[1]
        except BaseException:
            return

    assert [item.message for item in gone(body).failures] == ["KeyError: 1"]
    assert gone(body, expected=(KeyError,)).proved


def test_a_way_whose_conditions_contradict_each_other_is_none():
    def body(way):
        way.assume(N > 1)
        way.assume(N < 1)

    found = gone(body)
    assert (found.ways, found.impossible) == (0, 1)


def test_lines_that_were_run_are_known():
    def body(way):
        if way.decide(N == 1):
            way.log.append("one")
        else:
            way.log.append("other")

    lines = gone(body).lines[__file__]
    first = body.__code__.co_firstlineno
    assert {first + 1, first + 2, first + 4} <= lines


# Others


def test_rules_that_need_the_lock_are_those_that_ask_for_its_holder():
    free = {step.rule.name for step in setting().system.transitions if without_lock(step)}
    assert {"rx.arrive", "tx.owner_visible", "wake", "begin_read", "rx.refill_pointer"} <= free
    assert free.isdisjoint(
        {"tx.claim", "rx.receive_packet", "exit_call", "read_events", "mark_failed"}
    )


def test_while_a_thread_has_the_lock_what_the_driver_keeps_stands_still():
    locked = setting().locked
    assert {"tx.prod", "rx.cons", "driver.life", "rx.held", "tx.waiter"}.isdisjoint(locked.changed)
    assert {"tx.owner", "card.flags", "threads.pc"} <= locked.changed
    assert "threads.pc" in locked.own


def test_a_rule_that_changes_more_is_more_that_others_may_change():
    system = setting().system
    none = rely_of(system, lambda step: True)
    one = rely_of(system, lambda step: step.rule.name != "tx.reclaim")
    assert not none.changed
    assert "threads.completed" in one.changed - one.own


# Barriers


def wrong_machine(name):
    """The machine in which a part of a step is missing, and what must not be proved of it then."""
    rule, without, broken = {
        "a barrier holds nothing back": ("perform", "guard", {"step/perform"}),
        "what is not performed counts as settled": ("settle", "guard", {"step/settle"}),
        "a barrier is behind nothing": ("barrier", "accesses.barrier", {"step/barrier"}),
        "nobody knows which barrier comes before": ("issue", "accesses.after", {"step/issue"}),
    }[name]

    def without_part(step):
        if step.rule.name != rule:
            return step
        if without == "guard":
            return attrs.evolve(step, guards=step.guards[:1])
        updates = {key: term for key, term in step.updates.items() if key != without}
        return attrs.evolve(step, updates=updates)

    def change(system):
        return attrs.evolve(system, transitions=tuple(map(without_part, system.transitions)))

    return change, broken


def not_proved(found):
    return {item.name for item in found if ask("z3", item.text) is not Answer.UNSATISFIABLE}


def test_barriers_keep_the_orders_that_the_lines_rely_on():
    assert not not_proved(barrier_machine.texts())


@pytest.mark.parametrize(
    "name",
    [
        "a barrier holds nothing back",
        "what is not performed counts as settled",
        "a barrier is behind nothing",
        "nobody knows which barrier comes before",
    ],
)
def test_a_machine_with_other_barriers_keeps_no_order(name):
    change, broken = wrong_machine(name)
    assert not_proved(barrier_machine.texts(change)) == broken


def test_without_a_barrier_in_between_nothing_is_promised():
    """What is noted may come later: or the notes would mean nothing."""

    nothing_noted = Array(symbol("accesses.excepted", Sort.BOOL_ARRAY))
    array = nothing_noted.term
    nothing_noted.fill(False)

    def no_exception(s, i):
        return substitute(barrier_machine.in_front(s, i), {array: nothing_noted.term})

    (usual,) = barrier_machine.THEORY.properties
    stronger = attrs.evolve(usual, body=no_exception)
    theory = attrs.evolve(barrier_machine.THEORY, properties=[stronger])
    known = Catalogue(theory)
    asked = Obligation("property/in-front", "in-front", "safety", "integer", "")
    assert discharge(known, asked).result == "refuted"


# Stand-ins


class Plain:
    """A scene in which everything is known, for the stand-ins."""

    def __init__(self):
        flags, numbers = Array(symbol("g", Sort.BOOL_ARRAY)), Array(symbol("w", Sort.NUMBER_ARRAY))
        flags.fill(False)
        numbers.fill(0)
        self.way = self
        self.thread = constant(7)
        self.places = []
        self.keeps = {
            "tx.head": constant(3),
            "tx.next": constant(3),
            "tx.gone": flags.term,
            "tx.who": numbers.term,
        }

    def touch(self, what):
        pass

    def kept(self, name):
        return self.keeps[name]

    def keep(self, name, value):
        self.keeps[name] = value

    def keep_at(self, name, index, value):
        self.keeps[name] = _put(self.keeps[name], index, value)

    def prove(self, _, claim, message):
        if not evaluate(claim, {}):
            raise ValueError(message)

    def decide(self, condition):
        return evaluate(condition, {})

    def first_present(self, head, end, gone):
        place = evaluate(head, {})
        while place < evaluate(end, {}) and evaluate(select(gone, constant(place)), {}):
            place += 1
        return constant(place)


@given(st.lists(st.integers(0, 3)))
def test_a_line_of_callers_is_a_deque(moves):
    """Callers join, the first leaves, and any gives up; who is first is asked in between."""
    plain = Plain()
    line, real = stand_ins.Line(plain, "tx"), deque()
    for move in moves:
        if move == 0 or not real:
            place = object()
            line.append(place)
            real.append(place)
        else:
            place = real[(move - 1) % len(real)]
            line.remove(place)
            real.remove(place)
        assert bool(line) is bool(real)
        if real:
            assert line[0] is real[0]


def test_who_is_not_in_line_cannot_leave_it():
    line = stand_ins.Line(Plain(), "tx")
    with pytest.raises(ValueError, match="not enough values"):
        line.remove(object())


class Ring(Plain):
    """A scene with a ring of eight slots, of which some were found to be returned."""

    SLOTS = 8

    def __init__(self, waiting, first, count):
        super().__init__()
        self.count = count
        self.request = None
        requests = Array(symbol("r", Sort.NUMBER_ARRAY))
        requests.fill(NOBODY)
        for slot, thread in enumerate(waiting):
            requests[constant(slot)] = constant(NOBODY if thread is None else thread)
        self.keeps |= {
            "tx.waiting": requests.term,
            "tx.told": constant(first),
            "tx.scanned": constant(first + count),
        }
        self.turns = 0

    def value(self, term):
        low_bits = [number & (self.SLOTS - 1) for number in range(100)]
        return evaluate(term, {"N": self.SLOTS, LOW.name: low_bits})

    def prove(self, _, claim, message):
        if not self.value(claim):
            raise ValueError(message)

    def decide(self, condition):
        return self.value(condition)

    def kept_at(self, name, index):
        return select(self.keeps[name], index)

    def tell_next(self, *_):
        self.turns += 1


def slices(ring, first, count):
    """The slots that were returned, as the driver has them."""
    waiting = stand_ins.Waiting(ring, "tx")
    begin = Integer(ring, constant(first & (ring.SLOTS - 1)))
    end = begin + count
    beyond = greatest(0, end - ring.SLOTS)
    return waiting[begin:end], waiting[:beyond]


@given(
    st.lists(st.none() | st.integers(2, 9), min_size=8, max_size=8),
    st.integers(0, 50),
    st.integers(0, 8),
)
def test_who_waits_for_slots_that_were_returned_is_told_in_this_order(waiting, first, count):
    ring = Ring(waiting, first, count)
    one, rest = slices(ring, first, count)
    returned = one + rest
    assert ring.value(returned.size.term) == count
    begin = first & 7
    real = waiting[begin : begin + count] + waiting[: max(0, begin + count - 8)]
    told = [
        (ring.value(number.term), request and ring.value(request.thread))
        for number, request in stand_ins.numbered(returned, Integer(ring, constant(first)))
    ]
    assert told == list(enumerate(real, first))
    assert ring.turns == count


@given(st.integers(0, 50), st.integers(0, 8), st.integers(-2, 2))
def test_slices_that_are_not_of_the_slots_returned_are_refused(first, count, more):
    ring = Ring([None] * 8, first, count)
    one, rest = slices(ring, first, count)
    wrong = attrs.evolve(rest, end=rest.end + more)
    if more == 0:
        assert ring.value((one + wrong).size.term) == count
    else:
        with pytest.raises(ValueError, match="not the slots returned"):
            one + wrong
    moved = attrs.evolve(one, begin=one.begin + 1, end=one.end + 1)
    with pytest.raises(ValueError, match=r"not the slots returned|an index is none of a slot"):
        moved + rest
    if count:
        start = Integer(ring, constant(first + 1))
        with pytest.raises(ValueError, match="not counted from the oldest on"):
            stand_ins.numbered(one + rest, start)


def test_what_is_numbered_elsewhere_is_numbered_as_ever():
    assert list(stand_ins.numbered("ab", 3)) == [(3, "a"), (4, "b")]


# The lines


LOOKS = ("load", "tx.owner HOST"), ("load", "tx.owner DEVICE")


TAKING_BACK = (
    *("RequestRing.has_completion", "RequestRing.reclaim_all", "RequestRing.reclaim"),
    "CommandRing._result",
)


def until_transmit_ring(ring):
    """In place of a look at the transmit ring: the commands are taken back, and all is well."""
    scene = ring.scene
    scene.beside.approach(*LOOKS)
    scene.check_relation({"driver.writable": TRUE})
    at_scan = TRUE if scene.beside.pc() == Label.TX_SCAN else ~TRUE
    scene.way.prove("ends", at_scan, "the specification is elsewhere")
    scene.way.end("done")


def commands_taken_back(wrong=None, **options):
    """The first half of `serve_events`, which takes seconds; perhaps of a driver with a fault."""
    code = load(None if wrong is None else changed(fault(wrong).changes))
    code.ring.TransmitRing.reclaim_all = until_transmit_ring
    return prove(CALLS["serve_events"], code, **options)


@functools.cache
def found(name):
    return prove(CALLS[name], load()) if name in CALLS else commands_taken_back()


@functools.cache
def with_fault(name):
    if REACHED[name] == "serve_events":
        return commands_taken_back(name, first_failure=True)
    return explored(name)


@pytest.mark.parametrize("call", ["serve_fatal", "open"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_take_only_steps_of_the_specification(kind, call):
    assert verdict(CALLS[call], kind, found(call)) == ("proved", "")


def test_taking_commands_back_takes_only_steps_of_the_specification():
    whole = found("commands")
    assert whole.proved
    assert whole.ways > 1
    assert coverage.missing_lines(TAKING_BACK, whole.lines) == []


def test_a_failure_leaves_what_is_behind_it_open():
    broken = with_fault("failure-not-noted")
    results = {kind: verdict(CALLS["serve_fatal"], kind, broken)[0] for kind in KINDS}
    assert results.pop("relation") == "refuted"
    assert set(results.values()) == {"unknown"}


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("no-barrier-cmd-result", "barriers", "nothing provides 'acquire: owner before status'"),
        ("completion-not-woken", "relation", "driver.woken.COMMANDS"),
        ("consumer-stays", "relation", "cmd.driver.counters"),
        ("events-not-read", "steps", "READ_EVENTS"),
        ("failure-not-noted", "relation", "driver.life"),
        ("opens-together", "steps", "open_shared: its condition does not hold"),
        ("stop-failed-free", "steps", "free memory is not allowed here"),
    ],
)
def test_a_fault_is_refuted_in_words(fault, kind, says):
    (failure,) = with_fault(fault).failures
    assert failure.kind == kind
    assert says in failure.message
    assert any("impl/" in line for line in failure.lines)


def test_a_variable_that_the_proof_speaks_of_and_the_lines_lost_is_named():
    local = scene._Local({"end": 1})
    assert local["end"] == 1
    assert "first" not in local
    with pytest.raises(NotModelledError, match="no variable 'first', of which the proof speaks"):
        local["first"]


def test_every_fault_of_these_files_is_within_reach_or_named_with_a_reason():
    assert sorted(in_these_files()) == sorted([*REACHED, *NOT_REACHED])


# The proof itself, changed


def is_quick(change):
    """Whether what notices it takes seconds."""
    return REACHED.get(change.hides, change.call) == "serve_fatal"


QUICK = [
    *("a release is not noted", "an acquire is not noted", "nothing is related"),
    *("one branch is gone", "a place that is come to is never gone on from"),
    "what is left to others is not asked of the specification",
    *(name for name, change in CHANGES.items() if is_quick(change)),
]


@pytest.mark.parametrize("name", QUICK)
def test_a_change_of_the_proof_is_noticed(name):
    assert noticed(CHANGES[name])


def test_a_proof_that_does_not_look_at_early_loads_hides_a_fault():
    assert with_fault("no-barrier-cmd-result").failures
    with proof_changed(CHANGES["early loads are not checked"]):
        assert not commands_taken_back("no-barrier-cmd-result", first_failure=True).failures


def test_a_change_of_the_proof_is_taken_back():
    before = {name: getattr(change.where, change.what) for name, change in CHANGES.items()}
    for name, change in CHANGES.items():
        with proof_changed(change):
            assert getattr(change.where, change.what) is change.instead
        assert getattr(change.where, change.what) is before[name]


# What is run


def test_every_function_of_the_files_is_run_by_a_call_or_named_with_a_reason():
    assert set(coverage.RUN_BY) == set(CALLS)
    run = {name for names in coverage.RUN_BY.values() for name in names}
    assert set(coverage.functions()) == run | set(coverage.ELSEWHERE)
    assert not run & set(coverage.ELSEWHERE)


def test_each_line_that_is_excused_is_there():
    known = coverage.functions()
    for name, _ in coverage.EXCUSED:
        assert name in known


def test_a_line_that_nothing_runs_is_named():
    left = coverage.missing_lines(("Controller.serve_fatal",), {})
    assert any("self.wake_everyone()" in line for line in left)
    everything = {code.co_filename: set(range(10_000)) for code in coverage.functions().values()}
    assert coverage.missing_lines(("Controller.serve_fatal",), everything) == []


def test_the_relation_speaks_of_each_variable_that_the_driver_keeps():
    from engine.induction import anywhere
    from engine.terms import variables
    from model.system import DUCT
    from proofs.refine.relation import KEPT

    used = {term.name for item in RELATION for term in variables(anywhere(DUCT.symbols, item))}
    assert set(KEPT) <= used


# Its command lines


def test_a_command_line_names_some_or_means_all():
    assert options("bench.lines", "", "CALL", CALLS, []) == list(CALLS)
    assert options("bench.lines", "", "CALL", CALLS, ["send", "peek"]) == ["send", "peek"]


@pytest.mark.parametrize("main", [code_faults.main, code_mutants.main])
def test_a_name_that_there_is_not_is_told_with_those_that_there_are(main, capsys):
    with pytest.raises(SystemExit) as left:
        main(["no-such-thing"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "there is no " in said
    assert "'no-such-thing'" in said
    assert "all: " in said
    assert "Traceback" not in said


def test_a_fault_that_is_refuted_is_told_in_words_and_counted(capsys):
    assert code_faults.main(["failure-not-noted"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("[1/1] failure-not-noted: serve_fatal, ")
    assert "driver.life does not hold here" in said
    assert said.endswith("1 of 1 faults are refuted\n")
