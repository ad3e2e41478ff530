"""What is taken for granted: everything that the proofs rest on and that nothing here shows.

An assumption says what the proofs rely on, where it comes from, and what uses it. The proofs hold
for every machine, card and driver of which this list is true, and say nothing about others. Where
the list says that something *may* happen, the proofs allow for it, and a machine that never does it
is covered too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

import attrs

from model.layout import Standing, datasheet

__all__ = ["ABOUT", "ASSUMPTIONS", "Assumption", "assumption_lines"]


@attrs.frozen
class Assumption:
    """One thing that is taken for granted.

    Attributes:
        id: A name that stays.
        about: Whose behaviour it is: processor, bus, card, driver, proof or code.
        statement: What is assumed.
        source: The section of the datasheet, marked F or D as there, or where else it comes from.
        used_by: Patterns of the names of the rules that are only right because of it, or a file.
    """

    id: str
    about: str
    statement: str
    source: str
    used_by: tuple[str, ...]


ABOUT: Final = {
    "processor": "Of the processors and the memory that they share with the card",
    "bus": "Of the bus between processors and card",
    "card": "Of the card",
    "driver": "Of the driver, the kernel's locks and sleeping, and the users",
    "proof": "Of the model and of the proofs themselves",
    "code": "Of the proof of the driver's lines (docs/refine.md)",
}
"""What each group of assumptions is about, in the order in which they are printed."""

_ORDER: Final = "Order of memory accesses, D"
_EVENTS: Final = "Rings: Events, F"
_TRANSMIT: Final = "Rings: Transmit, F"
_RECEIVE: Final = "Rings: Receive, F"
_REGISTERS: Final = "Registers"
_CALLS: Final = "What the character device offers, F"
_USUAL: Final = "usual practice"

_PROCESSOR: Final = (
    Assumption(
        "store-buffer",
        "processor",
        "A store may become visible to the card at any later time and in any order with stores to "
        "other places, unless a barrier stands between them. It does become visible at last.",
        _ORDER,
        ("*_visible",),
    ),
    Assumption(
        "one-place-one-order",
        "processor",
        "Stores to one and the same word become visible in the order in which the driver makes "
        "them; a later one may replace an earlier one that nobody has seen yet.",
        _USUAL,
        ("*.owner_visible", "rx.pointer_visible", "init_command_slot"),
    ),
    Assumption(
        "own-stores-are-seen",
        "processor",
        "A load by a processor yields that processor's own latest store to the word, also while "
        "the card cannot see it yet.",
        _USUAL,
        (
            *("*.completion_found", "*.no_completion", "*.speculate_owner", "rx.packet_found"),
            *("rx.look_at_next", "mark_readable", "no_packet_waits"),
        ),
    ),
    Assumption(
        "lock-orders-processors",
        "processor",
        "What one thread stored before it gave up the lock is seen by the thread that gets the "
        "lock next, on whatever processor it runs, and what it loaded before is loaded by then: to "
        "lock is an acquire, to unlock a release.",
        _USUAL,
        ("*.claim", "*.reclaim", "rx.repost", "exit_call"),
    ),
    Assumption(
        "early-loads",
        "processor",
        "A load may be satisfied ahead of its turn, at any time since the last load barrier before "
        "it in the program; then it yields what the word held at that time.",
        _ORDER,
        ("*.speculate_*",),
    ),
    Assumption(
        "load-barrier",
        "processor",
        "No load that stands after a load barrier, of payload no less than of fields, is satisfied "
        "before the loads that stand before it: between the owner byte and the rest of the slot, "
        "and between EVFLAGS and the first owner byte.",
        _ORDER,
        ("*.speculate_*", "rx.copy_*"),
    ),
    Assumption(
        "store-barrier",
        "processor",
        "When the owner byte becomes visible, every store to its slot and buffers that stands "
        "before the barrier in front of it is visible. Nothing is assumed of other slots.",
        _ORDER,
        ("*.owner_visible",),
    ),
    Assumption(
        "late-loads",
        "processor",
        "A load of payload may be satisfied behind its turn, and then yields what the word held at "
        "that time; at the latest where its thread gives up the lock with which it gives the slot "
        "back. No other load of a slot may be late in a way that matters: its thread gives up the "
        "lock before anybody gives that slot away.",
        _ORDER,
        ("rx.*_late", "exit_call"),
    ),
    Assumption(
        "load-store-barrier",
        "processor",
        "When an owner byte becomes visible, every load and register read that stands before the "
        "barrier between loads and stores in front of it is satisfied.",
        _ORDER,
        ("rx.*_late", "cmd.owner_visible"),
    ),
    Assumption(
        "doorbell-barrier",
        "processor",
        "A doorbell behind a barrier does not reach the card before the owner byte stored in front "
        "of that barrier is visible. Without one a register write may overtake older stores.",
        _ORDER,
        ("*.doorbell_arrives",),
    ),
    Assumption(
        "full-barrier",
        "processor",
        "A full barrier waits until every store before it is visible: after a ring is set up, and "
        "before memory is freed or set up anew.",
        _ORDER,
        ("fence_*", "free_slot", "init_command_slot"),
    ),
    Assumption(
        "no-torn-owner",
        "processor",
        "An owner byte is loaded, stored and transferred whole.",
        _USUAL,
        ("*.owner_visible", "*.examine", "*.completion_found", "rx.packet_found", "mark_readable"),
    ),
    Assumption(
        "coherent-dma",
        "processor",
        "Once a write of the card's is visible, every later load of a processor yields it; no "
        "cache has to be cleaned. The memory of rings and buffers is written by nobody else.",
        _USUAL,
        ("*.complete", "cmd.write_status", "rx.write_*"),
    ),
)

_BUS: Final = (
    Assumption(
        "posted-writes-in-order",
        "bus",
        "Register writes are posted: they reach the card any time later, in the order in which "
        "the driver made them. The proofs use that order within a ring's doorbells, and between "
        "doorbells and the writes of reset and ring addresses.",
        _ORDER,
        ("*.doorbell_arrives", "write_reset", "write_packet_bases", "packet_bases_arrive"),
    ),
    Assumption(
        "posted-writes-arrive",
        "bus",
        "A register write reaches the card at last. Any number of doorbells from 1 on may be under "
        "way at once (POSTED); with that many under way, the next one waits.",
        _USUAL,
        ("*.doorbell_arrives", "*.ring_doorbell"),
    ),
    Assumption(
        "registers-in-program-order",
        "bus",
        "A register read is answered when the register writes before it in the program have "
        "arrived, and loads and stores of registers are not merged, repeated or guessed.",
        _USUAL,
        ("read_events", "mark_failed", "reset_done", "poll_again", "read_back"),
    ),
    Assumption(
        "register-set-as-one",
        "bus",
        "Base and shift of a ring act as one write: a driver writes the shift first. Those of the "
        "packet rings arrive later, together. Those of the command ring act as soon as they are "
        "written, which makes no difference: the card does nothing with the ring before.",
        "Registers, F; one 8-byte access for a base; impl/lifecycle.py does so, under test",
        ("write_command_base", "write_packet_bases", "packet_bases_arrive"),
    ),
    Assumption(
        "dma-writes-in-order",
        "bus",
        "The card's writes to memory become visible in the order in which it makes them: posted "
        "writes, with relaxed ordering off.",
        _ORDER,
        ("*.complete", "cmd.write_status", "rx.write_*"),
    ),
    Assumption(
        "event-after-data",
        "bus",
        "Whoever reads an event bit or gets vector 0 also sees the memory that the card wrote "
        "before: a register read and an interrupt message push earlier writes in front of them.",
        "Order of memory accesses, D; Rings: Events, F",
        ("*.set_event", "card.raise_vector0", "read_events"),
    ),
    Assumption(
        "vector-not-lost",
        "bus",
        "A vector that was raised is delivered at last. Several may be delivered as one, and one "
        "may be spurious.",
        _EVENTS,
        ("event_interrupt", "fatal_interrupt", "card.raise_vector0", "card.spurious_vector0"),
    ),
    Assumption(
        "bus-mastering",
        "bus",
        "A card whose Bus Master bit is clear accesses no memory; its registers work. The bit is "
        "clear when the driver takes hold of the card, whoever had it before, and from then on "
        "only the driver changes it; once it is set it stays so until the driver lets go of the "
        "card.",
        "Identity, D; Power-on and takeover, D; impl/uio_backend.py and impl/vfio_backend.py clear "
        "it, under test",
        ("enable_bus_master", "*.fetch", "*.examine", "rx.write_*"),
    ),
    Assumption(
        "memory-in-reach",
        "bus",
        "The card reaches all memory whose addresses it is given, and no other step of the machine "
        "takes that memory away: FLTB and FLTR never come from a legal address.",
        "Registers, D",
        ("*.fetch", "rx.write_*"),
    ),
    Assumption(
        "card-stays",
        "bus",
        "The card is not pulled out and its registers answer; a card that died reads as one that "
        "has an error or never ends its reset.",
        _USUAL,
        ("mark_failed", "poll_again", "reset_done"),
    ),
)

_CARD: Final = (
    Assumption(
        "walks-in-order",
        "card",
        "The card walks each ring in order from slot 0 and keeps its own index. START puts the "
        "packet rings' indices back to 0, a reset all of them, and nothing else changes them.",
        "Rings, F for the walk, D for what resets the index",
        ("*.complete", "cmd.execute", "write_reset", "poll_again"),
    ),
    Assumption(
        "owner-first-owner-last",
        "card",
        "The card reads the owner byte before anything else of a slot, touches the rest of the "
        "slot and its buffers only if the byte says DEVICE, and writes the byte last. It keeps "
        "nothing that it read of a slot beyond that.",
        "Rings, F",
        ("*.examine", "*.fetch", "*.complete"),
    ),
    Assumption(
        "doorbell-remembered",
        "card",
        "A doorbell makes the card look at the slot at its index, and go on up to the slot that "
        "the newest doorbell named. It forgets the doorbell before it looks, not after. It may "
        "also look without one.",
        "Registers, F for the doorbell, D for the rest",
        ("*.look", "*.look_ahead", "*.complete", "*.doorbell_arrives"),
    ),
    Assumption(
        "engines-move",
        "card",
        "An engine that could go on does so at last, each for itself: sending, executing, "
        "receiving, setting each event bit, raising vector 0 (weak fairness).",
        "D",
        ("*.complete", "*.set_event", "card.raise_vector0"),
    ),
    Assumption(
        "sends-what-it-read",
        "card",
        "The card sends the payload from the buffers that the slot names when it owns the slot, "
        "reads none for a packet of length 0, and uses neither pktlen nor src of a slot to send.",
        "Rings: Transmit, F, D for src",
        ("tx.fetch", "tx.read_*", "tx.send"),
    ),
    Assumption(
        "receives-into-the-slot",
        "card",
        "The card fills the slot at its index in order, buffers first, then length and addresses, "
        "then the owner byte. Without a slot, or for a packet longer than the buffers, it drops "
        "the packet and touches nothing.",
        _RECEIVE,
        ("rx.*",),
    ),
    Assumption(
        "lengths-may-lie",
        "card",
        "A received length is at most 16384 unless the card lies. It may lie in any slot at any "
        "time; then the driver still never copies more than the buffers hold. A lying card obeys "
        "all else on this list.",
        "D",
        ("rx.lie", "rx.receive_packet", "rx.arrive"),
    ),
    Assumption(
        "events-after-completion",
        "card",
        "The card sets an event bit after the completion that it tells of, then raises vector 0. "
        "Reading EVFLAGS clears exactly what was read. The driver uses no particular bit: it looks "
        "at all rings.",
        _EVENTS,
        ("*.set_event", "card.raise_vector0", "read_events"),
    ),
    Assumption(
        "commands-in-order",
        "card",
        "The card executes commands one at a time in ring order, and writes the error byte before "
        "the owner byte.",
        "Rings: commands, F",
        ("cmd.*",),
    ),
    Assumption(
        "filters-by-commands",
        "card",
        "Only commands and reset change the filter table. It has 16 entries, the same filter may "
        "be in it several times, and RMFILT removes one of them; a full table answers 'no space', "
        "a missing entry 'no match'.",
        "Rings: commands, F; 16 entries, D",
        ("cmd.execute", "write_reset", "rx.arrive"),
    ),
    Assumption(
        "filter-accepts",
        "card",
        "The card receives a packet only while started, and only if some filter in the table "
        "accepts it: destination & mask == address & mask.",
        "Rings: Filters, D",
        ("rx.arrive",),
    ),
    Assumption(
        "stop-means-stopped",
        "card",
        "Once the card has fetched STOP it begins no new work that would keep the command waiting; "
        "when it answers, it touches neither packet ring nor any buffer. Transmit slots that it "
        "still owns it may finish or leave.",
        "Rings: commands, F; slots left, D",
        ("cmd.stopped", "tx.look", "rx.arrive*", "free_slot"),
    ),
    Assumption(
        "halts-on-error",
        "card",
        "The card may fail at any moment. With an error bit in FLAGS it starts nothing, touches no "
        "memory and raises vector 1; only a reset revives it.",
        "Registers, D",
        ("card.fatal_error", "*.examine", "*.complete"),
    ),
    Assumption(
        "left-in-any-state",
        "card",
        "A run begins with the card in any state that somebody may have left it in. As long as it "
        "may not access memory its engines stand still. Those of a real card may still finish what "
        "needs no memory, but the host learns of that by FLAGS, EVFLAGS and the vectors only: "
        "FLAGS may name an error at any moment, vector 0 may be spurious, no event bit is used.",
        "Power-on and takeover, D",
        ("write_reset", "enable_bus_master", "card.fatal_error", "card.spurious_vector0"),
    ),
    Assumption(
        "reset-forgets",
        "card",
        "Writing RST ends all work at once and forgets rings, indices, filters, doorbells and "
        "events. After a reset no ring is touched before its address is written again.",
        "Registers, F for RST, D for what it forgets",
        ("write_reset", "poll_again", "cmd.look*"),
    ),
    Assumption(
        "reset-ends",
        "card",
        "A reset ends: FLAGS reads 0 at last, unless the card fails again. That an open makes the "
        "card usable again after a failure (recoverability) is shown where FLAGS reads 0 within "
        "the driver's number of reads, the card does not fail again during that open, and no "
        "signal interrupts it; nothing else rests on any of these.",
        "Registers, D",
        ("card.reset_over", "reset_done", "give_up_reset"),
    ),
    Assumption(
        "says-when-order-is-broken",
        "card",
        "START while started, STOP while stopped, a doorbell for a ring without address or beyond "
        "it set FLAGS.SEQ and are fatal. The driver is shown never to do any of these.",
        "Registers, D",
        ("cmd.execute", "*.doorbell_arrives", "write_packet_bases"),
    ),
)

_DRIVER: Final = (
    Assumption(
        "fair-lock",
        "driver",
        "One lock serialises the driver, and threads get it in the order in which they ask. With a "
        "lock that may prefer newcomers all that concerns safety still holds, but no bound on "
        "waiting does.",
        "D",
        ("*",),
    ),
    Assumption(
        "threads-move",
        "driver",
        "A thread that could go on does so at last, the two interrupt threads included. It holds "
        "the lock for the steps of the model only; with the lock held it waits for nothing but "
        "posted writes to arrive and a fixed number of reads of FLAGS.",
        _USUAL,
        ("exit_call", "event_interrupt", "fatal_interrupt", "*.reclaim"),
    ),
    Assumption(
        "sleep-is-atomic",
        "driver",
        "Giving up the lock and starting to wait is one step, as with a condition variable: a "
        "wake-up in between is not lost. A sleeper that is woken gets up at last.",
        _USUAL,
        ("*.wait_for_*", "wait_for_leavers", "drain", "open_waits", "rx.nothing_to_read", "wake"),
    ),
    Assumption(
        "wakes-without-reason",
        "driver",
        "A sleeper may wake spuriously. A signal or time limit may end the sleep of any "
        "call; in a close it ends the wait for packets still being sent, or for the answer to a "
        "command, after which the card is reset; not the wait for calls to leave.",
        _CALLS,
        ("spurious_wakeup", "interrupt", "interrupt_open", "stop_draining"),
    ),
    Assumption(
        "one-thread-a-vector",
        "driver",
        "Each vector is served by one thread at a time; one that is raised meanwhile is served "
        "afterwards.",
        _USUAL,
        ("event_interrupt", "fatal_interrupt"),
    ),
    Assumption(
        "memory-comes-dirty",
        "driver",
        "Memory that is allocated holds anything, owner bytes included. If allocation fails, the "
        "open ends before the card is told of any of it.",
        _USUAL,
        ("init_transmit_slot", "init_receive_pointer"),
    ),
    Assumption(
        "payload-in-the-slot",
        "driver",
        "Payload to send is in the slot's buffers before the slot is handed over, and nobody "
        "changes it until the slot comes back. Whether the driver copies it there or lends the "
        "caller's pages for that time makes no difference. A received packet is copied out before "
        "its slot is given back.",
        _TRANSMIT,
        ("tx.store_*", "rx.copy_*", "rx.repost"),
    ),
    Assumption(
        "rings-of-one-size",
        "driver",
        "The three rings have the same number of slots N, a power of two from 1 to 4096. In "
        "unbounded integers N is any number from 1 on.",
        "Rings, F (the driver); shifts 0 to 12, D",
        ("*",),
    ),
    Assumption(
        "closes-what-it-opened",
        "driver",
        "A user closes only what is open. Otherwise users may do anything, in any number of "
        "threads and at any time.",
        _CALLS,
        ("begin_*", "close_*"),
    ),
    Assumption(
        "reads-of-flags",
        "driver",
        "A reset reads FLAGS a fixed number of times before it gives up: any number from 1 on "
        "(POLLS).",
        "D",
        ("poll_again", "give_up_reset"),
    ),
    Assumption(
        "counters-wrap",
        "driver",
        "In machine arithmetic counters have 32 bits and are compared by their distance. Fewer "
        "than 2^31 tickets, positions in a queue, callers inside, opens and posted doorbells are "
        "outstanding at any moment, those of callers that cancelled while the head of the queue "
        "waits included, and no user is thread 2^32 - 1, which stands for nobody.",
        "32-bit words",
        ("*.claim", "enter_*", "begin_*", "*.cancel_waiting", "*.ring_doorbell"),
    ),
)

_PROOF: Final = (
    Assumption(
        "steps-interleave",
        "proof",
        "Whatever happens is a sequence of the steps of the model, one after the other. A step "
        "touches at most one place that both sides may touch at the time, or only places that the "
        "lock or the owner byte reserves for it.",
        "model",
        ("*",),
    ),
    Assumption(
        "two-words-of-payload",
        "proof",
        "Two words stand for a payload, an early and a late one: what holds for any two words "
        "written and read in this order holds for all. The fields of a slot are one word, since "
        "nothing ever depends on their order among themselves.",
        "model",
        ("tx.store_*", "tx.read_*", "rx.write_*", "rx.copy_*"),
    ),
    Assumption(
        "data-is-a-number",
        "proof",
        "Packets and commands are known by their numbers, and a word holds the number of what it "
        "was written for. No step decides anything by such a number, so what holds for numbers "
        "holds for any contents.",
        "model",
        ("*.store_fields", "*.fetch", "*.reclaim", "rx.receive_packet"),
    ),
    Assumption(
        "data-of-one-round",
        "proof",
        "In machine arithmetic the number of a packet is a word of 32 bits as well, and comes "
        "round. A word of memory that still holds what was written there exactly 2^32 packets or "
        "commands before, or a multiple of that, is taken for the present one's. In unbounded "
        "integers no number comes round, and data of any age is told apart.",
        "32-bit words",
        ("*.store_fields", "tx.store_*", "*.reclaim", "rx.write_*"),
    ),
    Assumption(
        "one-write-for-a-batch",
        "proof",
        "A driver that hands several packets over may write DBELL once, with the last slot's "
        "index, before it sleeps or gives up the lock. In the model each packet has a doorbell of "
        "its own; that one write is these doorbells arriving at one moment, and the card cannot "
        "tell the difference.",
        "model",
        ("tx.next_of_batch", "tx.ring_doorbell", "tx.doorbell_arrives"),
    ),
    Assumption(
        "filters-are-keys",
        "proof",
        "A filter, its mask and address, is one opaque key; two filters are the same or not.",
        "model",
        ("begin_filter", "cmd.execute", "rx.arrive"),
    ),
    Assumption(
        "one-stands-for-all",
        "proof",
        "What is shown for an arbitrary slot, thread, ticket or filter holds for each. What is "
        "shown to hold at power-on and to be kept by each step holds in every run. A rank that "
        "only ever falls, and falls whenever its helper moves, comes to an end.",
        "model",
        ("engine/obligations.py", "engine/induction.py", "engine/leads_to.py"),
    ),
    Assumption(
        "one-source",
        "proof",
        "What is proved, searched, run and drawn are the same terms, made from the rules in model/ "
        "by engine/rules.py. That the compiled form means the same is tested, not proved.",
        "model",
        ("engine/rules.py", "engine/codegen.py", "engine/smt.py"),
    ),
    Assumption(
        "solver-is-right",
        "proof",
        "The solver's 'unsat' is right. With --solver both two independent solvers have to say it.",
        "Z3 and cvc5",
        ("engine/solvers.py",),
    ),
    Assumption(
        "specification-not-code",
        "proof",
        "Of the driver's code only what docs/refine.md names is proved. That the rest follows the "
        "specification is shown by comparing it in sampled runs, access by access "
        "(docs/comparison.md).",
        "model",
        ("model/*.py",),
    ),
)

_CODE: Final = (
    Assumption(
        "code-statement",
        "code",
        "What an access is in the words of the specification is said by the table of accesses and "
        "the machine that the lines run on, and what the driver's fields mean by a relation. Both "
        "are part of what is claimed, and have to be read.",
        "proof of the lines",
        ("engine/table.py", "proofs/refine/machine.py", "proofs/refine/relation.py"),
    ),
    Assumption(
        "code-stand-ins",
        "code",
        "What stands in for numbers, deques, lists, range, len, min and bytes does what these do. "
        "It is tested against them, not proved. A request stands for the thread that waits for it.",
        "proof of the lines",
        ("engine/refine/values.py", "proofs/refine/stand_ins.py", "proofs/refine/driver.py"),
    ),
    Assumption(
        "code-lock",
        "code",
        "The runtime's lock does what impl/runtime.py says: while a thread has it no other one "
        "runs lines that need it, it goes to threads in the order in which they ask, relock() "
        "says that nobody had it only where nobody asked, and to take it or give it up orders "
        "memory accesses as acquire and release barriers do.",
        "impl/runtime.py",
        ("engine/refine/rely.py", "proofs/refine/scene.py"),
    ),
    Assumption(
        "code-barriers",
        "code",
        "The machine's barriers do what impl/memory.py says; that this is enough is proved "
        "(code/machine/...). Of each word only the next load is "
        "satisfied early, and not before the load of that word which precedes it.",
        "impl/memory.py",
        ("proofs/refine/orders.py",),
    ),
    Assumption(
        "code-signals",
        "code",
        "A signal ends a sleep and nothing else, which impl/shield.py sees to, and no access to "
        "memory, registers or the lock raises. Lines that only such an error reaches are not run.",
        "impl/runtime.py",
        ("proofs/refine/machine.py", "proofs/refine/coverage.py"),
    ),
    Assumption(
        "code-others",
        "code",
        "Lines that are compared and not proved (docs/refine.md names them) keep the relation "
        "wherever they give up the lock, and touch what the driver keeps only with the lock.",
        "docs/comparison.md",
        ("proofs/refine/relation.py",),
    ),
    Assumption(
        "code-ways",
        "code",
        "CPython runs the lines as they are written; a copy of a process goes on as it would have "
        "itself; and what is known where a way is cut is all that its rest depends on.",
        "proof of the lines",
        ("engine/refine/explorer.py", "proofs/refine/scene.py"),
    ),
)

ASSUMPTIONS: Final = (*_PROCESSOR, *_BUS, *_CARD, *_DRIVER, *_PROOF, *_CODE)
"""All of them, group by group."""


def assumption_lines(width: int = 100) -> Iterator[str]:
    """The whole list as text, grouped and numbered; then the datasheet's own decisions."""
    number = 0
    for about, title in ABOUT.items():
        yield title
        for item in ASSUMPTIONS:
            if item.about == about:
                number += 1
                yield from _wrapped(f"{number:>4}. {item.id}: ", item.statement, item.source, width)
        yield ""
    yield "Figures of the datasheet that are decisions (D): no public document gives them"
    for entry in datasheet():
        if entry.standing is Standing.DECISION:
            yield f"      {entry.section}, {entry.name}: {entry.value} ({entry.meaning})"


def _wrapped(head: str, statement: str, source: str, width: int) -> Iterator[str]:
    yield from textwrap.wrap(
        f"{head}{statement} [{source}]", width, subsequent_indent=" " * 6, break_long_words=False
    )
