"""What the card may have done unseen is allowed, in every order that the specification allows.

The card takes its steps here one by one, in an order that is made to be hard to see from outside.
"""

import contextlib
import threading
import time

import pytest

from emulator.backend import Laboratory
from emulator.packet import NetPacket
from engine.stepper import Stepper
from impl.attach import Attachments
from impl.driver import DuctDriver
from impl.errors import CardFailedError
from impl.settings import Settings
from judge.judge import Deviation, Judge, Specification
from model.layout import EVFLAGS
from model.scope import Scope
from model.state import Flags
from model.system import specification
from monitor.path import LongPath
from monitor.stores import PendingStores
from monitor.watch import watch

NOBODY = 0x0BAD_F00D
GROUP = 0x8000_4711
EXACT = 0xFFFF_FFFF
PATIENCE = 30
SMALL = Scope(ring_size=2, users=2, posted=3)


class Puppet:
    """A card whose every step is said, and a driver that is watched."""

    def __init__(self, laboratory, duct):
        self.running = laboratory.card()
        self.duct = duct
        self._threads = []
        self._undo = None

    @contextlib.contextmanager
    def strings(self):
        """The card, to take its steps; it takes none of its own before and after."""
        with self.running.held() as card:
            yield card
            if card.raising:
                card.take("card.raise_vector0")

    def stands_still(self):
        """The card takes no steps of its own from now on."""
        self.running.wait_until_idle()
        self._undo = self.running.choice.around(lambda choose: [])

    def goes_on(self):
        """The card takes its own steps again."""
        with self.running.held():
            self._undo()

    def beside(self, body):
        thread = threading.Thread(target=body, daemon=True)
        self._threads.append(thread)
        thread.start()

    def joined(self):
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def until(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end
            threading.Event().wait(0.001)

    def served(self, condition):
        """Wait until the driver's handlers have come so far as the specification sees it."""
        now = self.duct.watch.observer.judge.now
        self.until(lambda: condition(now) or self.duct.watch.finding)
        assert not self.duct.watch.finding


def engine(card, prefix, last):
    """Steps of one engine until it has taken the last of these."""
    while True:
        step = next(name for name in card.enabled() if name.startswith(prefix))
        if step.endswith("set_event"):
            step = next(
                name
                for name in card.enabled()
                if name.startswith(prefix) and not name.endswith("set_event")
            )
        card.take(step)
        if step == last:
            return


@pytest.fixture
def puppet():
    laboratory = Laboratory()
    known = Attachments(lambda: {"emulated": laboratory.open}, lambda: watch)
    duct = DuctDriver.open(
        "emulated:",
        settings=Settings(ring_shift=2, drain_timeout=0.05),
        monitor=True,
        attachments=known,
    )
    made = Puppet(laboratory, duct)
    made.stands_still()
    yield made
    made.goes_on()
    made.joined()
    duct.close()
    assert not duct.watch.finding
    assert not duct.watch.gave_up
    laboratory.power_off()


def test_a_bit_that_was_set_between_two_completions_leaves_the_second_to_be_told(puppet):
    puppet.duct.send_batch([(NOBODY, b"1"), (NOBODY, b"2")], blocking=False)
    card = puppet.running.card

    def read_and_go_on(read):
        value = read()
        if card.tx.dev_i == 0:
            engine(card, "tx.", "tx.complete")
            card.take("tx.set_event")
            engine(card, "tx.", "tx.complete")
        return value

    card.reading(EVFLAGS).around(read_and_go_on)
    with puppet.strings():
        card.spurious()
    puppet.served(lambda now: now["tx_cons"] == 2)
    for _ in range(2):
        events = len(puppet.duct.watch.observer.path)
        with puppet.strings():
            if card.tx.due and not card.tx.event:
                card.take("tx.set_event")
            card.spurious()
        puppet.until(lambda: not card.tx.event)
        puppet.served(lambda now, at=events: len(puppet.duct.watch.observer.path) > at)
    assert not card.tx.due


def test_a_bit_that_was_set_for_two_completions_leaves_nothing_to_be_told(puppet):
    puppet.duct.send_batch([(NOBODY, b"1"), (NOBODY, b"2")], blocking=False)
    with puppet.strings() as card:
        engine(card, "tx.", "tx.complete")
        engine(card, "tx.", "tx.complete")
        card.take("tx.set_event")
    puppet.served(lambda now: now["tx_cons"] == 2)


def test_what_came_back_before_a_failure_may_be_seen_after_it(puppet):
    puppet.duct.send(NOBODY, b"1", blocking=False)
    with puppet.running.held() as card:
        engine(card, "tx.", "tx.complete")
        card.take("tx.set_event")
        card.fail()
    puppet.served(lambda now: now["card_flags"] == Flags.ERROR and now["driver_failed"])
    with puppet.running.held() as card:
        card.spurious()
    puppet.served(lambda now: now["tx_cons"] == 1)
    with pytest.raises(CardFailedError):
        puppet.duct.poll()


def test_a_filter_may_let_a_packet_through_before_its_command_is_answered(puppet):
    puppet.beside(lambda: puppet.duct.add_multicast(EXACT, GROUP))
    puppet.until(lambda: puppet.running.card.cmd.look)
    with puppet.strings() as card:
        engine(card, "cmd.", "cmd.execute")
        card.arrive(NetPacket(GROUP, NOBODY, b"early"))
        engine(card, "rx.", "rx.complete")
        card.take("rx.set_event")
    assert puppet.duct.receive(timeout=PATIENCE).payload == b"early"
    assert not puppet.duct.watch.finding


def test_a_packet_may_be_on_its_way_while_its_filter_is_removed(puppet):
    puppet.goes_on()
    puppet.duct.add_multicast(EXACT, GROUP)
    puppet.stands_still()
    puppet.beside(lambda: puppet.duct.remove_multicast(EXACT, GROUP))
    puppet.until(lambda: puppet.running.card.cmd.look)
    with puppet.strings() as card:
        card.arrive(NetPacket(GROUP, NOBODY, b"late"))
        engine(card, "cmd.", "cmd.complete")
        card.take("cmd.set_event")
    puppet.joined()
    with puppet.strings() as card:
        engine(card, "rx.", "rx.complete")
        card.take("rx.set_event")
    assert puppet.duct.receive(timeout=PATIENCE).payload == b"late"
    assert not puppet.duct.watch.finding


def test_what_came_back_before_stop_may_be_seen_after_it(puppet):
    puppet.duct.send(NOBODY, b"1", blocking=False)
    with puppet.running.held() as card:
        engine(card, "tx.", "tx.complete")
        card.take("tx.set_event")
    puppet.beside(puppet.duct.close)
    # Nobody was told of the packet; so the close stops the card when it has waited long enough.
    puppet.until(lambda: card.cmd.look)
    puppet.goes_on()
    puppet.joined()
    assert not puppet.duct.watch.finding


# The worst order that barriers leave


@pytest.fixture
def judge():
    return Judge(Specification(SMALL))


def test_a_part_of_a_word_that_was_stored_behind_the_barrier_is_not_ordered(judge):
    pending = PendingStores(judge)
    pending.stored(1, "tx.fields", 0)
    pending.release(1)
    pending.stored(1, "tx.fields", 0)
    judge.now["tx_owner_pending"][0] = True
    with pytest.raises(Deviation) as caught:
        pending.owner_stored(1, "tx", 0)
    assert caught.value.reason.startswith(
        "no store barrier stands between tx.fields of slot 0 and its owner byte"
    )


# What is kept of a long run


def test_the_newest_steps_are_kept_with_the_state_before_them():
    stepper = Stepper(specification(), SMALL)
    path = LongPath(stepper, kept=10)
    for number in range(101):
        step = ("card.spurious_vector0",) if number % 2 == 0 else ("card.withdraw_vector0",)
        stepper.fire(step)
        path.append(step)
    steps = list(path)
    assert 10 <= len(steps) < 20
    assert len(path) == 101
    assert path.forgotten == 101 - len(steps)
    again = Stepper(specification(), SMALL)
    again.load(path.start)
    for step in steps:
        assert again.is_enabled(step)
        again.fire(step)
    assert again.state() == stepper.state()


def test_a_step_that_is_put_in_moves_what_comes_behind_it():
    path = LongPath(Stepper(specification(), SMALL))
    path.append(("one",))
    before = path.mark()
    path.append(("three",))
    behind = path.mark()
    path.insert(before.position, ("two",))
    assert list(path) == [("one",), ("two",), ("three",)]
    assert (before.position, behind.position) == (1, 3)
