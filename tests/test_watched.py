"""What a monitored driver does with its card and its lock is done, and told, in this order."""

import contextlib
import threading
from unittest.mock import Mock

import pytest

from impl.errors import SpecificationError
from impl.memory import Purpose
from impl.runtime import CancelledError, ExpiredError, WaitQueue
from model.layout import EVFLAGS
from monitor.device import WatchedDevice, WatchedRegion
from monitor.runtime import WatchedRuntime


class CameError(Exception):
    """What a signal handler raises."""


class Told:
    """Stands for the observer: notes what it is told, and whether others had to wait meanwhile.

    Attributes:
        log: What was done and told, in order.
        wrong: What it raises when it is told something.
        alarms: Whether sleepers are to be woken, from one look to the next.
        refuses: Whether calls must not sleep, from one look to the next.
    """

    def __init__(self, log):
        self.log = log
        self.wrong = None
        self.alarms = iter([])
        self.refuses = iter([])
        self.readable = self.writable = None
        self.verdict = Mock(told="all that was wrong", alarming=False)
        self.verdict.take_alarm = lambda: next(self.alarms, False)
        self.verdict.give_up = lambda reason: log.append(("gives up", reason))
        self.callers = Mock()
        self.callers.serves = lambda vector: log.append(("serves", vector))
        self.callers.struck = lambda error: log.append(("struck", error))
        self.callers.refuses_sleep = lambda: next(self.refuses, False)

    @property
    def mutex(self):
        @contextlib.contextmanager
        def held():
            self.log.append("(")
            yield
            self.log.append(")")

        return held()

    def lets_go(self):
        self.log.append(("lets go",))

    def tell(self, what, *about):
        what(*about)
        if self.wrong is not None:
            raise self.wrong

    def __getattr__(self, name):
        return lambda *about: self.log.append(("told", name, *about))


class Inner:
    """Stands for what is watched: notes what it does, and answers or raises what it is told to."""

    purpose = Purpose.TRANSMIT_RING
    size = 4096

    def __init__(self, log, **answers):
        self.log = log
        self.answers = answers

    def __getattr__(self, name):
        def does(*given):
            self.log.append(("does", name, *given))
            answer = self.answers.get(name)
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return does


@pytest.fixture
def log():
    return []


@pytest.fixture
def told(log):
    return Told(log)


# Memory


@pytest.mark.parametrize(
    ("access", "does", "data"),
    [
        (lambda region: region.load(8, 2), ("load", 8, 2), b"\x34\x12"),
        (lambda region: region.octets[8], ("load", 8, 1), b"\x34"),
        (lambda region: region.load_bulk(8, 3), ("load_bulk", 8, 3), b"abc"),
        (lambda region: region.octets[8:11], ("load_bulk", 8, 3), b"abc"),
        (lambda region: region.view(8, 3), ("view", 8, 3), b"abc"),
    ],
)
def test_a_load_is_told_when_it_is_done_and_nobody_gets_in_between(told, log, access, does, data):
    answers = {"load": int.from_bytes(data, "little"), "load_bulk": b"abc", "view": b"abc"}
    region = WatchedRegion(Inner(log, **answers), told)
    assert access(region) == answers[does[0]]
    assert log == ["(", ("does", *does), ("told", "loaded", region, 8, data), ")"]


@pytest.mark.parametrize(
    ("access", "does", "data"),
    [
        (lambda region: region.store(8, 2, 0x1234), ("store", 8, 2, 0x1234), b"\x34\x12"),
        (lambda region: region.octets.__setitem__(8, 7), ("store", 8, 1, 7), b"\x07"),
        (lambda region: region.store_bulk(8, b"abc"), ("store_bulk", 8, b"abc"), b"abc"),
        (
            lambda region: region.octets.__setitem__(slice(8, 11), b"abc"),
            ("store_bulk", 8, b"abc"),
            b"abc",
        ),
    ],
)
def test_a_store_is_told_before_it_is_done(told, log, access, does, data):
    region = WatchedRegion(Inner(log), told)
    access(region)
    assert log == ["(", ("told", "stores", region, 8, data), ("does", *does), ")"]


def test_a_region_is_as_large_and_lies_where_the_one_inside_does(told, log):
    region = WatchedRegion(Inner(log, bus_address=0x5000), told)
    assert (region.purpose, region.size, region.freed) == (Purpose.TRANSMIT_RING, 4096, False)
    assert region.bus_address() == region.bus_address(16) == 0x5000
    assert log == [("does", "bus_address", 0), ("does", "bus_address", 16)]


# The card


def test_memory_is_told_when_it_is_there_and_before_it_is_given_back(told, log):
    inner = Inner(log)
    device = WatchedDevice(Inner(log, allocate=inner), told)
    region = device.allocate(4096, Purpose.TRANSMIT_RING)
    assert region.inner is inner
    begun = [("does", "allocate", 4096, Purpose.TRANSMIT_RING)]
    assert log == [*begun, "(", ("told", "allocated", region), ")"]
    log.clear()
    device.free(region)
    assert log == ["(", ("told", "frees", region), ("does", "free", inner), ")"]
    assert region.freed


def test_where_there_is_no_memory_nothing_is_judged_any_more(told, log):
    error = OSError("none left")
    device = WatchedDevice(Inner(log, allocate=error), told)
    with pytest.raises(OSError, match="none left"):
        device.allocate(4096, Purpose.TRANSMIT_RING)
    assert log[1:] == [("gives up", "there was no memory for the transmit ring: none left")]


@pytest.mark.parametrize(
    ("barrier", "name"),
    [
        ("acquire", "acquired"),
        ("release", "released"),
        ("release_loads", "released_loads"),
        ("before_register_write", "ordered_register_writes"),
        ("fence", "fenced"),
    ],
)
def test_a_barrier_is_told_when_it_is_done(told, log, barrier, name):
    getattr(WatchedDevice(Inner(log), told), barrier)()
    assert log == ["(", ("does", barrier), ("told", name), ")"]


def test_registers_are_told_of(told, log):
    device = WatchedDevice(Inner(log, read=7), told)
    assert device.read(EVFLAGS) == 7
    reads = [("told", "reads", EVFLAGS), ("does", "read", EVFLAGS)]
    assert log == ["(", *reads, ("told", "has_read", EVFLAGS, 7), ")"]
    log.clear()
    device.write(EVFLAGS, 9)
    device.enable_bus_master()
    writes = [("told", "writes", EVFLAGS, 9), ("does", "write", EVFLAGS, 9)]
    enables = [("told", "enables_bus_master"), ("does", "enable_bus_master")]
    assert log == ["(", *writes, ")", "(", *enables, ")"]


def test_whoever_waits_for_a_vector_is_its_handler(told, log):
    device = WatchedDevice(Inner(log, wait_for_interrupt=True), told)
    assert device.wait_for_interrupt(1) is True
    assert log == [("serves", 1), ("does", "wait_for_interrupt", 1)]


def test_where_interrupts_cannot_be_waited_for_nothing_is_judged_any_more(told, log):
    device = WatchedDevice(Inner(log, wait_for_interrupt=OSError("gone")), told)
    with pytest.raises(OSError, match="gone"):
        device.wait_for_interrupt(0)
    assert log[2:] == [("gives up", "interrupts cannot be waited for: OSError('gone')")]


def test_a_card_is_let_go_of_before_it_is_closed(told, log):
    WatchedDevice(Inner(log), told).close()
    assert log == ["(", ("lets go",), ")", ("does", "close")]


# The lock and sleeping


def test_the_lock_is_told_when_it_is_there_and_before_it_is_given_up(told, log):
    runtime = WatchedRuntime(Inner(log), told)
    runtime.lock()
    assert log == [("does", "lock"), "(", ("told", "locked"), ")"]
    log.clear()
    runtime.unlock()
    assert log == ["(", ("told", "unlocks"), ")", ("does", "unlock")]


def test_a_signal_while_the_lock_is_waited_for_is_the_callers(told, log):
    error = CameError()
    with pytest.raises(CameError):
        WatchedRuntime(Inner(log, lock=error), told).lock()
    assert log == [("does", "lock"), ("struck", error)]


def test_who_is_struck_as_the_lock_is_judged_does_not_have_it(told, log):
    told.wrong = CameError()
    with pytest.raises(CameError):
        WatchedRuntime(Inner(log), told).lock()
    assert log[-2:] == [
        ("gives up", "a signal struck while an access was judged"),
        ("does", "unlock"),
    ]


def test_the_lock_is_given_up_whatever_judging_raises(told, log):
    told.wrong = CameError()
    with pytest.raises(CameError):
        WatchedRuntime(Inner(log), told).unlock()
    assert log[-1] == ("does", "unlock")


SLEEP = [
    *("(", ("told", "sleeps", WaitQueue.READERS, "handle"), ")"),
    ("does", "sleep", WaitQueue.READERS, 3.0, "handle"),
]


@pytest.mark.parametrize("ending", [None, ExpiredError(), CancelledError()])
def test_a_sleep_is_told_before_and_how_it_ended_after(told, log, ending):
    runtime = WatchedRuntime(Inner(log, sleep=ending), told)
    with pytest.raises(type(ending)) if ending else contextlib.nullcontext():
        runtime.sleep(WaitQueue.READERS, 3.0, "handle")
    assert log == [*SLEEP, "(", ("told", "got_up", ending), ")"]


def test_a_sleep_that_a_signal_ends_is_told_as_such(told, log):
    error = CameError()
    runtime = WatchedRuntime(Inner(log, sleep=error), told)
    with pytest.raises(CameError):
        runtime.sleep(WaitQueue.READERS, 3.0, "handle")
    assert log == [*SLEEP, ("struck", error), "(", ("told", "got_up", error), ")"]


@pytest.mark.parametrize(("refuses", "slept"), [([True], False), ([False, True], True)])
def test_nobody_sleeps_on_where_something_was_wrong(told, log, refuses, slept):
    told.refuses = iter(refuses)
    with pytest.raises(SpecificationError, match="all that was wrong"):
        WatchedRuntime(Inner(log), told).sleep(WaitQueue.READERS, 3.0, "handle")
    assert (SLEEP[-1] in log) == slept


def test_all_are_woken_also_by_whoever_may_not_sleep(told, log):
    told.alarms, told.refuses = iter([True]), iter([True])
    with pytest.raises(SpecificationError):
        WatchedRuntime(Inner(log), told).sleep(WaitQueue.READERS, 3.0, "handle")
    assert log[3:] == ALARM


ALARM = [
    *(("does", "wake", queue) for queue in WaitQueue),
    ("does", "set_readable", True),
    ("does", "set_writable", True),
]


@pytest.mark.parametrize("call", ["unlock", "sleep"])
def test_all_are_woken_once_when_something_was_wrong(told, log, call):
    told.alarms = iter([True])
    runtime = WatchedRuntime(Inner(log), told)
    arguments = () if call == "unlock" else (WaitQueue.READERS, 3.0, "handle")
    getattr(runtime, call)(*arguments)
    assert log[3 : 3 + len(ALARM)] == ALARM
    assert log[3 + len(ALARM)] == ("does", call, *arguments)


def test_who_does_not_hold_the_lock_takes_it_for_that(told, log):
    runtime = WatchedRuntime(Inner(log), told)
    runtime.alarm()
    assert log == []
    told.verdict.alarming, told.alarms = True, iter([True])
    runtime.alarm()
    assert log == [("does", "lock"), *ALARM, ("does", "unlock")]


@pytest.mark.parametrize(
    ("call", "about", "name"),
    [
        ("wake", WaitQueue.SENDERS, "woke"),
        ("cancel", "handle", "cancelled"),
        ("interrupt", "handle", "cancelled"),
    ],
)
def test_wake_ups_are_told_before_they_are_done(told, log, call, about, name):
    getattr(WatchedRuntime(Inner(log), told), call)(about)
    assert log == ["(", ("told", name, about), ")", ("does", call, about)]


def test_the_rest_of_a_runtime_is_that_of_the_one_inside(told, log):
    runtime = WatchedRuntime(Inner(log, now=12.5, fileno=7), told)
    assert (runtime.now(), runtime.fileno()) == (12.5, 7)
    runtime.pause(0.5)
    runtime.start("name", threading.Event)
    runtime.close()
    runtime.set_readable(True)
    runtime.set_writable(False)
    assert (told.readable, told.writable) == (True, False)
    assert log[2:] == [
        ("does", "pause", 0.5),
        ("does", "start", "name", threading.Event),
        ("does", "close"),
        ("does", "set_readable", True),
        ("does", "set_writable", False),
    ]
