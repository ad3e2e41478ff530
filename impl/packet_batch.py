"""Packets in arrays of the caller's: received into them, or sent from them, many in one call.

    offsets = numpy.arange(256, dtype=numpy.uint64) * PacketBatch.ROOM
    payloads = numpy.zeros(256 * PacketBatch.ROOM, numpy.uint8)
    lengths, senders = numpy.zeros(256, numpy.uint32), numpy.zeros(256, numpy.uint32)
    incoming = PacketBatch(payloads, offsets, lengths, sources=senders)
    count = duct.receive_into(incoming)

No object is made for a packet. NumPy is not needed: whatever has a buffer is an array here.
"""

from __future__ import annotations

import operator
import threading
from array import array
from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeAlias, final, overload

from impl.errors import InvalidArgumentError, PacketTooLongError
from impl.packet import Outgoing, Packet
from model.layout import LIMITS

__all__ = ["Array", "PacketBatch", "check_batch"]

Array: TypeAlias = Any
"""What has a buffer: a NumPy array, an `array.array`, a memoryview, a bytearray."""
UNSIGNED: Final = frozenset("BHILQ")
"""The letters of unsigned numbers in the format of a buffer."""


@final
class PacketBatch(Sequence[Outgoing]):
    """Packets whose bytes and numbers lie in arrays, which are bound once and stay the caller's.

    Packet number k has `lengths[k]` bytes, from byte `offsets[k]` of `payloads` on. The caller
    reads and writes the arrays between calls, not while one is under way, and only one call at a
    time uses a batch. Each array has one dimension and is contiguous. As long as the batch exists
    its arrays cannot be resized.

    Attributes:
        ROOM: The bytes that a packet to be received takes at the most, 16384.
        capacity: The packets that fit: the items of each array.
        filled: The packets in it: what was received, or what is to be sent. May be set.
        known: The same batch as a kernel in C knows it, once one has used it.
    """

    ROOM: ClassVar[int] = LIMITS.max_packet

    def __init__(
        self,
        payloads: Array,
        offsets: Array,
        lengths: Array,
        *,
        destinations: Array | None = None,
        sources: Array | None = None,
    ) -> None:
        """Bind arrays.

        Args:
            payloads: Bytes (uint8): those of all packets.
            offsets: Unsigned numbers of 64 bits (uint64): where in `payloads` each packet begins.
            lengths: Unsigned numbers of 32 bits (uint32): the bytes of each packet.
            destinations: uint32: the address that each packet goes to, or came to. Needed to send.
            sources: uint32: the address that each packet came from; not read where packets are
                sent.

        Raises:
            InvalidArgumentError: An array is not what it should be, or they do not have the same
                number of items.
            TypeError: One is no array at all.
        """
        self.payloads = _bound("payloads", payloads, 1)
        self.offsets = _bound("offsets", offsets, 8)
        self.lengths = _bound("lengths", lengths, 4)
        self.destinations = (
            None if destinations is None else _bound("destinations", destinations, 4)
        )
        self.sources = None if sources is None else _bound("sources", sources, 4)
        self.capacity = len(self.offsets)
        self._unwritable = "payloads" if self.payloads.readonly else ""
        for name, bound in (
            ("lengths", self.lengths),
            ("destinations", self.destinations),
            ("sources", self.sources),
        ):
            if bound is None:
                continue
            if len(bound) != self.capacity:
                raise InvalidArgumentError(
                    f"there are {self.capacity} offsets, and {len(bound)} {name}"
                )
            if bound.readonly:
                self._unwritable = name
        if not self.capacity:
            raise InvalidArgumentError("a batch has room for 1 packet or more")
        # Where the kernel in C keeps count as well.
        self._count = array("Q", [0])
        self._in_use = threading.Lock()
        self._kernels: dict[Any, Any] = {}
        self.known: Any = None

    @property
    def filled(self) -> int:
        """The packets in it."""
        return self._count[0]

    @filled.setter
    def filled(self, count: int) -> None:
        if not 0 <= count <= self.capacity:
            raise InvalidArgumentError(
                f"a batch for {self.capacity} packets has no {count} packets in it"
            )
        self._count[0] = count

    # What the driver's calls ask of it

    def begin_to_fill(self, most: int, kernel: Any) -> None:
        """A call begins that receives, `most` packets at the most: the batch is empty then.

        Args:
            most: Packets.
            kernel: What looks at the arrays faster, or None.

        Raises:
            InvalidArgumentError: There is no room for so many, or another call uses the batch.
        """
        if not 1 <= most <= self.capacity:
            raise InvalidArgumentError(
                f"a batch for {self.capacity} packets has no room for {most}"
            )
        if self._unwritable:
            raise InvalidArgumentError(f"the {self._unwritable} of the batch cannot be written to")
        first = self._first_without_room if kernel is None else self.over(kernel).without_room
        self._begin()
        number = first(most)
        if number >= 0:
            self.end()
            raise InvalidArgumentError(
                f"packet {number} has no room for {self.ROOM} bytes from offset "
                f"{self.offsets[number]} of {len(self.payloads)} bytes of payloads"
            )
        self._count[0] = 0

    def begin_to_send(self, kernel: Any) -> None:
        """A call begins that sends the packets in the batch, each of which can be sent.

        Args:
            kernel: What looks at the arrays faster, or None.

        Raises:
            InvalidArgumentError: One cannot be, or another call uses the batch.
            PacketTooLongError: One is longer than a packet can be.
        """
        if self.destinations is None:
            raise InvalidArgumentError("a batch without destinations cannot be sent")
        self._begin()
        try:
            if kernel is None:
                self._checked(0, self.filled)
            else:
                number = self.over(kernel).unsendable()
                if number >= 0:
                    self._check(number, self.offsets[number], self.lengths[number])
        except BaseException:
            self.end()
            raise

    def _begin(self) -> None:
        if not self._in_use.acquire(False):
            raise InvalidArgumentError("the batch is in use by another call")

    def end(self) -> None:
        """The call has ended."""
        self._in_use.release()

    def _first_without_room(self, most: int) -> int:
        last, offsets = len(self.payloads) - self.ROOM, self.offsets[:most].tolist()
        if max(offsets) <= last:
            return -1
        return next(number for number, offset in enumerate(offsets) if offset > last)

    def _checked(self, begin: int, end: int) -> tuple[list[int], list[int]]:
        """Offsets and lengths as they are now. Raises those of `begin_to_send`."""
        offsets, lengths = self.offsets[begin:end].tolist(), self.lengths[begin:end].tolist()
        if lengths and (
            max(lengths) > self.ROOM
            or max(map(operator.add, offsets, lengths)) > len(self.payloads)
        ):
            for number, found in enumerate(zip(offsets, lengths, strict=True), begin):
                self._check(number, *found)
        return offsets, lengths

    def _check(self, number: int, offset: int, length: int) -> None:
        """Offset and length of a packet that can be sent. Raises those of `begin_to_send`."""
        if length > self.ROOM:
            raise PacketTooLongError(
                f"a packet carries at most {self.ROOM} bytes, and packet {number} has {length}"
            )
        if offset + length > len(self.payloads):
            raise InvalidArgumentError(
                f"packet {number}, {length} bytes from offset {offset} on, is not within the "
                f"{len(self.payloads)} bytes of payloads"
            )

    def __len__(self) -> int:
        return self._count[0]

    @overload
    def __getitem__(self, part: int) -> Outgoing: ...

    @overload
    def __getitem__(self, part: slice) -> list[Outgoing]: ...

    def __getitem__(self, part: int | slice) -> Outgoing | list[Outgoing]:
        """Packets as they are sent: where they go, and their bytes where they lie.

        Raises:
            The errors of `begin_to_send`.
        """
        if self.destinations is None:
            raise InvalidArgumentError("a batch without destinations cannot be sent")
        if not isinstance(part, slice):
            number = range(self._count[0])[part]
            offset, length = self.offsets[number], self.lengths[number]
            if length > self.ROOM or offset + length > len(self.payloads):
                self._check(number, offset, length)
            payload = self.payloads[offset : offset + length]
            return Outgoing(self.destinations[number], (payload,), length)
        begin, end, step = part.indices(self.filled)
        assert step == 1, "packets are sent in their order"
        payloads = self.payloads
        offsets, lengths = self._checked(begin, end)
        destinations = self.destinations[begin:end].tolist()
        return [
            Outgoing(destination, (payloads[offset : offset + length],), length)
            for destination, offset, length in zip(destinations, offsets, lengths, strict=True)
        ]

    def append(self, packet: Packet) -> None:
        """Put in one that was received; there is room."""
        number, payload = self._count[0], packet.payload
        offset, length = self.offsets[number], len(payload)
        self.payloads[offset : offset + length] = payload
        self.lengths[number] = length
        if self.destinations is not None:
            self.destinations[number] = packet.destination
        if self.sources is not None:
            self.sources[number] = packet.source
        self._count[0] = number + 1

    def over(self, kernel: Any) -> Any:
        """The same batch as a kernel in C knows it."""
        known = self._kernels.get(kernel)
        if known is None:
            known = self._kernels[kernel] = kernel.Batch(
                payloads=self.payloads,
                offsets=self.offsets,
                lengths=self.lengths,
                destinations=self.destinations,
                sources=self.sources,
                count=self._count,
                writable=not self._unwritable,
                locked=self._in_use.locked,
            )
            self.known = known
        return known


def check_batch(batch: object) -> None:
    """Raises `TypeError` unless packets are in a `PacketBatch`."""
    if not isinstance(batch, PacketBatch):
        raise TypeError(f"packets in arrays are a PacketBatch, not {type(batch).__name__}")


def _bound(name: str, given: Array, size: int) -> memoryview:
    try:
        view = memoryview(given)
    except TypeError as error:
        raise TypeError(f"the {name} are an array, not {type(given).__name__}") from error
    if view.ndim != 1 or not view.c_contiguous:
        raise InvalidArgumentError(
            f"the {name} are a contiguous array of one dimension, and this one has {view.ndim}"
            + ("" if view.c_contiguous else " and gaps")
        )
    if view.itemsize != size or view.format.lstrip("@=<") not in UNSIGNED:
        raise InvalidArgumentError(
            f"the {name} are unsigned numbers of {8 * size} bits, and this array has items of "
            f"{8 * view.itemsize} bits in format {view.format!r}"
        )
    octets = view.cast("B")
    return octets if size == 1 else octets.cast("I") if size == 4 else octets.cast("Q")
