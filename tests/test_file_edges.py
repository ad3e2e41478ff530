"""A device file at its edges: numbers that two programs agree on, and an open that is struck."""

import asyncio
import errno
import os
import signal
import threading
from unittest.mock import Mock

import pytest

from impl import device_calls, device_file
from impl.device_file import DeviceFile
from impl.duct import open_duct
from impl.errors import (
    CardFailedError,
    ClosedError,
    InvalidArgumentError,
    NoSuchCardError,
    NotSupportedError,
    WouldBlockError,
)
from impl.polling import Direction
from impl.shield import WrappedHandler
from model.layout import ECHO
from tests.background import PATIENCE, Background
from tests.calls import open_another
from tests.struck import SIGNAL, Strike, Struck, nobody_else_has_a_card_open, strike, striking
from tests.test_device import Machine
from tests.test_device_file import Calls
from tests.test_file_signals import Files, bytecodes, struck_at


def test_an_open_that_fails_and_is_struck_tells_of_one_of_the_two():
    with Machine() as machine, striking():
        calls = Files(machine).calls

        def open_nothing():
            open_duct("/dev/duct9", calls=calls)

        for number in bytecodes(open_nothing):
            struck = Struck(open_nothing, number)
            struck.run()
            assert isinstance(struck.error, Strike | NoSuchCardError), struck.place
            if struck.place is None:
                break


def test_a_driver_and_a_daemon_of_other_versions_understand_each_other():
    """Linux' _IOW('z', 128, 4), _IO('z', 129) and _IOR('z', 130, 8), and what they carry."""
    assert device_calls.SET_TIMEOUT == 0x40047A80
    assert device_calls.CANCEL == 0x00007A81
    assert device_calls.GET_READY == 0x80087A82
    assert device_calls.FOREVER == device_calls.NO_PACKET == 0xFFFF_FFFF


@pytest.fixture
def handler():
    """A program's own, and no card is open."""
    before = signal.signal(SIGNAL, strike)
    with nobody_else_has_a_card_open(), Machine() as machine:
        yield Files(machine)
    signal.signal(SIGNAL, before)


def test_handlers_are_wrapped_as_long_as_a_file_is_open(handler):
    duct = handler.open()
    assert isinstance(signal.getsignal(SIGNAL), WrappedHandler)
    duct.close()
    assert signal.getsignal(SIGNAL) is strike


def test_a_file_that_cannot_be_opened_leaves_handlers_as_they_were(handler):
    with pytest.raises(NoSuchCardError):
        open_duct("/dev/duct9", calls=handler.calls)
    assert signal.getsignal(SIGNAL) is strike


def make_one(_duct, here, _got):
    """As `open_another`, without what would close it for somebody who was struck."""
    DeviceFile("/dev/duct0", here.calls).close()


@pytest.mark.parametrize("call", [open_another, make_one])
def test_an_open_that_is_struck_at_any_bytecode_leaves_no_file(call):
    with Machine() as machine, striking():
        here = Files(machine)
        for number in bytecodes(call):
            struck = struck_at(call, None, here, number)
            assert not here.calls.files, struck.place
            if struck.place is None:
                break
        assert number > 100


class Noting(Calls):
    """Notes how files are opened, and what is asked of them."""

    def __init__(self, kernel):
        super().__init__(kernel)
        self.flags = []
        self.asked = []

    def open(self, path, flags):
        self.flags.append(flags)
        return super().open(path, flags)

    def ioctl(self, number, request, argument):
        self.asked.append((request, bytes(argument)))
        return super().ioctl(number, request, argument)

    def limits(self):
        """The milliseconds that calls were given, one after the other."""
        limits = [told for request, told in self.asked if request == device_calls.SET_TIMEOUT]
        return [int.from_bytes(told, "little") for told in limits]


@pytest.fixture
def noted():
    """A driver object that has received what was sent so far, and its system calls."""
    with Machine() as machine:
        calls = Noting(machine.kernel)
        duct = open_duct("/dev/duct0", calls=calls)
        yield duct, calls, machine
        duct.close()
        assert not calls.files


def received(duct, **options):
    duct.send(ECHO.address, b"x", timeout=PATIENCE)
    while duct.poll().next_length is None:
        pass
    return duct.receive(**options)


@pytest.mark.parametrize(
    ("timeout", "limit"),
    [
        (None, device_calls.FOREVER),
        (2.5, 2500),
        (0.0001, 1),
        (4_294_000, 4_294_000_000),
        (4_297_000, device_calls.FOREVER),
    ],
)
def test_a_call_may_wait_as_many_milliseconds_as_it_was_given(noted, timeout, limit):
    duct, calls, _ = noted
    received(duct, timeout=timeout)
    limits = [given for given in calls.limits() if given != 1000 * PATIENCE]
    assert limits == [limit]


def test_a_file_is_told_again_only_if_the_time_is_another(noted):
    duct, calls, _ = noted
    for timeout in (5, 5, 7, 7, 5):
        duct.send(ECHO.address, b"x", timeout=timeout)
    assert calls.limits() == [5000, 7000, 5000]
    assert calls.flags == [os.O_RDWR | os.O_NONBLOCK, os.O_RDWR]


def test_a_call_that_may_not_wait_opens_no_file(noted):
    duct, calls, _ = noted
    for options in ({"blocking": False}, {"timeout": 0}):
        with pytest.raises(WouldBlockError):
            duct.receive(**options)
    assert len(calls.flags) == 1


def test_a_close_ends_calls_that_wait_on_files_of_earlier_ones(noted):
    duct, calls, machine = noted
    duct.send(ECHO.address, b"x", timeout=PATIENCE)
    received(duct, timeout=PATIENCE)
    duct.receive(timeout=PATIENCE)
    waiting = Background(duct.receive)
    machine.asleep(1)
    assert len(calls.flags) == 2
    duct.close()
    assert isinstance(waiting.join().error, ClosedError)


@pytest.mark.parametrize("change", ["add_multicast", "remove_multicast"])
@pytest.mark.parametrize(("mask", "address"), [(1, 2), (1 << 32, 1 << 31), (1 << 31, -1)])
def test_what_is_no_filter_is_refused_before_anybody_is_asked(noted, change, mask, address):
    duct, calls, _ = noted
    before = list(calls.asked)
    with pytest.raises(InvalidArgumentError):
        getattr(duct, change)(mask, address)
    assert calls.asked == before


def test_tasks_wait_for_the_file_by_one_poller_which_is_closed_with_it(noted, monkeypatch):
    duct, calls, _ = noted
    (shared,) = calls.files
    pollers = []

    class Noted:
        def __init__(self, descriptor):
            self.told = [descriptor]
            pollers.append(self)

        async def wait(self, direction):
            self.told.append(direction)

        def close(self):
            self.told.append("closed")

    monkeypatch.setattr(device_file, "Poller", Noted)
    monkeypatch.setattr(duct, "receive", Mock(side_effect=[WouldBlockError("none"), "packet"]))
    monkeypatch.setattr(duct, "send", Mock(side_effect=[WouldBlockError("no room"), None]))
    assert asyncio.run(duct.receive_async()) == "packet"
    asyncio.run(duct.send_async(ECHO.address, b""))
    duct.close()
    (poller,) = pollers
    assert poller.told == [shared, Direction.READABLE, Direction.WRITABLE, "closed"]
    monkeypatch.setattr(duct, "receive", Mock(side_effect=WouldBlockError("none")))
    with pytest.raises(ClosedError):
        asyncio.run(duct.receive_async())


def test_an_error_of_its_own_is_no_system_calls(noted, monkeypatch):
    duct, calls, _ = noted
    error = ClosedError("closed")
    monkeypatch.setattr(calls, "ioctl", Mock(side_effect=error))
    with pytest.raises(ClosedError) as caught:
        duct.poll()
    monkeypatch.undo()
    assert caught.value is error


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOMEM])
def test_what_a_file_cannot_be_opened_for_is_told_as_it_is(code):
    calls = Mock()
    calls.open.side_effect = OSError(code, "no")
    with pytest.raises(OSError, match="no") as caught:
        open_duct("/dev/duct0", calls=calls)
    assert (type(caught.value), caught.value.errno) == (OSError, code)


def test_a_call_that_waits_ends_at_once_with_what_a_handler_raises(handler):
    duct, late = handler.open(), []
    main = threading.main_thread().ident
    timers = [
        threading.Timer(0.05, signal.pthread_kill, (main, SIGNAL)),
        threading.Timer(PATIENCE, lambda: (late.append(True), duct.close())),
    ]
    for timer in timers:
        timer.start()
    with pytest.raises(Strike):
        duct.receive()
    timers[1].cancel()
    assert not late
    duct.close()


def test_a_list_of_packets_is_the_callers_and_may_be_interrupted():
    taken = []

    def packets():
        for number in range(1000):
            taken.append(number)
            yield ECHO.address, b""

    with Machine() as machine, striking():
        duct = Files(machine).open()
        functions = set()
        for number in range(100, 140):
            taken.clear()
            struck = Struck(lambda: duct.send_batch(packets(), blocking=False), number)
            struck.check()
            functions.add(struck.function)
            assert isinstance(struck.error, Strike)
            assert len(taken) < 1000, struck.place
        assert len(functions) > 1
        duct.close()


@pytest.mark.parametrize("error", [CardFailedError("failed"), ClosedError("closed")])
def test_a_loop_over_packets_ends_where_the_file_is_closed_and_nowhere_else(
    noted, error, monkeypatch
):
    duct, _, _ = noted
    monkeypatch.setattr(duct, "receive", Mock(side_effect=error))
    with pytest.raises(type(error)):
        next(iter(duct))
    duct.close()
    assert list(duct) == []


def test_a_call_with_an_interruption_is_refused_and_nothing_is_sent():
    with Machine() as machine:
        duct = Files(machine).open()
        with pytest.raises(NotSupportedError):
            duct.send(ECHO.address, b"first", interruption=object())
        duct.send(ECHO.address, b"second", timeout=PATIENCE)
        assert duct.receive(timeout=PATIENCE).payload == b"second"
        duct.close()


@pytest.mark.parametrize("waits", [True, False], ids=["one that waits", "one that does not"])
def test_a_call_that_began_before_a_close_sees_it(noted, waits):
    """The close comes when the call has looked whether the file is open, and has not begun yet."""

    class Closing(float):
        def __ne__(self, _):
            duct.close()
            return waits

        __hash__ = float.__hash__

    duct, calls, _ = noted
    with pytest.raises(ClosedError, match="the driver was closed; open the card again"):
        duct.receive(timeout=Closing(1))
    assert not calls.files


def test_calls_that_do_nothing_fail_on_a_closed_file_too(noted):
    duct, _, _ = noted
    duct.close()
    for call in (
        lambda: duct.send_batch([]),
        lambda: duct.add_multicast(0xFFFFFFFF, ECHO.address | 1 << 31, timeout=0),
    ):
        with pytest.raises(ClosedError):
            call()


@pytest.mark.parametrize("call", ["receive_into", "send_from", "forward"])
def test_what_is_no_batch_is_refused_by_name(noted, call):
    duct, _, _ = noted
    arguments = [b"", duct] if call == "forward" else [b""]
    with pytest.raises(TypeError, match="packets in arrays are a PacketBatch, not bytes"):
        getattr(duct, call)(*arguments)
