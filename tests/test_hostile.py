"""Whatever the card does: the driver ends every call, raises what it documents, reads its own."""

import collections
import contextlib
import random
import threading
import time

import pytest
from hypothesis import given, seed

from emulator.backend import Laboratory
from impl.attach import Attachments
from impl.driver import DuctDriver
from impl.errors import CardFailedError, DuctError
from impl.memory import Purpose
from impl.settings import Settings
from judge.words import StrayAccessError
from model.layout import ECHO, HWERR, LIMITS, RST, Owner
from properties.driver_source import DriverCode, SourceChange
from properties.profiles import chosen
from properties.simulation.hostile import HostileError, HostileWorld
from properties.simulation.hostile_choices import Setup, decisions, setups

PROFILE = chosen()
PATIENCE = 30
CHECKED_SIZE = '        size = check_received(length)\n        if not size:\n            return b""'
CHECKED = "    if length > _MOST:\n        raise CardError"
DRAINING = "sleep(WaitQueue.LIFE, deadline)\n        except ExpiredError:\n            return None"
GO = ("go", bytes(64))


@pytest.mark.parametrize("part", range(PROFILE.parts))
def test_driver_survives_every_card(part):
    outcomes = collections.Counter()

    @seed(part)
    @PROFILE.limits(derandomize=False)
    @given(setup=setups(), events=decisions())
    def survives(setup, events):
        simulation = HostileWorld(setup)
        simulation.run(events)
        outcomes.update(simulation.outcomes)

    survives()
    # A search in which nothing is called finds nothing.
    assert outcomes.total() >= PROFILE.examples * 5
    if PROFILE.examples < 300:
        return
    for kind in ("open", "close", "send", "receive", "view", "poll"):
        assert outcomes[kind, "returned"]
    for told in ("CardFailedError", "CardError", "WaitTimeoutError", "ClosedError"):
        assert any(told == other for _, other in outcomes)


# What a single lie leads to


def outcomes_of(setup, *events):
    simulation = HostileWorld(setup)
    simulation.run([event for each in events for event in (each, GO)])
    return simulation.outcomes


def packet(length):
    return "packet", (length, 1, 2, 0, 3)


@pytest.mark.parametrize("length", [0, 1, 4096, LIMITS.max_packet])
@pytest.mark.parametrize("kind", ["receive", "view"])
def test_length_that_fits_is_believed(kind, length):
    outcomes = outcomes_of(Setup(), packet(length), (kind, 0, False))
    assert outcomes[kind, "returned"] == 1


@pytest.mark.parametrize("length", [LIMITS.max_packet + 1, 65536, 0xFFFF_FFFF])
@pytest.mark.parametrize("kind", ["receive", "view"])
def test_length_beyond_the_buffers_is_an_error_of_the_card(kind, length):
    outcomes = outcomes_of(Setup(), packet(length), (kind, 0, False))
    assert outcomes[kind, "CardError"] == 1


@pytest.mark.parametrize("flags", [RST.mask, HWERR.mask, 0xFFFF_FFFF])
def test_card_that_never_comes_back_from_a_reset_cannot_be_opened(flags):
    outcomes = outcomes_of(Setup(flags=(flags,), opened=False), ("open",))
    assert outcomes["open", "CardFailedError"] == 1


def test_vectors_for_no_reason_change_nothing():
    outcomes = outcomes_of(Setup(), *[("vector", 0), ("vector", 1)] * 4, ("poll", 0))
    assert outcomes["poll", "returned"] == 1


def test_card_that_takes_everything_leaves_senders_to_their_deadlines():
    outcomes = outcomes_of(Setup(ring_shift=0), *[("send", 0, (1,), True)] * 3)
    assert outcomes["send", "WaitTimeoutError"] == 3


# Broken drivers

BROKEN = {
    "the length that the card announces is not checked": (
        SourceChange("packet", CHECKED, CHECKED.replace("length > _MOST", "False")),
        "bytes 0 to .* of the buffers of slot",
    ),
    "the limit of that check is one too high": (
        SourceChange("packet", CHECKED, CHECKED.replace("_MOST", "_MOST + 1")),
        "bytes 0 to 16384 of the buffers of slot|of 16385 bytes",
    ),
    "the length is loaded again after its check": (
        SourceChange(
            "ring", CHECKED_SIZE, CHECKED_SIZE.replace("(length)", "(self._load_header(slot)[0])")
        ),
        "the slot said",
    ),
    "a reset is waited for without bound": (
        SourceChange("lifecycle", "for _ in range(self._settings.reset_polls):", "while True:"),
        "not over after 1000 steps",
    ),
    "open and close wait for commands without bound": (
        SourceChange("lifecycle", "deadline=self._runtime.now() + timeout, conducts", "conducts"),
        "not over after 1000 steps",
    ),
    "the last close waits for the card to send without bound": (
        SourceChange("lifecycle", DRAINING, DRAINING.replace(", deadline", "")),
        "not over after 1000 steps",
    ),
    "the last close waits longer than it was told": (
        SourceChange(
            "lifecycle", "+ self._settings.drain_timeout", "+ 2 * self._settings.drain_timeout"
        ),
        "a sleep that ends at",
    ),
    "slots are taken back that were never handed over": (
        SourceChange(
            "ring", "        if self._consumed == self.produced:\n            return False\n", ""
        ),
        "not over after 1000 steps",
    ),
    "memory is forgotten when the card stops": (
        SourceChange("lifecycle", "self._free(StopCompleted(stopped))", "self._memory = None"),
        "memory is left",
    ),
    "the receive ring stays in use when the card stops": (
        SourceChange(
            "lifecycle",
            "        self._retire_packet_rings()\n        self._free(StopCompleted(stopped))",
            "        self._free(StopCompleted(stopped))",
        ),
        "freed",
    ),
    "a failure is remembered for ever": (
        SourceChange("lifecycle", "        controller.failed = False\n", ""),
        "behaves again",
    ),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_driver_does_not_survive(change, message):
    code = DriverCode.changed([change])

    @PROFILE.search_only(3000)
    @given(setup=setups(), events=decisions())
    def search(setup, events):
        HostileWorld(setup, code).run(events)

    with pytest.raises((HostileError, StrayAccessError), match=message):
        search()


# Real threads


class Scribbler:
    """Writes to all memory of a running card, sometimes what looks like an answer."""

    def __init__(self, laboratory):
        self.regions = []
        self.laboratory = laboratory
        self.stopped = False
        self.writes = 0
        self.thread = threading.Thread(target=self.run, daemon=True)

    def open(self, rest):
        device = self.laboratory.open(rest)
        allocate = device.allocate

        def remember(size, purpose):
            region = allocate(size, purpose)
            self.regions.append(region)
            del self.regions[:-10]
            return region

        device.allocate = remember
        return device

    def run(self):
        chance = random.Random(0)
        while not self.stopped:
            for region in list(self.regions):
                begin = chance.randrange(region.size)
                if region.purpose is Purpose.COMMAND_RING:
                    # Otherwise it would hardly ever open.
                    if chance.random() < 0.9:
                        continue
                elif chance.random() < 0.5:
                    begin = begin // 64 * 64
                data = bytes([chance.choice([*Owner, 0, 255])]) + chance.randbytes(3)
                data += chance.choice([0, 5, 16384, 16385, 1 << 31]).to_bytes(4, "little")
                data = data[: region.size - begin]
                region.content[begin : begin + len(data)] = data
                self.writes += 1
            time.sleep(0.0005)


class User(threading.Thread):
    """Uses a card as well as it can."""

    def __init__(self, number, attachments, until):
        super().__init__(daemon=True)
        self.chance = random.Random(number)
        self.attachments = attachments
        self.until = until
        self.outcomes = collections.Counter()
        self.problem = None

    def run(self):
        try:
            while time.monotonic() < self.until:
                self.one_open()
        except BaseException as error:
            self.problem = error

    def one_open(self):
        try:
            duct = open_it(self.attachments)
        except DuctError as error:
            self.outcomes["open", type(error).__name__] += 1
            time.sleep(0.002)
            return
        self.outcomes["open", "returned"] += 1
        with contextlib.suppress(CardFailedError), duct:
            for _ in range(20):
                if time.monotonic() < self.until:
                    self.one_call(duct)

    def one_call(self, duct):
        kind = self.chance.choice(["send", "receive", "view", "poll", "filter"])
        try:
            match kind:
                case "send":
                    duct.send(ECHO.address, bytes(self.chance.choice([0, 9, 16384])), timeout=0.02)
                case "receive":
                    assert len(duct.receive(timeout=0.02).payload) <= LIMITS.max_packet
                case "view":
                    with duct.receive_view(timeout=0.02) as view:
                        assert len(view.payload) <= LIMITS.max_packet
                case "poll":
                    duct.poll()
                case "filter":
                    duct.add_multicast(0xFFFF_FFFF, 0x8000_0001, timeout=0.02)
            self.outcomes[kind, "returned"] += 1
        except CardFailedError:
            self.outcomes[kind, "CardFailedError"] += 1
            raise
        except DuctError as error:
            self.outcomes[kind, type(error).__name__] += 1


def open_it(attachments):
    settings = Settings(
        ring_shift=2, reset_polls=500, reset_pause=0.001, drain_timeout=0.05, command_timeout=0.5
    )
    return DuctDriver.open("emulated:", settings=settings, timeout=5, attachments=attachments)


ROUNDS = 10
"""A card may be left so that it neither sends nor fails any more, until all have closed it."""


def test_four_threads_survive_a_card_whose_memory_is_scribbled_over():
    told = set()
    for _ in range(ROUNDS):
        told |= survived_by_four_threads()
        if told >= {"returned", "CardFailedError"}:
            return
    pytest.fail(f"in {ROUNDS} rounds calls ended as {told} only")


def survived_by_four_threads():
    """How calls ended."""
    laboratory = Laboratory()
    scribbler = Scribbler(laboratory)
    attachments = Attachments(lambda: {"emulated": scribbler.open})
    users = [User(n, attachments, time.monotonic() + 3) for n in range(4)]
    for thread in [scribbler.thread, *users]:
        thread.start()
    for user in users:
        user.join(PATIENCE)
        assert not user.is_alive(), f"it hangs after {user.outcomes}"
    scribbler.stopped = True
    scribbler.thread.join(PATIENCE)
    assert [user.problem for user in users] == [None] * 4
    assert scribbler.writes > 100
    try:
        check_it_works(attachments)
    finally:
        laboratory.power_off()
    return {told for user in users for _, told in user.outcomes}


def check_it_works(attachments):
    """Once nobody scribbles any more, an open works; one that fails has reset the card."""
    try:
        duct = open_it(attachments)
    except CardFailedError:
        duct = open_it(attachments)
    with duct:
        duct.send(ECHO.address, b"hello", timeout=5)
        assert duct.receive(timeout=5).payload == b"hello"
