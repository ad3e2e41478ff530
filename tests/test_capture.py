"""Captured packets: the file byte for byte, what scapy reads of it, rotation, who captures what."""

import errno
import os
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import PcapNgReader

from examples.ductnet_scapy import Ductnet
from impl.driver import DuctDriver
from model.layout import ECHO, LIMITS, UserHeader, pack
from tests.background import Background
from tests.test_device import LONGEST, Machine, message
from userland import ductctl
from userland.pcapng import Capture, Direction, frame_block, opening_blocks

TIME = 1_700_000_000_123_456_789
PAYLOADS = st.binary(max_size=40) | st.sampled_from([bytes(LIMITS.max_packet)])


def frame(payload, source=1, destination=2):
    return pack(UserHeader(source, destination, len(payload))) + payload


def read(path):
    """Direction, nanoseconds, and layer of each packet in a file."""
    with PcapNgReader(str(path)) as reader:
        return [(packet.direction, int(packet.time * 10**9), packet) for packet in reader]


def blocks(data):
    """Kind and body of each block; their two lengths agree."""
    found = []
    while data:
        kind, size = struct.unpack_from("<II", data)
        assert struct.unpack_from("<I", data, size - 4) == (size,)
        assert size % 4 == 0
        found.append((kind, data[8 : size - 4]))
        data = data[size:]
    return found


@given(payloads=st.lists(st.tuples(PAYLOADS, st.sampled_from(Direction)), max_size=5))
def test_scapy_reads_what_was_written(tmp_path_factory, payloads):
    path = tmp_path_factory.mktemp("capture") / "file"
    times = iter(range(TIME, TIME + len(payloads)))
    with Capture(path, "duct0", clock=lambda: next(times)) as capture:
        for payload, direction in payloads:
            capture.write(frame(payload), direction)
    got = read(path)
    assert len(got) == len(payloads)
    for number, ((payload, direction), (said, when, packet)) in enumerate(
        zip(payloads, got, strict=True)
    ):
        assert (said, when) == (direction, TIME + number)
        assert isinstance(packet, Ductnet)
        assert (packet.source, packet.destination, packet.length) == (1, 2, len(payload))
        assert bytes(packet.payload) == payload


@given(payload=PAYLOADS)
def test_every_block_says_its_length_twice(payload):
    file = opening_blocks("duct0") + frame_block(frame(payload), Direction.SENT, TIME)
    (section, head), (interface, _), (packet, body) = blocks(file)
    assert (section, interface, packet) == (0x0A0D0D0A, 1, 6)
    assert struct.unpack_from("<IHH", head) == (0x1A2B3C4D, 1, 0)
    size = 16 + len(payload)
    assert struct.unpack_from("<IIIII", body)[3:] == (size, size)
    assert body[20 : 20 + size] == frame(payload)


def test_a_file_that_gets_too_long_is_begun_anew_and_no_frame_is_split(tmp_path):
    path = tmp_path / "file"
    limit = 1000
    with Capture(path, "duct0", limit) as capture:
        for number in range(100):
            capture.write(frame(b"%03d" % number), Direction.SENT)
            assert path.stat().st_size <= limit
    old, new = (
        [int(bytes(packet.payload)) for _, _, packet in read(it)] for it in (f"{path}.1", path)
    )
    assert old + new == list(range(old[0], 100))
    assert sorted(os.listdir(tmp_path)) == ["file", "file.1"]


def test_a_frame_that_is_longer_than_a_file_may_be_has_one_of_its_own(tmp_path):
    with Capture(tmp_path / "file", "duct0", 10) as capture:
        for _ in range(2):
            capture.write(frame(b"x" * 50), Direction.SENT)
    assert len(read(tmp_path / "file")) == len(read(tmp_path / "file.1")) == 1


def test_threads_do_not_get_into_each_others_frames(tmp_path):
    path = tmp_path / "file"
    with Capture(path, "duct0") as capture:

        def write(name):
            for _ in range(50):
                capture.write(frame(bytes([name]) * 100), Direction.SENT)

        for call in [Background(lambda name=name: write(name)) for name in range(4)]:
            assert call.join().error is None
    payloads = [bytes(packet.payload) for _, _, packet in read(path)]
    assert sorted(payloads) == sorted(bytes([name]) * 100 for name in range(4) for _ in range(50))


def test_others_may_not_read_the_file(tmp_path):
    with Capture(tmp_path / "file", "duct0"):
        assert (tmp_path / "file").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("command", [("tcpdump", "-r"), ("capinfos",)], ids=lambda words: words[0])
def test_programs_for_captures_accept_the_file(tmp_path, command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    with Capture(tmp_path / "file", "duct0") as capture:
        capture.write(frame(b"hello"), Direction.SENT)
    subprocess.run([*command, str(tmp_path / "file")], check=True, capture_output=True)


# Who captures


def test_the_daemon_captures_what_all_programs_send_and_receive(tmp_path):
    path = tmp_path / "file"
    with (
        Capture(path, "duct0") as capture,
        Machine(capture=capture) as machine,
        machine.open() as one,
        machine.open() as other,
    ):
        own = machine.card.card.hwaddr
        one.write(message(ECHO.address, b"hello"))
        assert len(other.read(3)) == 3  # cut for the reader, and whole in the file
        with pytest.raises(OSError, match="Invalid"):
            one.write(b"no packet")
    assert [
        (said, packet.source, packet.destination, bytes(packet.payload))
        for said, _, packet in read(path)
    ] == [
        (Direction.SENT, own, ECHO.address, b"hello"),
        (Direction.RECEIVED, ECHO.address, own, b"hello"),
    ]


def test_a_capture_that_cannot_be_written_is_given_up_and_users_notice_nothing(tmp_path, caplog):
    with Capture(tmp_path / "file", "duct0") as capture, Machine(capture=capture) as machine:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, capture.descriptor)
        os.close(full)
        with machine.open() as file:
            for number in range(3):
                file.write(message(ECHO.address, b"%d" % number))
                assert file.read(LONGEST)[16:] == b"%d" % number
    assert [record.message for record in caplog.records] == [
        f"nothing is captured from now on: {tmp_path}/file: {os.strerror(errno.ENOSPC)}"
    ]


def test_ductctl_captures_what_comes_until_nothing_comes(tmp_path):
    path = tmp_path / "file"
    with DuctDriver.open("emulated:capture") as duct:
        capturing = Background(
            lambda: ductctl.main(["-d", "emulated:capture", "-w", str(path), "-t", "1"])
        )
        for number in range(5):
            duct.send(duct.info.hwaddr, b"%d" % number)
        assert capturing.join().value == 0
    assert [bytes(packet.payload) for _, _, packet in read(path)] == [b"0", b"1", b"2", b"3", b"4"]
