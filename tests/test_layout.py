"""The datasheet as data, against a second statement of it: C structures laid out by ctypes."""

import ctypes
import errno
import struct

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import layout
from model.layout import (
    COMMAND_RING,
    COMMAND_SLOT,
    DECISION,
    FACT,
    LIMITS,
    PACKET_SLOT,
    RECEIVE_RING,
    REGISTERS,
    RINGS,
    TRANSMIT_RING,
    Command,
    CommandSlot,
    Field,
    Info,
    MulticastFilter,
    Owner,
    PacketSlot,
    Register,
    Structure,
    UserHeader,
    datasheet,
    doorbell,
    errno_of,
    filter_accepts,
    pack,
    ring_slots,
    split_doorbell,
    unpack,
)

U8, U32, U64 = ctypes.c_uint8, ctypes.c_uint32, ctypes.c_uint64


class CCommandSlot(ctypes.LittleEndianStructure):
    _fields_ = (
        ("owner", U8),
        ("type", U8),
        ("error", U8),
        ("reserved0", U8 * 5),
        ("filtmask", U32),
        ("filtaddr", U32),
        ("reserved1", U64 * 2),
    )


class CPacketSlot(ctypes.LittleEndianStructure):
    _fields_ = (
        ("owner", U8),
        ("reserved0", U8 * 3),
        ("pktlen", U32),
        ("length", U32 * 4),
        ("dest", U32),
        ("src", U32),
        ("pointer", U64 * 4),
    )


class CUserHeader(ctypes.LittleEndianStructure):
    _fields_ = (("source", U32), ("destination", U32), ("length", U32), ("reserved0", U32))


class CInfo(ctypes.LittleEndianStructure):
    _fields_ = (("major", U32), ("minor", U32), ("hwaddr", U32))


class CMulticastFilter(ctypes.LittleEndianStructure):
    _fields_ = (("mask", U32), ("addr", U32))


STRUCTURES = [
    pytest.param(CommandSlot, CCommandSlot, 32, id="command slot"),
    pytest.param(PacketSlot, CPacketSlot, 64, id="packet slot"),
    pytest.param(UserHeader, CUserHeader, 16, id="user header"),
    pytest.param(Info, CInfo, 12, id="info"),
    pytest.param(MulticastFilter, CMulticastFilter, 8, id="multicast filter"),
]

u8 = st.integers(0, 0xFF)
u32 = st.integers(0, 0xFFFF_FFFF)
u64 = st.integers(0, 0xFFFF_FFFF_FFFF_FFFF)
contents = st.one_of(
    st.builds(CommandSlot, u8, u8, u8, u32, u32),
    st.builds(PacketSlot, u8, u32, st.tuples(*[u32] * 4), u32, u32, st.tuples(*[u64] * 4)),
    st.builds(UserHeader, u32, u32, u32),
    st.builds(Info, u32, u32, u32),
    st.builds(MulticastFilter, u32, u32),
)


@pytest.mark.parametrize(("kind", "c_kind", "size"), STRUCTURES)
def test_fields_lie_where_a_c_compiler_puts_them(kind, c_kind, size):
    assert kind.structure.size == size == ctypes.sizeof(c_kind)
    ours = [(field.name, field.offset, field.size) for field in kind.structure.fields]
    theirs = [
        (name, getattr(c_kind, name).offset, getattr(c_kind, name).size)
        for name, _ in c_kind._fields_
    ]
    assert ours == theirs


@pytest.mark.parametrize("kind", [p.values[0] for p in STRUCTURES])
def test_contents_name_exactly_the_fields_that_carry_something(kind):
    named = [field.name for field in kind.structure.fields if not field.reserved]
    assert [field.name for field in attrs.fields(kind)] == named


@given(contents)
def test_pack_then_unpack_gives_the_same_contents(value):
    assert unpack(type(value), pack(value)) == value


@given(contents)
def test_pack_writes_what_c_code_would_read(value):
    c_kind = next(p.values[1] for p in STRUCTURES if p.values[0] is type(value))
    read = c_kind.from_buffer_copy(pack(value))
    for field in attrs.fields(type(value)):
        element = getattr(read, field.name)
        seen = tuple(element) if isinstance(element, ctypes.Array) else element
        assert seen == getattr(value, field.name)


@given(st.data())
def test_unpack_then_pack_changes_reserved_bytes_only(data):
    kind = data.draw(st.sampled_from([p.values[0] for p in STRUCTURES]))
    size = kind.structure.size
    before = data.draw(st.binary(min_size=size, max_size=size))
    expected = bytearray(before)
    for field in kind.structure.fields:
        if field.reserved:
            expected[field.offset : field.end] = bytes(field.size)
    assert pack(unpack(kind, before)) == expected


@given(contents, st.data())
def test_a_field_that_is_stored_alone_is_the_field_that_is_read(value, data):
    field = data.draw(st.sampled_from([f for f in value.structure.fields if not f.reserved]))
    index = data.draw(st.integers(0, field.count - 1))
    new = data.draw(st.integers(0, (1 << 8 * field.width) - 1))
    memory = bytearray(pack(value))
    at = field.element(index)
    memory[at : at + field.width] = new.to_bytes(field.width, "little")
    old = getattr(value, field.name)
    changed = new if field.count == 1 else (*old[:index], new, *old[index + 1 :])
    assert unpack(type(value), memory) == attrs.evolve(value, **{field.name: changed})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            CommandSlot(256),
            "owner of a command slot must be 0 to 0xff, not 0x100",
        ),
        (
            CommandSlot(Owner.HOST, filtmask=-1),
            "filtmask of a command slot must be 0 to 0xffffffff, not -0x1",
        ),
        (
            PacketSlot(Owner.HOST, length=(1, 2, 3)),
            "length of a packet slot has 4 elements, not 3",
        ),
    ],
)
def test_pack_refuses_what_does_not_fit(value, message):
    with pytest.raises(ValueError) as caught:
        pack(value)
    assert str(caught.value) == message


@pytest.mark.parametrize("size", [0, 63, 65])
def test_unpack_refuses_the_wrong_number_of_bytes(size):
    with pytest.raises(ValueError) as caught:
        unpack(PacketSlot, bytes(size))
    assert str(caught.value) == f"a packet slot has 64 bytes, not {size}"


@pytest.mark.parametrize(
    ("fields", "size", "message"),
    [
        ([(0, 4, 1), (2, 4, 1)], 8, "field f1 of the thing must start at byte 4, not 2"),
        ([(0, 1, 1), (2, 2, 1)], 4, "field f1 of the thing must start at byte 1, not 2"),
        ([(0, 1, 1), (1, 4, 1)], 5, "field f1 of the thing is not aligned"),
        ([(0, 4, 2)], 16, "the fields of the thing end at byte 8, not 16"),
    ],
    ids=["overlap", "gap", "unaligned", "short"],
)
def test_a_layout_with_a_mistake_is_refused(fields, size, message):
    made = tuple(Field(f"f{i}", *where, FACT, "") for i, where in enumerate(fields))
    with pytest.raises(ValueError) as caught:
        Structure("thing", size, made)
    assert str(caught.value) == message


def test_an_unknown_field_is_named_with_the_known_ones():
    with pytest.raises(KeyError, match=r"the packet slot has no field 'len'; it has owner, .*dest"):
        PACKET_SLOT["len"]


def test_registers_stand_where_the_datasheet_says():
    stated = {r.name: (r.offset, r.width, r.access.value) for r in REGISTERS}
    assert stated == {
        "VMAJ": (0x00, 32, "RO"),
        "VMIN": (0x04, 32, "RO"),
        "FLAGS": (0x08, 32, "RO, reset"),
        "HWADDR": (0x0C, 32, "RO"),
        "CMDBASE": (0x10, 64, "WO"),
        "CMDSHIFT": (0x18, 32, "WO"),
        "TXBASE": (0x20, 64, "WO"),
        "TXSHIFT": (0x28, 32, "WO"),
        "RXBASE": (0x30, 64, "WO"),
        "RXSHIFT": (0x38, 32, "WO"),
        "EVFLAGS": (0x40, 32, "RO, clear on read"),
        "DBELL": (0x50, 32, "WO"),
    }


def test_no_two_registers_share_a_byte():
    used = [byte for r in REGISTERS for byte in range(r.offset, r.offset + r.size)]
    assert len(used) == len(set(used))
    assert max(used) < layout.IDENTITY.bar0_size


@pytest.mark.parametrize(
    ("offset", "width"), [(0x7C, 64), (0x80, 32), (0x84, 64), (0x02, 32), (0x0C, 64), (-4, 32)]
)
def test_a_register_outside_bar0_or_unaligned_is_refused(offset, width):
    with pytest.raises(ValueError, match="must lie aligned within the 128 bytes of BAR0"):
        Register("BAD", offset, width, layout.Access.READ, FACT, "")


def test_bits_stand_where_the_datasheet_says():
    assert {bit.name: bit.position for bit in layout.FLAGS.bits} == {
        "FLTB": 0,
        "FLTR": 1,
        "SEQ": 2,
        "HWERR": 16,
        "RST": 31,
    }
    assert {bit.name: bit.position for bit in layout.EVFLAGS.bits} == {
        "TXCOMP": 0,
        "RXCOMP": 1,
        "RXDROP": 2,
        "CMDCOMP": 3,
        "RXJUMBO": 4,
    }
    assert layout.DBELL_TX.mask == 0x8000_0000


@pytest.mark.parametrize(
    ("value", "text", "fatal"),
    [
        (0, "0x0", False),
        (1, "FLTB", True),
        (6, "FLTR|SEQ", True),
        (0x8000_0000, "RST", False),
        (0x8001_0000, "HWERR|RST", True),
        (0x20, "0x20", True),
        (0x21, "FLTB|0x20", True),
    ],
)
def test_flags_are_described_by_name(value, text, fatal):
    assert layout.FLAGS.describe(value) == text
    assert layout.is_fatal(value) is fatal


def test_identity_owners_commands_and_services_are_as_the_datasheet_says():
    assert (layout.IDENTITY.vendor, layout.IDENTITY.product) == (0x3301, 0x2000)
    assert layout.IDENTITY.bar0_size == 0x80
    assert {owner.name: owner.value for owner in Owner} == {"HOST": 0xAA, "DEVICE": 0x55}
    assert [command.name for command in Command] == [
        "START",
        "STOP",
        "ADDFILT",
        "RMFILT",
        "FLUSHFILT",
    ]
    assert [int(command) for command in Command] == [1, 2, 3, 4, 5]
    assert {service.name: service.address for service in layout.SERVICES} == {
        "echo": 0xEC60,
        "quote": 0xBEEF,
    }
    assert [(call.group, call.number) for call in layout.IOCTLS] == [("z", 0), ("z", 1), ("z", 2)]


def test_limits_agree_with_each_other_and_with_the_slots():
    assert LIMITS.max_packet == LIMITS.buffers * LIMITS.page_size == 16384
    assert PACKET_SLOT["length"].count == PACKET_SLOT["pointer"].count == LIMITS.buffers
    assert LIMITS.default_shift <= LIMITS.max_shift == 12
    assert LIMITS.filters == 16


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring.name)
@given(shift=st.integers(0, 12))
def test_slots_tile_the_ring(ring, shift):
    slots = ring_slots(shift)
    assert slots == 2**shift
    assert ring.offset(0) == 0
    assert ring.offset(slots) == ring.size(shift)
    assert ring.slot is (COMMAND_SLOT if ring is COMMAND_RING else PACKET_SLOT)
    assert LIMITS.page_size % ring.slot.size == 0


@pytest.mark.parametrize("shift", [-1, 13])
def test_a_shift_that_no_ring_has_is_refused(shift):
    with pytest.raises(ValueError) as caught:
        ring_slots(shift)
    assert str(caught.value) == f"the shift of a ring must be 0 to 12, not {shift}"


@given(st.sampled_from([COMMAND_RING, TRANSMIT_RING]), st.integers(0, 4095))
def test_a_doorbell_names_its_ring_and_slot(ring, index):
    value = doorbell(ring, index)
    assert split_doorbell(value) == (ring, index)
    assert bool(value >> 31) is (ring is TRANSMIT_RING)


@given(u32)
def test_any_value_of_the_doorbell_can_be_taken_apart(value):
    ring, index = split_doorbell(value)
    assert ring is (TRANSMIT_RING if value >= 1 << 31 else COMMAND_RING)
    assert index == value % (1 << 31)


@pytest.mark.parametrize("index", [-1, 4096, 1 << 31])
def test_a_doorbell_for_a_slot_that_no_ring_has_is_refused(index):
    with pytest.raises(ValueError) as caught:
        doorbell(TRANSMIT_RING, index)
    assert str(caught.value) == f"the index of a slot must be 0 to 4095, not {index}"


def test_the_receive_ring_has_no_doorbell():
    with pytest.raises(ValueError, match="the receive ring has no doorbell"):
        doorbell(RECEIVE_RING, 0)


@given(u32, u32, u32)
def test_a_filter_accepts_what_agrees_in_every_bit_of_its_mask(mask, address, destination):
    agrees = all(
        (address >> bit) & 1 == (destination >> bit) & 1 for bit in range(32) if mask >> bit & 1
    )
    assert filter_accepts(mask, address, destination) is agrees


@given(u32, u32)
def test_the_unicast_filter_accepts_one_address_only(hwaddr, destination):
    accepts = filter_accepts(layout.EXACT_MASK, hwaddr, destination)
    assert accepts is (hwaddr == destination)


@given(u32)
def test_a_multicast_address_has_its_highest_bit_set(address):
    assert layout.is_multicast(address) is (address >= 1 << 31)


@given(st.sampled_from(Command), u8)
def test_an_error_byte_means_what_the_command_says(command, error):
    special = {Command.ADDFILT: errno.ENOSPC, Command.RMFILT: errno.ENOENT}
    expected = {0: 0, 1: special.get(command, errno.EIO)}.get(error, errno.EIO)
    assert errno_of(command, error) == expected


def test_every_command_has_one_entry():
    assert [entry.command for entry in layout.COMMANDS] == list(Command)


def test_the_datasheet_lists_facts_and_decisions():
    entries = list(datasheet())
    assert all(entry.meaning and entry.value for entry in entries)
    decisions = {entry.name for entry in entries if entry.standing is DECISION}
    assert decisions == {
        "intx_pin",
        "max_shift",
        "filters",
        "FLAGS.FLTB",
        "FLAGS.FLTR",
        "FLAGS.SEQ",
        "FLAGS.HWERR",
        "match",
    }
    names = [entry.name for entry in entries]
    assert {register.name for register in REGISTERS} <= set(names)


@given(st.data())
def test_a_part_is_some_fields_of_the_whole(data):
    kind = data.draw(st.sampled_from([p.values[0] for p in STRUCTURES]))
    structure = kind.structure
    known = [field for field in structure.fields if not field.reserved]
    chosen = data.draw(st.sets(st.sampled_from(known), min_size=1))
    fields = [field for field in known if field in chosen]
    part = structure.part(*(field.name for field in fields))
    assert (part.offset, part.offset + part.size) == (fields[0].offset, fields[-1].end)
    before = data.draw(st.binary(min_size=structure.size, max_size=structure.size))
    inside = before[part.offset :][: part.size]
    numbers = part.codec.unpack(inside)
    whole = unpack(kind, before)
    values = [getattr(whole, field.name) for field in fields]
    assert numbers == tuple(n for v in values for n in (v if isinstance(v, tuple) else (v,)))
    expected = bytearray(inside)
    for field in structure.fields:
        if field not in fields and part.offset <= field.offset < part.offset + part.size:
            at = field.offset - part.offset
            expected[at : at + field.size] = bytes(field.size)
    assert part.codec.pack(*numbers) == expected


@pytest.mark.parametrize(
    "names", [(), ("dest", "pktlen"), ("dest", "dest")], ids=["none", "order", "twice"]
)
def test_a_part_is_named_in_order(names):
    with pytest.raises(ValueError) as caught:
        PACKET_SLOT.part(*names)
    assert str(caught.value) == f"a part of the packet slot is fields in their order, not {names}"


def test_a_part_has_fields_that_there_are():
    with pytest.raises(KeyError, match="the packet slot has no field 'type'"):
        PACKET_SLOT.part("type")


@pytest.mark.parametrize(("width", "format_"), [(1, "<B"), (2, "<H"), (4, "<I"), (8, "<Q")])
def test_a_number_in_memory_is_little_endian(width, format_):
    assert layout.WORDS[width].format == format_


def test_structures_have_no_hidden_padding():
    for kind in (CommandSlot, PacketSlot, UserHeader, Info, MulticastFilter):
        assert struct.calcsize(kind.structure.codec.format) == kind.structure.size
