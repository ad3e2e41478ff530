"""Calls that follow from sending and receiving one packet: batches, loops, asynchronous calls."""

from __future__ import annotations

import abc
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from impl.errors import CardFailedError, ClosedError, InvalidArgumentError, WouldBlockError
from impl.packet import Outgoing, Packet, Payload
from impl.packet_batch import PacketBatch, check_batch
from impl.polling import Direction
from impl.shield import shielded

__all__ = ["PacketCalls", "check_most", "check_timeout", "check_whole"]


class PacketCalls(abc.ABC):
    """The calls that a driver object and a device file have in common.

    Attributes:
        owed: What the next calls that receive give: errors that batches met behind their packets,
            and packets that were taken by a call which a signal has ended.
    """

    def __init__(self, kernel: Any = None) -> None:
        self.owed: deque[Exception | Packet] = deque()
        # What looks at arrays faster than Python does.
        self._kernel = kernel

    # What there must be

    @abc.abstractmethod
    def send(
        self,
        destination: int,
        payload: Payload,
        *,
        blocking: bool = True,
        timeout: float | None = None,
    ) -> None:
        """Send a packet."""

    @abc.abstractmethod
    def receive(self, *, blocking: bool = True, timeout: float | None = None) -> Packet:
        """Wait for a packet and return it."""

    @abc.abstractmethod
    def _receive_into(
        self, packets: list[Packet] | PacketBatch, most: int, blocking: bool, timeout: float | None
    ) -> None:
        """Wait for a packet; append it, and those that are there behind it, as they come."""

    @abc.abstractmethod
    def _send_outgoing(
        self, batch: Sequence[Outgoing], blocking: bool, timeout: float | None
    ) -> int:
        """Send packets that may be sent; how many were."""

    @property
    @abc.abstractmethod
    def closed(self) -> bool:
        """Whether `close` was called."""

    @abc.abstractmethod
    async def _ready(self, direction: Direction) -> None:
        """Wait until the card is readable or writable."""

    def _owe(self, error: Exception, packets: Sequence[object]) -> None:
        """An error behind packets is for the next call; one without any is for this one.

        It may be about a packet that is lost with it, so that nobody meets it again.
        """
        if not packets:
            raise error
        self.owed.append(error)

    def _owed_into(self, packets: list[Packet] | PacketBatch) -> bool:
        """Give what an earlier call left over: a packet, if it is true, or an error, raised."""
        try:
            owed = self.owed.popleft()
        except IndexError:
            # There is nothing, or another thread has it.
            return False
        if isinstance(owed, Exception):
            raise owed
        packets.append(owed)
        return True

    def _keep(self, packets: Sequence[object]) -> None:
        """A signal ends the call that took these: they are for the next one.

        Those in a batch are there already, whoever looks at it.
        """
        if isinstance(packets, list):
            self.owed.extendleft(reversed(packets))
            packets.clear()

    def _kept_length(self) -> int | None:
        """Bytes of the packet that was kept and comes next, if it is one."""
        for owed in tuple(self.owed):
            return len(owed.payload) if isinstance(owed, Packet) else None
        return None

    # Several packets

    def receive_batch(
        self, most: int, *, blocking: bool = True, timeout: float | None = None
    ) -> list[Packet]:
        """Wait for a packet; return it and those that are there behind it, `most` at the most.

        Each packet takes a turn: where other readers are in line the batch ends.

        An error behind the first packet ends the batch. What was received before is returned, and
        the next call that receives raises the error.

        Raises:
            InvalidArgumentError: `most` is not 1 or more.
            The errors of `receive`.
        """
        if type(most) is not int or most < 1:
            check_most(most)
        packets: list[Packet] = []
        try:
            self._receive_into(packets, most, blocking, timeout)
        except Exception as error:
            self._owe(error, packets)
        return packets

    # Packets in arrays

    @shielded
    def receive_into(
        self,
        batch: PacketBatch,
        most: int | None = None,
        *,
        blocking: bool = True,
        timeout: float | None = None,
    ) -> int:
        """Wait for a packet; copy it and those that are there behind it into a batch's arrays.

        What was in the batch before is gone. Where other readers are in line it ends, as does
        `receive_batch`, and an error behind the first packet is raised by the next call. Where what
        a signal handler raises ends the call, the batch has the packets that were taken.

        Args:
            batch: Takes them, from its first packet on.
            most: The packets that are wanted at the most; None: as many as it has room for.
            blocking: Whether the call may wait for the first packet.
            timeout: The longest that it may wait, in seconds; None: as long as it takes.

        Returns:
            How many packets are in the batch now; `batch.filled` says so, too.

        Raises:
            InvalidArgumentError: The batch has no room for so many, its arrays cannot be written
                to, or another call uses it. No packet was taken.
            The errors of `receive`.
        """
        check_batch(batch)
        most = batch.capacity if most is None else most
        batch.begin_to_fill(most, self._kernel)
        try:
            self._receive_into(batch, most, blocking, timeout)
        except Exception as error:
            self._owe(error, batch)
        finally:
            batch.end()
        return batch.filled

    @shielded
    def send_from(
        self, batch: PacketBatch, *, blocking: bool = True, timeout: float | None = None
    ) -> int:
        """Send the packets of a batch (`batch.filled`) from its arrays, as `send_batch` does.

        Args:
            batch: The packets.
            blocking: Whether the call may wait.
            timeout: The longest that it may wait, in seconds; None: as long as it takes.

        Returns:
            How many were sent or, without blocking, queued.

        Raises:
            InvalidArgumentError: A packet is not within the payloads, the batch has no
                destinations, or another call uses it. Nothing was sent.
            PacketTooLongError: A packet is longer than a packet can be. Nothing was sent.
            The errors of `send_batch`.
        """
        check_batch(batch)
        batch.begin_to_send(self._kernel)
        try:
            return self._send_outgoing(batch, blocking, timeout)
        finally:
            batch.end()

    def forward(
        self,
        batch: PacketBatch,
        other: PacketCalls,
        *,
        blocking: bool = True,
        timeout: float | None = None,
    ) -> int:
        """Receive packets into a batch, and queue them on another card for where they go.

        Args:
            batch: Takes them. It has destinations.
            other: What sends them.
            blocking: Whether to wait for a packet.
            timeout: The longest to wait, in seconds.

        Returns:
            How many were queued; `batch.filled` were received, and the rest found no room.

        Raises:
            InvalidArgumentError: The batch has no destinations. No packet was taken.
            The errors of `receive_into` and `send_from`. A card that has no room at all is none.
        """
        check_batch(batch)
        if batch.destinations is None:
            raise InvalidArgumentError("a batch without destinations cannot be forwarded")
        self.receive_into(batch, blocking=blocking, timeout=timeout)
        return self._send_on(batch, other)

    @staticmethod
    def _send_on(batch: PacketBatch, other: PacketCalls) -> int:
        """Queue what was received; how many found room."""
        try:
            return other.send_from(batch, blocking=False)
        except WouldBlockError:
            return 0

    # One after the other

    def __iter__(self) -> Iterator[Packet]:
        """Packets as they come; ends when the driver is closed."""
        while True:
            try:
                packet = self.receive()
            except (CardFailedError, ClosedError):
                # A call that begins while the driver is being closed may see that of the card.
                if self.closed:
                    return
                raise
            yield packet

    # Asynchronous calls

    async def send_async(self, destination: int, payload: Payload) -> None:
        """Queue a packet, waiting for a free slot without blocking the event loop."""
        while True:
            try:
                return self.send(destination, payload, blocking=False)
            except WouldBlockError:
                await self._ready(Direction.WRITABLE)

    async def receive_async(self) -> Packet:
        """Receive a packet, waiting for it without blocking the event loop."""
        while True:
            try:
                return self.receive(blocking=False)
            except WouldBlockError:
                await self._ready(Direction.READABLE)

    async def __aiter__(self) -> AsyncIterator[Packet]:
        """Packets as they come; ends when the driver is closed."""
        while True:
            try:
                packet = await self.receive_async()
            except (CardFailedError, ClosedError):
                if self.closed:
                    return
                raise
            yield packet


def check_whole(value: object, what: str) -> None:
    """Raises `TypeError` unless it is a whole number."""
    if not hasattr(value, "__index__"):
        raise TypeError(f"{what} is a whole number, not {value!r}")


def check_most(most: int) -> None:
    """Raises `InvalidArgumentError` unless a batch can have so many packets at the most."""
    check_whole(most, "the most packets of a batch")
    if most < 1:
        raise InvalidArgumentError(f"a batch has 1 packet or more, not {most}")


def check_timeout(timeout: float | None) -> None:
    """Raises `InvalidArgumentError` unless it is a time that a call may wait."""
    if timeout is not None and not timeout >= 0:
        raise InvalidArgumentError(f"a timeout is 0 seconds or more, not {timeout}")
