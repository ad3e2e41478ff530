"""Contracts of the driver's pure functions, each beside what the datasheet or the model says of it.

A contract is a function. Its arguments are anything that its first lines, `assert` statements,
allow; from the first other line on all must hold, and nothing may be raised.

CrossHair runs it with symbols for arguments and either covers every path, which confirms it for all
arguments, or does not come to an end; then `obstacle` says what keeps it. Hypothesis runs all of
them with values, which also shows that there are such arguments: without any, CrossHair confirms
everything.

`python -m properties.check_contracts` checks them.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable
from typing import Final

import attrs

from engine.terms import Sort, evaluate, next_index, symbol
from impl.errors import CardError, InvalidArgumentError, PacketTooLongError
from impl.packet import (
    ADDRESSED,
    FIELDS,
    HEADER,
    Header,
    Packet,
    check_filter,
    check_payload,
    check_received,
    index_of,
    message_of,
    pack_addressed,
    pack_fields,
    parse_message,
    split,
    unpack_header,
)
from model.layout import (
    COMMAND_RING,
    EXACT_MASK,
    TRANSMIT_RING,
    Command,
    CommandSlot,
    Owner,
    PacketSlot,
    UserHeader,
    doorbell,
    errno_of,
    filter_accepts,
    pack,
    ring_slots,
    split_doorbell,
    unpack,
)

__all__ = ["CONTRACTS", "Contract"]

NEXT: Final = next_index(symbol("index", Sort.NUMBER))  # type: ignore[arg-type]
"""The specification's walk along a ring of N slots, as a term."""
HOST: Final = Owner.HOST.value


def _fit(bits: int, *numbers: int) -> bool:
    """Whether each number can stand in so many bits."""
    return all(0 <= number < 1 << bits for number in numbers)


# Indices


def index_stays_on_the_ring(counter: int, shift: int) -> None:
    """Whatever the counter, its slot is one of the ring's."""
    assert counter >= 0
    assert 0 <= shift <= 12
    slots = ring_slots(shift)
    assert 0 <= index_of(counter, slots) < slots


def index_walks_one_by_one(counter: int, shift: int) -> None:
    """The next request goes to the slot that the specification says comes next."""
    assert counter >= 0
    assert 0 <= shift <= 12
    slots = ring_slots(shift)
    here, there = index_of(counter, slots), index_of(counter + 1, slots)
    assert there == evaluate(NEXT, {"index": here, "N": slots})


def index_starts_at_slot_0(shift: int) -> None:
    """The walk begins where the card's does."""
    assert 0 <= shift <= 12
    first = index_of(0, ring_slots(shift))
    assert first == 0


# Payloads


def split_covers_the_payload(size: int) -> None:
    """Four buffers take every byte of a payload, and no buffer more than a page."""
    assert 0 <= size <= 16384
    lengths = split(size)
    assert len(lengths) == 4
    assert sum(lengths) == size
    assert all(0 <= length <= 4096 for length in lengths)


def split_leaves_no_gap(size: int) -> None:
    """A buffer is used only if those before it are full."""
    assert 0 <= size <= 16384
    lengths = split(size)
    for before, after in itertools.pairwise(lengths):
        assert after == 0 or before == 4096


def payload_that_fits_is_accepted(size: int) -> None:
    """A packet carries 0 to 16384 bytes."""
    assert 0 <= size <= 16384
    accepted = check_payload(size)
    assert accepted == size


def payload_too_long_is_refused(excess: int) -> None:
    """And no packet carries more."""
    assert excess >= 1
    try:
        check_payload(16384 + excess)
    except PacketTooLongError:
        return
    raise AssertionError("it was accepted")


# What the card says


def received_length_that_fits_is_accepted(size: int) -> None:
    """What a slot's buffers hold is what the card may announce."""
    assert 0 <= size <= 16384
    accepted = check_received(size)
    assert accepted == size


def received_length_beyond_is_refused(excess: int) -> None:
    """Nothing beyond the slot's buffers is ever looked at."""
    assert 1 <= excess < (1 << 32) - 16384
    try:
        check_received(16384 + excess)
    except CardError:
        return
    raise AssertionError("it was accepted")


def answer_means_what_the_datasheet_says(command: int, error: int) -> None:
    """Every error byte of every command has the errno that the datasheet gives it."""
    assert _fit(8, error)
    assert 1 <= command <= 5
    special = {Command.ADDFILT: errno.ENOSPC, Command.RMFILT: errno.ENOENT}
    wanted = 0
    if error == 1:
        wanted = special.get(Command(command), errno.EIO)
    elif error:
        wanted = errno.EIO
    assert errno_of(Command(command), error) == wanted


# Slots


def fields_are_the_slot_behind_its_header(
    length0: int,
    length1: int,
    length2: int,
    length3: int,
    dest: int,
    pointer0: int,
    pointer1: int,
    pointer2: int,
    pointer3: int,
) -> None:
    """What the driver stores to a packet slot are the bytes that the layout has there."""
    assert _fit(32, length0, length1, length2, length3, dest)
    assert _fit(64, pointer0, pointer1, pointer2, pointer3)
    lengths = (length0, length1, length2, length3)
    pointers = (pointer0, pointer1, pointer2, pointer3)
    slot = pack(PacketSlot(HOST, 0, lengths, dest, 0, pointers))
    assert pack_fields(lengths, dest, pointers) == slot[FIELDS.offset :]
    assert FIELDS.offset + FIELDS.size == len(slot)


def addressed_is_where_the_fields_begin(size: int, dest: int) -> None:
    """What differs from packet to packet is stored as the whole would be."""
    assert 0 <= size <= 16384
    assert _fit(32, dest)
    fields = pack_fields(split(size), dest, (0, 0, 0, 0))
    assert pack_addressed(size, dest) == fields[: ADDRESSED.size]


def header_is_what_the_slot_says(slot: bytes) -> None:
    """Whatever a receive slot holds, the driver reads of it what the layout reads."""
    assert len(slot) == 64
    header = unpack_header(slot[HEADER.offset : HEADER.offset + HEADER.size])
    contents = unpack(PacketSlot, slot)
    assert header == Header(contents.pktlen, contents.dest, contents.src)


def header_comes_back(word: int, dest: int, src: int) -> None:
    """The driver reads the numbers that the card wrote."""
    assert _fit(32, word, dest, src)
    slot = pack(PacketSlot(HOST, word, (0, 0, 0, 0), dest, src))
    header = unpack_header(slot[HEADER.offset : HEADER.offset + HEADER.size])
    assert header == Header(word, dest, src)


def command_slot_comes_back(owner: int, kind: int, error: int, mask: int, address: int) -> None:
    """A command slot's contents survive memory."""
    assert _fit(8, owner, kind, error)
    assert _fit(32, mask, address)
    contents = CommandSlot(owner, kind, error, mask, address)
    assert unpack(CommandSlot, pack(contents)) == contents


def packet_slot_words_come_back(
    owner: int,
    word: int,
    length0: int,
    length1: int,
    length2: int,
    length3: int,
    dest: int,
    src: int,
) -> None:
    """A packet slot's bytes and 32-bit words survive memory."""
    assert _fit(8, owner)
    assert _fit(32, word, length0, length1, length2, length3, dest, src)
    contents = PacketSlot(owner, word, (length0, length1, length2, length3), dest, src)
    assert unpack(PacketSlot, pack(contents)) == contents


def packet_slot_pointers_come_back(
    pointer0: int, pointer1: int, pointer2: int, pointer3: int
) -> None:
    """A packet slot's pointers survive memory."""
    assert _fit(64, pointer0, pointer1, pointer2, pointer3)
    pointers = (pointer0, pointer1, pointer2, pointer3)
    contents = PacketSlot(HOST, 0, (0, 0, 0, 0), 0, 0, pointers)
    assert unpack(PacketSlot, pack(contents)) == contents


# Doorbells


def doorbell_comes_back(transmit: bool, index: int) -> None:
    """A doorbell names the ring and the slot that it was made of, on the largest ring too."""
    assert 0 <= index <= 4095
    ring = TRANSMIT_RING if transmit else COMMAND_RING
    assert split_doorbell(doorbell(ring, index)) == (ring, index)


def doorbell_of_a_usual_ring_comes_back(transmit: bool, slot_of_64: int) -> None:
    """A doorbell names the ring and the slot that it was made of, on a ring of 64 slots."""
    assert 0 <= slot_of_64 <= 63
    ring = TRANSMIT_RING if transmit else COMMAND_RING
    assert split_doorbell(doorbell(ring, slot_of_64)) == (ring, slot_of_64)


# Filters


def exact_filter_accepts_one_address(address: int, dest: int) -> None:
    """The filter of the card's own address lets through what is for it, and nothing else."""
    assert _fit(32, address, dest)
    accepted = filter_accepts(EXACT_MASK, address, dest)
    assert accepted == (address == dest)


def filter_of_2_bits_compares_bits(mask_of_2: int, address_of_2: int, dest_of_2: int) -> None:
    """In every two bits, a filter compares exactly those that its mask has set."""
    assert 0 <= mask_of_2 <= 3
    assert 0 <= address_of_2 <= 3
    assert 0 <= dest_of_2 <= 3
    _compares_bits(mask_of_2, address_of_2, dest_of_2, 2)


def filter_compares_bits(mask: int, address: int, dest: int) -> None:
    """A filter compares exactly those bits that its mask has set."""
    assert _fit(32, mask, address, dest)
    _compares_bits(mask, address, dest, 32)


def _compares_bits(mask: int, address: int, dest: int, bits: int) -> None:
    same = True
    for bit in range(bits):
        if mask >> bit & 1 and address >> bit & 1 != dest >> bit & 1:
            same = False
    assert filter_accepts(mask, address, dest) == same


def multicast_filter_is_accepted(low_mask: int, low_address: int) -> None:
    """With bit 31 set in both, every mask and every address make a filter."""
    assert _fit(31, low_mask, low_address)
    mask, address = low_mask + (1 << 31), low_address + (1 << 31)
    assert check_filter(mask, address) == (mask, address)


def other_filter_is_refused(any_mask: int, any_address: int) -> None:
    """Without bit 31 in both, or beyond 32 bits, nothing is a filter."""
    assert not (1 << 31 <= any_mask < 1 << 32 and 1 << 31 <= any_address < 1 << 32)
    try:
        check_filter(any_mask, any_address)
    except InvalidArgumentError:
        return
    raise AssertionError("it was accepted")


# Messages of the character device


def message_begins_with_its_header(src: int, dest: int, payload: bytes) -> None:
    """What a user reads is a header as the layout has it, and the payload behind it."""
    assert _fit(32, src, dest)
    assert len(payload) <= 4
    wanted = pack(UserHeader(src, dest, len(payload))) + payload
    assert message_of(Packet(src, dest, payload)) == wanted


def message_comes_back(src: int, dest: int, payload: bytes) -> None:
    """What a user reads may be written again: it goes to the same destination."""
    assert _fit(32, src, dest)
    assert len(payload) <= 4
    parsed = parse_message(message_of(Packet(src, dest, payload)))
    assert (parsed.destination, bytes(parsed.payload)) == (dest, payload)


def message_with_another_length_is_refused(src: int, word: int, payload: bytes) -> None:
    """A header that does not name the payload's length is not believed."""
    assert _fit(32, src, word)
    assert len(payload) <= 4
    assert word != len(payload)
    try:
        parse_message(pack(UserHeader(src, src, word)) + payload)
    except InvalidArgumentError:
        return
    raise AssertionError("it was accepted")


def message_without_header_is_refused(start: bytes) -> None:
    """What is shorter than a header is no message."""
    assert len(start) <= 15
    try:
        parse_message(start)
    except InvalidArgumentError:
        return
    raise AssertionError("it was accepted")


# The table

SPELT_OUT: Final = "the error's message spells the number out, so each number is a path of its own"
BIT_BY_BIT: Final = "& and | of two symbols have no symbolic form: each pair is a path of its own"
ONE_BY_ONE: Final = "| has no symbolic form: each of the 8192 doorbells is a path of its own"
CAST: Final = "memoryview.cast has no symbolic form: each sequence of bytes is a path of its own"
EIGHT_BYTES: Final = "eight bytes taken from one number, put together again, overtax the solver"


@attrs.frozen
class Contract:
    """A contract, and what is known of how it can be checked.

    Attributes:
        function: The contract.
        obstacle: Why CrossHair cannot confirm it; None if it does.
    """

    function: Callable[..., None]
    obstacle: str | None = None

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def meaning(self) -> str:
        """What it says, in a sentence."""
        return (self.function.__doc__ or "").partition("\n")[0]


CONTRACTS: Final = (
    Contract(index_stays_on_the_ring),
    Contract(index_walks_one_by_one),
    Contract(index_starts_at_slot_0),
    Contract(split_covers_the_payload),
    Contract(split_leaves_no_gap),
    Contract(payload_that_fits_is_accepted),
    Contract(payload_too_long_is_refused, SPELT_OUT),
    Contract(received_length_that_fits_is_accepted),
    Contract(received_length_beyond_is_refused, SPELT_OUT),
    Contract(answer_means_what_the_datasheet_says),
    Contract(fields_are_the_slot_behind_its_header),
    Contract(addressed_is_where_the_fields_begin),
    Contract(header_is_what_the_slot_says),
    Contract(header_comes_back),
    Contract(command_slot_comes_back),
    Contract(packet_slot_words_come_back),
    Contract(packet_slot_pointers_come_back, EIGHT_BYTES),
    Contract(doorbell_of_a_usual_ring_comes_back),
    Contract(doorbell_comes_back, ONE_BY_ONE),
    Contract(exact_filter_accepts_one_address),
    Contract(filter_of_2_bits_compares_bits),
    Contract(filter_compares_bits, BIT_BY_BIT),
    Contract(multicast_filter_is_accepted, BIT_BY_BIT),
    Contract(other_filter_is_refused, SPELT_OUT),
    Contract(message_begins_with_its_header),
    Contract(message_comes_back, CAST),
    Contract(message_with_another_length_is_refused, CAST),
    Contract(message_without_header_is_refused, CAST),
)
"""Every contract."""
