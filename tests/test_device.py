"""The character device: what the datasheet says of each call, over a kernel of the test's own."""

import contextlib
import errno
import gc
import os
import random
import select
import threading
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cuse import Call, Server
from cuse.messages import Opcode, OpenIn, OpenOut, ReleaseIn
from impl.device_calls import ADD_MCAST, CANCEL, GET_INFO, GET_READY, RM_MCAST, SET_TIMEOUT
from impl.settings import Monitoring
from model.layout import ECHO, INFO, LIMITS, MULTICAST_FILTER, USER_HEADER
from tests.background import Background, until
from tests.fake_cuse import FakeKernel, serving
from tests.own_card import OwnCard
from userland.daemon.device import DuctDevice
from userland.daemon.readiness import Poller

NOBODY = 0x0BAD_F00D
LONGEST = USER_HEADER.size + LIMITS.max_packet
NONBLOCK = os.O_RDWR | os.O_NONBLOCK
PATIENCE = 30
CALLS = {GET_INFO, ADD_MCAST, RM_MCAST, CANCEL, GET_READY, SET_TIMEOUT}
SIZES = [0, 1, 4095, 4096, 4097, LIMITS.max_packet]


def message(destination, payload, length=None):
    """What a program writes."""
    size = len(payload) if length is None else length
    return USER_HEADER.codec.pack(0, destination, size) + payload


def parts(data):
    """Source, destination, length and payload of what a program reads."""
    return *USER_HEADER.codec.unpack(data[: USER_HEADER.size]), data[USER_HEADER.size :]


def refused(call, *arguments):
    """The errno that a call ends with."""
    with pytest.raises(OSError) as raised:
        call(*arguments)
    return raised.value.errno


class Machine:
    """A card, the daemon's device and a kernel, as long as a `with` block lasts."""

    def __init__(self, capture=None, **options):
        self.own = OwnCard(**options)
        self._capture = capture

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self._stack.callback(self.own.power_off)
        monitoring = Monitoring() if self.own.options.get("monitor") else None
        self.own.attachments.join("emulated:", None, monitoring)
        self.device = DuctDevice(self.own.open, self._capture)
        self._stack.callback(self.device.close)
        self.kernel, self.server = self._stack.enter_context(
            serving(lambda descriptor: Server(self.device, "duct0", descriptor), FakeKernel())
        )
        return self

    def __exit__(self, *_):
        self._stack.close()

    @property
    def card(self):
        return self.own.card

    def open(self, flags=os.O_RDWR):
        return self.kernel.open(flags)

    def asleep(self, calls):
        """Wait until so many calls sleep in the driver."""
        controller = next(iter(self.own.attachments._cards.values())).controller
        runtime = getattr(controller.runtime, "_inner", controller.runtime)
        sleepers = runtime._sleepers
        until(lambda: sum(map(len, sleepers.values())) == calls)

    def clog(self, file):
        """The card stands still, and its transmit ring is full; how many packets wait."""
        self.own.stand_still()
        file.flags = NONBLOCK
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                file.write(message(NOBODY, b""))
                sent += 1
        file.flags = os.O_RDWR
        return sent

    def go_on(self):
        self.own.stand_still(False)


@pytest.fixture
def machine():
    with Machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def shared():
    """A card that many examples use, and a file of it."""
    with Machine() as machine, machine.open() as file:
        yield file


# ioctl


def test_the_numbers_are_those_that_c_programs_have():
    assert (GET_INFO, ADD_MCAST, RM_MCAST) == (0x800C7A00, 0x40087A01, 0x40087A02)


def test_get_info_says_what_the_card_is(machine):
    with machine.open() as file:
        assert INFO.codec.unpack(file.ioctl(GET_INFO)) == (2, 1, machine.card.card.hwaddr)


@given(command=st.integers(0, 0xFFFFFFFF).filter(lambda it: it not in CALLS))
@example(command=0x400C7A00)  # GET_INFO as BSD's macros make it
@example(command=0x80087A01)
@example(command=GET_INFO + 3)
@example(command=GET_INFO - (4 << 16))  # one field less
def test_other_numbers_are_no_calls_of_the_device(shared, command):
    size = command >> 16 & 0x3FFF
    assert refused(shared.ioctl, command, bytes(size)) == errno.ENOTTY


def test_multicast_filters_receive_and_each_error_is_its_own(machine):
    with machine.open() as file:
        group = MULTICAST_FILTER.codec.pack(0xFFFF0000, 0x80010000)
        file.ioctl(ADD_MCAST, group)
        file.write(message(0x8001BEEF, b"to the group"))
        assert parts(file.read(LONGEST))[3] == b"to the group"
        file.ioctl(RM_MCAST, group)
        assert refused(file.ioctl, RM_MCAST, group) == errno.ENOENT
        for mask, address in ((0x7FFFFFFF, 0x80000001), (0x80000000, 1)):
            wrong = MULTICAST_FILTER.codec.pack(mask, address)
            assert refused(file.ioctl, ADD_MCAST, wrong) == errno.EINVAL
            assert refused(file.ioctl, RM_MCAST, wrong) == errno.EINVAL
        groups = [MULTICAST_FILTER.codec.pack(1 << 31, 1 << 31 | it) for it in range(16)]
        for group in groups[:15]:  # the table has 16 entries, and one is the card's own address
            file.ioctl(ADD_MCAST, group)
        assert refused(file.ioctl, ADD_MCAST, groups[15]) == errno.ENOSPC


# write and read


@given(size=st.sampled_from(SIZES), room=st.integers(1, LONGEST))
@example(size=0, room=16)
@example(size=LIMITS.max_packet, room=LONGEST)
@settings(max_examples=30)
def test_a_packet_comes_with_its_header_cut_to_the_reader_s_buffer(shared, size, room):
    payload = random.Random(size).randbytes(size)
    assert shared.write(message(ECHO.address, payload)) == USER_HEADER.size + size
    whole = USER_HEADER.codec.pack(ECHO.address, _own(shared), size) + payload
    assert shared.read(room) == whole[:room]


def _own(file):
    return INFO.codec.unpack(file.ioctl(GET_INFO))[2]


@given(data=st.binary(max_size=40), length=st.integers(0, 0xFFFFFFFF))
@example(data=b"", length=0)
@example(data=bytes(15), length=0)
@example(data=b"1234", length=2**31)
@settings(max_examples=50)
def test_what_is_no_message_is_refused_and_not_sent(shared, data, length):
    body = message(ECHO.address, data, length) if len(data) > 16 else data
    if len(data) > 16 and length == len(data):
        return
    assert refused(shared.write, body) == errno.EINVAL


@pytest.mark.parametrize("size", [LIMITS.max_packet + 1, 20_000, 1 << 15])
def test_what_is_longer_than_a_packet_is_too_long(shared, size):
    body = message(ECHO.address, bytes(size - 16 if size == 1 << 15 else size))
    assert refused(shared.write, body) == errno.EMSGSIZE


def test_the_rest_of_a_call_in_several_requests_is_its_end(machine):
    with machine.open() as file:
        file.write(message(ECHO.address, b"x" * 100))
        assert len(file.read(50)) == 50
        # The reader's buffers were more than one request has: the packet has ended all the same.
        assert file.begin_read(50, offset=50).result() == b""
        assert refused(file.begin_write(b"rest", offset=50).result) == errno.EINVAL


def test_a_blocking_write_returns_when_the_card_has_sent(machine):
    with machine.open() as file:
        for number in range(10):
            file.write(message(NOBODY, b""))
            assert machine.card.counters.transmitted == number + 1


def test_a_write_that_may_not_wait_queues_or_says_eagain(machine):
    with machine.open() as file:
        assert machine.clog(file) == 1 << LIMITS.default_shift
        file.flags = NONBLOCK
        assert refused(file.write, message(NOBODY, b"")) == errno.EAGAIN
        assert refused(file.read, 1) == errno.EAGAIN
        machine.go_on()


# Signals


def test_a_reader_that_is_gone_takes_no_packet(machine):
    with machine.open() as file:
        reader = file.begin_read(LONGEST)
        machine.asleep(1)
        reader.interrupt()
        assert refused(reader.result) == errno.EINTR
        file.write(message(ECHO.address, b"for the next"))
        assert parts(file.read(LONGEST))[3] == b"for the next"


def test_a_writer_that_waits_for_a_slot_and_is_interrupted_sends_nothing(machine):
    with machine.open() as file:
        queued = machine.clog(file)
        writer = file.begin_write(message(NOBODY, b"never"))
        machine.asleep(1)
        writer.interrupt()
        assert refused(writer.result) == errno.EINTR
        machine.go_on()
        file.write(message(NOBODY, b"later"))
        assert machine.card.counters.transmitted == queued + 1


def test_a_writer_whose_packet_the_card_has_succeeds_although_it_is_interrupted(machine):
    with machine.open() as file:
        machine.own.stand_still()
        writer = file.begin_write(message(NOBODY, b"on its way"))
        machine.asleep(1)
        writer.interrupt()
        assert len(writer.result()) == 8
        machine.go_on()
        file.write(message(NOBODY, b"later"))
        assert machine.card.counters.transmitted == 2


def test_a_filter_change_is_interrupted(machine):
    with machine.open() as file:
        machine.own.stand_still()
        change = file.begin_ioctl(ADD_MCAST, MULTICAST_FILTER.codec.pack(1 << 31, 1 << 31))
        machine.asleep(1)
        change.interrupt()
        assert refused(change.result) == errno.EINTR
        machine.go_on()


@pytest.mark.parametrize("monitor", [False, True], ids=["plain", "monitored"])
def test_under_signals_nothing_acknowledged_is_lost_and_nothing_comes_twice(monitor):
    # Writers count what they were told; readers, what they got. Signals come at random.
    with Machine(monitor=monitor) as machine, machine.open() as file:
        chance = random.Random(4711)
        sent, received, pending = [], [], []
        mutex = threading.Lock()
        own = _own(file)

        def tried(call, done):
            with contextlib.suppress(InterruptedError):
                done(call.result())

        def took(data):
            with mutex:
                received.append(parts(data)[3])

        for number in range(150):
            payload = b"%d" % number
            writer, reader = (
                file.begin_write(message(own, payload)),
                file.begin_read(LONGEST),
            )
            for call in (writer, reader):
                if chance.random() < 0.4:
                    call.interrupt()
            tried(writer, lambda _, payload=payload: sent.append(payload))
            pending.append(reader)
        with machine.open(NONBLOCK) as last:
            until(lambda: machine.card.counters.received >= len(sent))
            for reader in pending:
                reader.interrupt()
                tried(reader, took)
            with contextlib.suppress(BlockingIOError):
                while True:
                    took(last.read(LONGEST))
        assert len(sent) > 50
        assert sorted(received) == sorted(sent)


def test_an_open_that_waits_for_the_card_is_interrupted_and_leaves_nothing_open(machine):
    machine.own.stand_still()
    # One starts the card, which does not answer, and the other waits for what becomes of that.
    opens = [machine.kernel.begin(Opcode.OPEN, OpenIn(os.O_RDWR).encode()) for _ in range(2)]
    machine.asleep(2)
    for call in opens:
        call.interrupt()
        assert refused(call.result) == errno.EINTR
    machine.go_on()
    # What was begun comes to its end, and then nobody has the card open.
    until(lambda: not machine.device._openers)
    assert machine.own.attachments._cards["emulated:"].users == 1  # the daemon itself
    assert not machine.card.card.started
    with machine.open() as file:
        file.write(message(ECHO.address, b"served"))
        assert parts(file.read(LONGEST))[3] == b"served"
    assert not machine.card.card.started


@pytest.mark.parametrize("turn", range(20))
def test_an_open_that_a_signal_strikes_at_any_moment_is_open_or_not(machine, turn):
    call = machine.kernel.begin(Opcode.OPEN, OpenIn(os.O_RDWR).encode())
    time.sleep(turn / 4000)
    call.interrupt()
    try:
        number = OpenOut.decode(call.result()).file
    except InterruptedError:
        until(lambda: not machine.device._openers)
    else:
        assert machine.card.card.started
        machine.kernel.begin(Opcode.RELEASE, ReleaseIn(number).encode()).result()
    assert machine.own.attachments._cards["emulated:"].users == 1
    assert not machine.card.card.started


def test_an_open_that_fails_says_why_and_one_without_a_thread_too(machine, monkeypatch):
    file = machine.open()
    machine.card.fail()
    until(lambda: file.ready() & select.POLLERR)
    assert refused(machine.open) == errno.EIO

    def refuses(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        assert refused(machine.device.open, Call()) == errno.ENOMEM
    file.close()
    machine.open().close()


def test_the_end_of_the_daemon_waits_for_an_open_that_was_given_up():
    with Machine() as machine:
        machine.own.stand_still()
        call = machine.kernel.begin(Opcode.OPEN, OpenIn(os.O_RDWR).encode())
        machine.asleep(1)
        machine.server.stop()
        assert refused(call.result) == errno.ENODEV
        assert machine.device._openers
        machine.go_on()
    assert not machine.device._openers
    assert not machine.card.card.started


def test_a_signal_before_the_call_has_begun_takes_nothing_either(machine):
    file = machine.device.open(Call())
    file.write(message(ECHO.address, b"x"), Call())
    until(lambda: file.poll(None, Call()) & select.POLLIN)
    for act in (
        lambda call: file.read(LONGEST, call),
        lambda call: file.write(message(ECHO.address, b"y"), call),
    ):
        call = Call()
        call.interrupt()
        assert refused(act, call) == errno.EINTR
    assert parts(file.read(LONGEST, Call()))[3] == b"x"
    assert refused(file.read, LONGEST, Call(flags=os.O_NONBLOCK)) == errno.EAGAIN
    file.release()


# poll


def test_whoever_is_ready_all_the_time_costs_nothing(machine, monkeypatch):
    told = []

    def tell(poller):
        told.append(poller)

    monkeypatch.setattr(Poller, "tell", tell)
    with machine.open() as file:
        file.ready(wait=True)
        until(lambda: told)
        time.sleep(0.05)
        assert len(told) < 5


def test_poll_says_what_can_be_done_at_once(machine):
    with machine.open() as file:
        assert file.ready() == select.POLLOUT | select.POLLWRNORM
        file.write(message(ECHO.address, b""))
        assert file.poll(select.POLLIN, PATIENCE) == select.POLLIN
        file.read(LONGEST)
        assert not file.poll(select.POLLIN, 0)


def test_pollers_of_all_files_wake_when_a_packet_comes(machine):
    with machine.open() as one, machine.open() as other, machine.open() as writes:
        pollers = [
            Background(lambda file=file: file.poll(select.POLLIN, PATIENCE))
            for file in (one, other)
        ]
        writes.write(message(ECHO.address, b"x"))
        assert [poller.join().value for poller in pollers] == [select.POLLIN] * 2


def test_a_poller_wakes_when_a_slot_is_free(machine):
    with machine.open() as file:
        machine.clog(file)
        assert not file.poll(select.POLLOUT, 0)
        poller = Background(lambda: file.poll(select.POLLOUT, PATIENCE))
        machine.go_on()
        assert poller.join().value == select.POLLOUT


@pytest.mark.parametrize("turn", range(30))
def test_no_wake_up_is_lost_between_looking_and_waiting(machine, turn):
    with machine.open() as file, machine.open() as writes:
        poller = Background(lambda: file.poll(select.POLLIN, PATIENCE))
        writes.write(message(ECHO.address, b"x"))
        assert poller.join().value == select.POLLIN


# open and close


def test_files_are_counted_and_the_last_close_stops_the_card(machine):
    one, other = machine.open(), machine.open()
    one.close()
    assert machine.card.card.started
    other.close()
    assert not machine.card.card.started
    with machine.open() as file:
        file.write(message(ECHO.address, b"again"))
        assert parts(file.read(LONGEST))[3] == b"again"


def test_the_last_close_sends_what_is_queued(machine):
    with machine.open(NONBLOCK) as file:
        for _ in range(20):
            file.write(message(NOBODY, b""))
    assert machine.card.counters.transmitted == 20


def test_a_client_that_never_reads_holds_up_nobody(machine):
    with machine.open(), machine.open() as file:
        for number in range(200):
            file.write(message(ECHO.address, b"%d" % number))
            assert parts(file.read(LONGEST))[3] == b"%d" % number


# Failures


def test_a_fatal_error_ends_every_call_and_the_next_open_after_the_last_close_works(machine):
    file, other = machine.open(), machine.open()
    machine.own.stand_still()
    readers = [file.begin_read(LONGEST), other.begin_read(LONGEST)]
    writer = file.begin_write(message(NOBODY, b""))
    machine.asleep(3)
    poller = Background(lambda: file.poll(select.POLLIN, PATIENCE))
    machine.card.fail()
    machine.go_on()
    assert {refused(call.result) for call in (*readers, writer)} == {errno.EIO}
    assert poller.join().value & select.POLLERR
    assert refused(other.read, 1) == errno.EIO
    assert refused(machine.open) == errno.EIO
    file.close()
    other.close()
    with machine.open() as again:
        again.write(message(ECHO.address, b"back"))
        assert parts(again.read(LONGEST))[3] == b"back"


def test_with_a_monitor_every_call_fails_after_a_deviation_and_it_is_logged_once(caplog):
    with Machine(monitor=True) as machine:
        with machine.open() as file:
            reader = file.begin_read(LONGEST)
            machine.card.announce_nothing()
            assert refused(reader.result) == errno.EIO
            assert refused(file.write, message(ECHO.address, b"")) == errno.EIO
            assert file.ready() & select.POLLERR
        assert refused(machine.open) == errno.EIO
    (record,) = [item for item in caplog.records if "no call succeeds" in item.message]
    assert "the card broke the specification" in record.message


def test_the_end_of_the_daemon_ends_calls_that_wait_and_stops_the_card(machine):
    file = machine.open()
    readers = [file.begin_read(LONGEST) for _ in range(5)]
    machine.asleep(5)
    machine.server.stop()
    assert {refused(reader.result) for reader in readers} == {errno.ENODEV}
    until(lambda: not machine.card.card.started)


# Many at once


def test_many_readers_and_writers_get_what_is_theirs(machine):
    writers, packets = 8, 30
    files = [machine.open() for _ in range(writers)]
    own = _own(files[0])
    got = []
    mutex = threading.Lock()

    def read(file):
        for _ in range(packets):
            data = parts(file.read(LONGEST))[3]
            with mutex:
                got.append(data)

    def write(file, name):
        for number in range(packets):
            assert file.write(message(own, b"%d:%d" % (name, number))) > 0

    readers = [Background(lambda file=file: read(file)) for file in files]
    calls = [
        Background(lambda file=file, name=name: write(file, name))
        for name, file in enumerate(files)
    ]
    for call in calls + readers:
        assert call.join().error is None
    wanted = [b"%d:%d" % pair for pair in ((w, n) for w in range(writers) for n in range(packets))]
    assert sorted(got) == sorted(wanted)
    for file in files:
        file.close()


def test_failures_and_opens_leave_nothing_behind_in_the_daemon(machine):
    def turn():
        files = [machine.open() for _ in range(4)]
        for file in files:
            file.write(message(_own(file), b"x" * 500))
            file.ready(wait=True)
        assert len(files[0].read(LONGEST)) == USER_HEADER.size + 500
        readers = [file.begin_read(LONGEST) for file in files]
        machine.card.fail()
        for reader in readers:
            # There may be a packet for it from before.
            with contextlib.suppress(OSError):
                reader.result()
        for file in files:
            file.close()

    def left(turns):
        for _ in range(turns):
            turn()
        machine.kernel.log.clear()
        gc.collect()
        return len(gc.get_objects())

    before = left(20)
    assert left(100) - before < 100  # less than one for each turn
