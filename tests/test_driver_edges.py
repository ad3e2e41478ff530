"""The driver at its edges: where errors, deadlines and threads that die meet.

Nobody is left asleep, nothing is swallowed, and what cannot be is refused before anything is done.
"""

import asyncio
import errno
import os
import threading

import pytest

from impl import attach
from impl.driver import DuctDriver
from impl.errors import (
    CardError,
    CardFailedError,
    InvalidArgumentError,
    NoSuchFilterError,
    WouldBlockError,
)
from impl.interrupts import SharedLine, Vectors
from impl.readiness import Readiness
from impl.runtime import WaitQueue
from impl.settings import Monitoring, Settings
from model.layout import ECHO, LIMITS
from properties.card_faults import LENGTH, behind
from tests.background import PATIENCE, Background, until
from tests.failing import WAYS_OUT, stage
from tests.fake_machine import CARD, reached
from tests.own_card import OwnCard

HASTY = Settings(ring_shift=1, reset_polls=20, drain_timeout=0.05, command_timeout=1)
MASK, ADDRESS = 0xFFFF_FFFF, 0x8000_0001
NAN, INFINITE = float("nan"), float("inf")
BROKEN = OSError(errno.EIO, "unbound")
DIES = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
"""A thread of the driver's ends with an error, and that is what is tried."""


class Card(OwnCard):
    """An emulated card that only one test has, and what happens to its device."""

    def break_interrupts(self, vector):
        """Waiting for a vector raises an error from now on, as a descriptor does after an unbind.

        Whoever waits already is woken for it.
        """
        device = self.devices[-1]
        wait = device.wait_for_interrupt

        def broken(asked):
            if asked == vector:
                raise BROKEN
            return wait(asked)

        device.wait_for_interrupt = broken
        device._interrupts.take_up(vector)


@pytest.fixture
def simulation():
    card = Card()
    yield card
    card.power_off()


@pytest.fixture
def duct(simulation):
    with simulation.open(settings=HASTY) as duct:
        yield duct


def asleep(duct, queue):
    return duct._controller.runtime._sleepers[queue]


def echoes(duct, payload=b"goes on"):
    duct.send(ECHO.address, payload, timeout=PATIENCE)
    return duct.receive(timeout=PATIENCE).payload == payload


def descriptors():
    return set(os.listdir("/proc/self/fd"))


# May not wait


@pytest.mark.parametrize("monitor", [False, True])
@pytest.mark.parametrize("call", ["add_multicast", "remove_multicast"])
def test_a_filter_that_may_not_be_waited_for_is_neither_added_nor_removed(
    simulation, call, monitor
):
    with simulation.open(settings=HASTY, monitor=monitor) as duct:
        if call == "remove_multicast":
            duct.add_multicast(MASK, ADDRESS)
        with pytest.raises(WouldBlockError) as caught:
            getattr(duct, call)(MASK, ADDRESS, timeout=0)
        assert caught.value.strerror == (
            "the card's answer has to be waited for; no filter was changed"
        )
        if call == "remove_multicast":
            duct.remove_multicast(MASK, ADDRESS)
        with pytest.raises(NoSuchFilterError):
            duct.remove_multicast(MASK, ADDRESS)


def test_a_filter_of_a_failed_card_tells_of_the_failure_whether_it_may_wait_or_not(
    duct, simulation
):
    simulation.card.fail()
    until(lambda: duct._controller.failed)
    for timeout in (0, None):
        with pytest.raises(CardFailedError):
            duct.add_multicast(MASK, ADDRESS, timeout=timeout)


# Numbers that mean nothing


@pytest.mark.parametrize("timeout", [-1, -0.001, -INFINITE, NAN])
def test_no_call_takes_a_time_that_is_none(duct, timeout):
    for call in (
        lambda: duct.send(ECHO.address, b"", timeout=timeout),
        lambda: duct.send_batch([(ECHO.address, b"")], timeout=timeout),
        lambda: duct.write(bytes(16), timeout=timeout),
        lambda: duct.receive(timeout=timeout),
        lambda: duct.receive_view(timeout=timeout),
        lambda: duct.receive_batch(1, timeout=timeout),
        lambda: duct.read(timeout=timeout),
        lambda: duct.add_multicast(MASK, ADDRESS, timeout=timeout),
        lambda: duct.remove_multicast(MASK, ADDRESS, timeout=timeout),
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            call()
        assert caught.value.strerror == f"a timeout is 0 seconds or more, not {timeout}"


def test_a_time_without_an_end_is_as_long_as_it_takes(duct):
    duct.send(ECHO.address, b"packet", timeout=INFINITE)
    assert duct.receive(timeout=INFINITE).payload == b"packet"


@pytest.mark.parametrize("name", ["reset_pause", "drain_timeout", "command_timeout"])
@pytest.mark.parametrize("seconds", [NAN, INFINITE, -INFINITE, 86_400.5, 1e300])
def test_settings_take_no_time_that_is_none_or_has_no_end(name, seconds):
    with pytest.raises(InvalidArgumentError) as caught:
        Settings(**{name: seconds})
    assert caught.value.strerror == f"{name} is 0 to 86400 seconds, not {seconds}"


@pytest.mark.parametrize("name", ["ring_shift", "reset_polls"])
@pytest.mark.parametrize("count", [NAN, INFINITE, 1.5, 2.0, "3"])
def test_settings_take_no_count_that_is_no_whole_number(name, count):
    with pytest.raises(InvalidArgumentError) as caught:
        Settings(**{name: count})
    assert caught.value.strerror == f"{name} is a whole number, not {count!r}"


@pytest.mark.parametrize("count", [1.5, NAN, INFINITE, None, "2"], ids=repr)
def test_a_count_that_is_no_whole_number_takes_no_packet(duct, count):
    duct.send(ECHO.address, b"packet")
    for call, what in (
        (duct.receive_batch, "the most packets of a batch"),
        (duct.read, "the most bytes of a message"),
    ):
        with pytest.raises(TypeError) as caught:
            call(count, timeout=PATIENCE)
        assert str(caught.value) == f"{what} is a whole number, not {count!r}"
    assert duct.receive(timeout=PATIENCE).payload == b"packet"


def test_the_length_of_a_message_is_counted_in_bytes(duct):
    header = bytes(4) + ECHO.address.to_bytes(4, "little") + (8).to_bytes(8, "little")
    assert duct.write(memoryview(header + bytes(8)).cast("Q")) == 24


# Nothing is swallowed


def announce_too_much(simulation, number):
    """The card announces more bytes than a slot holds, of packet `number` alone."""
    card, seen = simulation.card.card, []

    def lie():
        seen.append(None)
        if len(seen) == number:
            card.rx.write_slot(LENGTH, LIMITS.max_packet + 1)

    with simulation.card.held():
        behind(card, "rx.write_header", lie)


def receive_now(duct):
    return asyncio.run(asyncio.wait_for(duct.receive_async(), PATIENCE))


@pytest.mark.parametrize(
    "call",
    [
        lambda duct: duct.receive(timeout=PATIENCE),
        lambda duct: duct.receive(blocking=False),
        lambda duct: duct.receive_view(timeout=PATIENCE),
        lambda duct: duct.receive_batch(5, timeout=PATIENCE),
        lambda duct: duct.read(timeout=PATIENCE),
        lambda duct: next(iter(duct)),
        receive_now,
    ],
)
def test_a_batch_returns_what_came_and_the_next_call_raises_the_error_that_ended_it(
    simulation, call
):
    announce_too_much(simulation, 2)
    with simulation.open() as duct:
        for number in range(3):
            duct.send(ECHO.address, bytes([number]))
        until(lambda: simulation.card.counters.received >= 3)
        assert [packet.payload for packet in duct.receive_batch(9)] == [b"\x00"]
        with pytest.raises(CardError) as caught:
            call(duct)
        assert "the card announced a packet of 16385 bytes" in caught.value.strerror
        # It is told once.
        assert [packet.payload for packet in duct.receive_batch(9)] == [b"\x02"]


# Whatever ends a handler ends the waiting


def sleepers(simulation, duct):
    """Calls of every kind, asleep."""
    simulation.stand_still()
    for _ in range(2):
        duct.send(ECHO.address, b"", blocking=False)
    calls = [
        Background(duct.receive),
        Background(lambda: duct.send(ECHO.address, b"")),
        Background(lambda: duct.add_multicast(MASK, ADDRESS)),
    ]
    until(lambda: all(asleep(duct, queue) for queue in list(WaitQueue)[:3]))
    return calls


@DIES
@pytest.mark.parametrize("vector", [0, 1])
def test_a_wait_for_an_interrupt_that_fails_ends_every_call_with_the_reason(simulation, vector):
    duct = simulation.open(settings=HASTY)
    calls = sleepers(simulation, duct)
    simulation.break_interrupts(vector)
    told = (
        f"the card's interrupts cannot be served any more ({BROKEN!r}); close every open of it and "
        "open it again"
    )
    for call in calls:
        error = call.join().error
        assert isinstance(error, CardFailedError)
        assert error.strerror == told
    with pytest.raises(CardFailedError) as caught:
        duct.poll()
    assert caught.value.strerror == told
    simulation.stand_still(False)
    duct.close()
    with simulation.open() as again:
        assert echoes(again)


@DIES
def test_a_monitor_gives_up_when_interrupts_cannot_be_waited_for(simulation):
    with simulation.open(settings=HASTY, monitor=True) as duct:
        simulation.break_interrupts(0)
        until(lambda: duct._controller.failed)
        with pytest.raises(CardFailedError):
            duct.receive(timeout=PATIENCE)
        assert duct.watch.gave_up == f"interrupts cannot be waited for: {BROKEN!r}"


@DIES
def test_a_card_that_is_kept_is_served_again_when_it_is_opened_again(simulation):
    """Its handler ended, and it did not come back from the reset; then it works again."""
    duct = simulation.open(settings=HASTY)
    device = simulation.devices[-1]
    wait, read = device.wait_for_interrupt, device.read
    simulation.break_interrupts(0)
    until(lambda: duct._controller.failed)
    device.read = lambda register: (1 << register.width) - 1
    with pytest.raises(CardFailedError):
        duct.close()
    assert simulation.attachments._cards
    device.wait_for_interrupt, device.read = wait, read
    with simulation.open() as again:
        assert echoes(again)
    assert not simulation.attachments._cards


@DIES
def test_a_slot_that_cannot_be_given_back_ends_every_call(duct, monkeypatch):
    """The card comes to a halt where the slot is missing."""
    duct.send(ECHO.address, b"packet")
    view = duct.receive_view(timeout=PATIENCE)
    reading = Background(duct.receive)
    until(lambda: asleep(duct, WaitQueue.READERS))

    def refuse(_slot):
        raise BROKEN

    monkeypatch.setattr(duct._controller.receive, "refill", refuse)
    with pytest.raises(OSError, match="unbound"):
        view.release()
    error = reading.join().error
    assert isinstance(error, CardFailedError)
    assert f"a receive slot was not dealt with ({BROKEN!r})" in error.strerror


# Signals that strike a close or the undoing of an open


def test_a_signal_that_strikes_while_an_open_is_undone_is_raised(simulation, monkeypatch):
    def refuse(controller):
        raise CardError("refused")

    strikes = []

    def strike(lifecycle):
        strikes.append(None)
        return KeyboardInterrupt()

    monkeypatch.setattr("impl.lifecycle.Lifecycle._set_up", refuse)
    monkeypatch.setattr("impl.lifecycle.Lifecycle._recover_if_possible", strike)
    with pytest.raises(KeyboardInterrupt):
        simulation.open(settings=HASTY)
    assert len(strikes) == 1


# What was taken is given back


class Failing:
    """A function that fails at its n-th call, from 1 on."""

    def __init__(self, function, at, error):
        self.function, self.at, self.error = function, at, error
        self.calls = 0

    def __call__(self, *arguments, **options):
        self.calls += 1
        if self.calls == self.at:
            raise self.error
        return self.function(*arguments, **options)


EMFILE = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_card_is_let_go_of_if_the_runtime_cannot_be_made(simulation, monkeypatch):
    before = descriptors()
    monkeypatch.setattr(attach, "ThreadRuntime", Failing(attach.ThreadRuntime, 1, EMFILE))
    with pytest.raises(OSError, match="Too many open files"):
        simulation.open()
    assert descriptors() == before
    with simulation.open() as duct:
        assert echoes(duct)


@pytest.mark.parametrize("which", [1, 2])
def test_a_card_is_let_go_of_if_a_thread_cannot_be_started(simulation, monkeypatch, which):
    simulation.laboratory.card()
    before, running = descriptors(), set(threading.enumerate())
    start = Failing(threading.Thread.start, which, RuntimeError("can't start new thread"))
    monkeypatch.setattr(threading.Thread, "start", lambda thread: start(thread))  # noqa: PLW0108 - a method
    with pytest.raises(OSError, match=r"the thread for (events|fatal) cannot be started") as caught:
        simulation.open()
    assert caught.value.errno == errno.ENOMEM
    assert descriptors() == before
    assert set(threading.enumerate()) <= running
    with simulation.open() as duct:
        assert echoes(duct)


@pytest.mark.parametrize("which", [1, 2, 3])
def test_no_eventfd_is_left_if_a_later_one_cannot_be_had(monkeypatch, which):
    before = descriptors()
    monkeypatch.setattr(os, "eventfd", Failing(os.eventfd, which, EMFILE))
    with pytest.raises(OSError, match="Too many open files"):
        Vectors()
    assert descriptors() == before


@pytest.mark.parametrize("make", [Vectors, lambda: SharedLine(0, int, int)])
def test_no_eventfd_is_left_if_it_cannot_be_polled(monkeypatch, make):
    def refuse(*_):
        raise MemoryError

    before = descriptors()
    monkeypatch.setattr("impl.interrupts._poll", refuse)
    with pytest.raises(MemoryError):
        make()
    assert descriptors() == before


def test_no_socket_is_left_if_it_does_not_become_what_it_has_to_be(monkeypatch):
    before = descriptors()
    monkeypatch.setattr(Readiness, "set_writable", Failing(None, 1, BROKEN))
    with pytest.raises(OSError, match="unbound"):
        Readiness()
    assert descriptors() == before


@pytest.mark.parametrize("way", ["vfio", "uio"])
def test_all_is_undone_if_the_device_itself_cannot_be_made(way, tmp_path, monkeypatch):
    with reached(way, tmp_path) as here:
        before = descriptors()
        with monkeypatch.context() as patched:
            patched.setattr("impl.hardware.Watchdog", Failing(None, 1, MemoryError()))
            with pytest.raises(MemoryError):
                here.open(CARD)
        assert descriptors() == before
        here.open(CARD).close()


def test_memory_that_cannot_be_hidden_from_the_card_is_not_given_to_anybody_else(tmp_path):
    with reached("vfio", tmp_path) as here:
        device = here.open(CARD)
        regions = [device.allocate(4096, None) for _ in range(2)]
        unmap = device._memory._container.unmap
        refusing = Failing(unmap, 1, BROKEN)
        object.__setattr__(
            device._memory, "_container", Hiding(device._memory._container, refusing)
        )
        with pytest.raises(OSError, match="unbound"):
            device.free(regions[0])
        assert device.allocate(4096, None).bus_address() != regions[0].bus_address()
        device.close()
        assert not here.slot.memory.pieces


class Hiding:
    """A container whose `unmap` is another one."""

    def __init__(self, container, unmap):
        self._container = container
        self.unmap = unmap

    def __getattr__(self, name):
        return getattr(self._container, name)


def test_a_device_is_let_go_of_whatever_the_end_of_its_interrupts_raises(tmp_path, monkeypatch):
    with reached("vfio", tmp_path) as here:
        device = here.open(CARD)
        monkeypatch.setattr(os, "eventfd_write", Failing(os.eventfd_write, 1, BROKEN))
        with pytest.raises(OSError, match="unbound"):
            device.close()
        assert not here.kernel.opened
        assert not here.slot.bus_master


def test_what_pollers_see_is_tried_again_if_it_could_not_be_shown(monkeypatch):
    readiness = Readiness()
    ends = readiness._drivers

    class Refusing:
        def __getattr__(self, name):
            raise BROKEN

    readiness._drivers = Refusing()
    with pytest.raises(OSError, match="unbound"):
        readiness.set_readable(True)
    readiness._drivers = ends
    readiness.set_readable(True)
    assert readiness._users.recv(1)
    readiness.close()


# Settings of one card


def test_a_monitor_that_saves_elsewhere_is_refused(simulation):
    with simulation.open(monitor=True), pytest.raises(InvalidArgumentError):
        simulation.open(monitor=Monitoring(saves_to="run.json"))


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_storm_of_opens_and_closes_never_finds_the_card_in_use(way, tmp_path):
    """Threads come and go; settings of another are the only reason to refuse one."""
    errors = []
    with stage(way, tmp_path) as here:

        def come_and_go(number):
            for turn in range(6):
                settings = Settings(ring_shift=1 + (number + turn) % 2)
                try:
                    with DuctDriver.open(
                        here.address, attachments=here.attachments, settings=settings
                    ) as duct:
                        duct.send(ECHO.address, b"", timeout=PATIENCE)
                except InvalidArgumentError:
                    pass  # somebody else has it, with other settings
                except BaseException as error:
                    errors.append(error)

        here.open().close()
        before = here.resources()
        storm = [threading.Thread(target=come_and_go, args=(number,)) for number in range(6)]
        for thread in storm:
            thread.start()
        for thread in storm:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert errors == []
        assert not here.attachments._cards
        assert here.resources() == before
