"""Faults of the C kernel: named small changes of its source, each of which a run must show.

They are to the sources of `impl/datapath/` what `properties.faults` is to the driver in Python. The
changed kernel is compiled over judged primitives, and the comparison looks for a run that deviates.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from impl.datapath.build import build
from impl.datapath.loader import Datapath, load
from impl.datapath.version import FOLDER
from model.state import Label
from properties.driver_source import PRESENT, DriverCode
from properties.fault_runs import (
    EXAMPLES,
    FIRST,
    SCENES,
    SEARCHES,
    Excluded,
    Finding,
    Scene,
    Script,
    a_call_is_turned_away,
    a_packet_is_lent,
    a_packet_is_queued_at_the_close,
    a_packet_is_received,
    at,
    held,
    play,
    search,
    two_packets_for_two_readers,
)
from properties.simulation.simulation import HWADDR, Decision, Setup, Simulation

__all__ = ["KERNEL_FAULTS", "KernelFault", "built", "caught", "judged"]

SOURCE: Final = "ring_kernel.h"
MODULE: Final = "module.c"
TURN: Final = "turn_kernel.h"


@attrs.frozen
class KernelFault:
    """A mistake that the kernel could make.

    Attributes:
        says: What goes wrong.
        old: Text that occurs exactly once in the kernel's source.
        new: What stands there instead.
        scene: Where it shows, if a search would have to look for too long.
        file: Which source.
    """

    says: str
    old: str
    new: str
    scene: Scene | None = None
    file: str = SOURCE

    def apply(self, source: str) -> str:
        """The changed source. Raises `ValueError` unless the text to replace occurs once."""
        if source.count(self.old) != 1:
            raise ValueError(
                f"{self.file} has {source.count(self.old)} places that read {self.old!r}"
            )
        return source.replace(self.old, self.new)


# Scenes


def _a_call_begins_while_the_card_is_being_closed(script: Script) -> None:
    """A packet is under way, a sender about to begin; the card is closed, which takes a while."""

    def apart(simulation: Simulation, decision: Decision) -> bool:
        return held("run", FIRST)(simulation, decision) or held("card")(simulation, decision)

    script.opened()
    script.do("send", 0, HWADDR, (1,), False)
    script.rest(without=held("card"))
    script.do("send", 0, HWADDR, (1,), False)
    script.do("run", FIRST)  # to where it asks for the lock
    script.do("close", 0)
    script.rest(without=apart)
    script.rest(without=held("card"))
    script.rest()


def _a_packet_comes_for_a_reader_in_line_and_another_asks(script: Script) -> None:
    """The first has not got up yet when the second comes. One was received before."""

    def asleep(simulation: Simulation, decision: Decision) -> bool:
        return held("deliver", 0)(simulation, decision) or held("up", FIRST)(simulation, decision)

    a_packet_is_received(script)
    script.happens("receive", 0, True, False)
    script.do("offer", HWADDR, 1)
    script.rest(without=asleep)
    script.do("receive", 0, False, False)
    script.rest(without=asleep)
    script.rest()


def _a_slot_is_held_when_its_turn_comes(script: Script) -> None:
    """Of two slots one is lent; the other's packet is received, and another call asks."""
    a_packet_is_lent(script)
    script.happens("offer", HWADDR, 1)
    script.happens("receive", 0, True, False)
    script.happens("receive", 0, False, False)


def _two_packets_for_a_batch(script: Script) -> None:
    """Two packets of different lengths come, and a user receives them into arrays."""
    script.opened()
    for length in (2, 1):
        script.happens("offer", HWADDR, length)
    script.happens("batch", 0, 3, True)


def _a_packet_comes_for_a_reader_in_line(script: Script) -> None:
    a_packet_is_received(script)
    script.happens("receive", 0, True, False)
    script.happens("offer", HWADDR, 1)


def _a_packet_comes_for_whoever_polls(script: Script) -> None:
    a_packet_is_received(script)
    script.happens("offer", HWADDR, 1)


def _a_close_waits_for_a_packet_to_be_sent(script: Script) -> None:
    a_packet_is_received(script)
    a_packet_is_queued_at_the_close(script)


def _the_owner_of_a_slot_is_seen_first(script: Script) -> None:
    """A slot is given back, and what was stored to it is not visible yet where it need not be."""

    def late(simulation: Simulation, decision: Decision) -> bool:
        kind, *about = decision
        if kind != "show":
            return False
        return "rx.pointer" in simulation.host.memory.pending[about[0]].piece.words

    script.opened()
    script.happens("offer", HWADDR, 1)
    script.do("receive", 0, True, False)
    script.rest(without=late)
    script.rest()


def _another_sends_while_a_sender_waits(script: Script) -> None:
    """The one that waits is told of any change on the ring."""
    script.opened()
    _a_sender_waits_and_another_sends(script, held("card"))
    script.rest()


def _a_packet_is_sent_before_its_sender_gets_up(script: Script) -> None:
    """The sender waits, was woken since another one left the line, and does not get up yet."""

    def apart(simulation: Simulation, decision: Decision) -> bool:
        return held("card")(simulation, decision) or held("up", FIRST)(simulation, decision)

    a_packet_is_received(script)
    _a_sender_waits_and_another_sends(script, apart)
    script.rest(without=held("up", FIRST))
    script.rest()


def _a_sender_waits_and_another_sends(script: Script, meanwhile: Excluded) -> None:
    script.do("send", 0, HWADDR, (1,), True)
    script.until(at(Label.TX_WAIT, asleep=True), without=held("card"))
    script.do("send", 0, HWADDR, (1,), False)
    script.rest(without=meanwhile)


# Faults

_ROOMY: Final = Setup(ring_shift=2)
_RELEASE: Final = "    TRY(RELEASE(p));\n"
_OWNER: Final = "    TRY(STORE_OWNER(&p->ring, slot * SLOT_SIZE + OWNER, DEVICE));\n"
_NUMBERS: Final = "    for (uint64_t number = first; number != end; number++)\n"
_OWNERS: Final = (
    _NUMBERS
    + "        TRY(STORE_OWNER(&p->ring, (number & p->mask) * SLOT_SIZE + OWNER, DEVICE));\n"
)
_HAND_OVER: Final = _RELEASE + _OWNERS
_STORE_FIELDS: Final = "    TRY(STORE_FIELDS(&p->ring, at_slot, fields));\n"
_TO_HAND_OVER: Final = (
    "    return 0;\n}\n\n"
    "/* Make the slots of requests `first` to `end` - 1, which were filled in, the card's. */\n"
    "static int hand_over(struct transmit *p, uint64_t first, uint64_t end)\n{\n"
    "    /* All that was stored to the slots and their buffers is the card's when the owner bytes "
    "are. */\n"
)
_REPOST: Final = _RELEASE + _OWNER + "    p->held[slot] = 0;\n"
_FIELDS: Final = "    const struct fields *own = &p->fields[slot];\n"
_BELL: Final = "    TRY(WRITE_DOORBELL(p, (uint32_t)((end - 1) & p->mask) | 0x80000000u));\n"
_ACQUIRE: Final = (
    "    /* What the card wrote to the slot and its buffers is read after the owner byte. */\n"
    "    TRY(ACQUIRE_SEEN(p));\n"
)
_HEADER: Final = (
    "    TRY(LOAD_BULK(&p->ring, slot * SLOT_SIZE + HEADER_BEGIN, &header, HEADER_SIZE));\n"
)
_ONCE: Final = (
    "    /* Once: a card that does not keep to the rules could change it between two loads. */\n"
)
_ACQUIRE_HEADER: Final = _ACQUIRE + _ONCE + _HEADER
_HEADER_ACQUIRE: Final = _HEADER + "    TRY(ACQUIRE_SEEN(p));\n"
_CHECK: Final = "    if (header.length > BUFFER_SIZE)\n        to->refused = header.length;\n"
_COPY: Final = "    if (to->refused || KEEP(p, to, slot * BUFFER_SIZE, &header) < 0) {\n"
_REFILL: Final = (
    "    TRY(STORE_BULK(&p->ring, slot * SLOT_SIZE + FIELDS_BEGIN, &p->fields[slot], "
    "FIELDS_SIZE));\n"
)

KERNEL_FAULTS: Final[Mapping[str, KernelFault]] = {
    # Sending
    "no-release": KernelFault(
        "The card may see the owner byte before what it owns.",
        _HAND_OVER,
        _OWNERS,
    ),
    "release-behind-owner": KernelFault(
        "The barrier stands behind the store that it is for.",
        _HAND_OVER,
        _OWNERS + _RELEASE,
    ),
    "release-before-each-but-the-last": KernelFault(
        "The barrier stands before the fields of the last packet are stored.",
        _STORE_FIELDS + _TO_HAND_OVER + _RELEASE,
        _RELEASE + _STORE_FIELDS + _TO_HAND_OVER,
    ),
    "first-owner-left-out": KernelFault(
        "The first slot of a batch is filled in and not handed over.",
        _NUMBERS,
        _NUMBERS.replace("first;", "first + (end - first > 1);"),
    ),
    "one-owner-too-many": KernelFault(
        "The slot behind the last of a batch is handed over, which was not filled in.",
        _NUMBERS,
        _NUMBERS.replace("!= end;", "!= end + (end - first > 1);"),
    ),
    "owner-before-fields": KernelFault(
        "The slot is the card's while it is filled in.", _FIELDS, _FIELDS + _OWNER
    ),
    "doorbell-before-owner": KernelFault(
        "The card is told of a slot that is not its own yet.", _HAND_OVER, _BELL + _HAND_OVER
    ),
    "doorbell-without-barrier": KernelFault(
        "The doorbell may overtake the owner byte.", "    TRY(BEFORE_REGISTER_WRITE(p));\n", ""
    ),
    "no-doorbell": KernelFault(
        "The card is told of nothing.", "    TRY(WRITE_DOORBELL(p, value));\n", "    (void)value;\n"
    ),
    "lengths-of-whole-pages": KernelFault(
        "Each packet is sent with four whole pages.",
        "        fields->length[page] = length;\n",
        "        fields->length[page] = PAGE_SIZE;\n",
    ),
    "buffers-on-each-other": KernelFault(
        "Each part of a payload is stored where the first one is.",
        "            place += (uint64_t)packet->buffers[k].len;\n",
        "",
    ),
    "returned-unseen": KernelFault(
        "Slots are taken back that the card has not returned.",
        "        if (owner != HOST)\n            break;\n",
        "",
    ),
    # Receiving
    "no-acquire": KernelFault("The header may be older than the owner byte.", _ACQUIRE, ""),
    "acquire-behind-header": KernelFault(
        "The barrier stands behind the load that it is for.", _ACQUIRE_HEADER, _HEADER_ACQUIRE
    ),
    "length-not-checked": KernelFault(
        "What the card announces is copied, however much it is.",
        _CHECK,
        "",
        SCENES["length-not-checked"],
    ),
    "header-loaded-twice": KernelFault(
        "The length that is used is not the one that was checked.", _CHECK, _CHECK + _HEADER
    ),
    "returned-before-copied": KernelFault(
        "The card may write to the buffers while they are read.",
        _COPY,
        _REFILL + "    TRY(RELOCK(p));\n    TRY(RELEASE_LOADS(p));\n" + _RELEASE + _OWNER + _COPY,
    ),
    "copies-from-slot-0": KernelFault(
        "Each packet has the payload of the first slot.",
        _COPY,
        _COPY.replace("slot * BUFFER_SIZE", "0"),
    ),
    "not-restored": KernelFault("The slot goes back with what the card made of it.", _REFILL, ""),
    "no-release-loads": KernelFault(
        "The payload may be read after the slot was given back.", "    TRY(RELEASE_LOADS(p));\n", ""
    ),
    "no-release-of-slot": KernelFault(
        "The card may find the slot before its buffers.",
        _REPOST,
        _REPOST.removeprefix(_RELEASE),
        Scene(_the_owner_of_a_slot_is_seen_first, _ROOMY),
    ),
    "next-slot-not-looked-at": KernelFault(
        "Pollers are not told that no packet waits any more.",
        "    if (!*more)\n        TRY(NONE_WAITS(p));\n    else if (!told)\n",
        "    if (*more && !told)\n",
    ),
    "next-in-line-not-told": KernelFault(
        "A packet is left behind the one taken, and neither the line nor pollers are told.",
        "    else if (!told)\n        TRY(*more = ANOTHER_WAITS(p));\n",
        "    (void)told;\n",
        Scene(functools.partial(two_packets_for_two_readers, lent=False), Setup(ring_shift=1)),
    ),
    "lock-kept": KernelFault(
        "The lock is kept while the payload is copied.", "    TRY(UNLOCK_SOON(p));\n", ""
    ),
    "slot-not-held": KernelFault(
        "A slot whose packet was taken looks like one that has a packet.",
        "        p->held[slot] = 1;\n",
        "",
    ),
    "calls-run-together": KernelFault(
        "A call of a batch begins before the one before it has ended.",
        "        TRY(mine = NEXT_CALL(p));\n",
        "        mine = 1;\n",
        SCENES["others-overtaken"],
    ),
    "others-overtaken": KernelFault(
        "A batch goes on although others came into line.",
        "        if (!mine)\n            return 0;\n",
        "        (void)mine;\n",
        SCENES["others-overtaken"],
    ),
    # Arrays of the program's
    "sent-from-offset-0": KernelFault(
        "Each packet of a batch has the bytes of the first one.",
        "    buffer->buf = (uint8_t *)b->payloads.buf + offset;\n",
        "    buffer->buf = b->payloads.buf;\n",
        file=MODULE,
    ),
    "sent-with-the-first-length": KernelFault(
        "Each packet of a batch has the length of the first one.",
        "    uint32_t length = word_of(&b->lengths, k);\n",
        "    uint32_t length = word_of(&b->lengths, 0);\n",
        file=MODULE,
    ),
    "received-to-offset-0": KernelFault(
        "Each packet of a batch is stored where the first one is.",
        "        LOAD_BULK(&p->payloads, place, (uint8_t *)to->batch->payloads.buf + offset,\n",
        "        LOAD_BULK(&p->payloads, place, to->batch->payloads.buf,\n",
        Scene(_two_packets_for_a_batch, _ROOMY),
        file=MODULE,
    ),
    "received-and-not-counted": KernelFault(
        "A packet is copied to a batch, and the next one in its place.",
        "        ++*(uint64_t *)to->batch->count.buf;\n",
        "",
        file=MODULE,
    ),
    # Turns
    "turn-skips-lock": KernelFault(
        "A turn begins while somebody else has the lock.",
        "    if (free <= 0)\n        return free;\n",
        "    (void)free;\n",
        file=TURN,
    ),
    "turn-keeps-lock": KernelFault(
        "A turn ends with the lock.",
        "    int result = UNLOCK(t);\n",
        "    int result = 0;\n    (void)t;\n",
        file=TURN,
    ),
    "turn-of-a-closed-card": KernelFault(
        "A call begins though the card is being opened or closed.",
        "    return t->life == t->open && !t->failed;\n",
        "    return !t->failed;\n",
        Scene(_a_call_begins_while_the_card_is_being_closed, _ROOMY),
        file=TURN,
    ),
    "turn-of-a-failed-card": KernelFault(
        "A call begins though the card has failed.",
        "    return t->life == t->open && !t->failed;\n",
        "    return t->life == t->open;\n",
        Scene(a_call_is_turned_away, _ROOMY),
        file=TURN,
    ),
    "turn-overtakes-readers": KernelFault(
        "A packet is taken that somebody is in line for.",
        "    if (PyObject_Size(t->readers))\n        return NOT_BEGUN;\n",
        "",
        Scene(_a_packet_comes_for_a_reader_in_line_and_another_asks, _ROOMY),
        file=TURN,
    ),
    "turn-takes-what-is-held": KernelFault(
        "A turn begins for a slot whose packet was taken before.",
        "    if (p->held[slot])\n        return NOT_BEGUN;\n",
        "",
        Scene(_a_slot_is_held_when_its_turn_comes, Setup(ring_shift=1)),
        file=TURN,
    ),
    "turn-without-a-packet": KernelFault(
        "A turn begins, finds no packet, and begins once more.",
        "    if (owner != HOST)\n        return NOT_BEGUN;\n",
        "",
        file=TURN,
    ),
    "turn-wakes-nobody": KernelFault(
        "Who sleeps for room is not woken when a sender leaves the line.",
        "    int nobody = NOBODY_SLEEPS_FOR_ROOM(t);\n    if (nobody <= 0)\n"
        "        return nobody;\n    uint64_t left",
        "    uint64_t left",
        Scene(_another_sends_while_a_sender_waits, _ROOMY),
        file=TURN,
    ),
    "turn-sends-without-room": KernelFault(
        "Slots are filled in that the card has not returned.",
        "    if (left <= (uint64_t)count || !writable)\n",
        "    (void)left;\n    if (!writable)\n",
        file=TURN,
    ),
    "turn-fills-the-ring-unseen": KernelFault(
        "The last slot is filled in, and pollers see that there is room.",
        "    if (left <= (uint64_t)count || !writable)\n",
        "    if (left < (uint64_t)count || !writable)\n",
        file=TURN,
    ),
    "turn-does-not-count": KernelFault(
        "What was sent is filled in once more.",
        "            t->transmit->produced += (uint64_t)result;\n",
        "",
        file=TURN,
    ),
    "turn-does-not-ring": KernelFault(
        "The card is not told of what a turn sends.",
        "    if (*sent)\n        announce(t, p);\n",
        "",
        file=TURN,
    ),
    "serves-no-command": KernelFault(
        "The answer of a command is not looked for.",
        "    if (t->commands->produced != t->commands->consumed)\n        return NOT_BEGUN;\n",
        "",
        file=TURN,
    ),
    "serves-and-tells-nobody": KernelFault(
        "Who is in line for a packet or for room is not told.",
        "    if (PyObject_Size(t->senders) || PyObject_Size(t->readers))\n"
        "        return NOT_BEGUN;\n",
        "",
        Scene(_a_packet_comes_for_a_reader_in_line, _ROOMY),
        file=TURN,
    ),
    "serves-and-wakes-no-sender": KernelFault(
        "Who waits until its packet was sent is not told and not woken.",
        "            return NOT_BEGUN;\n    TRY(READ_EVENTS(t));\n",
        "            break;\n    TRY(READ_EVENTS(t));\n",
        Scene(_a_packet_is_sent_before_its_sender_gets_up, _ROOMY),
        file=TURN,
    ),
    "serves-and-wakes-no-closer": KernelFault(
        "Who closes the card is not woken when the last packet was sent.",
        "    if (nobody > 0)\n        nobody = NOBODY_SLEEPS_FOR_LIFE(t);\n",
        "",
        Scene(_a_close_waits_for_a_packet_to_be_sent, _ROOMY),
        file=TURN,
    ),
    "serves-without-reading": KernelFault(
        "What the card announces is not taken note of.", "    TRY(READ_EVENTS(t));\n", "", file=TURN
    ),
    "serves-too-early": KernelFault(
        "Completions are looked for before the flags were read.",
        "    TRY(ACQUIRE(p));\n",
        "",
        file=TURN,
    ),
    "serves-and-keeps-slots": KernelFault(
        "The card returned slots, and nobody gets them.",
        "    t->transmit->consumed += (uint64_t)count;\n",
        "",
        file=TURN,
    ),
    "serves-and-shows-nothing": KernelFault(
        "A packet came, and pollers do not see it.",
        "    if (ready)\n        TRY(SHOW_READABLE(t));\n",
        "    (void)ready;\n",
        Scene(_a_packet_comes_for_whoever_polls, _ROOMY),
        file=TURN,
    ),
}
"""By name; each is the only change."""


def judged(folder: Path = FOLDER) -> Datapath:
    """The kernel whose accesses are judged. Raises `KernelError` if it is not built there."""
    return Datapath("C kernel, judged", load("_judged", folder), judged=True)


def built(fault: KernelFault, into: Path) -> Datapath:
    """The kernel with a fault, compiled into a folder. Raises `BuildError` if it cannot be."""
    folder = into / "source"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.so", "*.py", "__pycache__"))
    source = folder / fault.file
    source.write_text(fault.apply(source.read_text(encoding="utf-8")), encoding="utf-8")
    # What is judged is what it accesses, and not how fast.
    build("_judged", folder=folder, into=into, flags=("-O0",))
    return judged(into)


def caught(fault: KernelFault, name: str, into: Path) -> Finding:
    """Look for a run in which the fault shows: in its scene if it has one, or everywhere."""
    code: DriverCode = PRESENT.over(built(fault, into))
    if fault.scene is not None:
        return play(fault.scene, code, name)
    for number in range(SEARCHES):
        found = search(code, name, EXAMPLES, number=number)
        if found.deviation is not None:
            break
    return found
