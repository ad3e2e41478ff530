"""Where a fault is looked for: who takes part, how the run begins, which steps may be taken.

A search through everything that a card and several users can do would take long and show little.
So each fault names a scenario: a few parts of the system at work, from a point in a driver's life
that everybody knows ("the card is open", "the card was opened, failed and is being closed"). What
leads to that point is a run of the same faulty system from power-on, and part of the trace; from
there on every interleaving of the scenario's steps is searched, shortest first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

import attrs

from engine.executor import Executor, Path, Predicate, run_to_rest
from engine.protocol import System
from engine.rules import Party, Transition, symbolic
from engine.scope import FlatState, Instance
from engine.terms import FALSE, TRUE, And, Bool, Number, Or, constant, substitute
from model.opening import open_card
from model.properties import PROPERTIES
from model.scope import Scope
from model.state import Label, Stage, State
from model.system import specification
from model.thread_spec import at

__all__ = [
    "CLOSING",
    "COMMANDING",
    "DEADLOCK_FREEDOM",
    "EMPTY",
    "FAILING",
    "HANDLER",
    "LIVENESS",
    "NO_ACCESS_AFTER_FREE",
    "ONE_FILTER",
    "OPENING",
    "OTHER",
    "RACE_FREEDOM",
    "READING",
    "RECEIVING",
    "RESETTING",
    "SENDING",
    "STATE",
    "USER",
    "Act",
    "Scenario",
    "at_rest",
    "breaks",
    "calls",
    "card_writes",
    "closes",
    "commanding",
    "fails",
    "happens",
    "lacking",
    "opens",
    "reader_copies",
    "receiving",
    "rests",
    "sending",
    "until",
    "violation",
]

DEADLOCK_FREEDOM: Final = "deadlock-freedom"
RACE_FREEDOM: Final = "race-freedom"
NO_ACCESS_AFTER_FREE: Final = "no-access-after-free"
LIVENESS: Final[Mapping[str, str]] = {
    DEADLOCK_FREEDOM: "While a call has something coming, some party can move.",
    RACE_FREEDOM: "Host and card never touch the same word at the same time, one of them writing.",
    NO_ACCESS_AFTER_FREE: "The host touches no slot or buffer that was freed.",
    "recoverability": "After any fatal error the card can be used again.",
    "requests-complete": "Every request completes, and its caller learns of it, or of a failure.",
    "open-and-close-end": "Every open and every close ends, whatever the card does.",
}
"""Promises that are not statements about one state alone, and what they promise."""
STATE: Final = symbolic(State)
FIRST_USER: Final = 2
USER: Final = constant(FIRST_USER)
OTHER: Final = constant(FIRST_USER + 1)
READING: Final = {"nonblocking": (0,), "peek": (0,)}
"""Reads wait for a packet and take it."""
EMPTY: Final = {"begin_write": {"zero": (1,), "nonblocking": (0,)}}
"""Blocking writes of empty packets: the payload plays no part."""
ONE_FILTER: Final = {"begin_filter": {"remove": (0,)}}
"""Filters are added and never removed."""


# Parts of the system, by the names of their rules

HANDLER: Final = frozenset({
    "event_interrupt", "read_events", "cmd.no_completion", "tx.no_completion", "mark_readable",
    "no_packet_waits", "wake", "card.raise_vector0",
})  # fmt: skip
"""The event handler that finds nothing to take back, and sleepers that wake."""


def _request(ring: str) -> frozenset[str]:
    names = (
        "claim", "wait_for_turn", "skip_cancelled", "leave_queue",
        "store_fields", "store_owner", "ring_doorbell", "wait_for_completion", "completed",
        "completion_found", "no_completion", "reclaim",
        "fields_visible", "owner_visible", "doorbell_arrives",
        "look", "examine", "fetch", "complete", "set_event",
    )  # fmt: skip
    return frozenset(f"{ring}.{name}" for name in names)


SENDING: Final = HANDLER | _request("tx") | frozenset({
    "begin_write", "enter_write", "exit_call", "tx.store_first_word", "tx.store_last_word",
    "tx.first_word_visible", "tx.last_word_visible", "tx.read_first_word", "tx.read_last_word",
    "tx.send",
})  # fmt: skip
"""Users send packets; nothing fails and nobody gives up."""
COMMANDING: Final = HANDLER | _request("cmd") | frozenset({
    "begin_filter", "enter_filter", "exit_call", "cmd.execute", "cmd.stopped", "cmd.write_status",
})  # fmt: skip
"""Users change filters, or open and close submit commands; nothing fails and nobody gives up."""
RECEIVING: Final = HANDLER | frozenset({
    "begin_read", "enter_read", "exit_call",
    "rx.packet_found", "rx.nothing_to_read", "rx.peek_packet", "rx.receive_packet",
    "rx.look_at_next", "rx.copy_first_word", "rx.copy_last_word",
    "rx.refill_pointer", "rx.repost", "rx.pointer_visible", "rx.owner_visible",
    "rx.arrive", "rx.examine", "rx.fetch", "rx.write_first_word", "rx.write_last_word",
    "rx.write_header", "rx.complete", "rx.set_event",
})  # fmt: skip
"""Packets arrive and users read them; nothing fails and nobody gives up."""
OPENING: Final = frozenset({
    "begin_open", "open_first", "open_shared",
    "init_transmit_slot", "init_receive_pointer", "init_receive_owner", "fence_packet_slot",
    "tx.owner_visible", "rx.pointer_visible", "rx.owner_visible", "write_packet_bases",
    "submit_start", "start_completed", "submit_unicast", "unicast_completed", "opened",
})  # fmt: skip
"""The steps of an open besides its commands and a reset."""
CLOSING: Final = frozenset({
    "begin_close", "close_shared", "close_last", "wait_for_leavers", "all_left", "drain",
    "drained", "stop_draining", "submit_stop", "stop_completed", "submit_flush", "flush_completed",
    "free_slot", "closed",
})  # fmt: skip
"""The steps of a close besides its commands and a reset."""
RESETTING: Final = frozenset({
    "write_reset", "reset_done", "poll_again", "give_up_reset", "card.reset_over",
    "init_command_slot", "cmd.owner_visible", "fence_command_slot", "write_command_base",
    "free_slot",
})  # fmt: skip
"""The card is reset and its command ring set up."""
FAILING: Final = frozenset({"card.fatal_error", "fatal_interrupt", "mark_failed"})
"""The card fails and the driver learns of it."""


# How a run begins


Act: TypeAlias = Callable[[Executor, FlatState], tuple[FlatState, Path]]
"""A part of a run's beginning."""


def opens(user: int = FIRST_USER) -> Act:
    """The user opens the card; all comes to rest."""
    return lambda executor, state: open_card(executor, user, state)


def happens(rule: str, **parameters: int) -> Act:
    """One step."""

    def act(executor: Executor, state: FlatState) -> tuple[FlatState, Path]:
        step = executor.find(rule, **parameters)
        return executor.fire(state, step), (step,)

    return act


def rests() -> Act:
    """Everything that must happen does, until nothing is left that must."""
    return run_to_rest


def in_turn(*acts: Act) -> Act:
    """Several acts, one after the other."""

    def act(executor: Executor, state: FlatState) -> tuple[FlatState, Path]:
        path: Path = ()
        for one in acts:
            state, more = one(executor, state)
            path += more
        return state, path

    return act


def until(condition: Callable[[State], Bool]) -> Act:
    """What must happen does, until the condition holds."""

    def act(executor: Executor, state: FlatState) -> tuple[FlatState, Path]:
        return run_to_rest(executor, state, until=executor.compile(condition(STATE)))

    return act


def calls(rule: str, t: int = FIRST_USER, **parameters: int) -> Act:
    """A user begins a call; all comes to rest."""
    return in_turn(happens(rule, t=t, **parameters), rests())


def closes(condition: Callable[[State], Bool]) -> Act:
    """The user closes the card; what must happen does, until the condition holds."""
    return in_turn(happens("begin_close", t=FIRST_USER), until(condition))


def fails() -> Act:
    """The card fails; all comes to rest."""
    return in_turn(happens("card.fatal_error"), rests())


def lacking(rules: Collection[str], act: Act) -> Act:
    """The act, while some steps that may happen do not: a slow card, or stores that linger."""

    def slow(executor: Executor, state: FlatState) -> tuple[FlatState, Path]:
        system = executor.layout.system
        names = {item.rule.name for item in system.transitions} - set(rules)
        return act(Executor.of(system, attrs.evolve(executor.scope, rules=names)), state)

    return slow


@attrs.frozen(eq=False)
class Scenario:
    """Where a fault is looked for.

    Attributes:
        rules: The steps that may be taken in the search, besides those that a fault adds.
        acts: What happens before the search, from power-on.
        story: The same in words.
        limits: Choices that are left out: rule, then parameter, to the values that it may have.
        users: User threads.
        words: What an arbitrary word of memory, or a packet's length, may be.
        counts: How many more packets a write may bring.
        lies: The card is one that may write any length at any time.
    """

    rules: frozenset[str]
    acts: tuple[Act, ...] = (opens(),)
    story: str = "user 2 opens the card"
    limits: Mapping[str, Mapping[str, tuple[int, ...]]] = attrs.field(factory=dict)
    users: int = 1
    words: tuple[int, ...] = (9999,)
    counts: tuple[int, ...] = (0,)
    lies: bool = False

    def scope(self, ring_size: int) -> Scope:
        """The scenario's sizes, with every rule allowed."""
        return Scope(ring_size=ring_size, users=self.users, words=self.words, counts=self.counts)

    def begin(self, system: System, ring_size: int) -> tuple[FlatState, FlatState, Path]:
        """Power-on, the state in which the search begins, and the path between the two."""
        executor = Executor.of(system, self.scope(ring_size))
        first = executor.changed(executor.initial(), card__lies=self.lies)
        state, path = in_turn(*self.acts)(executor, first)
        return first, state, path

    def restricted(self, system: System, ring_size: int) -> Executor:
        """The system with the steps of the scenario and those that a fault adds."""
        usual = {item.rule.name for item in specification().transitions}

        def allowed(rule: str, parameters: Mapping[str, int]) -> bool:
            if rule in usual and rule not in self.rules:
                return False
            limits = self.limits.get(rule, {})
            return all(parameters[name] in values for name, values in limits.items())

        return Executor.of(system, attrs.evolve(self.scope(ring_size), rules=allowed))


def sending(*more: str, users: int = 1) -> Scenario:
    """Users send empty packets and wait until they are sent; `more` steps may be taken, too."""
    return Scenario(SENDING | set(more), limits=EMPTY, users=users)


def commanding(*more: str, users: int = 1) -> Scenario:
    """Users add filters; `more` steps may be taken, too."""
    return Scenario(COMMANDING | set(more), limits=ONE_FILTER, users=users)


def receiving(*more: str, words: tuple[int, ...] = (9999,), lies: bool = False) -> Scenario:
    """A user waits for packets and takes them; `more` steps may be taken, too."""
    return Scenario(RECEIVING | set(more), limits={"begin_read": READING}, words=words, lies=lies)


# What is looked for


def reader_copies(s: State) -> Bool:
    """The user has the header and is about to copy the packet, or has done so."""
    return at(s, USER, Label.RX_FIRST_WORD, Label.RX_LAST_WORD, Label.RX_POINTER)


def card_writes(s: State) -> Bool:
    """The card is about to write a packet to a buffer."""
    return s.rx.stage == Stage.WRITE_FIRST_WORD


def breaks(name: str, executor: Executor) -> Predicate:
    """Whether a state breaks the promise, for some slot, thread, ticket or filter."""
    if name == RACE_FREEDOM:
        return executor.compile(_race(executor))
    if name == NO_ACCESS_AFTER_FREE:
        return executor.compile(_strays(executor))
    if name == DEADLOCK_FREEDOM:
        return _stuck(executor)
    assert isinstance(executor.scope, Scope)
    return executor.compile(violation(name, executor.scope))


def violation(name: str, scope: Scope) -> Bool:
    """The opposite of a property of `model.properties`. Raises `KeyError` if there is none."""
    for item in PROPERTIES:
        if item.name == name:
            break
    else:
        raise KeyError(name)
    if not item.indices:
        return ~item.body(STATE)
    ranges: dict[str, list[Number]] = {
        "slot": [constant(k) for k in range(scope.ring_size)],
        "thread": [constant(t) for t in range(scope.threads)],
        "key": [constant(key) for key in range(scope.keys)],
        "counter": [
            ring.doorbells_arrived + ahead
            for ring in (STATE.tx, STATE.cmd)
            for ahead in range(scope.posted)
        ],
    }
    (index,) = item.indices
    return Or(*(~item.body(STATE, value) for value in ranges[index]))


def _owed(scope: Scope) -> Bool:
    """Some call sleeps that has something coming: any but a reader while no packet waits."""
    threads = STATE.threads
    packet = STATE.rx.dev != STATE.rx.cons
    return Or(
        *(
            threads.asleep[t] & ((threads.pc[t] != Label.RX_OWNER) | packet)
            for t in map(constant, range(FIRST_USER, scope.threads))
        )
    )


def at_rest(executor: Executor) -> Predicate:
    """Whether nothing is left that must happen. `executor` must allow all rules."""
    return lambda state: all(step.process is None for step in executor.enabled(state))


def _stuck(executor: Executor) -> Predicate:
    """A call sleeps that is owed something, and nothing is left that must happen."""
    threads = STATE.threads
    everyone = map(constant, range(FIRST_USER, executor.scope.threads))
    quiet = And(*(threads.asleep[t] | (threads.pc[t] == Label.IDLE) for t in everyone))
    assert isinstance(executor.scope, Scope)
    sleeps = executor.compile(And(quiet, _owed(executor.scope)))
    rests = at_rest(executor)
    return lambda state: sleeps(state) and rests(state)


def _strays(executor: Executor) -> Bool:
    """The host can touch a slot of a packet ring next that does not exist."""
    strays: list[Bool] = []
    for step in executor.instances:
        for access in step.transition.accesses:
            if step.rule.party is Party.HOST and access.present is not TRUE:
                touches = access.when & ~access.present
                strays.append(And(step.guard, substitute(touches, step.replacing)))
    return Or(*strays)


def _race(executor: Executor) -> Bool:
    """The host and the card can touch the same word next, and one of the two writes it."""
    ours: list[tuple[Instance, Transition]] = []
    cards: list[tuple[Instance, Transition]] = []
    for step in executor.instances:
        if step.transition.accesses:
            side = cards if step.rule.party is Party.DEVICE else ours
            side.append((step, step.transition))
    races: list[Bool] = []
    for one, host in ours:
        for two, card in cards:
            for left in host.accesses:
                for right in card.accesses:
                    if (left.ring, left.word) != (right.ring, right.word):
                        continue
                    if not left.atomic and (left.write or right.write):
                        here = substitute(left.place, one.replacing)
                        there = substitute(right.place, two.replacing)
                        assert isinstance(here, Number)
                        assert isinstance(there, Number)
                        both = And(
                            one.guard,
                            two.guard,
                            substitute(left.when, one.replacing),
                            substitute(right.when, two.replacing),
                        )
                        races.append(And(both, here == there))
    return Or(*races) if races else FALSE
