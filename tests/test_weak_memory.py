"""Memory under test is as weak as the datasheet allows, and no weaker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.memory import Purpose
from judge.words import Piece, StrayAccessError
from model.layout import COMMAND_SLOT, PACKET_SLOT
from properties.simulation.weak_memory import WeakMemory, pieces

STORES = st.lists(
    st.tuples(st.integers(0, 12), st.binary(min_size=1, max_size=4), st.booleans()),
    max_size=12,
)


def issue(memory, region, stores):
    """Issue stores of (offset, data, barrier before it?); returns them."""
    issued, barrier = [], ()
    for offset, data, after_barrier in stores:
        if after_barrier:
            barrier = memory.pending_of(0)
        piece = Piece((f"word {offset}",), 0, offset, len(data))
        issued.append(memory.store(region, piece, data, 0, barrier))
    return issued


@given(STORES)
def test_the_host_sees_its_own_stores_in_program_order(stores):
    memory = WeakMemory(b"\0")
    region = memory.allocate(16, Purpose.TRANSMIT_RING)
    issue(memory, region, stores)
    expected = bytearray(16)
    for offset, data, _ in stores:
        expected[offset : offset + len(data)] = data
    assert memory.host_view(region, 0, 16) == bytes(expected)
    assert region.visible == bytes(16)


@given(STORES, st.randoms(use_true_random=False))
def test_whatever_the_order_of_becoming_visible_all_stores_arrive(stores, source):
    memory = WeakMemory(b"\0")
    region = memory.allocate(16, Purpose.TRANSMIT_RING)
    issue(memory, region, stores)
    expected = memory.host_view(region, 0, 16)
    while memory.pending:
        ready = [store for store in memory.pending if store.ready()]
        assert ready, "some store may always become visible"
        memory.make_visible(source.choice(ready))
        assert memory.host_view(region, 0, 16) == expected
    assert bytes(region.visible) == expected


@given(STORES)
def test_no_store_passes_a_barrier(stores):
    memory = WeakMemory(b"\0")
    region = memory.allocate(16, Purpose.TRANSMIT_RING)
    issued = issue(memory, region, stores)
    for position, (store, (_, _, after_barrier)) in enumerate(zip(issued, stores, strict=True)):
        if after_barrier:
            assert set(issued[:position]) <= set(store.after)


def test_without_a_barrier_a_later_store_may_become_visible_first():
    memory = WeakMemory(b"\0")
    region = memory.allocate(16, Purpose.TRANSMIT_RING)
    _, second = issue(memory, region, [(0, b"a", False), (1, b"b", False)])
    assert second.ready()


def test_memory_that_was_freed_is_out_of_reach():
    memory = WeakMemory(b"\0")
    region = memory.allocate(16, Purpose.TRANSMIT_RING)
    assert memory.find(region.bus + 15, 1) == (region, 15)
    assert memory.find(region.bus + 15, 2) is None
    memory.free(region)
    assert memory.find(region.bus, 1) is None
    with pytest.raises(StrayAccessError) as error:
        list(pieces(region, 0, 1, stores=False, payload=0))
    assert str(error.value) == "access to the transmit ring, which was freed"


@given(st.integers(1, 16384), st.data())
def test_a_payload_has_an_early_and_a_late_half(size, data):
    memory = WeakMemory(b"\0")
    region = memory.allocate(4 * 16384, Purpose.TRANSMIT_BUFFERS)
    slot = data.draw(st.integers(0, 3))
    first = data.draw(st.integers(0, size - 1))
    parts = list(pieces(region, slot * 16384 + first, size - first, stores=True, payload=size))
    assert sum(part.size for part in parts) == size - first
    assert parts[-1].words[-1] == "tx.last_word"
    assert all(part.slot == slot for part in parts)
    for part in parts:
        begins = part.offset - slot * 16384
        assert ("tx.first_word" in part.words) == (begins < (size + 1) // 2)


@pytest.mark.parametrize(
    ("purpose", "offset", "size", "stores", "message"),
    [
        (Purpose.RECEIVE_RING, 64, 4, True, "store to bytes 0 to 3 of slot 1 of the receive ring"),
        (Purpose.RECEIVE_RING, 32, 8, False, "load from bytes 32 to 39 of slot 0 of the receive"),
        (Purpose.COMMAND_RING, 3, 1, False, "load from bytes 3 to 3 of slot 0 of the command ring"),
        (Purpose.TRANSMIT_RING, 60, 8, True, "an access to the transmit ring goes beyond slot 0"),
        (Purpose.TRANSMIT_BUFFERS, 0, 1, False, "the host writes only transmit buffers"),
        (Purpose.RECEIVE_BUFFERS, 90, 20, False, "bytes 90 to 109 of the buffers of slot 0, but"),
    ],
)
def test_an_access_that_is_no_word_of_a_slot_is_found(purpose, offset, size, stores, message):
    memory = WeakMemory(b"\0")
    region = memory.allocate(1 << 16, purpose)
    with pytest.raises(StrayAccessError) as error:
        list(pieces(region, offset, size, stores=stores, payload=100))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("purpose", "offset", "size", "stores", "word"),
    [
        (Purpose.COMMAND_RING, COMMAND_SLOT.size, 1, False, "cmd.owner"),
        (Purpose.COMMAND_RING, COMMAND_SLOT["error"].offset, 1, False, "cmd.status"),
        (Purpose.COMMAND_RING, 1, 31, True, "cmd.fields"),
        (Purpose.TRANSMIT_RING, PACKET_SLOT["length"].offset, 56, True, "tx.fields"),
        (Purpose.RECEIVE_RING, PACKET_SLOT["length"].offset, 56, True, "rx.pointer"),
        (Purpose.RECEIVE_RING, PACKET_SLOT["pktlen"].offset, 28, False, "rx.header"),
        (Purpose.RECEIVE_RING, 0, 1, True, "rx.owner"),
    ],
)
def test_a_word_of_a_slot_has_its_name(purpose, offset, size, stores, word):
    memory = WeakMemory(b"\0")
    region = memory.allocate(4096, purpose)
    (piece,) = pieces(region, offset, size, stores=stores, payload=0)
    assert piece.words == (word,)
