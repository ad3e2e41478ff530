"""The host's side of the ownership rings.

A slot belongs to whoever its owner byte names; storing the owner byte hands slot and buffers over.
On the command and the transmit ring the host *produces* requests that the card returns; on the
receive ring the card produces packets that the host *consumes*. The order of each store and load
is the one of `model/ring_spec.py`, and tests compare the two access by access.

Garbage decides nothing. A slot that was handed over is the card's until its owner byte reads HOST;
a byte that names nobody says nothing. Whose a slot is otherwise is what the driver has counted, and
what the card writes to the owner byte of a slot that is the host's has no effect.

Nothing here waits or locks: callers hold the driver's lock, except where a method says otherwise.
"""

from __future__ import annotations

import functools
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, NoReturn, TypeVar, final

from impl.datapath.loader import PYTHON, Datapath
from impl.dma import BUFFER_SIZE, PacketMemory
from impl.memory import Device, DmaRegion, Octets
from impl.packet import (
    ADDRESSED,
    FIELDS,
    HEADER,
    Header,
    Outgoing,
    Packet,
    Payload,
    check_received,
    header_words,
    index_of,
    outgoing,
    pack_addressed,
    pack_fields,
)
from impl.packet_batch import PacketBatch
from impl.request import Request
from impl.shield import interruptible
from impl.turn import Turn
from model.layout import (
    COMMAND_RING,
    COMMAND_SLOT,
    DBELL,
    LIMITS,
    PACKET_SLOT,
    TRANSMIT_RING,
    Command,
    CommandSlot,
    Owner,
    Ring,
    doorbell,
    pack,
)

__all__ = ["CommandRing", "ReceiveRing", "RequestRing", "TransmitRing"]

Wanted = TypeVar("Wanted")

OWNER: Final = PACKET_SLOT["owner"].offset
"""Where the owner byte is in a slot of any ring."""
HOST: Final = int(Owner.HOST)
DEVICE: Final = int(Owner.DEVICE)
ERROR: Final = COMMAND_SLOT["error"]
PACKET_SLOT_SIZE: Final = PACKET_SLOT.size
FIELDS_BEGIN: Final = FIELDS.offset
FIELDS_SIZE: Final = FIELDS.size
HEADER_BEGIN: Final = HEADER.offset
HEADER_SIZE: Final = HEADER.size
PAGE_LENGTHS: Final = (LIMITS.page_size,) * LIMITS.buffers


@final
class _Detached:
    """What a ring has in place of memory when it has none."""

    def __getitem__(self, _: object) -> NoReturn:
        raise AssertionError("the ring is detached from memory")

    def __setitem__(self, _: object, value: object) -> NoReturn:
        raise AssertionError("the ring is detached from memory")


DETACHED: Final = _Detached()


class RequestRing(Generic[Wanted]):
    """A ring on which the host produces requests and the card returns them.

    Attributes:
        slots: Number of slots, a power of two.
        waiters: Callers that want a slot, in the order of arrival.
        produced: Requests that were handed over.
    """

    slot_size: int
    kind: Ring

    def __init__(self, device: Device, slots: int) -> None:
        self.slots = slots
        self.waiters: deque[object] = deque()
        self._device = device
        self._octets: Octets = DETACHED
        self._mask = slots - 1
        self._first_bell = doorbell(self.kind, 0)
        self._forget()

    # Setting up

    def restart(self, region: DmaRegion) -> None:
        """Begin at slot 0 of `region`, with nothing outstanding."""
        self._octets = region.octets
        self._forget()

    def retire(self) -> None:
        """Detach from memory, with nothing outstanding."""
        self._octets = DETACHED
        self._forget()

    def _forget(self) -> None:
        self.produced = 0
        self._consumed = 0
        self._waiting: list[Request | None] = [None] * self.slots

    def initialise_slot(self, index: int) -> None:
        """Make the slot the host's."""
        self._octets[index * self.slot_size + OWNER] = HOST

    # Producing

    @property
    def outstanding(self) -> int:
        """Number of requests that the driver has not taken back."""
        return self.produced - self._consumed

    @property
    def room(self) -> int:
        """Number of slots that a request may be put into."""
        return self.slots - self.produced + self._consumed

    @property
    def next_slot(self) -> int:
        """The slot that the next request goes to."""
        return index_of(self.produced, self.slots)

    @property
    def last_slot(self) -> int:
        """The slot that was handed over last."""
        return (self.produced - 1) & self._mask

    def produce(self, batch: Sequence[Wanted], begin: int, request: Request | None) -> None:
        """Put a batch from its item `begin` on into slots, as many as there is room for.

        The slots are the card's then; it has to be told. `request` is told when the slot of the
        last item of the batch is returned.
        """
        last = len(batch) - 1
        for number in range(begin, min(last + 1, begin + self.room)):
            self.fill_in(batch[number])
            self.hand_over(request if number == last else None)

    def fill_in(self, wanted: Wanted, /) -> None:
        """Store a request to the next slot."""
        raise NotImplementedError

    def hand_over(self, request: Request | None) -> None:
        """Make the slot that was filled in the card's; `request` is told when it is returned."""
        slot = self.produced & self._mask
        # All that was stored to the slot and its buffers is the card's when the owner byte is.
        self._device.release()
        self._octets[slot * self.slot_size + OWNER] = DEVICE
        self._waiting[slot] = request
        self.produced += 1

    def ring_doorbell(self) -> None:
        """Tell the card to look at the ring, up to the slot that was handed over last."""
        # The card must find the owner byte when it looks.
        self._device.before_register_write()
        self._device.write(DBELL, self._first_bell + self.last_slot)

    def abandon(self, slot: int, request: Request) -> None:
        """Nobody waits for `request` any more; it stays on its way."""
        if self._waiting[slot] is request:
            self._waiting[slot] = None

    # Taking back

    def has_completion(self) -> bool:
        """The card returned the oldest request that is outstanding."""
        if self._consumed == self.produced:
            return False
        oldest = self._consumed & self._mask
        return bool(self._octets[oldest * self.slot_size + OWNER] == HOST)

    def reclaim_all(self) -> bool:
        """Free every slot that the card returned; whether there was one."""
        before = self._consumed
        while self.has_completion():
            self.reclaim()
        return self._consumed != before

    def reclaim(self) -> None:
        """Free the slot of the oldest request, and tell whoever waits for it."""
        slot = self._consumed & self._mask
        result = self._result(slot)
        request = self._waiting[slot]
        if request is not None:
            request.result = result
            request.done = True
        self._waiting[slot] = None
        self._consumed += 1

    def _result(self, slot: int, /) -> int:
        raise NotImplementedError


class CommandRing(RequestRing[tuple[Command, int, int]]):
    """The ring on which the card is told what to do."""

    slot_size = COMMAND_SLOT.size
    kind = COMMAND_RING

    def fill_in(self, wanted: tuple[Command, int, int], /) -> None:
        """Store a command and its filter, mask and address, to the next slot."""
        contents = pack(CommandSlot(Owner.HOST, wanted[0], 0, *wanted[1:]))[OWNER + 1 :]
        begin = self.next_slot * self.slot_size + OWNER + 1
        self._octets[begin : begin + len(contents)] = contents

    def _result(self, slot: int, /) -> int:
        # What the card wrote to the slot is read after the owner byte.
        self._device.acquire()
        return int(self._octets[slot * self.slot_size + ERROR.offset])


class TransmitRing(RequestRing[Outgoing]):
    """The ring on which packets leave. Each slot has buffers of its own."""

    slot_size = PACKET_SLOT.size
    kind = TRANSMIT_RING

    def __init__(self, device: Device, slots: int, datapath: Datapath = PYTHON) -> None:
        super().__init__(device, slots)
        self._datapath = datapath
        self._kernel: Any = None
        self._buffers: Octets = DETACHED
        self._pointers: Sequence[bytes]

    def start_over(self, memory: PacketMemory) -> None:
        """Begin at slot 0 of new memory, with nothing outstanding."""
        self.restart(memory.transmit_ring)
        self._buffers = memory.transmit_buffers.octets
        fields = [fields_of(memory.transmit_buffers, slot) for slot in range(self.slots)]
        self._pointers = [whole[ADDRESSED.size :] for whole in fields]
        kernel = self._datapath.kernel_for(self._octets, self._buffers)
        if kernel is not None:
            self._kernel = kernel.Transmit(
                device=self._device,
                bell=functools.partial(self._device.write, DBELL),
                ring=self._octets,
                payloads=self._buffers,
                fields=b"".join(fields),
            )

    def retire(self) -> None:
        """Detach from memory, with nothing outstanding."""
        super().retire()
        self._kernel = None
        self._buffers = DETACHED

    @interruptible
    def checked(self, packets: Iterable[tuple[int, Payload]]) -> list[Any]:
        """What `produce` takes of packets that were given, each of which may be sent.

        Without a kernel these are `Outgoing`s; the kernel takes an address and bytes as they are.
        Needs no lock.

        Raises:
            The errors of `outgoing`.
        """
        if self._kernel is None:
            return [outgoing(destination, payload) for destination, payload in packets]
        checked: list[Any] = self._datapath.kernel.checked(packets, outgoing)
        return checked

    def produce(self, batch: Sequence[Outgoing], begin: int, request: Request | None) -> None:
        """Put packets from item `begin` on into slots; see `RequestRing.produce`.

        The kernel does it in batch order: all slots are filled in, then handed over.
        """
        if self._kernel is None:
            super().produce(batch, begin, request)
            return
        known = batch.over(self._datapath.kernel) if isinstance(batch, PacketBatch) else batch
        done = self._kernel.produce(known, begin, self.room, self.produced)
        self.produced += done
        if begin + done == len(batch):
            self._waiting[self.last_slot] = request

    def ring_doorbell(self) -> None:
        """Tell the card to look at the ring, up to the slot that was handed over last."""
        if self._kernel is None:
            super().ring_doorbell()
        else:
            self._kernel.doorbell(self._first_bell + self.last_slot)

    def reclaim_all(self) -> bool:
        """Free every slot that the card returned; whether there was one."""
        count = self._returned()
        if not count:
            return False
        begin = self._consumed & self._mask
        beyond = max(0, begin + count - self.slots)
        waiting = self._waiting[begin : begin + count] + self._waiting[:beyond]
        if waiting.count(None) != count:
            for number, request in enumerate(waiting, self._consumed):
                if request is not None:
                    request.done = True
                    self._waiting[number & self._mask] = None
        self._consumed += count
        return True

    def _returned(self) -> int:
        """How many of the slots that are outstanding the card has returned, the oldest first."""
        first, end = self._consumed, self.produced
        if self._kernel is not None:
            count: int = self._kernel.returned(first, end - first)
            return count
        octets, mask = self._octets, self._mask
        number = first
        while number != end and octets[(number & mask) * PACKET_SLOT_SIZE + OWNER] == HOST:
            number += 1
        return number - first

    def fill_in(self, packet: Outgoing, /) -> None:
        """Store a packet to the next slot and its buffers."""
        slot = self.produced & self._mask
        offset = slot * BUFFER_SIZE
        for data in packet.buffers:
            size = len(data)
            if size:
                self._buffers[offset : offset + size] = data
                offset += size
        fields = pack_addressed(packet.size, packet.destination) + self._pointers[slot]
        begin = slot * PACKET_SLOT_SIZE + FIELDS_BEGIN
        self._octets[begin : begin + FIELDS_SIZE] = fields

    def _result(self, _slot: int, /) -> int:
        return 0


class ReceiveRing:
    """The ring on which packets arrive. Slots circulate between the card and readers.

    A reader *takes* a packet, which holds its slot, copies it without the lock, and *gives* the
    slot back; readers may finish in any order.

    Attributes:
        slots: Number of slots, a power of two.
        waiters: Readers that wait for a packet, in the order of arrival.
    """

    def __init__(self, device: Device, slots: int, datapath: Datapath = PYTHON) -> None:
        self.slots = slots
        self.waiters: deque[object] = deque()
        self._device = device
        self._datapath = datapath
        self._kernel: Any = None
        self._octets: Octets = DETACHED
        self._buffers: DmaRegion | None = None
        self._payloads: Octets = DETACHED
        self._restored = [b""] * slots
        self._mask = slots - 1
        # Packets that were taken, and who holds a slot: where the kernel in C keeps count as well.
        self._taken: array[int]
        self._held: bytearray

    def start_over(self, memory: PacketMemory) -> None:
        """Begin at slot 0 of new memory, with no slot held."""
        self._octets = memory.receive_ring.octets
        self._buffers = memory.receive_buffers
        self._payloads = memory.receive_buffers.octets
        self._restored = [fields_of(memory.receive_buffers, slot) for slot in range(self.slots)]
        self._kernel = None
        self._taken = array("Q", [0])
        self._held = bytearray(self.slots)

    def retire(self) -> None:
        """Detach from memory."""
        self._octets = self._payloads = DETACHED
        self._buffers = None
        self._kernel = None

    def initialise_slot(self, slot: int) -> None:
        """Give the slot its buffers and make it the card's."""
        self.refill(slot)
        self._hand_over(slot)

    def packet_ready(self) -> bool:
        """The next packet is there. A ring that is detached from memory has none."""
        if self._buffers is None:
            return False
        slot = self._taken[0] & self._mask
        # A slot that a slow reader holds is the host's as well, but its packet was taken before.
        if self._held[slot]:
            return False
        return bool(self._octets[slot * PACKET_SLOT_SIZE + OWNER] == HOST)

    def consume(self) -> tuple[int, Header]:
        """Take the next packet: its slot, now held, and what the card says of it, unchecked."""
        slot, header = self._take()
        return slot, Header(*header)

    def _take(self) -> tuple[int, tuple[int, int, int]]:
        number = self._taken[0]
        slot = number & self._mask
        header = self._load_header(slot)
        self._held[slot] = True
        self._taken[0] = number + 1
        return slot, header

    def peek(self) -> Header:
        """What the card says of the next packet. Raises `CardError` if its length cannot be."""
        header = Header(*self._load_header(index_of(self._taken[0], self.slots)))
        check_received(header.length)
        return header

    def _load_header(self, slot: int) -> tuple[int, int, int]:
        # What the card wrote to the slot and its buffers is read after the owner byte.
        self._device.acquire()
        # Once: a card that does not keep to the rules could change it between two loads.
        begin = slot * PACKET_SLOT_SIZE + HEADER_BEGIN
        return header_words(self._octets[begin : begin + HEADER_SIZE])

    def receive(self, packets: list[Packet] | PacketBatch, most: int, turn: Turn) -> None:
        """Take the next packet, which is there, and those behind it: copies, `most` at the most.

        Each is taken as if by a call of its own: others may have the lock in between.

        Raises:
            CardError: The card announced more bytes than a slot holds. That packet is lost, and
                those before it are in `packets`.
        """
        kernel = self._kernel or self._bound_kernel(turn)
        if kernel is None:
            self._receive(packets, most, turn)
            return
        known = packets.over(self._datapath.kernel) if isinstance(packets, PacketBatch) else packets
        while True:
            # Others may have the lock, if they want it, when a ring was emptied once.
            part, before = min(most, self.slots), len(packets)
            kernel.receive(known, part)
            most -= part
            if not most or len(packets) - before < part:
                return
            if not turn.next_call():
                return
            if not self.packet_ready():
                turn.none_waits()
                return

    def _bound_kernel(self, turn: Turn) -> Any:
        kernel = self._datapath.kernel_for(self._octets, self._payloads)
        if kernel is not None:
            self._kernel = kernel.Receive(
                device=self._device,
                ring=self._octets,
                payloads=self._payloads,
                fields=b"".join(self._restored),
                held=self._held,
                taken=self._taken,
                packet=Packet,
                refuse=check_received,
                turn=turn,
            )
        return self._kernel

    def _receive(self, packets: list[Packet] | PacketBatch, most: int, turn: Turn) -> None:
        told = False
        for number in range(1, most + 1):
            slot, (length, destination, source) = self._take()
            try:
                more = self.packet_ready()
                if not more:
                    turn.none_waits()
                elif not told:
                    more = turn.another_waits()
                turn.unlock_soon()
                payload = self.copy(slot, length)
                self.refill(slot)
                others = turn.relock()
                self.repost(slot)
            except BaseException:
                turn.give_back(slot)
                raise
            packets.append(Packet(source, destination, payload))
            if not more or number == most:
                return
            # What was seen, and told, is still so: nobody else takes packets without the lock.
            told = not others
            if told:
                continue
            if not turn.next_call():
                return
            if not self.packet_ready():
                turn.none_waits()
                return

    # Without the lock, by the reader that holds the slot

    def copy(self, slot: int, length: int) -> bytes:
        """The packet's payload. Raises `CardError` if its length is beyond the slot's buffers."""
        size = check_received(length)
        if not size:
            return b""
        begin = slot * BUFFER_SIZE
        return bytes(self._payloads[begin : begin + size])

    def borrow(self, slot: int, length: int) -> memoryview:
        """The packet's payload where the card wrote it; good until the slot is given back.

        Raises `CardError` if its length is beyond the slot's buffers.
        """
        size = check_received(length)
        if not size:
            return memoryview(b"")
        assert self._buffers is not None, "the ring is detached from memory"
        return self._buffers.view(slot * BUFFER_SIZE, size)

    def refill(self, slot: int) -> None:
        """Store the slot's own buffers and their lengths, whatever stood there."""
        begin = slot * PACKET_SLOT_SIZE + FIELDS_BEGIN
        self._octets[begin : begin + FIELDS_SIZE] = self._restored[slot]

    # With the lock again

    def repost(self, slot: int) -> None:
        """Make a slot that was held and restored the card's."""
        # The card writes to the buffers once the slot is its own: they must have been read by then.
        self._device.release_loads()
        self._hand_over(slot)
        self._held[slot] = False

    def _hand_over(self, slot: int) -> None:
        # The card must find the slot's own buffers when it finds the slot.
        self._device.release()
        self._octets[slot * PACKET_SLOT_SIZE + OWNER] = DEVICE


def fields_of(buffers: DmaRegion, slot: int) -> bytes:
    """What stands in a receive slot: the lengths and the bus addresses of its own pages."""
    pages = range(slot * BUFFER_SIZE, (slot + 1) * BUFFER_SIZE, LIMITS.page_size)
    return pack_fields(PAGE_LENGTHS, 0, [buffers.bus_address(page) for page in pages])
