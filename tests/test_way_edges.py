"""The ways to a card at their edges: addresses, memory, barriers, and waits that were ended."""

import contextlib
import errno
import itertools
import mmap
import os
import threading
from array import array
from unittest.mock import Mock

import pytest

from impl import config_space
from impl.barriers import _make_executable
from impl.hardware import HardwareDevice
from impl.huge_pages import HugePageMemory, physical_address
from impl.interruption import Interruption
from impl.interrupts import SharedLine, Vectors, Wake
from impl.iova import AddressRange, AddressSpace
from impl.loan import _KEPT, Loan
from impl.mapped import MappedRegion, whole_pages
from impl.memory import Purpose
from impl.readiness import USERS, Readiness
from impl.watchdog import CALM, WARY
from tests.background import Background, until
from tests.struck import Struck, striking

PAGE = 4096


def test_a_region_has_whole_pages():
    assert [whole_pages(size, PAGE) for size in (1, PAGE, PAGE + 1)] == [PAGE, PAGE, 2 * PAGE]


def test_a_mapped_region_takes_arrays_of_anything_and_gives_nothing_of_its_end():
    region = MappedRegion(Purpose.COMMAND_RING, PAGE, mmap.mmap(-1, PAGE), [0])
    region.store_bulk(PAGE - 8, array("I", [1, 2]))
    assert region.load(PAGE - 8, 8) == 1 | 2 << 32
    assert region.load_bulk(PAGE, 0) == b""


def test_a_card_is_looked_at_now_and_then_and_more_often_where_there_is_reason():
    assert 0 < WARY < CALM <= 1


def test_the_bits_of_the_command_register_are_those_of_the_pci_standard():
    assert config_space.MEMORY_SPACE == 0x002
    assert config_space.BUS_MASTER == 0x004
    assert config_space.INTERRUPT_DISABLE == 0x400


def test_a_page_may_be_wherever_the_page_map_can_tell():
    highest = 1 << 54
    assert physical_address(1 << 63 | 1 << 62 | highest | 3, PAGE) == (highest | 3) * PAGE


def test_what_else_keeps_huge_pages_from_being_mapped_is_told_as_it_is():
    kernel = Mock()
    kernel.map_huge_pages.side_effect = PermissionError(errno.EPERM, "no")
    with pytest.raises(PermissionError, match="no"):
        HugePageMemory(kernel, 0).allocate(1, Purpose.COMMAND_RING)


def test_addresses_are_aligned_to_what_was_asked_for_and_to_pages():
    space = AddressSpace([AddressRange(0, 64 * PAGE - 1)], PAGE)
    starts = [space.allocate(PAGE, PAGE + PAGE // 2) for _ in range(3)]
    assert [start % (3 * PAGE) for start in starts] == [0, 0, 0]


def test_vectors_that_were_closed_say_so():
    vectors = Vectors()
    vectors.close()
    # Their numbers are those of others now.
    others = [os.eventfd(0) for _ in range(4)]
    assert vectors.wait(0, 1000) is Wake.CLOSED
    for other in others:
        os.close(other)


def closes_behind_the_last_wait(interrupts, hold_up):
    """A close returns when a wait has ended that `hold_up` gives another thing to poll."""
    looks, goes_on = threading.Event(), threading.Event()
    hold_up(Mock(poll=lambda _: (looks.set(), goes_on.wait())))
    waiting = Background(lambda: interrupts.wait(0, 1000))
    looks.wait()
    closing = Background(interrupts.close)
    until(lambda: interrupts._closed)
    closing.thread.join(0.05)
    assert closing.thread.is_alive()
    goes_on.set()
    closing.join()
    assert waiting.join().value is Wake.CLOSED


def test_vectors_are_closed_when_the_last_wait_has_ended():
    vectors = Vectors()
    closes_behind_the_last_wait(vectors, lambda held: vectors._polls.__setitem__(0, held))


@pytest.fixture
def line():
    """A line, its descriptor, and how often it was enabled."""
    enabled = []
    descriptor = os.eventfd(0)
    line = SharedLine(
        descriptor,
        take=lambda: os.eventfd_read(descriptor),
        enable=lambda: enabled.append(True),
    )
    yield line, descriptor, enabled
    line.close()
    os.close(descriptor)


def waits(line):
    """Both handlers wait."""
    return [Background(lambda vector=vector: line.wait(vector, 1000)) for vector in (0, 1)]


def test_a_line_is_enabled_once_when_both_handlers_wait(line):
    line, _, enabled = line
    waiting = waits(line)
    until(lambda: enabled)
    line.set_failed(False)
    line.close()
    assert [wait.join().value for wait in waiting] == [Wake.CLOSED] * 2
    assert enabled == [True]


def test_both_handlers_look_when_the_line_was_raised_and_then_it_is_enabled_again(line):
    line, descriptor, enabled = line
    for round_ in range(2):
        waiting = waits(line)
        until(lambda count=round_ + 1: len(enabled) == count)
        os.eventfd_write(descriptor, 1)
        assert [wait.join().value for wait in waiting] == [Wake.INTERRUPT] * 2


def test_a_line_is_closed_when_the_last_wait_has_ended(line):
    line, _, _ = line
    closes_behind_the_last_wait(line, lambda held: setattr(line, "_poll", held))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(line._stop)


def test_nobody_is_told_of_descriptors_that_were_closed():
    readiness = Readiness()
    assert list(readiness.shown)[USERS:] == [readiness._users.fileno(), readiness._drivers.fileno()]
    readiness.close()
    assert list(readiness.shown)[USERS:] == [-1, -1]


def test_waits_end_before_anything_else_of_a_card_is_closed():
    done = []
    teardown = contextlib.ExitStack()
    teardown.callback(done.append, "the rest")
    device = HardwareDevice(
        address="test:",
        registers=Mock(),
        config=Mock(),
        memory=Mock(),
        interrupts=Mock(close=lambda: done.append("waits")),
        barriers=Mock(),
        advice="",
        teardown=teardown,
    )
    device.close()
    device.close()
    assert done == ["waits", "the rest"]
    device.free(Mock())


def test_a_page_that_cannot_be_made_executable_is_told_with_the_reason():
    with pytest.raises(OSError, match="no memory executable") as caught:
        _make_executable(1)
    assert caught.value.errno == errno.EINVAL


def test_what_a_slice_refers_to_is_kept_for_as_long_as_there_is_one():
    before = set(_KEPT)
    part = Loan(memoryview(bytearray(8))).view[2:]
    for _ in range(2):
        Loan(memoryview(b"")).end()
        assert len(set(_KEPT) - before) == 1
    part.release()
    Loan(memoryview(b"")).end()
    assert set(_KEPT) <= before


class Runtime:
    """Notes that calls were ended."""

    interrupted = False

    def interrupt(self, _):
        self.interrupted = True


@pytest.mark.parametrize("call", [Interruption.strike, Interruption.close])
def test_who_ends_calls_and_is_struck_has_ended_them(call):
    with striking():
        for number in itertools.count(1):
            runtime = Runtime()
            interruption = Interruption(runtime)
            assert not interruption.struck
            assert not interruption.closed
            struck = Struck(lambda one=interruption: call(one), number)
            struck.check()
            began = interruption.struck or interruption.closed
            assert runtime.interrupted == began, struck.place
            assert interruption.struck == (began and call is Interruption.strike)
            if struck.place is None:
                break
        assert began
