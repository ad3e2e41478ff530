"""Mapped memory: bytes where they belong, and a refusal for whatever leaves the region."""

import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.kernel import Kernel
from impl.mapped import MappedRegion
from impl.memory import Purpose
from model.layout import IDENTITY

SIZE = 8192


@pytest.fixture
def region():
    return MappedRegion(Purpose.RECEIVE_BUFFERS, SIZE, mmap.mmap(-1, SIZE), [0x10000])


def aligned(offset):
    """A place at an offset: with a width that it is a multiple of."""
    return st.tuples(
        st.just(offset), st.sampled_from([width for width in (1, 2, 4, 8) if not offset % width])
    )


@given(st.integers(0, SIZE - 8).flatmap(aligned), st.integers(0, (1 << 64) - 1))
def test_a_number_is_little_endian_and_where_it_was_stored(place, value):
    offset, width = place
    value %= 1 << 8 * width
    region = MappedRegion(Purpose.RECEIVE_BUFFERS, SIZE, mmap.mmap(-1, SIZE), [0x10000])
    region.store(offset, width, value)
    expected = bytearray(SIZE)
    expected[offset : offset + width] = value.to_bytes(width, "little")
    assert region.load_bulk(0, SIZE) == expected
    assert region.load(offset, width) == value


def test_bulk_and_views_show_the_same_bytes(region):
    region.store_bulk(100, memoryview(b"some bytes"))
    view = region.view(100, 10)
    assert bytes(view) == region.load_bulk(100, 10) == b"some bytes"
    region.store(100, 1, ord("S"))
    assert bytes(view) == b"Some bytes"
    with pytest.raises(TypeError):
        view[0] = 0


def test_each_piece_has_an_address_of_its_own():
    region = MappedRegion(Purpose.RECEIVE_BUFFERS, SIZE, mmap.mmap(-1, 2 * SIZE), [0x9000, 0x1000])
    assert region.bus_address() == 0x9000
    assert region.bus_address(SIZE - 1) == 0x9000 + SIZE - 1
    wide = MappedRegion(
        Purpose.RECEIVE_BUFFERS, 2 * SIZE, mmap.mmap(-1, 2 * SIZE), [0x9000, 0x1000]
    )
    assert wide.bus_address(SIZE + 5) == 0x1005


@pytest.mark.parametrize(
    "word",
    [
        lambda region: region.bus_address(SIZE),
        lambda region: region.bus_address(-1),
        lambda region: region.load(-1, 1),
        lambda region: region.load(-8, 8),
        lambda region: region.load(SIZE, 1),
        lambda region: region.store(SIZE, 8, 0),
        lambda region: region.load_bulk(SIZE - 1, 2),
        lambda region: region.load_bulk(0, -1),
        lambda region: region.store_bulk(SIZE - 1, b"xx"),
        lambda region: region.view(SIZE, 1),
    ],
)
def test_an_access_that_leaves_the_region_is_refused(region, word):
    with pytest.raises(IndexError, match="are not within the 8192 bytes of a region for receive"):
        word(region)


def test_other_accesses_that_cannot_be_are_refused(region):
    with pytest.raises(ValueError, match="a load or store is 1, 2, 4 or 8 bytes wide, not 3"):
        region.load(0, 3)
    with pytest.raises(ValueError, match="4 bytes at offset 2 are not aligned"):
        region.store(2, 4, 0)
    for value in (-1, 256):
        with pytest.raises(ValueError, match="does not fit into 1 bytes"):
            region.store(0, 1, value)


def test_mapped_registers_are_the_bytes_of_the_file(tmp_path):
    file = tmp_path / "resource0"
    file.write_bytes(bytes(range(IDENTITY.bar0_size)))
    kernel = Kernel(tmp_path)
    descriptor = kernel.open("/resource0")
    window = kernel.map_registers(descriptor, IDENTITY.bar0_size)
    kernel.close(descriptor)
    assert window.words[3] == 0x0F0E_0D0C
    window.words[0x50 // 4] = 0x8000_0001
    window.double_words[0x20 // 8] = 0x1122_3344_5566_7788
    window.close()
    content = file.read_bytes()
    assert content[0x50:0x54] == bytes.fromhex("01000080")
    assert content[0x20:0x28] == bytes.fromhex("8877665544332211")
    with pytest.raises(ValueError, match="released"):
        window.words[0]


def test_registers_within_a_page_are_found_though_the_file_seems_to_end_before(tmp_path):
    """As it does in sysfs."""
    size = IDENTITY.bar0_size
    (tmp_path / "resource0").write_bytes(bytes(size))
    kernel = Kernel(tmp_path)
    descriptor = kernel.open("/resource0")
    window = kernel.map_registers(descriptor, size, mmap.PAGESIZE - size)
    kernel.close(descriptor)
    window.words[size // 4 - 1] = 0x0403_0201
    assert window.double_words[size // 8 - 1] == 0x0403_0201_0000_0000
    window.close()


def test_registers_that_leave_a_page_are_refused(tmp_path):
    with pytest.raises(OSError, match="128 bytes of registers at 0xfc0 leave a page"):
        Kernel(tmp_path).map_registers(-1, IDENTITY.bar0_size, 0xFC0)


def test_registers_within_a_page_leave_the_rest_of_it_alone(tmp_path):
    """Two small BARs may share a page."""
    size = IDENTITY.bar0_size
    file = tmp_path / "resource0"
    file.write_bytes(bytes(mmap.PAGESIZE))
    kernel = Kernel(tmp_path)
    descriptor = kernel.open("/resource0")
    window = kernel.map_registers(descriptor, size, 3 * size)
    kernel.close(descriptor)
    window.words[0] = 0x0403_0201
    window.double_words[size // 8 - 1] = 0x1122_3344_5566_7788
    with pytest.raises(IndexError):
        window.words[size // 4]
    window.close()
    registers = bytes.fromhex("01020304") + bytes(size - 12) + bytes.fromhex("8877665544332211")
    assert file.read_bytes() == bytes(3 * size) + registers + bytes(mmap.PAGESIZE - 4 * size)
