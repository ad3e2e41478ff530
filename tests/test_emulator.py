"""The emulated card as its host sees it: registers, errors, rings, buffers, filters."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.buffers import pieces, read_buffers, write_buffers
from emulator.bus import BusError
from emulator.card import Card
from emulator.card_state import FatalError
from emulator.command import UNKNOWN_COMMAND
from emulator.memory import AddressSpace
from emulator.packet import NetPacket
from emulator.receive import Arrival
from impl.memory import Purpose
from model.layout import (
    CMDBASE,
    CMDSHIFT,
    COMMAND_RING,
    DBELL,
    EVFLAGS,
    FLAGS,
    FLTB,
    FLTR,
    HWADDR,
    HWERR,
    LIMITS,
    PACKET_SLOT,
    RECEIVE_RING,
    REGISTERS,
    RINGS,
    RST,
    RXBASE,
    RXSHIFT,
    SEQ,
    TRANSMIT_RING,
    TXBASE,
    TXSHIFT,
    VMAJ,
    VMIN,
    Access,
    Command,
    CommandSlot,
    Owner,
    PacketSlot,
    doorbell,
    filter_accepts,
    pack,
    unpack,
)
from model.state import Flags, Stage

SHIFT = 2
SLOTS = 1 << SHIFT
PURPOSES = {
    "CMD": Purpose.COMMAND_RING,
    "TX": Purpose.TRANSMIT_RING,
    "RX": Purpose.RECEIVE_RING,
}
NOWHERE = 0xDEAD_0000_0000
EXACT = 0xFFFF_FFFF


class Host:
    """A card with its rings, driven by hand."""

    def __init__(self, **options):
        self.memory = AddressSpace()
        self.sent = []
        self.card = Card(dma=self.memory, transmit=self.sent.append, **options)
        self.rings = {
            ring.name: self.memory.allocate(ring.size(SHIFT), PURPOSES[ring.name]) for ring in RINGS
        }
        self.buffers = self.memory.allocate(SLOTS * LIMITS.max_packet, Purpose.TRANSMIT_BUFFERS)
        self.next_command = 0

    def set_bases(self, rings=RINGS):
        for ring in rings:
            self.card.write(ring.base, self.rings[ring.name].bus_address())
            self.card.write(ring.shift, SHIFT)

    def run(self):
        """Take steps until none has to be taken; returns their names."""
        taken = []
        while steps := [name for name in self.card.enabled() if name not in self.card.optional]:
            self.card.take(steps[-1])
            taken.append(steps[-1])
        return taken

    def hand_over(self, ring, slot, index):
        self.rings[ring.name].store_bulk(ring.offset(index), pack(slot))

    def slot(self, kind, ring, index):
        data = self.rings[ring.name].load_bulk(ring.offset(index), ring.slot.size)
        return unpack(kind, data)

    def command(self, kind, mask=0, address=0):
        """Have a command executed; returns its slot afterwards."""
        index = self.next_command
        self.next_command = (index + 1) % SLOTS
        slot = CommandSlot(Owner.DEVICE, kind, 0x77, mask, address)
        self.hand_over(COMMAND_RING, slot, index)
        self.card.write(DBELL, doorbell(COMMAND_RING, index))
        self.run()
        return self.slot(CommandSlot, COMMAND_RING, index)

    def answer(self, kind, mask=0, address=0):
        slot = self.command(kind, mask, address)
        assert slot.owner == Owner.HOST
        return slot.error

    def pages(self, index):
        page = LIMITS.page_size
        return tuple(self.buffers.bus_address((4 * index + i) * page) for i in range(4))

    def post(self, index, **fields):
        """Hand a receive slot over."""
        slot = PacketSlot(Owner.DEVICE, 0, (LIMITS.page_size,) * 4, 0, 0, self.pages(index))
        self.hand_over(RECEIVE_RING, attrs.evolve(slot, **fields), index)

    def send(self, index, destination, lengths, pointers=None, *, bell=True):
        pointers = pointers or self.pages(index)
        slot = PacketSlot(Owner.DEVICE, 0x1234, lengths, destination, 0x5678, pointers)
        self.hand_over(TRANSMIT_RING, slot, index)
        if bell:
            self.card.write(DBELL, doorbell(TRANSMIT_RING, index))
            self.run()


@pytest.fixture
def host():
    it = Host()
    it.set_bases()
    return it


@pytest.fixture
def started(host):
    assert host.answer(Command.START) == 0
    assert host.answer(Command.ADDFILT, EXACT, 5) == 0
    host.card.read(EVFLAGS)
    host.card.vector0 = False
    return host


def is_halted(card, bit):
    return (
        card.read(FLAGS) == bit.mask
        and card.flags is Flags.ERROR
        and card.vector1
        and [name for name in card.enabled() if name != "card.raise_vector0"] == []
    )


# Registers


def test_identity_is_as_given():
    card = Host(hwaddr=0x1234, version=(7, 9)).card
    assert [card.read(register) for register in (VMAJ, VMIN, HWADDR)] == [7, 9, 0x1234]


def test_identity_is_that_of_the_datasheet_by_default():
    card = Host().card
    assert [card.read(register) for register in (VMAJ, VMIN, HWADDR)] == [2, 1, 0x34565CAB]


@pytest.mark.parametrize("register", REGISTERS, ids=lambda register: register.name)
def test_a_card_with_power_and_nothing_else_is_at_rest(register):
    card = Host().card
    identity = register.access is Access.READ
    assert identity == (card.read(register) != 0)
    assert card.enabled() == []


@pytest.mark.parametrize("register", [VMAJ, VMIN, HWADDR, EVFLAGS], ids=lambda r: r.name)
def test_writing_what_cannot_be_written_does_nothing(host, register):
    before = host.card.read(register)
    host.card.write(register, 0xFFFF_FFFF)
    assert host.card.read(register) == before
    assert host.card.flags is Flags.CLEAR


def test_flags_without_rst_do_nothing(host):
    host.card.write(FLAGS, 0x7FFF_FFFF)
    assert host.card.read(FLAGS) == 0
    assert host.card.cmd.based


def test_a_value_must_fit_its_register(host):
    with pytest.raises(ValueError) as caught:
        host.card.write(DBELL, 1 << 32)
    assert str(caught.value) == "DBELL takes 32 bits; 0x100000000 does not fit"


def test_reading_events_clears_them(host):
    host.answer(Command.START)
    assert EVFLAGS.describe(host.card.read(EVFLAGS)) == "CMDCOMP"
    assert host.card.read(EVFLAGS) == 0


# Reset


def test_reset_forgets_everything(started):
    card = started.card
    started.post(0)
    card.arrive(NetPacket(5, 6, b"x"))
    card.write(FLAGS, RST.mask)
    assert card.read(FLAGS) == RST.mask
    assert card.enabled() == ["card.reset_over"]
    assert not card.started
    assert card.filters == []
    assert [ring.stage for ring in (card.tx, card.cmd, card.rx)] == [Stage.IDLE] * 3
    assert [ring.based for ring in (card.tx, card.cmd, card.rx)] == [False] * 3
    card.take("card.reset_over")
    assert card.read(FLAGS) == 0
    assert card.read(EVFLAGS) == 0
    assert card.enabled() == []


def test_reset_revives_a_card_that_failed(host):
    host.card.fail()
    host.card.write(FLAGS, RST.mask)
    host.run()
    host.next_command = 0
    host.set_bases()
    assert host.answer(Command.START) == 0


def test_a_card_can_fail_while_it_is_reset(host):
    host.card.write(FLAGS, RST.mask)
    assert host.card.fail()
    assert is_halted(host.card, HWERR)


def test_a_card_fails_once(host):
    assert host.card.fail(FLTR)
    assert not host.card.fail(HWERR)
    assert is_halted(host.card, FLTR)


# Out of sequence


def test_start_while_started(started):
    assert started.command(Command.START).owner == Owner.DEVICE
    assert is_halted(started.card, SEQ)


def test_stop_while_stopped(host):
    assert host.command(Command.STOP).owner == Owner.DEVICE
    assert is_halted(host.card, SEQ)


@pytest.mark.parametrize("missing", [TRANSMIT_RING, RECEIVE_RING], ids=lambda ring: ring.name)
def test_start_without_a_ring(missing):
    host = Host()
    host.set_bases([ring for ring in RINGS if ring is not missing])
    host.command(Command.START)
    assert is_halted(host.card, SEQ)


@pytest.mark.parametrize("ring", [COMMAND_RING, TRANSMIT_RING], ids=lambda ring: ring.name)
def test_doorbell_without_a_ring(ring):
    card = Host().card
    card.write(DBELL, doorbell(ring, 0))
    assert is_halted(card, SEQ)


@pytest.mark.parametrize("ring", [COMMAND_RING, TRANSMIT_RING], ids=lambda ring: ring.name)
@pytest.mark.parametrize("index", [SLOTS, 0x7FFF_FFFF], ids=hex)
def test_doorbell_beyond_the_ring(host, ring, index):
    host.card.write(DBELL, doorbell(ring, 0) | index)
    assert is_halted(host.card, SEQ)


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring.name)
def test_shift_beyond_the_limit(host, ring):
    host.card.write(ring.shift, LIMITS.max_shift)
    assert host.card.flags is Flags.CLEAR
    host.card.write(ring.shift, LIMITS.max_shift + 1)
    assert is_halted(host.card, SEQ)


@pytest.mark.parametrize("register", [TXBASE, TXSHIFT, RXBASE, RXSHIFT], ids=lambda r: r.name)
def test_a_packet_ring_is_changed_while_started(started, register):
    started.card.write(register, 0)
    assert is_halted(started.card, SEQ)


@pytest.mark.parametrize("register", [CMDBASE, CMDSHIFT], ids=lambda r: r.name)
def test_the_command_ring_may_be_changed_while_started(started, register):
    started.card.write(register, 0)
    assert started.card.flags is Flags.CLEAR


@pytest.mark.parametrize("ring", [COMMAND_RING, TRANSMIT_RING], ids=lambda ring: ring.name)
@pytest.mark.parametrize("before", ["power-on", "a reset"])
def test_a_ring_whose_size_was_not_written_has_one_slot(ring, before):
    host = Host()
    if before == "a reset":
        host.set_bases()
        host.card.write(FLAGS, RST.mask)
        host.run()
    host.card.write(ring.base, host.rings[ring.name].bus_address())
    host.card.write(DBELL, doorbell(ring, 0))
    assert host.card.flags is Flags.CLEAR
    host.card.write(DBELL, doorbell(ring, 1))
    assert is_halted(host.card, SEQ)


def test_an_index_beyond_a_ring_that_was_made_smaller_wraps_around(host):
    for _ in range(3):
        assert host.answer(Command.FLUSHFILT) == 0
    host.card.write(CMDSHIFT, 1)
    host.next_command = 1
    assert host.answer(Command.FLUSHFILT) == 0


def test_a_halted_card_hears_no_doorbell(host):
    host.card.fail(HWERR)
    host.card.write(DBELL, 0x7FFF_FFFF)
    assert is_halted(host.card, HWERR)


# Bad addresses


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring.name)
def test_a_base_that_is_not_page_aligned(host, ring):
    host.card.write(ring.base, 0x1_0000_0010)
    assert is_halted(host.card, FLTB)


def test_a_command_ring_that_is_nowhere():
    host = Host()
    host.card.write(CMDBASE, NOWHERE)
    assert host.card.flags is Flags.CLEAR
    host.card.write(DBELL, doorbell(COMMAND_RING, 0))
    assert host.run() == ["cmd.look", "cmd.examine"]
    assert is_halted(host.card, FLTB)


def test_a_transmit_ring_that_is_nowhere(host):
    host.card.write(TXBASE, NOWHERE)
    host.answer(Command.START)
    host.card.write(DBELL, doorbell(TRANSMIT_RING, 0))
    host.run()
    assert is_halted(host.card, FLTB)


def test_a_receive_ring_that_is_nowhere(host):
    host.card.write(RXBASE, NOWHERE)
    host.answer(Command.START)
    host.answer(Command.ADDFILT, 0, 0)
    host.card.arrive(NetPacket(1, 2))
    host.run()
    assert is_halted(host.card, FLTB)


def test_a_ring_that_ends_too_early(host):
    host.card.write(CMDSHIFT, LIMITS.max_shift)
    last = LIMITS.page_size // 32
    host.card.cmd.dev_i = last
    host.card.write(DBELL, doorbell(COMMAND_RING, last))
    host.run()
    assert is_halted(host.card, FLTB)


def test_a_ring_that_was_freed_is_nowhere(started):
    started.memory.free(started.rings["RX"])
    started.card.arrive(NetPacket(5, 2))
    started.run()
    assert is_halted(started.card, FLTB)


def test_a_ring_that_was_freed_while_a_packet_was_sent_is_nowhere(started):
    started.send(0, 7, (1, 0, 0, 0), bell=False)
    started.card.write(DBELL, doorbell(TRANSMIT_RING, 0))
    while "tx.complete" not in (steps := started.card.enabled()):
        started.card.take(next(name for name in steps if name not in started.card.optional))
    started.memory.free(started.rings["TX"])
    started.run()
    assert is_halted(started.card, FLTB)


@pytest.mark.parametrize("bad", range(4))
def test_a_payload_that_is_nowhere(started, bad):
    pointers = list(started.pages(0))
    pointers[bad] = NOWHERE
    started.send(0, 9, (10, 10, 10, 10), tuple(pointers))
    assert is_halted(started.card, FLTR)
    assert started.sent == []


def test_pointers_of_unused_buffers_are_ignored(started):
    started.send(0, 9, (0, 3, 0, 0), (NOWHERE, started.pages(0)[0], 1, NOWHERE))
    assert [len(packet.payload) for packet in started.sent] == [3]


def test_a_buffer_beyond_the_page_it_starts_in_is_nowhere(started):
    """The driver must not take pages for contiguous."""
    first = started.pages(0)[0]
    started.send(0, 9, (2, 0, 0, 0), (first + LIMITS.page_size - 1, 0, 0, 0))
    assert is_halted(started.card, FLTR)


@pytest.mark.parametrize("lengths", [(16385, 0, 0, 0), (4096, 4096, 4096, 4097), (EXACT,) * 4])
def test_a_packet_to_send_that_is_too_long(started, lengths):
    started.send(0, 9, lengths)
    assert is_halted(started.card, HWERR)


@pytest.mark.parametrize("bad", range(4))
def test_a_receive_buffer_that_is_nowhere(started, bad):
    pointers = list(started.pages(0))
    pointers[bad] = NOWHERE
    started.post(0, pointer=tuple(pointers))
    started.card.arrive(NetPacket(5, 6, bytes(16384)))
    started.run()
    assert is_halted(started.card, FLTR)
    assert started.slot(PacketSlot, RECEIVE_RING, 0).owner == Owner.DEVICE


# Commands and filters


@pytest.mark.parametrize("kind", [0, 6, 0xAA, 0xFF])
def test_an_unknown_command_is_answered_with_an_error(host, kind):
    assert host.answer(kind) == UNKNOWN_COMMAND


def test_the_filter_table_has_an_end(host):
    for address in range(LIMITS.filters):
        assert host.answer(Command.ADDFILT, EXACT, address) == 0
    assert host.answer(Command.ADDFILT, EXACT, 99) == 1
    assert host.answer(Command.RMFILT, EXACT, 3) == 0
    assert host.answer(Command.ADDFILT, EXACT, 99) == 0
    assert host.answer(Command.FLUSHFILT) == 0
    assert host.card.filters == []


def test_only_an_exact_match_is_removed(host):
    assert host.answer(Command.ADDFILT, 0xFF, 0x105) == 0
    assert host.answer(Command.RMFILT, 0xFF, 0x005) == 1
    assert host.answer(Command.RMFILT, 0xFFF, 0x105) == 1
    assert host.answer(Command.RMFILT, 0xFF, 0x105) == 0


def test_a_filter_may_be_there_twice(host):
    for _ in range(2):
        assert host.answer(Command.ADDFILT, EXACT, 7) == 0
    assert host.answer(Command.RMFILT, EXACT, 7) == 0
    assert host.card.filters == [(EXACT, 7)]


def test_a_card_that_refuses_filters(host):
    host.card.refuse_filters = 0x42
    assert host.answer(Command.ADDFILT, EXACT, 7) == 0x42
    assert host.card.filters == []


WORDS = st.integers(0, EXACT) | st.integers(0, 3)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=4), WORDS)
def test_a_packet_arrives_if_some_filter_accepts_it(filters, destination):
    host = Host()
    host.set_bases()
    host.answer(Command.START)
    for mask, address in filters:
        host.answer(Command.ADDFILT, mask, address)
    expected = any(filter_accepts(mask, address, destination) for mask, address in filters)
    taken = host.card.arrive(NetPacket(destination, 1))
    assert taken is (Arrival.TAKEN if expected else Arrival.IGNORED)


# Sending


@given(st.lists(st.integers(0, LIMITS.page_size), min_size=4, max_size=4), st.randoms())
def test_the_payload_is_gathered_from_all_buffers(lengths, source):
    host = Host(hwaddr=0xABCD)
    host.set_bases()
    host.answer(Command.START)
    content = source.randbytes(sum(lengths))
    for i, length in enumerate(lengths):
        part = content[sum(lengths[:i]) :][:length]
        host.buffers.store_bulk(i * LIMITS.page_size, part)
    host.send(0, 9, tuple(lengths))
    assert host.sent == [NetPacket(9, 0xABCD, content)]
    assert host.slot(PacketSlot, TRANSMIT_RING, 0).owner == Owner.HOST


def test_a_doorbell_for_a_later_slot_sends_all_up_to_it(started):
    for index in range(3):
        started.send(index, index, (0, 0, 0, 0), bell=False)
    started.card.write(DBELL, doorbell(TRANSMIT_RING, 2))
    started.run()
    assert [packet.destination for packet in started.sent] == [0, 1, 2]
    assert not started.card.tx.look
    assert EVFLAGS.describe(started.card.read(EVFLAGS)) == "TXCOMP"


def test_stop_leaves_what_was_not_begun(started):
    started.send(0, 9, (0, 0, 0, 0), bell=False)
    assert started.answer(Command.STOP) == 0
    assert started.sent == []
    assert not started.card.started


def test_stop_may_finish_what_was_not_begun(started):
    started.send(0, 9, (0, 0, 0, 0), bell=False)
    card = started.card
    slot = CommandSlot(Owner.DEVICE, Command.STOP)
    started.hand_over(COMMAND_RING, slot, started.next_command)
    card.write(DBELL, doorbell(COMMAND_RING, started.next_command))
    for name in ("cmd.look", "cmd.examine", "cmd.fetch", "cmd.execute"):
        card.take(name)
    assert card.enabled() == ["tx.look_ahead", "cmd.stopped"]
    card.take("tx.look_ahead")
    assert card.enabled() == ["tx.examine"]
    started.run()
    assert len(started.sent) == 1
    assert not card.started


def test_while_stopping_an_empty_ring_is_not_looked_at_again(started):
    started.card.stopping = True
    assert "tx.look_ahead" not in started.card.enabled()


# Receiving


@given(
    st.integers(0, LIMITS.max_packet),
    st.lists(st.integers(0, LIMITS.page_size), min_size=4, max_size=4),
    st.randoms(),
)
def test_a_packet_is_spread_over_the_buffers_or_dropped_whole(size, lengths, source):
    host = Host()
    host.set_bases()
    host.answer(Command.START)
    host.answer(Command.ADDFILT, 0, 0)
    host.card.read(EVFLAGS)
    host.post(0, length=tuple(lengths))
    before = bytes(host.buffers.content)
    content = source.randbytes(size)
    assert host.card.arrive(NetPacket(5, 6, content)) is Arrival.TAKEN
    host.run()
    slot = host.slot(PacketSlot, RECEIVE_RING, 0)
    event = EVFLAGS.describe(host.card.read(EVFLAGS))
    if size > sum(lengths):
        assert (event, slot.owner, slot.pktlen) == ("RXJUMBO", Owner.DEVICE, 0)
        assert bytes(host.buffers.content) == before
        return
    assert (event, slot.owner) == ("RXCOMP", Owner.HOST)
    assert (slot.pktlen, slot.dest, slot.src) == (size, 5, 6)
    found = b"".join(
        host.buffers.load_bulk(i * LIMITS.page_size, length) for i, length in enumerate(lengths)
    )
    assert found[:size] == content
    rest = sum(lengths) - size
    assert found[size:] == before[:rest]


def test_a_slot_too_small_for_one_packet_takes_the_next(started):
    started.post(0, length=(2, 0, 0, 0))
    for payload in (b"too long", b"ok"):
        started.card.arrive(NetPacket(5, 6, payload))
        started.run()
    assert EVFLAGS.describe(started.card.read(EVFLAGS)) == "RXCOMP|RXJUMBO"
    assert started.slot(PacketSlot, RECEIVE_RING, 0).pktlen == 2


def test_a_packet_longer_than_any_is_dropped_at_once(started):
    taken = started.card.arrive(NetPacket(5, 6, bytes(LIMITS.max_packet + 1)))
    assert taken is Arrival.JUMBO
    started.run()
    assert EVFLAGS.describe(started.card.read(EVFLAGS)) == "RXJUMBO"
    assert started.card.vector0


def test_without_a_slot_the_packet_is_dropped(started):
    started.card.arrive(NetPacket(5, 6))
    assert started.run() == ["rx.examine", "card.raise_vector0"]
    assert EVFLAGS.describe(started.card.read(EVFLAGS)) == "RXDROP"


def test_a_busy_engine_takes_no_packet(started):
    assert started.card.arrive(NetPacket(5, 6)) is Arrival.TAKEN
    assert not started.card.may_arrive()
    assert started.card.arrive(NetPacket(5, 6)) is Arrival.NOT_NOW


def test_the_payload_is_written_before_the_header_and_the_owner_last(started):
    started.post(0)
    started.card.arrive(NetPacket(5, 6, b"abc"))
    assert [name for name in started.run() if name.startswith("rx.")] == [
        "rx.examine",
        "rx.fetch",
        "rx.write_first_word",
        "rx.write_last_word",
        "rx.write_header",
        "rx.complete",
        "rx.set_event",
    ]


# Bus mastering and interrupts


def test_without_bus_mastering_no_memory_is_accessed_and_no_vector_is_raised(started):
    started.post(0)
    started.card.bus_master = False
    counters = attrs.evolve(started.memory.counters)
    started.card.arrive(NetPacket(5, 6, b"abc"))
    started.card.raising = True
    assert started.run() == []
    assert not started.card.spurious()
    assert started.memory.counters == counters
    started.card.bus_master = True
    started.run()
    assert started.card.vector0
    assert started.slot(PacketSlot, RECEIVE_RING, 0).owner == Owner.HOST


def test_an_interrupt_without_a_reason_comes_once(host):
    assert host.card.spurious()
    assert host.card.vector0
    assert not host.card.spurious()


def test_an_interrupt_goes_away_only_with_its_reason(started):
    started.answer(Command.FLUSHFILT)
    assert not started.card.withdraw()
    started.card.read(EVFLAGS)
    assert started.card.withdraw()
    assert not started.card.vector0


# Buffers


def small_slot(lengths, pointers=(0x1000, 0x2000, 0x3000, 0x4000)):
    return PacketSlot(Owner.DEVICE, 0, tuple(lengths), 0, 0, pointers)


@given(
    st.lists(st.integers(0, 20), min_size=4, max_size=4),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_pieces_are_the_bytes_asked_for_as_far_as_there_are(lengths, start, size):
    slot = small_slot(lengths)
    everything = [
        pointer + i
        for pointer, length in zip(slot.pointer, lengths, strict=True)
        for i in range(length)
    ]
    found = [address + i for address, count in pieces(slot, start, size) for i in range(count)]
    assert found == everything[start : start + size]


class NoMemory:
    def read(self, address, size):
        raise BusError(address, size)

    def write(self, address, data):
        raise BusError(address, len(data))


def test_no_bytes_need_no_memory():
    assert read_buffers(NoMemory(), small_slot((0, 5, 0, 0)), 5, 0) == b""
    write_buffers(NoMemory(), small_slot((0, 5, 0, 0)), 0, b"")


def test_bad_buffers_are_faults_of_the_descriptor():
    for access in (
        lambda: read_buffers(NoMemory(), small_slot((1, 0, 0, 0)), 0, 1),
        lambda: write_buffers(NoMemory(), small_slot((1, 0, 0, 0)), 0, b"x"),
    ):
        with pytest.raises(FatalError) as caught:
            access()
        assert caught.value.bit is FLTR
        assert str(caught.value.__cause__) == (
            "no memory answers for 1 bytes at bus address 0x1000"
        )


def test_the_slot_of_the_datasheet_has_as_many_buffers_as_the_limits_say():
    assert PACKET_SLOT["pointer"].count == LIMITS.buffers


# What a test puts around a step or the reading of a register


def test_what_is_put_around_a_step_last_is_outermost_and_is_undone_first(started):
    told = []

    def around(name):
        return lambda take: (told.append(f"before {name}"), take(), told.append(f"behind {name}"))

    sending = started.card.step("tx.send")
    undo_inner = sending.around(around("inner"))
    undo_outer = sending.around(around("outer"))
    started.send(0, 9, (3, 0, 0, 0))
    assert told == ["before outer", "before inner", "behind inner", "behind outer"]
    undo_outer()
    started.send(1, 9, (3, 0, 0, 0))
    assert told[4:] == ["before inner", "behind inner"]
    undo_inner()
    started.send(2, 9, (3, 0, 0, 0))
    assert len(told) == 6
    assert len(started.sent) == 3


def test_a_step_may_be_left_out_and_may_be_a_fault(started):
    card = started.card
    undo = card.step("tx.complete").around(lambda complete: card.halt(SEQ))
    started.send(0, 9, (3, 0, 0, 0))
    assert is_halted(card, SEQ)
    undo()

    def fault(reset_over):
        raise FatalError(HWERR)

    card.step("card.reset_over").around(fault)
    card.write(FLAGS, RST.mask)
    card.take("card.reset_over")
    assert is_halted(card, HWERR)


def test_a_register_may_read_as_something_else(started):
    undo = started.card.reading(HWADDR).around(lambda read: read() ^ 1)
    right = started.card.hwaddr
    assert started.card.read(HWADDR) == right ^ 1
    undo()
    assert started.card.read(HWADDR) == right


def test_there_are_hooks_for_what_there_is():
    card = Host().card
    assert all(card.step(name) for name in card.steps)
    with pytest.raises(KeyError):
        card.step("tx.fly")
    with pytest.raises(KeyError):
        card.reading(DBELL)
