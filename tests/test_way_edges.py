"""The ways to a card at their edges: addresses, memory, barriers, and waits that were ended."""

import errno
import itertools
from unittest.mock import Mock

import pytest

from impl.barriers import _make_executable
from impl.huge_pages import HugePageMemory, physical_address
from impl.interruption import Interruption
from impl.interrupts import Vectors, Wake
from impl.iova import AddressRange, AddressSpace
from impl.loan import _KEPT, Loan
from impl.mapped import whole_pages
from impl.memory import Purpose
from tests.struck import Struck, striking

PAGE = 4096


def test_a_region_has_whole_pages():
    assert [whole_pages(size, PAGE) for size in (1, PAGE, PAGE + 1)] == [PAGE, PAGE, 2 * PAGE]


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
    assert vectors.wait(0, 1000) is Wake.CLOSED


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
