"""Lost interrupts are noticed, and late ones are not mistaken for lost."""

import logging

import pytest

from impl.watchdog import CALM, POLLING, WARY, Watchdog


@pytest.fixture
def dog():
    return Watchdog("vfio:0000:00:05.0", 0, limit=3, advice="Check the slot.")


def find_something(dog):
    """A wait ends without an interrupt, and the card has something to say."""
    dog.woken(by_interrupt=False)
    dog.saw_reason()


def told(caplog):
    return [record.getMessage() for record in caplog.records]


def test_while_interrupts_come_or_nothing_happens_all_is_calm(dog, caplog):
    for _ in range(10):
        dog.woken(by_interrupt=True)
        dog.saw_reason()
        assert dog.patience == CALM
    for _ in range(10):
        dog.woken(by_interrupt=False)
        assert dog.patience == CALM
    assert told(caplog) == []


def test_what_the_card_says_before_the_first_wait_makes_nobody_wary(dog):
    dog.saw_reason()
    assert dog.patience == CALM


def test_what_is_found_without_an_interrupt_makes_the_next_wait_short(dog):
    find_something(dog)
    assert dog.patience == WARY


def test_an_interrupt_that_comes_late_is_not_lost(dog, caplog):
    for _ in range(10):
        find_something(dog)
        find_something(dog)
        find_something(dog)
        dog.woken(by_interrupt=True)
        assert dog.patience == CALM
    assert not dog.lost
    assert told(caplog) == []


def test_interrupts_are_lost_when_several_in_a_row_do_not_come(dog, caplog):
    for _ in range(3):
        find_something(dog)
        assert not dog.lost
    dog.woken(by_interrupt=False)
    assert dog.lost
    assert dog.patience == POLLING
    assert told(caplog) == [
        "vfio:0000:00:05.0: interrupts are lost: vector 0 did not come when the card "
        "had something to say (3 in a row). The driver goes on by asking it every 5 ms. "
        "Check the slot."
    ]
    assert caplog.records[0].levelno == logging.WARNING


def test_it_says_so_once_and_bears_with_their_return(dog, caplog):
    for _ in range(2):
        for _ in range(5):
            find_something(dog)
        assert dog.lost
        dog.woken(by_interrupt=True)
        assert not dog.lost
        assert dog.patience == CALM
    assert len(told(caplog)) == 1


def test_a_single_one_may_be_enough():
    dog = Watchdog("uio:0000:00:05.0", 1, limit=1, advice="")
    find_something(dog)
    dog.woken(by_interrupt=False)
    assert dog.lost
