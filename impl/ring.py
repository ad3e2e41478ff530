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

from collections import deque
from typing import Final

from impl.dma import BUFFER_SIZE, PacketMemory
from impl.memory import Device, DmaRegion
from impl.packet import (
    FIELDS,
    HEADER,
    Header,
    Outgoing,
    check_received,
    index_of,
    pack_fields,
    split,
    unpack_header,
)
from impl.request import Request
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

OWNER: Final = PACKET_SLOT["owner"]
ERROR: Final = COMMAND_SLOT["error"]
PAGE_LENGTHS: Final = (LIMITS.page_size,) * LIMITS.buffers


class RequestRing:
    """A ring on which the host produces requests and the card returns them.

    Attributes:
        slots: Number of slots, a power of two.
        waiters: Callers that want a slot, in the order of arrival.
    """

    slot_size: int
    kind: Ring

    def __init__(self, device: Device, slots: int) -> None:
        self.slots = slots
        self.waiters: deque[object] = deque()
        self._device = device
        self._region: DmaRegion | None = None
        self._produced = 0
        self._consumed = 0
        self._waiting: list[Request | None] = [None] * slots

    # Setting up

    def restart(self, region: DmaRegion) -> None:
        """Begin at slot 0 of `region`, with nothing outstanding."""
        self._region = region
        self._forget()

    def retire(self) -> None:
        """Detach from memory, with nothing outstanding."""
        self._region = None
        self._forget()

    def _forget(self) -> None:
        self._produced = 0
        self._consumed = 0
        self._waiting = [None] * self.slots

    def initialise_slot(self, index: int) -> None:
        """Make the slot the host's."""
        self._store_owner(index, Owner.HOST)

    # Producing

    @property
    def outstanding(self) -> int:
        """Number of requests that the driver has not taken back."""
        return self._produced - self._consumed

    @property
    def room(self) -> int:
        """Number of slots that a request may be put into."""
        return self.slots - self.outstanding

    @property
    def next_slot(self) -> int:
        """The slot that the next request goes to."""
        return index_of(self._produced, self.slots)

    def hand_over(self, request: Request | None) -> int:
        """Make the slot that was filled in the card's; `request` is told when it is returned.

        Returns the slot's index, for the doorbell.
        """
        slot = self.next_slot
        # All that was stored to the slot and its buffers is the card's when the owner byte is.
        self._device.release()
        self._store_owner(slot, Owner.DEVICE)
        self._waiting[slot] = request
        self._produced += 1
        return slot

    def ring_doorbell(self, slot: int) -> None:
        """Tell the card to look at the ring, up to `slot`."""
        # The card must find the owner byte when it looks.
        self._device.before_register_write()
        self._device.write(DBELL, doorbell(self.kind, slot))

    def abandon(self, slot: int, request: Request) -> None:
        """Nobody waits for `request` any more; it stays on its way."""
        if self._waiting[slot] is request:
            self._waiting[slot] = None

    # Taking back

    def has_completion(self) -> bool:
        """The card returned the oldest request that is outstanding."""
        if not self.outstanding:
            return False
        oldest = index_of(self._consumed, self.slots)
        owner = self._memory.load(oldest * self.slot_size + OWNER.offset, OWNER.width)
        return owner == Owner.HOST

    def reclaim(self) -> None:
        """Free the slot of the oldest request, and tell whoever waits for it."""
        slot = index_of(self._consumed, self.slots)
        result = self._result(slot)
        request = self._waiting[slot]
        if request is not None:
            request.result = result
            request.done = True
        self._waiting[slot] = None
        self._consumed += 1

    def _result(self, slot: int, /) -> int:
        raise NotImplementedError

    # Memory

    @property
    def _memory(self) -> DmaRegion:
        assert self._region is not None, "the ring is detached from memory"
        return self._region

    def _store_owner(self, slot: int, owner: Owner) -> None:
        self._memory.store(slot * self.slot_size + OWNER.offset, OWNER.width, owner)


class CommandRing(RequestRing):
    """The ring on which the card is told what to do."""

    slot_size = COMMAND_SLOT.size
    kind = COMMAND_RING

    def fill_in(self, command: Command, mask: int, address: int) -> None:
        """Store a command and its filter to the next slot."""
        contents = pack(CommandSlot(Owner.HOST, command, 0, mask, address))
        behind_owner = OWNER.offset + OWNER.size
        self._memory.store_bulk(
            self.next_slot * self.slot_size + behind_owner, contents[behind_owner:]
        )

    def _result(self, slot: int, /) -> int:
        # What the card wrote to the slot is read after the owner byte.
        self._device.acquire()
        return self._memory.load(slot * self.slot_size + ERROR.offset, ERROR.width)


class TransmitRing(RequestRing):
    """The ring on which packets leave. Each slot has buffers of its own."""

    slot_size = PACKET_SLOT.size
    kind = TRANSMIT_RING
    _buffers: DmaRegion

    def start_over(self, memory: PacketMemory) -> None:
        """Begin at slot 0 of new memory, with nothing outstanding."""
        self.restart(memory.transmit_ring)
        self._buffers = memory.transmit_buffers

    def fill_in(self, packet: Outgoing) -> None:
        """Store a packet to the next slot and its buffers."""
        slot = self.next_slot
        offset = slot * BUFFER_SIZE
        for data in packet.buffers:
            if len(data):
                self._buffers.store_bulk(offset, data)
                offset += len(data)
        fields = pack_fields(
            split(packet.size), packet.destination, page_addresses(self._buffers, slot)
        )
        self._memory.store_bulk(slot * self.slot_size + FIELDS.offset, fields)

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

    def __init__(self, device: Device, slots: int) -> None:
        self.slots = slots
        self.waiters: deque[object] = deque()
        self._device = device
        self._memory: PacketMemory | None = None
        self._consumed = 0
        self._held = [False] * slots

    def start_over(self, memory: PacketMemory) -> None:
        """Begin at slot 0 of new memory, with no slot held."""
        self._memory = memory
        self._consumed = 0
        self._held = [False] * self.slots

    def retire(self) -> None:
        """Detach from memory."""
        self._memory = None

    def initialise_slot(self, slot: int) -> None:
        """Give the slot its buffers and make it the card's."""
        self.refill(slot)
        self._hand_over(slot)

    def packet_ready(self) -> bool:
        """The next packet is there. A ring that is detached from memory has none."""
        if self._memory is None:
            return False
        slot = index_of(self._consumed, self.slots)
        # A slot that a slow reader holds is the host's as well, but its packet was taken before.
        if self._held[slot]:
            return False
        owner = self._ring.load(slot * PACKET_SLOT.size + OWNER.offset, OWNER.width)
        return owner == Owner.HOST

    def consume(self) -> tuple[int, Header]:
        """Take the next packet: its slot, now held, and what the card says of it, unchecked."""
        slot = index_of(self._consumed, self.slots)
        header = self._load_header(slot)
        self._held[slot] = True
        self._consumed += 1
        return slot, header

    def peek(self) -> Header:
        """What the card says of the next packet. Raises `CardError` if its length cannot be."""
        return check_received(self._load_header(index_of(self._consumed, self.slots)))

    def _load_header(self, slot: int) -> Header:
        # What the card wrote to the slot and its buffers is read after the owner byte.
        self._device.acquire()
        # Once: a card that does not keep to the rules could change it between two loads.
        offset = slot * PACKET_SLOT.size + HEADER.offset
        return unpack_header(self._ring.load_bulk(offset, HEADER.size))

    # Without the lock, by the reader that holds the slot

    def copy(self, slot: int, header: Header) -> bytes:
        """The packet's payload. Raises `CardError` if its length is beyond the slot's buffers."""
        size = check_received(header).length
        if not size:
            return b""
        return self._buffers.load_bulk(slot * BUFFER_SIZE, size)

    def borrow(self, slot: int, header: Header) -> memoryview:
        """The packet's payload where the card wrote it; good until the slot is given back.

        Raises `CardError` if its length is beyond the slot's buffers.
        """
        size = check_received(header).length
        return self._buffers.view(slot * BUFFER_SIZE, size) if size else memoryview(b"")

    def refill(self, slot: int) -> None:
        """Store the slot's own buffers and their lengths, whatever stood there."""
        fields = pack_fields(PAGE_LENGTHS, 0, page_addresses(self._buffers, slot))
        self._ring.store_bulk(slot * PACKET_SLOT.size + FIELDS.offset, fields)

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
        self._ring.store(slot * PACKET_SLOT.size + OWNER.offset, OWNER.width, Owner.DEVICE)

    @property
    def _ring(self) -> DmaRegion:
        assert self._memory is not None, "the ring is detached from memory"
        return self._memory.receive_ring

    @property
    def _buffers(self) -> DmaRegion:
        assert self._memory is not None, "the ring is detached from memory"
        return self._memory.receive_buffers


def page_addresses(buffers: DmaRegion, slot: int) -> tuple[int, ...]:
    """The bus addresses of a slot's pages."""
    return tuple(
        buffers.bus_address(slot * BUFFER_SIZE + page * LIMITS.page_size)
        for page in range(LIMITS.buffers)
    )
