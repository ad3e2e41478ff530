"""A call that waits is ended from another thread, and nothing is lost, whenever that happens."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.errors import CallInterruptedError, ClosedError, WouldBlockError
from model.layout import ECHO
from tests.background import Background, until
from tests.own_card import OwnCard

MULTICAST = 0x80000001
NOBODY = 0x0BAD_F00D


@pytest.fixture(params=[False, True], ids=["plain", "monitored"])
def card(request):
    card = OwnCard(monitor=request.param)
    yield card
    card.power_off()


def sleepers(duct):
    """How many calls sleep."""
    runtime = duct._controller.runtime
    runtime = getattr(runtime, "_inner", runtime)
    return sum(map(len, runtime._sleepers.values()))


def clogged(card, duct):
    """The card stands still and its transmit ring is full; returns how many packets wait."""
    card.stand_still()
    sent = 0
    try:
        while True:
            duct.send(NOBODY, b"", blocking=False)
            sent += 1
    except WouldBlockError:
        return sent


def interrupted(call):
    """The error of a call that was ended so."""
    error = call.join().error
    assert type(error) is CallInterruptedError, error
    assert isinstance(error, InterruptedError)
    assert error.errno == errno.EINTR
    return error


def test_a_reader_that_waits_is_ended_and_the_packet_is_the_next_one_s(card):
    with card.open() as duct:
        interruption = duct.interruption()
        reader = Background(lambda: duct.receive(interruption=interruption))
        until(lambda: sleepers(duct) == 1)
        interruption.strike()
        message = "the call was interrupted while it waited for a packet"
        assert interrupted(reader).strerror == message
        duct.send(ECHO.address, b"still there")
        assert duct.receive(timeout=30).payload == b"still there"


def test_only_calls_that_were_given_the_interruption_end(card):
    with card.open() as duct, card.open() as other:
        one, another = duct.interruption(), duct.interruption()
        ended = Background(lambda: duct.read(interruption=one))
        goes_on = [
            Background(lambda: duct.read(interruption=another)),
            Background(duct.read),
            Background(lambda: other.read(interruption=other.interruption())),
        ]
        until(lambda: sleepers(duct) == 4)
        one.strike()
        interrupted(ended)
        for _ in goes_on:
            duct.send(ECHO.address, b"x")
        assert [len(call.join().value) for call in goes_on] == [17] * 3


def test_a_call_that_need_not_wait_is_not_ended(card):
    with card.open() as duct:
        interruption = duct.interruption()
        interruption.strike()
        duct.send(ECHO.address, b"x")
        assert duct.receive(timeout=30).payload == b"x"
        interrupted(Background(lambda: duct.receive(interruption=interruption)))


def test_a_send_that_waits_for_a_slot_is_ended_and_sends_nothing(card):
    with card.open() as duct:
        sent = clogged(card, duct)
        interruption = duct.interruption()
        sender = Background(lambda: duct.send(NOBODY, b"", interruption=interruption))
        until(lambda: sleepers(duct) == 1)
        interruption.strike()
        assert interrupted(sender).handed_over == 0
        card.stand_still(False)
        duct.send(NOBODY, b"")
        assert card.card.counters.transmitted == sent + 1


def test_a_send_that_waits_for_its_end_is_ended_and_says_what_is_on_its_way(card):
    with card.open() as duct:
        card.stand_still()
        interruption = duct.interruption()
        batch = [(NOBODY, b"one"), (NOBODY, b"two")]
        sender = Background(lambda: duct.send_batch(batch, interruption=interruption))
        until(lambda: sleepers(duct) == 1)
        interruption.strike()
        assert interrupted(sender).handed_over == 2
        card.stand_still(False)
        duct.send(NOBODY, b"three")
        assert card.card.counters.transmitted == 3


def test_a_command_that_waits_is_ended_and_the_next_ones_answers_are_their_own(card):
    with card.open() as duct:
        card.stand_still()
        interruption = duct.interruption()
        filters = Background(
            lambda: duct.add_multicast(MULTICAST, MULTICAST, interruption=interruption)
        )
        until(lambda: sleepers(duct) == 1)
        interruption.strike()
        interrupted(filters)
        card.stand_still(False)
        duct.remove_multicast(MULTICAST, MULTICAST)


def test_closing_the_driver_ends_calls_that_may_be_interrupted_as_closed(card):
    with card.open() as keeps:
        duct = card.open()
        interruption = duct.interruption()
        reader = Background(lambda: duct.receive(interruption=interruption))
        until(lambda: sleepers(keeps) == 1)
        duct.close()
        assert type(reader.join().error) is ClosedError
        with pytest.raises(ClosedError):
            duct.interruption()


@given(first=st.booleans(), turns=st.integers(1, 5))
def test_a_strike_against_a_packet_loses_nothing(first, turns):
    card = OwnCard()
    try:
        with card.open() as duct:
            for _ in range(turns):
                interruption = duct.interruption()
                reader = Background(lambda it=interruption: duct.receive(interruption=it))
                race = [lambda: duct.send(ECHO.address, b"x"), interruption.strike]
                racing = [Background(body) for body in (race if first else race[::-1])]
                for racer in racing:
                    assert racer.join().error is None
                if reader.join().error is not None:
                    interrupted(reader)
                    assert duct.receive(timeout=30).payload == b"x"
    finally:
        card.power_off()
