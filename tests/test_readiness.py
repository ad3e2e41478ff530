"""The descriptor polls exactly as the card was said to be, whatever was said before."""

import fcntl
import os
import select
import sys
import termios

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from impl.readiness import Readiness

EVENTS = select.POLLIN | select.POLLOUT


def polled(descriptor):
    """Whether it polls as readable and as writable."""
    poll = select.poll()
    poll.register(descriptor, EVENTS)
    found = sum(events for _, events in poll.poll(0))
    return bool(found & select.POLLIN), bool(found & select.POLLOUT)


class TwoBooleans(RuleBasedStateMachine):
    """The model of a readiness: two booleans, which every duplicate shows."""

    @initialize()
    def begin(self):
        self.readiness = Readiness()
        self.readable = self.writable = False
        self.duplicates = [self.readiness.duplicate()]

    @rule(yes=st.booleans())
    def set_readable(self, yes):
        self.readiness.set_readable(yes)
        self.readable = yes

    @rule(yes=st.booleans())
    def set_writable(self, yes):
        self.readiness.set_writable(yes)
        self.writable = yes

    @rule()
    def duplicate(self):
        self.duplicates.append(self.readiness.duplicate())

    @rule(data=st.data())
    def close_one(self, data):
        if self.duplicates:
            index = data.draw(st.integers(0, len(self.duplicates) - 1))
            os.close(self.duplicates.pop(index))

    @invariant()
    def every_duplicate_polls_so(self):
        for descriptor in self.duplicates:
            assert polled(descriptor) == (self.readable, self.writable)

    def teardown(self):
        if hasattr(self, "readiness"):
            self.readiness.close()
            for descriptor in self.duplicates:
                os.close(descriptor)


TestTwoBooleans = TwoBooleans.TestCase


@pytest.fixture
def readiness():
    readiness = Readiness()
    yield readiness
    readiness.close()


@pytest.fixture
def descriptor(readiness):
    descriptor = readiness.duplicate()
    yield descriptor
    os.close(descriptor)


def test_at_first_it_is_neither_readable_nor_writable(descriptor):
    assert polled(descriptor) == (False, False)


def test_all_ways_to_poll_agree(readiness, descriptor):
    for readable in (False, True):
        for writable in (False, True):
            readiness.set_readable(readable)
            readiness.set_writable(writable)
            found = select.select([descriptor], [descriptor], [], 0)
            assert tuple(map(bool, found[:2])) == (readable, writable)
            with select.epoll() as epoll:
                epoll.register(descriptor, select.EPOLLIN | select.EPOLLOUT)
                events = sum(events for _, events in epoll.poll(0))
            assert bool(events & select.EPOLLIN) == readable
            assert bool(events & select.EPOLLOUT) == writable


def test_whoever_polls_after_the_end_is_woken(readiness, descriptor):
    readiness.close()
    assert polled(descriptor)[0]


def test_a_user_who_reads_the_descriptor_does_not_break_the_driver(readiness, descriptor):
    readiness.set_readable(True)
    assert os.read(descriptor, 1) == b"\0"
    readiness.set_readable(False)
    readiness.set_readable(True)
    assert polled(descriptor)[0]


def test_a_user_who_writes_the_descriptor_does_not_break_the_driver(readiness, descriptor):
    readiness.set_writable(True)
    os.write(descriptor, b"nonsense")
    readiness.set_writable(False)
    assert polled(descriptor) == (False, False)
    readiness.set_writable(True)
    assert polled(descriptor) == (False, True)


def test_only_changes_cost_a_system_call(readiness):
    readiness.set_readable(True)
    readiness.set_writable(True)
    readiness.close()
    # A system call on what is closed would fail.
    readiness.set_readable(True)
    readiness.set_writable(True)
    with pytest.raises(OSError, match="Bad file descriptor"):
        readiness.set_writable(False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        readiness.set_readable(False)


def test_a_few_kilobytes_make_it_unwritable(descriptor):
    full = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    assert 0 < int.from_bytes(full, sys.byteorder) <= 16384
