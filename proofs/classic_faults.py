"""Classic mistakes with rings, doorbells, interrupts and resets, each as a small change.

Neither public driver of this card makes them; every driver writer has met them. The last ones are
mistakes of a card: what the protocol needs from the other side.
"""

from __future__ import annotations

from typing import Final

from engine.mutations import (
    also,
    both,
    leaves,
    replace,
    then,
    unlocked,
)
from engine.rules import Party, Rule
from engine.terms import FALSE, TRUE, And, Bool, If, Number, constant
from model.device_spec import running
from model.driver_spec import events_served
from model.ring_spec import TRANSMIT, call_must_end, packet_waits, store_owner
from model.state import CAPACITY, EVENT_THREAD, POSTED, Label, Life, Stage, State
from model.thread_spec import at, draw_ticket, holds, unlock
from proofs.fault_case import Case, Fault
from proofs.scenarios import (
    COMMANDING,
    DEADLOCK_FREEDOM,
    HANDLER,
    NO_ACCESS_AFTER_FREE,
    OPENING,
    RACE_FREEDOM,
    READING,
    RECEIVING,
    RESETTING,
    SENDING,
    Scenario,
    calls,
    happens,
    lacking,
    opens,
    rests,
    until,
)

__all__ = ["CLASSIC"]

USER: Final = constant(2)
OTHER: Final = constant(3)
EMPTY: Final = {"begin_write": {"zero": (1,), "nonblocking": (0,)}}
"""Blocking writes of empty packets: the payload plays no part."""
FRESH_MEMORY: Final = {
    "init_transmit_slot": {"stale": (0,)},
    "init_receive_pointer": {"stale": (0,)},
}
"""New memory happens to say that the host owns each slot."""
ONE_FILTER: Final = {"begin_filter": {"remove": (0,)}}


def classic(name: str, title: str, explanation: str, broken: str) -> Fault:
    """A fault that neither public driver has."""
    return Fault(name, "classic", title, explanation, broken)


# Handing a slot over


def hands_over_first(s: State, t: Number) -> None:
    """Claim the slot and store owner = DEVICE at once; the fields come afterwards."""
    s.tx.owner_new[s.tx.prod_i] = True
    s.tx.owner_pending[s.tx.prod_i] = True


def owner_stored_already(s: State, t: Number) -> None:
    """The owner byte was stored already: count the slot as handed over."""
    pending = s.tx.owner_pending[s.tx.prod_i]
    new = s.tx.owner_new[s.tx.prod_i]
    slot = s.tx.prod_i
    store_owner(TRANSMIT, s, t)
    s.tx.owner_pending[slot] = pending
    s.tx.owner_new[slot] = new


OWNER_FIRST: Final = Case(
    classic(
        "owner-before-fields",
        "the owner byte is stored before the fields and the payload",
        """
        Storing owner = DEVICE hands the slot and its buffers to the card. The driver does that
        first and fills in the rest afterwards. The card may look at the slot in between, and sends
        whatever the memory held before.
        """,
        "transmit-fifo",
    ),
    both(then("tx.claim", hands_over_first), replace("tx.store_owner", owner_stored_already)),
    Scenario(SENDING | {"tx.look_ahead"}, limits=EMPTY),
)


def doorbell_next(s: State, t: Number) -> None:
    """Store the slot's fields; the doorbell comes next."""
    s.threads.pc[t] = Label.TX_DOORBELL


def owner_next(s: State, t: Number) -> None:
    """Write the slot's index to DBELL; the owner byte comes next."""
    s.threads.pc[t] = Label.TX_OWNER


def then_leaves(s: State, t: Number) -> None:
    """Store owner = DEVICE, after the doorbell was rung."""
    s.threads.pc[t] = Label.TX_LEAVE_QUEUE


DOORBELL_FIRST: Final = Case(
    classic(
        "doorbell-before-owner",
        "the doorbell is rung before the owner byte is stored",
        """
        The doorbell tells the card to look at the slot. If it arrives before the owner byte says
        DEVICE the card finds a slot of the host's, and goes back to rest. Then the owner byte is
        stored, too late: no doorbell will ring for this slot again, and the writer waits for ever.
        """,
        DEADLOCK_FREEDOM,
    ),
    both(
        then("tx.store_fields", doorbell_next),
        then("tx.ring_doorbell", owner_next),
        then("tx.store_owner", then_leaves),
    ),
    Scenario(SENDING, limits=EMPTY),
)


def names_next_slot(s: State, t: Number) -> None:
    """Write the producer index to DBELL, which is the next slot's by now."""
    s.tx.doorbell_value[s.tx.doorbells_posted - 1] = s.tx.prod_i


WRONG_INDEX: Final = Case(
    classic(
        "doorbell-wrong-index",
        "the doorbell names the slot after the one handed over",
        """
        The doorbell carries the index of the slot just handed over. The driver advances its
        producer index first and then writes that index, which is the next slot's. The card is sent
        to a slot that was not handed over. On a ring with one slot both are the same.
        """,
        "doorbell-index",
    ),
    then("tx.ring_doorbell", names_next_slot),
    Scenario(SENDING, limits=EMPTY),
    sizes=(2,),
)

NO_DOORBELL: Final = Case(
    classic(
        "no-doorbell",
        "the doorbell is not rung at all",
        """
        The driver fills in the slot and hands it over, but does not write DBELL. A card that looks
        at its ring only when told to never finds the packet, and the writer waits for ever.
        """,
        DEADLOCK_FREEDOM,
    ),
    leaves(
        "tx.ring_doorbell",
        "tx.doorbells_posted",
        "The slot is handed over; the doorbell is left out.",
    ),
    Scenario(SENDING, limits=EMPTY),
)


def rings_command_bell(s: State, t: Number) -> None:
    """Write the slot's index to DBELL without bit 31: that is the command ring's doorbell."""
    s.require(holds(s, t, Label.TX_DOORBELL))
    s.require(s.cmd.doorbells_posted - s.cmd.doorbells_arrived < POSTED, "room for a posted write")
    s.cmd.doorbell_value[s.cmd.doorbells_posted] = s.threads.slot[t]
    s.cmd.doorbells_posted = s.cmd.doorbells_posted + 1
    s.tx.waiters.head = s.tx.waiters.head + 1
    s.threads.pc[t] = Label.TX_LEAVE_QUEUE


WRONG_RING: Final = Case(
    classic(
        "doorbell-wrong-ring",
        "the doorbell for a packet lacks bit 31, so it rings for the command ring",
        """
        Bit 31 of DBELL says which ring is meant. The driver leaves it clear after handing over a
        packet. The card looks at the command ring, finds nothing there, and never looks at the
        packet; the writer waits for ever.
        """,
        DEADLOCK_FREEDOM,
    ),
    replace("tx.ring_doorbell", rings_command_bell),
    Scenario(SENDING | {"cmd.doorbell_arrives", "cmd.look", "cmd.examine"}, limits=EMPTY),
)


def claims_any(s: State, t: Number) -> None:
    """The first in line takes the next slot, whether it is free or not."""
    ring = s.tx
    s.require(holds(s, t, Label.TX_TURN) & (ring.waiters.head == s.threads.queue_position[t]))
    slot = ring.prod_i
    s.threads.slot[t] = slot
    s.threads.request[t] = ring.prod
    s.threads.completed[t] = False
    ring.sequence[slot] = ring.prod
    ring.zero[slot] = s.threads.zero[t]
    s.threads.pc[t] = Label.TX_FIELDS


UNBOUNDED_PRODUCER: Final = Case(
    classic(
        "producer-unbounded",
        "the producer index is not bounded by the consumer's",
        """
        The driver does not check whether the ring is full. With as many packets under way as there
        are slots the next one goes into a slot that the card still owns, and overwrites a packet
        that was not sent yet.
        """,
        "flow-control",
    ),
    replace("tx.claim", claims_any),
    Scenario(SENDING, limits={"begin_write": {"zero": (1,), "nonblocking": (1,)}}),
)

# Several packets, one doorbell

BATCHING: Final = Scenario(
    SENDING | {"tx.next_of_batch"},
    limits={**EMPTY, "tx.next_of_batch": {"zero": (1,)}},
    counts=(1,),
)
"""Blocking writes of two empty packets each."""

BATCH_UNRUNG: Final = Case(
    classic(
        "batch-sleeps-unrung",
        "a batch rings only after its last packet, but sleeps on a full ring before that",
        """
        To spare register writes the driver hands over several packets and rings the doorbell once,
        after the last one. With fewer free slots than packets it finds the ring full on the way and
        sleeps until the card returns a slot. But the card was not told of the packets that it has
        been given already: it rests, no slot ever comes back, and the writer sleeps for ever.
        """,
        DEADLOCK_FREEDOM,
    ),
    leaves(
        "tx.next_of_batch",
        "tx.doorbells_posted",
        "Go on to the next packet; the doorbell is rung later.",
    ),
    BATCHING,
    sizes=(1,),
    shows=lambda s: at(s, USER, Label.TX_TURN),
)

BATCH_WAITER: Final = Case(
    classic(
        "batch-waits-for-first",
        "each packet of a batch has its writer told, and the first completion ends the wait",
        """
        A writer of several packets waits for the last one, since the card sends them in order. The
        driver notes the writer as the one to be told at every slot of the batch and not at the last
        one only. When the first packet is sent the writer is told that its packet is done, and
        returns while the others are still on their way.
        """,
        "own-result",
    ),
    leaves("tx.next_of_batch", "tx.waiter", "Ring the doorbell; the writer is told of this too."),
    BATCHING,
    sizes=(2,),
)

# Taking a slot back


def finds_without_looking(s: State, t: Number) -> None:
    """Something is outstanding: take its slot, without a look at the owner byte."""
    s.require(holds(s, t, Label.TX_SCAN) & (s.tx.cons != s.tx.prod))
    s.threads.pc[t] = Label.TX_RECLAIM


CONSUMER_RUNS_AHEAD: Final = Case(
    classic(
        "consumer-runs-ahead",
        "the consumer is advanced past a slot that the card still owns",
        """
        On an interrupt the driver takes back the oldest slot without checking that the card has
        returned it. Interrupts may be spurious, or meant for another ring: the packet is reported
        as sent, and its slot is used again, while the card is still at it.
        """,
        "flow-control",
    ),
    replace("tx.completion_found", finds_without_looking),
    Scenario(SENDING | {"card.spurious_vector0"}, limits=EMPTY),
)


def scans_first(s: State, t: Number) -> None:
    """Vector 0 is delivered: the rings are scanned first."""
    s.threads.pc[t] = Label.CMD_SCAN


def reads_flags_last(s: State, t: Number) -> None:
    """Nothing more to take from the transmit ring: read EVFLAGS now."""
    s.threads.pc[t] = Label.READ_EVENTS


def then_readable(s: State, t: Number) -> None:
    """Read EVFLAGS, which clears it, after the rings were scanned."""
    s.threads.pc[t] = Label.RX_READY


FLAGS_AFTER_SCAN: Final = Case(
    classic(
        "flags-after-scan",
        "EVFLAGS is read after the completion scan instead of before it",
        """
        Reading EVFLAGS clears it. The driver first takes back all completed slots and then reads
        EVFLAGS to acknowledge them. A packet that completes between the two sets its event bit, the
        read clears the bit, and nobody has looked at the slot: the completion was acknowledged
        without being handled. With its bit cleared the card has no reason to interrupt again.
        """,
        "no-lost-completion",
    ),
    both(
        then("event_interrupt", scans_first),
        then("tx.no_completion", reads_flags_last),
        then("read_events", then_readable),
    ),
    Scenario(SENDING | {"card.spurious_vector0", "card.withdraw_vector0"}, limits=EMPTY),
    settles=True,
)


def takes_one(s: State, t: Number) -> None:
    """Take the slot back; one is enough: go on to the next ring."""
    s.threads.pc[t] = Label.RX_READY


ONE_PER_INTERRUPT: Final = Case(
    classic(
        "one-per-interrupt",
        "only one completion is taken back per interrupt",
        """
        Several completions may share one interrupt. The handler takes back one slot and returns.
        The other completed slot has no interrupt of its own: it is not taken back until something
        else completes, and whoever waits for it waits for ever.
        """,
        "no-lost-completion",
    ),
    then("tx.reclaim", takes_one),
    Scenario(SENDING, limits=EMPTY, users=2),
    sizes=(2,),
    settles=True,
)


# Receiving


def returns_first(s: State, t: Number) -> None:
    """Look at the next slot, and go to give this one back before anything is copied."""
    s.threads.pc[t] = Label.RX_POINTER


def copies_later(s: State, t: Number) -> None:
    """Store owner = DEVICE; the payload is copied afterwards."""
    s.threads.pc[t] = Label.RX_FIRST_WORD
    unlock(s)


def copied_at_last(s: State, t: Number) -> None:
    """Copy a late word of the payload, from a slot that was given back already."""
    s.threads.pc[t] = Label.EXIT
    draw_ticket(s, t)


EARLY_RETURN: Final = Case(
    classic(
        "returned-before-copied",
        "a receive slot is given back before the payload was copied",
        """
        The driver gives the slot back to the card as soon as it has read the header, and copies the
        payload to the reader afterwards. The card may put the next packet into the same buffers
        while the copy is under way: the reader gets a mixture of two packets.
        """,
        RACE_FREEDOM,
    ),
    both(
        then("rx.look_at_next", returns_first),
        then("rx.repost", copies_later),
        then("rx.copy_last_word", copied_at_last),
    ),
    Scenario(RECEIVING, limits={"begin_read": READING}),
    sizes=(1,),
    shows=lambda s: s.threads.pc[USER] == Label.RX_FIRST_WORD,
)


def looks_unasked(s: State, t: Number) -> None:
    """Load the owner byte; a reader that only wants the length goes on whatever it says."""
    s.require(holds(s, t, Label.RX_OWNER) & ~call_must_end(s, t))
    s.require(s.threads.peek[t] | packet_waits(s))
    s.rx.owner_speculated = FALSE
    s.threads.pc[t] = Label.RX_HEADER


PEEK_UNASKED: Final = Case(
    classic(
        "peek-without-owner",
        "the length of the next packet is read without asking who owns the slot",
        """
        A reader may ask how long the next packet is and leave it where it is. It takes nothing, so
        the driver thinks that it may look whoever owns the slot. But then it reads the header while
        the card is writing it: what it returns is the length of an older packet, or of half a one.
        """,
        RACE_FREEDOM,
    ),
    replace("rx.packet_found", looks_unasked),
    Scenario(RECEIVING, limits={"begin_read": {"nonblocking": (0,), "peek": (1,)}}),
    sizes=(1,),
)


def notes_rxcomp(s: State, t: Number) -> None:
    """Read EVFLAGS; only if RXCOMP is set is the card declared readable."""
    s.rx.ready = s.rx.ready | s.rx.event
    s.tx.event = FALSE
    s.cmd.event = FALSE
    s.rx.event = FALSE
    s.rx.dropped = FALSE
    s.require(holds(s, t, Label.READ_EVENTS))
    s.threads.pc[t] = Label.CMD_SCAN


def one_packet_taken(s: State, t: Number) -> None:
    """Load the header; the packet that RXCOMP announced is taken: not readable any more."""
    s.rx.ready = FALSE


RXCOMP_ONLY: Final = Case(
    classic(
        "rxcomp-only",
        "packets are looked for only when RXCOMP is set, although several may share one event",
        """
        The driver takes RXCOMP for "one packet has come": the flag makes the card readable, a
        successful read makes it unreadable again. Two packets that arrive close together set
        RXCOMP once. The first read takes the first packet; the second packet lies in its slot, and
        no reader looks for it until a third one comes.
        """,
        "no-lost-packet",
    ),
    both(
        replace("read_events", notes_rxcomp),
        leaves("mark_readable", "rx.ready", "Nothing more to do: done."),
        then("rx.receive_packet", one_packet_taken),
    ),
    Scenario(
        RECEIVING, limits={"begin_read": READING, "rx.arrive": {"length": (0,)}}, words=(9999, 0)
    ),
    sizes=(2,),
    settles=True,
)


def readable_anyway(s: State, t: Number) -> None:
    """No packet waits; an open card is declared readable all the same."""
    s.rx.ready = s.rx.ready | (s.driver.life == Life.OPEN)


READABLE_ANYWAY: Final = Case(
    classic(
        "readable-at-every-event",
        "the card is declared readable at every interrupt, whether a packet waits or not",
        """
        The handler does not look whether a packet waits: whatever the interrupt was for, it makes
        the card readable. A program that watches the file is told to read, finds nothing, and goes
        back to watch; with every packet that it sends itself it is woken for nothing.
        """,
        "precise-readiness",
    ),
    then("no_packet_waits", readable_anyway),
    Scenario(RECEIVING | {"card.spurious_vector0"}, limits={"begin_read": READING}),
    sizes=(1,),
)

LAST_LEAVES_READABLE: Final = Case(
    classic(
        "last-packet-leaves-readable",
        "whoever takes the last packet leaves the card readable",
        """
        A reader takes a packet and leaves without a look at the next slot. If that was the last
        packet the card stays readable, until somebody tries to read and finds nothing. A program
        that reads one packet whenever it is told that one waits gets stuck in its second read.
        """,
        "precise-readiness",
    ),
    leaves("rx.look_at_next", "rx.ready", "The next reader may go on."),
    Scenario(RECEIVING, limits={"begin_read": READING}),
    sizes=(1,),
)


def clears_unseen(s: State, t: Number) -> None:
    """Not readable any more, without a look at the next slot; the next reader may go on."""
    s.rx.ready = FALSE


CLEARED_UNSEEN: Final = Case(
    classic(
        "readiness-cleared-unseen",
        "a reader declares the card not readable although the next packet is there",
        """
        Two packets share one interrupt, and the handler has made the card readable. The first
        reader takes its packet and clears that, without a look whether another one waits. The
        second packet lies in its slot, and no reader is woken for it until a third one comes.
        """,
        "no-lost-packet",
    ),
    then("rx.look_at_next", clears_unseen),
    Scenario(
        RECEIVING, limits={"begin_read": READING, "rx.arrive": {"length": (0,)}}, words=(9999, 0)
    ),
    sizes=(2,),
    settles=True,
)


def finds_in_freed(s: State, t: Number) -> None:
    """Load the next receive slot's owner byte, on a closed card too: readable; done."""
    s.require(holds(s, t, Label.RX_READY) & packet_waits(s))
    s.rx.ready = TRUE
    events_served(s, t)


def finds_nothing_in_freed(s: State, t: Number) -> None:
    """Load the next receive slot's owner byte, on a closed card too: no packet; done."""
    s.require(holds(s, t, Label.RX_READY) & ~packet_waits(s))
    events_served(s, t)


LOOKS_AFTER_FREE: Final = Case(
    classic(
        "looks-after-free",
        "the handler looks at the receive ring of a card that is closed",
        """
        To tell whether a packet waits the handler looks at the next receive slot, whenever it runs.
        But an interrupt may come late, or without a reason, when the card has been closed and the
        ring's memory was given back: the handler reads memory that belongs to somebody else.
        """,
        NO_ACCESS_AFTER_FREE,
    ),
    both(
        replace("mark_readable", finds_in_freed),
        replace("no_packet_waits", finds_nothing_in_freed),
    ),
    Scenario(
        HANDLER | {"card.spurious_vector0"},
        acts=(opens(), calls("begin_close")),
        story="user 2 opens the card and closes it",
    ),
    sizes=(1,),
)


def never_gives_back(s: State, t: Number) -> None:
    """Leave, whatever the state of the card, without giving the slot back."""
    s.require(holds(s, t, Label.RX_REPOST))
    s.threads.pc[t] = Label.EXIT


SLOT_LEAKS: Final = Case(
    classic(
        "slot-never-returned",
        "a reader may leave without giving its slot back, although the card goes on",
        """
        A reader that looks at a packet in place must give the slot back when it is done. Only when
        the card has failed or is being closed may it leave the slot as it is, since the next open
        sets up all slots anew. The driver takes that way out on an open card too, say when a
        reader is killed: the slot is nobody's, the card never gets past it, and drops all packets
        once it gets there.
        """,
        "no-slot-lost",
    ),
    replace("rx.keep", never_gives_back),
    Scenario(RECEIVING | {"rx.keep"}, limits={"begin_read": READING}),
    sizes=(1,),
)


# Without the lock


def out_of_turn(s: State) -> Bool:
    """Both users fill in a slot at the same time."""
    filling = (Label.TX_FIELDS, Label.TX_OWNER)
    return at(s, USER, *filling) & at(s, OTHER, *filling)


def claims_unlocked(s: State, t: Number) -> None:
    """Claim the next slot without the lock and without a place in the line."""
    s.require(at(s, t, Label.TX_TURN) & (s.tx.prod == s.tx.cons))
    slot = s.tx.prod_i
    s.threads.slot[t] = slot
    s.threads.request[t] = s.tx.prod
    s.threads.completed[t] = False
    s.tx.sequence[slot] = s.tx.prod
    s.tx.zero[slot] = s.threads.zero[t]
    s.threads.pc[t] = Label.TX_FIELDS


NO_LOCK: Final = Case(
    classic(
        "submit-without-lock",
        "a second thread may submit without the lock",
        """
        Claiming a slot, filling it in and advancing the producer index must be one thread's work at
        a time. The driver does not take its lock to send. Two writers see the same free slot, and
        both fill it in: one packet overwrites the other.
        """,
        "mutual-exclusion",
    ),
    both(
        unlocked("enter_write", "The sender goes on without waiting for the lock."),
        replace("tx.claim", claims_unlocked),
    ),
    Scenario(SENDING, limits=EMPTY, users=2),
    shows=out_of_turn,
)


# Reset


def initialises_only(s: State, t: Number) -> None:
    """The first open initialises the command ring anew, without a reset of the card."""
    s.threads.pc[t] = Label.CMD_INIT


REBASED: Final = Case(
    classic(
        "rebased-without-reset",
        "the command ring is set up anew without a reset of the card",
        """
        On every open the driver initialises the command ring, starts again at slot 0, and writes
        CMDBASE. But only a reset puts the card's own command index back to 0. The card goes on
        where it was, the driver puts its first command into slot 0, and the card never finds it.
        """,
        DEADLOCK_FREEDOM,
    ),
    then("open_first", initialises_only),
    Scenario(
        COMMANDING | OPENING | RESETTING,
        acts=(opens(), calls("begin_filter", remove=0, key=1), calls("begin_close")),
        story="user 2 opens the card, adds a filter, and closes the card",
        limits=FRESH_MEMORY,
    ),
    sizes=(2,),
)

INDICES_KEPT: Final = Case(
    classic(
        "indices-kept-over-reset",
        "the driver does not put its indices back to 0 after a reset",
        """
        A reset puts the card's command index back to slot 0. The driver keeps its own index where
        it was before the failure. Its next command goes into some slot in the middle of the ring,
        the card looks at slot 0, and neither finds the other.
        """,
        DEADLOCK_FREEDOM,
    ),
    both(
        leaves("write_command_base", "cmd.prod_i", ""),
        leaves("write_command_base", "cmd.cons_i", "Write CMDBASE; the driver's indices stay."),
    ),
    Scenario(
        COMMANDING | OPENING,
        acts=(
            opens(),
            calls("begin_filter", remove=0, key=1),
            happens("card.fatal_error"),
            rests(),
            calls("begin_close"),
        ),
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
    s.require(s.rx.owner[s.rx.dev_i])
    s.rx.owner[s.rx.dev_i] = False


RELAXED_ORDERING: Final = Case(
    classic(
        "relaxed-ordering",
        "relaxed ordering is switched on: the card's owner write may overtake its other writes",
        """
        The driver relies on the card's writes becoming visible in the order in which they were
        issued: once the owner byte says HOST, header and payload are there. With relaxed ordering
        switched on in the device's PCI Express settings the bus may reorder them. The reader sees
        owner = HOST and reads a header that has not arrived yet.
        """,
        "receive-fifo",
    ),
    also(
        Rule(
            "rx.owner_overtakes", Party.DEVICE, "Order of memory accesses", (), "", owner_overtakes
        )
    ),
    Scenario(RECEIVING, limits={"begin_read": READING}),
    shows=lambda s: at(s, USER, Label.RX_FIRST_WORD, Label.RX_LAST_WORD, Label.RX_POINTER),
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


LOOK_CLEARED_LATE: Final = Case(
    classic(
        "look-cleared-late",
        "the card clears its look-again flag after it looked, not before",
        """
        A doorbell sets a flag in the card: look at the ring again. The card looks at the owner byte
        first, finds a slot of the host's, and then clears the flag. A doorbell that arrives between
        the two is wiped out together with the old one: the card rests with a packet in its ring.
        """,
        DEADLOCK_FREEDOM,
    ),
    both(
        then("tx.examine", found_nothing),
        also(Rule("tx.forget", Party.DEVICE, "Rings: Transmit", (), "tx.engine", forgets)),
    ),
    Scenario(SENDING | {"tx.look_ahead"}, limits=EMPTY),
)


def arrives_nevertheless(s: State, key: Number, length: Number) -> None:
    """A packet arrives, although a STOP was fetched."""
    s.require(running(s) & s.card.started & (s.rx.stage == Stage.IDLE))
    s.require((s.card.filters[key] != 0) & (length <= CAPACITY))
    s.rx.arriving = length
    s.rx.stage = constant(Stage.LOOK)


STOP_STARVES: Final = Case(
    classic(
        "stop-starves",
        "the card starts new work after it has fetched STOP",
        """
        STOP is over when both packet engines are at rest. A card that keeps accepting packets after
        it has fetched STOP may never come to rest on a busy net: each time one packet is done the
        next one is there. STOP never completes, and the close waits for ever.
        """,
        "open-and-close-end",
    ),
    replace("rx.arrive", arrives_nevertheless),
    Scenario(
        (COMMANDING | RECEIVING) - {"begin_read", "begin_filter"},
        acts=(
            opens(),
            happens("begin_close", t=2),
            until(lambda s: (s.cmd.stage == Stage.STOPPING) & s.threads.asleep[USER]),
        ),
        story="user 2 opens the card and closes it; the card has fetched STOP",
        limits={"rx.arrive": {"length": (0,)}},
        words=(9999, 0),
    ),
    sizes=(1,),
    keeps=lambda s: at(s, USER, Label.CMD_WAIT) & (s.cmd.stage == Stage.STOPPING),
)

SCANS_AFTER_RESET: Final = Case(
    classic(
        "scans-after-reset",
        "after a reset the card goes on scanning its rings",
        """
        A reset must make the card forget where its rings are. This card forgets its indices but
        goes on with packet traffic: after the reset the driver frees the buffers, and the card
        reads a transmit slot that is not there any more.
        """,
        "no-dma-after-free",
    ),
    leaves("write_reset", "card.started", "Write FLAGS.RST; the card does not stop its traffic."),
    Scenario(
        RESETTING | {"tx.look_ahead"},
        acts=(
            opens(),
            happens("card.fatal_error"),
            rests(),
            happens("begin_close", t=2),
            until(lambda s: holds(s, USER, Label.RESET)),
        ),
        story="user 2 opens the card, it fails, user 2 closes it",
    ),
    sizes=(1,),
)


def lets_others_in(s: State, t: Number) -> None:
    """Take the slot back, and let whoever waits for the lock go first."""
    unlock(s)
    draw_ticket(s, t)


RECLAIM_STARVES: Final = Case(
    classic(
        "reclaim-starves",
        "the reclaim loop lets submitters in and has no bound: one ring starves the others",
        """
        After each slot that it takes back the handler lets other threads have the lock, and then
        looks for the next slot. A sender that is quick enough always has the next packet sent by
        then. The handler never leaves the transmit ring, and a command that completed long ago is
        never taken back.
        """,
        "requests-complete",
    ),
    then("tx.reclaim", lets_others_in),
    Scenario(
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

CLASSIC: Final[tuple[Case, ...]] = (
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
    SLOT_LEAKS,
    NO_LOCK,
    REBASED,
    INDICES_KEPT,
    RELAXED_ORDERING,
    LOOK_CLEARED_LATE,
    STOP_STARVES,
    SCANS_AFTER_RESET,
    RECLAIM_STARVES,
)
