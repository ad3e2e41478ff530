"""The messages of the vfio-user protocol, and the configuration space: what holds of all."""

import struct

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from emulator.vfio_user import protocol
from emulator.vfio_user.config_space import BARS, SIZE, ConfigSpace
from emulator.vfio_user.protocol import Body, Command, Header, ProtocolError, parse, parse_header

BODIES = [
    kind
    for kind in vars(protocol).values()
    if isinstance(kind, type) and issubclass(kind, Body) and kind is not Body
]
WIDTHS = {"H": 16, "I": 32, "Q": 64}


@st.composite
def bodies(draw):
    """A body of any kind with any numbers, right or wrong."""
    kind = draw(st.sampled_from(BODIES))
    small = st.integers(0, 64)
    numbers = [
        draw(small | st.integers(0, (1 << WIDTHS[code]) - 1)) for code in kind.codec.format[1:]
    ]
    tail = [draw(st.binary(max_size=100))] if kind.ends_with_data else []
    return kind(*numbers, *tail)


HEADERS = st.builds(
    Header,
    id=st.integers(0, 0xFFFF),
    command=st.integers(0, 0xFFFF),
    length=st.integers(0, 4096),
    no_reply=st.booleans(),
)


@given(header=HEADERS, length=st.integers(0, 4096), errno=st.integers(0, 0xFFFF_FFFF))
def test_a_header_and_its_answer_survive_packing(header, length, errno):
    assert parse_header(header.pack()) == header
    answer = header.answer(length, errno)
    assert parse_header(answer.pack()) == answer
    assert (answer.id, answer.command, answer.error) == (header.id, header.command, errno != 0)


@given(st.binary(min_size=16, max_size=16))
def test_a_header_is_understood_as_a_whole_or_not_at_all(data):
    try:
        header = parse_header(data)
    except ProtocolError:
        return
    number, command, size, flags, _ = struct.unpack("<HHIII", data)
    assert (header.id, header.command, header.length) == (number, command, size - 16)
    assert header.reply == (flags & 1)
    assert header.length <= (1 << 20) + 16


def test_every_kind_of_body_is_drawn():
    assert len(BODIES) == 10


@given(bodies())
def test_a_body_survives_packing_unless_nobody_sends_it(body):
    data = body.pack()
    try:
        body.check()
    except ProtocolError:
        with pytest.raises(ProtocolError):
            type(body).unpack(data)
    else:
        assert type(body).unpack(data) == body


@given(bodies(), st.integers(1, 20))
def test_a_body_of_the_wrong_length_is_refused(body, change):
    kind, data = type(body), body.pack()
    fixed = kind.codec.size
    if fixed:
        with pytest.raises(ProtocolError):
            kind.unpack(data[: max(fixed - change, 0)])
    if not kind.ends_with_data:
        with pytest.raises(ProtocolError):
            kind.unpack(data + bytes(change))


@given(st.integers(0, 20), st.binary(max_size=200))
def test_whatever_comes_is_a_body_or_refused(command, data):
    try:
        body = parse(command, data)
    except ProtocolError:
        return
    if body is None:
        assert command not in set(Command) - protocol.FROM_SERVER
    else:
        assert body.pack() == data


@given(
    address=st.integers(0, (1 << 64) - 1),
    size=st.integers(0, (1 << 64) - 1),
    flags=st.integers(0, 3),
)
def test_maps_lie_within_64_bits(address, size, flags):
    data = struct.pack("<IIQQQ", 32, flags, 0, address, size)
    assume(size < 1 << 63)
    if 0 < size <= (1 << 64) - address:
        assert attrs.astuple(parse(2, data)) == (32, flags, 0, address, size)
    else:
        with pytest.raises(ProtocolError):
            parse(2, data)


# Configuration space


def number(space, offset, width):
    return int.from_bytes(space.read(offset, width), "little")


def test_the_space_says_what_the_card_is():
    space = ConfigSpace()
    assert (number(space, 0, 2), number(space, 2, 2)) == (0x3301, 0x2000)
    assert number(space, 8, 4) == 0x028000 << 8
    assert number(space, 0x0E, 1) == 0
    assert number(space, 0x3D, 1) == 1


def test_the_only_capability_is_msix_with_two_vectors_in_a_bar_of_its_own():
    space = ConfigSpace()
    assert number(space, 6, 2) & 0x10
    at = number(space, 0x34, 1)
    assert space.read(at, 2) == b"\x11\0"
    assert number(space, at + 2, 2) & 0x7FF == 1
    table, pending = number(space, at + 4, 4), number(space, at + 8, 4)
    assert table & 7 == pending & 7 == 1
    assert (table & ~7) + 32 <= pending & ~7
    assert (pending & ~7) + 8 <= BARS[1]


@pytest.mark.parametrize("index", range(6))
def test_sizing_a_bar_finds_its_size(index):
    space = ConfigSpace()
    offset = 0x10 + 4 * index
    space.write(offset, b"\xff" * 4)
    found = number(space, offset, 4)
    assert found & 0xF == 0  # 32-bit memory, not prefetchable
    assert -found & 0xFFFF_FFFF == BARS.get(index, 0)
    address = 0x1234_5000 if found else 0
    space.write(offset, (0x1234_5000).to_bytes(4, "little"))
    assert number(space, offset, 4) == address


def test_there_is_no_rom():
    space = ConfigSpace()
    space.write(0x30, b"\xff" * 4)
    assert number(space, 0x30, 4) == 0


WRITES = st.lists(
    st.integers(0, SIZE - 1).flatmap(
        lambda offset: st.tuples(st.just(offset), st.binary(max_size=min(8, SIZE - offset)))
    )
)


@given(WRITES)
def test_what_cannot_be_written_stays_and_a_reset_restores_the_rest(writes):
    space, fresh = ConfigSpace(), ConfigSpace().read(0, SIZE)
    ones = ConfigSpace()
    ones.write(0, b"\xff" * SIZE)
    writable = ones.read(0, SIZE)
    for offset, data in writes:
        space.write(offset, data)
    now = space.read(0, SIZE)
    for was, is_now, may in zip(fresh, now, writable, strict=True):
        assert (was ^ is_now) & ~(was ^ may) == 0
    space.reset()
    assert space.read(0, SIZE) == fresh


@given(WRITES)
def test_a_write_is_the_same_byte_by_byte(writes):
    at_once, by_bytes = ConfigSpace(), ConfigSpace()
    for offset, data in writes:
        at_once.write(offset, data)
        for i, byte in enumerate(data):
            by_bytes.write(offset + i, bytes([byte]))
    assert at_once.read(0, SIZE) == by_bytes.read(0, SIZE)


@pytest.mark.parametrize(
    ("bit", "name"), [(1, "memory"), (2, "bus_master"), (10, "interrupt_disable")]
)
def test_bits_of_the_command_register_are_seen(bit, name):
    space = ConfigSpace()
    assert not getattr(space, name)
    space.write(4, (1 << bit).to_bytes(2, "little"))
    assert getattr(space, name)


def test_the_interrupt_status_cannot_be_written_and_shows_what_is_due():
    space = ConfigSpace()
    space.write(6, b"\xff\xff")
    assert number(space, 6, 2) == 0x10
    space.interrupt = True
    assert number(space, 6, 2) == 0x18


@pytest.mark.parametrize(("offset", "count"), [(-1, 1), (256, 1), (253, 4), (0, 257)])
def test_the_space_ends(offset, count):
    space = ConfigSpace()
    message = f"{count} bytes at offset {offset} are not within the 256 bytes"
    with pytest.raises(IndexError, match=message):
        space.read(offset, count)
    with pytest.raises(IndexError, match=message):
        space.write(offset, bytes(count))
