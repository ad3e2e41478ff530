"""The emulated card at its edges: before it is opened, after it is closed, at every limit."""

import threading
import time
from array import array

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator import backend, memory
from emulator import running as running_card
from emulator.backend import DEFAULT_HWADDR
from emulator.behaviour import Behaviour
from emulator.buffers import first_half
from emulator.bus import BusError
from emulator.card import Card
from emulator.card_state import FatalError
from emulator.command import UNKNOWN_COMMAND
from emulator.counters import Counters
from emulator.memory import AddressSpace
from emulator.net import Ductnet
from emulator.packet import NetPacket
from emulator.running import RunningCard
from impl.memory import Purpose
from model.layout import (
    DBELL,
    ECHO,
    EVFLAGS,
    FLAGS,
    FLTR,
    QUOTE,
    RECEIVE_RING,
    RST,
    RXBASE,
    RXSHIFT,
    TRANSMIT_RING,
    TXBASE,
    TXSHIFT,
    UNICAST,
    Command,
    CommandSlot,
    Owner,
    doorbell,
)
from tests.host import EVENT, PAGE, SLOTS, Host, interrupts_for

# How a card may be

LOWEST = {
    "interrupt_delay": 0.0,
    "merge": 1,
    "spurious_every": 0,
    "refuse_filters": 0,
    "queue": 0,
}


@pytest.mark.parametrize(("name", "lowest"), LOWEST.items())
def test_what_a_card_cannot_be_like_is_refused(name, lowest):
    assert getattr(Behaviour(**{name: lowest}), name) == lowest
    with pytest.raises(ValueError, match=name):
        Behaviour(**{name: lowest - 1})


def test_a_refusal_is_a_byte():
    assert Behaviour(refuse_filters=0xFF).refuse_filters == 0xFF
    with pytest.raises(ValueError, match="refuse_filters"):
        Behaviour(refuse_filters=0x100)


def test_a_card_obeys_and_is_prompt_if_nothing_else_is_said():
    assert attrs.asdict(Behaviour()) == LOWEST | {
        "queue": 256,
        "finish_at_stop": False,
        "look_ahead": False,
        "seed": 0,
    }


# Before it is opened


@pytest.fixture
def unopened():
    cards = []

    def make(**options):
        net, counters = Ductnet(), Counters()
        card = RunningCard(
            AddressSpace(counters), net, hwaddr=DEFAULT_HWADDR, counters=counters, **options
        )
        cards.append(card)
        return card

    yield make
    for card in cards:
        card.power_off()


def test_a_card_that_nobody_opened_reaches_no_memory(unopened):
    running = unopened()
    assert not running.card.bus_master
    running.stand_still()
    running.go_on()
    assert not running.card.bus_master


def test_a_card_that_nobody_opened_can_fail_and_tells_nobody(unopened):
    running = unopened()
    running.fail()
    assert running.counters.interrupts == 0
    assert not running.silent


def test_a_card_is_as_it_was_made(unopened):
    temper = Behaviour(refuse_filters=3, merge=2)
    running = unopened(behaviour=temper)
    assert running.behaviour == temper
    assert running.card.refuse_filters == 3


def test_a_card_counts_where_it_is_told_to_or_for_itself(unopened):
    counters = Counters()
    with_some = RunningCard(AddressSpace(), Ductnet(), hwaddr=1, counters=counters)
    without = RunningCard(AddressSpace(), Ductnet(), hwaddr=1)
    for running in (with_some, without):
        running.read(FLAGS)
        running.power_off()
    assert counters.register_reads == without.counters.register_reads == 1


def test_a_card_does_not_keep_its_process_from_ending(unopened):
    before = set(threading.enumerate())
    unopened()
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon


@pytest.mark.parametrize("vector", ["vector0", "vector1"])
def test_what_was_raised_before_a_card_is_opened_is_forgotten(laboratory, vector):
    with laboratory.card().held() as card:
        setattr(card, vector, True)
    device = laboratory.open()
    device.enable_bus_master()
    assert device.counters.interrupts == 0


# Opened and closed


@pytest.mark.parametrize(
    "word",
    [
        lambda device: device.write(DBELL, 0),
        lambda device: device.enable_bus_master(),
    ],
)
def test_a_closed_device_does_not_reach_the_card(laboratory, word):
    device = laboratory.open("x")
    device.close()
    with pytest.raises(OSError, match="emulated:x was closed"):
        word(device)
    card = laboratory.card("x").card
    assert not card.bus_master
    assert card.read(FLAGS) == 0


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (ECHO.address, ECHO.address + 1),
        (QUOTE.address, QUOTE.address + 1),
        (DEFAULT_HWADDR, DEFAULT_HWADDR + 1),
        (UNICAST, UNICAST),
    ],
)
def test_an_address_that_is_taken_is_not_given_again(laboratory, monkeypatch, wanted, given):
    monkeypatch.setattr(backend.zlib, "crc32", lambda _: wanted)
    assert laboratory.card("a").card.hwaddr == given
    assert laboratory.card("b").card.hwaddr == given + 1 & UNICAST


def test_without_power_devices_are_closed_and_cards_forgotten(laboratory):
    device, card = laboratory.open("x"), laboratory.card("x")
    laboratory.power_off()
    with pytest.raises(OSError, match="emulated:x was closed"):
        device.read(FLAGS)
    assert laboratory.card("x") is not card


def test_a_card_that_waits_for_bus_mastering_goes_on_with_it(laboratory):
    host = Host(laboratory.open()).start()
    running = laboratory.card()
    running.set_bus_master(False)
    index = host.send(ECHO.address, b"hello")
    assert running.wait_until_idle()
    assert host.owner(TRANSMIT_RING, index) == Owner.DEVICE
    running.set_bus_master(True)
    assert running.wait_until_idle()
    assert host.owner(TRANSMIT_RING, index) == Owner.HOST


@pytest.mark.parametrize("delay", [0, 0.001])
def test_a_card_that_waits_to_interrupt_may_be_told_to_hurry(laboratory, delay):
    running = laboratory.card()
    running.behaviour = Behaviour(interrupt_delay=1000)
    host = Host(laboratory.open())
    host.submit(Command.FLUSHFILT)
    assert not running.wait_until_idle(timeout=0.1)
    running.behaviour = Behaviour(interrupt_delay=delay)
    assert running.wait_until_idle()
    assert host.device.counters.interrupts == 1


def test_what_is_raised_while_a_card_is_held_is_told_afterwards(laboratory):
    device = laboratory.open()
    device.enable_bus_master()
    with laboratory.card().held() as card:
        assert card.spurious()
        assert device.counters.interrupts == 0
    assert device.counters.interrupts == 1
    assert device.wait_for_interrupt(EVENT)


def test_only_what_a_filter_accepts_can_be_lost(laboratory):
    host = Host(laboratory.open()).start()
    running = laboratory.card()
    running.behaviour = Behaviour(queue=0)
    laboratory.net.send(NetPacket(DEFAULT_HWADDR + 1, 1))
    assert host.device.counters.lost == 0
    laboratory.net.send(NetPacket(DEFAULT_HWADDR, 1))
    assert host.device.counters.lost == 1
    running.power_off()
    laboratory.net.send(NetPacket(DEFAULT_HWADDR, 1))
    assert host.device.counters.lost == 1


# What a card does next


@pytest.mark.parametrize(("merge", "interrupts"), [(1, 8), (2, 5), (3, 3), (4, 3), (8, 2), (9, 1)])
def test_so_many_completions_share_an_interrupt(laboratory, merge, interrupts):
    """An event bit that is set behind the interrupt takes another one."""
    host = Host(laboratory.open()).start()
    running = laboratory.card()
    assert running.wait_until_idle()
    running.behaviour = Behaviour(merge=merge)
    assert interrupts_for(host, running, 8) == interrupts


def test_each_interrupt_is_delayed_also_one_that_is_due_as_another_is_raised(laboratory):
    """The clock of the first is over by then, and says nothing of the second."""
    host = Host(laboratory.open()).start()
    running = laboratory.card()
    assert running.wait_until_idle()
    running.behaviour = Behaviour(interrupt_delay=0.05)
    raised = []

    def another_is_due(raise_vector):
        raise_vector()
        raised.append(time.monotonic())
        if len(raised) == 1:
            running.card.rx.set_event()

    running.card.step("card.raise_vector0").around(another_is_due)
    host.send(0x99)
    while len(raised) < 2:
        time.sleep(0.001)
    first, second = raised
    assert second - first >= 0.05


@pytest.mark.parametrize("looks", [True, False])
def test_a_card_looks_ahead_only_if_it_is_told_to(laboratory, looks):
    host = Host(laboratory.open()).start()
    running = laboratory.card()
    assert running.wait_until_idle()
    running.behaviour = Behaviour(look_ahead=looks)
    assert running.wait_until_idle()
    before = running.counters.steps
    taken = []
    with running.held() as card:
        for name in card.steps:
            card.step(name).around(lambda take, name=name: (taken.append(name), take()))
        for _ in range(SLOTS):
            index = host.fill(0x99, b"abc")
        card.write(DBELL, doorbell(TRANSMIT_RING, index))
    assert running.wait_until_idle()
    assert ("tx.look_ahead" in taken) == looks
    assert running.counters.steps - before == len(taken)


def test_a_card_that_is_at_work_is_not_idle(laboratory):
    host = Host(laboratory.open()).start()
    running = laboratory.card()
    assert running.wait_until_idle()
    goes_on = threading.Event()
    running.card.step("tx.send").around(lambda take: (goes_on.wait(), take()))
    host.fill(0x99)
    threading.Thread(target=running.write, args=(DBELL, doorbell(TRANSMIT_RING, 0))).start()
    assert not running.wait_until_idle(timeout=0.1)
    goes_on.set()
    assert running.wait_until_idle()


def test_what_waits_is_forgotten_by_a_card_that_was_stopped(laboratory):
    host = Host(laboratory.open()).start()
    running = laboratory.card()
    with running.held() as card:
        laboratory.net.send(NetPacket(DEFAULT_HWADDR, 1))
        card.started = False
    assert running.wait_until_idle()
    with running.held() as card:
        card.started = True
    assert running.wait_until_idle()
    assert [host.owner(RECEIVE_RING, index) for index in range(SLOTS)] == [Owner.DEVICE] * SLOTS


def test_a_fatal_error_is_told_once(laboratory):
    device = laboratory.open()
    device.enable_bus_master()
    laboratory.card().fail()
    for _ in range(2):
        device.write(DBELL, 0)
        assert device.counters.interrupts == 1


@pytest.fixture
def still(unopened):
    """A card whose thread has ended, and whose vector 0 is due."""

    def make(**temper):
        running = unopened(behaviour=Behaviour(**temper))
        running.power_off()
        running.card.bus_master = True
        running.card.raising = True
        return running

    return make


RAISES = ["card.raise_vector0"]


def test_an_interrupt_is_put_off_from_when_it_is_due_on(still, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(running_card.time, "monotonic", lambda: now[0])
    running = still(interrupt_delay=8.0)
    for _ in range(2):
        assert running.choice.do() == []
        now[0] += 7
        assert running.choice.do() == []
        now[0] += 1
        assert running.choice.do() == RAISES
        # It is withdrawn, and due again.
        running.card.raising = False
        assert running.choice.do() == []
        running.card.raising = True


def test_a_card_without_bus_mastering_does_not_raise_what_is_due(still):
    running = still()
    running.card.bus_master = False
    assert running.choice.do() == []


def test_a_busy_card_puts_an_interrupt_off_for_so_many_steps(still):
    running = still(merge=2)
    running.card.tx.due = True  # There is a step besides.
    choices = [running.choice.do() for _ in range(256)]
    assert choices == [["tx.set_event"]] * 255 + [RAISES]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_ends_the_thread_of_a_card_is_not_swallowed(laboratory, monkeypatch):
    class Broken:
        def deliver(self, packet):
            raise RuntimeError(packet.payload)

    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda told: raised.append(told.exc_type))
    laboratory.net.attach(Broken())
    before = set(threading.enumerate())
    host = Host(laboratory.open()).start()
    (thread,) = set(threading.enumerate()) - before
    host.send(1)
    thread.join()
    assert raised == [RuntimeError]


# Registers and rings


@pytest.fixture
def card():
    return Card(dma=AddressSpace(), transmit=lambda _: None)


def test_a_register_takes_no_negative_number(card):
    with pytest.raises(ValueError, match="DBELL takes 32 bits; -0x1 does not fit"):
        card.write(DBELL, -1)


@pytest.mark.parametrize("register", [TXBASE, TXSHIFT, RXBASE, RXSHIFT], ids=lambda r: r.name)
def test_a_packet_ring_stays_where_it_is_when_it_is_changed_while_started(laboratory, register):
    Host(laboratory.open()).start()

    def rings():
        return [(ring.base, ring.shift) for ring in (card.tx, card.rx)]

    with laboratory.card().held() as card:
        before = rings()
        card.write(register, 0)
        assert rings() == before


def test_a_reset_forgets_what_was_dropped(card):
    card.rx.no_slot = card.rx.jumbo = True
    card.write(FLAGS, RST.mask)
    assert card.read(EVFLAGS) == 0


@pytest.mark.parametrize("finishes", [True, False])
def test_stop_ends_though_the_transmit_ring_was_freed(laboratory, finishes):
    host = Host(laboratory.open()).start()
    laboratory.card().behaviour = Behaviour(finish_at_stop=finishes)
    host.device.free(host.rings["TX"])
    assert host.command(Command.STOP) == 0


def test_the_answer_to_a_command_that_does_not_exist_is_all_ones(card):
    assert UNKNOWN_COMMAND == 0xFF
    card.cmd.slot = CommandSlot(Owner.DEVICE, 0)
    card.cmd.execute()
    assert card.cmd.answer == UNKNOWN_COMMAND


def test_an_error_says_what_its_bit_means():
    assert str(FatalError(FLTR)) == FLTR.meaning


@given(st.integers(0, 100))
def test_a_packet_is_halved_and_the_first_half_may_be_larger_by_one(size):
    assert first_half(size) - (size - first_half(size)) in {0, 1}


# Memory


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_zero_can_be_stored(width):
    region = AddressSpace().allocate(PAGE, Purpose.COMMAND_RING)
    region.store(8, width, 0)
    assert region.load(8, width) == 0


def test_bytes_may_be_stored_from_an_array_of_anything():
    region = AddressSpace().allocate(PAGE, Purpose.COMMAND_RING)
    region.store_bulk(PAGE - 8, array("I", [1, 2]))
    assert region.load(PAGE - 8, 8) == 1 | 2 << 32


def test_a_region_has_whole_pages():
    assert AddressSpace().allocate(1, Purpose.COMMAND_RING).size == PAGE


@pytest.mark.parametrize("offset", [-1, PAGE])
def test_what_is_beyond_a_region_has_no_address(offset):
    region = AddressSpace().allocate(PAGE, Purpose.COMMAND_RING)
    assert region.bus_address(PAGE - 1) == region.bus_address() + PAGE - 1
    with pytest.raises(IndexError):
        region.bus_address(offset)


def test_a_region_is_smaller_than_half_of_its_window():
    with pytest.raises(OSError, match="Cannot allocate memory"):
        AddressSpace().allocate(1 << 31, Purpose.RECEIVE_BUFFERS)


def test_a_machine_without_memory_says_so(monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(memory, "SharedRegion", no_memory)
    with pytest.raises(OSError, match="Cannot allocate memory: 1 bytes"):
        AddressSpace().allocate(1, Purpose.COMMAND_RING)


def test_the_card_reaches_the_regions_that_were_not_freed():
    space = AddressSpace()
    first, second = (space.allocate(PAGE, Purpose.COMMAND_RING) for _ in range(2))
    assert space.regions == (first, second)
    space.free(first)
    assert space.regions == (second,)


def test_what_the_card_reads_and_writes_is_counted():
    space = AddressSpace()
    region = space.allocate(PAGE, Purpose.COMMAND_RING)
    space.write(region.bus_address(), b"abc")
    space.write(region.bus_address(), b"d")
    space.read(region.bus_address(), 5)
    with pytest.raises(BusError):
        space.write(0, b"nowhere")
    with pytest.raises(BusError):
        space.read(0, 1)
    assert attrs.asdict(space.counters) == attrs.asdict(Counters()) | {
        "dma_reads": 2,
        "dma_read_bytes": 6,
        "dma_writes": 3,
        "dma_written_bytes": 11,
    }


def test_packets_are_counted_as_they_pass(laboratory):
    host = Host(laboratory.open()).start()
    before = host.device.counters
    for _ in range(SLOTS + 1):
        host.send(ECHO.address, b"x")
        assert laboratory.card().wait_until_idle()
    laboratory.net.send(NetPacket(DEFAULT_HWADDR, 1))
    assert laboratory.card().wait_until_idle()
    after = host.device.counters
    assert after.transmitted - before.transmitted == SLOTS + 1
    assert after.received - before.received == SLOTS
    assert after.dropped - before.dropped == 2
