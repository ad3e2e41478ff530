"""Deadlines are bounds, however often whoever waits is woken, interrupted or struck by signals.

Nobody waits here: the clock is the runtime's, and moves only while somebody sleeps or pauses. The
card stands still, unless a test says otherwise.
"""

import pytest

from impl import interrupts
from impl.attach import Attachment
from impl.controller import Controller
from impl.driver import DuctDriver
from impl.errors import CardFailedError, WaitTimeoutError
from impl.interrupts import SharedLine, Wake
from impl.lifecycle import Lifecycle
from impl.memory import Device, Purpose
from impl.runtime import CancelledError, ExpiredError, Runtime
from impl.settings import Settings
from model.layout import COMMAND_SLOT, FLAGS, HWERR, RST, Owner
from tests.test_ring import Region

SETTINGS = Settings(
    ring_shift=0, reset_polls=50, reset_pause=0.01, drain_timeout=2.0, command_timeout=3.0
)
RESET = 50 * 0.01
MASK, ADDRESS = 0xFFFF_FFFF, 0x8000_0001


class Strike(BaseException):
    """What a signal handler raises."""


class Still(Device):
    """A card that does nothing by itself.

    Attributes:
        answers: It answers commands as soon as it is told of them.
        flags: What FLAGS reads as; None: what it should.
    """

    def __init__(self):
        self.said = []
        self.answers = True
        self.flags = None
        self.regions = {}

    def allocate(self, size, purpose):
        region = self.regions[purpose] = Region(size, purpose, self.said)
        return region

    def free(self, region):
        pass

    def acquire(self):
        pass

    release = release_loads = before_register_write = fence = enable_bus_master = acquire

    def read(self, register):
        return self.flags or 0 if register is FLAGS else 0

    def write(self, _register, _value):
        if self.answers and Purpose.COMMAND_RING in self.regions:
            slot = self.regions[Purpose.COMMAND_RING].data
            slot[COMMAND_SLOT["error"].offset] = 0
            slot[COMMAND_SLOT["owner"].offset] = Owner.HOST

    def wait_for_interrupt(self, _vector):
        raise AssertionError("nobody serves interrupts in a thread of their own")

    def close(self):
        pass


class OneThread(Runtime):
    """A runtime of one thread. Whoever sleeps is woken all the time.

    Attributes:
        time: The clock.
        steps: How long each sleep lasts, in seconds.
        strikes: What signal handlers are to raise in the next sleeps.
        sleeps: How often somebody slept.
        meanwhile: What happens during each sleep.
    """

    def __init__(self, step):
        self.time = 0.0
        self.step = step
        self.strikes = []
        self.sleeps = 0
        self.meanwhile = lambda: None

    def sleep(self, _channel, deadline=None, _handle=None):
        self.sleeps += 1
        assert self.sleeps < 100_000, "a sleep without an end"
        if deadline is not None and self.time >= deadline:
            raise ExpiredError
        self.time += self.step if deadline is None else min(self.step, deadline - self.time)
        self.meanwhile()
        if self.strikes:
            raise self.strikes.pop()

    def now(self):
        return self.time

    def pause(self, seconds):
        self.time += seconds

    def start(self, name, body):
        pass

    def nothing(self, *_):
        pass

    lock = unlock = wake = cancel = interrupt = set_readable = set_writable = fileno = close = (
        nothing
    )


class World:
    """A driver, a card that stands still, and a clock."""

    def __init__(self, step):
        self.device = Still()
        self.runtime = OneThread(step)
        self.controller = Controller(self.device, self.runtime, SETTINGS)
        self.lifecycle = Lifecycle(self.controller)
        self.runtime.meanwhile = self.controller.serve_events
        self.duct = DuctDriver(Attachment(self.controller, self.lifecycle))

    def takes(self, body, error):
        """How long something takes, which ends with an error."""
        before = self.runtime.time
        with pytest.raises(error):
            body()
        return self.runtime.time - before


STEPS = [0.001, 0.03, 0.4999, 10.0]


@pytest.fixture(params=STEPS, ids=lambda step: f"woken every {step} s")
def world(request):
    return World(request.param)


def fill(duct):
    duct.send(1, b"", blocking=False)


CALLS = {
    "receive": lambda duct: duct.receive(timeout=0.5),
    "receive_view": lambda duct: duct.receive_view(timeout=0.5),
    "receive_batch": lambda duct: duct.receive_batch(3, timeout=0.5),
    "read": lambda duct: duct.read(timeout=0.5),
    "send": lambda duct: duct.send(1, b"", timeout=0.5),
    "send_batch": lambda duct: duct.send_batch([(1, b"")] * 3, timeout=0.5),
    "write": lambda duct: duct.write(bytes(16), timeout=0.5),
    "send on a full ring": lambda duct: (fill(duct), duct.send(1, b"", timeout=0.5)),
    "add_multicast": lambda duct: duct.add_multicast(MASK, ADDRESS, timeout=0.5),
    "remove_multicast": lambda duct: duct.remove_multicast(MASK, ADDRESS, timeout=0.5),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_keeps_to_its_time_however_often_it_is_woken(world, call):
    world.device.answers = False
    assert world.takes(lambda: CALLS[call](world.duct), WaitTimeoutError) == pytest.approx(0.5)


def test_a_close_takes_no_longer_than_draining_a_command_and_a_reset(world):
    fill(world.duct)
    world.device.answers = False
    world.device.flags = RST.mask
    bound = SETTINGS.drain_timeout + SETTINGS.command_timeout + RESET
    assert world.takes(world.duct.close, CardFailedError) == pytest.approx(bound)
    assert world.lifecycle.needs_reset


def test_draining_takes_its_time_and_no_more(world):
    fill(world.duct)
    before = world.runtime.time
    world.duct.close()
    # Behind it STOP and FLUSHFILT are answered, each by the first wake-up.
    commands = 2 * min(world.runtime.step, SETTINGS.command_timeout)
    assert world.runtime.time - before == pytest.approx(SETTINGS.drain_timeout + commands)


def test_a_reset_that_fails_again_and_again_is_given_up_in_time(world):
    world.device.answers = False
    world.device.flags = HWERR.mask
    bound = SETTINGS.command_timeout + RESET
    assert world.takes(world.duct.close, CardFailedError) == pytest.approx(bound)


def test_an_open_of_a_card_that_answers_nothing_takes_one_command_and_a_reset(world):
    world.duct.close()
    world.device.answers = False
    again = world.takes(world.lifecycle.open, CardFailedError)
    assert again == pytest.approx(SETTINGS.command_timeout)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_signals_make_a_close_no_longer(world, count):
    fill(world.duct)
    world.device.answers = False
    world.device.flags = RST.mask
    world.runtime.strikes = [Strike() for _ in range(count)]
    bound = SETTINGS.drain_timeout + SETTINGS.command_timeout + RESET
    assert world.takes(world.duct.close, Strike) <= bound + 1e-6
    assert world.lifecycle.needs_reset
    assert world.controller.life.name == "CLOSED"


def test_an_open_waits_for_another_no_longer_than_it_was_told(world):
    world.duct.close()
    world.controller.life = type(world.controller.life).OPENING
    took = world.takes(lambda: world.lifecycle.open(0.5), WaitTimeoutError)
    assert took == pytest.approx(0.5)


def test_without_a_wake_up_a_wait_is_one_sleep():
    world = World(10.0)
    before = world.runtime.sleeps
    world.takes(lambda: world.duct.receive(timeout=0.5), WaitTimeoutError)
    # One that ends at the deadline, and one that finds that it has passed.
    assert world.runtime.sleeps - before <= 2


# Waiting for interrupts


class FakeTime:
    """A clock that moves while somebody polls, and never quite as far as was asked for."""

    def __init__(self):
        self.time = 100.0
        self.polls = 0

    def monotonic(self):
        return self.time

    def poll(self, milliseconds):
        self.polls += 1
        # The system rounds up to whole milliseconds.
        self.time += max(1, -(-milliseconds // 1)) / 1000
        return []


@pytest.mark.parametrize("seconds", [0.5, 0.0005, 1e-9, 1.0])
def test_a_wait_for_the_line_is_a_poll_or_two_and_ends_in_time(monkeypatch, seconds):
    clock = FakeTime()
    monkeypatch.setattr(interrupts, "time", clock)
    monkeypatch.setattr(interrupts, "_ready", lambda _: False)
    line = SharedLine(0, int, int)
    monkeypatch.setattr(line, "_poll", clock)
    assert line.wait(0, seconds) is Wake.TIME
    assert seconds <= clock.time - 100 <= seconds + 0.0021
    assert clock.polls <= 2
    line.close()


def test_a_call_through_a_driver_that_is_closed_ends_whatever_its_time():
    world = World(0.01)

    def close():
        raise CancelledError

    world.runtime.meanwhile = close
    with pytest.raises(OSError, match="closed while the call was waiting"):
        world.duct.receive(timeout=1e9)
