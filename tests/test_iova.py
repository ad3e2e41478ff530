"""Bus addresses are chosen where the IOMMU translates, never twice, and late again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.iova import AddressRange, AddressSpace

PAGE = 4096

ranges = st.lists(
    st.builds(
        lambda start, size: AddressRange(start, start + size),
        st.integers(0, 1 << 40),
        st.integers(0, 64 * PAGE),
    ),
    min_size=1,
    max_size=3,
)
steps = st.lists(st.integers(1, 20 * PAGE) | st.none(), max_size=30)


def disjoint(items):
    """Ranges that overlap none of those before them."""
    kept = []
    for item in items:
        if all(item.end < other.start or other.end < item.start for other in kept):
            kept.append(item)
    return kept


@given(ranges.map(disjoint), steps)
def test_what_is_given_out_is_usable_aligned_and_in_use_once(usable, steps):
    space = AddressSpace(usable, PAGE)
    used = []
    for size in steps:
        if size is None:
            if used:
                space.free(used.pop(0).start)
            continue
        start = space.allocate(size)
        if start is None:
            continue
        given_out = AddressRange(start, start + -(-size // PAGE) * PAGE - 1)
        assert start % PAGE == 0
        assert start > 0
        assert any(item.start <= start and given_out.end <= item.end for item in usable)
        assert all(given_out.end < other.start or other.end < start for other in used)
        used.append(given_out)


@given(ranges.map(disjoint), steps, st.sampled_from([1, PAGE, 3 * PAGE, 8 * PAGE]))
def test_what_is_given_out_begins_where_it_was_asked_to(usable, steps, alignment):
    space = AddressSpace(usable, PAGE)
    starts = [space.allocate(size, alignment) for size in steps if size is not None]
    assert all(start % alignment == start % PAGE == 0 for start in starts if start is not None)


@given(st.integers(1, 40), st.integers(0, 39))
def test_all_of_it_can_be_used_and_used_again(pages, freed):
    space = AddressSpace([AddressRange(PAGE, (pages + 1) * PAGE - 1)], PAGE)
    given_out = [space.allocate(PAGE) for _ in range(pages)]
    assert given_out == [PAGE * (index + 1) for index in range(pages)]
    assert space.allocate(1) is None
    again = given_out[freed % pages]
    space.free(again)
    assert space.allocate(1) == again


def test_an_address_that_was_given_back_is_used_late_again():
    space = AddressSpace([AddressRange(PAGE, 4 * PAGE - 1)], PAGE)
    places = []
    for _ in range(4):
        places.append(space.allocate(1))
        space.free(places[-1])
    assert places == [PAGE, 2 * PAGE, 3 * PAGE, PAGE]


def test_address_zero_is_no_address():
    assert AddressSpace([AddressRange(0, 2 * PAGE - 1)], PAGE).allocate(1) == PAGE


def test_parts_of_pages_are_left_out():
    space = AddressSpace([AddressRange(PAGE + 1, 4 * PAGE - 2)], PAGE)
    assert [space.allocate(1), space.allocate(1)] == [2 * PAGE, None]


def test_only_what_is_in_use_is_given_back():
    space = AddressSpace([AddressRange(PAGE, 4 * PAGE - 1)], PAGE)
    start = space.allocate(1)
    for beside in (start - 1, start + 1, 2 * PAGE):
        with pytest.raises(ValueError, match=f"bus address {beside:#x} is not in use"):
            space.free(beside)
    space.free(start)
    with pytest.raises(ValueError, match="bus address 0x1000 is not in use"):
        space.free(start)
