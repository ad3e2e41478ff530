"""Waiting for interrupts, of each kind; nothing here waits longer than it must."""

import os
import threading
from unittest.mock import Mock, call

import pytest

from impl.interrupts import Clock, SharedLine, Vectors, Wake

PATIENCE = 60
MOMENT = 0.05


class Background:
    """A wait in a thread of its own."""

    def __init__(self, interrupts, vector, seconds=PATIENCE):
        self._result = None
        self._thread = threading.Thread(
            target=self._run, args=(interrupts, vector, seconds), daemon=True
        )
        self._thread.start()

    def _run(self, interrupts, vector, seconds):
        self._result = interrupts.wait(vector, seconds)

    @property
    def result(self):
        self._thread.join(PATIENCE)
        return self._result

    def still_waits(self):
        self._thread.join(MOMENT)
        return self._thread.is_alive()


# Vectors


@pytest.fixture
def vectors():
    vectors = Vectors()
    yield vectors
    vectors.close()


@pytest.mark.parametrize("vector", [0, 1])
def test_a_vector_is_told_once_however_often_it_was_raised(vectors, vector):
    os.eventfd_write(vectors.descriptors[vector], 3)
    assert vectors.wait(vector, PATIENCE) is Wake.INTERRUPT
    assert vectors.wait(vector, 0) is Wake.TIME


def test_a_vector_is_not_another(vectors):
    os.eventfd_write(vectors.descriptors[0], 1)
    assert vectors.wait(1, 0) is Wake.TIME


def test_a_wait_ends_when_the_vector_is_raised(vectors):
    waiting = Background(vectors, 1)
    assert waiting.still_waits()
    os.eventfd_write(vectors.descriptors[1], 1)
    assert waiting.result is Wake.INTERRUPT


def test_close_ends_waits_for_vectors_and_closes_what_is_theirs(vectors):
    waiting = [Background(vectors, vector) for vector in (0, 1)]
    descriptors = list(vectors.descriptors)
    vectors.close()
    assert [item.result for item in waiting] == [Wake.CLOSED, Wake.CLOSED]
    assert vectors.wait(0, PATIENCE) is Wake.CLOSED
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


# One line


class Line:
    """A level-triggered line, as UIO tells of it: raised it disables itself."""

    def __init__(self):
        self.descriptor = os.eventfd(0)
        self.level = False
        self.enabled = 0
        self.told = 0
        self.interrupts = SharedLine(self.descriptor, self._take, self._enable)

    def _take(self):
        os.eventfd_read(self.descriptor)
        self.told += 1

    def _enable(self):
        self.enabled += 1
        if self.level:
            os.eventfd_write(self.descriptor, 1)

    def raise_(self):
        self.level = True
        os.eventfd_write(self.descriptor, 1)

    def both(self, seconds=PATIENCE):
        waiting = [Background(self.interrupts, vector, seconds) for vector in (0, 1)]
        return [item.result for item in waiting]


@pytest.fixture
def line():
    line = Line()
    yield line
    line.interrupts.close()
    os.close(line.descriptor)


def test_the_line_stands_for_both_vectors(line):
    line.raise_()
    assert line.both() == [Wake.INTERRUPT, Wake.INTERRUPT]
    assert line.told == 1


def test_a_vector_that_nobody_waited_for_is_told_later(line):
    line.raise_()
    assert line.interrupts.wait(0, PATIENCE) is Wake.INTERRUPT
    assert line.interrupts.wait(1, 0) is Wake.INTERRUPT
    assert line.interrupts.wait(1, 0) is Wake.TIME


def test_the_line_is_enabled_again_when_both_have_looked(line):
    line.raise_()
    line.both()
    line.level = False
    before = line.enabled
    one = Background(line.interrupts, 0)
    assert one.still_waits()
    assert line.enabled == before
    other = Background(line.interrupts, 1)
    line.raise_()
    assert (one.result, other.result) == (Wake.INTERRUPT, Wake.INTERRUPT)
    assert line.enabled == before + 1


def test_a_line_that_stays_raised_is_told_again_when_both_have_looked(line):
    line.raise_()
    for _ in range(4):
        assert line.both() == [Wake.INTERRUPT, Wake.INTERRUPT]
    assert line.told == 4


def test_a_line_that_a_failure_keeps_raised_is_not_told_until_it_is_over(line):
    line.raise_()
    line.both()
    line.interrupts.set_failed(True)
    waiting = [Background(line.interrupts, vector) for vector in (0, 1)]
    assert all(item.still_waits() for item in waiting)
    line.interrupts.set_failed(False)
    assert [item.result for item in waiting] == [Wake.INTERRUPT, Wake.INTERRUPT]


def test_whoever_waits_goes_on_waiting_when_the_time_of_the_other_is_over(line):
    polls = Background(line.interrupts, 0, MOMENT)
    waits = Background(line.interrupts, 1)
    assert polls.result is Wake.TIME
    assert waits.still_waits()
    line.raise_()
    assert waits.result is Wake.INTERRUPT


def test_close_ends_waits_for_the_line(line):
    waiting = [Background(line.interrupts, vector) for vector in (0, 1)]
    line.interrupts.close()
    assert [item.result for item in waiting] == [Wake.CLOSED, Wake.CLOSED]
    assert line.interrupts.wait(0, PATIENCE) is Wake.CLOSED


# The clock


def test_without_interrupts_it_is_time_to_look_again_and_again():
    clock = Clock([0.001, PATIENCE])
    assert [clock.wait(0, PATIENCE) for _ in range(3)] == [Wake.INTERRUPT] * 3
    assert clock.wait(1, 0) is Wake.TIME
    waiting = Background(clock, 1)
    clock.close()
    assert waiting.result is Wake.CLOSED
    assert clock.wait(0, PATIENCE) is Wake.CLOSED


# What the kernel is asked


def test_the_kernel_is_told_the_time_in_milliseconds(monkeypatch):
    poll = Mock(**{"return_value.poll.return_value": []})
    monkeypatch.setattr("impl.interrupts.select.poll", poll)
    vectors = Vectors()
    vectors.wait(0, 0.25)
    vectors.close()
    assert poll.return_value.poll.call_args_list == [call(250), call(0)]


def test_no_descriptor_is_left_if_the_last_cannot_be_polled(monkeypatch):
    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr("impl.interrupts.select.poll", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        Vectors()
    assert os.listdir("/proc/self/fd") == before


def test_after_the_end_descriptors_are_not_polled(vectors, monkeypatch):
    vectors.close()
    # By now they may be somebody else's, who never raises anything.
    monkeypatch.setattr("impl.interrupts.select.poll", lambda: 1 // 0)
    assert vectors.wait(0, PATIENCE) is Wake.CLOSED
