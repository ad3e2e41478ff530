"""Classic mistakes with rings, doorbells, interrupts and resets, each as a small change.

Neither public driver of this card makes them; every driver writer has met them. The last ones are
mistakes of a card: what the protocol needs from the other side.
"""

from __future__ import annotations

from typing import Final

from engine.faults import FaultCase
from engine.mutations import also, both, leads, leaves, replace, then
from engine.rules import Party, Rule
from engine.scenario import happens, lacking, rests, until
from engine.terms import FALSE, TRUE, And, Bool, If, Number, constant
from model.device_spec import running
from model.driver_spec import events_served
from model.faults import described
from model.ring_spec import (
    RECEIVE,
    TRANSMIT,
    announce_packet,
    call_must_end,
    my_turn,
    packet_waits,
    store_owner,
)
from model.state import CAPACITY, EVENT_THREAD, POSTED, Label, Life, Stage, State
from model.thread_spec import at, draw_ticket, holds, unlock
from model.words import DEVICE, HOST, RX, TX
from proofs.scenarios import (
    COMMANDING,
    EMPTY,
    HANDLER,
    OPENING,
    OTHER,
    READING,
    RECEIVING,
    RESETTING,
    SENDING,
    USER,
    calls,
    closes,
    fails,
    opens,
    reader_copies,
    receiving,
    scenario,
    sending,
    unlocked,
)

__all__ = ["CLASSIC"]

FRESH_MEMORY: Final = {
    "init_transmit_slot": {"stale": (0,)},
    "init_receive_pointer": {"stale": (0,)},
}
"""New memory happens to say that the host owns each slot."""
EMPTY_PACKETS: Final = scenario(
    RECEIVING, limits={"begin_read": READING, "rx.arrive": {"length": (0,)}}, words=(9999, 0)
)
"""A user waits for empty packets and takes them."""


# Handing a slot over


def hands_over_first(s: State, t: Number) -> None:
    """Claim the slot and store owner = DEVICE at once; the fields come afterwards."""
    s.store(TX.owner, s.tx.prod_i, owner=DEVICE)


def owner_stored_already(s: State, t: Number) -> None:
    """The owner byte was stored already: count the slot as handed over."""
    pending = s.tx.owner_pending[s.tx.prod_i]
    new = s.tx.owner_new[s.tx.prod_i]
    slot = s.tx.prod_i
    store_owner(TRANSMIT, s, t)
    s.tx.owner_pending[slot] = pending
    s.tx.owner_new[slot] = new


OWNER_FIRST: Final = FaultCase(
    described("owner-before-fields"),
    both(then("tx.claim", hands_over_first), replace("tx.store_owner", owner_stored_already)),
    sending("tx.look_ahead"),
)


DOORBELL_FIRST: Final = FaultCase(
    described("doorbell-before-owner"),
    both(
        leads(
            "tx.store_fields",
            Label.TX_DOORBELL,
            "Store the slot's fields; the doorbell comes next.",
        ),
        leads(
            "tx.ring_doorbell",
            Label.TX_OWNER,
            "Write the slot's index to DBELL; the owner byte comes next.",
        ),
        leads(
            "tx.store_owner",
            Label.TX_LEAVE_QUEUE,
            "Store owner = DEVICE, after the doorbell was rung.",
        ),
    ),
    sending(),
)


def names_next_slot(s: State, t: Number) -> None:
    """Write the producer index to DBELL, which is the next slot's by now."""
    s.tx.doorbell_value[s.tx.doorbells_posted - 1] = s.tx.prod_i


WRONG_INDEX: Final = FaultCase(
    described("doorbell-wrong-index"),
    then("tx.ring_doorbell", names_next_slot),
    sending(),
    sizes=(2,),
)

NO_DOORBELL: Final = FaultCase(
    described("no-doorbell"),
    leaves(
        "tx.ring_doorbell",
        "tx.doorbells_posted",
        "The slot is handed over; the doorbell is left out.",
    ),
    sending(),
)


def rings_command_bell(s: State, t: Number) -> None:
    """Write the slot's index to DBELL without bit 31: that is the command ring's doorbell."""
    s.require(holds(s, t, Label.TX_DOORBELL))
    s.require(s.cmd.doorbells_posted - s.cmd.doorbells_arrived < POSTED, "room for a posted write")
    s.cmd.doorbell_value[s.cmd.doorbells_posted] = s.threads.slot[t]
    s.cmd.doorbells_posted = s.cmd.doorbells_posted + 1
    s.tx.waiters.head = s.tx.waiters.head + 1
    s.threads.pc[t] = Label.TX_LEAVE_QUEUE


WRONG_RING: Final = FaultCase(
    described("doorbell-wrong-ring"),
    replace("tx.ring_doorbell", rings_command_bell),
    sending("cmd.doorbell_arrives", "cmd.look", "cmd.examine"),
)


def starts_filling(s: State, t: Number) -> None:
    """Take the next slot for an empty packet, without a question."""
    slot = s.tx.prod_i
    s.threads.slot[t] = slot
    s.threads.request[t] = s.tx.prod
    s.threads.completed[t] = False
    s.tx.sequence[slot] = s.tx.prod
    s.threads.pc[t] = Label.TX_FIELDS


def claims_any(s: State, t: Number) -> None:
    """The first in the queue takes the next slot, whether it is free or not."""
    s.require(holds(s, t, Label.TX_TURN) & (s.tx.waiters.head == s.threads.queue_position[t]))
    starts_filling(s, t)


UNBOUNDED_PRODUCER: Final = FaultCase(
    described("producer-unbounded"),
    replace("tx.claim", claims_any),
    scenario(SENDING, limits={"begin_write": {"zero": (1,), "nonblocking": (1,)}}),
)

# Several packets, one doorbell

BATCHING: Final = scenario(
    SENDING | {"tx.next_of_batch"},
    limits={**EMPTY, "tx.next_of_batch": {"zero": (1,)}},
    counts=(1,),
)
"""Blocking writes of two empty packets each."""

BATCH_UNRUNG: Final = FaultCase(
    described("batch-sleeps-unrung"),
    leaves(
        "tx.next_of_batch",
        "tx.doorbells_posted",
        "Go on to the next packet; the doorbell is rung later.",
    ),
    BATCHING,
    sizes=(1,),
    shows=lambda s: at(s, USER, Label.TX_TURN),
)

BATCH_WAITER: Final = FaultCase(
    described("batch-waits-for-first"),
    leaves("tx.next_of_batch", "tx.waiter", "Ring the doorbell; the writer is told of this too."),
    BATCHING,
    sizes=(2,),
)

# Taking a slot back


def finds_without_looking(s: State, t: Number) -> None:
    """Something is outstanding: take its slot, without a look at the owner byte."""
    s.require(holds(s, t, Label.TX_SCAN) & (s.tx.cons != s.tx.prod))
    s.threads.pc[t] = Label.TX_RECLAIM


CONSUMER_RUNS_AHEAD: Final = FaultCase(
    described("consumer-runs-ahead"),
    replace("tx.completion_found", finds_without_looking),
    sending("card.spurious_vector0"),
)


FLAGS_AFTER_SCAN: Final = FaultCase(
    described("flags-after-scan"),
    both(
        leads(
            "event_interrupt",
            Label.CMD_SCAN,
            "Vector 0 is delivered: the rings are scanned first.",
        ),
        leads(
            "tx.no_completion",
            Label.READ_EVENTS,
            "Nothing more to take from the transmit ring: read EVFLAGS now.",
        ),
        leads(
            "read_events",
            Label.RX_READY,
            "Read EVFLAGS, which clears it, after the rings were scanned.",
        ),
    ),
    sending("card.spurious_vector0", "card.withdraw_vector0"),
    settles=True,
)


ONE_PER_INTERRUPT: Final = FaultCase(
    described("one-per-interrupt"),
    leads(
        "tx.reclaim", Label.RX_READY, "Take the slot back; one is enough: go on to the next ring."
    ),
    sending(users=2),
    sizes=(2,),
    settles=True,
)


# Receiving


def copies_later(s: State, t: Number) -> None:
    """Store owner = DEVICE; the payload is copied afterwards."""
    s.threads.pc[t] = Label.RX_FIRST_WORD
    unlock(s)


def copied_at_last(s: State, t: Number) -> None:
    """Copy a late word of the payload, from a slot that was given back already."""
    s.threads.pc[t] = Label.EXIT
    draw_ticket(s, t)


EARLY_RETURN: Final = FaultCase(
    described("returned-before-copied"),
    both(
        leads(
            "rx.look_at_next",
            Label.RX_POINTER,
            "Look at the next slot, and go to give this one back before anything is copied.",
        ),
        then("rx.repost", copies_later),
        then("rx.copy_last_word", copied_at_last),
    ),
    receiving(),
    sizes=(1,),
    shows=lambda s: s.threads.pc[USER] == Label.RX_FIRST_WORD,
)


def looks_unasked(s: State, t: Number) -> None:
    """Load the owner byte; a reader that only wants the length goes on whatever it says."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t) & my_turn(RECEIVE, s, t))
    s.require(s.threads.peek[t] | packet_waits(s))
    s.rx.owner_speculated = FALSE
    s.threads.pc[t] = Label.RX_HEADER


PEEK_UNASKED: Final = FaultCase(
    described("peek-without-owner"),
    replace("rx.packet_found", looks_unasked),
    scenario(RECEIVING, limits={"begin_read": {"nonblocking": (0,), "peek": (1,)}}),
    sizes=(1,),
)


def notes_rxcomp(s: State, t: Number) -> None:
    """Read EVFLAGS; only if RXCOMP is set are readers woken, or pollers told."""
    announce_packet(s, s.rx.event)
    s.tx.event = FALSE
    s.cmd.event = FALSE
    s.rx.event = FALSE
    s.rx.dropped = FALSE
    s.require(holds(s, t, Label.READ_EVENTS))
    s.threads.pc[t] = Label.CMD_SCAN


def one_packet_taken(s: State, t: Number) -> None:
    """The packet that RXCOMP announced is taken: not readable any more, whatever comes next."""
    s.rx.ready = FALSE


RXCOMP_ONLY: Final = FaultCase(
    described("rxcomp-only"),
    both(
        replace("read_events", notes_rxcomp),
        leaves("mark_readable", "rx.ready", ""),
        leaves("mark_readable", "threads.wake_rx", "Nothing more to do: done."),
        then("rx.look_at_next", one_packet_taken),
    ),
    EMPTY_PACKETS,
    sizes=(2,),
    settles=True,
)


def readable_anyway(s: State, t: Number) -> None:
    """No packet waits; an open card is declared readable all the same."""
    s.rx.ready = s.rx.ready | (s.driver.life == Life.OPEN)


READABLE_ANYWAY: Final = FaultCase(
    described("readable-at-every-event"),
    then("no_packet_waits", readable_anyway),
    receiving("card.spurious_vector0"),
    sizes=(1,),
)

LAST_LEAVES_READABLE: Final = FaultCase(
    described("last-packet-leaves-readable"),
    leaves("rx.look_at_next", "rx.ready", "The next reader may go on."),
    receiving(),
    sizes=(1,),
)


def clears_unseen(s: State, t: Number) -> None:
    """Not readable any more, without a look at the next slot; the next reader may go on."""
    s.rx.ready = FALSE


CLEARED_UNSEEN: Final = FaultCase(
    described("readiness-cleared-unseen"),
    then("rx.look_at_next", clears_unseen),
    EMPTY_PACKETS,
    sizes=(2,),
    settles=True,
)


def finds_in_freed(s: State, t: Number) -> None:
    """Load the next receive slot's owner byte, on a closed card too: readable; done."""
    s.require(holds(s, t, Label.RX_READY) & packet_waits(s))
    announce_packet(s, TRUE)
    events_served(s, t)


def finds_nothing_in_freed(s: State, t: Number) -> None:
    """Load the next receive slot's owner byte, on a closed card too: no packet; done."""
    s.require(holds(s, t, Label.RX_READY) & ~packet_waits(s))
    events_served(s, t)


LOOKS_AFTER_FREE: Final = FaultCase(
    described("looks-after-free"),
    both(
        replace("mark_readable", finds_in_freed), replace("no_packet_waits", finds_nothing_in_freed)
    ),
    scenario(
        HANDLER | {"card.spurious_vector0"},
        acts=(opens(), calls("begin_close")),
        story="user 2 opens the card and closes it",
    ),
    sizes=(1,),
)


def finds_out_of_turn(s: State, t: Number) -> None:
    """Load the owner byte, whoever is first in line: the card filled the slot."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t))
    s.require(packet_waits(s, HOST))
    s.threads.pc[t] = Label.RX_HEADER


def leaves_its_place(s: State, t: Number) -> None:
    """Load the header once and hold the slot; the reader's place in line, wherever, is given up."""
    queue, place = s.rx.waiters, s.threads.queue_position[t]
    overtakes = queue.head != place + 1
    queue.cancelled[place] = overtakes
    queue.head = If(overtakes, queue.head - 1, queue.head)


READER_OVERTAKES: Final = FaultCase(
    described("reader-overtakes"),
    both(
        replace("rx.packet_found", finds_out_of_turn),
        then("rx.receive_packet", leaves_its_place),
    ),
    receiving(users=2),
    sizes=(1,),
)


def never_gives_back(s: State, t: Number) -> None:
    """Leave, whatever the state of the card, without giving the slot back."""
    s.require(holds(s, t, Label.RX_REPOST))
    s.threads.pc[t] = Label.EXIT


SLOT_LEAKS: Final = FaultCase(
    described("slot-never-returned"),
    replace("rx.keep", never_gives_back),
    receiving("rx.keep"),
    sizes=(1,),
)


# Without the lock


def out_of_turn(s: State) -> Bool:
    """Both users fill in a slot at the same time."""
    filling = (Label.TX_FIELDS, Label.TX_OWNER)
    return at(s, USER, *filling) & at(s, OTHER, *filling)


def claims_unlocked(s: State, t: Number) -> None:
    """Claim the next slot without the lock and without a place in the queue."""
    s.require(at(s, t, Label.TX_TURN) & (s.tx.prod == s.tx.cons))
    starts_filling(s, t)


NO_LOCK: Final = FaultCase(
    described("submit-without-lock"),
    both(
        unlocked("enter_write", "The sender goes on without waiting for the lock."),
        replace("tx.claim", claims_unlocked),
    ),
    sending(users=2),
    shows=out_of_turn,
)


# Reset


def rebases(s: State, t: Number) -> None:
    """The first open starts the card; one that was reset before gets its command ring anew."""
    s.threads.pc[t] = If(at(s, t, Label.RESET), Label.RESET, Label.CMD_INIT)


REBASED: Final = FaultCase(
    described("rebased-without-reset"),
    then("open_first", rebases),
    scenario(
        COMMANDING | OPENING | RESETTING,
        acts=(opens(), calls("begin_filter", remove=0, key=1), calls("begin_close")),
        story="user 2 opens the card, adds a filter, and closes the card",
        limits=FRESH_MEMORY,
    ),
    sizes=(2,),
)

NOT_READ_BACK: Final = FaultCase(
    described("no-flush-before-start"),
    leads("write_packet_bases", Label.START, "Write the rings' addresses; START follows at once."),
    scenario(
        (COMMANDING | OPENING | {"cmd.look_ahead"}) - {"begin_filter"},
        acts=(happens("begin_open", t=2), until(lambda s: holds(s, USER, Label.BASE))),
        story="user 2 opens the card as the first; its rings are set up",
    ),
    sizes=(1,),
)


def sets_bus_master(s: State, t: Number) -> None:
    """The first open starts the card: let it access memory, then reset it."""
    s.card.bus_master = TRUE


BUS_MASTER_FIRST: Final = FaultCase(
    described("bus-master-before-reset"),
    then("open_first", sets_bus_master),
    scenario(
        RESETTING | OPENING | RECEIVING,
        acts=(),
        story="",
        card={"card.started": True, "rx.stage": Stage.WRITE_FIRST_WORD},
    ),
    shows=lambda s: s.rx.stage == Stage.WRITE_LAST_WORD,
    sizes=(1,),
)

INDICES_KEPT: Final = FaultCase(
    described("indices-kept-over-reset"),
    both(
        leaves("write_command_base", "cmd.prod_i", ""),
        leaves("write_command_base", "cmd.cons_i", "Write CMDBASE; the driver's indices stay."),
    ),
    scenario(
        COMMANDING | OPENING,
        acts=(opens(), calls("begin_filter", remove=0, key=1), fails(), calls("begin_close")),
        story="user 2 opens the card and adds a filter, the card fails, user 2 closes it and it is "
        "reset",
        limits=FRESH_MEMORY,
    ),
    sizes=(2,),
)


# Mistakes of the card


def owner_overtakes(s: State) -> None:
    """The write of owner = HOST becomes visible before the write of the header."""
    s.require(running(s) & (s.rx.stage == Stage.WRITE_HEADER))
    s.require(s.load(RX.owner, s.rx.dev_i))
    s.store(RX.owner, s.rx.dev_i, owner=HOST)


RELAXED_ORDERING: Final = FaultCase(
    described("relaxed-ordering"),
    also(
        Rule(
            "rx.owner_overtakes", Party.DEVICE, "Order of memory accesses", (), "", owner_overtakes
        )
    ),
    receiving(),
    shows=reader_copies,
)


FORGETTING: Final = Stage.STOPPING
"""A stage that the transmit engine does not use otherwise: about to forget the doorbell."""


def found_nothing(s: State) -> None:
    """Read the owner byte; if the slot is the host's, forget the doorbell next."""
    nothing = s.tx.stage == Stage.IDLE
    s.tx.stage = If(nothing, FORGETTING, s.tx.stage)


def forgets(s: State) -> None:
    """Forget the doorbell, after having looked."""
    s.require(running(s) & (s.tx.stage == FORGETTING))
    s.tx.look = FALSE
    s.tx.stage = constant(Stage.IDLE)


LOOK_CLEARED_LATE: Final = FaultCase(
    described("look-cleared-late"),
    both(
        then("tx.examine", found_nothing),
        also(Rule("tx.forget", Party.DEVICE, "Rings: Transmit", (), "tx.engine", forgets)),
    ),
    sending("tx.look_ahead"),
)


def arrives_nevertheless(s: State, key: Number, length: Number) -> None:
    """A packet arrives, although a STOP was fetched."""
    s.require(running(s) & s.card.started & (s.rx.stage == Stage.IDLE))
    s.require((s.card.filters[key] != 0) & (length <= CAPACITY))
    s.rx.arriving = length
    s.rx.stage = constant(Stage.LOOK)


STOP_STARVES: Final = FaultCase(
    described("stop-starves"),
    replace("rx.arrive", arrives_nevertheless),
    scenario(
        (COMMANDING | RECEIVING) - {"begin_read", "begin_filter"},
        acts=(opens(), closes(lambda s: (s.cmd.stage == Stage.STOPPING) & s.threads.asleep[USER])),
        story="user 2 opens the card and closes it; the card has fetched STOP",
        limits={"rx.arrive": {"length": (0,)}},
        words=(9999, 0),
    ),
    sizes=(1,),
    keeps=lambda s: at(s, USER, Label.CMD_WAIT) & (s.cmd.stage == Stage.STOPPING),
)

SCANS_AFTER_RESET: Final = FaultCase(
    described("scans-after-reset"),
    leaves("write_reset", "card.started", "Write FLAGS.RST; the card does not stop its traffic."),
    scenario(
        RESETTING | {"tx.look_ahead"},
        acts=(opens(), fails(), closes(lambda s: holds(s, USER, Label.RESET))),
        story="user 2 opens the card, it fails, user 2 closes it",
    ),
    sizes=(1,),
)


def lets_others_in(s: State, t: Number) -> None:
    """Take the slot back, and let whoever waits for the lock go first."""
    unlock(s)
    draw_ticket(s, t)


RECLAIM_STARVES: Final = FaultCase(
    described("reclaim-starves"),
    then("tx.reclaim", lets_others_in),
    scenario(
        (SENDING | COMMANDING) - {"begin_filter"},
        acts=(
            opens(),
            happens("begin_write", t=3, zero=1, nonblocking=1, more=0),
            until(lambda s: at(s, constant(EVENT_THREAD), Label.TX_RECLAIM)),
            happens("begin_filter", t=2, remove=0, key=1),
            happens("begin_write", t=3, zero=1, nonblocking=1, more=0),
            lacking({"tx.completion_found", "tx.no_completion"}, rests()),
        ),
        story="user 2 opens the card and user 3 sends a packet; while the handler takes its slot "
        "back, user 2 asks for a filter and user 3 sends again; the card is done with both",
        limits={"begin_write": {"t": (3,), "zero": (1,), "nonblocking": (1,)}},
        users=2,
    ),
    sizes=(1,),
    keeps=lambda s: And(
        at(s, USER, Label.CMD_WAIT),
        s.cmd.dev != s.cmd.cons,
        at(s, constant(EVENT_THREAD), Label.TX_SCAN, Label.TX_RECLAIM),
    ),
)

CLASSIC: Final[tuple[FaultCase, ...]] = (
    OWNER_FIRST,
    DOORBELL_FIRST,
    WRONG_INDEX,
    NO_DOORBELL,
    WRONG_RING,
    UNBOUNDED_PRODUCER,
    BATCH_UNRUNG,
    BATCH_WAITER,
    CONSUMER_RUNS_AHEAD,
    FLAGS_AFTER_SCAN,
    ONE_PER_INTERRUPT,
    EARLY_RETURN,
    PEEK_UNASKED,
    RXCOMP_ONLY,
    READABLE_ANYWAY,
    LAST_LEAVES_READABLE,
    CLEARED_UNSEEN,
    LOOKS_AFTER_FREE,
    READER_OVERTAKES,
    SLOT_LEAKS,
    NO_LOCK,
    REBASED,
    NOT_READ_BACK,
    INDICES_KEPT,
    BUS_MASTER_FIRST,
    RELAXED_ORDERING,
    LOOK_CLEARED_LATE,
    STOP_STARVES,
    SCANS_AFTER_RESET,
    RECLAIM_STARVES,
)
