"""The rings by themselves, on memory that keeps a record: what they hold, and what they forget."""

import pytest

from impl.dma import PacketMemory
from impl.memory import Purpose
from impl.packet import FIELDS, HEADER, Header, index_of, outgoing, pack_fields
from impl.request import Request
from impl.ring import CommandRing, ReceiveRing, TransmitRing
from model.layout import (
    COMMAND_SLOT,
    DBELL,
    LIMITS,
    PACKET_SLOT,
    TRANSMIT_RING,
    Command,
    Owner,
    doorbell,
)

SLOTS = 4


class Region:
    """Memory whose accesses are noted, with what stands in it at first."""

    def __init__(self, size, purpose, said):
        self.data = bytearray(b"\xa5" * size)
        self.base = 0x10000000 * (1 + len(said))
        self.purpose = purpose
        self.said = said

    @property
    def octets(self):
        return self

    def __getitem__(self, place):
        if isinstance(place, slice):
            return self.load_bulk(place.start, place.stop - place.start)
        return self.load(place, 1)

    def __setitem__(self, place, value):
        if isinstance(place, slice):
            assert len(value) == place.stop - place.start
            self.store_bulk(place.start, value)
        else:
            self.store(place, 1, value)

    def bus_address(self, offset=0):
        return self.base + offset

    def load(self, offset, width):
        assert 0 <= offset <= len(self.data) - width
        self.said.append(("load", self.purpose, offset))
        return int.from_bytes(self.data[offset : offset + width], "little")

    def store(self, offset, width, value):
        assert 0 <= offset <= len(self.data) - width
        self.said.append(("store", self.purpose, offset))
        self.data[offset : offset + width] = value.to_bytes(width, "little")

    def load_bulk(self, offset, size):
        assert 0 <= offset <= len(self.data) - size
        self.said.append(("load", self.purpose, offset))
        return bytes(self.data[offset : offset + size])

    def store_bulk(self, offset, data):
        assert 0 <= offset <= len(self.data) - len(data)
        self.said.append(("store", self.purpose, offset))
        self.data[offset : offset + len(data)] = data

    def view(self, offset, size):
        assert 0 <= offset <= len(self.data) - size
        return memoryview(self.data)[offset : offset + size].toreadonly()


class Device:
    """The words that rings speak, noted in order."""

    def __init__(self):
        self.said = []

    def allocate(self, size, purpose):
        region = Region(size, purpose, self.said)
        self.said.append(("allocate", purpose, size))
        return region

    def acquire(self):
        self.said.append(("acquire",))

    def release(self):
        self.said.append(("release",))

    def release_loads(self):
        self.said.append(("release_loads",))

    def before_register_write(self):
        self.said.append(("before_register_write",))

    def write(self, register, value):
        self.said.append(("write", register, value))


@pytest.fixture
def device():
    return Device()


@pytest.fixture
def memory(device):
    return PacketMemory(device, SLOTS)


@pytest.fixture
def transmit(device, memory):
    ring = TransmitRing(device, SLOTS)
    ring.start_over(memory)
    for slot in range(SLOTS):
        ring.initialise_slot(slot)
    return ring


@pytest.fixture
def receive(device, memory):
    ring = ReceiveRing(device, SLOTS)
    ring.start_over(memory)
    for slot in range(SLOTS):
        ring.initialise_slot(slot)
    return ring


def send(ring, request=None, payload=b""):
    ring.produce([outgoing(1, payload)], 0, request)
    return ring.last_slot


def give_to_host(region, slot):
    region.data[slot * PACKET_SLOT.size + PACKET_SLOT["owner"].offset] = Owner.HOST


def deliver(memory, slot, payload):
    """What the card does when a packet arrives."""
    ring, at = memory.receive_ring.data, slot * PACKET_SLOT.size
    for name, value in (("pktlen", len(payload)), ("dest", 2), ("src", 3)):
        field = PACKET_SLOT[name]
        ring[at + field.offset : at + field.end] = value.to_bytes(field.size, "little")
    begin = slot * LIMITS.max_packet
    memory.receive_buffers.data[begin : begin + len(payload)] = payload
    give_to_host(memory.receive_ring, slot)


# Out of use


def out_of_use(act):
    with pytest.raises(AssertionError) as caught:
        act()
    assert str(caught.value) == "the ring is detached from memory"


@pytest.mark.parametrize("kind", [CommandRing, TransmitRing])
def test_a_ring_that_was_never_set_up_is_out_of_use(device, kind):
    ring = kind(device, SLOTS)
    out_of_use(lambda: ring.initialise_slot(0))
    assert (ring.outstanding, ring.room, ring.next_slot) == (0, SLOTS, 0)
    assert not ring.has_completion()


def test_payload_is_stored_nowhere_where_a_ring_is_out_of_use(device, transmit):
    transmit.retire()
    for ring in (transmit, TransmitRing(device, SLOTS)):
        out_of_use(lambda ring=ring: ring.fill_in(outgoing(1, b"x")))
    assert ("store", Purpose.TRANSMIT_BUFFERS, 0) not in device.said


def test_a_receive_ring_that_was_never_set_up_is_out_of_use(device):
    ring = ReceiveRing(device, SLOTS)
    assert not ring.packet_ready()
    out_of_use(lambda: ring.initialise_slot(0))
    out_of_use(lambda: ring.refill(0))
    out_of_use(lambda: ring.copy(0, 1))
    out_of_use(lambda: ring.borrow(0, 1))


def test_a_transmit_ring_that_was_retired_is_out_of_use_and_has_nothing_outstanding(
    transmit, memory
):
    send(transmit, Request())
    send(transmit, Request())
    give_to_host(memory.transmit_ring, 0)
    transmit.retire()
    assert (transmit.outstanding, transmit.room, transmit.next_slot) == (0, SLOTS, 0)
    assert not transmit.has_completion()
    out_of_use(lambda: transmit.initialise_slot(0))


def test_a_receive_ring_that_was_retired_is_out_of_use(receive, memory):
    deliver(memory, 0, b"packet")
    receive.retire()
    assert not receive.packet_ready()
    out_of_use(lambda: receive.refill(0))


# Starting over


def test_a_transmit_ring_that_starts_over_forgets_all_that_was_outstanding(transmit, memory):
    before = Request()
    send(transmit, before)
    transmit.start_over(memory)
    assert (transmit.outstanding, transmit.next_slot) == (0, 0)
    transmit.initialise_slot(0)
    assert send(transmit) == 0
    give_to_host(memory.transmit_ring, 0)
    assert transmit.has_completion()
    transmit.reclaim()
    assert not before.done


def test_a_transmit_ring_that_was_retired_forgets_who_waited(transmit, memory):
    requests = [Request() for _ in range(SLOTS)]
    for request in requests:
        send(transmit, request)
    transmit.retire()
    assert all(waiting is None for waiting in transmit._waiting)


def test_a_receive_ring_that_starts_over_begins_at_slot_0_with_none_held(receive, memory, device):
    for slot in range(3):
        deliver(memory, slot, b"old")
        assert receive.packet_ready()
        receive.consume()
    new = PacketMemory(device, SLOTS)
    receive.start_over(new)
    for slot in range(SLOTS):
        receive.initialise_slot(slot)
        assert not receive.packet_ready()
    deliver(new, 0, b"new")
    assert receive.packet_ready()
    assert receive.consume()[0] == 0


# Requests


@pytest.mark.parametrize("turns", [1, 3])
def test_requests_go_round_the_ring_and_each_is_told_of_its_own(transmit, memory, turns):
    for number in range(turns * SLOTS):
        request = Request()
        assert transmit.room == SLOTS
        assert send(transmit, request) == index_of(number, SLOTS)
        assert not transmit.has_completion()
        give_to_host(memory.transmit_ring, index_of(number, SLOTS))
        assert transmit.has_completion()
        assert not request.done
        transmit.reclaim()
        assert (request.done, request.result) == (True, 0)
        assert not transmit.has_completion()


def test_it_is_told_whether_slots_came_back(transmit, memory):
    assert transmit.reclaim_all() is False
    slot = send(transmit)
    assert transmit.reclaim_all() is False
    give_to_host(memory.transmit_ring, slot)
    assert transmit.reclaim_all() is True
    assert transmit.outstanding == 0


def test_a_request_that_was_abandoned_is_not_told(transmit, memory):
    request = Request()
    slot = send(transmit, request)
    transmit.abandon(slot, request)
    give_to_host(memory.transmit_ring, slot)
    transmit.reclaim()
    assert not request.done
    assert transmit.outstanding == 0


def test_abandoning_a_request_is_not_abandoning_the_next_one_in_its_slot(transmit, memory):
    first, second = Request(), Request()
    for request in (first, second):
        for _ in range(SLOTS):
            slot = send(transmit, request)
            give_to_host(memory.transmit_ring, slot)
            if request is first:
                transmit.reclaim()
    transmit.abandon(0, first)
    transmit.reclaim()
    assert second.done


def test_a_slot_is_filled_in_before_it_is_handed_over_and_the_bell_comes_last(
    transmit, memory, device
):
    del device.said[:]
    send(transmit, payload=b"bytes")
    transmit.ring_doorbell()
    buffers, ring = memory.transmit_buffers.purpose, memory.transmit_ring.purpose
    assert device.said == [
        ("store", buffers, 0),
        ("store", ring, PACKET_SLOT["length"].offset),
        ("release",),
        ("store", ring, PACKET_SLOT["owner"].offset),
        ("before_register_write",),
        ("write", DBELL, doorbell(TRANSMIT_RING, 0)),
    ]


def test_a_command_is_filled_in_without_its_owner_and_its_result_is_the_cards(device):
    region = device.allocate(SLOTS * COMMAND_SLOT.size, "commands")
    ring = CommandRing(device, SLOTS)
    ring.restart(region)
    for slot in range(SLOTS):
        ring.initialise_slot(slot)
    request = Request()
    for slot in range(2):
        ring.fill_in((Command.ADDFILT, 0x80000000, 0x80000001))
        begin = slot * COMMAND_SLOT.size
        assert region.data[begin] == Owner.HOST
        assert region.data[begin + COMMAND_SLOT["error"].offset] == 0
        ring.hand_over(request)
        assert ring.last_slot == slot
    region.data[COMMAND_SLOT["owner"].offset] = Owner.HOST
    region.data[COMMAND_SLOT["error"].offset] = 28
    assert ring.has_completion()
    ring.reclaim()
    assert request.result == 28


# Packets that arrive


def test_packets_arrive_in_order_and_slots_come_back_in_any(receive, memory):
    held = []
    for number in range(SLOTS):
        deliver(memory, number, bytes([number]) * number)
        assert receive.packet_ready()
        assert receive.peek().length == number
        slot, header = receive.consume()
        assert (slot, header) == (number, Header(number, 2, 3))
        assert receive.copy(slot, header.length) == bytes([number]) * number
        assert receive.borrow(slot, header.length) == bytes([number]) * number
        held.append(slot)
    # All slots are held; the next one is the host's, and yet no packet is in it.
    assert not receive.packet_ready()
    for slot in reversed(held):
        receive.refill(slot)
        receive.repost(slot)
    assert not receive.packet_ready()
    deliver(memory, 0, b"again")
    assert receive.packet_ready()
    assert receive.consume() == (0, Header(5, 2, 3))


def test_a_slot_is_restored_before_it_is_handed_over(receive, memory, device):
    ring = memory.receive_ring.purpose
    restored = ("store", ring, PACKET_SLOT.size + PACKET_SLOT["length"].offset)
    given = ("store", ring, PACKET_SLOT.size + PACKET_SLOT["owner"].offset)
    del device.said[:]
    receive.initialise_slot(1)
    assert device.said == [restored, ("release",), given]
    del device.said[:]
    receive.refill(1)
    receive.repost(1)
    assert device.said == [restored, ("release_loads",), ("release",), given]


def test_what_was_written_to_a_slot_is_read_after_its_owner(receive, memory, device):
    ring = memory.receive_ring.purpose
    deliver(memory, 0, b"packet")
    del device.said[:]
    assert receive.packet_ready()
    receive.consume()
    owner, header = PACKET_SLOT["owner"].offset, HEADER.offset
    assert device.said == [("load", ring, owner), ("acquire",), ("load", ring, header)]


def test_a_result_is_read_after_its_owner(device):
    ring = Purpose.COMMAND_RING
    memory = device.allocate(SLOTS * COMMAND_SLOT.size, ring)
    commands = CommandRing(device, SLOTS)
    commands.restart(memory)
    commands.fill_in((Command.FLUSHFILT, 0, 0))
    commands.hand_over(None)
    give_to_host(memory, 0)
    del device.said[:]
    assert commands.has_completion()
    commands.reclaim()
    owner, error = COMMAND_SLOT["owner"].offset, COMMAND_SLOT["error"].offset
    assert device.said == [("load", ring, owner), ("acquire",), ("load", ring, error)]


def test_a_restored_slot_names_its_own_buffers_and_no_packet(receive, memory):
    deliver(memory, 2, b"packet")
    slot = memory.receive_ring.data[2 * PACKET_SLOT.size : 3 * PACKET_SLOT.size]
    receive.refill(2)
    first = PACKET_SLOT["length"].offset
    pages = [2 * LIMITS.max_packet + page * LIMITS.page_size for page in range(LIMITS.buffers)]
    slot[first : first + FIELDS.size] = pack_fields(
        [LIMITS.page_size] * LIMITS.buffers,
        0,
        [memory.receive_buffers.base + page for page in pages],
    )
    assert memory.receive_ring.data[2 * PACKET_SLOT.size : 3 * PACKET_SLOT.size] == slot
