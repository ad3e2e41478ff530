"""Packets: what can be sent, what a slot and a message say of one, and what is refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from impl.errors import CardError, InvalidArgumentError, PacketTooLongError
from impl.packet import (
    Outgoing,
    Packet,
    check_filter,
    check_received,
    check_word,
    message_of,
    outgoing,
    pack_addressed,
    parse_message,
    split,
    unpack_header,
)
from impl.shield import shielded
from model.layout import LIMITS, USER_HEADER, Owner, PacketSlot, pack
from tests.struck import Strike, Struck, striking

PAGE, MOST = LIMITS.page_size, LIMITS.max_packet
SIZES = st.integers(0, MOST) | st.sampled_from([0, 1, PAGE, PAGE + 1, MOST])
WORDS = st.integers(0, 0xFFFF_FFFF)
NOT_WORDS = [-1, 1 << 32]


@given(SIZES)
def test_buffers_are_filled_in_order(size):
    lengths = split(size)
    assert sum(lengths) == size
    filled = size // PAGE
    assert lengths[:filled] == (PAGE,) * filled
    assert not any(lengths[filled + 1 :])


@given(SIZES, WORDS)
@example(PAGE, 1)
def test_a_slot_says_where_a_packet_goes_and_how_long_its_buffers_are(size, destination):
    slot = pack(PacketSlot(Owner.HOST, 0, split(size), destination, 0, (0, 0, 0, 0)))
    fields = pack_addressed(size, destination)
    assert fields in slot
    assert fields == slot[slot.index(fields) :][: len(fields)]
    assert pack_addressed(size, destination)[: 4 * LIMITS.buffers] == b"".join(
        length.to_bytes(4, "little") for length in split(size)
    )
    assert fields[4 * LIMITS.buffers :] == destination.to_bytes(4, "little") + bytes(4)


@given(WORDS, WORDS, WORDS)
def test_a_header_is_length_destination_and_source(length, destination, source):
    words = [length, *(7,) * LIMITS.buffers, destination, source]
    header = unpack_header(b"".join(word.to_bytes(4, "little") for word in words))
    assert (header.length, header.destination, header.source) == (length, destination, source)


@given(WORDS, st.binary(max_size=20))
@example(0, b"")
@example(0xFFFF_FFFF, bytes(MOST))
def test_bytes_are_sent_as_they_are(destination, payload):
    assert outgoing(destination, payload) == Outgoing(destination, (payload,), len(payload))


@given(WORDS, st.lists(st.binary(max_size=9), max_size=5))
def test_buffers_are_sent_one_behind_the_other(destination, parts):
    packet = outgoing(destination, [*map(bytearray, parts)])
    assert b"".join(packet.buffers) == b"".join(parts)
    assert (packet.destination, packet.size) == (destination, len(b"".join(parts)))


@pytest.mark.parametrize("payload", [bytes(MOST + 1), [bytes(MOST), b"x"]])
def test_more_than_a_packet_carries_is_refused(payload):
    with pytest.raises(PacketTooLongError, match="at most 16384 bytes, and 16385 were given"):
        outgoing(1, payload)


@pytest.mark.parametrize("payload", [b"x", [b"x"]])
@pytest.mark.parametrize("destination", NOT_WORDS)
def test_a_destination_that_is_no_address_is_refused(payload, destination):
    with pytest.raises(InvalidArgumentError, match="a destination is a number from 0 to"):
        outgoing(destination, payload)


@pytest.mark.parametrize(
    ("given_", "hint"),
    [
        ("0xec60", "; did you mean 0xec60?"),
        ("ec60", "; did you mean 0xec60?"),
        ("duct", "'duct'"),
        (1.5, "1.5"),
        (None, "None"),
    ],
)
def test_what_is_no_number_is_refused_and_what_was_meant_is_guessed(given_, hint):
    with pytest.raises(TypeError) as caught:
        check_word(given_, "it")
    assert str(caught.value).startswith(f"it is a number from 0 to 0xffffffff, not {given_!r}")
    assert str(caught.value).endswith(hint)


@pytest.mark.parametrize("value", [0, 1, 0xFFFF_FFFF])
def test_a_number_of_32_bits_is_good(value):
    assert check_word(value, "it") == value


@pytest.mark.parametrize("value", NOT_WORDS)
def test_other_numbers_are_refused(value):
    with pytest.raises(InvalidArgumentError) as caught:
        check_word(value, "it")
    assert caught.value.strerror == f"it is a number from 0 to 0xffffffff, not {value:#x}"


@pytest.mark.parametrize(
    ("payload", "hint"), [("text", "; a text becomes bytes by encode()"), (5, "5"), ([5], "[5]")]
)
def test_a_payload_that_is_not_made_of_bytes_is_refused(payload, hint):
    with pytest.raises(TypeError, match="a payload is bytes, or a list of them, not ") as caught:
        outgoing(1, payload)
    assert str(caught.value).endswith(hint)


def test_a_packet_may_fill_its_slot_and_no_more():
    assert check_received(MOST) == MOST
    with pytest.raises(CardError, match="of 16385 bytes, but a receive slot holds 16384"):
        check_received(MOST + 1)


GROUP = 0x8000_0001


def test_a_multicast_filter_has_the_highest_bit_in_mask_and_address():
    assert check_filter(GROUP, GROUP + 1) == (GROUP, GROUP + 1)
    for mask, address in [(1, GROUP), (GROUP, 1)]:
        with pytest.raises(InvalidArgumentError, match="has bit 31 set in mask and address"):
            check_filter(mask, address)


@pytest.mark.parametrize("wrong", NOT_WORDS)
def test_mask_and_address_of_a_filter_are_numbers_of_32_bits(wrong):
    with pytest.raises(InvalidArgumentError, match="a filter's mask is"):
        check_filter(wrong, wrong)
    with pytest.raises(InvalidArgumentError, match="a filter's address is"):
        check_filter(GROUP, wrong)


def message(length, payload):
    return USER_HEADER.codec.pack(0, 7, length) + payload


@given(st.binary(max_size=40))
def test_a_message_is_a_header_and_as_many_bytes_as_it_says(payload):
    found = parse_message(message(len(payload), payload))
    assert (found.destination, bytes(found.payload)) == (7, payload)


@given(WORDS, WORDS, st.binary(max_size=40))
def test_what_is_read_can_be_parsed(source, destination, payload):
    data = message_of(Packet(source, destination, payload))
    found = parse_message(data)
    assert (found.destination, bytes(found.payload)) == (destination, payload)
    assert data.startswith(source.to_bytes(4, "little"))


def test_a_message_that_is_not_whole_or_too_long_is_refused():
    with pytest.raises(InvalidArgumentError, match="a header of 16 bytes, and it has 15 bytes"):
        parse_message(bytes(15))
    with pytest.raises(InvalidArgumentError, match="announces 5 bytes of payload, and 3 follow"):
        parse_message(message(5, b"abc"))
    with pytest.raises(PacketTooLongError, match="and 16385 were given"):
        parse_message(message(1, bytes(MOST + 1)))


def test_a_list_of_buffers_is_the_callers_and_may_be_interrupted():
    """It may be long, or without end: what a handler raises ends it at once."""
    taken = []

    def buffers():
        for number in range(1000):
            taken.append(number)
            yield b""

    call = shielded(outgoing)
    with striking():
        struck = Struck(lambda: call(1, buffers()), 60)
        struck.check()
    assert struck.function.startswith("packet.")
    assert isinstance(struck.error, Strike)
    assert len(taken) < 1000
