"""Signals that are remembered, taken: what is told, undone and raised."""

import asyncio
import signal
import sys
import threading
from unittest.mock import Mock

import pytest

from impl.interrupts import Clock, Wake
from impl.polling import Direction, Poller
from impl.shield import PENDING, Handlers, WrappedHandler, protected, shielded, take

FIRST, SECOND = 10, 12
"""Two signals, the first of which is taken first."""


class CameError(Exception):
    """What a handler raises."""


def raises(*_):
    raise CameError


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    PENDING.clear()


@protected
def taken(handlers, undo=None, made=None):
    """What taking signals returns, which come in this function."""
    for number, handler in handlers.items():
        WrappedHandler(handler)(number, sys._getframe())
    assert list(PENDING) == list(handlers)
    return take(undo, made)


def test_without_a_signal_a_shielded_call_is_what_it_was():
    @shielded
    def documented():
        """What it does."""
        return 7

    told = documented.__name__, documented.__doc__, documented()
    assert told == ("documented", "What it does.", 7)


def test_it_is_told_whether_there_were_signals():
    came = []
    assert taken({FIRST: lambda *_: came.append(True)}) is True
    assert came == [True]
    assert not PENDING


def test_signals_that_another_thread_remembers_are_left_to_it():
    remembers = threading.Thread(target=lambda: PENDING.update({FIRST: raises}))
    remembers.start()
    remembers.join()
    PENDING.thread = remembers.ident
    assert take() is False
    assert PENDING


def test_what_was_made_is_undone_before_the_signal_is_raised():
    undone = []
    with pytest.raises(CameError):
        taken({FIRST: raises}, undone.append, "made")
    assert undone == ["made"]


@pytest.mark.parametrize(("says_how", "made"), [(True, None), (False, "made")])
def test_nothing_is_undone_where_nothing_was_made_or_nobody_says_how(says_how, made):
    undone = []
    with pytest.raises(CameError):
        taken({FIRST: raises}, undone.append if says_how else None, made)
    assert undone == []


def test_what_undoing_raises_is_the_cause_and_hides_nothing():
    error = OSError("it cannot be undone")
    with pytest.raises(CameError) as caught:
        taken({FIRST: raises}, Mock(side_effect=error), "made")
    assert caught.value.__cause__ is error


def test_a_handler_may_be_interrupted_by_another():
    told = []

    def first(*_):
        told.append("first begins")
        WrappedHandler(lambda *_: told.append("second"))(SECOND, sys._getframe())
        told.append("first ends")

    assert taken({FIRST: first})
    assert told == ["first begins", "second", "first ends"]


def test_handlers_are_absent_only_while_the_main_thread_has_not_come_by():
    handlers, user = Handlers(), object()
    assert not handlers.absent
    before = signal.signal(signal.SIGUSR2, raises)
    try:
        elsewhere = threading.Thread(target=handlers.hold, args=(user,))
        elsewhere.start()
        elsewhere.join()
        assert handlers.absent
        handlers.drop(user)
        assert not handlers.absent
        handlers.hold(user)
        assert not handlers.absent
        handlers.drop(user)
        assert signal.getsignal(signal.SIGUSR2) is raises
    finally:
        signal.signal(signal.SIGUSR2, before)


# What a poller, and a clock, does at its edges


def test_whoever_is_woken_twice_is_woken_once():
    async def run():
        loop = asyncio.get_running_loop()
        poller = Poller(3)
        key = id(loop), Direction.READABLE
        poller._wake(key)
        waiting = asyncio.ensure_future(poller.wait(Direction.READABLE))
        await asyncio.sleep(0)
        done = threading.Event()
        poller._wake_and_tell(key, done)
        assert done.is_set()
        poller._wake_and_tell(key, done)
        await waiting

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.SelectorEventLoop, "add_reader", Mock())
        patch.setattr(asyncio.SelectorEventLoop, "remove_reader", Mock())
        asyncio.run(run())


def test_all_are_woken_before_who_wakes_them_is_told():
    poller, told = Poller(3), []
    done = Mock(set=lambda: told.append("told"))
    poller._wake = lambda _: told.append("woken")
    poller._wake_and_tell((0, Direction.READABLE), done)
    assert told == ["woken", "told"]


def test_a_clock_says_raised_when_its_time_has_come_and_not_before():
    clock = Clock([0.001])
    assert clock.wait(0, 0.001) is Wake.INTERRUPT
    assert clock.wait(0, 0.0005) is Wake.TIME
    clock.close()
    assert clock.wait(0, 1000) is Wake.CLOSED
