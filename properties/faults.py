"""Faults of the driver: named small changes of its source, each of which a test must catch.

A comparison that cannot fail shows nothing. So every defect that was found in two real drivers of
this card (by reading both and running one), every classic mistake with rings, doorbells,
interrupts and resets, and the removal of every single barrier is made here in this driver's own
lines, and `properties.fault_runs` looks for a run in which that shows. `model.faults` says of each
what goes wrong. Many are made in the specification, too, in `proofs/`; those that a card makes and
no driver can (relaxed ordering switched on, a card that forgets to look again, that goes on after
STOP or a reset) are left to the proofs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

import attrs

from engine.faults import Fault
from model.faults import described
from properties.driver_source import SourceChange

__all__ = ["FAULTS", "SAME_LINE", "DriverFault", "fault"]

_RING: Final = functools.partial(SourceChange, "ring")
_CONTROLLER: Final = functools.partial(SourceChange, "controller")
_LIFECYCLE: Final = functools.partial(SourceChange, "lifecycle")
_DMA: Final = functools.partial(SourceChange, "dma")
_PACKET: Final = functools.partial(SourceChange, "packet")
_DRIVER: Final = functools.partial(SourceChange, "driver")


@attrs.frozen
class DriverFault:
    """A mistake that this driver could make.

    Attributes:
        fault: What is said of it; its id is enough.
        changes: What makes the driver have it; each fits exactly one place of the source.
    """

    fault: Fault = attrs.field(converter=described)
    changes: tuple[SourceChange, ...]


def _left_out(module: str, line: str, *, after: str = "", before: str = "") -> SourceChange:
    """Some lines left out; those `after` which and `before` which they stand tell them apart."""
    indent = line[: len(line) - len(line.lstrip())]
    return SourceChange(module, after + line + before, f"{after}{indent}pass\n{before}")


def _only_if(condition: str, lines: str) -> str:
    """Some lines of a method, the first of them under a condition."""
    return f"        if {condition}:\n    {lines}"


# Lines of the driver that faults are about

_HOLD: Final = "        self._held[slot] = True\n"
_TAKEN: Final = "        self._taken[0] = number + 1\n"
_COPY_SIZE: Final = (
    '        size = check_received(length)\n        if not size:\n            return b""\n'
)
_COPY: Final = "        return bytes(self._payloads[begin : begin + size])\n"
_RESTORE: Final = "        self._octets[begin : begin + FIELDS_SIZE] = self._restored[slot]\n"
_RELEASE_REQUEST: Final = (
    "        self._device.release()\n        self._octets[slot * self.slot_size + OWNER]"
)
_RELEASE_SLOT: Final = (
    "        self._device.release()\n        self._octets[slot * PACKET_SLOT_SIZE + OWNER]"
)
_BELL_BARRIER: Final = "        self._device.before_register_write()\n"
_BELL: Final = "        self._device.write(DBELL, self._first_bell + self.last_slot)\n"
_RETURNED: Final = "        oldest = self._consumed & self._mask\n"
_ACQUIRE_RESULT: Final = (
    "        # What the card wrote to the slot is read after the owner byte.\n"
    "        self._device.acquire()\n"
)
_FILLED_LOAD: Final = "        return bool(self._octets[slot * PACKET_SLOT_SIZE + OWNER] == HOST)\n"
_ACQUIRE_HEADER: Final = (
    "        # What the card wrote to the slot and its buffers is read after the owner byte.\n"
    "        self._device.acquire()\n"
)
_RELEASE_LOADS: Final = "        self._device.release_loads()\n"
_ACQUIRE_EVENTS: Final = "        self.device.acquire()\n"
_EVENTS: Final = "        self.device.read(EVFLAGS)\n"
_READ_EVENTS: Final = (
    _EVENTS
    + "        # Completions that the flags announced are looked for after the flags were read.\n"
    + _ACQUIRE_EVENTS
)
_TAKE_BACK: Final = "            if ring.reclaim_all():\n                self.runtime.wake(queue)\n"
_SEE_PACKET: Final = "        self._announce_packet()\n"
_TELL_READERS: Final = "            self.runtime.wake(WaitQueue.READERS)\n"
_TELL_POLLERS: Final = "            self.runtime.set_readable(True)\n"
_IF_NONE: Final = "        if not self._announce_packet():\n"
_TELL_OF_NEXT: Final = "                    more = turn.another_waits()\n"
_NOT_READABLE: Final = "            self.runtime.set_readable(False)\n"
_NOTE_LEAVING: Final = (
    "            # It may have been woken for a packet that is now the next one's.\n"
    '            self._surely("a packet that waits", self._announce_packet)\n'
)
_SUBMIT_WAIT: Final = "            self._wait_for_completion(ring, queue, slot, request, wait)\n"
_WAIT_IF_BLOCKING: Final = "        if wait.blocking:\n" + _SUBMIT_WAIT
_AWAIT_PACKET: Final = "                self._sleep(WaitQueue.READERS, wait)\n"
_READERS_TURN: Final = "                if line[0] is place and self._packet_waits():\n"
_NOBODY_IN_LINE: Final = "        if not self.receive.waiters and self._packet_waits():\n"
_NO_PACKET: Final = "            others = self.receive.waiters\n            raise WouldBlockError("
_WAKE_LIFE: Final = "        self.runtime.wake(WaitQueue.LIFE)\n"
_MY_TURN: Final = "            if ring.waiters[0] is place and ring.room:\n"
_ROOM: Final = (
    "                if unannounced and not ring.room:\n"
    "                    # The card must know of the others before anybody waits for it.\n"
    "                    unannounced = False\n"
    "                    self._announce(ring)\n"
)
_LOOK_AFTER: Final = (
    "            slot, header = self.receive.consume()\n"
    '            self._surely("the packet behind one that was taken", self._look_at_next)\n'
)
_LAST_LOOK: Final = (
    "            if not self.packet_ready():\n                turn.none_waits()\n"
    "                return\n\n    # Without"
)
_NEXT_CALL: Final = "            if not turn.next_call():\n                return\n" + _LAST_LOOK
_GOES_ON: Final = "            turn.next_call()\n" + _LAST_LOOK
_COPY_OUT: Final = "                payload = self.copy(slot, length)\n"
_GIVE_BACK: Final = (
    "                self.refill(slot)\n"
    "                others = turn.relock()\n"
    "                self.repost(slot)\n"
)
_CHECK: Final = "        while True:\n            self._check(wait)\n            if ring.waiters"
_SHUT_DOWN: Final = (
    "        except DuctError:\n"
    "            return self._recover_if_possible()\n"
    "        except BaseException as interruption:\n"
    "            self._recover_if_possible()\n"
    "            return interruption\n"
)
_RECOVER: Final = (
    "        # A START that failed or was interrupted may have started the card all the same.\n"
    "        return self._recover_if_possible()\n"
)
_UNDO: Final = "            undone = attempted(self._shut_down if started else self._undo_set_up)\n"
_FREE_UNASKED: Final = (
    "            self._retire_packet_rings()\n            self._free(ResetFinished(0))\n"
)
_END_CLOSE: Final = "        problems += [attempted(self._shut_down)]\n"
_FREE_STOPPED: Final = "        self._free(StopCompleted(stopped))\n"
_BUS_MASTER: Final = "        self._device.enable_bus_master()\n"
_ALLOCATE_COMMANDS: Final = "        self.command_memory = command_ring(device, slots)\n"
_AWAIT_RESET: Final = "        evidence = self._await_reset()\n"
_FAILED_NOW: Final = "            self.failed = True\n"
_IMPORT_RINGS: Final = "from impl.ring import CommandRing, ReceiveRing, RequestRing, TransmitRing\n"
_FILL_IN_TX: Final = (
    "        slot = self.produced & self._mask\n        offset = slot * BUFFER_SIZE\n"
)
_SUBMIT_ALL: Final = "            handed_over, _ = self.submit(self.transmit, batch, wait)\n"
_AS_MANY: Final = "range(begin, min(last + 1, begin + self.room))"

_CHANGES: Final[Mapping[str, SourceChange | tuple[SourceChange, ...]]] = {
    # Defects of two real drivers
    "zero-length-stall": _RING(
        _HOLD + _TAKEN,
        _HOLD + "        self._taken[0] = number + (header[0] > 0)\n",
    ),
    "wild-pointer-recycle": (
        _RING(_COPY, "        self._index = slot\n" + _COPY),
        _RING(_HOLD, _HOLD + "        self._index = self.slots\n"),
        _RING(
            _RESTORE,
            _RESTORE.replace(
                "self._restored[slot]", 'fields_of(self._buffers, getattr(self, "_index", slot))'
            ),
        ),
    ),
    "fatal-is-forever": _LIFECYCLE("        controller.failed = False\n", ""),
    "free-while-started": _LIFECYCLE(_UNDO, _FREE_UNASKED + "            undone = None\n"),
    "stop-failed-free": _LIFECYCLE(
        _SHUT_DOWN, f"        except DuctError:\n{_FREE_UNASKED}            return None\n"
    ),
    "result-of-another": _CONTROLLER(
        _SUBMIT_WAIT, _SUBMIT_WAIT + "            request.result = ring._result(slot)\n"
    ),
    "waits-for-another": _CONTROLLER(
        "            while not request.done:\n",
        "            while (\n"
        "                not request.done\n"
        "                if ring is self.commands\n"
        "                else (slot - ring._consumed) % ring.slots < ring.outstanding\n"
        "            ):\n",
    ),
    "wake-before-advance": _CONTROLLER(
        _TAKE_BACK,
        "            while ring.has_completion():\n"
        "                self.runtime.wake(queue)\n"
        "                self.runtime.unlock()\n"
        "                self.runtime.lock()\n"
        "                ring.reclaim()\n",
    ),
    "wrong-channel": (
        _LIFECYCLE(
            "        problems = [attempted(controller.wake_everyone)]\n",
            "        self._runtime.wake(WaitQueue.LIFE)\n        problems = []\n",
        ),
        # Closing a driver object ends its sleeps as well; the other drivers have no such
        # second net.
        _LIFECYCLE("            self._runtime.cancel(handle)\n", ""),
    ),
    "stale-owner-reopen": (
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
    "submit-ignores-fatal": _CONTROLLER(
        _CHECK,
        "        while True:\n"
        "            if ring is not self.commands:\n"
        "                self._check(wait)\n"
        "            if ring.waiters",
    ),
    "reset-spins": _LIFECYCLE(
        "        for _ in range(self._settings.reset_polls):\n",
        "        for _ in range(1 << 32):\n",
    ),
    "open-count": _LIFECYCLE(
        "            self._opens += 1\n", "            self._opens += 2 if self._opens else 1\n"
    ),
    "acquire-too-early": (
        _RING(_ACQUIRE_HEADER, ""),
        _RING(_FILLED_LOAD, "        self._device.acquire()\n" + _FILLED_LOAD),
    ),
    "dead-after-one": _RING(
        _FILLED_LOAD,
        "        if self._taken[0] and index_of(self._taken[0], self.slots) == slot:\n"
        "            return False\n" + _FILLED_LOAD,
    ),
    "unlock-then-sleep": _CONTROLLER(
        "            self.runtime.sleep(queue, wait.deadline, wait.handle)\n",
        "            self.runtime.unlock()\n"
        "            self.runtime.lock()\n"
        "            self.runtime.sleep(queue, wait.deadline, wait.handle)\n",
    ),
    "double-fetch": _RING(
        _COPY_SIZE,
        "        check_received(length)\n"
        "        size = self._load_header(slot)[0]\n"
        "        if not size:\n"
        '            return b""\n',
    ),
    "unchecked-length": _RING(
        _COPY,
        "        inside = bytes(self._payloads[begin : begin + min(size, 2)])\n"
        '        size = int.from_bytes(inside, "little")\n' + _COPY,
    ),
    "shared-result": (
        _RING("            request.result = result\n", "            self.last = result\n"),
        _CONTROLLER(
            "        code = errno_of(command, request.result)\n",
            "        request.result = self.commands.last\n"
            "        code = errno_of(command, request.result)\n",
        ),
    ),
    "rx-before-start": _LIFECYCLE(
        _END_CLOSE,
        "        self._retire_packet_rings()\n        self._free(ResetFinished(0))\n",
    ),
    "open-leak": _LIFECYCLE(
        "            elif controller.failed:\n",
        "            elif controller.failed:\n                self._opens += 1\n",
    ),
    "stale-command-index": (
        _CONTROLLER(_CHECK, "        noted = index_of(ring.produced, ring.slots)\n" + _CHECK),
        _CONTROLLER(
            _MY_TURN + "                return\n",
            _MY_TURN
            + "                ring.noted = noted if ring is self.commands else None\n"
            + "                return\n",
        ),
        _CONTROLLER(_IMPORT_RINGS, _IMPORT_RINGS + "from impl.ring import index_of\n"),
        _RING(
            "        return index_of(self.produced, self.slots)\n",
            "        if self.noted is not None:\n"
            "            return self.noted\n"
            "        return index_of(self.produced, self.slots)\n\n"
            "    noted = None\n",
        ),
        _RING(
            "        slot = self.produced & self._mask\n        # All that",
            "        slot = self.next_slot\n        # All that",
        ),
    ),
    "phantom-write": _CONTROLLER(
        "        except WouldBlockError:\n            if not handed_over:\n                raise\n",
        "        except WouldBlockError:\n            pass\n",
    ),
    "pollers-not-told": _CONTROLLER(
        _FAILED_NOW + "            self.wake_everyone()\n",
        _FAILED_NOW
        + "            for queue in WaitQueue:\n                self.runtime.wake(queue)\n",
    ),
    "close-loses-queue": _LIFECYCLE(", attempted(self._drain)]", "]"),
    "wake-before-free": _LIFECYCLE(
        _FREE_STOPPED,
        "        self._controller.life = Life.CLOSED\n"
        "        self._runtime.wake(WaitQueue.LIFE)\n"
        "        self._runtime.unlock()\n"
        "        self._runtime.lock()\n" + _FREE_STOPPED,
    ),
    # Classic mistakes
    # Handing over
    "owner-before-fields": _RING(
        _FILL_IN_TX, _FILL_IN_TX + "        self._octets[slot * self.slot_size + OWNER] = DEVICE\n"
    ),
    "doorbell-before-owner": (
        _RING(
            _RELEASE_REQUEST,
            _BELL_BARRIER + _BELL.replace("self.last_slot", "slot") + _RELEASE_REQUEST,
        ),
        _CONTROLLER(
            "unannounced = unannounced or ring.produced != before\n", "unannounced = False\n"
        ),
    ),
    "doorbell-wrong-index": _RING(_BELL, _BELL.replace("last_slot", "next_slot")),
    "no-doorbell": _RING(_BELL, ""),
    "doorbell-wrong-ring": _RING(
        _BELL, _BELL.replace("self._first_bell", "doorbell(COMMAND_RING, 0)")
    ),
    "producer-unbounded": (
        _CONTROLLER(_MY_TURN, "            if ring.waiters[0] is place:\n"),
        _RING(_AS_MANY, "range(begin, last + 1)"),
    ),
    "batch-sleeps-unrung": _CONTROLLER(_ROOM, ""),
    "batch-waits-for-first": _RING("request if number == last else None", "request"),
    # Taking back
    "consumer-runs-ahead": _RING(_RETURNED, "        return True\n" + _RETURNED),
    "flags-after-scan": (
        _CONTROLLER(_READ_EVENTS, ""),
        _CONTROLLER(_SEE_PACKET + _WAKE_LIFE, _EVENTS + _ACQUIRE_EVENTS + _SEE_PACKET + _WAKE_LIFE),
    ),
    "one-per-interrupt": _RING(
        "        while self.has_completion():\n", "        if self.has_completion():\n"
    ),
    "reclaim-starves": _CONTROLLER(
        _TAKE_BACK,
        "            while ring.has_completion():\n"
        "                ring.reclaim()\n"
        "                self.runtime.wake(queue)\n"
        "                self.runtime.unlock()\n"
        "                self.runtime.lock()\n",
    ),
    # Receiving
    "returned-before-copied": _RING(_COPY_OUT + _GIVE_BACK, _GIVE_BACK + _COPY_OUT),
    "peek-without-owner": _CONTROLLER(
        "            self._wait_for_packet(wait)\n            try:\n",
        "            try:\n",
    ),
    "rxcomp-only": (
        _CONTROLLER("    IDENTITY,\n    VMAJ,\n", "    IDENTITY,\n    RXCOMP,\n    VMAJ,\n"),
        _CONTROLLER(_EVENTS, "        events = self.device.read(EVFLAGS)\n"),
        _CONTROLLER(
            _SEE_PACKET + _WAKE_LIFE,
            "        if events & RXCOMP.mask:\n            self._announce_packet()\n" + _WAKE_LIFE,
        ),
    ),
    "readable-at-every-event": _CONTROLLER(
        _SEE_PACKET + _WAKE_LIFE,
        "        if not self._announce_packet() and self.life is Life.OPEN:\n"
        "            self._tell_of_packet()\n" + _WAKE_LIFE,
    ),
    "last-packet-leaves-readable": _CONTROLLER(
        _LOOK_AFTER, _LOOK_AFTER.replace("self._look_at_next", "self._announce_packet")
    ),
    "readiness-cleared-unseen": _CONTROLLER(
        _LOOK_AFTER, _LOOK_AFTER + "            self.runtime.set_readable(False)\n"
    ),
    "slot-never-returned": _left_out(
        "controller",
        '            self._surely("a receive slot", '
        "functools.partial(self.receive.repost, slot))\n",
    ),
    "looks-after-free": _RING(
        '        """Detach from memory."""\n'
        "        self._octets = self._payloads = DETACHED\n"
        "        self._buffers = None\n",
        '        """Detach from memory."""\n',
    ),
    "reader-overtakes": _CONTROLLER(_READERS_TURN, "                if self._packet_waits():\n"),
    "batch-overtakes": (
        _RING(_TELL_OF_NEXT, "                    turn.another_waits()\n"),
        _RING(_NEXT_CALL, _GOES_ON),
    ),
    "others-overtaken": _RING(_NEXT_CALL, _GOES_ON),
    "batch-tells-nobody": _RING(_TELL_OF_NEXT, "                    pass\n"),
    "newcomer-overtakes": _CONTROLLER(_NOBODY_IN_LINE, "        if self._packet_waits():\n"),
    "reader-never-leaves-line": _left_out("controller", "            line.remove(place)\n"),
    # Without the lock
    "submit-without-lock": (
        _CONTROLLER(
            "        self._enter(wait)\n        try:\n" + _SUBMIT_ALL,
            "        self._check(wait)\n        if True:\n" + _SUBMIT_ALL,
        ),
        _CONTROLLER(
            "            return handed_over\n        finally:\n            self._leave()\n",
            "            return handed_over\n",
        ),
    ),
    # Reset
    "rebased-without-reset": _LIFECYCLE(
        "            self._set_up()\n",
        "            controller.commands.restart(controller.command_memory)\n"
        "            for slot in range(controller.commands.slots):\n"
        "                controller.commands.initialise_slot(slot)\n"
        "            self._device.fence()\n"
        "            self._device.write(CMDBASE, controller.command_memory.bus_address())\n"
        "            self._set_up()\n",
    ),
    "bus-master-before-reset": _CONTROLLER(
        _ALLOCATE_COMMANDS, "        device.enable_bus_master()\n" + _ALLOCATE_COMMANDS
    ),
    "indices-kept-over-reset": _RING(
        "        self.produced = 0\n        self._consumed = 0\n",
        '        self._consumed = self.produced = getattr(self, "produced", 0)\n',
    ),
    # What callers are told
    "waits-anyway": _CONTROLLER(
        "            if not wait.blocking:\n                raise WouldBlockError(f",
        "            if False:\n                raise WouldBlockError(f",
    ),
    "returns-when-queued": _CONTROLLER(
        _WAIT_IF_BLOCKING,
        "        if wait.blocking and ring is self.transmit:\n"
        "            ring.abandon(slot, request)\n"
        "        elif wait.blocking:\n" + _SUBMIT_WAIT,
    ),
    "batch-stops-short": _CONTROLLER(_SUBMIT_ALL, _SUBMIT_ALL.replace("batch", "batch[:2]")),
    "result-not-looked-at": _CONTROLLER(
        "        code = errno_of(command, request.result)\n", "        code = 0\n"
    ),
    "wake-up-ends-call": _CONTROLLER(
        _AWAIT_PACKET, _AWAIT_PACKET + '                raise WaitTimeoutError("woken")\n'
    ),
    "never-waits": _CONTROLLER(
        "        if not wait.blocking:\n" + _NO_PACKET, "        if True:\n" + _NO_PACKET
    ),
    "full-ring-is-an-error": _CONTROLLER(
        'raise WouldBlockError(f"all', 'raise CardFailedError(f"all'
    ),
    "turns-away-unlocked": _CONTROLLER(
        "        self.runtime.lock()\n        if self.failed",
        "        self._check(wait)\n        self.runtime.lock()\n        if self.failed",
    ),
    "interruption-says-ok": _CONTROLLER(
        "            return handed_over\n        finally:\n            self._leave()\n",
        "            return handed_over\n"
        "        except WaitTimeoutError:\n"
        "            return len(batch)\n"
        "        finally:\n            self._leave()\n",
    ),
    "failed-open-says-ok": _LIFECYCLE(
        '                raise CardFailedError(f"{controller.failure}; close every',
        "                return\n"
        '                raise CardFailedError(f"{controller.failure}; close every',
    ),
    "own-address-forgotten": _left_out(
        "lifecycle",
        "            self._command(Command.ADDFILT, EXACT_MASK, controller.info.hwaddr)\n",
    ),
    "reset-instead-of-stop": _LIFECYCLE(
        "            stopped = self._command(Command.STOP)\n",
        '            raise CardFailedError("a reset is simpler")\n',
    ),
    "spins": _CONTROLLER(
        "            self.runtime.sleep(queue, wait.deadline, wait.handle)\n",
        "            self.runtime.unlock()\n            self.runtime.lock()\n",
    ),
    "events-not-read": _left_out("controller", _EVENTS),
    # The removal of each single barrier, but those of SAME_LINE
    "no-barrier-tx-fields": (
        _RING(
            "        fields = pack_addressed(",
            "        self._device.release()\n        fields = pack_addressed(",
        ),
        _RING(_RELEASE_REQUEST, _only_if("self.kind is COMMAND_RING", _RELEASE_REQUEST)),
    ),
    "no-barrier-tx-payload": _RING(
        _RELEASE_REQUEST, _only_if("self.kind is COMMAND_RING", _RELEASE_REQUEST)
    ),
    "no-barrier-cmd-fields": _RING(
        _RELEASE_REQUEST, _only_if("self.kind is TRANSMIT_RING", _RELEASE_REQUEST)
    ),
    "no-barrier-tx-doorbell": _RING(
        _BELL_BARRIER, _only_if("self.kind is COMMAND_RING", _BELL_BARRIER)
    ),
    "no-barrier-cmd-doorbell": _RING(
        _BELL_BARRIER, _only_if("self.kind is TRANSMIT_RING", _BELL_BARRIER)
    ),
    "no-barrier-cmd-result": _RING(_ACQUIRE_RESULT, ""),
    "no-barrier-rx-header": _RING(_ACQUIRE_HEADER, ""),
    "no-barrier-tx-events": _CONTROLLER(
        _ACQUIRE_EVENTS, _only_if("self.commands.outstanding", _ACQUIRE_EVENTS)
    ),
    "no-barrier-cmd-events": _CONTROLLER(
        _ACQUIRE_EVENTS, _only_if("self.transmit.outstanding", _ACQUIRE_EVENTS)
    ),
    "no-barrier-rx-events": _CONTROLLER(
        _ACQUIRE_EVENTS,
        _only_if("self.commands.outstanding or self.transmit.outstanding", _ACQUIRE_EVENTS),
    ),
    "no-barrier-rx-pointer": _RING(_RELEASE_SLOT, _RELEASE_SLOT.partition("\n")[2]),
    "no-barrier-rx-first-load": _RING(_RELEASE_LOADS, ""),
    "no-barrier-rx-last-load": (
        _RING(_RELEASE_LOADS, ""),
        _RING(
            _COPY,
            "        half = -(-size // 2)\n"
            "        first = bytes(self._payloads[begin : begin + half])\n"
            "        self._device.release_loads()\n"
            "        if size == half:\n"
            "            return first\n"
            "        return first + bytes(self._payloads[begin + half : begin + size])\n",
        ),
    ),
    "no-barrier-start-read": _LIFECYCLE("        device.release_loads()\n", ""),
    "no-barrier-cmd-base": _LIFECYCLE("        self._device.fence()\n", ""),
    "no-barrier-tx-base": _LIFECYCLE("        device.fence()\n", ""),
    "no-barrier-tx-free": _DMA("        self._device.fence()\n", ""),
    # Further mistakes in this driver's own lines: what could be left out of them, or put wrong
    # Wake-ups
    "line-not-woken": _left_out(
        "controller",
        "                    self.runtime.wake(queue)\n",
        after="                    # The next in line may go on.\n",
    ),
    "completion-not-woken": _left_out(
        "controller",
        "                self.runtime.wake(queue)\n",
        after="            if ring.reclaim_all():\n",
    ),
    "readers-not-woken": _left_out("controller", _TELL_READERS),
    "next-reader-not-woken": _CONTROLLER(
        _IF_NONE + _NOT_READABLE,
        "        if self.receive.waiters:\n"
        "            self.receive.packet_ready()\n"
        "        elif not self._announce_packet():\n" + _NOT_READABLE,
    ),
    "interrupted-reader-tells-nobody": _CONTROLLER(
        _NOTE_LEAVING, _NOTE_LEAVING.replace("self._announce_packet", "self.receive.packet_ready")
    ),
    "drain-not-woken": _left_out(
        "controller",
        "        self.runtime.wake(WaitQueue.LIFE)\n",
        after=_SEE_PACKET,
    ),
    "leaver-wakes-nobody": _left_out(
        "controller",
        "            self.runtime.wake(WaitQueue.LIFE)\n",
        after="        if self.life is Life.CLOSING:\n",
    ),
    "failure-wakes-nobody": _left_out(
        "controller", "            self.wake_everyone()\n", after="            self.failed = True\n"
    ),
    "open-wakes-nobody": _left_out(
        "lifecycle",
        "        self._runtime.wake(WaitQueue.LIFE)\n",
        before="        if isinstance(problem",
    ),
    "closed-wakes-nobody": _left_out(
        "lifecycle",
        "        self._runtime.wake(WaitQueue.LIFE)\n",
        before="        problem = _foremost",
    ),
    "close-cancels-nothing": _left_out("lifecycle", "            self._runtime.cancel(handle)\n"),
    # Indices and what is kept of a slot
    "producer-stays": _left_out("ring", "        self.produced += 1\n"),
    "consumer-stays": _left_out(
        "ring", "        self._consumed += 1\n", after="        self._waiting[slot] = None\n"
    ),
    "receive-index-stays": _left_out("ring", _TAKEN, after=_HOLD),
    "waiter-not-noted": _left_out("ring", "        self._waiting[slot] = request\n"),
    "held-not-noted": _left_out("ring", _HOLD),
    "held-for-ever": _left_out("ring", "        self._held[slot] = False\n"),
    "batch-miscounted": _CONTROLLER(
        "handed_over += ring.produced - before\n", "handed_over = ring.produced - before\n"
    ),
    # Checks
    "reclaims-nothing": _RING(
        "        if self._consumed == self.produced:\n            return False\n        oldest",
        "        oldest",
    ),
    "sent-unseen": _RING(" and octets[(number & mask) * PACKET_SLOT_SIZE + OWNER] == HOST:", ":"),
    "sent-beyond-outstanding": _RING("while number != end and ", "while "),
    "held-not-asked": _RING("        if self._held[slot]:\n            return False\n", ""),
    "retired-not-asked": _RING("        if self._buffers is None:\n            return False\n", ""),
    "overtakes-the-line": _CONTROLLER(_MY_TURN, "            if ring.room:\n"),
    "line-never-left": _left_out("controller", "            ring.waiters.remove(place)\n"),
    "ignores-close": _CONTROLLER(
        "        if self.life is not Life.OPEN and not wait.conducts:\n", "        if False:\n"
    ),
    "waits-on-after-failure": _CONTROLLER(
        "                self._check(wait)\n                self._sleep(queue, wait)\n",
        "                self._sleep(queue, wait)\n",
    ),
    "entering-not-counted": _left_out(
        "controller", "        self.inside += 1\n", after="            raise\n"
    ),
    "leaving-not-counted": _left_out("controller", "        self.inside -= 1\n"),
    # Receiving
    "length-not-checked": _PACKET(
        "    if length > _MOST:\n        raise CardError",
        "    if False:\n        raise CardError",
    ),
    "peek-takes": _CONTROLLER(
        "                return self.receive.peek()\n",
        "                return self.receive.consume()[1]\n",
    ),
    "readiness-never-set": _left_out(
        "controller", _TELL_POLLERS, after=_TELL_READERS + "        else:\n"
    ),
    "readiness-never-cleared": (
        _left_out(
            "controller",
            _NOT_READABLE,
            before="        return waits\n",
        ),
        _left_out("controller", _NOT_READABLE, after=_IF_NONE),
    ),
    "readable-with-readers-in-line": _CONTROLLER(
        _TELL_READERS + "        else:\n" + _TELL_POLLERS,
        _TELL_READERS + "        self.runtime.set_readable(True)\n",
    ),
    "readiness-kept-over-close": _left_out(
        "lifecycle", "        self._runtime.set_readable(controller.failed)\n"
    ),
    "full-ring-not-shown": _left_out(
        "controller",
        "                    self.show_writable()\n",
        before="                finally:\n                    # The next in line",
    ),
    "free-slot-not-shown": _left_out(
        "controller", "        self.show_writable()\n", before=_SEE_PACKET
    ),
    "pointers-not-restored": _left_out(
        "ring", "                self.refill(slot)\n", after=_COPY_OUT
    ),
    "owner-before-pointer": _RING(
        "        self.refill(slot)\n        self._hand_over(slot)\n",
        "        self._hand_over(slot)\n        self.refill(slot)\n",
    ),
    "lengths-not-restored": _RING("pack_fields(PAGE_LENGTHS, 0,", "pack_fields((0,) * 4, 0,"),
    "pages-overlap": _RING("buffers.bus_address(page)", "buffers.bus_address(pages[0])"),
    "copies-too-little": _RING(_COPY, _COPY.replace("+ size]", "+ size - 1]")),
    "buffers-not-advanced": _RING("                offset += size\n", ""),
    # Open and close
    "views-kept-at-close": _DRIVER(
        "                steps.callback(self._controller.repost, slot)\n",
        "                pass\n",
    ),
    "late-view-kept": _left_out(
        "driver",
        "                self._check_open()\n",
        before="                self._views[view] = slot\n",
    ),
    "opens-together": _LIFECYCLE(
        "            while controller.life in {Life.OPENING, Life.CLOSING}:\n",
        "            while controller.life is Life.OPENING:\n",
    ),
    "leavers-not-awaited": _LIFECYCLE("[attempted(self._wait_for_leavers), ", "["),
    "drains-a-failed-card": _LIFECYCLE(
        "while not controller.failed and controller", "while controller"
    ),
    "aborted-open-keeps-card": _LIFECYCLE(_RECOVER, "        return None\n"),
    "filters-not-flushed": _left_out("lifecycle", "            self._command(Command.FLUSHFILT)\n"),
    "packet-memory-leaks": _left_out("lifecycle", "            self._memory.free(evidence)\n"),
    "rings-used-after-stop": _left_out(
        "lifecycle",
        "        self._retire_packet_rings()\n",
        before="        self._free(StopCompleted",
    ),
    "no-flush-before-start": _left_out("lifecycle", "        device.read(HWADDR)\n"),
    "command-base-before-size": _LIFECYCLE(
        "        self._device.write(CMDSHIFT, self._settings.ring_shift)\n"
        "        self._device.write(CMDBASE, controller.command_memory.bus_address())\n",
        "        self._device.write(CMDBASE, controller.command_memory.bus_address())\n"
        "        self._device.write(CMDSHIFT, self._settings.ring_shift)\n",
    ),
    # Failing and coming back
    "failure-not-noted": _left_out(
        "controller",
        "            self.failed = True\n",
        before="            self.wake_everyone()\n",
    ),
    "failure-taken-for-granted": _CONTROLLER("        if is_fatal(flags):\n", "        if True:\n"),
    "reset-not-written": _left_out(
        "lifecycle",
        "        self._device.write(FLAGS, RST.mask)\n",
        before="        # Nothing that is on its way",
    ),
    "bus-master-never-set": _left_out("lifecycle", _BUS_MASTER),
    "bus-master-during-reset": (
        _left_out("lifecycle", _BUS_MASTER),
        _LIFECYCLE(_AWAIT_RESET, _BUS_MASTER + _AWAIT_RESET),
    ),
    "reset-given-up-early": _LIFECYCLE("range(self._settings.reset_polls):", "range(1):"),
    "failure-during-reset": _left_out(
        "lifecycle", "                self._device.write(FLAGS, RST.mask)\n"
    ),
    "needs-reset-not-set": _left_out(
        "lifecycle", "        self.needs_reset = True\n", before="        self._device.write(FLAGS"
    ),
    "needs-reset-not-cleared": _left_out("lifecycle", "        self.needs_reset = False\n"),
    "command-ring-not-retired": _left_out("lifecycle", "        controller.commands.retire()\n"),
    "packet-rings-not-retired": _left_out(
        "lifecycle", "        self._retire_packet_rings()\n", before="        evidence = "
    ),
    "command-slots-kept": _left_out(
        "lifecycle", "            controller.commands.initialise_slot(slot)\n"
    ),
}
"""What makes the driver have each fault.

Some lines are not here because the driver does the same without them, as far as anybody can see: a
second net (the last close wakes sleepers whose handles were cancelled already; a call is checked
when it enters and again before it does anything), or tidiness (a request that nobody waits for is
forgotten; a packet ring's size is written before its address, and the card looks at neither before
START).
"""

FAULTS: Final[tuple[DriverFault, ...]] = tuple(
    DriverFault(name, (made,) if isinstance(made, SourceChange) else made)
    for name, made in _CHANGES.items()
)
SAME_LINE: Final[Mapping[str, str]] = {
    # What a reader asks for never reaches the rings: it gets a whole packet, which is cut for it.
    "negative-length-read": "unchecked-length",
    "short-read-stall": "zero-length-stall",
    "no-barrier-rx-base": "no-barrier-tx-base",
    "no-barrier-rx-free": "no-barrier-tx-free",
}
"""Faults of the specification for which this driver has one line with another one: a fence stands
for both packet rings."""

_BY_NAME: Final[Mapping[str, DriverFault]] = {item.fault.id: item for item in FAULTS}


def fault(name: str) -> DriverFault:
    """The fault of that name. Raises `ValueError` naming the known ones if there is none."""
    if name not in _BY_NAME:
        raise ValueError(f"{name!r} is no fault; known are {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
