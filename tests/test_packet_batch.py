"""Batches in arrays of the caller's: what goes in comes out, and what is wrong is refused first."""

import itertools
import threading
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.memory_card import OWN, SENDER, MemoryCard
from emulator.backend import Laboratory
from impl.attach import Attachment, Attachments
from impl.controller import NO_WAIT
from impl.datapath.loader import PYTHON, Datapath, KernelError, load
from impl.driver import DuctDriver, PacketBatch
from impl.errors import (
    CardError,
    ClosedError,
    InvalidArgumentError,
    PacketTooLongError,
    WouldBlockError,
)
from impl.memory import Purpose
from impl.settings import Settings
from impl.threads import ThreadRuntime
from model.layout import ECHO, LIMITS, PACKET_SLOT
from properties.simulation.arrays import room_for, sendable, taken

ROOM = PacketBatch.ROOM
PATIENCE = 30


def paths():
    yield pytest.param(PYTHON, id="Python")
    try:
        yield pytest.param(Datapath("C kernel", load("_real")), id="kernel")
    except KernelError:
        yield pytest.param(None, id="kernel", marks=pytest.mark.skip("the C kernel is not built"))


@pytest.fixture(params=paths())
def datapath(request):
    return request.param


@pytest.fixture
def card():
    return MemoryCard()


@pytest.fixture
def attachment(card, datapath):
    attachment = Attachment.to(card, ThreadRuntime(), Settings(ring_shift=3), datapath)
    yield attachment
    attachment.detach()


@pytest.fixture
def controller(attachment):
    return attachment.controller


@pytest.fixture
def duct(card, attachment):
    with DuctDriver(attachment) as duct:
        yield duct
        card.sends()
        serve(attachment.controller)


def serve(controller):
    """What the interrupt has the driver do."""
    controller.runtime.lock()
    controller.serve_events()
    controller.runtime.unlock()


# What goes in comes out


PACKETS = st.lists(
    st.tuples(st.integers(0, 0xFFFF_FFFF), st.sampled_from([0, 1, 63, 4096, 4097, ROOM])),
    min_size=1,
    max_size=8,
)


@given(packets=PACKETS, paths=st.sampled_from([path.values[0] for path in paths()]))
def test_a_batch_in_arrays_leaves_memory_as_one_of_objects_does(packets, paths):
    batch = [(to, bytes([number + 1]) * size) for number, (to, size) in enumerate(packets)]
    left = []
    for arrays in (False, True):
        card = MemoryCard()
        attachment = Attachment.to(card, ThreadRuntime(), Settings(ring_shift=3), paths or PYTHON)
        with DuctDriver(attachment) as duct:
            if arrays:
                assert duct.send_from(sendable(batch), blocking=False) == len(batch)
            else:
                assert duct.send_batch(batch, blocking=False) == len(batch)
            contents = card.contents()
            left.append((card.doorbell, contents[Purpose.TRANSMIT_RING]))
            left[-1] += (contents[Purpose.TRANSMIT_BUFFERS],)
            card.sends()
            serve(attachment.controller)
        attachment.detach()
    assert left[0] == left[1]


@pytest.mark.parametrize("most", [None, 1, 3, 5])
def test_packets_are_received_as_they_came_and_no_more_than_were_wanted(card, duct, most):
    card.receives(3, 5)
    batch = room_for(5)
    got = duct.receive_into(batch, most)
    assert got == batch.filled == min(3, most or 5)
    assert [(p.source, p.destination, len(p.payload)) for p in taken(batch)] == [
        (SENDER, OWN, 5)
    ] * got
    if got < 3:
        assert duct.receive_into(batch) == 3 - got
    with pytest.raises(WouldBlockError):
        duct.receive_into(batch, blocking=False)
    assert batch.filled == 0


def test_packets_come_back_from_the_echo_service_through_arrays(datapath, monkeypatch):
    monkeypatch.setenv("DUCT_KERNEL", "off" if datapath is PYTHON else "on")
    laboratory = Laboratory()
    attachments = Attachments(lambda: {"emulated": laboratory.open})
    sizes = [0, 1, 2, 4095, 4096, 4097, 16383, 16384]
    payloads = [bytes([size % 251]) * size for size in sizes]
    with DuctDriver.open("emulated:", attachments=attachments) as duct:
        assert duct.send_from(sendable([(ECHO.address, p) for p in payloads])) == 8
        packets = []
        batch = room_for(5)
        while len(packets) < len(sizes):
            duct.receive_into(batch, timeout=PATIENCE)
            packets += taken(batch)
    laboratory.power_off()
    assert [packet.payload for packet in packets] == payloads


@pytest.mark.parametrize("monitor", [False, True])
def test_packets_are_forwarded_to_where_they_go(monitor):
    laboratory = Laboratory()
    attachments = Attachments(lambda: {"emulated": laboratory.open})
    batch = room_for(4)
    with DuctDriver.open("emulated:", monitor=monitor, attachments=attachments) as duct:
        duct.send_batch([(ECHO.address, b"1"), (ECHO.address, b"22")])
        forwarded = 0
        while forwarded < 2:
            # They are for this card: so they come back once more, from itself.
            forwarded += duct.forward(batch, duct, timeout=PATIENCE)
        assert not monitor or not duct.watch.finding
    laboratory.power_off()


def test_a_card_that_is_full_forwards_nothing_and_says_so(card, duct):
    for _ in range(8):
        duct.send(1, b"", blocking=False)
    card.receives(2, 1)
    batch = room_for(4)
    assert duct.forward(batch, duct) == 0
    assert batch.filled == 2


def test_an_empty_batch_is_sent_at_once(card, duct):
    batch = sendable([(1, b"x")])
    batch.filled = 0
    assert duct.send_from(batch) == 0
    assert duct.send_batch([]) == duct.send_batch([], blocking=False) == 0
    assert card.sends() == 0


def test_a_batch_without_addresses_takes_packets_all_the_same(card, duct):
    card.receives(1, 3)
    payloads = bytearray(ROOM)
    batch = PacketBatch(payloads, array("Q", [0]), array("I", [0]))
    assert duct.receive_into(batch) == 1
    assert batch.lengths[0] == 3


def test_an_error_behind_the_first_packet_is_raised_by_the_next_call(card, duct):
    card.receives(1, 1)
    card.receives(1, LIMITS.max_packet + 1)
    card.receives(1, 2)
    batch = room_for(4)
    assert duct.receive_into(batch) == 1
    with pytest.raises(CardError):
        duct.receive_into(batch)
    assert duct.receive_into(batch) == 1
    assert batch.lengths[0] == 2


# What is wrong is refused before the card sees anything


def parts(**changed):
    known = {
        "payloads": bytearray(2 * ROOM),
        "offsets": array("Q", [0, ROOM]),
        "lengths": array("I", [0, 0]),
        "destinations": array("I", [1, 1]),
        "sources": array("I", [0, 0]),
    } | changed
    payloads, offsets, lengths = (known.pop(name) for name in ("payloads", "offsets", "lengths"))
    return PacketBatch(payloads, offsets, lengths, **known)


WRONG = [
    ("payloads", array("I", [0]), InvalidArgumentError, "payloads are unsigned numbers of 8 bits"),
    ("payloads", memoryview(bytes(64))[::2], InvalidArgumentError, "contiguous"),
    ("payloads", memoryview(bytes(64)).cast("B", (8, 8)), InvalidArgumentError, "one dimension"),
    ("payloads", "text", TypeError, "the payloads are an array, not str"),
    ("offsets", array("I", [0, 1]), InvalidArgumentError, "offsets are unsigned numbers of 64"),
    ("offsets", array("q", [0, 1]), InvalidArgumentError, "in format 'q'"),
    ("offsets", array("d", [0, 1]), InvalidArgumentError, "in format 'd'"),
    ("offsets", array("Q"), InvalidArgumentError, "there are 0 offsets, and 2 lengths"),
    ("lengths", array("Q", [0, 1]), InvalidArgumentError, "lengths are unsigned numbers of 32"),
    ("lengths", array("f", [0, 1]), InvalidArgumentError, "in format 'f'"),
    ("lengths", array("I", [0] * 3), InvalidArgumentError, "there are 2 offsets, and 3 lengths"),
    ("lengths", None, TypeError, "the lengths are an array, not NoneType"),
    ("destinations", array("I", [0]), InvalidArgumentError, "and 1 destinations"),
    ("destinations", array("i", [0, 1]), InvalidArgumentError, "in format 'i'"),
    ("sources", array("I", [0]), InvalidArgumentError, "and 1 sources"),
    ("sources", [1, 2], TypeError, "the sources are an array, not list"),
]


@pytest.mark.parametrize(("name", "array", "error", "message"), WRONG)
def test_an_array_that_is_wrong_is_refused_when_it_is_bound(name, array, error, message):
    with pytest.raises(error, match=message):
        parts(**{name: array})


def test_of_several_arrays_that_are_wrong_the_first_is_named():
    names = ("payloads", "offsets", "lengths", "destinations", "sources")
    for number, name in enumerate(names):
        with pytest.raises(TypeError, match=f"the {name} are an array, not object"):
            parts(**dict.fromkeys(names[number:], object()))


def test_the_sources_are_as_many_as_the_offsets_also_where_there_are_no_destinations():
    with pytest.raises(InvalidArgumentError, match="there are 2 offsets, and 1 sources"):
        parts(destinations=None, sources=array("I", [0]))


def test_a_batch_is_empty_at_first():
    assert (parts().filled, len(parts())) == (0, 0)


def test_a_batch_without_room_for_a_packet_is_refused():
    with pytest.raises(InvalidArgumentError, match="1 packet or more"):
        PacketBatch(b"", array("Q"), array("I"))


@pytest.mark.parametrize("filled", [-1, 3])
def test_a_batch_holds_no_more_packets_than_its_arrays_have_items(filled):
    batch = parts()
    with pytest.raises(InvalidArgumentError, match=f"no {filled} packets"):
        batch.filled = filled


def untouched(card, duct):
    """Nothing was sent, and no packet was taken."""
    return card.sends() == 0 and duct.poll().next_length == 1


RECEIVING = [
    ({"offsets": array("Q", [0, ROOM + 1])}, None, "packet 1 has no room"),
    ({"offsets": array("Q", [ROOM, ROOM + 1])}, None, "packet 1 has no room"),
    ({"offsets": array("Q", [(1 << 64) - 1, 0])}, None, "packet 0 has no room"),
    ({"payloads": bytearray(ROOM - 1)}, 1, "packet 0 has no room"),
    ({"payloads": bytes(2 * ROOM)}, None, "payloads of the batch cannot be written"),
    ({"lengths": memoryview(bytes(8)).cast("I")}, None, "lengths of the batch cannot be written"),
    ({"sources": memoryview(bytes(8)).cast("I")}, None, "sources of the batch cannot be written"),
    ({"destinations": memoryview(bytes(8)).cast("I")}, None, "destinations of the batch cannot"),
    ({}, 0, "has no room for 0"),
    ({}, 3, "has no room for 3"),
]


@pytest.mark.parametrize(("changed", "most", "message"), RECEIVING)
def test_a_batch_that_cannot_take_packets_is_refused_and_none_is_taken(
    card, duct, changed, most, message
):
    card.receives(1, 1)
    batch = parts(**changed)
    with pytest.raises(InvalidArgumentError, match=message):
        duct.receive_into(batch, most)
    assert untouched(card, duct)


def test_a_batch_that_was_refused_is_in_use_no_more(card, duct):
    card.receives(1, 1)
    batch = parts(offsets=array("Q", [0, ROOM + 1]))
    with pytest.raises(InvalidArgumentError, match="packet 1 has no room"):
        duct.receive_into(batch)
    batch.offsets[1] = ROOM
    assert duct.receive_into(batch) == 1


def test_only_the_packets_that_are_wanted_need_room(card, duct):
    card.receives(2, 1)
    batch = parts(offsets=array("Q", [0, 1 << 63]))
    assert duct.receive_into(batch, 1) == 1


SENDING = [
    ({"lengths": array("I", [1, ROOM + 1])}, PacketTooLongError, "packet 1 has 16385"),
    ({"lengths": array("I", [ROOM + 1, 1])}, PacketTooLongError, "packet 0 has 16385"),
    ({"offsets": array("Q", [0, 2 * ROOM])}, InvalidArgumentError, "packet 1, 1 bytes"),
    ({"offsets": array("Q", [(1 << 64) - 1, 0])}, InvalidArgumentError, "packet 0, 1 bytes"),
    ({"payloads": b""}, InvalidArgumentError, "not within the 0 bytes"),
    ({"destinations": None}, InvalidArgumentError, "without destinations"),
]


@pytest.mark.parametrize(("changed", "error", "message"), SENDING)
def test_a_batch_that_cannot_be_sent_is_refused_and_none_of_it_is_sent(
    card, duct, changed, error, message
):
    card.receives(1, 1)
    batch = parts(**{"lengths": array("I", [1, 1]), **changed})
    batch.filled = 2
    with pytest.raises(error, match=message):
        duct.send_from(batch, blocking=False)
    assert untouched(card, duct)
    # It is not in use any more.
    batch.filled = 0
    assert batch.destinations is None or duct.send_from(batch) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda duct, batch: duct.receive_into(batch),
        lambda duct, batch: duct.send_from(batch, blocking=False),
        lambda duct, batch: duct.forward(batch, duct),
    ],
)
@pytest.mark.parametrize("batch", [None, [], [(1, b"")], b"bytes"])
def test_what_is_no_batch_is_refused_by_name(card, duct, call, batch):
    card.receives(1, 1)
    with pytest.raises(TypeError, match=f"are a PacketBatch, not {type(batch).__name__}"):
        call(duct, batch)
    assert untouched(card, duct)


def test_a_batch_is_forwarded_only_where_it_has_destinations(card, duct):
    card.receives(1, 1)
    with pytest.raises(InvalidArgumentError, match="without destinations"):
        duct.forward(parts(destinations=None), duct)
    assert untouched(card, duct)


def test_two_calls_do_not_use_one_batch_at_once(card, controller, duct):
    batch = parts()
    batch.filled = 1
    waiting = threading.Thread(target=lambda: duct.receive_into(batch, timeout=PATIENCE))
    waiting.start()
    while not controller.receive.waiters:
        pass
    for call in (lambda: duct.send_from(batch), lambda: duct.receive_into(batch, blocking=False)):
        with pytest.raises(InvalidArgumentError, match="in use by another call"):
            call()
    card.receives(1, 1)
    serve(controller)
    waiting.join(PATIENCE)
    assert batch.filled == 1


def test_arrays_that_change_while_a_call_is_under_way_reach_nothing_else(card, controller, duct):
    batch = sendable([(1, b"first"), (1, b"second")])
    batch.begin_to_send(None)
    batch.offsets[1] = 1 << 62
    with pytest.raises((ValueError, InvalidArgumentError)):
        controller.transmit.produce(batch, 1, None)
    assert card.sends() == 0
    batch = room_for(1)
    batch.begin_to_fill(1, None)
    batch.offsets[0] = 1 << 62
    card.receives(1, 4)
    with pytest.raises((ValueError, IndexError)):
        controller.receive_packets(batch, 1, NO_WAIT)
    assert batch.filled == 0
    # The slot is not lost.
    for _ in range(3):
        card.receives(8, 1)
        assert duct.receive_into(room_for(8)) == 8


def test_a_driver_that_is_closed_takes_no_batch(attachment):
    duct = DuctDriver(attachment)
    duct.close()
    batch = parts()
    for call in (duct.receive_into, duct.send_from):
        with pytest.raises(ClosedError):
            call(batch)
    batch.begin_to_fill(1, None)


# As a sequence


@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=6), filled=st.integers(0, 6))
def test_a_batch_is_the_sequence_of_its_packets(sizes, filled):
    packets = [(number, bytes([number]) * size) for number, size in enumerate(sizes)]
    batch = sendable(packets)
    batch.filled = min(filled, len(packets))
    assert len(batch) == batch.filled
    told = [(item.destination, b"".join(item.buffers), item.size) for item in batch]
    assert told == [(to, data, len(data)) for to, data in packets[: batch.filled]]
    for begin, end in itertools.combinations(range(len(packets) + 1), 2):
        assert [item.destination for item in batch[begin:end]] == [
            item[0] for item in told[begin:end]
        ]
    with pytest.raises(IndexError):
        batch[batch.filled]


def test_an_array_cannot_be_resized_while_it_is_bound():
    offsets = array("Q", [0])
    batch = PacketBatch(bytearray(ROOM), offsets, array("I", [0]))
    with pytest.raises(BufferError):
        offsets.append(1)
    assert batch.capacity == 1


def test_a_slot_is_as_wide_as_the_packets_of_a_batch():
    assert PACKET_SLOT["pktlen"].size == array("I").itemsize
    assert array("Q").itemsize == 8
