"""One net for cards of several processes: who has it, and what happens when that one is lost."""

import os
import socket
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.packet import NetPacket
from emulator.shared_net import hub
from emulator.shared_net.frames import MAX_FRAME, WELCOME, decode, encode
from emulator.shared_net.member import SharedNet
from model.layout import ECHO

PATIENCE = 20
ADDRESS = st.integers(0, 0xFFFF_FFFF)


class Listener:
    """A station that keeps everything."""

    def __init__(self, net):
        self.heard = []
        net.attach(self)

    def deliver(self, packet):
        self.heard.append(packet)

    def hears(self, *packets):
        end = time.monotonic() + PATIENCE
        while self.heard != list(packets) and time.monotonic() < end:
            time.sleep(0.001)
        return self.heard == list(packets)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "net")


@pytest.fixture
def members(path):
    nets = [SharedNet(path) for _ in range(3)]
    yield nets
    for net in nets:
        net.close()


def until_joined(net, listener):
    """Send packets until one comes back; forget them."""
    end = time.monotonic() + PATIENCE
    while not listener.heard and time.monotonic() < end:
        net.send(NetPacket(0, 0))
        time.sleep(0.01)
    assert listener.heard
    time.sleep(0.1)
    listener.heard.clear()


@given(st.builds(NetPacket, ADDRESS, ADDRESS, st.binary(max_size=100)))
def test_a_packet_survives_its_record(packet):
    assert decode(encode(packet)) == packet


@given(st.binary(max_size=7))
def test_a_record_without_addresses_is_none(frame):
    with pytest.raises(ValueError, match=f"a record has 8 to 65536 bytes, not {len(frame)}"):
        decode(frame)


def test_the_longest_record():
    longest = NetPacket(1, 2, bytes(MAX_FRAME - 8))
    assert decode(encode(longest)) == longest
    with pytest.raises(ValueError, match="a packet of 65529 bytes is too long for the shared net"):
        encode(NetPacket(1, 2, bytes(MAX_FRAME - 7)))


def test_the_first_has_the_net(members):
    assert [net.is_hub for net in members] == [True, False, False]


def test_every_packet_reaches_every_station_its_sender_too_in_one_order(members):
    listeners = [Listener(net) for net in members for _ in range(2)]
    packets = [NetPacket(n, n, b"%d" % n * 1000) for n in range(30)]
    for n, packet in enumerate(packets):
        members[n % 3].send(packet)
        assert listeners[0].hears(*packets[: n + 1])
    assert all(listener.hears(*packets) for listener in listeners)


def test_packets_of_several_senders_come_in_the_same_order_everywhere(members):
    listeners = [Listener(net) for net in members]
    for n in range(50):
        for i, net in enumerate(members):
            net.send(NetPacket(n, i))
    end = time.monotonic() + PATIENCE
    while any(len(listener.heard) < 150 for listener in listeners) and time.monotonic() < end:
        time.sleep(0.001)
    assert len(listeners[0].heard) == 150
    assert all(listener.heard == listeners[0].heard for listener in listeners)


def test_there_is_one_echo_on_the_net(members):
    listener = Listener(members[2])
    asked = NetPacket(ECHO.address, 5, b"hello")
    members[1].send(asked)
    assert listener.hears(asked, NetPacket(5, ECHO.address, b"hello"))
    time.sleep(0.05)
    assert len(listener.heard) == 2


def test_who_left_hears_no_more(members):
    gone, here = Listener(members[0]), Listener(members[0])
    members[0].detach(gone)
    members[1].send(NetPacket(1, 2))
    assert here.hears(NetPacket(1, 2))
    assert gone.heard == []


def test_when_the_hub_ends_another_takes_its_place(path):
    first, second, third = (SharedNet(path) for _ in range(3))
    listeners = [Listener(net) for net in (second, third)]
    first.close()
    for net, listener in zip((second, third), listeners, strict=True):
        until_joined(net, listener)
    assert second.is_hub != third.is_hub
    time.sleep(0.1)
    for listener in listeners:
        listener.heard.clear()
    third.send(NetPacket(1, 2, b"after"))
    assert all(listener.hears(NetPacket(1, 2, b"after")) for listener in listeners)
    second.close()
    third.close()
    assert not os.path.exists(path)


def test_a_hub_that_is_killed_is_replaced(path):
    program = (
        "import sys, time\n"
        "from emulator.shared_net.member import SharedNet\n"
        "net = SharedNet(sys.argv[1])\n"
        "print(net.is_hub, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "True\n"
        net = SharedNet(path)
        listener = Listener(net)
        assert not net.is_hub
        net.send(NetPacket(1, 2))
        assert listener.hears(NetPacket(1, 2))
        process.kill()
    listener.heard.clear()
    until_joined(net, listener)
    assert net.is_hub
    net.close()


def test_packets_of_who_has_left_are_lost_and_counted(members):
    members[1].close()
    members[1].send(NetPacket(1, 2))
    assert members[1].lost == 1


def stranger(path):
    them = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    them.connect(path)
    assert them.recv(MAX_FRAME) == WELCOME
    return them


@pytest.mark.parametrize("record", [b"1234567", bytes(MAX_FRAME + 1)], ids=["short", "long"])
def test_who_sends_what_is_no_packet_is_made_to_leave(members, path, caplog, record):
    listener = Listener(members[0])
    with stranger(path) as them:
        them.settimeout(PATIENCE)
        them.send(record)
        assert them.recv(100) == b""
    assert caplog.messages == [
        f"a member was made to leave the net: a record has 8 to 65536 bytes, not {len(record)}"
    ]
    members[1].send(NetPacket(1, 2))
    assert listener.hears(NetPacket(1, 2))


def test_who_does_not_listen_keeps_nobody_waiting(members, path, monkeypatch):
    monkeypatch.setattr(hub, "WAITING", 10)
    listener = Listener(members[0])
    packets = [NetPacket(n, 0, bytes(10_000)) for n in range(200)]
    with stranger(path) as deaf:
        for n, packet in enumerate(packets):
            members[1].send(packet)
            assert listener.hears(*packets[: n + 1])
        # It missed some, and hears the next ones.
        deaf.settimeout(PATIENCE)
        heard = [decode(deaf.recv(MAX_FRAME)).destination for _ in range(10)]
    assert heard == list(range(10))


def test_a_path_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        SharedNet(str(tmp_path / "nowhere" / "net"))
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OSError, match="something that is not a socket is there"):
        SharedNet(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "precious"
