"""The driver's calls over a device file: program, a kernel in the test, daemon, driver, card."""

import errno
import functools
import inspect
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impl.device_calls import CANCEL, FOREVER, GET_READY, SET_TIMEOUT, TIMEOUT
from impl.device_file import LINUX, DeviceFile
from impl.driver import DuctDriver
from impl.duct import file_of, open_duct
from impl.errors import (
    CardFailedError,
    ClosedError,
    FilterTableFullError,
    InvalidArgumentError,
    NoSuchCardError,
    NoSuchFilterError,
    NotPermittedError,
    NotSupportedError,
    PacketTooLongError,
    UnknownAddressError,
    WaitTimeoutError,
    WouldBlockError,
)
from impl.packet import Packet
from impl.settings import Settings
from model.layout import ECHO, LIMITS, UserHeader, pack
from properties.simulation.arrays import room_for, sendable, taken
from tests.background import Background, until
from tests.test_device import Machine, refused

GROUP = 0x80004711
NOBODY = 0x0BAD_F00D
PATIENCE = 30


class Calls:
    """System calls on the files of a fake kernel."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.files = {}
        self._mutex = threading.Lock()

    def open(self, path, flags):
        if path != "/dev/duct0":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        file = self.kernel.open(flags)
        with self._mutex:
            self.files[file.number] = file
        return file.number

    def close(self, number):
        self.files.pop(number).close()

    def read(self, number, size):
        return self.files[number].read(size)

    def write(self, number, data):
        return self.files[number].write(data)

    def ioctl(self, number, request, argument):
        return self.files[number].ioctl(request, argument)


@pytest.fixture
def machine():
    with Machine() as machine:
        machine.calls = Calls(machine.kernel)
        yield machine
        assert not machine.calls.files


@pytest.fixture
def duct(machine):
    with open_duct("/dev/duct0", calls=machine.calls) as duct:
        yield duct


@pytest.fixture(scope="module")
def shared():
    with Machine() as machine, open_duct("0", calls=Calls(machine.kernel)) as duct:
        yield duct


# What is meant by a name


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/dev/duct0", "/dev/duct0"),
        ("./some/file", "./some/file"),
        ("duct0", "/dev/duct0"),
        ("duct12", "/dev/duct12"),
        ("0", "/dev/duct0"),
        ("7", "/dev/duct7"),
        ("emulated:", None),
        ("emulated:/x", None),
        ("vfio:0000:00:05.0", None),
        ("duct", None),
        ("", None),
        ("\u0663", None),
    ],
)
def test_a_name_means_a_file_or_a_card(address, path):
    assert file_of(address) == path


def test_a_card_is_opened_as_ever():
    with open_duct("emulated:file") as duct:
        assert type(duct) is DuctDriver
    with pytest.raises(UnknownAddressError):
        open_duct("nonsense")


def test_both_have_the_same_calls_with_the_same_arguments():
    public = {name for name in vars(DuctDriver) if not name.startswith("_")} - {"open"}
    assert public <= set(dir(DeviceFile))
    for name in public - {"receive_view", "closed", "interruption"}:
        of_driver, of_file = (
            inspect.signature(getattr(kind, name)).parameters for kind in (DuctDriver, DeviceFile)
        )
        assert [(it.name, it.kind, it.default) for it in of_driver.values()] == [
            (it.name, it.kind, it.default) for it in of_file.values()
        ], name


# Calls


def test_an_error_behind_the_packets_of_a_batch_is_raised_by_the_next_call(machine, duct):
    for payload in (b"one", b"lost", b"three"):
        duct.send(ECHO.address, payload)
    until(lambda: duct.poll().next_length == 3)
    reads, read = [], machine.calls.read

    def loses_the_second(number, size):
        reads.append(read(number, size))
        if len(reads) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return reads[-1]

    machine.calls.read = loses_the_second
    assert [packet.payload for packet in duct.receive_batch(3)] == [b"one"]
    with pytest.raises(CardFailedError):
        duct.receive()
    assert duct.receive(timeout=PATIENCE).payload == b"three"


@given(payload=st.binary(max_size=99) | st.sampled_from([b"", bytes(LIMITS.max_packet)]))
@settings(max_examples=25)
def test_packets_go_and_come(shared, payload):
    parts = [payload[:7], payload[7:]]
    shared.send(ECHO.address, parts)
    assert shared.receive(timeout=PATIENCE) == Packet(ECHO.address, shared.info.hwaddr, payload)
    header = pack(UserHeader(0, ECHO.address, len(payload)))
    assert shared.write(header + payload) == 16 + len(payload)
    answer = pack(UserHeader(ECHO.address, shared.info.hwaddr, len(payload)))
    assert shared.read(20) == (answer + payload)[:20]
    shared.write(header + payload)
    assert shared.read(0) == b""
    with pytest.raises(WouldBlockError):
        shared.read(blocking=False)


def test_batches_keep_their_order(duct):
    batch = [(ECHO.address, b"%d" % number) for number in range(30)]
    assert duct.send_batch(batch) == 30
    assert duct.send_batch([]) == 0
    until(lambda: duct.poll().next_length is not None)
    got = []
    while len(got) < 30:
        got += duct.receive_batch(7, timeout=PATIENCE)
    assert [packet.payload for packet in got] == [payload for _, payload in batch]


def test_packets_in_arrays_go_through_a_file(duct):
    batch = [(ECHO.address, bytes(number)) for number in range(9)]
    assert duct.send_from(sendable(batch)) == 9
    got, room = [], room_for(4)
    while len(got) < 9:
        assert duct.receive_into(room, timeout=PATIENCE) <= 4
        got += taken(room)
    assert [packet.payload for packet in got] == [payload for _, payload in batch]
    assert {packet.source for packet in got} == {ECHO.address}
    with pytest.raises(InvalidArgumentError):
        duct.receive_into(room, 5)


def test_a_batch_waits_for_the_first_packet_and_takes_no_more_than_asked_for(machine, duct):
    reader = Background(lambda: duct.receive_batch(3))
    machine.asleep(1)
    duct.send(ECHO.address, b"one")
    assert [packet.payload for packet in reader.join().value] == [b"one"]
    for number in range(3):
        duct.send(ECHO.address, b"%d" % number)
    until(lambda: machine.card.counters.received == 4)
    assert [packet.payload for packet in duct.receive_batch(2)] == [b"0", b"1"]
    assert [packet.payload for packet in duct.receive_batch(2)] == [b"2"]


def test_of_a_batch_the_last_packet_is_waited_for_and_so_all_are(machine, duct):
    written, write = [], machine.calls.write

    def noting(number, data):
        written.append((number == duct.fileno(), data))
        return write(number, data)

    machine.calls.write = noting
    assert duct.send_batch([(NOBODY, b"%d" % number) for number in range(3)]) == 3
    messages = [pack(UserHeader(0, NOBODY, 1)) + b"%d" % number for number in range(3)]
    assert written == list(zip((True, True, False), messages, strict=True))
    assert machine.card.counters.transmitted == 3


def test_a_batch_that_may_not_wait_queues_what_there_is_room_for(machine, duct):
    machine.own.stand_still()
    slots = 1 << LIMITS.default_shift
    batch = [(NOBODY, b"")] * (slots + 5)
    assert duct.send_batch(batch, blocking=False) == slots
    with pytest.raises(WouldBlockError):
        duct.send_batch(batch, blocking=False)
    waits = Background(lambda: duct.send_batch(batch))
    machine.asleep(1)
    machine.go_on()
    assert waits.join().value == slots + 5
    assert machine.card.counters.transmitted == 2 * slots + 5


def test_filters_have_the_errors_of_the_driver(duct):
    duct.add_multicast(0xFFFFFFFF, GROUP)
    duct.send(GROUP, b"to the group")
    assert duct.receive(timeout=PATIENCE).payload == b"to the group"
    duct.remove_multicast(0xFFFFFFFF, GROUP)
    with pytest.raises(NoSuchFilterError):
        duct.remove_multicast(0xFFFFFFFF, GROUP)
    with pytest.raises(InvalidArgumentError):
        duct.add_multicast(1, 1)
    with pytest.raises(WouldBlockError):
        duct.add_multicast(0xFFFFFFFF, GROUP, timeout=0)
    for number in range(15):
        duct.add_multicast(0xFFFFFFFF, GROUP + number)
    with pytest.raises(FilterTableFullError):
        duct.add_multicast(0xFFFFFFFF, GROUP + 15)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (InvalidArgumentError, lambda duct: duct.send(1 << 32, b"")),
        (InvalidArgumentError, lambda duct: duct.write(b"short")),
        (InvalidArgumentError, lambda duct: duct.receive(timeout=-1)),
        (InvalidArgumentError, lambda duct: duct.receive_batch(0)),
        (PacketTooLongError, lambda duct: duct.send(1, bytes(LIMITS.max_packet + 1))),
        (TypeError, lambda duct: duct.send(1, "text")),
        (TypeError, lambda duct: duct.read("1")),
        (NotSupportedError, lambda duct: duct.receive_view(timeout=1)),
        (NotSupportedError, lambda duct: duct.interruption()),
        *(
            (NotSupportedError, functools.partial(call, interruption=object()))
            for call in (
                lambda duct, **more: duct.send(1, b"", **more),
                lambda duct, **more: duct.send_batch([(1, b"")], **more),
                lambda duct, **more: duct.write(pack(UserHeader(0, 1, 0)), **more),
                lambda duct, **more: duct.receive(timeout=0, **more),
                lambda duct, **more: duct.read(timeout=0, **more),
                lambda duct, **more: duct.add_multicast(0xFFFFFFFF, GROUP, **more),
                lambda duct, **more: duct.remove_multicast(0xFFFFFFFF, GROUP, **more),
            )
        ),
    ],
)
def test_what_cannot_be_is_refused_as_by_the_driver(shared, error, call):
    with pytest.raises(error):
        call(shared)
    with pytest.raises(WouldBlockError):
        shared.receive(blocking=False)


def test_poll_says_how_long_the_next_packet_is_and_how_many_could_be_queued(duct):
    slots = 1 << LIMITS.default_shift
    assert (duct.poll().next_length, duct.poll().free_slots) == (None, slots)
    duct.send(ECHO.address, b"hello")
    until(lambda: duct.poll().next_length == 5)


# Waiting


def test_a_time_limit_is_the_call_s_own(machine, duct):
    for _ in range(2):
        with pytest.raises(WaitTimeoutError) as raised:
            duct.receive(timeout=0.02)
        assert raised.value.strerror == "waited 0.02 s for /dev/duct0"
    # The file that had it is used again, without one.
    reader = Background(duct.receive)
    machine.asleep(1)
    assert len(machine.calls.files) == 2
    duct.send(ECHO.address, b"x", timeout=PATIENCE)
    assert reader.join().value.payload == b"x"
    machine.own.stand_still()
    with pytest.raises(WaitTimeoutError):
        duct.send(NOBODY, b"", timeout=0.02)
    machine.go_on()


@pytest.mark.parametrize("limit", [4294967.294, 4294967.295, 1e9, 1e300, float("inf")])
def test_a_very_long_time_limit_is_as_good_as_none(duct, limit):
    reader = Background(lambda: duct.receive(timeout=limit))
    duct.send(ECHO.address, b"x", timeout=limit)
    assert reader.join().value.payload == b"x"


def test_closing_ends_calls_that_wait_for_the_card(machine):
    duct = open_duct("duct0", calls=machine.calls)
    with machine.open() as file:
        machine.clog(file)
        waiting = [
            Background(lambda: duct.send(NOBODY, b"")),
            Background(lambda: duct.add_multicast(0xFFFFFFFF, GROUP)),
        ]
        machine.asleep(2)
        duct.close()
        assert {type(call.join().error) for call in waiting} == {ClosedError}
        machine.go_on()


def test_calls_of_many_threads_wait_at_once_and_closing_ends_them_all(machine):
    duct = open_duct("duct0", calls=machine.calls)
    readers = [Background(duct.receive) for _ in range(9)]
    readers.append(Background(lambda: duct.receive(timeout=PATIENCE)))
    readers.append(Background(lambda: list(duct)))
    machine.asleep(11)
    duct.close()
    duct.close()
    assert readers.pop().join().value == []
    assert {type(reader.join().error) for reader in readers} == {ClosedError}
    assert duct.closed
    for call in (duct.receive, duct.fileno, duct.poll, lambda: duct.send(1, b"")):
        with pytest.raises(ClosedError):
            call()


@pytest.mark.parametrize("turn", range(10))
def test_closing_at_any_moment_ends_calls_that_begin(machine, turn):
    duct = open_duct("duct0", calls=machine.calls)
    readers = [Background(duct.receive) for _ in range(turn % 4 + 1)]
    duct.close()
    assert {type(reader.join().error) for reader in readers} == {ClosedError}


# Failures


def test_a_fatal_error_is_the_driver_s(machine):
    duct = open_duct("duct0", calls=machine.calls)
    reader = Background(duct.receive)
    machine.asleep(1)
    machine.card.fail()
    assert type(reader.join().error) is CardFailedError
    with pytest.raises(CardFailedError):
        duct.send(ECHO.address, b"")
    with pytest.raises(CardFailedError):
        open_duct("duct0", calls=machine.calls)
    duct.close()
    with open_duct("duct0", calls=machine.calls) as duct:
        duct.send(ECHO.address, b"back")
        assert duct.receive(timeout=PATIENCE).payload == b"back"


def test_the_end_of_the_daemon_is_a_failure():
    with Machine() as machine:
        duct = open_duct("duct0", calls=Calls(machine.kernel))
        reader = Background(duct.receive)
        machine.asleep(1)
        machine.server.stop()
        error = reader.join().error
    assert type(error) is CardFailedError
    assert error.strerror == "/dev/duct0: whoever served it has ended; open it again"


def test_a_file_that_is_not_served_says_who_would(machine):
    with pytest.raises(NoSuchCardError) as raised:
        open_duct("duct7", calls=machine.calls)
    told = "nothing serves /dev/duct7; ductd does, and has to be started"
    assert raised.value.strerror == told


def test_a_file_that_is_no_duct_device_says_so():
    with pytest.raises(NoSuchCardError) as raised:
        open_duct("/dev/null")
    assert raised.value.strerror == "/dev/null is no duct device"


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOTTY, NoSuchCardError), (errno.ENOMEM, OSError)]
)
def test_a_file_that_does_not_say_what_it_is_is_closed(machine, number, error):
    class Silent(Calls):
        def ioctl(self, *_):
            raise OSError(number, os.strerror(number))

    calls = Silent(machine.kernel)
    with pytest.raises(error) as raised:
        open_duct("duct0", calls=calls)
    assert raised.type is error
    assert not calls.files


def test_the_system_calls_are_the_kernel_s(tmp_path):
    path = tmp_path / "file"
    path.touch()
    descriptor = LINUX.open(str(path), os.O_RDWR)
    assert LINUX.write(descriptor, b"some bytes") == 10
    os.lseek(descriptor, 0, os.SEEK_SET)
    assert LINUX.read(descriptor, 4) == b"some"
    assert not os.get_inheritable(descriptor)
    LINUX.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(descriptor)


def test_what_is_kept_of_a_file_that_was_closed_is_not_given(machine):
    duct = open_duct("duct0", calls=machine.calls)
    duct.owed.append(Packet(1, 2, b"kept"))
    duct.close()
    with pytest.raises(ClosedError):
        duct.receive()


def test_a_file_that_may_not_be_opened_says_what_would_permit_it(machine):
    class Locked(Calls):
        def open(self, path, flags):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    with pytest.raises(NotPermittedError, match="--mode and --group"):
        open_duct("duct0", calls=Locked(machine.kernel))


def test_what_whoever_serves_the_file_has_chosen_is_refused():
    with pytest.raises(NotSupportedError, match="ductd --monitor"):
        open_duct("/dev/duct0", monitor=True)
    with pytest.raises(NotSupportedError, match="the settings"):
        open_duct("/dev/duct0", settings=Settings())


# The calls beyond the datasheet's


def test_a_file_s_time_limit_and_end_are_its_own(machine):
    with machine.open() as limited, machine.open() as other:
        limited.ioctl(SET_TIMEOUT, TIMEOUT.pack(10))
        assert refused(limited.read, 99) == errno.ETIMEDOUT
        limited.ioctl(SET_TIMEOUT, TIMEOUT.pack(FOREVER))
        readers = limited.begin_read(99), other.begin_read(99)
        machine.asleep(2)
        limited.ioctl(CANCEL)
        assert refused(readers[0].result) == errno.ECANCELED
        assert refused(limited.read, 99) == errno.ECANCELED
        assert not readers[1].answered
        other.write(pack(UserHeader(0, ECHO.address, 0)))
        assert len(readers[1].result()) == 16
        assert len(other.ioctl(GET_READY)) == 8
