"""The card behind the vfio-user protocol, as a virtual machine finds it."""

import contextlib
import errno
import fcntl
import gc
import logging
import mmap
import os
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from emulator.behaviour import Behaviour
from emulator.bus import BusError
from emulator.counters import Counters
from emulator.net import Ductnet
from emulator.packet import Packet
from emulator.running import RunningCard
from emulator.services import attach_services
from emulator.unix_socket import ListeningSocket
from emulator.vfio_user.dma import ClientMemory
from emulator.vfio_user.server import Server
from model.layout import (
    COMMAND_RING,
    DBELL,
    ECHO,
    EVFLAGS,
    FLAGS,
    FLTB,
    HWADDR,
    HWERR,
    LIMITS,
    RST,
    SEQ,
    TRANSMIT_RING,
    TXBASE,
    VMAJ,
    Command,
    Owner,
    doorbell,
)
from tests.test_emulator_backend import SLOTS, Host
from tests.vfio_user_client import (
    BAR0,
    BAR1,
    BUS_MASTER,
    COMMAND,
    CONFIG,
    DMA_MAP,
    ERR,
    INTX,
    INTX_DISABLE,
    MEMORY,
    MSIX,
    NO_REPLY,
    PAGE,
    PATIENCE,
    Client,
    PciDevice,
    Refused,
    interrupts,
)

ADDRESS = 0x34565CAB
EVENT, FATAL = 0, 1
SOON = 0.05


class Place:
    """A server, running in this process, with its card."""

    def __init__(self, path, net=None, hwaddr=ADDRESS, **behaviour):
        self.path = str(path)
        if net is None:
            net = Ductnet()
            attach_services(net)
        self.counters = Counters()
        memory = ClientMemory(self.counters)
        self.running = RunningCard(
            memory, net, hwaddr=hwaddr, behaviour=Behaviour(**behaviour), counters=self.counters
        )
        self.server = Server(self.path, self.running, memory)
        self._thread = threading.Thread(target=self.server.serve)
        self._thread.start()

    def close(self):
        self.server.stop()
        self._thread.join()
        self.server.close()
        self.running.power_off()


@pytest.fixture
def place(tmp_path):
    it = Place(tmp_path / "card")
    yield it
    it.close()


@pytest.fixture
def client(place):
    it = Client(place.path)
    it.greet()
    yield it
    it.close()


def host_of(place, **how):
    return Host(PciDevice(place.path, **how)).start()


def echoed(host, payload):
    host.send(ECHO.address, payload)
    return host.receive()


def works_for_the_next_client(place):
    host = host_of(place)
    assert echoed(host, b"next").payload == b"next"
    host.device.close()


def wait_until_gone(place, number):
    """Wait until so many clients are gone for the server too."""
    while place.server.gone < number:
        time.sleep(0.001)


def open_files():
    return len(os.listdir("/proc/self/fd"))


def map_count():
    return len(Path("/proc/self/maps").read_text().splitlines())


# What a virtual machine finds


@pytest.mark.parametrize("text", [b"", b'{"capabilities":{}}\0', b"{}\0"])
def test_a_client_need_not_say_what_it_is_capable_of(place, text):
    client = Client(place.path)
    client.greet(text)
    assert client.info()[1] == 3
    client.close()


def test_the_function_is_found(client):
    assert client.info() == (16, 3, 9, 5)
    sizes = {index: client.region_info(index) for index in range(9)}
    assert {index: found for index, found in sizes.items() if found != (0, 0)} == {
        BAR0: (3, 128),
        BAR1: (3, 4096),
        CONFIG: (3, 256),
    }
    assert [client.irq_info(index) for index in range(5)] == [
        (7, 1),
        (0, 0),
        (1, 2),
        (1, 1),
        (0, 0),
    ]


@pytest.mark.parametrize("ask", [Client.region_info, Client.irq_info])
def test_what_does_not_exist_has_no_information(client, ask):
    with pytest.raises(Refused, match="Invalid argument"):
        ask(client, 9)


def test_registers_are_read_in_one_access_of_their_width(client):
    assert client.read(BAR0, HWADDR.offset, 4) == ADDRESS.to_bytes(4, "little")
    assert client.read(BAR0, VMAJ.offset, 4) == b"\2\0\0\0"
    assert client.read(BAR0, HWADDR.offset, 2) == b"\0\0"
    assert client.read(BAR0, VMAJ.offset, 8) == bytes(8)


def test_a_region_is_not_left(client):
    for region, offset, count in [(BAR0, 125, 4), (CONFIG, 256, 1), (BAR1, 4096, 1), (2, 0, 1)]:
        with pytest.raises(Refused, match="Invalid argument"):
            client.read(region, offset, count)
        with pytest.raises(Refused, match="Invalid argument"):
            client.write(region, offset, bytes(count))
    assert client.info()


def test_a_posted_write_has_no_answer_even_if_it_is_refused(client):
    client.post(BAR0, 4096, b"1234")
    client.post(BAR0, FLAGS.offset, b"1234")
    assert client.info()


def test_the_msix_table_is_memory_and_every_vector_begins_masked(client):
    assert client.read(BAR1, 0, 32) == (bytes(12) + b"\1\0\0\0") * 2
    client.write(BAR1, 4, b"abcd")
    assert client.read(BAR1, 0, 12) == b"\0\0\0\0abcd\0\0\0\0"
    client.write(BAR1, 30, b"1234")
    assert client.read(BAR1, 30, 4) == b"12\0\0"


# Traffic


@pytest.mark.parametrize("by_messages", [False, True], ids=["descriptor", "messages"])
@pytest.mark.parametrize("msix", [True, False], ids=["MSI-X", "INTx"])
@pytest.mark.parametrize("size", [0, 1, 5000, LIMITS.max_packet])
def test_the_echo_comes_back(place, by_messages, msix, size):
    host = host_of(place, by_messages=by_messages, msix=msix)
    payload = bytes(i * 7 & 0xFF for i in range(size))
    for _ in range(2 * SLOTS):
        assert echoed(host, payload) == Packet(ADDRESS, ECHO.address, payload)
    assert (host.device.client.asked > 0) == by_messages
    assert host.command(Command.STOP) == 0
    assert host.device.read(FLAGS) == 0
    host.device.close()


def test_memory_of_a_file_that_may_shrink_is_as_good(place):
    host = host_of(place, sealed=False)
    assert echoed(host, b"x" * 5000).payload == b"x" * 5000
    host.device.close()


def test_a_client_moves_no_more_at_a_time_than_it_says(place):
    greeting = b'{"capabilities":{"max_data_xfer_size":1000}}\0'
    host = host_of(place, by_messages=True, greeting=greeting)
    before = host.device.client.asked
    assert echoed(host, b"y" * 8000).payload == b"y" * 8000
    assert host.device.client.asked - before > 16
    host.device.close()


def test_commands_wait_while_the_card_waits_for_memory(place):
    host = host_of(place, by_messages=True)
    for n in range(100):
        host.send(ECHO.address, b"%d" % n)
        for _ in range(20):
            host.device.client.post(BAR0, VMAJ.offset, b"none")
        assert host.device.read(HWADDR) == ADDRESS
        assert host.receive().payload == b"%d" % n
    host.device.close()


# Interrupts


def test_a_fatal_error_raises_the_other_vector(place):
    host = host_of(place)
    place.running.fail()
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == HWERR.mask
    host.device.write(FLAGS, RST.mask)
    while host.device.read(FLAGS):
        pass
    host.device.close()


def test_without_the_bus_master_bit_nothing_moves_and_no_vector_is_raised(place):
    host = host_of(place)
    device, client = host.device, host.device.client
    while interrupts(device.events[EVENT], SOON):
        pass
    client.set_config(COMMAND, MEMORY, 2)
    before = place.counters.dma_reads, place.counters.dma_writes
    index = host.send(ECHO.address, b"later")
    assert not interrupts(device.events[EVENT], SOON)
    assert host.owner(TRANSMIT_RING, index) == Owner.DEVICE
    assert (place.counters.dma_reads, place.counters.dma_writes) == before
    client.set_config(COMMAND, MEMORY | BUS_MASTER, 2)
    assert host.receive().payload == b"later"
    device.close()


def test_a_vector_without_an_eventfd_stays_pending(place):
    host = host_of(place)
    client = host.device.client
    client.set_irqs(MSIX, 0x24, start=FATAL, count=1)
    place.running.fail()
    assert client.read(BAR1, 0x800, 8) == b"\2" + bytes(7)
    client.set_irqs(MSIX, 0x24, start=FATAL, count=1, fds=[host.device.events[FATAL]])
    assert host.device.wait_for_interrupt(FATAL)
    assert client.read(BAR1, 0x800, 8) == bytes(8)
    host.device.close()


def test_disabled_msix_tells_nobody(place):
    host = host_of(place)
    client, events = host.device.client, host.device.events
    client.set_irqs(MSIX, 0x21)
    place.running.fail()
    assert not interrupts(events[FATAL], SOON)
    client.set_config(0x42, 0, 2)
    assert client.read(BAR1, 0x800, 8) == bytes(8)
    host.device.close()


def test_a_client_may_trigger_its_own_eventfds(place):
    device = PciDevice(place.path)
    device.client.set_irqs(MSIX, 0x22, count=2, data=b"\0\1")
    assert not interrupts(device.events[0], 0)
    assert interrupts(device.events[1]) == 1
    device.client.set_irqs(MSIX, 0x21, count=2)
    assert [interrupts(fd) for fd in device.events] == [1, 1]
    device.close()


def intx_is_due(place):
    """A device with INTx, and a fatal error."""
    device = PciDevice(place.path, msix=False)
    place.running.fail()
    return device, device.client


def test_intx_masks_itself_and_is_told_again_while_it_is_due(place):
    device, client = intx_is_due(place)
    assert interrupts(device.intx) == 1
    place.running.fail(SEQ)
    client.post(BAR0, DBELL.offset, bytes(4))
    assert not interrupts(device.intx, SOON)
    client.set_irqs(INTX, 0x11, count=1)
    assert interrupts(device.intx) == 1
    device.write(FLAGS, RST.mask)
    while device.read(FLAGS):
        pass
    client.set_irqs(INTX, 0x11, count=1)
    assert not interrupts(device.intx, SOON)
    device.close()


def test_the_status_register_shows_intx_even_if_it_is_disabled(place):
    device, client = intx_is_due(place)
    assert interrupts(device.intx) == 1
    assert client.config(6, 2) == 0x18
    client.set_config(COMMAND, MEMORY | BUS_MASTER | INTX_DISABLE, 2)
    client.set_irqs(INTX, 0x11, count=1)
    assert client.config(6, 2) == 0x18
    assert not interrupts(device.intx, SOON)
    client.set_config(COMMAND, MEMORY | BUS_MASTER, 2)
    assert interrupts(device.intx) == 1
    client.reset()
    assert client.config(6, 2) == 0x10
    device.close()


def test_intx_needs_no_bus_mastering(place):
    device = PciDevice(place.path, msix=False)
    device.client.set_config(COMMAND, MEMORY, 2)
    device.write(TXBASE, 1)
    assert interrupts(device.intx) == 1
    assert device.read(FLAGS) == FLTB.mask
    device.close()


def test_reading_evflags_withdraws_intx(place):
    host = host_of(place, msix=False)
    device, client = host.device, host.device.client
    client.set_config(COMMAND, MEMORY | BUS_MASTER | INTX_DISABLE, 2)
    host.submit(Command.FLUSHFILT)
    assert place.running.wait_until_idle()
    while not client.config(6, 2) & 8:
        pass
    assert EVFLAGS.describe(device.read(EVFLAGS)) == "CMDCOMP"
    assert client.config(6, 2) == 0x10
    device.close()


def test_masking_keeps_intx_back(place):
    device = PciDevice(place.path, msix=False)
    device.client.set_irqs(INTX, 0x09, count=1)
    place.running.fail()
    assert not interrupts(device.intx, SOON)
    device.client.set_irqs(INTX, 0x12, count=1, data=b"\0")
    assert not interrupts(device.intx, SOON)
    device.client.set_irqs(INTX, 0x12, count=1, data=b"\1")
    assert interrupts(device.intx) == 1
    device.close()


@pytest.mark.parametrize(
    ("index", "flags", "start", "count", "number"),
    [
        (5, 0x21, 0, 0, errno.EINVAL),
        (MSIX, 0x21, 1, 2, errno.EINVAL),
        (INTX, 0x21, 1, 1, errno.EINVAL),
        (1, 0x21, 0, 1, errno.EINVAL),
        (MSIX, 0x11, 0, 1, errno.ENOTSUP),
        (INTX, 0x14, 0, 1, errno.ENOTSUP),
    ],
)
def test_what_an_interrupt_cannot_do_is_refused(client, index, flags, start, count, number):
    with pytest.raises(Refused) as refused:
        client.set_irqs(index, flags, start, count)
    assert refused.value.errno == number
    assert client.info()


def test_errors_of_the_bus_may_be_asked_for(client):
    client.set_irqs(ERR, 0x24, count=1, fds=[os.eventfd(0)])


def test_a_client_that_fills_an_eventfd_at_the_last_moment_keeps_nobody_waiting(place, monkeypatch):
    """The card finds room in it, and then there is none; the eventfd is one that waits."""
    device = PciDevice(place.path)
    waits = os.eventfd(0xFFFF_FFFF, 0)
    os.eventfd_write(waits, 0xFFFF_FFFF_FFFF_FFFE - 0xFFFF_FFFF)
    device.client.set_irqs(MSIX, 0x24, start=FATAL, count=1, fds=[waits])
    looked = threading.Event()

    class Room:
        def register(self, *_):
            pass

        def poll(self, _timeout):
            looked.set()
            return [True]

    monkeypatch.setattr("emulator.vfio_user.interrupts.select.poll", Room)
    failing = threading.Thread(target=place.running.fail)
    failing.start()
    assert looked.wait(PATIENCE)
    device.close()
    wait_until_gone(place, 1)
    failing.join()
    monkeypatch.undo()
    works_for_the_next_client(place)


def test_a_full_eventfd_keeps_nobody_waiting(place):
    host = host_of(place)
    os.eventfd_write(host.device.events[FATAL], 0xFFFF_FFFF_FFFF_FFFE)
    place.running.fail()
    assert host.device.read(FLAGS) == HWERR.mask
    host.device.close()


# Memory


def test_memory_that_is_not_mapped_is_a_fault(place):
    host = host_of(place)
    assert host.device.client.unmap(PciDevice.BASE, PciDevice.SIZE)[8:16] == struct.pack(
        "<Q", PciDevice.BASE
    )
    host.send(ECHO.address)
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == FLTB.mask
    host.device.close()


def test_memory_that_the_client_refuses_is_a_fault(place):
    host = host_of(place, by_messages=True)
    host.device.client.refuse = errno.ENODEV
    host.send(ECHO.address)
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == FLTB.mask
    host.device.close()


def test_memory_that_may_only_be_read_is_not_written(place):
    host = host_of(place)
    client = host.device.client
    client.unmap(PciDevice.BASE, PciDevice.SIZE)
    client.map(PciDevice.BASE, PciDevice.SIZE, host.device.memfd, flags=1)
    host.submit(Command.FLUSHFILT)
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == FLTB.mask
    assert host.owner(COMMAND_RING, host.index["CMD"] - 1) == Owner.DEVICE
    host.device.close()


def test_memory_may_come_page_by_page_from_anywhere_in_a_file(place):
    device = PciDevice(place.path)
    device.client.unmap(device.BASE, device.SIZE)
    for start in range(0, device.SIZE, PAGE):
        device.client.map(device.BASE + start, PAGE, device.memfd, offset=start)
    host = Host(device).start()
    assert echoed(host, b"z" * 9000).payload == b"z" * 9000
    device.close()


def test_maps_of_one_file_need_one_descriptor_however_many_there_are(place):
    """A virtual machine with an IOMMU maps page by page, more often than there are descriptors."""
    device = PciDevice(place.path)
    client = device.client
    before, mapped = open_files(), map_count()
    for n in range(1000):
        client.map(0x1_0000_0000 + n * 2 * PAGE, PAGE, device.memfd, offset=n * PAGE)
    assert open_files() == before
    assert map_count() <= mapped
    client.unmap(0x1_0000_0000, 2000 * PAGE)
    host = Host(device).start()
    assert echoed(host, b"still there").payload == b"still there"
    device.close()


def test_memory_of_a_file_that_has_grown_is_reached(place):
    device = PciDevice(place.path)
    before = open_files()
    os.ftruncate(device.memfd, 2 * device.SIZE)
    device.client.unmap(device.BASE, device.SIZE)
    device.client.map(0, PAGE, device.memfd)
    os.ftruncate(device.memfd, 3 * device.SIZE)
    device.client.map(device.BASE, device.SIZE, device.memfd, offset=2 * device.SIZE)
    first = device.content
    device.content = mmap.mmap(device.memfd, device.SIZE, offset=2 * device.SIZE)
    first.close()
    device.client.unmap(0, PAGE)
    host = Host(device).start()
    assert echoed(host, b"far away").payload == b"far away"
    device.client.unmap(device.BASE, device.SIZE)
    assert open_files() == before - 1
    device.close()


def test_there_is_room_for_so_many_files(place):
    device = PciDevice(place.path)
    fds = [short_memfd() for _ in range(256)]
    for n, fd in enumerate(fds[:-1]):
        device.client.map(n * PAGE, PAGE, fd)
    with pytest.raises(Refused, match="No space left on device"):
        device.client.map(len(fds) * PAGE, PAGE, fds[-1])
    device.client.unmap(0, PAGE)
    device.client.map(0, PAGE, fds[-1])
    device.close()
    for fd in fds:
        os.close(fd)


def test_a_file_that_is_sealed_against_writing_is_a_fault_when_it_is_written(place):
    device = PciDevice(place.path)
    fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, PAGE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    device.client.map(0x1000, PAGE, fd)
    with place.running.held() as card:
        assert card.dma.read(0x1000, 4) == bytes(4)
        with pytest.raises(BusError):
            card.dma.write(0x1000, b"1234")
    device.close()
    os.close(fd)


def test_what_was_never_mapped_can_be_unmapped(client):
    client.unmap(0, 1 << 63)
    client.unmap(0xFEE00000, 0x1000)
    client.unmap(0, 0, flags=2)


def test_an_unmap_takes_all_maps_in_its_range_and_cuts_none(client):
    client.map(0x1000, 0x1000)
    client.map(0x3000, 0x1000)
    for address, size in [(0x1000, 0x800), (0x1800, 0x2800), (0, 0x1001)]:
        with pytest.raises(Refused, match="Invalid argument"):
            client.unmap(address, size)
    with pytest.raises(Refused, match="File exists"):
        client.map(0x1800, 0x1000)
    with pytest.raises(Refused, match="File exists"):
        client.map(0, 0x5000)
    client.unmap(0, 0x10000)
    client.map(0x1800, 0x1000)


def test_a_file_that_shrinks_under_the_card_is_a_fault_and_no_more(place):
    host = host_of(place, sealed=False)
    device = host.device
    # A ring that is still there, so that it is the card that meets the end of the file.
    os.ftruncate(device.memfd, 0)
    device.write(DBELL, doorbell(TRANSMIT_RING, 0))
    assert device.wait_for_interrupt(FATAL)
    assert device.read(FLAGS) == FLTB.mask
    assert os.fstat(device.memfd).st_size == 0
    device.close()
    works_for_the_next_client(place)


# Reset, and clients that come and go


def test_a_reset_makes_all_as_after_power_on(place):
    host = host_of(place)
    client = host.device.client
    client.write(BAR1, 0, b"abcd")
    client.reset()
    assert client.config(COMMAND, 2) == 0
    assert client.read(BAR1, 0, 4) == bytes(4)
    assert host.device.read(FLAGS) == 0
    assert not place.running.card.started
    assert not place.running.card.bus_master
    client.set_config(COMMAND, BUS_MASTER, 2)
    again = Host(host.device).start()
    assert echoed(again, b"again").payload == b"again"
    host.device.close()


def test_a_reset_revives_a_card_that_failed(place):
    device = PciDevice(place.path)
    place.running.fail()
    device.client.reset()
    assert device.read(FLAGS) == 0
    device.close()


def test_one_client_after_the_other_is_served(place):
    first = host_of(place)
    waiting = Client(place.path)
    waiting.send(1, struct.pack("<HH", 0, 0))
    time.sleep(SOON)
    assert not waiting._answers
    first.device.close()
    assert waiting.answer()[1] == 1
    waiting.close()
    works_for_the_next_client(place)
    assert place.server.clients == 3


@pytest.mark.parametrize("by_messages", [False, True], ids=["descriptor", "messages"])
def test_after_a_client_is_gone_nothing_is_written_to_its_memory(place, by_messages):
    for clients in range(1, 11):
        host = host_of(place, by_messages=by_messages)
        for n in range(SLOTS):
            host.send(ECHO.address, b"%d" % n * 1000)
        host.device.close()
        wait_until_gone(place, clients)
        before, content = place.counters.dma_writes, bytes(host.device.content)
        # There is more to receive than ever before.
        for _ in range(SLOTS):
            place.running._net.send(Packet(ADDRESS, 1, b"too late"))
        assert place.running.wait_until_idle()
        time.sleep(0.01)
        assert place.counters.dma_writes == before
        assert bytes(host.device.content) == content
    works_for_the_next_client(place)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_client_takes_all_its_descriptors_with_it(place, sealed):
    gc.collect()  # of what other tests left
    before = open_files()
    for _ in range(3):
        device = PciDevice(place.path, sealed=sealed)
        own = (device.memfd, *device.events, device.intx)
        device.client.map(0, PAGE, device.memfd)
        device.close()
        device.content.close()
        for fd in own:
            os.close(fd)
    wait_until_gone(place, 3)
    assert open_files() == before


# Clients that say what nobody may say


def made_to_leave(place, caplog, act, reason):
    """A client that does this is made to leave for a reason, and the next one is served."""
    caplog.set_level(logging.INFO)
    client = Client(place.path)
    client.greet()
    with contextlib.suppress(ConnectionError):
        act(client)
    assert client.wait_until_gone()
    client.close()
    works_for_the_next_client(place)
    assert f"client 1 was made to leave: {reason}" in caplog.messages


def pipe():
    return os.pipe()[0]


def short_memfd():
    fd = os.memfd_create("short")
    os.ftruncate(fd, PAGE)
    return fd


def read_only():
    fd = short_memfd()
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)


MISBEHAVIOUR = {
    "the kind of message": (
        lambda c: c.send(13, flags=2),
        "a message is a command or a reply (type 0 or 1), not of type 2",
    ),
    "the length": (
        lambda c: c.send_raw(struct.pack("<HHIII", 1, 13, 15, 0, 0)),
        "a message has at least 16 bytes, not 15",
    ),
    "an oversized message": (
        lambda c: c.send_raw(struct.pack("<HHIII", 1, 10, 0xFFFFFFFF, 0, 0)),
        "the body of a message (REGION_WRITE) has at most 4096 bytes, not 4294967279",
    ),
    "an oversized answer": (
        lambda c: c.send_raw(struct.pack("<HHIII", 1, 11, 0xFFFFFFFF, 1, 0)),
        "the body of a message (reply to DMA_READ) has at most 1048592 bytes, not 4294967279",
    ),
    "an answer to nothing": (
        lambda c: c.send(11, flags=1, number=7),
        "nobody waits for a reply to DMA_READ with number 7",
    ),
    "the body's length": (
        lambda c: c.send(4, b"123"),
        "DeviceInfo has 16 bytes, not 3",
    ),
    "less data than it says": (
        lambda c: c.send(10, struct.pack("<QII", 0, 0, 9) + b"12345678"),
        "REGION_WRITE ends with 9 bytes, not 8",
    ),
    "a second greeting": (lambda c: c.send(1, bytes(4)), "VERSION came a second time"),
    "descriptors that belong nowhere": (
        lambda c: c.send(13, fds=[pipe()]),
        "DEVICE_RESET brings no file descriptors",
    ),
    "too many descriptors": (
        lambda c: c.send(13, fds=[pipe()] * 100),
        "a message brings at most 8 file descriptors that can be received",
    ),
    "a pipe as memory": (
        lambda c: c.map(0, PAGE, pipe()),
        "the file descriptor of a map is not one of memory: a memfd, or a file of tmpfs or "
        "hugetlbfs",
    ),
    "a file of another file system as memory": (
        lambda c: c.map(0, PAGE, os.open(__file__, os.O_RDONLY), flags=1),
        "the file descriptor of a map is not one of memory: a memfd, or a file of tmpfs or "
        "hugetlbfs",
    ),
    "two descriptors for one map": (
        lambda c: c.call(DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0, PAGE), [pipe(), pipe()]),
        "a map brings at most 1 file descriptor, not 2",
    ),
    "memory past the end": (
        lambda c: c.map(0, 2 * PAGE, short_memfd()),
        "a map of 8192 bytes at offset 0 reaches past the end of a file of 4096 bytes",
    ),
    "memory past all offsets": (
        lambda c: c.map(0, PAGE, short_memfd(), offset=1 << 63),
        "no file has 4096 bytes at offset 9223372036854775808",
    ),
    "memory that may not be written": (
        lambda c: c.map(0, PAGE, read_only()),
        "the file descriptor of a map does not allow what the map allows",
    ),
    "memory past all addresses": (
        lambda c: c.map(1 << 63, (1 << 63) + 1),
        "a map of 9223372036854775809 bytes at 0x8000000000000000 does not fit into 64 bits",
    ),
    "a pipe as eventfd": (
        lambda c: c.set_irqs(MSIX, 0x24, count=1, fds=[pipe()]),
        "the file descriptor of an interrupt is not an eventfd",
    ),
    "too many eventfds": (
        lambda c: c.set_irqs(MSIX, 0x24, count=1, fds=[os.eventfd(0), os.eventfd(0)]),
        "2 file descriptors came for 1 interrupts",
    ),
    "two actions": (
        lambda c: c.set_irqs(MSIX, 0x31, count=1),
        "the flags of an interrupt setting must name one kind of data and one action, not 0x31",
    ),
}


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_a_client_that_gets_it_wrong_is_made_to_leave(place, caplog, what):
    made_to_leave(place, caplog, *MISBEHAVIOUR[what])


@pytest.mark.parametrize(
    ("command", "body", "reason"),
    [
        (13, b"", "the first message is VERSION, not DEVICE_RESET"),
        (99, b"", "the first message is VERSION, not command 99"),
        (1, b"", "Version has at least 4 bytes, not 0"),
        (
            1,
            struct.pack("<HH", 3, 5),
            "the client speaks version 3.5 of the protocol, this card 0.1",
        ),
        (1, bytes(4) + b"{}", "the version's text does not end with NUL"),
        (1, bytes(4) + b"{\0", "the version's text is not JSON"),
        (1, bytes(4) + b"[" * 4000 + b"\0", "the version's text is not JSON"),
        (1, bytes(4) + b"[]\0", "the version's text names no capabilities"),
        (
            1,
            bytes(4) + b'{"capabilities":{"max_data_xfer_size":0}}\0',
            "max_data_xfer_size must be a number from 1 on",
        ),
    ],
)
def test_a_client_must_greet(place, caplog, command, body, reason):
    caplog.set_level(logging.INFO)
    client = Client(place.path)
    client.send(command, body)
    assert client.wait_until_gone()
    client.close()
    works_for_the_next_client(place)
    assert f"client 1 was made to leave: {reason}" in caplog.messages


def test_a_client_that_vanishes_within_a_message_is_told_of(place, caplog):
    caplog.set_level(logging.INFO)
    client = Client(place.path)
    client.send_raw(b"123")
    client.close()
    works_for_the_next_client(place)
    assert "client 1 has gone: the client went away in the middle of a message" in caplog.messages


def test_an_unknown_command_is_refused_and_the_client_stays(client):
    for command in (6, 14, 15, 16, 11, 0xFFFF):
        with pytest.raises(Refused) as refused:
            client.call(command, b"whatever")
        assert refused.value.errno == errno.ENOTSUP
    client.send(99, flags=NO_REPLY)
    assert client.info()


def test_an_answer_of_the_wrong_length_makes_the_client_leave(place, caplog):
    caplog.set_level(logging.INFO)
    host = host_of(place, by_messages=True)
    client = host.device.client
    client.instead = lambda number, command: client.send(command, bytes(20), flags=1, number=number)
    host.send(ECHO.address)
    assert client.wait_until_gone()
    client.close()
    works_for_the_next_client(place)
    assert [
        text for text in caplog.messages if text.startswith("client 1 was made to leave: 1 bytes")
    ]


def test_a_client_that_sends_without_end_instead_of_an_answer_is_made_to_leave(place, caplog):
    caplog.set_level(logging.INFO)
    host = host_of(place, by_messages=True)
    client = host.device.client
    waits = threading.Event()
    client.instead = lambda *_: waits.set()
    host.send(ECHO.address)
    assert waits.wait(10)
    with contextlib.suppress(OSError):
        while True:
            client.post(BAR0, VMAJ.offset, b"none")
    client.close()
    works_for_the_next_client(place)
    reason = "more than 4096 commands came before an answer"
    assert f"client 1 was made to leave: {reason}" in caplog.messages


def test_descriptors_without_end_instead_of_an_answer_make_a_client_leave(place, caplog):
    caplog.set_level(logging.INFO)
    before = open_files()
    host = host_of(place, by_messages=True)
    client = host.device.client
    waits = threading.Event()
    client.instead = lambda *_: waits.set()
    host.send(ECHO.address)
    assert waits.wait(10)
    memory = short_memfd()
    with contextlib.suppress(OSError):
        while True:
            client.send(DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0, PAGE), [memory])
    client.close()
    wait_until_gone(place, 1)
    os.close(memory)
    reason = "more than 512 descriptors came before an answer"
    assert f"client 1 was made to leave: {reason}" in caplog.messages
    assert open_files() <= before + 10  # the client's own, and no queue of them
    works_for_the_next_client(place)


def test_a_client_that_is_refused_again_and_again_does_not_fill_the_log(place, caplog):
    caplog.set_level(logging.INFO)
    client = Client(place.path)
    client.greet()
    for _ in range(300):
        with pytest.raises(Refused):
            client.region_info(9)
    client.close()
    wait_until_gone(place, 1)
    refused = [text for text in caplog.messages if text.startswith("refused")]
    assert refused == ["refused DEVICE_GET_REGION_INFO: Invalid argument"] * 100
    assert "what else this client is refused is not told" in caplog.messages


def test_a_server_can_be_stopped_while_a_client_owes_an_answer(tmp_path):
    place = Place(tmp_path / "card")
    host = host_of(place, by_messages=True)
    waits = threading.Event()
    host.device.client.instead = lambda *_: waits.set()
    host.send(ECHO.address)
    assert waits.wait(10)
    place.close()
    host.device.close()


# Two cards on one net


def test_what_one_client_does_wrong_is_not_the_others_business(tmp_path):
    net = Ductnet()
    attach_services(net)
    one, other = Place(tmp_path / "one", net), Place(tmp_path / "other", net, hwaddr=7)
    good = host_of(other)
    for act, _ in MISBEHAVIOUR.values():
        bad = Client(one.path)
        bad.greet()
        with contextlib.suppress(ConnectionError):
            act(bad)
        assert echoed(good, b"fine").payload == b"fine"
        assert bad.wait_until_gone()
        bad.close()
    good.device.close()
    one.close()
    other.close()


# The socket


def test_a_socket_in_use_is_refused_and_left_alone(place):
    with pytest.raises(OSError, match="another process listens at this socket") as refused:
        Server(place.path, place.running, ClientMemory())
    assert refused.value.errno == errno.EADDRINUSE
    works_for_the_next_client(place)


def test_a_socket_that_a_dead_server_left_is_taken_over(tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "card"))
    place = Place(tmp_path / "card")
    works_for_the_next_client(place)
    place.close()
    assert not (tmp_path / "card").exists()


def test_a_socket_that_can_be_seen_can_be_connected_to(tmp_path, monkeypatch):
    path = tmp_path / "socket"
    there = []

    class Watched(socket.socket):
        def listen(self):
            there.append(path.exists())
            super().listen()

    monkeypatch.setattr("emulator.unix_socket.socket", Watched)
    listening = ListeningSocket.at(str(path), socket.SOCK_STREAM)
    assert there == [False]
    assert os.listdir(tmp_path) == ["socket"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listening.close()
    assert os.listdir(tmp_path) == []


def test_of_two_that_want_a_path_one_gets_it(tmp_path, monkeypatch):
    """Both have seen that nobody is there."""
    path = str(tmp_path / "socket")
    first = ListeningSocket.at(path, socket.SOCK_STREAM)
    monkeypatch.setattr("emulator.unix_socket._remove_what_was_left", lambda *_: None)
    with pytest.raises(FileExistsError):
        ListeningSocket.at(path, socket.SOCK_STREAM)
    assert os.listdir(tmp_path) == ["socket"]
    first.close()


def test_a_file_is_not_taken_for_a_socket(tmp_path, place):
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(OSError, match="something that is not a socket is there"):
        Server(str(path), place.running, ClientMemory())
    assert path.read_text() == "precious"


def test_a_socket_that_was_replaced_is_not_removed(tmp_path):
    place = Place(tmp_path / "card")
    os.rename(tmp_path / "card", tmp_path / "moved")
    (tmp_path / "card").write_text("another")
    place.close()
    assert (tmp_path / "card").read_text() == "another"
