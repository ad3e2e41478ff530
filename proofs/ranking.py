"""What will happen: promises under weak fairness, each with a rank that cannot fall for ever.

A promise says that wherever its premise holds its goal is reached. The proof names, for each case,
*who helps*: a process that cannot be left for ever with a step that it could take (weak fairness),
or an earlier promise. It is enough to show that

* in every case the helper can act (this is deadlock freedom), and
* no step of anybody raises the rank, a step of the helper lowers it, and what does not lower it
  leaves case and helper as they are,

where the rank is a tuple of natural numbers compared from the left. Earlier promises may help:
when a helping promise reaches its goal, the rank must have fallen. The rule is the one of UNITY and
of Manna and Pnueli for "leads to" by well-founded induction.

Requests, callers and threads are arbitrary: `n` is any request, `t` any thread.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import attrs

from engine.terms import (
    TRUE,
    And,
    Bool,
    If,
    Implies,
    Number,
    Or,
    constant,
    one_of,
    ring_size,
)
from model.device_spec import running
from model.ring_spec import COMMAND, HOLDING, TRANSMIT, RingOperations, call_must_end
from model.state import EVENT_THREAD, FATAL_THREAD, Flags, Label, Life, Result, Stage, State
from model.thread_spec import at, holder, queued_for_lock
from proofs.invariants import (
    COMMAND_LABELS,
    filling,
    inside_call,
    phase,
    submitted,
)

__all__ = ["PROMISES", "Case", "Helper", "Process", "Promise", "Relies"]


@attrs.frozen(eq=False)
class Process:
    """A weakly fair process helps: all rules whose `fair` is this name, at this index if any."""

    fair: str
    index: Number | None = None


@attrs.frozen(eq=False)
class Relies:
    """An earlier promise helps, for these arguments."""

    promise: Promise
    arguments: tuple[Number, ...]


Helper: TypeAlias = Process | Relies


@attrs.frozen(eq=False)
class Case:
    """While `condition` holds (and no earlier case does), `helper` brings the goal nearer."""

    name: str
    condition: Bool
    helper: Helper


@attrs.frozen(eq=False)
class Promise:
    """A "leads to" property and its proof.

    Attributes:
        name: Its name in reports.
        property: The user's property that it serves.
        parameters: What it speaks of: names such as "t" (any thread) and "n" (any request).
        premise, goal, rank, cases: Functions of the state and the parameters.
        without: Rules assumed not to happen, with the reason; the promise is conditional on that.
    """

    name: str
    property: str
    parameters: tuple[str, ...]
    premise: Callable[..., Bool]
    goal: Callable[..., Bool]
    rank: Callable[..., tuple[Number, ...]]
    cases: Callable[..., list[Case]]
    without: Mapping[str, str] = attrs.field(factory=dict)

    @builtins.property
    def meaning(self) -> str:
        """What is promised, in one line."""
        return (self.premise.__doc__ or "").strip().split("\n")[0]


def count(*conditions: Bool) -> Number:
    """How many of `conditions` hold."""
    total = constant(0)
    for condition in conditions:
        total = total + If(condition, 1, 0)
    return total


def position(value: Number, table: Mapping[Label, int] | Mapping[Stage, int]) -> Number:
    """What `table` says for a label or stage; 0 for those that it leaves out."""
    result = constant(0)
    for key, place in table.items():
        result = If(value == key, place, result)
    return result


def thread(t: Number) -> Process:
    """Thread t takes its next step."""
    return Process("thread", t)


# Whoever is in line for the lock gets it and gives it back

SCRIPT: Final = {
    label: 60 - place
    for place, label in enumerate(
        (
            Label.OPEN_ENTER, Label.CLOSE_ENTER, Label.LEAVE, Label.DRAIN, Label.STOP,
            Label.STOPPED, Label.FLUSH, Label.FLUSHED, Label.RESET, Label.POLL, Label.CMD_INIT,
            Label.CMD_FENCE, Label.CMD_BASE, Label.FREE, Label.INIT_TX, Label.INIT_FENCE,
            Label.BASE, Label.START, Label.STARTED, Label.ADD_UNICAST, Label.ADDED_UNICAST,
            Label.OPENED, Label.CLOSED,
        )
    )
}  # fmt: skip
"""How far open or close has come: the higher, the more is left to do."""
SCRIPT_ALL: Final = SCRIPT | {
    Label.INIT_POINTER: SCRIPT[Label.INIT_TX],
    Label.INIT_RX: SCRIPT[Label.INIT_TX],
}
ORDER: Final = {
    Label.WRITE_ENTER: 60,
    Label.FILTER_ENTER: 60,
    Label.READ_ENTER: 60,
    Label.TX_TURN: 50, Label.CMD_TURN: 50,
    Label.TX_FIRST_WORD: 49,
    Label.TX_LAST_WORD: 48,
    Label.TX_FIELDS: 47, Label.CMD_FIELDS: 47,
    Label.TX_OWNER: 46, Label.CMD_OWNER: 46,
    Label.TX_DOORBELL: 45, Label.CMD_DOORBELL: 45,
    Label.TX_CANCEL: 44, Label.CMD_CANCEL: 44,
    Label.TX_LEAVE_QUEUE: 43, Label.CMD_LEAVE_QUEUE: 43,
    Label.TX_WAIT: 42, Label.CMD_WAIT: 42,
    Label.TX_ABANDON: 41, Label.CMD_ABANDON: 41,
    Label.RX_OWNER: 41,
    Label.RX_HEADER: 40,
    Label.RX_NEXT: 39,
    Label.RX_FIRST_WORD: 38,
    Label.RX_LAST_WORD: 37,
    Label.RX_POINTER: 36,
    Label.RX_REPOST: 35,
    Label.READ_EVENTS: 30,
    Label.CMD_SCAN: 29, Label.CMD_RECLAIM: 29,
    Label.TX_SCAN: 28, Label.TX_RECLAIM: 28,
    Label.RX_READY: 27,
    Label.EXIT: 10,
}  # fmt: skip
"""How far a call or a handler has come: the higher, the more is left to do."""


def script(s: State, t: Number) -> Number:
    """How much of open or close is left for thread t; 0 for others."""
    label, back = s.threads.pc[t], s.threads.return_to[t]
    commanding = at(s, t, *COMMAND_LABELS)
    return If(commanding, position(back, SCRIPT_ALL), position(label, SCRIPT_ALL))


def opening(s: State, t: Number) -> Number:
    """An open that fails turns into a close, never the other way round."""
    return If(at(s, t, Label.OPEN_ENTER), 2, If(s.driver.life == Life.OPENING, 1, 0))


def batch(s: State, t: Number) -> Number:
    """Packets that thread t has still to send after the present one."""
    sending = at(s, t, Label.WRITE_ENTER, Label.TX_TURN, *filling(TRANSMIT), Label.TX_DOORBELL)
    return If(sending, s.threads.more[t], 0)


def rounds_left(s: State, t: Number) -> Number:
    """How many rounds the loop that thread t is in has left at most."""
    label = s.threads.pc[t]
    result = constant(0)
    walking = (Label.CMD_INIT, Label.CMD_FENCE, Label.FREE, Label.INIT_TX, Label.INIT_POINTER,
               Label.INIT_RX, Label.INIT_FENCE)  # fmt: skip
    for labels, left in (
        ((Label.TX_LEAVE_QUEUE,), s.tx.waiters.next - s.tx.waiters.head),
        ((Label.CMD_LEAVE_QUEUE,), s.cmd.waiters.next - s.cmd.waiters.head),
        ((Label.CMD_SCAN, Label.CMD_RECLAIM), s.cmd.prod - s.cmd.cons),
        ((Label.TX_SCAN, Label.TX_RECLAIM), s.tx.prod - s.tx.cons),
        ((Label.POLL,), s.driver.polls),
        (walking, ring_size() - s.driver.cursor),
    ):
        result = If(one_of(label, labels), left, result)
    return result


def part_of_round(s: State, t: Number) -> Number:
    """How much of the present round of the loop is left."""
    return position(
        s.threads.pc[t],
        {
            Label.CMD_SCAN: 1,
            Label.TX_SCAN: 1,
            Label.INIT_TX: 2,
            Label.INIT_POINTER: 1,
        },
    )


def slot_pending(ops: RingOperations, s: State, k: Number) -> Number:
    """Stores to slot k of a request ring that are not visible yet."""
    ring = ops.ring(s)
    words = [ring.owner_pending[k], ring.fields_pending[k]]
    if ops is TRANSMIT:
        words += [s.tx.first_word_pending[k], s.tx.last_word_pending[k]]
    return count(*words)


def receive_pending(s: State, k: Number) -> Number:
    """Stores to receive slot k that are not visible yet."""
    return count(s.rx.owner_pending[k], s.rx.pointer_pending[k])


def drain_cases(ops: RingOperations, s: State, k: Number, when: Bool) -> list[Case]:
    """A pending store to slot k becomes visible: words first, then the owner byte."""
    ring = ops.ring(s)
    cases = [
        Case(f"{ops.name} fields", when & ring.fields_pending[k],
             Process(f"{ops.name}.fields_visible", k))
    ]  # fmt: skip
    if ops is TRANSMIT:
        cases += [
            Case("tx head", when & s.tx.first_word_pending[k], Process("tx.first_word_visible", k)),
            Case("tx tail", when & s.tx.last_word_pending[k], Process("tx.last_word_visible", k)),
        ]
    cases.append(
        Case(f"{ops.name} owner", when & ring.owner_pending[k],
             Process(f"{ops.name}.owner_visible", k))
    )  # fmt: skip
    return cases


def receive_drain_cases(s: State, k: Number, when: Bool) -> list[Case]:
    """A pending store to receive slot k becomes visible."""
    return [
        Case("rx pointer", when & s.rx.pointer_pending[k], Process("rx.pointer_visible", k)),
        Case("rx owner", when & s.rx.owner_pending[k], Process("rx.owner_visible", k)),
    ]


def bell_slot(ops: RingOperations, s: State) -> Number:
    """The slot that the oldest doorbell under way names."""
    ring = ops.ring(s)
    return ring.doorbell_value[ring.doorbells_arrived]


def bell_held_up(ops: RingOperations, s: State) -> Bool:
    """The oldest doorbell under way waits for its slot's owner byte."""
    ring = ops.ring(s)
    slot = bell_slot(ops, s)
    return And(ring.owner_pending[slot], ring.sequence[slot] == ring.doorbells_arrived)


def bell_cases(ops: RingOperations, s: State, when: Bool) -> list[Case]:
    """A doorbell under way arrives, once its slot's owner byte is visible."""
    ring = ops.ring(s)
    waiting = when & (ring.doorbells_arrived != ring.doorbells_posted)
    return [
        *drain_cases(ops, s, bell_slot(ops, s), waiting & bell_held_up(ops, s)),
        Case(f"{ops.name} doorbell", waiting, Process(f"{ops.name}.doorbell_arrives")),
    ]


def bells_awaited(ops: RingOperations, s: State, t: Number) -> Bool:
    """Thread t waits for doorbells of this ring to arrive."""
    ring = ops.ring(s)
    own = at(s, t, ops.doorbell)
    fence = (Label.RESET, Label.BASE) if ops is TRANSMIT else (Label.RESET,)
    return own | at(s, t, *fence) & (ring.doorbells_arrived != ring.doorbells_posted)


def _lock_rank(s: State, t: Number) -> tuple[Number, ...]:
    h = holder(s)
    cursor = s.driver.cursor
    packets = at(s, h, Label.FREE, Label.INIT_FENCE)
    commands = at(s, h, Label.CMD_INIT, Label.CMD_FENCE)
    bells = constant(0)
    held_up = constant(0)
    for ops in (TRANSMIT, COMMAND):
        ring = ops.ring(s)
        waits = bells_awaited(ops, s, h)
        bells = bells + If(waits, ring.doorbells_posted - ring.doorbells_arrived, 0)
        held_up = held_up + If(
            waits & (ring.doorbells_arrived != ring.doorbells_posted) & bell_held_up(ops, s),
            slot_pending(ops, s, bell_slot(ops, s)),
            0,
        )
    stores = If(
        packets,
        slot_pending(TRANSMIT, s, cursor) + receive_pending(s, cursor),
        If(commands, slot_pending(COMMAND, s, cursor), 0),
    )
    return (
        s.threads.ticket[t] - s.lock.serving,
        opening(s, h),
        script(s, h),
        batch(s, h),
        position(s.threads.pc[h], ORDER),
        rounds_left(s, h),
        part_of_round(s, h),
        bells,
        held_up + stores,
    )


def _lock_cases(s: State, t: Number) -> list[Case]:
    h = holder(s)
    cursor = s.driver.cursor
    packets = at(s, h, Label.FREE, Label.INIT_FENCE)
    commands = at(s, h, Label.CMD_INIT, Label.CMD_FENCE)
    cases = [
        *drain_cases(TRANSMIT, s, cursor, packets),
        *receive_drain_cases(s, cursor, packets),
        *drain_cases(COMMAND, s, cursor, commands),
    ]
    for ops in (TRANSMIT, COMMAND):
        cases += bell_cases(ops, s, bells_awaited(ops, s, h))
    return [*cases, Case("holder", TRUE, thread(h))]


def _lock_premise(s: State, t: Number) -> Bool:
    """Whoever asks for the lock gets it and gives it back; a reset's polling ends as well."""
    return queued_for_lock(s, t)


LOCK: Final = Promise(
    name="lock",
    property="lock-progress",
    parameters=("t",),
    premise=_lock_premise,
    goal=lambda s, t: ~queued_for_lock(s, t),
    rank=_lock_rank,
    cases=_lock_cases,
)


def lock(t: Number) -> Relies:
    """Thread t gets the lock and gives it back."""
    return Relies(LOCK, (t,))


EVENT: Final = constant(EVENT_THREAD)
FATAL: Final = constant(FATAL_THREAD)


# A fatal error becomes known


def _fatal_premise(s: State) -> Bool:
    """A fatal error becomes known to the driver, which then wakes every sleeper."""
    return (s.card.flags == Flags.ERROR) & ~s.driver.failed


FATAL_KNOWN: Final = Promise(
    name="fatal-known",
    property="failure-reported",
    parameters=(),
    premise=_fatal_premise,
    goal=lambda s: s.driver.failed | (s.card.flags != Flags.ERROR),
    rank=lambda s: (If(at(s, FATAL, Label.MARK_FAILED), 0, 1),),
    cases=lambda s: [
        Case("handler marks", at(s, FATAL, Label.MARK_FAILED), lock(FATAL)),
        Case("vector 1", TRUE, thread(FATAL)),
    ],
)


# A request is executed, and its completion reaches the driver

ENGINE: Final = {
    Stage.IDLE: 9,
    Stage.LOOK: 8,
    Stage.FETCH: 7,
    Stage.READ_FIRST_WORD: 6,
    Stage.READ_LAST_WORD: 5,
    Stage.SEND: 4,
    Stage.EXECUTE: 6,
    Stage.STOPPING: 5,
    Stage.WRITE_STATUS: 4,
    Stage.WRITE_OWNER: 1,
}
"""How much of a slot is left for a request ring's engine."""
RECEIVE_ENGINE: Final = {
    Stage.LOOK: 7,
    Stage.FETCH: 6,
    Stage.WRITE_FIRST_WORD: 5,
    Stage.WRITE_LAST_WORD: 4,
    Stage.WRITE_HEADER: 3,
    Stage.WRITE_OWNER: 2,
}
"""How much of a packet is left for the receive engine; IDLE counts as nothing."""


def working(ops: RingOperations, s: State) -> Bool:
    """The card serves the ring."""
    ring = ops.ring(s)
    on = And(ring.live, running(s))
    return on & s.card.started & ~s.card.stopping if ops is TRANSMIT else on


def with_card(ops: RingOperations, s: State, n: Number) -> Bool:
    """The card has still to return request n."""
    ring = ops.ring(s)
    return ring.prod - n <= ring.prod - ring.dev


def heard_of_next(ops: RingOperations, s: State) -> Bool:
    """The doorbell of the request that the card must serve next has reached it."""
    ring = ops.ring(s)
    return ring.prod - ring.doorbells_arrived < ring.prod - ring.dev


def will_look(ops: RingOperations, s: State) -> Bool:
    """The handler stands before its look at this ring and has no outdated value of it."""
    ring = ops.ring(s)
    before = (
        (Label.CMD_SCAN,) if ops is COMMAND else (Label.CMD_SCAN, Label.CMD_RECLAIM, Label.TX_SCAN)
    )
    stale = ring.owner_speculated & ring.speculated_owner
    return at(s, EVENT, *before) & ~stale | at(s, EVENT, ops.reclaim)


def call_of_handler(s: State, event: Bool) -> Number:
    """How far the call of the event handler has come: the lower, the nearer."""
    return If(
        at(s, EVENT, Label.READ_EVENTS),
        1,
        If(
            event,
            If(s.card.vector0, If(at(s, EVENT, Label.EVENT_IDLE), 2, 3), 4),
            5,
        ),
    )


def call_cases(s: State, source: str, event: Bool) -> list[Case]:
    """Whoever brings the call of the event handler forward."""
    called = event & s.card.vector0
    return [
        Case("handler reads events", at(s, EVENT, Label.READ_EVENTS), lock(EVENT)),
        Case("vector 0 delivered", called & at(s, EVENT, Label.EVENT_IDLE), thread(EVENT)),
        Case("handler still runs", called, lock(EVENT)),
        Case("vector 0 raised", event, Process("vector0")),
        Case("event bit set", TRUE, Process(f"{source}.event")),
    ]


def _rest_of_transmit_engine(s: State) -> Number:
    """How much the transmit engine may still do after a STOP was fetched, with the present slot."""
    looking = s.tx.stage == Stage.LOOK
    vain = looking & ~s.tx.owner[s.tx.dev_i]
    return If(
        s.tx.dev != s.tx.prod,
        position(s.tx.stage, ENGINE) + If(vain, 2, 0),
        If(looking, 1, 0),
    )


def _request(ops: RingOperations) -> Promise:
    def premise(s: State, n: Number) -> Bool:
        """Every request handed over completes and the driver learns of it, or the card fails."""
        ring = ops.ring(s)
        return And(
            working(ops, s),
            constant(0) <= n - ring.cons,
            n - ring.cons < ring.prod - ring.cons,
        )

    def goal(s: State, n: Number) -> Bool:
        return ~premise(s, n)

    def rank(s: State, n: Number) -> tuple[Number, ...]:
        ring = ops.ring(s)
        card = with_card(ops, s, n)
        heard = heard_of_next(ops, s)
        unrung = ring.prod - ring.doorbells_posted
        rings = unrung != 0
        deaf = card & ~heard
        hand = card & heard
        stopping = hand & (ring.stage == Stage.STOPPING) if ops is COMMAND else ~TRUE
        look = will_look(ops, s)
        return (
            If(card, 1, 0),
            If(card, n - ring.dev, n - ring.cons),
            If(deaf, ring.dev + 1 - ring.doorbells_arrived, 0),
            If(deaf & rings & (ring.doorbells_arrived == ring.doorbells_posted), 1, 0),
            If(deaf & (ring.doorbells_arrived != ring.doorbells_posted) & bell_held_up(ops, s),
               slot_pending(ops, s, bell_slot(ops, s)), 0),
            If(hand, position(ring.stage, ENGINE), 0),
            If(stopping, s.tx.prod - s.tx.dev, 0),
            If(stopping, _rest_of_transmit_engine(s), 0),
            If(stopping, position(s.rx.stage, RECEIVE_ENGINE), 0),
            If(card | look, 0, call_of_handler(s, ring.event)),
            If(~card & look, position(s.threads.pc[EVENT], ORDER), 0),
            If(~card & look, rounds_left(s, EVENT), 0),
            If(~card & look, part_of_round(s, EVENT), 0),
        )  # fmt: skip

    def cases(s: State, n: Number) -> list[Case]:
        ring = ops.ring(s)
        card = with_card(ops, s, n)
        heard = heard_of_next(ops, s)
        deaf = card & ~heard
        hand = card & heard
        listed = [
            *bell_cases(ops, s, deaf),
            Case("doorbell issued", deaf, lock(holder(s))),
        ]
        if ops is COMMAND:
            stopping = hand & (ring.stage == Stage.STOPPING)
            listed += [
                Case("transmit engine rests", stopping & (s.tx.stage != Stage.IDLE),
                     Process("tx.engine")),
                Case("receive engine rests", stopping & (s.rx.stage != Stage.IDLE),
                     Process("rx.engine")),
            ]  # fmt: skip
        listed.append(Case("engine", hand, Process(f"{ops.name}.engine")))
        listed.append(Case("handler takes", will_look(ops, s), thread(EVENT)))
        return [*listed, *call_cases(s, ops.name, ring.event)]

    return Promise(
        name=f"{ops.name}-request",
        property="requests-complete",
        parameters=("n",),
        premise=premise,
        goal=goal,
        rank=rank,
        cases=cases,
    )


REQUESTS: Final = {ops.name: _request(ops) for ops in (TRANSMIT, COMMAND)}


# A caller's wait ends


def woken(ops: RingOperations, s: State, t: Number) -> Bool:
    """Thread t sleeps and was woken."""
    return s.threads.asleep[t] & ops.wait_queue(s)[t]


def _turn(ops: RingOperations) -> Promise:
    def premise(s: State, t: Number) -> Bool:
        """Every caller in line gets a slot in its turn, or is told that it cannot."""
        return at(s, t, ops.turn)

    def goal(s: State, t: Number) -> Bool:
        return ~at(s, t, ops.turn)

    def parts(s: State, t: Number) -> tuple[Bool, Bool, Bool, Bool, Number]:
        line = ops.ring(s).waiters
        ends = call_must_end(s, t)
        failing = ~ends & (s.card.flags != Flags.CLEAR)
        waits = ~ends & ~failing
        head = line.waiter[line.head]
        first = waits & ~line.cancelled[line.head] & at(s, head, ops.turn)
        full = first & (ops.ring(s).prod - ops.ring(s).cons == ring_size())
        return ends, failing, waits, full, head

    def rank(s: State, t: Number) -> tuple[Number, ...]:
        ends, failing, waits, full, head = parts(s, t)
        line = ops.ring(s).waiters
        first = waits & ~full & ~line.cancelled[line.head] & at(s, head, ops.turn)
        return (
            If(waits, 2, If(failing, 1, 0)),
            If(ends & s.threads.asleep[t], 1, 0),
            If(waits, s.threads.queue_position[t] - line.head, 0),
            If(waits & ~line.cancelled[line.head], batch(s, head), 0)
            if ops is TRANSMIT
            else constant(0),
            If(full, 1, 0),
            If(
                first,
                If(s.threads.asleep[head], If(woken(ops, s, head), 4, 5), 3),
                If(waits & ~full & ~line.cancelled[line.head], 1, 0),
            ),
        )

    def cases(s: State, t: Number) -> list[Case]:
        ends, failing, _, full, head = parts(s, t)
        ring = ops.ring(s)
        gone = ring.waiters.cancelled[ring.waiters.head]
        first = at(s, head, ops.turn)
        return [
            Case("woken to end", ends & s.threads.asleep[t], thread(t)),
            Case("told to end", ends, lock(t)),
            Case("failure becomes known", failing, Relies(FATAL_KNOWN, ())),
            Case("line moves on", gone, lock(holder(s))),
            Case("first leaves the line", ~first, lock(head)),
            Case("ring is full", full, Relies(REQUESTS[ops.name], (ring.cons,))),
            Case("first wakes", woken(ops, s, head), thread(head)),
            Case("first is woken", s.threads.asleep[head], lock(holder(s))),
            Case("first claims the slot", TRUE, lock(head)),
        ]

    return Promise(
        name=f"{ops.name}-turn",
        property="bounded-bypass",
        parameters=("t",),
        premise=premise,
        goal=goal,
        rank=rank,
        cases=cases,
    )


def _wait(ops: RingOperations) -> Promise:
    def premise(s: State, t: Number) -> Bool:
        """Every caller that waits for a completion gets it, or is told of the failure."""
        return at(s, t, ops.wait)

    def goal(s: State, t: Number) -> Bool:
        return ~at(s, t, ops.wait)

    def rank(s: State, t: Number) -> tuple[Number, ...]:
        over = s.threads.completed[t] | call_must_end(s, t)
        return (
            If(over, 0, If(running(s), 2, 1)),
            If(over & s.threads.asleep[t], 1, 0),
        )

    def cases(s: State, t: Number) -> list[Case]:
        over = s.threads.completed[t] | call_must_end(s, t)
        request = Relies(REQUESTS[ops.name], (s.threads.request[t],))
        return [
            Case("woken", over & s.threads.asleep[t], thread(t)),
            Case("returns", over, lock(t)),
            Case("request completes", running(s), request),
            Case("failure becomes known", TRUE, Relies(FATAL_KNOWN, ())),
        ]

    return Promise(
        name=f"{ops.name}-wait",
        property="requests-complete",
        parameters=("t",),
        premise=premise,
        goal=goal,
        rank=rank,
        cases=cases,
    )


TURN: Final = {ops.name: _turn(ops) for ops in (TRANSMIT, COMMAND)}
WAIT: Final = {ops.name: _wait(ops) for ops in (TRANSMIT, COMMAND)}


# Readers


def _hold_premise(s: State, t: Number) -> Bool:
    """A reader that took a packet copies it and gives the slot back."""
    return at(s, t, *HOLDING)


HOLD: Final = Promise(
    name="rx-hold",
    property="packets-delivered",
    parameters=("t",),
    premise=_hold_premise,
    goal=lambda s, t: ~at(s, t, *HOLDING),
    rank=lambda s, t: (position(s.threads.pc[t], ORDER),),
    cases=lambda s, t: [
        Case("gives back", at(s, t, Label.RX_REPOST), lock(t)),
        Case("copies", TRUE, thread(t)),
    ],
)


def _delivery_premise(s: State, n: Number, t: Number) -> Bool:
    """Every packet received reaches a waiting reader, unless the card fails or is closed."""
    return And(
        s.rx.live,
        running(s),
        ~call_must_end(s, t),
        s.rx.cons == n,
        s.rx.dev != n,
        at(s, t, Label.RX_OWNER),
    )


def _outdated(s: State) -> Bool:
    """Reader or handler will find no packet, by a load of the next slot's owner that came early."""
    return s.rx.owner_speculated & s.rx.speculated_owner & ~at(s, holder(s), Label.RX_HEADER)


def _delivery_rank(s: State, n: Number, t: Number) -> tuple[Number, ...]:
    stale = _outdated(s)
    asleep = s.threads.asleep[t]
    unready = asleep & ~s.rx.ready
    active = ~at(s, EVENT, Label.EVENT_IDLE)
    chain = If(active, 1, If(s.rx.event, If(s.card.vector0, 2, 3), 4))
    return (
        If(stale, 1, 0),
        If(stale, 0, If(unready, 2, If(asleep, 1, 0))),
        If(~stale & unready, chain, 0),
    )


def _delivery_cases(s: State, n: Number, t: Number) -> list[Case]:
    stale = _outdated(s)
    asleep = s.threads.asleep[t]
    return [
        Case("outdated look ends", stale, lock(holder(s))),
        Case("reader looks", ~asleep, lock(t)),
        Case("reader wakes", s.rx.ready, thread(t)),
        Case("handler runs", ~at(s, EVENT, Label.EVENT_IDLE), lock(EVENT)),
        Case("vector 0 delivered", s.rx.event & s.card.vector0, thread(EVENT)),
        Case("vector 0 raised", s.rx.event, Process("vector0")),
        Case("event bit set", TRUE, Process("rx.event")),
    ]


DELIVERY: Final = Promise(
    name="rx-delivery",
    property="packets-delivered",
    parameters=("n", "t"),
    premise=_delivery_premise,
    goal=lambda s, n, t: ~_delivery_premise(s, n, t),
    rank=_delivery_rank,
    cases=_delivery_cases,
)


def _acceptance_premise(s: State) -> Bool:
    """A packet that arrives while a slot is the card's fills that slot; else it is dropped."""
    return running(s) & (s.rx.stage != Stage.IDLE)


ACCEPTANCE: Final = Promise(
    name="rx-acceptance",
    property="packets-accepted",
    parameters=(),
    premise=_acceptance_premise,
    goal=lambda s: ~_acceptance_premise(s),
    rank=lambda s: (position(s.rx.stage, RECEIVE_ENGINE),),
    cases=lambda s: [Case("engine", TRUE, Process("rx.engine"))],
)


# Every call ends


def waits_for_packet(s: State, t: Number) -> Bool:
    """A reader waits for a packet on a card that works: the one wait that may last."""
    return at(s, t, Label.RX_OWNER) & ~call_must_end(s, t)


def in_call(s: State, t: Number) -> Bool:
    """Thread t is in a call to send, to receive or to change filters."""
    entering = at(s, t, Label.WRITE_ENTER, Label.READ_ENTER, Label.FILTER_ENTER)
    return entering | inside_call(s, t)


def _call_premise(s: State, t: Number) -> Bool:
    """Every call to send, receive or change filters ends, except a read that waits for a packet."""
    return in_call(s, t) & ~waits_for_packet(s, t)


def _call_cases(s: State, t: Number) -> list[Case]:
    return [
        Case("turn to send", at(s, t, Label.TX_TURN), Relies(TURN["tx"], (t,))),
        Case("turn to command", at(s, t, Label.CMD_TURN), Relies(TURN["cmd"], (t,))),
        Case("packet sent", at(s, t, Label.TX_WAIT), Relies(WAIT["tx"], (t,))),
        Case("command executed", at(s, t, Label.CMD_WAIT), Relies(WAIT["cmd"], (t,))),
        Case("slot given back", at(s, t, *HOLDING), Relies(HOLD, (t,))),
        Case("woken to end", s.threads.asleep[t], thread(t)),
        Case("goes on", TRUE, lock(t)),
    ]


def _stage_of_call(s: State, t: Number) -> Number:
    label = s.threads.pc[t]
    return If(at(s, t, *HOLDING), ORDER[Label.RX_FIRST_WORD], position(label, ORDER))


CALL: Final = Promise(
    name="call",
    property="calls-end",
    parameters=("t",),
    premise=_call_premise,
    goal=lambda s, t: ~_call_premise(s, t),
    rank=lambda s, t: (
        batch(s, t),
        _stage_of_call(s, t),
        If(at(s, t, Label.RX_OWNER) & s.threads.asleep[t], 1, 0),
    ),
    cases=_call_cases,
)


# Open and close end


def _life_premise(s: State) -> Bool:
    """Every open and every close ends, whatever the card does."""
    return one_of(s.driver.life, (Life.OPENING, Life.CLOSING))


def _life_rank(s: State) -> tuple[Number, ...]:
    c = s.driver.conductor
    asleep = s.threads.asleep[c]
    leaving = at(s, c, Label.LEAVE)
    draining = at(s, c, Label.DRAIN) & ~s.driver.failed & (s.tx.cons != s.tx.prod)
    last_call = s.driver.list[0]
    drained = at(s, c, Label.DRAIN) & ~draining
    free = leaving & (s.driver.inside == 0) | drained
    return (
        If(s.driver.life == Life.OPENING, 1, 0),
        script(s, c),
        If(at(s, c, *COMMAND_LABELS), position(s.threads.pc[c], ORDER), 0),
        If(leaving, s.driver.inside, 0),
        If(leaving & (s.driver.inside != 0) & waits_for_packet(s, last_call), 1, 0),
        If(at(s, c, Label.DRAIN), If(draining, If(running(s), 2, 1), 0), 0),
        If(draining & running(s), s.tx.prod - s.tx.cons, 0),
        If(free & asleep, If(s.threads.wake_life[c], 1, 2), 0),
    )


def _life_cases(s: State) -> list[Case]:
    c = s.driver.conductor
    asleep = s.threads.asleep[c]
    leaving = at(s, c, Label.LEAVE)
    draining = at(s, c, Label.DRAIN) & ~s.driver.failed & (s.tx.cons != s.tx.prod)
    resting = at(s, c, Label.LEAVE, Label.DRAIN) & asleep
    return [
        Case("calls end", leaving & (s.driver.inside != 0), Relies(CALL, (s.driver.list[0],))),
        Case("packets are sent", draining & running(s), Relies(REQUESTS["tx"], (s.tx.cons,))),
        Case("failure becomes known", draining, Relies(FATAL_KNOWN, ())),
        Case("woken", resting & s.threads.wake_life[c], thread(c)),
        Case("handler will wake", resting, lock(EVENT)),
        Case("turn to command", at(s, c, Label.CMD_TURN), Relies(TURN["cmd"], (c,))),
        Case("command executed", at(s, c, Label.CMD_WAIT), Relies(WAIT["cmd"], (c,))),
        Case("goes on", TRUE, lock(c)),
    ]


LIFE: Final = Promise(
    name="life",
    property="open-and-close-end",
    parameters=(),
    premise=_life_premise,
    goal=lambda s: ~_life_premise(s),
    rank=_life_rank,
    cases=_life_cases,
)

# After a fatal error the card can be used again


def _answers_are_good(s: State) -> Bool:
    """Every command of the opening conductor is answered OK, so far."""
    c, cmd = s.driver.conductor, s.cmd
    commanding = at(s, c, *COMMAND_LABELS)
    answered = at(s, c, Label.STARTED, Label.ADDED_UNICAST)
    sent = submitted(s, c)
    answering = one_of(cmd.stage, (Stage.WRITE_STATUS, Stage.WRITE_OWNER))
    executed = (cmd.dev == cmd.prod) | answering
    returned = cmd.dev == cmd.prod
    before_filter = Or(
        phase(s, Label.START, Label.STARTED, Label.ADD_UNICAST),
        phase(s, Label.ADDED_UNICAST) & commanding & ~(sent & executed),
    )
    waiting = commanding & sent & ~s.threads.completed[c]
    return And(
        Implies(
            phase(s, Label.START, Label.STARTED, Label.ADD_UNICAST, Label.ADDED_UNICAST),
            (constant(0) <= cmd.prod - cmd.dev) & (cmd.prod - cmd.dev <= 1),
        ),
        Implies(commanding & ~sent | at(s, c, Label.ADD_UNICAST), cmd.dev == cmd.prod),
        Implies(before_filter, s.card.filter_count == 0),
        Implies(commanding, s.threads.result[c] == Result.NONE),
        Implies(commanding & s.threads.completed[c], s.threads.status[c] == Result.OK),
        Implies(answered, s.threads.result[c] == Result.OK),
        Implies(waiting & answering, cmd.computed_status == Result.OK),
        Implies(waiting & (cmd.stage == Stage.WRITE_OWNER), cmd.status[cmd.dev_i] == Result.OK),
        Implies(waiting & returned, cmd.status[s.threads.slot[c]] == Result.OK),
        Implies(
            waiting & returned & cmd.status_speculated & (cmd.cons + 1 == cmd.prod),
            cmd.speculated_status == Result.OK,
        ),
    )


def _recovery_premise(s: State) -> Bool:
    """An open that resets the card succeeds, if the card does not fail again meanwhile."""
    c = s.driver.conductor
    resetting = at(s, c, Label.RESET) | at(s, c, Label.POLL) & (s.card.flags != Flags.ERROR)
    return And(
        s.driver.life == Life.OPENING,
        ~at(s, c, Label.CLOSED),
        resetting | running(s) & ~s.driver.failed & _answers_are_good(s),
    )


RECOVERY: Final = Promise(
    name="recovery",
    property="recoverability",
    parameters=(),
    premise=_recovery_premise,
    goal=lambda s: s.driver.life == Life.OPEN,
    rank=_life_rank,
    cases=_life_cases,
    without={
        "card.fatal_error": "the card does not fail again while it is being opened",
        "give_up_reset": "the card finishes the reset before the driver's patience ends",
        "interrupt": "no signal interrupts the open",
    },
)

PROMISES: Final = (
    LOCK,
    FATAL_KNOWN,
    *REQUESTS.values(),
    *TURN.values(),
    *WAIT.values(),
    HOLD,
    DELIVERY,
    ACCEPTANCE,
    CALL,
    LIFE,
    RECOVERY,
)
