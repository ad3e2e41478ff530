"""Clients that say what nobody may say: they are made to leave, and nobody else notices."""

import contextlib
import errno
import logging
import os
import struct
import threading

import pytest

from emulator.net import Ductnet
from emulator.services import attach_services
from model.layout import ECHO, VMAJ
from tests.vfio_user.client import BAR0, DMA_MAP, MSIX, NO_REPLY, PAGE, Client, Refused
from tests.vfio_user.place import (
    Place,
    echoed,
    host_of,
    open_files,
    short_memfd,
    wait_until_gone,
    works_for_the_next_client,
)


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


def owing_an_answer(place):
    """A client that was asked for memory and does not answer."""
    host = host_of(place, by_messages=True)
    client = host.device.client
    asked = threading.Event()
    client.instead = lambda *_: asked.set()
    host.send(ECHO.address)
    assert asked.wait(10)
    return client


def test_a_client_that_sends_without_end_instead_of_an_answer_is_made_to_leave(place, caplog):
    caplog.set_level(logging.INFO)
    client = owing_an_answer(place)
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
    client = owing_an_answer(place)
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
