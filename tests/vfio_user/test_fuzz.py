"""Clients that send anything at all: the server survives, and others notice nothing."""

import contextlib
import os
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.net import Ductnet
from emulator.services import attach_services
from tests.vfio_user.client import (
    BUS_MASTER,
    COMMAND,
    CONFIG,
    DMA_MAP,
    MEMORY,
    MSIX,
    PAGE,
    QEMU_VERSION,
    REGION_READ,
    REGION_WRITE,
    SET_IRQS,
    VERSION,
    Client,
)
from tests.vfio_user.place import (
    Place,
    echoed,
    host_of,
    open_files,
    wait_until_gone,
    works_for_the_next_client,
)

SECOND = 7


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two servers on one net, and a well-behaved client of the second."""
    net = Ductnet()
    attach_services(net)
    folder = tmp_path_factory.mktemp("fuzz")
    one, other = Place(folder / "one", net), Place(folder / "other", net, hwaddr=SECOND)
    good = host_of(other)
    yield one, good
    good.device.close()
    one.close()
    other.close()


def _files():
    """Makers of file descriptors, good and bad ones."""

    def memory():
        fd = os.memfd_create("fuzz")
        os.ftruncate(fd, 1 << 16)
        return fd

    return [
        lambda: os.eventfd(0, os.EFD_NONBLOCK),
        memory,
        lambda: os.open("/dev/null", os.O_RDWR),
        lambda: os.open("/", os.O_RDONLY),
    ]


SMALL = st.integers(0, 9) | st.sampled_from([16, 20, 24, 32, 0x21, 0x24, 0x800])
EDGES = st.sampled_from([0x1000, 0x10000, (1 << 31) - 1, (1 << 32) - 1, 1 << 63, (1 << 64) - 1])


def words(code, count):
    limit = (1 << 8 * struct.calcsize(code)) - 1
    numbers = (SMALL | EDGES).map(lambda number: number & limit)
    return st.lists(numbers, min_size=count, max_size=count).map(
        lambda values: struct.pack(f"<{count}{code}", *values)
    )


BODIES = st.one_of(
    st.binary(max_size=64),
    words("I", 4),
    words("I", 5),
    st.builds(bytes.__add__, words("I", 2), words("Q", 3)),
    st.builds(bytes.__add__, words("I", 2), words("Q", 2)),
    st.builds(lambda *parts: b"".join(parts), words("Q", 1), words("I", 2), st.binary(max_size=8)),
)
FLAGS = st.sampled_from([0, 0, 0, 0, 0x10, 1, 0x21, 2, 0x40, 0xFFFF_FFFF])
COMMANDS = st.integers(1, 13) | st.integers(0, 0xFFFF)
MESSAGES = st.tuples(
    COMMANDS,
    BODIES,
    FLAGS,
    st.sampled_from([0] * 8 + [1, -1, 100, 1 << 20, -(1 << 20)]),
    st.lists(st.sampled_from(_files()), max_size=3),
)


def send(client, message):
    command, body, flags, error, makers = message
    size = (16 + len(body) + error) & 0xFFFF_FFFF
    fds = [make() for make in makers]
    try:
        client.send_raw(struct.pack("<HHIII", 1, command, size, flags, 0) + body, fds)
    finally:
        for fd in fds:
            os.close(fd)


@contextlib.contextmanager
def client_of(place):
    """A client, until it is gone for the server too."""
    number = place.server.clients + 1
    client = Client(place.path)
    with contextlib.suppress(OSError):
        yield client
    client.close()
    wait_until_gone(place, number)


RELAXED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(greets=st.booleans(), messages=st.lists(MESSAGES, max_size=12))
@RELAXED
def test_no_message_harms_the_server_or_another_client(places, greets, messages):
    place, good = places
    with client_of(place) as client:
        if greets:
            client.greet(QEMU_VERSION)
        for message in messages:
            send(client, message)
    assert echoed(good, b"fine").source == 0xEC60
    assert not place.running.card.bus_master
    assert not place.running.card.started


@given(data=st.binary(max_size=300))
@RELAXED
def test_no_bytes_harm_the_server(places, data):
    place, _ = places
    with client_of(place) as client:
        client.send_raw(data or b"\0")


def test_a_client_may_vanish_after_any_byte(places, caplog):
    """What a virtual machine says first: its greeting, memory, an interrupt, the bus master bit."""
    place, good = places
    memory, event = os.memfd_create("vanishes"), os.eventfd(0, os.EFD_NONBLOCK)
    os.ftruncate(memory, PAGE)
    said = [
        (VERSION, struct.pack("<HH", 0, 0) + b'{"capabilities":{}}\0', []),
        (DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0, PAGE), [memory]),
        (SET_IRQS, struct.pack("<5I", 20, 0x24, MSIX, 0, 1), [event]),
        (REGION_WRITE, struct.pack("<QIIH", COMMAND, CONFIG, 2, MEMORY | BUS_MASTER), []),
        (REGION_READ, struct.pack("<QII", 0, CONFIG, 256), []),
    ]
    messages = [
        (struct.pack("<HHIII", 1, command, 16 + len(body), 0, 0) + body, fds)
        for command, body, fds in said
    ]
    before = open_files()
    for length in range(1 + sum(len(data) for data, _ in messages)):
        left = length
        with client_of(place) as client:
            for data, fds in messages:
                if left > 0:
                    client.send_raw(data[:left], fds)
                left -= len(data)
    os.close(memory)
    os.close(event)
    assert open_files() <= before - 2
    assert not place.running.card.bus_master
    assert not {record.levelname for record in caplog.records} & {"WARNING", "ERROR"}
    assert echoed(good, b"fine").payload == b"fine"


def test_after_all_that_the_next_client_is_served_and_no_file_is_left_open(places, caplog):
    place, _ = places
    number = place.server.clients + 1
    works_for_the_next_client(place)
    wait_until_gone(place, number)
    before = open_files()
    for maker in _files() * 20:
        with client_of(place) as client:
            client.greet()
            send(client, (8, struct.pack("<5I", 20, 0x24, 2, 0, 1), 0, 0, [maker]))
            send(client, (2, struct.pack("<IIQQQ", 32, 3, 0, 0, 4096), 0, 0, [maker]))
    assert open_files() <= before
    assert "mistake of the server" not in caplog.text
