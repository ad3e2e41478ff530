"""The card that runs by itself, the net, and the backend: end to end, at the level of bytes."""

import datetime
import gc
import threading
import time

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator import backend
from emulator.backend import DEFAULT_HWADDR, Laboratory
from emulator.behaviour import Behaviour
from emulator.bus import BusError
from emulator.counters import Counters
from emulator.fair_lock import FairLock
from emulator.memory import GARBAGE, AddressSpace
from emulator.net import Ductnet
from emulator.packet import NetPacket
from emulator.quotes import QUOTES, quote_of
from emulator.services import Echo, Quote, attach_services
from impl.memory import Purpose
from model.layout import (
    COMMAND_RING,
    DBELL,
    ECHO,
    EVFLAGS,
    EXACT_MASK,
    FLAGS,
    FLTR,
    HWADDR,
    HWERR,
    LIMITS,
    QUOTE,
    RECEIVE_RING,
    RST,
    SEQ,
    SERVICES,
    TRANSMIT_RING,
    Command,
    Owner,
    PacketSlot,
    doorbell,
)
from model.state import Stage
from tests.host import EVENT, FATAL, PAGE, SHIFT, SLOTS, Host, interrupts_for


def host_of(laboratory, name="", **behaviour):
    laboratory.card(name).behaviour = Behaviour(**behaviour)
    return Host(laboratory.open(name)).start()


# End to end


@pytest.mark.parametrize("size", [0, 1, 2, 4095, 4096, 4097, LIMITS.max_packet])
def test_the_echo_comes_back(laboratory, size):
    host = host_of(laboratory)
    payload = bytes(i * 7 & 0xFF for i in range(size))
    host.send(ECHO.address, payload)
    assert host.receive() == NetPacket(DEFAULT_HWADDR, ECHO.address, payload)


def test_a_quote_comes_for_an_empty_packet_only(laboratory):
    host = host_of(laboratory)
    host.send(QUOTE.address, b"please")
    host.send(QUOTE.address)
    packet = host.receive()
    assert packet.source == QUOTE.address
    assert packet.payload.decode() in QUOTES
    assert laboratory.card().wait_until_idle()
    assert host.owner(RECEIVE_RING, host.index["RX"]) == Owner.DEVICE


BEHAVIOURS = [
    Behaviour(),
    Behaviour(seed=1, look_ahead=True),
    Behaviour(merge=4),
    Behaviour(interrupt_delay=0.001),
    Behaviour(interrupt_delay=0.001, merge=100, spurious_every=3),
    Behaviour(spurious_every=1, finish_at_stop=True, look_ahead=True),
]


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=str)
def test_everything_is_done_at_last_whatever_the_temper(laboratory, behaviour):
    host = host_of(laboratory, **attrs.asdict(behaviour))
    for n in range(3 * SLOTS):
        index = host.send(ECHO.address, b"%d" % n)
        assert host.receive().payload == b"%d" % n
        host.wait_for(TRANSMIT_RING, index)
    assert host.command(Command.STOP) == 0
    assert host.device.read(FLAGS) == 0


def test_two_cards_talk(laboratory):
    a, b = host_of(laboratory, "a"), host_of(laboratory, "b")
    there, here = b.device.read(HWADDR), a.device.read(HWADDR)
    assert here != there
    for n in range(20):
        a.send(there, b"ping %d" % n)
        assert b.receive() == NetPacket(there, here, b"ping %d" % n)
        b.send(here, b"pong %d" % n)
        assert a.receive() == NetPacket(here, there, b"pong %d" % n)


def test_cards_that_send_to_each_other_at_once_do_not_deadlock(laboratory):
    hosts = [host_of(laboratory, name) for name in "ab"]
    addresses = [host.device.read(HWADDR) for host in hosts]
    failed = []

    def talk(me):
        try:
            for n in range(200):
                hosts[me].send(addresses[1 - me], b"%d" % n)
                assert hosts[me].receive().payload == b"%d" % n
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=talk, args=(me,)) for me in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_card_hears_itself_if_its_filter_says_so(laboratory):
    host = host_of(laboratory)
    host.send(DEFAULT_HWADDR, b"me")
    assert host.receive() == NetPacket(DEFAULT_HWADDR, DEFAULT_HWADDR, b"me")


def test_without_a_free_slot_packets_are_dropped(laboratory):
    host = host_of(laboratory)
    for _ in range(SLOTS + 1):
        host.wait_for(TRANSMIT_RING, host.send(ECHO.address, b"x"))
    assert laboratory.card().wait_until_idle()
    assert "RXDROP" in EVFLAGS.describe(host.device.read(EVFLAGS))
    for _ in range(SLOTS):
        host.receive()
    host.send(ECHO.address, b"again")
    assert host.receive().payload == b"again"


def test_what_finds_the_queue_full_is_lost_and_counted(laboratory):
    host = host_of(laboratory, queue=2)
    running = laboratory.card()
    with running.held():
        for n in range(5):
            laboratory.net.send(NetPacket(DEFAULT_HWADDR, 1, b"%d" % n))
    assert [host.receive().payload for _ in range(2)] == [b"0", b"1"]
    assert host.device.counters.lost == 3
    assert laboratory.card().wait_until_idle()
    assert host.owner(RECEIVE_RING, 2) == Owner.DEVICE


def test_what_waits_is_forgotten_at_a_reset(laboratory):
    host = host_of(laboratory)
    running = laboratory.card()
    with running.held():
        laboratory.net.send(NetPacket(DEFAULT_HWADDR, 1))
        laboratory.net.send(NetPacket(DEFAULT_HWADDR, 1))
        # In place of the host, whose write would have to wait.
        running.card.write(FLAGS, RST.mask)
    assert running.wait_until_idle()
    with running.held() as card:
        # What would wait still would be let in now.
        card.rx.set_base(host.rings["RX"].bus_address())
        card.rx.set_shift(SHIFT)
        card.filters = [(0, 0)]
        card.started = True
    assert running.wait_until_idle()
    assert [host.owner(RECEIVE_RING, i) for i in range(SLOTS)] == [Owner.DEVICE] * SLOTS


# Behaviour


def stop_with_slots_left(host, running):
    """Fill the ring without a doorbell, then STOP; how many packets were sent."""
    for _ in range(SLOTS):
        host.fill(ECHO.address)
    assert host.command(Command.STOP) == 0
    assert running.wait_until_idle()
    return sum(host.owner(TRANSMIT_RING, i) == Owner.HOST for i in range(SLOTS))


@pytest.mark.parametrize(("finish", "sent"), [(True, SLOTS), (False, 0)])
def test_stop_finishes_or_leaves_what_it_finds(laboratory, finish, sent):
    host = host_of(laboratory, finish_at_stop=finish)
    assert stop_with_slots_left(host, laboratory.card()) == sent


@pytest.mark.parametrize(("code", "error"), [(True, 1), (0x33, 0x33)])
def test_filters_are_refused(laboratory, code, error):
    host = host_of(laboratory)
    laboratory.card().behaviour = Behaviour(refuse_filters=code)
    assert host.command(Command.ADDFILT, EXACT_MASK, 3) == error
    laboratory.card().behaviour = Behaviour()
    assert host.command(Command.ADDFILT, EXACT_MASK, 3) == 0


def test_an_interrupt_can_be_delayed(laboratory):
    host = host_of(laboratory)
    laboratory.card().behaviour = Behaviour(interrupt_delay=0.05)
    begin = time.monotonic()
    index = host.submit(Command.FLUSHFILT)
    while host.owner(COMMAND_RING, index) != Owner.HOST:
        time.sleep(0.001)
    assert host.device.wait_for_interrupt(EVENT)
    assert time.monotonic() - begin >= 0.05


def test_completions_may_share_an_interrupt(laboratory):
    host = host_of(laboratory, merge=100)
    assert interrupts_for(host, laboratory.card(), SLOTS) == 1


def test_interrupts_may_come_without_a_reason(laboratory):
    host = host_of(laboratory, merge=100, spurious_every=1)
    assert interrupts_for(host, laboratory.card(), SLOTS) > SLOTS


def test_a_busy_card_does_not_hold_interrupts_back_for_ever(laboratory):
    host = host_of(laboratory, merge=10**9, queue=10**4)
    running = laboratory.card()
    before = host.device.counters.interrupts
    with running.held():
        for _ in range(2000):
            laboratory.net.send(NetPacket(DEFAULT_HWADDR, 1))
    assert running.wait_until_idle()
    assert 3 <= host.device.counters.interrupts - before <= 20


def walk(seed):
    """The steps that a card takes to send some packets to itself."""
    laboratory = Laboratory()
    host = host_of(laboratory)
    running = laboratory.card()
    assert running.wait_until_idle()
    taken = []
    running.behaviour = Behaviour(seed=seed)
    assert running.wait_until_idle()
    with running.held() as card:
        for name in card.steps:
            card.step(name).around(lambda take, name=name: (taken.append(name), take()))
        for _ in range(SLOTS):
            index = host.fill(DEFAULT_HWADDR, b"abc")
        # In place of the host, whose write would have to wait.
        card.write(DBELL, doorbell(TRANSMIT_RING, index))
    assert running.wait_until_idle()
    laboratory.power_off()
    return taken


def test_the_same_seed_takes_the_same_steps():
    assert walk(5) == walk(5)
    assert walk(5) != walk(6)


def test_a_card_takes_only_steps_that_are_chosen(laboratory):
    host = host_of(laboratory)
    running = laboratory.card()
    undo = running.choice.around(lambda choose: [name for name in choose() if name != "tx.send"])
    host.send(ECHO.address, b"hello")
    assert running.wait_until_idle()
    assert running.card.tx.stage is Stage.SEND
    undo()
    with running.held():
        pass
    assert host.receive().payload == b"hello"


# Failing and recovering


def test_a_failure_raises_vector_1_and_a_reset_repairs_it(laboratory):
    host = host_of(laboratory)
    laboratory.card().fail()
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == HWERR.mask
    again = Host(host.device).start()
    again.send(ECHO.address, b"hello")
    assert again.receive().payload == b"hello"


def test_a_broken_protocol_raises_vector_1(laboratory):
    host = host_of(laboratory)
    host.device.write(DBELL, SLOTS)
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == SEQ.mask


def test_a_freed_buffer_is_a_fault(laboratory):
    host = host_of(laboratory)
    host.device.free(host.sending)
    index = host.index["TX"]
    slot = PacketSlot(Owner.DEVICE, 0, (1, 0, 0, 0), 5, 0, (host.sending.bus_address(), 0, 0, 0))
    host.hand_over(TRANSMIT_RING, index, slot)
    host.device.write(DBELL, doorbell(TRANSMIT_RING, index))
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == FLTR.mask


def test_without_bus_mastering_a_failure_is_told_later(laboratory):
    host = host_of(laboratory)
    running = laboratory.card()
    running.set_bus_master(False)
    running.fail()
    before = host.device.counters.interrupts
    running.set_bus_master(True)
    assert host.device.counters.interrupts == before + 1
    assert host.device.wait_for_interrupt(FATAL)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_card_whose_thread_dies_has_failed(laboratory):
    class Broken:
        def deliver(self, packet):
            raise RuntimeError(packet.payload)

    host = host_of(laboratory)
    laboratory.net.attach(Broken())
    host.send(1)
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == HWERR.mask


# Open and close


def test_an_address_meets_the_same_card_again(laboratory):
    first = laboratory.open("x")
    first.write(DBELL, 0)
    hwaddr = first.read(HWADDR)
    first.close()
    again = laboratory.open("x")
    assert again.read(HWADDR) == hwaddr
    assert again.read(FLAGS) == SEQ.mask


def test_a_card_is_opened_by_one_driver_at_a_time(laboratory):
    device = laboratory.open()
    with pytest.raises(OSError, match="emulated:") as caught:
        laboratory.open()
    assert caught.value.errno == 16
    device.close()
    laboratory.open()


def test_close_ends_waiting(laboratory):
    device = laboratory.open()
    answers = []
    threads = [
        threading.Thread(target=lambda v=v: answers.append(device.wait_for_interrupt(v)))
        for v in (EVENT, FATAL)
    ]
    for thread in threads:
        thread.start()
    device.close()
    for thread in threads:
        thread.join()
    assert answers == [False, False]
    assert not device.wait_for_interrupt(EVENT)


def test_after_close_the_card_reaches_no_memory(laboratory):
    host = host_of(laboratory)
    host.device.close()
    counters = host.device.counters
    laboratory.net.send(NetPacket(DEFAULT_HWADDR, 1, b"too late"))
    assert laboratory.card().wait_until_idle()
    after = host.device.counters
    assert (after.dma_reads, after.dma_writes) == (counters.dma_reads, counters.dma_writes)
    with pytest.raises(BusError):
        laboratory.memory().read(host.rings["RX"].bus_address(), 1)


def test_close_twice_is_close_once(laboratory):
    device = laboratory.open()
    device.close()
    again = laboratory.open()
    device.close()
    again.enable_bus_master()
    again.write(DBELL, 0)
    assert again.wait_for_interrupt(FATAL)


@pytest.mark.parametrize(
    "word",
    [
        lambda device: device.read(FLAGS),
        lambda device: device.write(FLAGS, 0),
        lambda device: device.allocate(1, Purpose.COMMAND_RING),
    ],
)
def test_a_closed_device_says_so(laboratory, word):
    device = laboratory.open("x")
    device.close()
    with pytest.raises(OSError, match="emulated:x was closed"):
        word(device)


def test_vectors_are_those_of_the_datasheet(laboratory):
    with pytest.raises(ValueError) as caught:
        laboratory.open().wait_for_interrupt(2)
    assert str(caught.value) == "the card has vectors 0 to 1, not 2"


@pytest.mark.parametrize("name", ["a b", "a/b", "ä", "a\n", ":"])
def test_a_name_is_refused(laboratory, name):
    with pytest.raises(ValueError) as caught:
        laboratory.open(name)
    assert str(caught.value) == (
        f"the name of an emulated card consists of letters, digits, - and _, not {name!r}"
    )


def test_the_process_has_a_laboratory():
    device = backend.open_emulated("of-tests")
    assert device.read(HWADDR) == backend.default().card("of-tests").card.hwaddr
    device.close()


@given(st.lists(st.from_regex(r"[a-z0-9_-]{1,3}", fullmatch=True), max_size=4, unique=True))
def test_hardware_addresses_are_unicast_and_differ(names):
    laboratory = Laboratory()
    try:
        addresses = [laboratory.card(name).card.hwaddr for name in ["", *names]]
    finally:
        laboratory.power_off()
    taken = [*addresses, *(service.address for service in SERVICES)]
    assert len(set(taken)) == len(taken)
    assert all(address < 1 << 31 for address in addresses)
    assert addresses[0] == DEFAULT_HWADDR


def test_no_thread_is_left_when_the_power_is_off():
    before = threading.active_count()
    laboratory = Laboratory()
    host_of(laboratory, "a")
    host_of(laboratory, "b")
    laboratory.power_off()
    assert threading.active_count() == before


def test_a_fair_lock_is_not_kept_by_a_thread_in_a_loop():
    lock = FairLock()
    ended = threading.Event()

    def loop():
        while not ended.is_set():
            with lock:
                time.sleep(0.001)

    thread = threading.Thread(target=loop)
    thread.start()
    begin = time.monotonic()
    for _ in range(20):
        with lock:
            pass
    ended.set()
    thread.join()
    assert time.monotonic() - begin < 2


# Memory


def test_new_memory_is_garbage_that_is_no_owner():
    region = AddressSpace().allocate(PAGE + 1, Purpose.RECEIVE_RING)
    assert region.size == 2 * PAGE
    assert set(region.load_bulk(0, region.size)) == {GARBAGE}
    assert GARBAGE not in {0, *Owner}


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("purpose", Purpose)
def test_what_the_host_stores_the_card_reads(purpose, width):
    memory = AddressSpace()
    region = memory.allocate(2 * PAGE, purpose)
    value = 0x0123456789ABCDEF & (1 << 8 * width) - 1
    for offset in (0, PAGE - width, PAGE, 2 * PAGE - width):
        region.store(offset, width, value)
        assert region.load(offset, width) == value
        data = memory.read(region.bus_address(offset), width)
        assert data == value.to_bytes(width, "little")
        memory.write(region.bus_address(offset), bytes(width))
        assert region.load(offset, width) == 0


@pytest.mark.parametrize("purpose", Purpose)
def test_addresses_are_contiguous_in_rings_and_not_in_buffers(purpose):
    region = AddressSpace().allocate(3 * PAGE, purpose)
    assert region.bus_address() % PAGE == 0
    steps = {region.bus_address((i + 1) * PAGE) - region.bus_address(i * PAGE) for i in (0, 1)}
    buffers = purpose in (Purpose.TRANSMIT_BUFFERS, Purpose.RECEIVE_BUFFERS)
    assert steps == {2 * PAGE if buffers else PAGE}


@pytest.mark.parametrize(
    ("address", "size"),
    [(0, 1), (PAGE - 1, 2), (PAGE, 1), (3 * PAGE, 1), (4 * PAGE, 1), (-1, 1), (1 << 80, 1)],
)
def test_between_pages_of_buffers_there_is_nothing(address, size):
    memory = AddressSpace()
    region = memory.allocate(2 * PAGE, Purpose.TRANSMIT_BUFFERS)
    base = region.bus_address() if 0 < address < 1 << 64 else 0
    with pytest.raises(BusError):
        memory.read(base + address, size)
    with pytest.raises(BusError):
        memory.write(base + address, bytes(size))


def test_freed_memory_is_out_of_reach_for_ever():
    memory = AddressSpace()
    region = memory.allocate(PAGE, Purpose.COMMAND_RING)
    address = region.bus_address()
    view = region.view(0, 4)
    memory.free(region)
    with pytest.raises(BusError):
        memory.read(address, 1)
    assert memory.allocate(PAGE, Purpose.COMMAND_RING).bus_address() != address
    with pytest.raises(ValueError, match="freed before"):
        memory.free(region)
    del region
    gc.collect()
    assert bytes(view) == bytes([GARBAGE] * 4)


def test_a_view_is_live_and_read_only():
    region = AddressSpace().allocate(PAGE, Purpose.RECEIVE_BUFFERS)
    view = region.view(8, 4)
    region.store(8, 4, 0x01020304)
    assert bytes(view) == b"\4\3\2\1"
    with pytest.raises(TypeError):
        view[0] = 0


BEYOND = [(-1, 1), (PAGE, 1), (PAGE - 1, 2), (0, PAGE + 1), (0, -1)]


@pytest.mark.parametrize(("offset", "size"), BEYOND)
def test_an_access_that_leaves_the_region_is_refused(offset, size):
    region = AddressSpace().allocate(PAGE, Purpose.TRANSMIT_RING)
    words = [region.load_bulk, region.view]
    if size >= 0:
        words.append(lambda offset, size: region.store_bulk(offset, bytes(size)))
    if size in (1, 2):
        words += [region.load, lambda offset, size: region.store(offset, size, 0)]
    for word in words:
        with pytest.raises(IndexError) as caught:
            word(offset, size)
        assert str(caught.value) == (
            f"{size} bytes at offset {offset} are not within the {PAGE} bytes of a region "
            "for transmit ring"
        )


@pytest.mark.parametrize(
    ("offset", "width", "value", "message"),
    [
        (0, 3, 0, "a load or store is 1, 2, 4 or 8 bytes wide, not 3"),
        (2, 4, 0, "4 bytes at offset 2 are not aligned"),
        (0, 2, 0x10000, "0x10000 does not fit into 2 bytes"),
        (0, 2, -1, "-0x1 does not fit into 2 bytes"),
    ],
)
def test_a_bad_word_is_refused(offset, width, value, message):
    region = AddressSpace().allocate(PAGE, Purpose.COMMAND_RING)
    with pytest.raises(ValueError) as caught:
        region.store(offset, width, value)
    assert str(caught.value) == message


def test_there_is_no_memory_without_end():
    with pytest.raises(OSError, match="Cannot allocate memory"):
        AddressSpace().allocate(1 << 40, Purpose.RECEIVE_BUFFERS)
    with pytest.raises(ValueError, match="at least 1 byte, not 0"):
        AddressSpace().allocate(0, Purpose.RECEIVE_BUFFERS)


# The net


class Ear:
    def __init__(self):
        self.doorbells_arrived = []

    def deliver(self, packet):
        self.doorbells_arrived.append(packet)


def test_all_stations_hear_all_packets_in_one_order():
    net = Ductnet()
    early, late = Ear(), Ear()
    net.attach(early)
    attach_services(net)
    net.attach(late)
    net.send(NetPacket(ECHO.address, 7, b"x"))
    net.send(NetPacket(8, 7))
    expected = [NetPacket(ECHO.address, 7, b"x"), NetPacket(7, ECHO.address, b"x"), NetPacket(8, 7)]
    assert early.doorbells_arrived == late.doorbells_arrived == expected


def test_a_station_that_left_hears_nothing():
    net, ear = Ductnet(), Ear()
    net.attach(ear)
    net.detach(ear)
    net.send(NetPacket(1, 2))
    assert ear.doorbells_arrived == []


def test_services_do_not_answer_themselves():
    net, ear = Ductnet(), Ear()
    attach_services(net)
    net.attach(ear)
    for service in SERVICES:
        net.send(NetPacket(service.address, service.address))
    assert len(ear.doorbells_arrived) == len(SERVICES)


def test_the_services_end_up_silent_when_set_upon_each_other():
    net, ear = Ductnet(), Ear()
    attach_services(net)
    net.attach(ear)
    net.send(NetPacket(ECHO.address, QUOTE.address))
    assert [packet.source for packet in ear.doorbells_arrived] == [
        QUOTE.address,
        ECHO.address,
        QUOTE.address,
        ECHO.address,
    ]


def test_a_broken_station_does_not_stop_the_net():
    class Broken:
        def deliver(self, packet):
            raise RuntimeError(packet.payload)

    net, ear, broken = Ductnet(), Ear(), Broken()
    net.attach(broken)
    net.attach(ear)
    with pytest.raises(RuntimeError):
        net.send(NetPacket(1, 2))
    net.detach(broken)
    net.send(NetPacket(1, 2))
    assert ear.doorbells_arrived == [NetPacket(1, 2)]


def test_each_day_has_its_quote_and_each_quote_its_day():
    first = datetime.date(2024, 2, 29)
    days = [first + datetime.timedelta(days=n) for n in range(len(QUOTES))]
    assert {quote_of(day) for day in days} == set(QUOTES)
    assert quote_of(first) == quote_of(first + datetime.timedelta(days=len(QUOTES)))


def test_the_quote_service_knows_the_day():
    net, ear = Ductnet(), Ear()
    net.attach(ear)
    day = datetime.date(2000, 1, 1)
    net.attach(Quote(net, today=lambda: day))
    net.send(NetPacket(QUOTE.address, 7))
    assert ear.doorbells_arrived[1] == NetPacket(7, QUOTE.address, quote_of(day).encode())


def test_services_may_have_other_addresses():
    net, ear = Ductnet(), Ear()
    net.attach(ear)
    net.attach(Echo(net, 0x77))
    net.send(NetPacket(0x77, 1, b"hi"))
    assert ear.doorbells_arrived[1] == NetPacket(1, 0x77, b"hi")


@pytest.mark.parametrize("vector", [-1, 2])
def test_there_are_no_other_vectors(vector):
    laboratory = Laboratory()
    device = laboratory.open()
    with pytest.raises(ValueError, match=f"the card has vectors 0 to 1, not {vector}"):
        device.wait_for_interrupt(vector)
    laboratory.power_off()


def test_counting_begins_at_nothing():
    assert not any(attrs.astuple(Counters()))


def test_reads_and_writes_of_registers_are_counted():
    laboratory = Laboratory()
    device = laboratory.open()
    before = device.counters
    device.write(DBELL, 0)
    device.read(HWADDR)
    assert device.counters.register_writes == before.register_writes + 1
    assert device.counters.register_reads == before.register_reads + 1
    laboratory.power_off()
