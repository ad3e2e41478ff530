"""The card behind the vfio-user protocol, as a virtual machine finds it."""

import gc
import os
import struct
import time

import pytest

from emulator.packet import NetPacket
from model.layout import ECHO, FLAGS, HWADDR, LIMITS, VMAJ, Command
from tests.host import SLOTS, Host
from tests.vfio_user.client import (
    BAR0,
    BAR1,
    BUS_MASTER,
    COMMAND,
    CONFIG,
    PAGE,
    Client,
    PciDevice,
    Refused,
)
from tests.vfio_user.place import (
    ADDRESS,
    SOON,
    echoed,
    host_of,
    open_files,
    wait_until_gone,
    works_for_the_next_client,
)

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
        assert echoed(host, payload) == NetPacket(ADDRESS, ECHO.address, payload)
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
            place.net.send(NetPacket(ADDRESS, 1, b"too late"))
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
