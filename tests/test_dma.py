"""DMA memory is given back only with evidence that the card is done with it."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.dma import PacketMemory, ResetFinished, StopCompleted, command_ring
from impl.memory import Purpose
from impl.request import Request
from model.layout import LIMITS

SLOTS = 4
PURPOSES = [
    Purpose.TRANSMIT_RING,
    Purpose.TRANSMIT_BUFFERS,
    Purpose.RECEIVE_RING,
    Purpose.RECEIVE_BUFFERS,
]
slot_counts = st.integers(0, LIMITS.max_shift).map(lambda shift: 1 << shift)


@attrs.frozen(eq=False)
class Region:
    size: int
    purpose: Purpose


class Memory:
    """The part of a device that memory comes from; it keeps a record."""

    def __init__(self, room=100, error=None):
        self.room = room
        self.error = error
        self.said = []

    def allocate(self, size, purpose):
        if not self.room:
            raise self.error
        self.room -= 1
        region = Region(size, purpose)
        self.said.append(("allocate", region))
        return region

    def free(self, region):
        self.said.append(("free", region))

    def fence(self):
        self.said.append(("fence", None))

    def regions(self, word):
        return [region for said, region in self.said if said == word]


def answered(result=0, done=True):
    return Request(done=done, result=result)


@given(slot_counts)
def test_each_slot_has_its_bytes_and_four_pages(slots):
    memory = Memory()
    PacketMemory(memory, slots)
    sizes = [(region.purpose, region.size) for region in memory.regions("allocate")]
    assert sizes == list(zip(PURPOSES, [64 * slots, 16384 * slots] * 2, strict=True))


@given(slot_counts)
def test_the_command_ring_has_32_bytes_a_slot(slots):
    region = command_ring(Memory(), slots)
    assert (region.purpose, region.size) == (Purpose.COMMAND_RING, 32 * slots)


@pytest.mark.parametrize("evidence", [StopCompleted(answered()), ResetFinished(0)], ids=str)
def test_with_evidence_all_of_it_is_freed_once_stores_have_arrived(evidence):
    memory = Memory()
    packets = PacketMemory(memory, SLOTS)
    del memory.said[4:]
    packets.free(evidence)
    assert memory.said[4] == ("fence", None)
    assert set(memory.regions("free")) == set(memory.regions("allocate"))
    assert len(memory.regions("free")) == 4


def test_nothing_is_freed_twice():
    memory = Memory()
    packets = PacketMemory(memory, SLOTS)
    packets.free(ResetFinished(0))
    packets.free(StopCompleted(answered()))
    assert len(memory.regions("free")) == 4


@pytest.mark.parametrize("evidence", [None, object(), Request(done=True), True], ids=type)
def test_without_evidence_nothing_is_freed(evidence):
    memory = Memory()
    packets = PacketMemory(memory, SLOTS)
    with pytest.raises(TypeError):
        packets.free(evidence)
    assert memory.regions("free") == []


@given(st.integers(1, 0xFFFF_FFFF))
def test_a_reset_that_is_not_over_is_no_evidence(flags):
    with pytest.raises(ValueError) as caught:
        ResetFinished(flags)
    expected = f"the reset is not over (FLAGS {flags:#x}): the card may still write"
    assert str(caught.value) == expected


@given(st.integers(0, 255), st.booleans())
def test_a_stop_is_evidence_only_if_the_card_returned_it_without_error(result, done):
    request = answered(result, done)
    if done and not result:
        assert StopCompleted(request).request is request
    else:
        with pytest.raises(ValueError) as caught:
            StopCompleted(request)
        assert str(caught.value) == f"the card did not stop ({request}): it may still write"


def test_evidence_stays_what_it_is():
    for evidence, name in ((ResetFinished(0), "flags"), (StopCompleted(answered()), "request")):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(evidence, name, 1)


@pytest.mark.parametrize("room", range(4))
@pytest.mark.parametrize("error", [OSError(12, "no memory"), KeyboardInterrupt()], ids=repr)
def test_an_allocation_that_ends_half_way_leaves_nothing_behind(room, error):
    memory = Memory(room, error)
    with pytest.raises(type(error)) as caught:
        PacketMemory(memory, SLOTS)
    assert caught.value is error
    assert memory.regions("free") == memory.regions("allocate")[::-1]
    assert len(memory.regions("free")) == room
