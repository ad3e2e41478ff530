"""Readers wait in line: packets go to them in the order in which they came, and none is lost."""

import select

import pytest

from impl.errors import CallInterruptedError, CardFailedError, WaitTimeoutError, WouldBlockError
from impl.runtime import WaitQueue
from impl.settings import Settings
from model.layout import ECHO
from tests.background import PATIENCE, Background, until
from tests.own_card import OwnCard


@pytest.fixture
def card():
    card = OwnCard()
    yield card
    card.power_off()


@pytest.fixture
def duct(card):
    with card.open(settings=Settings(ring_shift=2)) as duct:
        yield duct


def in_line(duct):
    return len(duct._controller.receive.waiters)


def reader(duct, **how):
    """Somebody who waits for a packet, behind those who wait already."""
    before = in_line(duct)
    waiting = Background(lambda: duct.receive(**how).payload)
    until(lambda: in_line(duct) == before + 1)
    return waiting


def readable(duct):
    return bool(select.select([duct], [], [], 0)[0])


def test_packets_go_to_readers_in_the_order_in_which_they_came(duct):
    readers = [reader(duct) for _ in range(3)]
    duct.send_batch([(ECHO.address, payload) for payload in (b"1", b"2", b"3")])
    assert [each.join().value for each in readers] == [b"1", b"2", b"3"]
    assert in_line(duct) == 0


def test_whoever_comes_late_does_not_get_the_packet_of_one_who_waits(duct):
    waiting = reader(duct)
    with pytest.raises(WouldBlockError):
        duct.receive(blocking=False)
    assert duct.poll().next_length is None
    duct.send(ECHO.address, b"its own")
    assert waiting.join().value == b"its own"


def test_pollers_are_not_told_of_a_packet_that_somebody_is_in_line_for(duct):
    told = []
    set_readable = duct._controller.runtime.set_readable

    def noted(yes):
        told.append(yes)
        set_readable(yes)

    duct._controller.runtime.set_readable = noted
    waiting = reader(duct)
    duct.send(ECHO.address, b"x")
    assert waiting.join().value == b"x"
    assert True not in told
    duct.send(ECHO.address, b"for anybody")
    until(lambda: readable(duct))
    assert duct.receive(blocking=False).payload == b"for anybody"
    assert not readable(duct)


def test_pollers_are_told_of_what_the_last_reader_in_line_leaves(duct):
    waiting = reader(duct)
    duct.send_batch([(ECHO.address, b"1"), (ECHO.address, b"2")])
    assert waiting.join().value == b"1"
    until(lambda: readable(duct))
    assert duct.poll().next_length == 1


def test_a_reader_that_runs_out_of_time_leaves_the_line(duct):
    waiting = reader(duct)
    with pytest.raises(WaitTimeoutError):
        duct.receive(timeout=0.01)
    assert in_line(duct) == 1
    duct.send(ECHO.address, b"x")
    assert waiting.join().value == b"x"


@pytest.mark.parametrize("place", range(3))
def test_a_reader_that_is_interrupted_leaves_the_line_as_it_was(duct, place):
    interruption = duct.interruption()
    readers = [
        reader(duct, interruption=interruption if number == place else None) for number in range(3)
    ]
    interruption.strike()
    assert isinstance(readers.pop(place).join().error, CallInterruptedError)
    assert in_line(duct) == 2
    duct.send_batch([(ECHO.address, b"1"), (ECHO.address, b"2")])
    assert [each.join().value for each in readers] == [b"1", b"2"]


def test_a_failure_ends_the_whole_line(card, duct):
    readers = [reader(duct) for _ in range(3)]
    card.card.fail()
    assert all(isinstance(each.join().error, CardFailedError) for each in readers)
    assert in_line(duct) == 0
    assert readable(duct)


def test_a_batch_does_not_keep_those_in_line_waiting(duct):
    """It ends with the packet that it has, although another one waits, which is somebody's."""
    batch = Background(lambda: [each.payload for each in duct.receive_batch(3)])
    until(lambda: in_line(duct) == 1)
    second = reader(duct)
    duct.send_batch([(ECHO.address, b"1"), (ECHO.address, b"2")])
    assert second.join().value == b"2"
    assert batch.join().value == [b"1"]


def test_a_reader_that_need_not_sleep_takes_no_place(duct):
    duct.send(ECHO.address, b"x")
    until(lambda: readable(duct))
    woken = []
    duct._controller.runtime.wake = woken.append
    assert duct.receive(timeout=PATIENCE).payload == b"x"
    assert WaitQueue.READERS not in woken
