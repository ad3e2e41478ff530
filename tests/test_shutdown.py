"""A program that waits for its end notices it, whenever and wherever the signal comes."""

import signal
import threading
import time

import pytest

from emulator.shutdown import ending_at

PATIENCE = 20


@pytest.fixture
def end():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    with ending_at(signal.SIGTERM) as ending:
        yield ending
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_signal_that_came_before_is_not_waited_for(end):
    signal.raise_signal(signal.SIGTERM)
    end.wait()


def test_a_signal_that_comes_later_ends_the_wait(end):
    waiter = threading.get_ident()
    threading.Timer(0.05, signal.pthread_kill, [waiter, signal.SIGTERM]).start()
    end.wait()


def test_a_signal_that_another_thread_gets_ends_the_wait(end):
    over = threading.Event()
    other = threading.Thread(target=over.wait, args=[PATIENCE])
    other.start()
    signal.pthread_kill(other.ident, signal.SIGTERM)
    end.wait()
    over.set()
    other.join()


def test_a_thread_that_is_over_ends_the_wait(end):
    other = threading.Thread(target=end.begin)
    other.start()
    end.wait()
    other.join()


def test_any_number_of_reasons_are_one(end):
    for _ in range(100_000):
        end.begin()
    end.wait()


def test_signals_that_mean_something_else_do_not_end_the_wait(end):
    told = []
    before = signal.signal(signal.SIGUSR1, lambda *_: told.append("somebody else's"))
    waiter = threading.get_ident()

    def send_both():
        signal.pthread_kill(waiter, signal.SIGUSR1)
        time.sleep(0.05)
        told.append("the end")
        signal.pthread_kill(waiter, signal.SIGTERM)

    threading.Timer(0.05, send_both).start()
    end.wait()
    signal.signal(signal.SIGUSR1, before)
    assert told == ["somebody else's", "the end"]


def test_afterwards_signals_do_what_they_did_before():
    told = []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append("before"))
    with ending_at(signal.SIGTERM):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)
    assert told == ["before"]
    assert signal.set_wakeup_fd(-1) == -1
