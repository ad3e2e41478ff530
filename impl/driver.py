"""The driver as programs use it.

    with DuctDriver.open("emulated:") as duct:
        duct.send(0xEC60, b"hello")
        print(duct.receive().payload)

Any number of threads may use one driver object, and any number of driver objects one card.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from typing import Final, Self, final

import attrs

from impl.attach import ATTACHMENTS, Attachment, Attachments
from impl.card_info import Info
from impl.controller import NO_WAIT, Wait
from impl.errors import (
    ClosedError,
    WouldBlockError,
)
from impl.interruption import Interruption
from impl.loan import Loan
from impl.memory import Data
from impl.packet import (
    Outgoing,
    Packet,
    Payload,
    check_filter,
    message_of,
    outgoing,
    parse_message,
)
from impl.packet_batch import PacketBatch, check_batch
from impl.packet_calls import PacketCalls, check_timeout, check_whole
from impl.polling import Direction, Poller
from impl.settings import Monitoring, Settings
from impl.shield import HANDLERS, PENDING, protected, shielded, take
from impl.watch import Watch
from model.layout import Command

__all__ = ["DuctDriver", "PacketBatch", "PacketView", "Readiness"]

AT_ONCE: Final = ("receive_at_once", "send_at_once", "receive_into_at_once", "send_from_at_once")
"""Calls that a controller may make in C, each as a whole."""


@attrs.frozen
class Readiness:
    """What a driver could do at once.

    Attributes:
        next_length: Bytes of the next packet; None if none waits.
        free_slots: Number of packets that could be queued.
    """

    next_length: int | None
    free_slots: int


@final
class PacketView:
    """A received packet where the card wrote it: not copied, and on loan.

    Its slot is the card's again after `release`, at the end of a `with` block, or when the driver
    object that it came from is closed. Until then the card has one slot less to receive with.
    Whatever still refers to the payload when the driver object is closed stays readable, but shows
    whatever the card writes there next.

    Attributes:
        source: Hardware address of the sender.
        destination: Address that the packet was sent to.
        payload: Its bytes, read-only. Using them after the release raises `ValueError`; slices of
            them, and arrays over them, must be gone before.
    """

    def __init__(
        self, driver: DuctDriver, source: int, destination: int, payload: memoryview
    ) -> None:
        self.source = source
        self.destination = destination
        self._loan = Loan(payload)
        self._driver = driver

    @property
    def payload(self) -> memoryview:
        """Its bytes, read-only."""
        return self._loan.view

    @protected
    def release(self) -> None:
        """Hand the slot back to the card. A second release does nothing.

        Raises:
            BufferError: Something still refers to the payload: a slice of it, or an array over it.
                The view is as it was; release it again when that is gone.
        """
        try:
            self._take_back()
            self._driver._end_view(self)
        finally:
            while PENDING and take():
                pass

    def _take_back(self) -> None:
        try:
            self._loan.end()
        except BufferError:
            raise BufferError(
                "the payload is in use: release slices of it and arrays over it first"
            ) from None

    def _keep(self) -> None:
        """A signal ends the call that lends this: its packet is for the next one."""
        packet = Packet(self.source, self.destination, bytes(self.payload))
        self.release()
        self._driver._keep([packet])

    def _lose(self) -> None:
        """The driver object is being closed, which ends the loan."""
        with contextlib.suppress(BufferError):
            self._take_back()

    @protected
    def __enter__(self) -> Self:
        try:
            return self
        finally:
            while PENDING and take(PacketView._keep, self):
                pass

    @shielded
    def __exit__(self, *_: object) -> None:
        self.release()


@final
class DuctDriver(PacketCalls):
    """One open of a card. Close it, or use it in a `with` block.

    A call that may not wait (`blocking=False`) raises `WouldBlockError` where it would have to; one
    whose `timeout`, in seconds, is over raises `WaitTimeoutError`. After a fatal error of the card
    every call raises `CardFailedError`: close all opens, and the next open resets the card. After
    `close` every call raises `ClosedError`. All of these are `OSError`s; see `impl.errors`.

    What a signal handler raises ends a call where it sleeps, or when it is done; packets that the
    call had taken are for the next one that receives. See `impl.shield`.

    Attributes:
        info: Version (`major`, `minor`) and hardware address (`hwaddr`) of the card, and what moves
            its packets (`datapath`).
        watch: What judges the accesses, if the card was opened with a monitor; otherwise None.
    """

    def __init__(self, attachment: Attachment, timeout: float | None = None) -> None:
        given: object = attachment
        if isinstance(given, str):
            raise TypeError(
                f"a card is opened by DuctDriver.open({given!r}), not by DuctDriver({given!r})"
            )
        super().__init__(attachment.controller.datapath.kernel)
        self._controller = attachment.controller
        self._lifecycle = attachment.lifecycle
        self._entered = contextlib.ExitStack()
        self._mutex = threading.Lock()
        self._closed = False
        self._views: dict[PacketView, int] = {}
        self._interruptions: weakref.WeakSet[Interruption] = weakref.WeakSet()
        # What most calls wait like, since one that is made for each call takes as long as the lock.
        self._patient = Wait(handle=self)
        # Turns and whole calls in C, where there is a kernel; see `impl.datapath.quick`.
        (
            self._receive_at_once,
            self._send_at_once,
            self._receive_into_at_once,
            self._send_from_at_once,
        ) = (getattr(self._controller, name, None) for name in AT_ONCE)
        self._descriptor: int | None = None
        self._poller: Poller | None = None
        self.info: Info = self._controller.info
        self.watch: Watch | None = attachment.watch
        self._lifecycle.open(timeout)

    @classmethod
    @protected
    def open(
        cls,
        address: str,
        *,
        settings: Settings | None = None,
        monitor: bool | Monitoring = False,
        timeout: float | None = None,
        attachments: Attachments = ATTACHMENTS,
    ) -> Self:
        """Open the card at `address`; the first open of a card in a process starts it.

        Args:
            address: SCHEME:REST, such as "emulated:". The scheme chooses how the card is reached.
            settings: Sizes and times; all opens of a card share those of the first.
            monitor: Let the specification judge every access to the card while it runs, from the
                first open of it on. Calls raise `SpecificationError` once card or driver has
                broken a rule.
            timeout: Seconds to wait for somebody else's open or close to end. A reset that is under
                way is waited for all the same (`Settings`: reset_polls times reset_pause).
            attachments: Who keeps count of the cards in use.

        Raises:
            UnknownAddressError: The scheme is not known.
            InvalidArgumentError: The card is in use with other settings, or without the monitor
                that was asked for, or no monitor is installed.
            CardFailedError: The card does not start, or failed and is still open elsewhere.
            WaitTimeoutError: The time is over.
            OSError: The card cannot be reached.
        """
        check_timeout(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        monitoring = Monitoring() if monitor is True else monitor or None
        driver = None
        try:
            with contextlib.ExitStack() as undo:
                user = object()
                undo.callback(HANDLERS.drop, user)
                HANDLERS.hold(user)
                attachment = attachments.join(address, settings, monitoring, timeout)
                undo.callback(attachments.leave, address)
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                driver = cls(attachment, left)
                driver._entered = undo.pop_all()
            return driver
        finally:
            while PENDING and take(cls.close, driver):
                pass

    # Sending

    @protected
    def send(
        self,
        destination: int,
        payload: Payload,
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        """Send a packet. Returns when the card has sent it or, without blocking, has it queued.

        Args:
            destination: The address that it goes to, 32 bits.
            payload: 0 to 16384 bytes, in one buffer or in several.
            blocking: Whether the call may wait.
            timeout: The longest that it may wait, in seconds; None: as long as it takes.
            interruption: What may end it while it waits.

        Raises:
            InvalidArgumentError: The address does not fit 32 bits.
            PacketTooLongError: The payload is longer than a packet can be.
            WouldBlockError, WaitTimeoutError, CardFailedError, ClosedError: See the class.
        """
        try:
            packet = outgoing(destination, payload)
            self._controller.send([packet], self._wait(blocking, timeout, interruption))
        finally:
            while PENDING and take():
                pass

    @protected
    def send_batch(
        self,
        packets: Iterable[tuple[int, Payload]],
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: Interruption | None = None,
    ) -> int:
        """Send several packets, in order and with as few doorbells as the ring allows.

        Args:
            packets: Destination and payload of each.
            blocking: Whether the call may wait.
            timeout: The longest that it may wait, in seconds; None: as long as it takes.
            interruption: What may end it while it waits.

        Returns:
            How many were sent or, without blocking, queued: then maybe fewer than were given.

        Raises:
            The errors of `send`. Nothing was sent if they are about what was given, or if the call
            may not wait; otherwise a part may have been.
        """
        try:
            batch = self._controller.transmit.checked(packets)
            at_once = self._send_at_once
            if at_once and not (blocking or self._closed or HANDLERS.absent) and timeout is None:
                sent: int = at_once(batch)
                if sent:
                    return sent
            wait = self._wait(blocking, timeout, interruption)
            return self._controller.send(batch, wait) if batch else 0
        finally:
            while PENDING and take():
                pass

    def _send_outgoing(
        self, batch: Sequence[Outgoing], blocking: bool, timeout: float | None
    ) -> int:
        wait = self._wait(blocking, timeout)
        return self._controller.send(batch, wait) if batch else 0

    def write(
        self,
        message: Data,
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: Interruption | None = None,
    ) -> int:
        """Send a packet as the character device takes it: a 16-byte header, then the payload.

        Returns the message's length in bytes.

        Raises:
            InvalidArgumentError: It is shorter than a header, or the header names another length.
        """
        parsed = parse_message(message)
        self.send(
            parsed.destination,
            parsed.payload,
            blocking=blocking,
            timeout=timeout,
            interruption=interruption,
        )
        return memoryview(message).nbytes

    # Receiving

    @protected
    def receive(
        self,
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: Interruption | None = None,
    ) -> Packet:
        """Wait for a packet and return a copy of it.

        Raises:
            CardError: The card announced more bytes than its buffers hold; that packet is lost.
            WouldBlockError, WaitTimeoutError, CardFailedError, ClosedError: See the class.
        """
        packets: list[Packet] = []
        try:
            wait = self._wait(blocking, timeout, interruption)
            if not (self.owed and self._owed_into(packets)):
                self._controller.receive_packets(packets, 1, wait)
            (packet,) = packets
            return packet
        finally:
            while PENDING and take(self._keep, packets):
                pass

    @protected
    def _receive_into(
        self, packets: list[Packet] | PacketBatch, most: int, blocking: bool, timeout: float | None
    ) -> None:
        try:
            at_once = self._receive_at_once
            # `shielded` has wrapped the handlers where packets are received into a batch.
            plain = type(packets) is list and timeout is None
            in_the_way = self.owed or self._closed or HANDLERS.absent
            if at_once is not None and plain and not in_the_way and at_once(packets, most):
                return
            wait = self._wait(blocking, timeout)
            if not (self.owed and self._owed_into(packets)):
                self._controller.receive_packets(packets, most, wait)
        finally:
            while PENDING and take(self._keep, packets):
                pass

    @protected
    def receive_view(
        self,
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: Interruption | None = None,
    ) -> PacketView:
        """Wait for a packet and return it where it is, without a copy. Release it soon.

        Raises:
            The errors of `receive`.
        """
        view = None
        try:
            view = self._view(self._wait(blocking, timeout, interruption))
            return view
        finally:
            while PENDING and take(PacketView._keep, view):
                pass

    def _view(self, wait: Wait) -> PacketView:
        kept: list[Packet] = []
        if self._owed_into(kept):
            (packet,) = kept
            return PacketView(self, packet.source, packet.destination, memoryview(packet.payload))
        controller = self._controller
        slot, header = controller.receive_packet(wait)
        try:
            payload = controller.receive.borrow(slot, header.length)
            view = PacketView(self, header.source, header.destination, payload)
            with self._mutex:
                self._check_open()
                self._views[view] = slot
        except BaseException:
            controller.repost(slot)
            raise
        return view

    @protected
    def read(
        self,
        size: int = -1,
        *,
        blocking: bool = True,
        timeout: float | None = None,
        interruption: Interruption | None = None,
    ) -> bytes:
        """Receive a packet as the character device gives it: a 16-byte header, then the payload.

        Args:
            size: The most bytes to return; the rest of the packet is lost. Negative: all.
            blocking: Whether the call may wait.
            timeout: The longest that it may wait, in seconds.
            interruption: What may end it while it waits.
        """
        check_whole(size, "the most bytes of a message")
        packets: list[Packet] = []
        try:
            packet = self.receive(blocking=blocking, timeout=timeout, interruption=interruption)
            packets.append(packet)
            message = message_of(packet)
            return message if size < 0 else message[:size]
        finally:
            while PENDING and take(self._keep, packets):
                pass

    # Arrays

    def receive_into(
        self,
        batch: PacketBatch,
        most: int | None = None,
        *,
        blocking: bool = True,
        timeout: float | None = None,
    ) -> int:
        """As `PacketCalls` has it. Where a packet waits and nothing is in the way C does it all."""
        check_batch(batch)
        at_once = self._receive_into_at_once
        if at_once is not None and timeout is None and not self.owed and not self._closed:
            try:
                count: int = at_once(batch.known, most)
            except Exception as error:
                self._owe(error, batch)
                return batch.filled
            if count >= 0:
                return count
        return super().receive_into(batch, most, blocking=blocking, timeout=timeout)

    def send_from(
        self, batch: PacketBatch, *, blocking: bool = True, timeout: float | None = None
    ) -> int:
        """As `PacketCalls` has it. Where nothing is in the way C queues them all."""
        check_batch(batch)
        at_once = self._send_from_at_once
        if at_once is not None and not blocking and timeout is None and not self._closed:
            count: int = at_once(batch.known)
            if count:
                return count
        return super().send_from(batch, blocking=blocking, timeout=timeout)

    def forward(
        self,
        batch: PacketBatch,
        other: PacketCalls,
        *,
        blocking: bool = True,
        timeout: float | None = None,
    ) -> int:
        """As `PacketCalls` has it. Where nothing is in the way C does each half in one call."""
        check_batch(batch)
        receive = self._receive_into_at_once
        send = other._send_from_at_once if type(other) is DuctDriver else None
        in_the_way = timeout is not None or batch.destinations is None or self.owed or self._closed
        if receive is None or send is None or in_the_way or other.closed:
            return super().forward(batch, other, blocking=blocking, timeout=timeout)
        try:
            received = receive(batch.known, None)
        except Exception as error:
            self._owe(error, batch)
        else:
            # Its errors are this call's, whatever is in the batch.
            if received < 0:
                return super().forward(batch, other, blocking=blocking)
        sent: int = send(batch.known)
        return sent or self._send_on(batch, other)

    # Filters

    def add_multicast(
        self,
        mask: int,
        address: int,
        *,
        timeout: float | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        """Receive packets too whose destination agrees with `address` in the bits of `mask`.

        Bit 31 is set in both. The filter is the card's: it holds for all opens of it, until it is
        removed or the card is closed.

        Raises:
            InvalidArgumentError: They make no multicast filter.
            FilterTableFullError: The card has no room for it.
            CardError: The card refused it for another reason.
            WouldBlockError: The timeout is 0; the card was not asked, since its answer takes time.
        """
        self._change_filter(Command.ADDFILT, mask, address, timeout, interruption)

    def remove_multicast(
        self,
        mask: int,
        address: int,
        *,
        timeout: float | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        """Undo one `add_multicast` with the same mask and address.

        Raises:
            InvalidArgumentError: They make no multicast filter.
            NoSuchFilterError: The card has no such filter.
            CardError: The card refused for another reason.
            WouldBlockError: The timeout is 0; the card was not asked, since its answer takes time.
        """
        self._change_filter(Command.RMFILT, mask, address, timeout, interruption)

    @shielded
    def _change_filter(
        self,
        command: Command,
        mask: int,
        address: int,
        timeout: float | None,
        interruption: Interruption | None,
    ) -> None:
        check_filter(mask, address)
        wait = self._wait(True, timeout, interruption)
        self._controller.change_filter(command, mask, address, wait)

    # Readiness

    @shielded
    def poll(self) -> Readiness:
        """How long the next packet is, if one waits, and how many packets could be queued now.

        Raises:
            CardError: The card announced more bytes than its buffers hold; the next receive
                discards that packet.
            CardFailedError, ClosedError: See the class.
        """
        length = self._kept_length()
        if length is None:
            with contextlib.suppress(WouldBlockError):
                length = self._controller.peek(self._wait(False, None)).length
        return Readiness(length, self._controller.free_slots)

    @shielded
    def fileno(self) -> int:
        """A file descriptor for select, poll and epoll.

        It is readable when a packet may wait, writable when a transmit slot is free, and both after
        a fatal error. It belongs to the driver, which closes it; do not read or write it.
        """
        with self._mutex:
            self._check_open()
            if self._descriptor is None:
                self._descriptor = self._controller.runtime.fileno()
            return self._descriptor

    # Interruption

    @shielded
    def interruption(self) -> Interruption:
        """A handle by which another thread ends calls of this object that wait.

        Give it to the calls as `interruption`; `Interruption.strike` then ends them with
        `CallInterruptedError`. Closing the driver ends them with `ClosedError`, as always.
        """
        interruption = Interruption(self._controller.runtime)
        with self._mutex:
            self._check_open()
            self._interruptions.add(interruption)
        return interruption

    # Asynchronous calls

    async def _ready(self, direction: Direction) -> None:
        await self._polled().wait(direction)

    @shielded
    def _polled(self) -> Poller:
        descriptor = self.fileno()
        with self._mutex:
            self._check_open()
            if self._poller is None:
                self._poller = Poller(descriptor)
            return self._poller

    # Closing

    @shielded
    def close(self) -> None:
        """End this open: its views are released, calls that wait in it end with `ClosedError`.

        The last close of a card stops it. Closing twice is allowed.

        Raises:
            CardFailedError: The card neither stops nor resets. This open is closed all the same.
        """
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            views, self._views = self._views, {}
            interruptions = list(self._interruptions)
        # From the last to the first, each of them whatever becomes of the others.
        with contextlib.ExitStack() as steps:
            steps.callback(self._entered.close)
            if self._descriptor is not None:
                steps.callback(os.close, self._descriptor)
            steps.callback(self._lifecycle.close, self)
            for interruption in interruptions:
                steps.callback(interruption.close)
            if self._poller is not None:
                steps.callback(self._poller.close)
            for view, slot in views.items():
                steps.callback(self._controller.repost, slot)
                steps.callback(view._lose)

    @protected
    def __enter__(self) -> Self:
        try:
            return self
        finally:
            # Nobody else would close it.
            while PENDING and take(DuctDriver.close, self):
                pass

    @shielded
    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def _end_view(self, view: PacketView) -> None:
        with self._mutex:
            slot = self._views.pop(view, None)
        if slot is not None:
            self._controller.repost(slot)

    def _wait(
        self, blocking: bool, timeout: float | None, interruption: Interruption | None = None
    ) -> Wait:
        if HANDLERS.absent:
            HANDLERS.wrap()
        if self._closed:
            self._check_open()
        if timeout is None:
            if not blocking:
                return NO_WAIT
            return self._patient if interruption is None else Wait(handle=interruption)
        check_timeout(timeout)
        if not blocking or timeout == 0:
            return NO_WAIT
        deadline = self._controller.runtime.now() + timeout
        return Wait(timeout=timeout, deadline=deadline, handle=interruption or self)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the driver was closed; open the card again")
