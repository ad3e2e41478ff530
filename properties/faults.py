"""Faults of the driver: named small changes of its source, each of which a test must catch.

A comparison that cannot fail shows nothing. So every defect that was found in two real drivers of
this card (by reading them, not by running them), every classic mistake with rings, doorbells,
interrupts and resets, and the removal of every single barrier is made here in this driver's own
lines, and `properties.fault_runs` looks for a run in which that shows. The same mistakes, made in
the specification and under the same names, are in `proofs/`; those of them that a card makes and no
driver can (relaxed ordering switched on, a card that forgets to look again, that goes on after
STOP or a reset) are left to the proofs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

import attrs

from properties.driver_source import Change

__all__ = ["FAULTS", "Fault", "fault"]

_RING: Final = functools.partial(Change, "ring")
_CONTROLLER: Final = functools.partial(Change, "controller")
_LIFECYCLE: Final = functools.partial(Change, "lifecycle")
_DMA: Final = functools.partial(Change, "dma")
_PACKET: Final = functools.partial(Change, "packet")
_DRIVER: Final = functools.partial(Change, "driver")


@attrs.frozen
class Fault:
    """A mistake that the driver could make.

    Attributes:
        name: What it is called, here and on the command line of `properties.replay`.
        changes: What makes the driver have it; each fits exactly one place of the source.
        breaks: What goes wrong, in one sentence.
        source: Where it was seen: in the reference driver (R), in an independent one (I), in both,
            in neither but known to every driver writer (classic), or nowhere but here (own).
    """

    name: str
    changes: tuple[Change, ...]
    breaks: str
    source: str


def _faults(source: str, *faults: tuple[str, str, tuple[Change, ...]]) -> tuple[Fault, ...]:
    return tuple(Fault(name, changes, breaks, source) for name, breaks, changes in faults)


# Lines of the driver that more than one fault is about

_TAKE_HEADER: Final = "        header = self._load_header(slot)\n"
_HOLD: Final = "        self._held[slot] = True\n"
_COPY_SIZE: Final = "        size = check_received(header).length\n        if not size:\n"
_COPY: Final = "        return self._buffers.load_bulk(slot * BUFFER_SIZE, size)\n"
_RESTORE: Final = (
    "        fields = pack_fields(PAGE_LENGTHS, 0, page_addresses(self._buffers, slot))\n"
)
_RELEASE_REQUEST: Final = "        self._device.release()\n        self._store_owner(slot"
_BELL_BARRIER: Final = "        self._device.before_register_write()\n"
_BELL: Final = "        self._device.write(DBELL, doorbell(self.kind, slot))\n"
_RETURNED_LOAD: Final = (
    "        if self._memory.load(oldest * self.slot_size + OWNER.offset, OWNER.width) "
    "!= Owner.HOST:\n            return False\n"
)
_ACQUIRE_RESULT: Final = (
    "        # What the card wrote to the slot is read after the owner byte.\n"
    "        self._device.acquire()\n"
)
_FILLED_LOAD: Final = "        ring = self._ring\n"
_ACQUIRE_HEADER: Final = (
    "        # What the card wrote to the slot and its buffers is read after the owner byte.\n"
    "        self._device.acquire()\n"
)
_ACQUIRE_EVENTS: Final = "        self.device.acquire()\n"
_EVENTS: Final = "        self.device.read(EVFLAGS)\n"
_READ_EVENTS: Final = (
    _EVENTS
    + "        # Completions that the flags announced are looked for after the flags were read.\n"
    + _ACQUIRE_EVENTS
)
_TAKE_BACK: Final = "                ring.reclaim()\n                self.runtime.wake(channel)\n"
_SHOW_PACKET: Final = "        if self.receive.packet_ready():\n"
_SUBMIT_WAIT: Final = "            self._wait_for_completion(ring, channel, slot, request, wait)\n"
_MY_TURN: Final = "            if ring.waiters[0] is place and ring.room:\n"
_ROOM: Final = (
    "                if not ring.room and unannounced:\n"
    "                    # The card must know of the others before anybody waits for it.\n"
    "                    ring.ring_doorbell(slot)\n"
    "                    unannounced = False\n"
)
_ANNOUNCE: Final = "            if unannounced:\n"
_HAND_OVER: Final = (
    "                slot = ring.hand_over(request if last and wait.blocking else None)\n"
)
_LOOK_AFTER: Final = (
    "            slot, header = self.receive.consume()\n            self._look_at_next()\n"
)
_RECEIVE: Final = (
    "        try:\n"
    "            payload = controller.receive.copy(slot, header)\n"
    "        finally:\n"
    "            controller.repost(slot)\n"
    "        return Packet("
)
_CHECK: Final = "        while True:\n            self._check(wait)\n            if ring.waiters"
_SHUT_DOWN: Final = (
    "        except DuctError:\n"
    "            return self._recover_if_possible()\n"
    "        except BaseException as interruption:\n"
    "            self._recover_if_possible()\n"
    "            return interruption\n"
)
_UNDO: Final = (
    "            if started:\n"
    "                self._shut_down()\n"
    "            elif not self.needs_reset:\n"
    "                # A START that failed or was interrupted may have started the card all the "
    "same.\n                self._recover_if_possible()\n"
)
_FREE_UNASKED: Final = (
    "            self._retire_packet_rings()\n            self._free(ResetFinished(0))\n"
)
_END_CLOSE: Final = (
    "        interruptions = [self._wait_for_leavers(), self._drain(), self._shut_down()]\n"
)
_FILL_IN_TX: Final = "        slot = self.next_slot\n        offset = slot * BUFFER_SIZE\n"

FIELD: Final = (
    *_faults(
        "R",
        (
            "zero-length-stall",
            "an empty packet's slot is handed back without advancing the receive index: the reader "
            "sleeps although packets are there, then gets them out of order",
            (
                _RING(
                    _HOLD + "        self._consumed += 1\n",
                    _HOLD + "        self._consumed += header.length > 0\n",
                ),
            ),
        ),
        (
            "wild-pointer-recycle",
            "an empty packet's slot gets its buffer pointers from an index that was never set: the "
            "card writes into memory that the slot does not own",
            (
                _RING(_COPY, "        self._index = slot\n" + _COPY),
                _RING(_HOLD, _HOLD + "        self._index = self.slots\n"),
                _RING(
                    _RESTORE,
                    _RESTORE.replace(", slot))", ', getattr(self, "_index", slot)))'),
                ),
            ),
        ),
        (
            "fatal-is-forever",
            "the fatal handler sets a flag that nothing ever clears: after a successful reset "
            "every open fails",
            (_LIFECYCLE("        controller.failed = False\n", ""),),
        ),
        (
            "free-while-started",
            "when START succeeds and the filter command fails, the buffers are freed without STOP: "
            "the card writes into freed memory",
            (_LIFECYCLE(_UNDO, _FREE_UNASKED),),
        ),
        (
            "stop-failed-free",
            "close frees the buffers even when STOP did not complete: the card writes into freed "
            "memory",
            (
                _LIFECYCLE(
                    _SHUT_DOWN,
                    f"        except DuctError:\n{_FREE_UNASKED}            return None\n",
                ),
            ),
        ),
        (
            "result-of-another",
            "a command's error byte is read after a sleep without keeping the slot, so a later "
            "command may have reused it: a caller gets another command's result",
            (
                _CONTROLLER(
                    _SUBMIT_WAIT,
                    _SUBMIT_WAIT + "            request.result = ring._result(slot)\n",
                ),
            ),
        ),
        (
            "waits-for-another",
            "a blocking send waits for its slot to be the host's, and that slot may already carry "
            "a later packet: it waits although its own packet was sent long ago",
            (
                _CONTROLLER(
                    "            while not request.done:\n",
                    "            while (slot - ring._consumed) % ring.slots < ring.outstanding:\n",
                ),
            ),
        ),
        (
            "wake-before-advance",
            "the handler wakes senders, drops the lock, and only then advances its consumer index: "
            "the woken sender sees a full ring and sleeps again",
            (
                _CONTROLLER(
                    _TAKE_BACK,
                    "                self.runtime.wake(channel)\n"
                    "                self.runtime.unlock()\n"
                    "                self.runtime.lock()\n"
                    "                ring.reclaim()\n",
                ),
            ),
        ),
        (
            "wrong-channel",
            "a close wakes another channel than the ones that readers and senders sleep on, then "
            "waits for them to leave: close and reader wait for each other",
            (
                _LIFECYCLE(
                    "        controller.wake_everyone()\n",
                    "        self._runtime.wake(WaitQueue.LIFE)\n",
                ),
                # Closing a driver object ends its sleeps as well; the other drivers have no such
                # second net.
                _LIFECYCLE("            self._runtime.cancel(handle)\n", ""),
            ),
        ),
        (
            "stale-owner-reopen",
            "the transmit ring is not initialised again on open: slots that look like the card's "
            "stay so",
            (
                _LIFECYCLE(
                    "            controller.transmit.initialise_slot(slot)\n",
                    '            if not hasattr(self, "_initialised"):\n'
                    "                controller.transmit.initialise_slot(slot)\n",
                ),
                _LIFECYCLE(
                    "        # The card may look at the rings as soon as it has started.\n",
                    "        self._initialised = True\n",
                ),
            ),
        ),
        (
            "submit-ignores-fatal",
            "the wait for a free command slot looks at the slot only, not at the fatal flag: after "
            "a fatal error with a full command ring the caller sleeps for ever",
            (
                _CONTROLLER(
                    _CHECK,
                    "        while True:\n"
                    "            if ring is not self.commands:\n"
                    "                self._check(wait)\n"
                    "            if ring.waiters",
                ),
            ),
        ),
        (
            "reset-spins",
            "a reset is waited for in a loop of 2^32 register reads: the machine hangs on a dead "
            "card",
            (
                _LIFECYCLE(
                    "        for _ in range(self._settings.reset_polls):\n",
                    "        for _ in range(1 << 32):\n",
                ),
            ),
        ),
    ),
    *_faults(
        "R, I",
        (
            "open-count",
            "a second open counts more than one close takes off: the card is never stopped again",
            (
                _LIFECYCLE(
                    "            self._opens += 1\n",
                    "            self._opens += 2 if self._opens else 1\n",
                ),
            ),
        ),
    ),
    *_faults(
        "I",
        (
            "acquire-too-early",
            "the load barrier stands before the load of the owner byte, not after it: the header "
            "read can be older than the owner byte",
            (
                _RING(_ACQUIRE_HEADER, ""),
                _RING(_FILLED_LOAD, "        self._device.acquire()\n" + _FILLED_LOAD),
            ),
        ),
        (
            "dead-after-one",
            "after the first packet two receive indices are reduced alike and compare equal for "
            "ever: reception stops after one packet",
            (
                _RING(
                    _FILLED_LOAD,
                    "        if self._consumed and index_of(self._consumed, self.slots) == slot:\n"
                    "            return False\n" + _FILLED_LOAD,
                ),
            ),
        ),
        (
            "unlock-then-sleep",
            "a caller checks its condition, unlocks, and then sleeps: a completion in between is "
            "lost",
            (
                _CONTROLLER(
                    "            self.runtime.sleep(channel, wait.deadline, wait.handle)\n",
                    "            self.runtime.unlock()\n"
                    "            self.runtime.lock()\n"
                    "            self.runtime.sleep(channel, wait.deadline, wait.handle)\n",
                ),
            ),
        ),
        (
            "double-fetch",
            "the length is read from DMA memory, checked, and read again to be used: a faulty card "
            "changes it in between",
            (
                _RING(
                    _COPY_SIZE,
                    "        check_received(header)\n"
                    "        size = self._load_header(slot).length\n"
                    "        if not size:\n",
                ),
            ),
        ),
        (
            "unchecked-length",
            "a length inside the received payload is trusted: read beyond what was received",
            (
                _RING(
                    _COPY,
                    "        inside = self._buffers.load_bulk(slot * BUFFER_SIZE, min(size, 2))\n"
                    '        size = int.from_bytes(inside, "little")\n' + _COPY,
                ),
            ),
        ),
        (
            "shared-result",
            "all callers share one variable for the last command's result: a caller gets another "
            "caller's result",
            (
                _RING("            request.result = result\n", "            self.last = result\n"),
                _CONTROLLER(
                    "        code = errno_of(command, request.result)\n",
                    "        request.result = self.commands.last\n"
                    "        code = errno_of(command, request.result)\n",
                ),
            ),
        ),
        (
            "rx-before-start",
            "receive slots stay the card's, and are freed without STOP or reset: the card writes "
            "into freed memory",
            (
                _LIFECYCLE(
                    _END_CLOSE,
                    "        interruptions = [self._wait_for_leavers(), self._drain()]\n"
                    "        self._retire_packet_rings()\n"
                    "        self._free(ResetFinished(0))\n",
                ),
            ),
        ),
        (
            "open-leak",
            "a failed open leaves its count behind: the card is never stopped",
            (
                _LIFECYCLE(
                    "            elif controller.failed:\n",
                    "            elif controller.failed:\n                self._opens += 1\n",
                ),
            ),
        ),
    ),
)
"""Defects of two real drivers, in the order of their catalogue."""

CLASSIC: Final = _faults(
    "classic",
    # Handing over
    (
        "owner-before-fields",
        "the owner byte is stored before the fields and the payload: the card sends what the "
        "memory held before",
        (_RING(_FILL_IN_TX, _FILL_IN_TX + "        self._store_owner(slot, Owner.DEVICE)\n"),),
    ),
    (
        "doorbell-before-owner",
        "the doorbell is rung before the owner byte is stored: the card looks too early and never "
        "again",
        (
            _RING(_RELEASE_REQUEST, "        self.ring_doorbell(slot)\n" + _RELEASE_REQUEST),
            _CONTROLLER(
                "                unannounced = True\n", "                unannounced = False\n"
            ),
        ),
    ),
    (
        "doorbell-wrong-index",
        "the doorbell names the slot after the one handed over",
        (_RING(_BELL, _BELL.replace("slot", "self.next_slot")),),
    ),
    (
        "no-doorbell",
        "the doorbell is not rung at all: the card never looks",
        (_RING(_BELL, ""),),
    ),
    (
        "doorbell-wrong-ring",
        "the doorbell for a packet lacks bit 31: the card looks at the command ring",
        (_RING(_BELL, _BELL.replace("self.kind", "COMMAND_RING")),),
    ),
    (
        "producer-unbounded",
        "the producer index is not bounded by the consumer's: a packet overwrites one that was not "
        "sent yet",
        (_CONTROLLER(_MY_TURN, "            if ring.waiters[0] is place:\n"),),
    ),
    (
        "batch-sleeps-unrung",
        "a batch sleeps on a full ring before it has rung the doorbell for its first packets",
        (_CONTROLLER(_ROOM, ""),),
    ),
    (
        "batch-waits-for-first",
        "each packet of a batch has its sender told: the first completion ends the wait",
        (_CONTROLLER(_HAND_OVER, _HAND_OVER.replace("last and ", "")),),
    ),
    # Taking back
    (
        "consumer-runs-ahead",
        "the consumer is advanced past a slot that the card still owns",
        (_RING(_RETURNED_LOAD, ""),),
    ),
    (
        "flags-after-scan",
        "EVFLAGS is read after the completion scan instead of before it: a completion in between "
        "is acknowledged and not handled",
        (
            _CONTROLLER(_READ_EVENTS, ""),
            _CONTROLLER(_SHOW_PACKET, _EVENTS + _ACQUIRE_EVENTS + _SHOW_PACKET),
        ),
    ),
    (
        "one-per-interrupt",
        "only one completion is taken back per interrupt, though several may share one",
        (
            _CONTROLLER(
                "            while ring.has_completion():\n",
                "            if ring.has_completion():\n",
            ),
        ),
    ),
    (
        "reclaim-starves",
        "the handler lets others in after each slot that it takes back: one ring starves the other",
        (
            _CONTROLLER(
                _TAKE_BACK,
                _TAKE_BACK + "                self.runtime.unlock()\n"
                "                self.runtime.lock()\n",
            ),
        ),
    ),
    # Receiving
    (
        "returned-before-copied",
        "a receive slot is given back before the payload was copied: the reader gets a mixture of "
        "two packets",
        (
            _DRIVER(
                _RECEIVE,
                "        controller.repost(slot)\n"
                "        payload = controller.receive.copy(slot, header)\n"
                "        return Packet(",
            ),
        ),
    ),
    (
        "peek-without-owner",
        "the length of the next packet is read without asking who owns the slot",
        (
            _CONTROLLER(
                "            self._wait_for_packet(wait)\n            return self.receive.peek()\n",
                "            return self.receive.peek()\n",
            ),
        ),
    ),
    (
        "rxcomp-only",
        "packets are looked for only when RXCOMP is set, although several may share one event",
        (
            _CONTROLLER("    IDENTITY,\n    VMAJ,\n", "    IDENTITY,\n    RXCOMP,\n    VMAJ,\n"),
            _CONTROLLER(_EVENTS, "        events = self.device.read(EVFLAGS)\n"),
            _CONTROLLER(
                _SHOW_PACKET,
                "        if events & RXCOMP.mask and self.receive.packet_ready():\n",
            ),
        ),
    ),
    (
        "readable-at-every-event",
        "the card is declared readable at every interrupt, whether a packet waits or not",
        (
            _CONTROLLER(
                _SHOW_PACKET,
                "        if self.receive.packet_ready() or self.life is Life.OPEN:\n",
            ),
        ),
    ),
    (
        "last-packet-leaves-readable",
        "whoever takes the last packet leaves the card readable",
        (_CONTROLLER(_LOOK_AFTER, _LOOK_AFTER.replace("_look_at_next", "receive.packet_ready")),),
    ),
    (
        "readiness-cleared-unseen",
        "a reader declares the card not readable although the next packet is there",
        (_CONTROLLER(_LOOK_AFTER, _LOOK_AFTER + "            self.runtime.set_readable(False)\n"),),
    ),
    (
        "slot-never-returned",
        "a reader leaves without giving its slot back: the card never gets past it",
        (_CONTROLLER("            self.receive.repost(slot)\n", "            pass\n"),),
    ),
    (
        "looks-after-free",
        "the handler looks at the receive ring of a card that is closed: the memory belongs to "
        "somebody else",
        (
            _RING(
                '        """Be out of use."""\n        self._memory = None\n',
                '        """Be out of use."""\n',
            ),
        ),
    ),
    # Without the lock
    (
        "submit-without-lock",
        "a thread may submit without the lock: two senders fill in the same slot",
        (
            _CONTROLLER(
                "        self._enter(wait)\n        try:\n            fill_in = [",
                "        self._check(wait)\n        if True:\n            fill_in = [",
            ),
            _CONTROLLER(
                "            return handed_over\n        finally:\n            self._leave()\n",
                "            return handed_over\n",
            ),
        ),
    ),
    # Reset
    (
        "rebased-without-reset",
        "the command ring is set up anew on every open, without a reset of the card: driver and "
        "card look at different slots",
        (
            _LIFECYCLE(
                "            self._set_up()\n",
                "            controller.commands.restart(controller.command_memory)\n"
                "            for slot in range(controller.commands.slots):\n"
                "                controller.commands.initialise_slot(slot)\n"
                "            self._device.fence()\n"
                "            self._device.write(CMDBASE, controller.command_memory.bus_address())\n"
                "            self._set_up()\n",
            ),
        ),
    ),
    (
        "indices-kept-over-reset",
        "the driver does not put its indices back to 0 after a reset: driver and card look at "
        "different slots",
        (
            _RING(
                "        self._produced = 0\n        self._consumed = 0\n        self._waiting = [",
                "        self._consumed = self._produced\n        self._waiting = [",
            ),
        ),
    ),
)
"""Classic mistakes."""

BARRIERS: Final = _faults(
    "classic",
    (
        "no-barrier-tx-fields",
        "only the payload is ordered before the owner byte of a packet: the card reads lengths and "
        "pointers that are not there yet",
        (
            _RING(
                "        fields = pack_fields(\n",
                "        self._device.release()\n        fields = pack_fields(\n",
            ),
            _RING(
                _RELEASE_REQUEST,
                "        if self.kind is COMMAND_RING:\n    " + _RELEASE_REQUEST,
            ),
        ),
    ),
    (
        "no-barrier-tx-payload",
        "nothing is ordered before the owner byte of a packet: the card sends words of an older "
        "packet",
        (
            _RING(
                _RELEASE_REQUEST,
                "        if self.kind is COMMAND_RING:\n    " + _RELEASE_REQUEST,
            ),
        ),
    ),
    (
        "no-barrier-cmd-fields",
        "a command's fields are not ordered before its owner byte: the card executes what the slot "
        "held before",
        (
            _RING(
                _RELEASE_REQUEST,
                "        if self.kind is TRANSMIT_RING:\n    " + _RELEASE_REQUEST,
            ),
        ),
    ),
    (
        "no-barrier-tx-doorbell",
        "a packet's doorbell may overtake its owner byte: the card looks too early and never again",
        (_RING(_BELL_BARRIER, "        if self.kind is COMMAND_RING:\n    " + _BELL_BARRIER),),
    ),
    (
        "no-barrier-cmd-doorbell",
        "a command's doorbell may overtake its owner byte: the card looks too early and never "
        "again",
        (_RING(_BELL_BARRIER, "        if self.kind is TRANSMIT_RING:\n    " + _BELL_BARRIER),),
    ),
    (
        "no-barrier-cmd-result",
        "a returned command's error byte may be loaded before its owner byte: the caller gets the "
        "result of an older command",
        (_RING(_ACQUIRE_RESULT, ""),),
    ),
    (
        "no-barrier-rx-header",
        "a packet's header may be loaded before its owner byte: length and addresses are those of "
        "whatever lay in the slot before",
        (_RING(_ACQUIRE_HEADER, ""),),
    ),
    (
        "no-barrier-tx-events",
        "the owner bytes of the transmit ring may be loaded before EVFLAGS is read: a completion "
        "in between is acknowledged and not handled",
        (
            _CONTROLLER(
                _ACQUIRE_EVENTS,
                "        if self.commands.outstanding:\n            self.device.acquire()\n",
            ),
        ),
    ),
    (
        "no-barrier-cmd-events",
        "the owner bytes of the command ring may be loaded before EVFLAGS is read: a completion in "
        "between is acknowledged and not handled",
        (
            _CONTROLLER(
                _ACQUIRE_EVENTS,
                "        if self.transmit.outstanding:\n            self.device.acquire()\n",
            ),
        ),
    ),
    (
        "no-barrier-rx-events",
        "the owner byte of the receive ring may be loaded before EVFLAGS is read: a packet that "
        "comes in between is acknowledged and not seen",
        (
            _CONTROLLER(
                _ACQUIRE_EVENTS,
                "        if self.commands.outstanding or self.transmit.outstanding:\n"
                "            self.device.acquire()\n",
            ),
        ),
    ),
    (
        "no-barrier-rx-pointer",
        "a receive slot's pointers are not ordered before its owner byte: the card may read "
        "pointers that are not there yet",
        (_RING("        self._device.release()\n        self._ring", "        self._ring"),),
    ),
    (
        "no-barrier-cmd-base",
        "the command ring's owner bytes are not visible before the card knows its address: it may "
        "execute a command of before the reset again",
        (_LIFECYCLE("        self._device.fence()\n", ""),),
    ),
    (
        "no-barrier-tx-base",
        "the packet rings are not visible before the card knows their addresses: it may send "
        "garbage and receive to a wild address",
        (_LIFECYCLE("        device.fence()\n", ""),),
    ),
    (
        "no-barrier-tx-free",
        "packet memory is freed while stores to it are under way: they change memory that belongs "
        "to somebody else",
        (_DMA("        self._device.fence()\n", ""),),
    ),
)
"""The removal of each single barrier. One line stands for two barriers of the specification in two
places: a fence orders what was stored to the transmit and to the receive ring."""


def _left_out(
    module: str, name: str, breaks: str, line: str, *, after: str = "", before: str = ""
) -> tuple[str, str, tuple[Change, ...]]:
    """Some lines left out; those `after` which and `before` which they stand tell them apart."""
    indent = line[: len(line) - len(line.lstrip())]
    return name, breaks, (Change(module, after + line + before, f"{after}{indent}pass\n{before}"),)


OWN: Final = _faults(
    "own",
    # Wake-ups
    _left_out(
        "controller",
        "line-not-woken",
        "whoever leaves the line does not wake the next one in it",
        "            self.runtime.wake(channel)\n",
        after="            # The next in line may go on.\n",
    ),
    _left_out(
        "controller",
        "completion-not-woken",
        "nobody is woken when a slot was taken back",
        "                self.runtime.wake(channel)\n",
        after="                ring.reclaim()\n",
    ),
    _left_out(
        "controller",
        "readers-not-woken",
        "a packet comes, and its reader is not woken",
        "            self.runtime.wake(WaitQueue.READERS)\n",
    ),
    _left_out(
        "controller",
        "drain-not-woken",
        "the last packet was sent, and the close that waits for it is not woken",
        "        self.runtime.wake(WaitQueue.LIFE)\n",
        after="            self.runtime.wake(WaitQueue.READERS)\n",
    ),
    _left_out(
        "controller",
        "leaver-wakes-nobody",
        "the last call ends, and the close that waits for it is not woken",
        "            self.runtime.wake(WaitQueue.LIFE)\n",
        after="        if self.life is Life.CLOSING:\n",
    ),
    _left_out(
        "controller",
        "failure-wakes-nobody",
        "the card fails, and sleepers go on waiting for it",
        "            self.wake_everyone()\n",
        after="            self.failed = True\n",
    ),
    _left_out(
        "lifecycle",
        "open-wakes-nobody",
        "opens that wait for the first one are not woken when it is done",
        "        self._runtime.wake(WaitQueue.LIFE)\n",
        before="        if isinstance(problem",
    ),
    _left_out(
        "lifecycle",
        "closed-wakes-nobody",
        "opens that wait for the last close are not woken when it is done",
        "        self._runtime.wake(WaitQueue.LIFE)\n",
        before="        for interruption in",
    ),
    _left_out(
        "lifecycle",
        "close-cancels-nothing",
        "a close of one open leaves the calls that wait in it asleep",
        "            self._runtime.cancel(handle)\n",
    ),
    # Indices and what is kept of a slot
    _left_out(
        "ring",
        "producer-stays",
        "the producer index does not move: the next request goes to the same slot",
        "        self._produced += 1\n",
    ),
    _left_out(
        "ring",
        "consumer-stays",
        "the consumer index does not move: the same slot is taken back again",
        "        self._consumed += 1\n",
        after="        self._waiting[slot] = None\n",
    ),
    _left_out(
        "ring",
        "receive-index-stays",
        "the receive index does not move: the reader waits for the slot that it holds",
        "        self._consumed += 1\n",
        after=_HOLD,
    ),
    _left_out(
        "ring",
        "waiter-not-noted",
        "who waits for a slot's completion is not noted, and never told",
        "        self._waiting[slot] = request\n",
    ),
    _left_out(
        "ring",
        "held-not-noted",
        "a slot that a reader holds looks like the next packet when the ring has gone round",
        _HOLD,
    ),
    _left_out(
        "ring",
        "held-for-ever",
        "a slot that was given back still counts as held: its next packet is never seen",
        "        self._held[slot] = False\n",
    ),
    _left_out(
        "controller",
        "batch-miscounted",
        "packets of a batch are not counted: its sender waits for the wrong one",
        "                handed_over += 1\n",
    ),
    # Checks
    (
        "reclaims-nothing",
        "a slot is looked at although nothing is outstanding",
        (
            _RING(
                "        if not self.outstanding:\n            return False\n        oldest",
                "        oldest",
            ),
        ),
    ),
    (
        "held-not-asked",
        "a slot that a slow reader holds is taken for the next packet",
        (_RING("        if self._held[slot]:\n            return False\n", ""),),
    ),
    (
        "retired-not-asked",
        "a receive ring that is out of use is looked at",
        (_RING("        if self._memory is None:\n            return False\n", ""),),
    ),
    (
        "overtakes-the-line",
        "a caller takes a free slot before those who came earlier",
        (_CONTROLLER(_MY_TURN, "            if ring.room:\n"),),
    ),
    _left_out(
        "controller",
        "line-never-left",
        "a caller keeps its place in the line: nobody behind it goes on",
        "            ring.waiters.remove(place)\n",
    ),
    (
        "ignores-close",
        "a call goes on while the card is being closed",
        (
            _CONTROLLER(
                "        if self.life is not Life.OPEN and not wait.conducts:\n",
                "        if False:\n",
            ),
        ),
    ),
    (
        "waits-on-after-failure",
        "a call sleeps again for its completion although the card has failed",
        (
            _CONTROLLER(
                "                self._check(wait)\n                self._sleep(channel, wait)\n",
                "                self._sleep(channel, wait)\n",
            ),
        ),
    ),
    _left_out(
        "controller",
        "entering-not-counted",
        "a call is not counted: the last close does not wait for it",
        "        self.inside += 1\n",
    ),
    _left_out(
        "controller",
        "leaving-not-counted",
        "a call that ended still counts: the last close waits for ever",
        "        self.inside -= 1\n",
    ),
    # Batches
    # Receiving
    (
        "length-not-checked",
        "a length that the card announced is not checked: read beyond the slot's buffers",
        (
            _PACKET(
                "    if header.length > LIMITS.max_packet:\n        raise CardError",
                "    if False:\n        raise CardError",
            ),
        ),
    ),
    (
        "peek-takes",
        "a reader that only wants the length takes the packet",
        (
            _CONTROLLER(
                "            return self.receive.peek()\n",
                "            return self.receive.consume()[1]\n",
            ),
        ),
    ),
    _left_out(
        "controller",
        "readiness-never-set",
        "pollers do not learn that a packet waits",
        "            self.runtime.set_readable(True)\n",
    ),
    _left_out(
        "controller",
        "readiness-never-cleared",
        "pollers do not learn that no packet waits any more",
        "            self.runtime.set_readable(False)\n",
    ),
    _left_out(
        "lifecycle",
        "readiness-kept-over-close",
        "after a close and an open pollers still see the packets of before",
        "        self._runtime.set_readable(False)\n",
    ),
    _left_out(
        "controller",
        "full-ring-not-shown",
        "pollers do not learn that a sender has filled the ring",
        "            self.show_writable()\n",
        before="            # The next in line",
    ),
    _left_out(
        "controller",
        "free-slot-not-shown",
        "pollers do not learn that a slot was taken back",
        "        self.show_writable()\n",
        before=_SHOW_PACKET,
    ),
    _left_out(
        "controller",
        "pointers-not-restored",
        "a receive slot goes back with whatever the card left in its pointers",
        "        self.receive.refill(slot)\n",
    ),
    (
        "owner-before-pointer",
        "a receive slot's owner byte is stored before its pointers",
        (
            _RING(
                "        self.refill(slot)\n        self._hand_over(slot)\n",
                "        self._hand_over(slot)\n        self.refill(slot)\n",
            ),
        ),
    ),
    (
        "lengths-not-restored",
        "a receive slot goes back without the lengths of its buffers: the card drops its packet",
        (_RING(_RESTORE, _RESTORE.replace("PAGE_LENGTHS", "(0,) * 4")),),
    ),
    (
        "pages-overlap",
        "all four pointers of a slot lead to its first page",
        (_RING("BUFFER_SIZE + page * LIMITS.page_size)", "BUFFER_SIZE)"),),
    ),
    (
        "copies-too-little",
        "the last byte of each packet is not copied",
        (_RING(_COPY, _COPY.replace(", size)", ", size - 1)")),),
    ),
    (
        "buffers-not-advanced",
        "each part of a payload is stored where the first one was",
        (_RING("                offset += len(data)\n", ""),),
    ),
    # Open and close
    (
        "views-kept-at-close",
        "packets on loan are not given back at close, which waits for them for ever",
        (
            _DRIVER(
                "                steps.callback(self._controller.repost, slot)\n",
                "                pass\n",
            ),
        ),
    ),
    _left_out(
        "driver",
        "late-view-kept",
        "a packet is lent by a driver object that was closed meanwhile",
        "                self._check_open()\n",
        before="                self._views[view] = slot\n",
    ),
    (
        "opens-together",
        "an open does not wait for somebody else's close",
        (
            _LIFECYCLE(
                "            while controller.life in {Life.OPENING, Life.CLOSING}:\n",
                "            while controller.life is Life.OPENING:\n",
            ),
        ),
    ),
    (
        "leavers-not-awaited",
        "the last close does not wait for calls under way",
        (_LIFECYCLE("[self._wait_for_leavers(), ", "["),),
    ),
    (
        "not-drained",
        "the last close stops the card with packets queued that it has time to send",
        (_LIFECYCLE("self._drain(), ", ""),),
    ),
    (
        "drains-a-failed-card",
        "the last close waits for a card that has failed to send what is queued",
        (_LIFECYCLE("while not controller.failed and controller", "while controller"),),
    ),
    (
        "aborted-open-keeps-card",
        "an open that START did not answer leaves the card as it is, maybe started",
        (
            _LIFECYCLE(
                "            elif not self.needs_reset:\n"
                "                # A START that failed or was interrupted may have started the card"
                " all the same.\n                self._recover_if_possible()\n",
                "",
            ),
        ),
    ),
    _left_out(
        "lifecycle",
        "filters-not-flushed",
        "the card keeps its filters over a close",
        "            self._command(Command.FLUSHFILT)\n",
    ),
    _left_out(
        "lifecycle",
        "packet-memory-leaks",
        "the packet rings are not freed at the last close",
        "            self._memory.free(evidence)\n",
    ),
    _left_out(
        "lifecycle",
        "rings-used-after-stop",
        "the packet rings still count as in use after the card was stopped and they were freed",
        "        self._retire_packet_rings()\n",
        before="        self._free(StopCompleted",
    ),
    _left_out(
        "lifecycle",
        "no-flush-before-start",
        "nothing makes the addresses of the rings arrive before START is seen",
        "        device.read(HWADDR)\n",
    ),
    (
        "command-base-before-size",
        "the address of the command ring is written before its size",
        (
            _LIFECYCLE(
                "        self._device.write(CMDSHIFT, self._settings.ring_shift)\n"
                "        self._device.write(CMDBASE, controller.command_memory.bus_address())\n",
                "        self._device.write(CMDBASE, controller.command_memory.bus_address())\n"
                "        self._device.write(CMDSHIFT, self._settings.ring_shift)\n",
            ),
        ),
    ),
    # Failing and coming back
    _left_out(
        "controller",
        "failure-not-noted",
        "after a fatal error calls go on as if nothing had happened",
        "            self.failed = True\n",
        before="            self.wake_everyone()\n",
    ),
    (
        "failure-taken-for-granted",
        "an old interrupt that comes after a reset makes a good card count as failed",
        (
            _CONTROLLER(
                "        if is_fatal(flags):\n",
                "        if True:\n",
            ),
        ),
    ),
    _left_out(
        "lifecycle",
        "reset-not-written",
        "the card is waited for without having been reset",
        "        self._device.write(FLAGS, RST.mask)\n",
        before="        # Nothing that is on its way",
    ),
    (
        "reset-given-up-early",
        "a card that needs a moment to come back is given up",
        (_LIFECYCLE("range(self._settings.reset_polls):", "range(1):"),),
    ),
    _left_out(
        "lifecycle",
        "failure-during-reset",
        "a card that fails again while it comes back is not reset again",
        "                self._device.write(FLAGS, RST.mask)\n",
    ),
    _left_out(
        "lifecycle",
        "needs-reset-not-set",
        "after a reset that failed the next open goes on without one",
        "        self.needs_reset = True\n",
        before="        self._device.write(FLAGS",
    ),
    _left_out(
        "lifecycle",
        "needs-reset-not-cleared",
        "the card is reset at every open",
        "        self.needs_reset = False\n",
    ),
    _left_out(
        "lifecycle",
        "command-ring-not-retired",
        "commands that were under way at a reset still count as outstanding",
        "        controller.commands.retire()\n",
    ),
    _left_out(
        "lifecycle",
        "packet-rings-not-retired",
        "the packet rings still count as in use after a reset",
        "        self._retire_packet_rings()\n",
        before="        evidence = ",
    ),
    _left_out(
        "lifecycle",
        "command-slots-kept",
        "after a reset the command ring still has the owner bytes of before",
        "            controller.commands.initialise_slot(slot)\n",
    ),
)
"""Further mistakes in this driver's own lines: what could be left out of them, or put wrong.

Some lines are not here because the driver does the same without them, as far as anybody can see: a
second net (the last close wakes sleepers whose handles were cancelled already; a call is checked
when it enters and again before it does anything), or tidiness (a request that nobody waits for is
forgotten; a packet ring's size is written before its address, and the card looks at neither before
START).
"""

FAULTS: Final[tuple[Fault, ...]] = (*FIELD, *CLASSIC, *BARRIERS, *OWN)
_BY_NAME: Final[Mapping[str, Fault]] = {item.name: item for item in FAULTS}


def fault(name: str) -> Fault:
    """The fault of that name. Raises `ValueError` naming the known ones if there is none."""
    if name not in _BY_NAME:
        raise ValueError(f"{name!r} is no fault; known are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
