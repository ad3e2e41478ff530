"""A signal at any bytecode of a call: it is raised, nothing is lost, and everybody goes on.

A handler that raises is called at each bytecode of each call in turn, as Python would call it. Then
the call has raised what the handler raised, no slot, ticket, lock, descriptor or view is lost, the
other threads go on, close returns, the card is stopped and its memory given back. A sample of it
runs every time, all of it with DUCT_PROFILE=nightly.
"""

import contextlib
import itertools
import random
import time

import pytest

from impl.errors import CardFailedError, ClosedError, WouldBlockError
from model.layout import ECHO
from properties.profiles import chosen
from tests.background import PATIENCE, Background, until
from tests.calls import (
    ADDRESS,
    MASK,
    close,
    filters,
    interrupt,
    iterate,
    open_again,
    open_another,
    read,
    readiness,
    receive,
    receive_async,
    receive_batch,
    receive_view,
    recover,
    send,
    send_async,
    send_batch,
    send_unwaited,
)
from tests.failing import stage
from tests.own_card import OwnCard
from tests.struck import EXPOSED, Strike, Struck, striking

PAYLOADS = [b"one", b"two"]
STEP, LONG_STEP = 23, 97
"""From one bytecode that is struck to the next, if it is not all of them; in opens and closes."""


@pytest.fixture(autouse=True)
def handler():
    with striking():
        yield


def poll(duct, _here, _got):
    duct.poll()


SENDING = (send, send_batch, send_unwaited, send_async, filters, readiness, interrupt, open_another)
RECEIVING = (receive, receive_view, receive_batch, read, iterate, receive_async, poll)
ENDING = (close, open_again, recover)


class Listening:
    """Somebody who receives, through a driver object of their own, until that ends."""

    def __init__(self, here):
        self.duct = here.open()
        self.packets = []
        self.call = Background(lambda: self.packets.extend(self.duct))

    def sees(self, duct):
        """Whether a packet that is sent now comes back to it."""
        payload = b"does it go on?"
        for _ in range(50 * PATIENCE):
            # A card that finds no slot for a packet drops it, so more than one is sent.
            duct.send(ECHO.address, payload, timeout=PATIENCE)
            end = time.monotonic() + 0.02
            while time.monotonic() < end:
                if payload in [packet.payload for packet in self.packets]:
                    return True
                time.sleep(0.0002)
        return False

    def close(self):
        self.duct.close()
        assert self.call.join().error is None


def name_of(call):
    return call.__name__


def bytecodes(call, times=1):
    """Which bytecodes are struck: all of them, or some from one end to the other.

    Args:
        call: The call.
        times: How many times as far they are from each other.
    """
    if chosen().name == "nightly":
        return itertools.count(1)
    step = times * (LONG_STEP if call in ENDING else STEP)
    return itertools.count(random.Random(call.__name__).randint(1, step), step)


def struck_at(call, duct, here, number, got=None):
    struck = Struck(lambda: call(duct, here, [] if got is None else got), number)
    struck.check()
    return struck


def left(duct):
    """The payloads that can be received now."""
    payloads = []
    with contextlib.suppress(WouldBlockError):
        while True:
            payloads.append(duct.receive(blocking=False).payload)
    return payloads


def stopped(here, before, place):
    """All is as it was before the card was opened."""
    assert not here.attachments._cards, place
    assert here.resources() == before, place
    assert not here.card.card.started, place


@pytest.mark.parametrize("call", SENDING, ids=name_of)
def test_a_call_that_is_struck_raises_it_and_others_go_on(call, tmp_path):
    with stage("emulated", tmp_path) as here:
        here.open().close()
        for number in bytecodes(call):
            before = here.resources()
            duct, listener = here.open(), Listening(here)
            struck = struck_at(call, duct, here, number)
            assert listener.sees(duct), struck.place
            if call is filters:
                undo_filters(duct)
            listener.close()
            duct.close()
            stopped(here, before, struck.place)
            if struck.place is None:
                break


def undo_filters(duct):
    """The card may have it, or not, as after any filter call that is interrupted."""
    with contextlib.suppress(OSError):
        duct.remove_multicast(MASK, ADDRESS)


@pytest.mark.parametrize("call", RECEIVING, ids=name_of)
def test_what_a_call_that_is_struck_had_received_is_for_the_next_one(call, tmp_path):
    with stage("emulated", tmp_path) as here:
        here.open().close()
        for number in bytecodes(call):
            before = here.resources()
            duct = here.open()
            sender = here.open()
            for payload in PAYLOADS:
                sender.send(ECHO.address, payload, timeout=PATIENCE)
            got = []
            struck = struck_at(call, duct, here, number, got)
            got += left(duct)
            lost = len(PAYLOADS) - len(got)
            assert got == PAYLOADS[lost:], struck.place
            assert not lost or "lost with the result" in EXPOSED[struck.function], struck.place
            with Lending(duct) as lending:
                assert lending.all_slots(sender), struck.place
            sender.close()
            duct.close()
            stopped(here, before, struck.place)
            if struck.place is None:
                break


class Lending(contextlib.ExitStack):
    """Has packets on loan."""

    def __init__(self, duct):
        super().__init__()
        self.duct = duct

    def all_slots(self, sender):
        """Whether every receive slot can be lent."""
        for payload in PAYLOADS:
            sender.send(ECHO.address, payload, timeout=PATIENCE)
        views = [self.enter_context(self.duct.receive_view(timeout=PATIENCE)) for _ in PAYLOADS]
        return [bytes(view.payload) for view in views] == PAYLOADS


@pytest.mark.parametrize("call", ENDING, ids=name_of)
def test_an_open_or_close_that_is_struck_leaves_nothing(call, tmp_path):
    with stage("emulated", tmp_path) as here:
        here.open().close()
        for number in bytecodes(call):
            before = here.resources()
            duct = here.open()
            waiting = Background(lambda duct=duct: duct.receive())
            until(lambda duct=duct: sleepers(duct))
            if call is recover:
                here.card.fail()
                until(lambda duct=duct: duct._controller.failed)
            struck = struck_at(call, duct, here, number)
            duct.close()
            assert isinstance(waiting.join().error, ClosedError | CardFailedError), struck.place
            stopped(here, before, struck.place)
            with here.open() as again:
                again.send(ECHO.address, b"x", timeout=PATIENCE)
                assert again.receive(timeout=PATIENCE).payload == b"x", struck.place
            if struck.place is None:
                break


def sleepers(duct):
    return any(duct._controller.runtime._sleepers.values())


@pytest.mark.parametrize("call", [send, filters, receive, receive_view, close], ids=name_of)
def test_a_call_that_is_struck_keeps_to_the_specification(call):
    """The monitor judges on: it has seen whole accesses only."""
    card = OwnCard(monitor=True)
    for number in bytecodes(call, 16):
        keeps, duct = card.open(), card.open()
        keeps.send_batch([(ECHO.address, payload) for payload in PAYLOADS], timeout=PATIENCE)
        struck = struck_at(call, duct, card, number)
        if call is filters:
            undo_filters(duct)
        assert left(keeps) or call in RECEIVING, struck.place
        duct.close()
        assert (keeps.watch.finding, keeps.watch.gave_up) == ("", ""), struck.place
        keeps.close()
        assert not card.card.card.started, struck.place
        if struck.place is None:
            break
    card.power_off()


@pytest.mark.parametrize("call", [send, receive, open_again], ids=name_of)
def test_two_signals_are_taken_by_one_call(call, tmp_path):
    """One that comes while the first is remembered, or while it is being taken."""
    with stage("emulated", tmp_path) as here:
        keeps = here.open()
        for number in bytecodes(call):
            duct = here.open()
            keeps.send(ECHO.address, b"x", timeout=PATIENCE)
            struck = Struck(lambda duct=duct: call(duct, here, []), number, number + 40)
            struck.check()
            left(keeps)
            duct.close()
            if struck.place is None:
                break
        keeps.close()
        assert not here.card.card.started


def test_the_main_thread_is_struck_like_any_other(tmp_path):
    with stage("emulated", tmp_path) as here:
        for number in bytecodes(open_again, 3):
            before = here.resources()
            struck = Struck(lambda: here.open().close(), number)
            struck.run()
            assert isinstance(struck.error, Strike) == (struck.place is not None) or (
                struck.remembered and struck.function in EXPOSED
            ), struck.place
            stopped(here, before, struck.place)
            if struck.place is None:
                break
