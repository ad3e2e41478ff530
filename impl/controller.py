"""One card as all its users share it: calls, the two interrupt handlers, one lock.

The steps of each call, and their order, are those of `model/driver_spec.py` and
`model/ring_spec.py`; tests compare the two access by access. Opening, closing and recovery are in
`impl/lifecycle.py`.
"""

from __future__ import annotations

import enum
import errno
import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import attrs

from impl.card_info import Info
from impl.datapath.loader import PYTHON, Datapath
from impl.dma import command_ring
from impl.errors import (
    CallInterruptedError,
    CardError,
    CardFailedError,
    ClosedError,
    DuctError,
    FilterTableFullError,
    NoSuchFilterError,
    WaitTimeoutError,
    WouldBlockError,
)
from impl.interruption import Interruption
from impl.memory import Device
from impl.packet import Header, Outgoing, Packet
from impl.packet_batch import PacketBatch
from impl.request import Request
from impl.ring import CommandRing, ReceiveRing, RequestRing, TransmitRing
from impl.runtime import CancelledError, ExpiredError, Runtime, WaitQueue
from impl.settings import Settings
from impl.turn import Turn
from model.layout import (
    EVFLAGS,
    FLAGS,
    HWADDR,
    IDENTITY,
    VMAJ,
    VMIN,
    Command,
    errno_of,
    is_fatal,
    ring_slots,
)

__all__ = ["NO_WAIT", "Controller", "Life", "Wait", "attempted"]

Result = TypeVar("Result")
Wanted = TypeVar("Wanted")


class Life(enum.Enum):
    """What the driver is doing with the card as a whole."""

    CLOSED = "closed"
    OPENING = "being opened"
    OPEN = "open"
    CLOSING = "being closed"


@attrs.frozen
class Wait:
    """How long a call may wait, and for whom.

    Attributes:
        blocking: It may wait at all.
        timeout: The seconds that it was given; None: as long as it takes.
        deadline: When they are over, on the runtime's clock.
        handle: What ends the call: the driver object that it was made through, by being closed, or
            an `Interruption` of it.
        conducts: The caller is the one who opens or closes the card, and goes on while it does.
    """

    blocking: bool = True
    timeout: float | None = None
    deadline: float | None = None
    handle: object = None
    conducts: bool = False


NO_WAIT: Final = Wait(blocking=False)
"""Of a call that may not wait."""
_REFUSALS: Final[dict[int, tuple[type[DuctError], str]]] = {
    errno.ENOSPC: (FilterTableFullError, "the card's filter table is full"),
    errno.ENOENT: (NoSuchFilterError, "the card has no such filter"),
}


def attempted(step: Callable[[], BaseException | None]) -> BaseException | None:
    """Do something; returns what it raises, or what it says that was raised meanwhile."""
    try:
        return step()
    except BaseException as error:
        return error


class Controller:
    """A card and everything that its users share.

    Attributes:
        datapath: What moves packets.
        info: Version and hardware address, and what moves packets.
        life: Whether the card is open.
        failed: A fatal error was seen; calls end with `CardFailedError`.
        failure: What it was.
    """

    def __init__(
        self,
        device: Device,
        runtime: Runtime,
        settings: Settings,
        datapath: Datapath = PYTHON,
    ) -> None:
        slots = ring_slots(settings.ring_shift)
        self.device = device
        self.runtime = runtime
        self.settings = settings
        self.datapath = datapath
        self.info = Info(device.read(VMAJ), device.read(VMIN), device.read(HWADDR), datapath.name)
        self.command_memory = command_ring(device, slots)
        self.commands = CommandRing(device, slots)
        self.transmit = TransmitRing(device, slots, datapath)
        self.receive = ReceiveRing(device, slots, datapath)
        self.life = Life.CLOSED
        self.failed = False
        self.failure = ""
        self.inside = 0
        self._gone = False
        self._served: set[int] = set()
        self._turn = Turn(
            none_waits=self._show_that_none_waits,
            another_waits=self._show_that_another_waits,
            unlock_soon=runtime.unlock_soon,
            relock=runtime.relock,
            next_call=self._next_call,
            give_back=self._give_back_again,
        )

    def start(self) -> None:
        """Have both interrupts served, each by a thread that ends when the device is closed.

        One that ended for another reason is replaced.
        """
        for name, vector, serve in (
            ("events", IDENTITY.event_vector, self.serve_events),
            ("fatal", IDENTITY.fatal_vector, self.serve_fatal),
        ):
            if vector not in self._served:
                self.runtime.start(name, functools.partial(self._serve, vector, serve))
                self._served.add(vector)

    # Calls

    def send(self, batch: Sequence[Outgoing], wait: Wait) -> int:
        """Send packets in one turn, with one doorbell while there is room for them.

        Returns when the last was sent or, if the call may not wait, when it is queued. If the call
        has to end before, part of the batch is on its way.

        Returns:
            The number of packets that were handed over: all of them, or those that there was room
            for if the call may not wait.
        """
        self._enter(wait)
        try:
            handed_over, _ = self.submit(self.transmit, batch, wait)
            return handed_over
        finally:
            self._leave()

    def change_filter(self, command: Command, mask: int, address: int, wait: Wait) -> None:
        """Have the card add or remove a filter. Raises what its answer means.

        A call that may not wait changes nothing: nobody would learn what the card answers.
        """
        if not wait.blocking:
            self._check(wait)
            raise WouldBlockError("the card's answer has to be waited for; no filter was changed")
        self._enter(wait)
        try:
            self.command(command, mask, address, wait)
        finally:
            self._leave()

    def receive_packets(self, packets: list[Packet] | PacketBatch, most: int, wait: Wait) -> None:
        """Wait for a packet, and take copies of it and of those that are there behind it.

        Args:
            packets: Takes them, those before an error too.
            most: How many at the most.
            wait: How long the first may be waited for.
        """
        self._enter(wait)
        try:
            self._wait_for_packet(wait)
            self.receive.receive(packets, most, self._turn)
        finally:
            self._leave()

    def _show_that_none_waits(self) -> None:
        self._surely("that no packet waits behind one that was taken", self._unset_readable)

    def _show_that_another_waits(self) -> bool:
        self._surely("a packet behind one that was taken", self._tell_of_packet)
        return not self.receive.waiters

    def _unset_readable(self) -> None:
        self.runtime.set_readable(False)

    def _next_call(self) -> bool:
        self._leave()
        self.runtime.lock()
        self.inside += 1
        self._check(NO_WAIT)
        return not self.receive.waiters

    def _give_back_again(self, slot: int) -> None:
        """Give a slot back after something was raised on the way, with the lock again."""
        refill = functools.partial(self.receive.refill, slot)
        problem = attempted(refill)
        self.runtime.relock()
        if problem is not None:
            self._surely("a receive slot", refill)
        self._surely("a receive slot", functools.partial(self.receive.repost, slot))
        if problem is not None:
            raise problem

    def receive_packet(self, wait: Wait) -> tuple[int, Header]:
        """Wait for a packet and take it: its slot, held until `repost`, and its header."""
        self._enter(wait)
        slot = -1
        try:
            self._wait_for_packet(wait)
            slot, header = self.receive.consume()
            self._surely("the packet behind one that was taken", self._look_at_next)
        except BaseException:
            if slot >= 0:
                # Nobody else knows of the slot.
                attempted(functools.partial(self._give_back, slot))
            self._leave()
            raise
        self.runtime.unlock()
        return slot, header

    def _give_back(self, slot: int) -> None:
        for step in (self.receive.refill, self.receive.repost):
            self._surely("a receive slot", functools.partial(step, slot))

    def repost(self, slot: int) -> None:
        """Hand a slot that `receive_packet` took to the card again; that call ends here."""
        refill = functools.partial(self.receive.refill, slot)
        problem = attempted(refill)
        self.runtime.lock()
        try:
            if problem is not None:
                self._surely("a receive slot", refill)
            # Where a slot is missing the card comes to a halt, and readers would wait for ever.
            self._surely("a receive slot", functools.partial(self.receive.repost, slot))
        finally:
            self._leave()
        if problem is not None:
            raise problem

    def peek(self, wait: Wait) -> Header:
        """Wait for a packet and see what the card says of it, without taking it."""
        self._enter(wait)
        try:
            self._wait_for_packet(wait)
            try:
                return self.receive.peek()
            finally:
                self._surely("a packet that was looked at", self._tell_of_packet)
        finally:
            self._leave()

    def _wait_for_packet(self, wait: Wait) -> None:
        """Return in the caller's turn, when a packet waits; the turn is over with the next look."""
        if not self.receive.waiters and self._packet_waits():
            return
        if not wait.blocking:
            others = self.receive.waiters
            raise WouldBlockError("others are in line for packets" if others else "no packet waits")
        try:
            self._wait_in_line(wait)
        except CardFailedError:
            # All readers were woken.
            raise
        except BaseException:
            # It may have been woken for a packet that is now the next one's.
            self._surely("a packet that waits", self._announce_packet)
            raise

    def _wait_in_line(self, wait: Wait) -> None:
        line, place = self.receive.waiters, object()
        line.append(place)
        try:
            while True:
                self._sleep(WaitQueue.READERS, wait)
                self._check(wait)
                if line[0] is place and self._packet_waits():
                    return
        finally:
            line.remove(place)

    def _packet_waits(self) -> bool:
        """Whether a packet waits; pollers learn if none does."""
        waits = self.receive.packet_ready()
        if not waits:
            self.runtime.set_readable(False)
        return waits

    def _look_at_next(self) -> None:
        """The next in line, or pollers, learn whether a packet waits."""
        if not self._announce_packet():
            self.runtime.set_readable(False)

    def _announce_packet(self) -> bool:
        """Whether a packet waits; who waits for it learns if one does."""
        waits = self.receive.packet_ready()
        if waits:
            self._tell_of_packet()
        return waits

    def _tell_of_packet(self) -> None:
        """A packet waits: for the first in line or, if nobody is in line, for whoever polls."""
        if self.receive.waiters:
            self.runtime.wake(WaitQueue.READERS)
        else:
            self.runtime.set_readable(True)

    # Requests; the caller holds the lock

    def command(self, command: Command, mask: int, address: int, wait: Wait) -> Request:
        """Have the card execute a command. Raises what its answer means."""
        _, request = self.submit(self.commands, [(command, mask, address)], wait)
        code = errno_of(command, request.result)
        if code:
            kind, message = _REFUSALS.get(
                code, (CardError, f"the card refused it with error {request.result}")
            )
            raise kind(f"{command.name}, mask {mask:#010x}, address {address:#010x}: {message}")
        return request

    def submit(
        self, ring: RequestRing[Wanted], batch: Sequence[Wanted], wait: Wait
    ) -> tuple[int, Request]:
        """Hand slots over, one for each item of a batch, and wait for the last of them.

        Returns:
            How many were handed over, and the request that was waited for.
        """
        queue = WaitQueue.COMMANDS if ring is self.commands else WaitQueue.SENDERS
        request = Request()
        place = object()
        handed_over, slot = 0, -1
        unannounced = False
        ring.waiters.append(place)
        try:
            while handed_over < len(batch):
                if unannounced and not ring.room:
                    # The card must know of the others before anybody waits for it.
                    unannounced = False
                    self._announce(ring)
                self._wait_for_turn(ring, queue, place, wait)
                before = ring.produced
                try:
                    ring.produce(batch, handed_over, request if wait.blocking else None)
                finally:
                    handed_over += ring.produced - before
                    unannounced = unannounced or ring.produced != before
                slot = ring.last_slot
        except WouldBlockError:
            if not handed_over:
                raise
        except CallInterruptedError as error:
            error.handed_over = handed_over
            raise
        finally:
            try:
                if unannounced:
                    self._announce(ring)
            finally:
                ring.waiters.remove(place)
                try:
                    self.show_writable()
                finally:
                    # The next in line may go on.
                    self.runtime.wake(queue)
        request.batch = handed_over
        if wait.blocking:
            self._wait_for_completion(ring, queue, slot, request, wait)
        return handed_over, request

    def _announce(self, ring: RequestRing[Any]) -> None:
        # What the card does not know of fills the ring, and nobody could send any more.
        self._surely("a request to the card", ring.ring_doorbell)

    def _wait_for_turn(
        self, ring: RequestRing[Any], queue: WaitQueue, place: object, wait: Wait
    ) -> None:
        while True:
            self._check(wait)
            if ring.waiters[0] is place and ring.room:
                return
            if not wait.blocking:
                raise WouldBlockError(f"all {ring.slots} transmit slots are in use or spoken for")
            # A batch may have filled the ring on the way here.
            self.show_writable()
            self._sleep(queue, wait)

    def _wait_for_completion(
        self, ring: RequestRing[Any], queue: WaitQueue, slot: int, request: Request, wait: Wait
    ) -> None:
        try:
            while not request.done:
                self._check(wait)
                self._sleep(queue, wait)
        except BaseException as error:
            ring.abandon(slot, request)
            if isinstance(error, CallInterruptedError):
                error.handed_over = request.batch
            raise

    # Entering, leaving, sleeping

    def _enter(self, wait: Wait) -> None:
        self.runtime.lock()
        if self.failed or self.life is not Life.OPEN:
            try:
                self._check(wait)
            except BaseException:
                self.runtime.unlock()
                raise
        self.inside += 1

    def _leave(self) -> None:
        self.inside -= 1
        if self.life is Life.CLOSING:
            self.runtime.wake(WaitQueue.LIFE)
        self.runtime.unlock()

    def _check(self, wait: Wait) -> None:
        """The call may go on. Raises `CardFailedError` if the card failed or is not open."""
        if self.failed:
            raise CardFailedError(f"{self.failure}; close every open of it and open it again")
        if self.life is not Life.OPEN and not wait.conducts:
            raise CardFailedError(f"the card is {self.life.value}")

    def _sleep(self, queue: WaitQueue, wait: Wait) -> None:
        try:
            self.runtime.sleep(queue, wait.deadline, wait.handle)
        except ExpiredError:
            raise WaitTimeoutError(f"waited {wait.timeout:g} s for {queue.value}") from None
        except CancelledError:
            if isinstance(wait.handle, Interruption) and not wait.handle.closed:
                raise CallInterruptedError(
                    f"the call was interrupted while it waited for {queue.value}"
                ) from None
            raise ClosedError("the driver was closed while the call was waiting") from None

    @property
    def free_slots(self) -> int:
        """Number of packets that could be queued now."""
        return 0 if self.transmit.waiters else self.transmit.room

    def show_writable(self) -> None:
        """Let pollers know whether a packet can be queued."""
        self.runtime.set_writable(self.failed or self.free_slots > 0)

    def wake_everyone(self) -> None:
        """Whatever the sleepers wait for, they must look again; so must pollers."""
        for queue in WaitQueue:
            self.runtime.wake(queue)
        try:
            self.runtime.set_readable(True)
        finally:
            self.runtime.set_writable(True)

    def fail(self, reason: str) -> None:
        """The driver cannot go on: every call ends, until the card was reset."""
        if not self.failed:
            self.failure = reason
        self.failed = True
        self.wake_everyone()

    def _surely(self, what: str, step: Callable[[], object]) -> None:
        """Do what cannot be left undone, and may be done twice.

        It is tried again after an error of the card's, which is raised when it is done. Where it
        cannot be done the card counts as failed.
        """
        try:
            step()
        except BaseException:
            try:
                step()
            except BaseException as error:
                self.fail(f"{what} was not dealt with ({error!r})")
                raise
            raise

    # Interrupts; they are served with the lock held

    def stop(self) -> None:
        """Let go of the card: nothing is served from now on."""
        self.runtime.lock()
        try:
            self._gone = True
            self.device.close()
        finally:
            self.runtime.unlock()

    def _serve(self, vector: int, serve: Callable[[], None]) -> None:
        try:
            while self.device.wait_for_interrupt(vector):
                self.runtime.lock()
                try:
                    # The interrupt may have come just before the card was let go of.
                    if not self._gone:
                        serve()
                finally:
                    self.runtime.unlock()
        except BaseException as error:
            # Nobody would wake the sleepers any more.
            self.runtime.lock()
            try:
                self._served.discard(vector)
                self.fail(f"the card's interrupts cannot be served any more ({error!r})")
            finally:
                self.runtime.unlock()
            raise

    def serve_events(self) -> None:
        """Vector 0: take back every slot that the card returned, and see whether a packet came.

        What EVFLAGS says is not relied on: a completion may be announced by an interrupt that was
        merged with an earlier one.
        """
        self.device.read(EVFLAGS)
        # Completions that the flags announced are looked for after the flags were read.
        self.device.acquire()
        for ring, queue in (
            (self.commands, WaitQueue.COMMANDS),
            (self.transmit, WaitQueue.SENDERS),
        ):
            if ring.reclaim_all():
                self.runtime.wake(queue)
        self.show_writable()
        self._announce_packet()
        self.runtime.wake(WaitQueue.LIFE)

    def serve_fatal(self) -> None:
        """Vector 1: if FLAGS names an error, every call ends and every sleeper wakes."""
        flags = self.device.read(FLAGS)
        if is_fatal(flags):
            self.failure = f"the card reported a fatal error ({FLAGS.describe(flags)})"
            self.failed = True
            self.wake_everyone()
