"""The driver as programs use it, beyond what every backend must offer (`test_conformance`)."""

import asyncio
import errno
import textwrap
import threading
import time
from collections import deque
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import impl.driver
from emulator.behaviour import Behaviour
from impl.attach import Attachments
from impl.controller import Life
from impl.driver import DuctDriver
from impl.errors import CardFailedError, ClosedError, InvalidArgumentError, WaitTimeoutError
from impl.settings import Settings
from model.layout import ECHO, LIMITS
from tests.background import PATIENCE, Background
from tests.own_card import OwnCard
from tests.scripts import printed_by

ROOT = Path(__file__).resolve().parent.parent
HASTY = Settings(drain_timeout=0.05, command_timeout=1)
"""A card that works answers in that time even where the machine is busy with something else."""


class Cards(OwnCard):
    """Emulated cards that only one test has, which may stand still from the first access on."""

    reached_still = False

    def reach(self, name):
        device = super().reach(name)
        if self.reached_still:
            self.stand_still()
        return device

    @property
    def controller(self):
        return self.attachments._cards["emulated:"].controller


@pytest.fixture
def simulation():
    cards = Cards()
    yield cards
    cards.power_off()


# On rings of every size, however packets are sent and received, they come in order


class Queue(RuleBasedStateMachine):
    """The echo as a queue: what was sent and not yet received, and what is on loan.

    A slot that is on loan is not the card's when the card comes round to it, so nothing is sent
    that would need it.
    """

    @initialize(shift=st.integers(0, 4), moody=st.booleans())
    def begin(self, shift, moody):
        self.simulation = Cards()
        if moody:
            self.simulation.card.behaviour = Behaviour(spurious_every=3, merge=3, look_ahead=True)
        self.slots = 1 << shift
        self.duct = self.simulation.open(settings=Settings(ring_shift=shift))
        self.sent = self.received = 0
        self.waiting = deque()
        self.loans = {}

    def room(self):
        """How many packets the receive ring has slots for."""
        return self.slots - (self.sent - min(self.loans, default=self.received))

    @rule(data=st.data(), blocking=st.booleans())
    @precondition(lambda self: self.room() > 0)
    def send(self, data, blocking):
        payload = data.draw(st.binary(max_size=9) | st.just(bytes(LIMITS.max_packet)))
        cut = data.draw(st.integers(0, len(payload)))
        if not blocking:  # its slot may not be known to be free yet
            blocking = self.slots == 1
        try:
            self.duct.send(ECHO.address, [payload[:cut], payload[cut:]], blocking=blocking)
        except BlockingIOError:
            # Whether a slot is known to be free yet is a matter of timing; what is tried is not.
            self.duct.send(ECHO.address, payload)
        self.sent += 1
        self.waiting.append(payload)

    @rule()
    @precondition(lambda self: self.waiting)
    def receive(self):
        assert self.duct.receive(timeout=PATIENCE).payload == self.waiting.popleft()
        self.received += 1

    @rule(most=st.integers(1, 5))
    @precondition(lambda self: self.waiting)
    def receive_batch(self, most):
        wanted = min(most, len(self.waiting))
        while wanted:
            # How many are there already is a matter of timing.
            packets = self.duct.receive_batch(wanted, timeout=PATIENCE)
            assert 1 <= len(packets) <= wanted
            wanted -= len(packets)
            for packet in packets:
                assert packet.payload == self.waiting.popleft()
                self.received += 1

    @rule()
    @precondition(lambda self: self.waiting)
    def borrow(self):
        view = self.duct.receive_view(timeout=PATIENCE)
        self.loans[self.received] = view, self.waiting.popleft()
        self.received += 1

    @rule(data=st.data())
    @precondition(lambda self: self.loans)
    def repost(self, data):
        view, payload = self.loans.pop(data.draw(st.sampled_from(sorted(self.loans))))
        assert view.payload == payload
        view.release()

    @rule()
    @precondition(lambda self: not self.waiting)
    def find_nothing(self):
        with pytest.raises(BlockingIOError):
            self.duct.receive(blocking=False)

    @rule()
    def close_and_open(self):
        self.duct.close()
        self.duct = self.simulation.open()
        self.slots = 64
        self.sent = self.received = 0
        self.waiting.clear()
        self.loans.clear()

    def teardown(self):
        if hasattr(self, "simulation"):
            for view, payload in self.loans.values():
                assert view.payload == payload
            self.duct.close()
            self.simulation.laboratory.power_off()


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=40, stateful_step_count=25)


@pytest.mark.parametrize("shift", range(LIMITS.max_shift + 1))
def test_a_ring_of_every_size_carries_packets(simulation, shift):
    with simulation.open(settings=Settings(ring_shift=shift)) as duct:
        for number in range(5):
            duct.send(ECHO.address, bytes([number]))
            assert duct.receive(timeout=PATIENCE).payload == bytes([number])


def test_the_example_of_the_module_does_what_it_says(capsys):
    text = impl.driver.__doc__.split("\n\n")[1]
    exec(textwrap.dedent(text), {"DuctDriver": DuctDriver})  # noqa: S102 - it is ours
    assert capsys.readouterr().out == "b'hello'\n"


# What cannot be sent


@pytest.mark.parametrize("payload", ["text", 5, None, [1, 2], ["text"]], ids=repr)
def test_what_is_no_bytes_cannot_be_sent(simulation, payload):
    with simulation.open() as duct:
        with pytest.raises(TypeError) as refused:
            duct.send(ECHO.address, payload)
        hint = "; a text becomes bytes by encode()" if payload == "text" else ""
        assert str(refused.value) == (
            f"a payload is bytes, or a list of them, not {payload!r}{hint}"
        )
        duct.send(ECHO.address, b"bytes")
        assert duct.receive(timeout=PATIENCE).payload == b"bytes"


@pytest.mark.parametrize(
    ("destination", "hint"),
    [("ec60", "; did you mean 0xec60?"), ("0xEC60", "; did you mean 0xec60?"), ("echo", ""),
     (1.5, ""), (None, ""), (b"ec60", "")],
    ids=repr,
)  # fmt: skip
def test_what_is_no_number_is_no_destination(simulation, destination, hint):
    told = f"a destination is a number from 0 to 0xffffffff, not {destination!r}{hint}"
    with simulation.open() as duct:
        for call in (
            lambda: duct.send(destination, b""),
            lambda: duct.send_batch([(destination, b"")]),
        ):
            with pytest.raises(TypeError) as refused:
                call()
            assert str(refused.value) == told
        duct.send(ECHO.address, b"bytes")
        assert duct.receive(timeout=PATIENCE).payload == b"bytes"


# Opens that do not succeed


def test_an_address_in_place_of_a_card_says_how_to_open_one():
    with pytest.raises(TypeError) as refused:
        DuctDriver("emulated:")
    assert str(refused.value) == (
        "a card is opened by DuctDriver.open('emulated:'), not by DuctDriver('emulated:')"
    )


def test_a_card_that_refuses_its_own_address_does_not_open(simulation):
    simulation.card.behaviour = Behaviour(refuse_filters=7)
    hwaddr = simulation.card.card.hwaddr
    with pytest.raises(CardFailedError) as caught:
        simulation.open()
    assert caught.value.strerror == (
        f"the card does not start: ADDFILT, mask 0xffffffff, address {hwaddr:#010x}: "
        "the card refused it with error 7"
    )
    simulation.card.behaviour = Behaviour()
    with simulation.open() as duct:
        duct.send(ECHO.address, b"now it does")
        assert duct.receive(timeout=PATIENCE).payload == b"now it does"


def test_a_card_that_another_program_has_open_cannot_be_opened(simulation):
    other = Attachments(lambda: {"emulated": simulation.laboratory.open})
    with simulation.open():
        with pytest.raises(OSError) as caught:
            DuctDriver.open("emulated:", attachments=other)
        assert caught.value.errno == errno.EBUSY
    with DuctDriver.open("emulated:", attachments=other) as duct:
        assert not duct.closed


def test_an_open_waits_for_another_no_longer_than_it_was_told(simulation):
    simulation.reached_still = True
    opening = Background(simulation.open)
    # The other one is at it as soon as it has the card.
    while not simulation.attachments._cards or simulation.controller.life is not Life.OPENING:
        assert opening.thread.is_alive()
        time.sleep(0.001)
    with pytest.raises(WaitTimeoutError) as caught:
        simulation.open(timeout=0.05)
    expected = "waited 0.05 s for somebody else to open or close the card"
    assert caught.value.strerror == expected
    simulation.stand_still(False)
    opening.join().value.close()


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_an_open_refuses_a_time_that_is_no_time(simulation, timeout):
    with pytest.raises(InvalidArgumentError) as caught:
        simulation.open(timeout=timeout)
    assert caught.value.strerror == f"a timeout is 0 seconds or more, not {timeout}"
    assert not simulation.attachments._cards


def test_other_settings_are_refused_while_the_card_is_open(simulation):
    with simulation.open(settings=Settings(ring_shift=3)) as duct:
        with pytest.raises(InvalidArgumentError):
            simulation.open(settings=Settings(ring_shift=4))
        with simulation.open(settings=Settings(ring_shift=3)), simulation.open():
            assert not duct.closed
    with simulation.open(settings=Settings(ring_shift=4)):
        pass


# Closes that do not succeed


def test_a_card_that_stands_still_is_reset_by_the_last_close(simulation):
    duct = simulation.open(settings=HASTY)
    duct.send(ECHO.address, b"never sent", blocking=False)
    simulation.stand_still()
    duct.send(ECHO.address, b"never sent", blocking=False)
    duct.close()
    simulation.stand_still(False)
    with simulation.open() as again, pytest.raises(BlockingIOError):
        again.receive(blocking=False)


def test_a_card_that_is_dead_keeps_its_memory(simulation):
    """It may come to life at any time, and would write where it was told."""
    duct = simulation.open(settings=HASTY)
    simulation.card.power_off()
    with pytest.raises(CardFailedError) as caught:
        duct.close()
    assert caught.value.strerror == (
        "the card neither stops nor resets; its memory is kept, and the next open tries again"
    )
    assert duct.closed
    duct.close()
    memory = simulation.laboratory.memory()
    assert len(memory.regions) == 5
    with pytest.raises(CardFailedError) as caught:
        simulation.open()
    assert caught.value.strerror == (
        "the card does not start: the card is not back after 1001 reads of FLAGS, which says RST; "
        "its memory is kept, and the next open tries again"
    )
    assert len(memory.regions) == 5


def test_a_close_goes_on_whatever_one_of_its_steps_raises(simulation, monkeypatch):
    duct = simulation.open()
    for _ in range(2):
        duct.send(ECHO.address, b"loan")
    views = [duct.receive_view(timeout=PATIENCE) for _ in range(2)]
    repost = duct._controller.repost
    raised = []

    def interrupted(slot):
        repost(slot)
        if not raised:
            raised.append(slot)
            raise KeyboardInterrupt

    monkeypatch.setattr(duct._controller, "repost", interrupted)
    with pytest.raises(KeyboardInterrupt):
        duct.close()
    for view in views:
        with pytest.raises(ValueError):
            bytes(view.payload)
    assert not simulation.attachments._cards


def test_two_threads_may_close_the_same_driver(simulation):
    with simulation.open():
        duct = simulation.open()
        closing = [Background(duct.close) for _ in range(4)]
        assert [call.join().error for call in closing] == [None] * 4
    assert not simulation.attachments._cards


def test_nothing_is_left_of_a_card_that_was_closed(simulation):
    simulation.laboratory.card()
    before = set(threading.enumerate())
    with simulation.open() as duct:
        duct.fileno()
        asyncio.run(duct.send_async(ECHO.address, b""))
    assert set(threading.enumerate()) <= before
    assert not simulation.attachments._cards
    assert not simulation.laboratory.memory().regions


def test_an_iteration_that_begins_while_the_driver_is_closed_ends(simulation):
    for _ in range(20):
        duct = simulation.open()
        start = threading.Barrier(2)

        def listen(duct=duct, start=start):
            start.wait()
            return list(duct)

        listening = Background(listen)
        start.wait()
        duct.close()
        assert listening.join().error is None


def test_an_iteration_tells_that_the_card_failed(simulation):
    with simulation.open() as duct:
        listening = Background(lambda: list(duct))
        simulation.card.fail()
        assert isinstance(listening.join().error, CardFailedError)


def test_closing_ends_tasks_with_the_drivers_own_error(simulation):
    duct = simulation.open()

    async def everything():
        task = asyncio.create_task(duct.receive_async())
        await asyncio.sleep(0)
        duct.close()
        with pytest.raises(ClosedError):
            await task

    asyncio.run(everything())


# Signals


def run_script(script):
    """What a program prints in which `interrupt_when` sends SIGINT to the main thread."""
    prelude = """
        import os, signal, threading, time
        from emulator.backend import default
        from impl.driver import DuctDriver
        from impl.runtime import WaitQueue

        signal.signal(signal.SIGINT, signal.default_int_handler)
        duct = DuctDriver.open("emulated:")

        def asleep(queue):
            return bool(duct._controller.runtime._sleepers[queue])

        def interrupt_when(condition):
            def body():
                while not condition():
                    time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGINT)
            threading.Thread(target=body, daemon=True).start()

        def stand_still(yes):
            card = default().card()
            card.stand_still() if yes else card.go_on()

        def echo(payload):
            duct.send(0xEC60, payload, timeout=20)
            print(duct.receive(timeout=20).payload)
    """
    return printed_by(script, prelude)


def test_a_signal_ends_a_wait_for_a_packet_and_the_driver_goes_on():
    assert run_script("""
        for wait in (duct.receive, duct.receive_view, duct.read, lambda: next(iter(duct))):
            interrupt_when(lambda: asleep(WaitQueue.READERS))
            try:
                wait()
            except KeyboardInterrupt:
                print("interrupted")
        echo(b"goes on")
        duct.close()
    """) == ["interrupted"] * 4 + ["b'goes on'"]


def test_a_signal_ends_a_wait_for_a_slot_and_the_next_in_line_gets_it():
    assert run_script("""
        stand_still(True)
        for _ in range(64):
            duct.send(1, b"", blocking=False)
        interrupt_when(lambda: asleep(WaitQueue.SENDERS))
        try:
            duct.send(0xEC60, b"never sent")
        except KeyboardInterrupt:
            print("interrupted", len(duct._controller.transmit.waiters), "in line")
        stand_still(False)
        echo(b"goes on")
        duct.close()
    """) == ["interrupted 0 in line", "b'goes on'"]


def test_a_signal_ends_a_wait_for_completion_and_the_packet_is_sent_all_the_same():
    assert run_script("""
        stand_still(True)
        interrupt_when(lambda: asleep(WaitQueue.SENDERS))
        try:
            duct.send(0xEC60, b"sent all the same")
        except KeyboardInterrupt:
            print("interrupted")
        stand_still(False)
        print(duct.receive(timeout=20).payload)
        echo(b"goes on")
        duct.close()
    """) == ["interrupted", "b'sent all the same'", "b'goes on'"]


def test_a_signal_in_the_middle_of_a_close_does_not_keep_the_card_from_being_closed():
    assert run_script("""
        stand_still(True)
        duct.send(0xEC60, b"", blocking=False)
        interrupt_when(lambda: asleep(WaitQueue.LIFE))
        threading.Timer(0.3, stand_still, [False]).start()
        try:
            duct.close()
        except KeyboardInterrupt:
            print("interrupted", duct.closed)
        duct = DuctDriver.open("emulated:")
        echo(b"opens again")
        duct.close()
    """) == ["interrupted True", "b'opens again'"]


def test_a_signal_in_the_middle_of_an_open_leaves_a_card_that_opens_again():
    assert run_script("""
        from impl.attach import Attachments
        duct.close()

        def reach(name):
            device = default().open(name)
            stand_still(True)
            return device

        def opening():
            cards = list(attachments._cards.values())
            return cards and cards[0].controller.runtime._sleepers[WaitQueue.COMMANDS]

        attachments = Attachments(lambda: {"emulated": reach})
        interrupt_when(opening)
        try:
            DuctDriver.open("emulated:", attachments=attachments)
        except KeyboardInterrupt:
            print("interrupted")
        stand_still(False)
        duct = DuctDriver.open("emulated:")
        echo(b"opens again")
        duct.close()
    """) == ["interrupted", "b'opens again'"]
