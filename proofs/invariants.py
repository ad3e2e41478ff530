"""What is true in every reachable state: the conjuncts of the inductive invariant.

Each conjunct is stated for an arbitrary slot k, thread t, ticket j or filter `key`, so that it
holds for every ring size and any number of threads without a quantifier in any query. A conjunct
alone is rarely inductive; together they are, and `proofs.obligations` checks that every rule keeps
each one.

The file goes from the bottom up: the lock, the line and the list of callers; the request rings; the
receive ring; events and sleeping; open and close; the card.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from engine.terms import (
    TRUE,
    And,
    Bool,
    If,
    Iff,
    Implies,
    Number,
    Or,
    constant,
    low_bits,
    next_index,
    one_of,
    ring_size,
    wrap,
)
from model.device_spec import running
from model.driver_spec import rx_pending, tx_pending
from model.memory_spec import SCAN
from model.properties import looked, precise_readiness
from model.ring_spec import COMMAND, HOLDING, TRANSMIT, RingOperations, call_must_end, my_turn
from model.state import (
    CAPACITY,
    EVENT_THREAD,
    FATAL_THREAD,
    NOBODY,
    POSTED,
    Command,
    Flags,
    Label,
    Life,
    RequestRing,
    Result,
    Stage,
    State,
)
from model.thread_spec import (
    SLEEPS_CMD,
    SLEEPS_LIFE,
    SLEEPS_RX,
    SLEEPS_TX,
    at,
    holder,
    lock_is_held,
    queued_for_lock,
)

__all__ = ["INVARIANTS", "Invariant"]


@attrs.frozen(eq=False)
class Invariant:
    """One conjunct: its name, what it is indexed by, and the statement itself."""

    name: str
    indices: tuple[str, ...]
    body: Callable[..., Bool]
    machine_only: bool = False

    @property
    def meaning(self) -> str:
        """What the conjunct says, in one line."""
        return (self.body.__doc__ or "").strip().split("\n")[0]


INVARIANTS: Final[list[Invariant]] = []


def invariant(
    name: str, *indices: str, machine_only: bool = False
) -> Callable[[Callable[..., Bool]], Callable[..., Bool]]:
    """Add a conjunct. `indices` name what it speaks of: slot, thread, counter, key."""

    def add(body: Callable[..., Bool]) -> Callable[..., Bool]:
        INVARIANTS.append(Invariant(name, indices, body, machine_only))
        return body

    return add


def for_each_ring(
    name: str, *indices: str, machine_only: bool = False
) -> Callable[[Callable[..., Bool]], Callable[..., Bool]]:
    """Add a conjunct for each of the two request rings; the body's first argument is the ring."""

    def add(body: Callable[..., Bool]) -> Callable[..., Bool]:
        for ops in (TRANSMIT, COMMAND):

            def bound(s: State, *rest: Number, ops: RingOperations = ops) -> Bool:
                return body(ops, s, *rest)

            bound.__doc__ = body.__doc__
            INVARIANTS.append(Invariant(f"{ops.name}.{name}", indices, bound, machine_only))
        return body

    return add


# Arithmetic that means the same in unbounded integers and in words that wrap


def within(value: Number, start: Number, count: Number) -> Bool:
    """`value` is one of the `count` numbers from `start` on."""
    return And(constant(0) <= value - start, value - start < count)


def apart(index: Number, start: Number, distance: Number) -> Bool:
    """Walking `distance` slots (0 to N) from slot `start` leads to slot `index`."""
    return If(distance == ring_size(), index == start, wrap(index, start) == distance)


def slot_exists(k: Number) -> Bool:
    """k is a slot of a ring."""
    return within(k, constant(0), ring_size())


# The lock

WAITING_LABELS: Final = (
    Label.WRITE_ENTER,
    Label.READ_ENTER,
    Label.FILTER_ENTER,
    Label.TX_TURN,
    Label.TX_WAIT,
    Label.TX_CANCEL,
    Label.TX_ABANDON,
    Label.CMD_TURN,
    Label.CMD_WAIT,
    Label.CMD_CANCEL,
    Label.CMD_ABANDON,
    Label.RX_OWNER,
    Label.RX_REPOST,
    Label.EXIT,
    Label.OPEN_ENTER,
    Label.CLOSE_ENTER,
    Label.LEAVE,
    Label.DRAIN,
    Label.READ_EVENTS,
    Label.MARK_FAILED,
    Label.IDLE,
    Label.RX_FIRST_WORD,
    Label.RX_LAST_WORD,
    Label.RX_POINTER,
    Label.EVENT_IDLE,
    Label.FATAL_IDLE,
)
CRITICAL: Final = tuple(label for label in Label if label not in WAITING_LABELS)
"""Labels that a thread only ever is at while it holds the lock."""
EVENT_LABELS: Final = (
    Label.EVENT_IDLE,
    Label.READ_EVENTS,
    Label.CMD_SCAN,
    Label.CMD_RECLAIM,
    Label.TX_SCAN,
    Label.TX_RECLAIM,
    Label.RX_READY,
)
FATAL_LABELS: Final = (Label.FATAL_IDLE, Label.MARK_FAILED)


@invariant("lock.tickets")
def lock_tickets(s: State) -> Bool:
    """No more tickets were served than drawn."""
    return constant(0) <= s.lock.next - s.lock.serving


@invariant("lock.in-line", "thread")
def lock_in_line(s: State, t: Number) -> Bool:
    """A thread that holds or awaits the lock has an outstanding ticket of its own."""
    ticket = s.threads.ticket[t]
    return Implies(
        queued_for_lock(s, t),
        And(
            within(ticket, s.lock.serving, s.lock.next - s.lock.serving),
            s.lock.waiter[ticket] == t,
        ),
    )


@invariant("lock.ticket-held", "counter")
def lock_ticket_held(s: State, j: Number) -> Bool:
    """Each outstanding ticket belongs to a thread that holds or awaits the lock."""
    t = s.lock.waiter[j]
    return Implies(
        within(j, s.lock.serving, s.lock.next - s.lock.serving),
        And(queued_for_lock(s, t), s.threads.ticket[t] == j),
    )


@invariant("lock.critical", "thread")
def lock_critical(s: State, t: Number) -> Bool:
    """A thread in the middle of a critical section holds the lock."""
    return Implies(
        at(s, t, *CRITICAL), And(s.threads.ticket[t] == s.lock.serving, ~s.threads.asleep[t])
    )


@invariant("threads.labels", "thread")
def thread_labels(s: State, t: Number) -> Bool:
    """Each of the two handlers runs its own program and nobody else does."""
    return And(
        one_of(s.threads.pc[t], Label),
        Iff(t == EVENT_THREAD, at(s, t, *EVENT_LABELS)),
        Iff(t == FATAL_THREAD, at(s, t, *FATAL_LABELS)),
    )


@invariant("threads.return_to", "thread")
def thread_back(s: State, t: Number) -> Bool:
    """A command returns to the end of a call or to a step of open or close."""
    conducting = one_of(
        s.threads.return_to[t], (Label.STOPPED, Label.FLUSHED, Label.STARTED, Label.ADDED_UNICAST)
    )
    return And(
        Implies(
            at(s, t, *COMMAND_LABELS),
            (s.threads.return_to[t] == Label.EXIT) | conducting & ~s.threads.nonblocking[t],
        ),
        Implies(
            at(s, t, *TRANSMIT_LABELS, Label.RX_OWNER, Label.RX_HEADER, *HOLDING, Label.WRITE_ENTER,
               Label.FILTER_ENTER, Label.READ_ENTER, Label.EXIT),
            s.threads.return_to[t] == Label.EXIT,
        ),
        Implies(
            at(s, t, *COMMAND_LABELS, Label.FILTER_ENTER, Label.OPEN_ENTER, Label.CLOSE_ENTER)
            | at(s, t, *CONDUCTOR_LABELS),
            ~s.threads.nonblocking[t],
        ),
        Implies(
            at(s, t, Label.WRITE_ENTER, Label.READ_ENTER, Label.FILTER_ENTER, Label.TX_TURN,
               Label.CMD_TURN, Label.RX_OWNER, Label.RX_HEADER, Label.TX_DOORBELL,
               Label.CMD_DOORBELL, *filling(TRANSMIT), *filling(COMMAND))
            | at(s, t, Label.TX_WAIT, Label.CMD_WAIT),
            s.threads.result[t] == Result.NONE,
        ),
        Implies(
            at(s, t, Label.TX_CANCEL, Label.CMD_CANCEL, Label.TX_ABANDON, Label.CMD_ABANDON),
            s.threads.result[t] != Result.NONE,
        ),
        Implies(
            at(s, t, Label.TX_CANCEL, Label.CMD_CANCEL, Label.TX_ABANDON, Label.CMD_ABANDON,
               Label.TX_LEAVE_QUEUE, Label.CMD_LEAVE_QUEUE),
            s.threads.result[t] != Result.OK,
        ),
        Implies(
            at(s, t, Label.TX_WAIT, Label.CMD_WAIT, Label.TX_ABANDON, Label.CMD_ABANDON),
            ~s.threads.nonblocking[t],
        ),
    )  # fmt: skip


@invariant("threads.batch", "thread")
def thread_batch(s: State, t: Number) -> Bool:
    """A batch has no fewer than no packets left."""
    return constant(0) <= s.threads.more[t]


@invariant("threads.peek", "thread")
def thread_peek(s: State, t: Number) -> Bool:
    """A reader that only looks takes nothing."""
    return Implies(
        s.threads.peek[t],
        at(s, t, Label.IDLE, Label.READ_ENTER, Label.RX_OWNER, Label.RX_HEADER, Label.EXIT),
    )


@invariant("threads.asleep", "thread")
def thread_asleep(s: State, t: Number) -> Bool:
    """Threads sleep only where the program says so."""
    return Implies(s.threads.asleep[t], at(s, t, *SLEEPS_TX, *SLEEPS_CMD, *SLEEPS_LIFE, *SLEEPS_RX))


# The list of threads inside a call

TRANSMIT_LABELS: Final = (
    Label.TX_TURN,
    Label.TX_FIRST_WORD,
    Label.TX_LAST_WORD,
    Label.TX_FIELDS,
    Label.TX_OWNER,
    Label.TX_DOORBELL,
    Label.TX_LEAVE_QUEUE,
    Label.TX_WAIT,
    Label.TX_CANCEL,
    Label.TX_ABANDON,
)
COMMAND_LABELS: Final = (
    Label.CMD_TURN,
    Label.CMD_FIELDS,
    Label.CMD_OWNER,
    Label.CMD_DOORBELL,
    Label.CMD_LEAVE_QUEUE,
    Label.CMD_WAIT,
    Label.CMD_CANCEL,
    Label.CMD_ABANDON,
)
CONDUCTOR_LABELS: Final = tuple(label for label in Label if Label.LEAVE <= label <= Label.CLOSED)


def inside_call(s: State, t: Number) -> Bool:
    """Thread t is inside a call to send, to receive or to change filters."""
    return Or(
        at(s, t, *TRANSMIT_LABELS, Label.RX_OWNER, Label.RX_HEADER, *HOLDING, Label.EXIT),
        And(at(s, t, *COMMAND_LABELS), s.threads.return_to[t] == Label.EXIT),
    )


@invariant("calls.counted", "thread")
def calls_counted(s: State, t: Number) -> Bool:
    """Each thread inside a call stands in the list once, where it says."""
    place = s.threads.inside_position[t]
    return And(
        constant(0) <= s.driver.inside,
        Implies(
            inside_call(s, t),
            And(within(place, constant(0), s.driver.inside), s.driver.list[place] == t),
        ),
    )


@invariant("calls.listed", "counter")
def calls_listed(s: State, j: Number) -> Bool:
    """The list holds threads inside a call only."""
    t = s.driver.list[j]
    return Implies(
        within(j, constant(0), s.driver.inside),
        And(inside_call(s, t), s.threads.inside_position[t] == j),
    )


# The request rings: counters and indices


def outstanding(ring: RequestRing) -> Number:
    """Requests handed over and not taken back."""
    return ring.prod - ring.cons


def finished(ring: RequestRing) -> Number:
    """Requests that the card returned and the driver has not taken back."""
    return ring.dev - ring.cons


def engine_on(ops: RingOperations, s: State) -> Bool:
    """The card may walk the ring: its index follows the counters."""
    return s.card.started if ops is TRANSMIT else s.cmd.live


@for_each_ring("counters")
def request_counters(ops: RingOperations, s: State) -> Bool:
    """cons <= dev <= prod <= cons + N, and the indices follow."""
    ring, n = ops.ring(s), ring_size()
    return And(
        constant(0) <= outstanding(ring),
        outstanding(ring) <= n,
        slot_exists(ring.prod_i),
        slot_exists(ring.cons_i),
        apart(ring.prod_i, ring.cons_i, outstanding(ring)),
        Implies(~ring.live, ring.cons == ring.prod),
        Implies(
            ring.live,
            And(
                constant(0) <= finished(ring),
                finished(ring) <= outstanding(ring),
                constant(0) <= ring.prod - ring.dev,
                ring.based,
            ),
        ),
        Implies(
            engine_on(ops, s),
            And(ring.live, slot_exists(ring.dev_i), apart(ring.dev_i, ring.cons_i, finished(ring))),
        ),
    )


@for_each_ring("indices-are-masked-counters", machine_only=True)
def request_masks(ops: RingOperations, s: State) -> Bool:
    """Each index is the low bits of its counter since set-up: what a driver computes."""
    ring = ops.ring(s)
    return Implies(
        ring.live,
        And(
            ring.prod_i == low_bits(ring.prod - ring.first),
            ring.cons_i == low_bits(ring.cons - ring.first),
            Implies(engine_on(ops, s), ring.dev_i == low_bits(ring.dev - ring.first)),
        ),
    )


# The request rings: slots


def filling(ops: RingOperations) -> tuple[Label, ...]:
    """Labels at which a slot is claimed and not handed over."""
    if ops is TRANSMIT:
        return (Label.TX_FIRST_WORD, Label.TX_LAST_WORD, Label.TX_FIELDS, Label.TX_OWNER)
    return (Label.CMD_FIELDS, Label.CMD_OWNER)


def words_pending(ops: RingOperations, s: State, k: Number) -> Bool:
    """Some word of slot k other than the owner byte is still in the store buffer."""
    pending = ops.ring(s).fields_pending[k]
    if ops is TRANSMIT:
        pending = pending | s.tx.first_word_pending[k] | s.tx.last_word_pending[k]
    return pending


def payload_stored(s: State, k: Number, word: str, request: Number) -> Bool:
    """The payload word of slot k is `request`'s, in memory or on the way there."""
    pending, memory = {
        "head": (s.tx.first_word_pending, s.tx.first_word),
        "tail": (s.tx.last_word_pending, s.tx.last_word),
    }[word]
    return pending[k] | (memory[k] == request)


def fields_stored(ops: RingOperations, s: State, k: Number, request: Number) -> Bool:
    """The fields of slot k are `request`'s, in memory or on the way there."""
    ring = ops.ring(s)
    right = ring.fields[k] == request
    if ops is COMMAND:
        right = right & (s.cmd.kind[k] == s.cmd.kind_new[k]) & (s.cmd.key[k] == s.cmd.key_new[k])
    return ring.fields_pending[k] | right


@for_each_ring("slot-returned", "slot")
def slot_returned(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot that the card returned is the host's, and its result is the request's own."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    result = s.cmd.status_sequence[k] == ring.cons + offset if ops is COMMAND else TRUE
    return Implies(
        And(ring.live, slot_exists(k), offset < finished(ring)),
        And(
            ~ring.owner[k],
            ~ring.owner_pending[k],
            ~words_pending(ops, s, k),
            ring.sequence[k] == ring.cons + offset,
            result,
        ),
    )


@for_each_ring("slot-handed-over", "slot")
def slot_handed_over(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot handed over is the card's as soon as its owner byte is visible, complete by then."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    request = ring.cons + offset
    stored = fields_stored(ops, s, k, request)
    if ops is TRANSMIT:
        stored = stored & (
            s.tx.zero[k]
            | payload_stored(s, k, "head", request) & payload_stored(s, k, "tail", request)
        )
    return Implies(
        And(
            ring.live,
            slot_exists(k),
            finished(ring) <= offset,
            offset < outstanding(ring),
        ),
        And(
            ring.sequence[k] == request,
            ring.owner_new[k],
            ring.owner_pending[k] != ring.owner[k],
            Implies(ring.owner[k], ~words_pending(ops, s, k)),
            stored,
        ),
    )


@for_each_ring("slot-doorbell-arrived", "slot")
def slot_heard(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot whose doorbell reached the card is visibly the card's."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    heard = ring.prod - ring.doorbells_arrived < outstanding(ring) - offset
    return Implies(
        And(
            ring.live,
            slot_exists(k),
            finished(ring) <= offset,
            offset < outstanding(ring),
            heard,
        ),
        ~ring.owner_pending[k],
    )


@for_each_ring("slot-free", "slot")
def slot_free(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot not handed over is the host's; only the one being filled in has pending stores."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    labels = filling(ops)[1:]
    return Implies(
        And(ring.live, slot_exists(k), outstanding(ring) <= offset),
        And(
            ~ring.owner[k],
            ~ring.owner_pending[k],
            Implies(
                words_pending(ops, s, k),
                And(k == ring.prod_i, lock_is_held(s), at(s, holder(s), *labels)),
            ),
        ),
    )


@for_each_ring("waiter", "slot")
def slot_waiter(ops: RingOperations, s: State, k: Number) -> Bool:
    """A slot's waiter is the thread whose request the slot carries; free slots have none."""
    ring = ops.ring(s)
    offset = wrap(k, ring.cons_i)
    t = ring.waiter[k]
    waits = And(
        offset < outstanding(ring),
        queued(ops, s, t) & ~s.threads.nonblocking[t],
        s.threads.slot[t] == k,
        s.threads.request[t] == ring.cons + offset,
        ~s.threads.completed[t],
    )
    return Implies(And(slot_exists(k), t != NOBODY), waits)


@for_each_ring("filling", "thread")
def slot_filling(ops: RingOperations, s: State, t: Number) -> Bool:
    """Whoever fills in a slot works on the next one to be handed over, which is the host's."""
    ring = ops.ring(s)
    slot = ring.prod_i
    always = And(
        ring.live,
        outstanding(ring) < ring_size(),
        s.threads.slot[t] == slot,
        s.threads.request[t] == ring.prod,
        ring.sequence[slot] == ring.prod,
        ring.waiters.head == s.threads.queue_position[t],
        ring.waiters.head != ring.waiters.next,
        s.threads.result[t] == Result.NONE,
        ~s.threads.completed[t],
        ring.doorbells_posted == ring.prod,
    )
    parts = [Implies(at(s, t, *filling(ops)), always)]
    if ops is TRANSMIT:
        payload = s.tx.zero[slot] == s.threads.zero[t]
        parts += [
            Implies(at(s, t, *filling(ops)), payload),
            Implies(at(s, t, Label.TX_FIRST_WORD, Label.TX_LAST_WORD), ~s.threads.zero[t]),
            Implies(
                at(s, t, Label.TX_LAST_WORD, Label.TX_FIELDS, Label.TX_OWNER) & ~s.threads.zero[t],
                payload_stored(s, slot, "head", ring.prod),
            ),
            Implies(
                at(s, t, Label.TX_FIELDS, Label.TX_OWNER) & ~s.threads.zero[t],
                payload_stored(s, slot, "tail", ring.prod),
            ),
        ]
    else:
        parts.append(
            Implies(
                at(s, t, Label.CMD_OWNER),
                (s.cmd.kind_new[slot] == s.threads.kind[t])
                & (s.cmd.key_new[slot] == s.threads.key[t]),
            )
        )
    parts.append(Implies(at(s, t, ops.owner), fields_stored(ops, s, slot, ring.prod)))
    return And(*parts)


def queued(ops: RingOperations, s: State, t: Number) -> Bool:
    """Thread t has handed a request over and its call has not ended."""
    return at(s, t, ops.doorbell, ops.wait, ops.abandon) | at(s, t, ops.leave) & (
        s.threads.result[t] == Result.NONE
    )


@for_each_ring("caller", "thread")
def request_caller(ops: RingOperations, s: State, t: Number) -> Bool:
    """A caller's request is outstanding until it was answered, with the request's own result."""
    ring = ops.ring(s)
    slot, request = s.threads.slot[t], s.threads.request[t]
    offset = request - ring.cons
    return And(
        Implies(
            queued(ops, s, t) & ~s.threads.nonblocking[t],
            And(
                ring.live,
                Implies(s.threads.completed[t], s.threads.completed_sequence[t] == request),
                Implies(s.threads.completed[t], s.threads.status[t] != Result.NONE),
                Implies(
                    ~s.threads.completed[t],
                    And(
                        constant(0) <= offset,
                        offset < outstanding(ring),
                        slot_exists(slot),
                        wrap(slot, ring.cons_i) == offset,
                        ring.waiter[slot] == t,
                    ),
                ),
            ),
        ),
    )


@invariant("calls.own-result", "thread")
def calls_own_result(s: State, t: Number) -> Bool:
    """An answer is the answer to the caller's own request."""
    return Implies(s.threads.completed[t], s.threads.completed_sequence[t] == s.threads.request[t])


# The request rings: doorbells


@for_each_ring("doorbells-issued")
def doorbells_issued(ops: RingOperations, s: State) -> Bool:
    """Every request handed over has its doorbell issued before the lock is given up."""
    ring = ops.ring(s)
    return And(
        constant(0) <= ring.doorbells_posted - ring.doorbells_arrived,
        ring.doorbells_posted - ring.doorbells_arrived <= POSTED,
        Implies(~ring.based, ring.doorbells_arrived == ring.doorbells_posted),
        Or(
            ring.doorbells_posted == ring.prod,
            And(
                ring.prod == ring.doorbells_posted + 1,
                lock_is_held(s),
                at(s, holder(s), ops.doorbell),
            ),
        ),
    )


@for_each_ring("doorbell-issuer", "thread")
def doorbell_issuer(ops: RingOperations, s: State, t: Number) -> Bool:
    """Whoever is about to ring names the slot that it has just handed over."""
    ring = ops.ring(s)
    slot = s.threads.slot[t]
    return Implies(
        at(s, t, ops.doorbell),
        And(
            ring.live,
            ring.prod == ring.doorbells_posted + 1,
            ring.cons != ring.prod,
            s.threads.request[t] == ring.doorbells_posted,
            ring.waiter[slot] == If(s.threads.nonblocking[t], NOBODY, t),
            slot_exists(slot),
            next_index(slot) == ring.prod_i,
            ring.waiters.head == s.threads.queue_position[t],
            ring.waiters.head != ring.waiters.next,
        ),
    )


@for_each_ring("doorbell-on-its-way", "counter")
def doorbell_on_its_way(ops: RingOperations, s: State, j: Number) -> Bool:
    """A doorbell names the slot of its own request."""
    ring = ops.ring(s)
    slot = ring.doorbell_value[j]
    return Implies(
        within(j, ring.doorbells_arrived, ring.doorbells_posted - ring.doorbells_arrived),
        And(
            slot_exists(slot),
            Implies(
                ring.live & (ring.prod - j <= outstanding(ring)),
                And(wrap(slot, ring.cons_i) == j - ring.cons, ring.sequence[slot] == j),
            ),
        ),
    )


@for_each_ring("doorbell-arrived")
def doorbell_heard(ops: RingOperations, s: State) -> Bool:
    """The index that the card heard last is that of the newest request it heard of."""
    ring = ops.ring(s)
    return And(
        Implies(
            ring.live & running(s) & (ring.prod - ring.doorbells_arrived < outstanding(ring)),
            And(
                slot_exists(ring.doorbell_i),
                wrap(ring.doorbell_i, ring.cons_i) == ring.doorbells_arrived - ring.cons - 1,
            ),
        ),
        Implies(
            ring.live
            & running(s)
            & engine_on(ops, s)
            & (ring.prod - ring.doorbells_arrived < ring.prod - ring.dev),
            ring.look | (ring.stage != Stage.IDLE),
        ),
    )


# The engines of the request rings


@invariant("tx.engine")
def transmit_engine(s: State) -> Bool:
    """The transmit engine works on a slot of the card's, and reads what belongs together."""
    ring, stage = s.tx, s.tx.stage
    slot = ring.dev_i
    busy = one_of(
        stage,
        (Stage.FETCH, Stage.READ_FIRST_WORD, Stage.READ_LAST_WORD, Stage.SEND, Stage.WRITE_OWNER),
    )
    fetched = busy & (stage != Stage.FETCH)
    head_read = one_of(stage, (Stage.READ_LAST_WORD, Stage.SEND, Stage.WRITE_OWNER))
    tail_read = one_of(stage, (Stage.SEND, Stage.WRITE_OWNER))
    return And(
        busy | (stage == Stage.IDLE) | (stage == Stage.LOOK),
        Implies(stage != Stage.IDLE, s.card.started),
        Implies(busy, And(ring.dev != ring.prod, ring.owner[slot])),
        Implies(fetched, (ring.seen_fields == ring.dev) & (ring.seen_zero == ring.zero[slot])),
        Implies(one_of(stage, (Stage.READ_FIRST_WORD, Stage.READ_LAST_WORD)), ~ring.seen_zero),
        Implies(head_read & ~ring.seen_zero, ring.seen_first_word == ring.dev),
        Implies(tail_read & ~ring.seen_zero, ring.seen_last_word == ring.dev),
        Implies(ring.live, ring.sent == If(stage == Stage.WRITE_OWNER, ring.dev + 1, ring.dev)),
    )


@invariant("cmd.engine")
def command_engine(s: State) -> Bool:
    """The command engine works on a slot of the card's, and executes what was asked."""
    ring, stage = s.cmd, s.cmd.stage
    slot = ring.dev_i
    fetched = one_of(stage, (Stage.EXECUTE, Stage.STOPPING, Stage.WRITE_STATUS, Stage.WRITE_OWNER))
    busy = fetched | (stage == Stage.FETCH)
    return And(
        busy | (stage == Stage.IDLE) | (stage == Stage.LOOK),
        Implies(stage != Stage.IDLE, ring.live),
        Implies(busy, And(ring.dev != ring.prod, ring.owner[slot])),
        Implies(
            fetched,
            And(
                ring.seen_fields == ring.dev,
                ring.seen_kind == ring.kind_new[slot],
                ring.seen_key == ring.key_new[slot],
            ),
        ),
        Implies(
            one_of(stage, (Stage.STOPPING, Stage.WRITE_STATUS, Stage.WRITE_OWNER)),
            ring.computed_status != Result.NONE,
        ),
        Implies(
            stage == Stage.WRITE_OWNER,
            (ring.status_sequence[slot] == ring.dev) & (ring.status[slot] == ring.computed_status),
        ),
        Implies(running(s), s.card.stopping == (stage == Stage.STOPPING)),
        Implies(s.card.stopping, s.card.started),
        Implies(stage == Stage.STOPPING, ring.seen_kind == Command.STOP),
        Implies(s.card.started, s.tx.live & s.rx.live & s.cmd.live & s.tx.based & s.rx.based),
    )


@invariant("cmd.codes", "slot")
def command_codes(s: State, k: Number) -> Bool:
    """A returned command carries an answer."""
    return Implies(
        And(s.cmd.live, slot_exists(k), wrap(k, s.cmd.cons_i) < finished(s.cmd)),
        s.cmd.status[k] != Result.NONE,
    )


@invariant("card.filters", "key")
def card_filters(s: State, key: Number) -> Bool:
    """The filter table is what the commands submitted make of it."""
    return And(
        s.card.filters[key] == s.card.asked[key],
        s.card.filter_count == s.card.asked_count,
    )


# The receive ring


def packets_waiting(s: State) -> Number:
    """Packets that the card delivered and no reader has taken."""
    return s.rx.dev - s.rx.cons


@invariant("rx.counters")
def receive_counters(s: State) -> Bool:
    """cons <= dev <= cons + N, and the indices follow."""
    ring, n = s.rx, ring_size()
    return And(
        slot_exists(ring.cons_i),
        Implies(
            ring.live,
            And(constant(0) <= packets_waiting(s), packets_waiting(s) <= n, ring.based),
        ),
        Implies(
            s.card.started,
            And(slot_exists(ring.dev_i), apart(ring.dev_i, ring.cons_i, packets_waiting(s))),
        ),
    )


@invariant("rx.indices-are-masked-counters", machine_only=True)
def receive_masks(s: State) -> Bool:
    """Each index is the low bits of its counter since set-up: what a driver computes."""
    ring = s.rx
    return Implies(
        ring.live,
        And(
            ring.cons_i == low_bits(ring.cons - ring.first),
            Implies(s.card.started, ring.dev_i == low_bits(ring.dev - ring.first)),
        ),
    )


@invariant("rx.slot-filled", "slot")
def slot_filled(s: State, k: Number) -> Bool:
    """A slot that the card filled is the host's, and all its words are the packet's own."""
    ring = s.rx
    offset = wrap(k, ring.cons_i)
    packet = ring.cons + offset
    return Implies(
        And(ring.live, slot_exists(k), offset < packets_waiting(s)),
        And(
            ~ring.owner[k],
            ~ring.owner_pending[k],
            ~ring.pointer_pending[k],
            ~ring.held[k],
            ring.header[k] == packet,
            Implies(
                ~s.card.lies,
                And(
                    ring.length[k] <= CAPACITY,
                    Implies(
                        ring.length[k] != 0,
                        (ring.first_word[k] == packet) & (ring.last_word[k] == packet),
                    ),
                ),
            ),
        ),
    )


@invariant("rx.slot-held", "slot")
def slot_held(s: State, k: Number) -> Bool:
    """A slot that a reader holds is the host's and no other reader's, unless readers must end."""
    ring = s.rx
    t = ring.holder[k]
    must_end = s.driver.failed | (s.driver.life == Life.CLOSING)
    return Implies(
        And(ring.live, slot_exists(k), ring.held[k]),
        And(
            packets_waiting(s) <= wrap(k, ring.cons_i),
            ~ring.owner[k],
            ~ring.owner_pending[k],
            Implies(
                ~must_end,
                And(
                    at(s, t, *HOLDING),
                    s.threads.slot[t] == k,
                    Implies(ring.pointer_pending[k], at(s, t, Label.RX_REPOST)),
                ),
            ),
        ),
    )


@invariant("rx.slot-given", "slot")
def slot_given(s: State, k: Number) -> Bool:
    """A slot given to the card points to its own buffer by the time its owner byte is visible."""
    ring = s.rx
    return Implies(
        And(
            ring.live,
            slot_exists(k),
            packets_waiting(s) <= wrap(k, ring.cons_i),
            ~ring.held[k],
        ),
        And(
            ring.owner_new[k],
            ring.owner_pending[k] != ring.owner[k],
            ring.pointer_new[k] == k,
            ring.pointer_pending[k] | (ring.pointer[k] == k),
            Implies(ring.owner[k], ~ring.pointer_pending[k]),
        ),
    )


@invariant("rx.reader", "thread")
def reader(s: State, t: Number) -> Bool:
    """A reader that took a packet holds its slot, and what it read is that packet."""
    ring, threads = s.rx, s.threads
    slot, packet = threads.slot[t], threads.packet[t]
    honest = ~s.card.lies & (threads.copied[t] != 0)
    return And(
        Implies(
            at(s, t, *HOLDING),
            And(
                ring.live,
                slot_exists(slot),
                ring.held[slot],
                ring.holder[slot] == t,
                threads.got[t] == packet,
                threads.copied[t] <= CAPACITY,
            ),
        ),
        Implies(at(s, t, Label.RX_FIRST_WORD, Label.RX_LAST_WORD), threads.copied[t] != 0),
        Implies(
            at(s, t, Label.RX_NEXT, Label.RX_FIRST_WORD, Label.RX_LAST_WORD) & honest,
            (ring.first_word[slot] == packet) & (ring.last_word[slot] == packet),
        ),
        Implies(
            at(s, t, Label.RX_LAST_WORD, Label.RX_POINTER, Label.RX_REPOST) & honest,
            threads.got_first_word[t] == packet,
        ),
        Implies(
            at(s, t, Label.RX_POINTER, Label.RX_REPOST) & honest,
            threads.got_last_word[t] == packet,
        ),
        Implies(
            at(s, t, Label.RX_REPOST),
            (ring.pointer_new[slot] == slot)
            & (ring.pointer_pending[slot] | (ring.pointer[slot] == slot)),
        ),
        Implies(
            at(s, t, Label.RX_HEADER),
            And(ring.live, ring.dev != ring.cons, ~ring.held[ring.cons_i]),
        ),
        Implies(at(s, t, Label.RX_OWNER), ring.live),
        Implies(at(s, t, Label.RX_HEADER, Label.RX_NEXT), ~call_must_end(s, t)),
    )


@invariant("rx.looked", "thread")
def reader_looked(s: State, t: Number) -> Bool:
    """What a reader learned without taking it is the next packet, as long as it has the lock."""
    ring, threads = s.rx, s.threads
    return Implies(
        looked(s, t),
        And(
            threads.ticket[t] == s.lock.serving,
            ~threads.asleep[t],
            ring.live,
            ring.dev != ring.cons,
            threads.got[t] == ring.cons,
            threads.length[t] <= CAPACITY,
            s.card.lies | (threads.length[t] == ring.length[ring.cons_i]),
        ),
    )


@invariant("rx.engine")
def receive_engine(s: State) -> Bool:
    """The receive engine writes to the buffers of a slot of the card's only."""
    ring, stage = s.rx, s.rx.stage
    writing = one_of(
        stage,
        (Stage.WRITE_FIRST_WORD, Stage.WRITE_LAST_WORD, Stage.WRITE_HEADER, Stage.WRITE_OWNER),
    )
    busy = writing | (stage == Stage.FETCH)
    payload = ring.arriving != 0
    return And(
        busy | (stage == Stage.IDLE) | (stage == Stage.LOOK),
        Implies(stage != Stage.IDLE, s.card.started & (ring.arriving <= CAPACITY)),
        Implies(
            busy,
            And(
                ring.owner[ring.dev_i],
                packets_waiting(s) < ring_size(),
                ~ring.held[ring.dev_i],
            ),
        ),
        Implies(writing, ring.target == ring.dev_i),
        Implies(one_of(stage, (Stage.WRITE_FIRST_WORD, Stage.WRITE_LAST_WORD)), payload),
        Implies(
            one_of(stage, (Stage.WRITE_LAST_WORD, Stage.WRITE_HEADER, Stage.WRITE_OWNER)) & payload,
            ring.first_word[ring.target] == ring.dev,
        ),
        Implies(
            one_of(stage, (Stage.WRITE_HEADER, Stage.WRITE_OWNER)) & payload,
            ring.last_word[ring.target] == ring.dev,
        ),
        Implies(
            stage == Stage.WRITE_OWNER,
            And(
                ring.header[ring.dev_i] == ring.dev,
                s.card.lies | (ring.length[ring.dev_i] == ring.arriving),
            ),
        ),
    )


# Loads satisfied early


@for_each_ring("speculated-owner")
def speculated_owner(ops: RingOperations, s: State) -> Bool:
    """An owner byte loaded early that says HOST is still right when it is used."""
    ring = ops.ring(s)
    window: tuple[Label, ...] = (Label.CMD_SCAN, Label.CMD_RECLAIM)
    if ops is TRANSMIT:
        window = (*window, Label.TX_SCAN, Label.TX_RECLAIM)
    taking = at(s, constant(EVENT_THREAD), ops.reclaim)
    done = If(taking, finished(ring) > 1, finished(ring) != 0)
    return Implies(
        ring.owner_speculated,
        And(
            at(s, constant(EVENT_THREAD), *window),
            ring.live,
            Implies(taking, outstanding(ring) != 1),
            ring.cons != ring.prod,
            Implies(~ring.speculated_owner, done),
        ),
    )


@for_each_ring("taking")
def taking_slot(ops: RingOperations, s: State) -> Bool:
    """The handler takes back only what the card has returned."""
    ring = ops.ring(s)
    return Implies(at(s, constant(EVENT_THREAD), ops.reclaim), And(ring.live, finished(ring) != 0))


@invariant("cmd.speculated-status")
def status_speculated(s: State) -> Bool:
    """A result loaded early is the command's own."""
    ring = s.cmd
    return Implies(
        ring.status_speculated,
        And(
            at(s, constant(EVENT_THREAD), Label.CMD_RECLAIM),
            ring.speculated_sequence == ring.cons,
            ring.speculated_status != Result.NONE,
        ),
    )


@invariant("rx.speculated-owner")
def early_rx_owner(s: State) -> Bool:
    """An owner byte loaded early that says HOST is still right when it is used."""
    ring = s.rx
    ahead = at(s, holder(s), Label.RX_HEADER)
    following = next_index(ring.cons_i)
    packet = If(
        ahead,
        Or(following == ring.cons_i, ring.held[following], ring.dev != ring.cons + 1),
        ring.held[ring.cons_i] | (ring.dev != ring.cons),
    )
    return Implies(
        ring.owner_speculated,
        And(
            lock_is_held(s),
            ring.live,
            ahead | at(s, holder(s), Label.RX_OWNER, Label.RX_NEXT, *SCAN),
            Implies(~ring.speculated_owner, packet),
        ),
    )


@invariant("rx.speculated-header")
def header_speculated(s: State) -> Bool:
    """A header loaded early is the packet's own."""
    ring = s.rx
    slot = ring.cons_i
    return Implies(
        ring.header_speculated,
        And(
            lock_is_held(s),
            at(s, holder(s), Label.RX_HEADER),
            ring.speculated_sequence == ring.cons,
            s.card.lies | (ring.speculated_length == ring.length[slot]),
        ),
    )


# Lines of callers


@for_each_ring("waiters")
def line_counters(ops: RingOperations, s: State) -> Bool:
    """The place whose turn it is exists and was not given up, except while somebody moves on."""
    line = ops.ring(s).waiters
    return And(
        constant(0) <= line.next - line.head,
        Implies(
            line.cancelled[line.head] & (line.head != line.next),
            lock_is_held(s) & at(s, holder(s), ops.leave),
        ),
    )


@for_each_ring("line-place", "thread")
def line_place(ops: RingOperations, s: State, t: Number) -> Bool:
    """Each caller that waits for a slot has a place of its own in the line."""
    line = ops.ring(s).waiters
    place = s.threads.queue_position[t]
    return Implies(
        at(s, t, ops.turn, ops.cancel, ops.doorbell, *filling(ops)),
        And(
            within(place, line.head, line.next - line.head),
            line.waiter[place] == t,
            ~line.cancelled[place],
        ),
    )


@for_each_ring("line-member", "counter")
def line_member(ops: RingOperations, s: State, j: Number) -> Bool:
    """Each place in the line that was not given up belongs to a caller."""
    line = ops.ring(s).waiters
    t = line.waiter[j]
    return Implies(
        within(j, line.head, line.next - line.head) & ~line.cancelled[j],
        And(
            at(s, t, ops.turn, ops.cancel, ops.doorbell, *filling(ops)),
            s.threads.queue_position[t] == j,
        ),
    )


# Events and sleeping


@for_each_ring("completion-announced")
def completion_announced(ops: RingOperations, s: State) -> Bool:
    """A completion that the driver has not taken is announced, or the handler will still look."""
    ring = ops.ring(s)
    event = constant(EVENT_THREAD)
    before = (
        (Label.CMD_SCAN,) if ops is COMMAND else (Label.CMD_SCAN, Label.CMD_RECLAIM, Label.TX_SCAN)
    )
    stale = ring.owner_speculated & ring.speculated_owner
    return Implies(
        And(ring.live, running(s), ring.dev != ring.cons),
        Or(
            ring.due,
            ring.event,
            at(s, event, Label.READ_EVENTS),
            at(s, event, *before) & ~stale,
            at(s, event, ops.reclaim) & (~stale | (ring.dev == ring.cons + 1)),
        ),
    )


@invariant("rx.delivery-announced")
def delivery_announced(s: State) -> Bool:
    """A packet that waits is announced, or the handler will find it, or readers will look.

    Whoever found no packet, by a load that came too early, will be called again.
    """
    ring = s.rx
    event = constant(EVENT_THREAD)
    announced = ring.due | ring.event | at(s, event, Label.READ_EVENTS)
    ahead = at(s, holder(s), Label.RX_HEADER)
    missed = ring.owner_speculated & ring.speculated_owner & (~ahead | (ring.dev != ring.cons + 1))
    return Implies(
        And(ring.live, running(s), ring.dev != ring.cons),
        And(announced | ring.ready | at(s, event, *SCAN), Implies(missed, announced)),
    )


@invariant("rx.readable")
def readable(s: State) -> Bool:
    """The card is readable only while a packet waits, or while readers must end."""
    return precise_readiness(s)


@invariant("card.interrupt-raised")
def interrupt_raised(s: State) -> Bool:
    """A pending event bit has its interrupt, or the handler is about to read it."""
    return Implies(
        s.tx.event | s.cmd.event | s.rx.event,
        s.card.raising | s.card.vector0 | at(s, constant(EVENT_THREAD), Label.READ_EVENTS),
    )


@invariant("card.fatal-announced")
def fatal_announced(s: State) -> Bool:
    """A fatal error is known to the driver or about to be."""
    return Implies(
        s.card.flags == Flags.ERROR,
        s.driver.failed | s.card.vector1 | at(s, constant(FATAL_THREAD), Label.MARK_FAILED),
    )


@for_each_ring("sleeper", "thread")
def request_sleeper(ops: RingOperations, s: State, t: Number) -> Bool:
    """Nobody sleeps unwoken although its condition holds."""
    threads = s.threads
    unwoken = threads.asleep[t] & ~ops.wait_queue(s)[t]
    moving_on = lock_is_held(s) & at(s, holder(s), ops.leave)
    return And(
        Implies(
            at(s, t, ops.turn) & threads.asleep[t],
            ~threads.nonblocking[t],
        ),
        Implies(
            at(s, t, ops.turn) & unwoken,
            ~call_must_end(s, t) & (~my_turn(ops, s, t) | moving_on),
        ),
        Implies(
            at(s, t, ops.wait) & unwoken,
            ~call_must_end(s, t) & ~threads.completed[t],
        ),
    )


@invariant("rx.sleeper", "thread")
def receive_sleeper(s: State, t: Number) -> Bool:
    """No reader sleeps on a card that failed or is being closed."""
    return And(
        Implies(
            at(s, t, Label.RX_OWNER) & s.threads.asleep[t],
            ~s.threads.nonblocking[t] & (s.rx.ready | ~call_must_end(s, t)),
        ),
    )


@invariant("life.sleeper", "thread")
def life_sleeper(s: State, t: Number) -> Bool:
    """Nobody sleeps unwoken on the channel of open and close although its condition holds."""
    unwoken = s.threads.asleep[t] & ~s.threads.wake_life[t]
    handler_will_wake = at(
        s, constant(EVENT_THREAD), Label.TX_SCAN, Label.TX_RECLAIM, Label.RX_READY
    )
    return And(
        Implies(at(s, t, Label.LEAVE) & unwoken, s.driver.inside != 0),
        Implies(
            at(s, t, Label.DRAIN) & unwoken,
            ~s.driver.failed & ((s.tx.cons != s.tx.prod) | handler_will_wake),
        ),
        Implies(
            at(s, t, Label.OPEN_ENTER) & unwoken,
            one_of(s.driver.life, (Life.OPENING, Life.CLOSING)),
        ),
    )


# Open and close


def conducting(s: State, t: Number) -> Bool:
    """Thread t is at a step of open or close that only one thread may be at."""
    return Or(
        at(s, t, *CONDUCTOR_LABELS),
        And(at(s, t, *COMMAND_LABELS), s.threads.return_to[t] != Label.EXIT),
    )


def phase(s: State, *labels: Label) -> Bool:
    """The conductor is at one of `labels`, or in the command that returns to one of them."""
    t = s.driver.conductor
    changing = one_of(s.driver.life, (Life.OPENING, Life.CLOSING))
    returns = And(at(s, t, *COMMAND_LABELS), one_of(s.threads.return_to[t], labels))
    return And(changing, at(s, t, *labels) | returns)


def at_step(s: State, *labels: Label) -> Bool:
    """The conductor is at one of the steps `labels` itself."""
    changing = one_of(s.driver.life, (Life.OPENING, Life.CLOSING))
    return And(changing, at(s, s.driver.conductor, *labels))


QUIET: Final = (
    Label.FREE,
    Label.INIT_TX,
    Label.INIT_POINTER,
    Label.INIT_RX,
    Label.INIT_FENCE,
    Label.BASE,
)
"""Phases between two uses of the packet rings, with a working command ring."""
RESETTING: Final = (Label.POLL, Label.CMD_INIT, Label.CMD_FENCE, Label.CMD_BASE)
"""Phases between the reset and the new command ring."""
CLOSING_PHASES: Final = (
    Label.LEAVE,
    Label.DRAIN,
    Label.STOP,
    Label.STOPPED,
    Label.FLUSH,
    Label.FLUSHED,
)
OPENING_PHASES: Final = (
    Label.INIT_TX,
    Label.INIT_POINTER,
    Label.INIT_RX,
    Label.INIT_FENCE,
    Label.BASE,
    Label.START,
    Label.STARTED,
    Label.ADD_UNICAST,
    Label.ADDED_UNICAST,
    Label.OPENED,
)


@invariant("life.conductor", "thread")
def one_conductor(s: State, t: Number) -> Bool:
    """At most one thread opens or closes the card."""
    return Implies(
        conducting(s, t),
        And(
            t == s.driver.conductor,
            one_of(s.driver.life, (Life.OPENING, Life.CLOSING)),
        ),
    )


@invariant("life.state")
def life_state(s: State) -> Bool:
    """What the driver is doing, who does it, and what it counts agree."""
    driver = s.driver
    changing = one_of(driver.life, (Life.OPENING, Life.CLOSING))
    return And(
        one_of(driver.life, Life),
        one_of(s.card.flags, Flags),
        constant(0) <= driver.polls,
        Implies(changing, conducting(s, driver.conductor)),
        driver.opens == driver.handles,
        constant(0) <= driver.handles,
        (driver.life == Life.OPEN) == (driver.handles != 0),
        Implies((driver.life != Life.OPEN) & ~phase(s, Label.LEAVE), driver.inside == 0),
        Implies(phase(s, *CLOSING_PHASES), driver.life == Life.CLOSING),
        Implies(phase(s, *OPENING_PHASES), (driver.life == Life.OPENING) & ~driver.aborting),
        slot_exists(driver.cursor),
        Implies(driver.life == Life.OPENING, ~driver.aborting | at_step(s, Label.CLOSED)),
    )


@invariant("life.rings")
def life_rings(s: State) -> Bool:
    """Which rings are in use in which phase."""
    driver = s.driver
    opened = driver.life == Life.OPEN
    packets = Or(
        opened,
        phase(
            s,
            *CLOSING_PHASES,
            Label.START,
            Label.STARTED,
            Label.ADD_UNICAST,
            Label.ADDED_UNICAST,
            Label.OPENED,
        ),
    )
    commands = packets | phase(s, *QUIET) | (driver.life == Life.CLOSED) & ~driver.needs_reset
    commands = commands | at_step(s, Label.CLOSED) & ~driver.needs_reset
    none = Or(
        phase(s, *RESETTING, *QUIET),
        at_step(s, Label.CLOSED),
        driver.life == Life.CLOSED,
    )
    return And(
        Implies(packets, s.tx.live & s.rx.live),
        Implies(commands, s.cmd.live & ~driver.needs_reset),
        Implies(none, ~s.tx.live & ~s.rx.live & ~s.card.started),
        Implies(phase(s, *RESETTING), ~s.cmd.live & ~s.cmd.based & (s.cmd.dev_i == 0)),
        Implies(~s.tx.live, s.tx.stage == Stage.IDLE),
        Implies(~s.cmd.live, s.cmd.stage == Stage.IDLE),
        s.tx.live == s.rx.live,
        Implies(s.tx.live, s.cmd.live),
        Implies(driver.needs_reset & (driver.life != Life.OPENING) & (driver.life != Life.CLOSING),
                ~s.cmd.live),
        Implies(at_step(s, Label.CLOSED) & driver.needs_reset, ~s.cmd.live),
        Implies(s.card.flags == Flags.RESETTING, ~s.cmd.live),
        Implies(phase(s, Label.CMD_INIT, Label.CMD_FENCE, Label.CMD_BASE),
                s.card.flags != Flags.RESETTING),
        Implies(~s.cmd.live, ~s.cmd.based),
    )  # fmt: skip


def last_command_executed(s: State) -> Bool:
    """The card has executed every command submitted, though it may not have returned the last."""
    ring = s.cmd
    answering = one_of(ring.stage, (Stage.WRITE_STATUS, Stage.WRITE_OWNER))
    return (ring.dev == ring.prod) | answering & (ring.dev + 1 == ring.prod)


def submitted(s: State, t: Number) -> Bool:
    """Thread t has handed its command over and waits for the answer or gives up waiting."""
    return at(s, t, Label.CMD_DOORBELL, Label.CMD_WAIT, Label.CMD_ABANDON) | at(
        s, t, Label.CMD_LEAVE_QUEUE
    ) & (s.threads.result[t] == Result.NONE)


def ready_to_start(s: State) -> Bool:
    """Both packet rings are set up and unused: the state in which START makes sense."""
    tx, rx = s.tx, s.rx
    return And(
        ~s.card.started,
        tx.live,
        rx.live,
        (tx.prod == tx.cons) & (tx.dev == tx.cons) & (tx.prod_i == 0) & (tx.cons_i == 0),
        (tx.doorbells_arrived == tx.doorbells_posted)
        & (tx.doorbells_posted == tx.prod)
        & (tx.first == tx.prod),
        (rx.dev == rx.cons) & (rx.cons_i == 0) & (rx.first == rx.cons),
    )


@invariant("life.answers", "thread")
def life_answers(s: State, t: Number) -> Bool:
    """The conductor's command is the newest one; an OK answer means that all were executed."""
    ring, threads = s.cmd, s.threads
    back = threads.return_to[t]
    kind_of_back = And(
        Implies(back == Label.STOPPED, threads.kind[t] == Command.STOP),
        Implies(back == Label.FLUSHED, threads.kind[t] == Command.FLUSHFILT),
        Implies(back == Label.STARTED, threads.kind[t] == Command.START),
        Implies(back == Label.ADDED_UNICAST, threads.kind[t] == Command.ADDFILT),
    )
    ordinary = one_of(threads.kind[t], (Command.ADDFILT, Command.RMFILT))
    waiting = submitted(s, t) & (back != Label.EXIT)
    answered = at(s, t, Label.STOPPED, Label.FLUSHED, Label.STARTED, Label.ADDED_UNICAST)
    return And(
        Implies(at(s, t, *COMMAND_LABELS) | answered, kind_of_back),
        Implies(at(s, t, *COMMAND_LABELS, Label.FILTER_ENTER) & (back == Label.EXIT), ordinary),
        Implies(waiting, And(threads.request[t] + 1 == ring.prod,
                             Implies(threads.completed[t], ring.cons == ring.prod))),
        Implies(waiting & ~threads.completed[t],
                ring.kind_new[threads.slot[t]] == threads.kind[t]),
        Implies(answered, back == threads.pc[t]),
        Implies(answered & (threads.result[t] == Result.OK), ring.cons == ring.prod),
    )  # fmt: skip


@invariant("life.commands", "slot")
def life_commands(s: State, k: Number) -> Bool:
    """START, STOP and FLUSHFILT are outstanding only while the conductor sees to them."""
    ring = s.cmd
    c = s.driver.conductor
    offset = wrap(k, ring.cons_i)
    kind = ring.kind_new[k]
    conducted = And(
        one_of(s.driver.life, (Life.OPENING, Life.CLOSING)),
        ring.cons + offset + 1 == ring.prod,
        kind == s.threads.kind[c],
        Or(
            submitted(s, c) & (s.threads.return_to[c] != Label.EXIT),
            at(s, c, Label.RESET),
            at(s, c, Label.STOPPED, Label.STARTED, Label.FLUSHED)
            & (s.threads.result[c] != Result.OK),
        ),
    )
    executed = And(
        offset == finished(ring), one_of(ring.stage, (Stage.WRITE_STATUS, Stage.WRITE_OWNER))
    )
    return Implies(
        And(ring.live, slot_exists(k), finished(ring) <= offset, offset < outstanding(ring)),
        And(
            one_of(kind, (Command.ADDFILT, Command.RMFILT)) | conducted,
            Implies((kind == Command.START) & ~executed, ready_to_start(s)),
            Implies((kind == Command.STOP) & ~executed & running(s), s.card.started),
        ),
    )


@invariant("life.started")
def life_started(s: State) -> Bool:
    """Packet traffic is on exactly when the driver believes so, and no command is out of order."""
    driver, card = s.driver, s.card
    c = driver.conductor
    waits = submitted(s, c)
    executed = last_command_executed(s)
    commanding = at(s, c, *COMMAND_LABELS)
    before = Or(
        at_step(s, Label.LEAVE, Label.DRAIN, Label.STOP),
        phase(s, Label.STOPPED) & at(s, c, *COMMAND_LABELS) & ~waits,
        at_step(s, Label.ADD_UNICAST, Label.ADDED_UNICAST, Label.OPENED),
        phase(s, Label.ADDED_UNICAST),
        driver.life == Life.OPEN,
    )
    after = Or(
        phase(s, Label.FLUSH, Label.FLUSHED),
        at_step(s, Label.STOPPED) & (s.threads.result[c] == Result.OK),
        at_step(s, Label.START),
        phase(s, Label.STARTED) & at(s, c, *COMMAND_LABELS) & ~waits,
    )
    return And(
        ~card.sequence_error,
        Implies(before, card.started),
        Implies(after, ~card.started),
        Implies(
            phase(s, Label.STOPPED) & commanding & waits & running(s),
            card.started != executed,
        ),
        Implies(
            phase(s, Label.STOPPED) & at(s, c, *COMMAND_LABELS) & waits & executed,
            ~card.started,
        ),
        Implies(
            phase(s, Label.STARTED) & commanding & waits & running(s),
            card.started == executed,
        ),
        Implies(
            phase(s, Label.STARTED) & at(s, c, *COMMAND_LABELS) & waits & executed,
            card.started,
        ),
        Implies(at_step(s, Label.STARTED) & (s.threads.result[c] == Result.OK), card.started),
        Implies(
            at_step(s, Label.START)
            | phase(s, Label.STARTED) & at(s, c, *COMMAND_LABELS) & ~waits,
            And(s.cmd.dev == s.cmd.prod, ready_to_start(s)),
        ),
        Implies(
            phase(s, *QUIET) | ((driver.life == Life.CLOSED) | at_step(s, Label.CLOSED))
            & ~driver.needs_reset,
            s.cmd.dev == s.cmd.prod,
        ),
        Implies(phase(s, *RESETTING),
                (s.tx.doorbells_arrived == s.tx.doorbells_posted)
                & (s.cmd.doorbells_arrived == s.cmd.doorbells_posted)),
    )  # fmt: skip


def without_filters(s: State) -> Bool:
    """The card was closed or reset, and nobody has added a filter since."""
    c = s.driver.conductor
    return Or(
        (s.driver.life == Life.CLOSED) & ~s.driver.needs_reset,
        phase(s, *RESETTING, *QUIET),
        at_step(s, Label.CLOSED) & ~s.driver.needs_reset,
        at_step(s, Label.FLUSHED) & (s.threads.result[c] == Result.OK),
        phase(s, Label.FLUSHED) & submitted(s, c) & last_command_executed(s),
    )


@invariant("life.no-filters", "key")
def no_filters(s: State, key: Number) -> Bool:
    """A card that was closed or reset has no filter."""
    return Implies(without_filters(s), s.card.filters[key] == 0)


@invariant("life.filter-count")
def no_filter_count(s: State) -> Bool:
    """A card that was closed or reset counts no filter."""
    return Implies(without_filters(s), s.card.filter_count == 0)


# Memory of the packet rings


@invariant("memory.exists", "slot")
def memory_exists(s: State, k: Number) -> Bool:
    """Rings in use exist, and no store is on its way to memory that was freed."""
    legal = slot_exists(k)
    return And(
        Implies(legal & s.tx.live, s.tx.exists[k]),
        Implies(legal & s.rx.live, s.rx.exists[k]),
        Implies(legal & tx_pending(s, k), s.tx.exists[k]),
        Implies(legal & rx_pending(s, k), s.rx.exists[k]),
    )


@invariant("memory.free", "slot")
def memory_free(s: State, k: Number) -> Bool:
    """Freed slots are free: no buffer, no store on its way, no reader."""
    driver = s.driver
    c = driver.cursor
    freed = Or(
        (driver.life == Life.CLOSED) & ~driver.needs_reset,
        at_step(s, Label.CLOSED) & ~driver.needs_reset,
        at_step(s, Label.FREE) & (k < c),
        at_step(s, Label.INIT_TX) & (c <= k),
        at_step(s, Label.INIT_POINTER, Label.INIT_RX) & (c < k),
    )
    receive_freed = freed | at_step(s, Label.INIT_POINTER) & (c <= k)
    legal = slot_exists(k)
    return And(
        Implies(legal & freed, ~s.tx.exists[k] & ~tx_pending(s, k)),
        Implies(legal & receive_freed, ~s.rx.exists[k] & ~rx_pending(s, k)),
    )


@invariant("memory.initialised", "slot")
def memory_initialised(s: State, k: Number) -> Bool:
    """Slots that were initialised: transmit slots are the host's, receive slots the card's."""
    c = s.driver.cursor
    all_done = at_step(s, Label.INIT_FENCE, Label.BASE)
    transmit = Or(
        all_done,
        at_step(s, Label.INIT_TX) & (k < c),
        at_step(s, Label.INIT_POINTER, Label.INIT_RX) & (k <= c),
    )
    receive = all_done | at_step(s, Label.INIT_TX, Label.INIT_POINTER, Label.INIT_RX) & (k < c)
    pointer = receive | at_step(s, Label.INIT_RX) & (k == c)
    fenced = at_step(s, Label.BASE) | at_step(s, Label.INIT_FENCE) & (k < c)
    legal = slot_exists(k)
    tx, rx = s.tx, s.rx
    return And(
        Implies(
            legal & transmit,
            And(
                tx.exists[k],
                ~tx.owner_new[k],
                tx.owner_pending[k] | ~tx.owner[k],
                ~words_pending(TRANSMIT, s, k),
            ),
        ),
        Implies(
            legal & pointer,
            And(
                rx.exists[k],
                ~rx.held[k],
                rx.pointer_new[k] == k,
                rx.pointer_pending[k] | (rx.pointer[k] == k),
            ),
        ),
        Implies(
            legal & receive,
            And(
                rx.owner_new[k],
                rx.owner_pending[k] | rx.owner[k] & ~rx.pointer_pending[k],
            ),
        ),
        Implies(legal & fenced, ~tx_pending(s, k) & ~rx_pending(s, k)),
    )


@invariant("memory.command-ring", "slot")
def command_ring_initialised(s: State, k: Number) -> Bool:
    """Slots of the command ring that were initialised are the host's, and no old store is left."""
    c = s.driver.cursor
    done = at_step(s, Label.CMD_FENCE, Label.CMD_BASE) | at_step(s, Label.CMD_INIT) & (k < c)
    fenced = at_step(s, Label.CMD_BASE) | at_step(s, Label.CMD_FENCE) & (k < c)
    setting_up = at_step(s, Label.CMD_INIT, Label.CMD_FENCE, Label.CMD_BASE)
    untouched = ~s.cmd.live & ~setting_up | at_step(s, Label.CMD_INIT) & (c <= k)
    legal = slot_exists(k)
    return And(
        Implies(legal & untouched, ~s.cmd.owner_pending[k] & ~s.cmd.fields_pending[k]),
        Implies(
            legal & done,
            And(
                ~s.cmd.owner_new[k],
                s.cmd.owner_pending[k] | ~s.cmd.owner[k],
                ~s.cmd.fields_pending[k],
            ),
        ),
        Implies(legal & fenced, ~s.cmd.owner_pending[k]),
    )


@invariant("life.failure")
def life_failure(s: State) -> Bool:
    """A known failure is the card's present state, or a reset is under way or still to be done."""
    error = s.card.flags == Flags.ERROR
    after_reset = at_step(s, Label.CMD_INIT, Label.CMD_FENCE, Label.CMD_BASE)
    return Implies(
        s.driver.failed,
        error | ~after_reset & (s.driver.needs_reset | at_step(s, Label.POLL)),
    )


@invariant("life.answer")
def life_answer(s: State) -> Bool:
    """An open that is undone again knows that it failed."""
    undone = (s.driver.life == Life.CLOSING) | at_step(s, Label.CLOSED)
    return Implies(undone & s.driver.opening, s.driver.aborting)
