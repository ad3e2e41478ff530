"""The kernel's interfaces: system calls on real files, and the numbers of its headers."""

import contextlib
import errno
import fcntl
import mmap
import os
import sys
import termios
from unittest.mock import Mock

import attrs
import pytest

from impl import kernel as kernel_file
from impl import vfio
from impl.config_space import ConfigSpace
from impl.errors import CardInUseError, NotSetUpError
from impl.iova import AddressRange
from impl.kernel import HUGE_PAGE, Kernel
from impl.uio_backend import LOCKDOWN, _lockdown
from impl.vfio import Container
from impl.vfio_backend import LOW_MEMORY, _device, _join


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


@pytest.fixture
def opened(kernel):
    """A file with some bytes, and what closes it."""
    kernel.path("/file").write_bytes(b"0123456789")
    descriptor = kernel.open("/file")
    yield descriptor
    kernel.close(descriptor)


def test_paths_are_below_the_root(kernel, tmp_path):
    assert kernel.path("/dev/uio0") == tmp_path / "dev" / "uio0"


def test_a_file_is_opened_for_this_process_alone_and_closed(kernel, opened):
    assert fcntl.fcntl(opened, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert fcntl.fcntl(opened, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    other = kernel.open("/file", os.O_RDONLY)
    assert fcntl.fcntl(other, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    kernel.close(other)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(other)


def test_a_file_is_locked_by_one_at_a_time(kernel, opened):
    assert kernel.lock(opened) is True
    other = kernel.open("/file")
    assert kernel.lock(other) is False
    kernel.close(other)
    assert kernel.lock(opened) is True


def test_bytes_are_read_and_written_where_they_are(kernel, opened):
    assert kernel.read(opened, 3) == b"012"
    assert kernel.read_at(opened, 2, 5) == b"56"
    kernel.write_at(opened, b"xy", 5)
    assert kernel.read_at(opened, 4, 4) == b"4xy7"


def test_only_the_bits_of_the_command_register_change_that_are_named(kernel, opened):
    os.pwrite(opened, b"\xaa" * 20 + bytes(2) + b"\xaa" * 42, 0)
    config = ConfigSpace(kernel, opened, 16)

    def command():
        return int.from_bytes(kernel.read_at(opened, 2, 16 + 4), "little")

    config.change_command(set_bits=0x402)
    assert command() == 0x402
    config.change_command(set_bits=0x4)
    assert command() == 0x406
    config.change_command(clear_bits=0x2)
    assert command() == 0x404
    assert kernel.read_at(opened, 64, 0) == b"\xaa" * 20 + b"\4\4" + b"\xaa" * 42


def test_what_is_not_read_or_written_as_a_whole_is_an_error(kernel, opened, monkeypatch):
    with pytest.raises(OSError, match="1 of 2 bytes at offset 0x9") as caught:
        kernel.read_at(opened, 2, 9)
    assert caught.value.errno == errno.EIO
    monkeypatch.setattr(kernel_file.os, "pwrite", lambda *_: 1)
    with pytest.raises(OSError, match="1 of 2 bytes at offset 0x3") as caught:
        kernel.write_at(opened, b"ab", 3)
    assert caught.value.errno == errno.EIO


def test_an_ioctl_is_made_with_what_it_takes(kernel):
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    answer = bytearray(4)
    assert kernel.control(reading, termios.FIONREAD, answer) == 0
    assert int.from_bytes(answer, sys.byteorder) == 3
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_file.fcntl, "ioctl", lambda *given: asked.append(given) or 7)
        assert kernel.control(3, 4) == 7
    assert asked == [(3, 4, 0)]
    os.close(reading)
    os.close(writing)


def test_registers_are_unmapped_when_they_are_closed(kernel, opened):
    os.truncate(opened, mmap.PAGESIZE)
    window = kernel.map_registers(opened, 128)
    window.words[1] = 0x01020304
    assert kernel.read_at(opened, 4, 4) == b"\4\3\2\1"
    window.close()
    assert window._mapping.closed
    with pytest.raises(ValueError, match="released"):
        window.words[0]


def test_new_memory_is_empty_and_as_large_as_it_was_asked_for(kernel):
    for size in (mmap.PAGESIZE, HUGE_PAGE):
        memory = kernel.map_memory(size)
        assert len(memory) == size
        assert memory[:16] == bytes(16)
        memory[0] = 1


def advised(monkeypatch, size):
    """What the kernel is advised of new memory of a size."""
    told = []

    class Mapping:
        madvise = told.append

    monkeypatch.setattr(kernel_file.mmap, "mmap", lambda *given: told.append(given) or Mapping)
    Kernel().map_memory(size)
    return told


@pytest.mark.parametrize("pages", [1, 511, 512, 513, 1024])
def test_whole_huge_pages_are_asked_for_as_such(monkeypatch, pages):
    size = pages * 4096
    made, *advice = advised(monkeypatch, size)
    assert made == (-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    assert advice == ([mmap.MADV_HUGEPAGE] if pages % 512 == 0 else [])


def test_huge_pages_are_shared_locked_and_there_at_once(monkeypatch):
    """MAP_HUGETLB, MAP_LOCKED, MAP_POPULATE and MAP_HUGE_2MB as on x86-64 and aarch64."""
    asked = []
    monkeypatch.setattr(kernel_file.mmap, "mmap", lambda *given: asked.append(given))
    Kernel().map_huge_pages(3)
    flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x40000 | 0x2000 | 0x8000 | 21 << 26
    assert asked == [(-1, 3 << 21, flags)]


def test_a_lockdown_that_cannot_be_read_is_an_error(kernel):
    assert _lockdown(kernel) == "none"
    place = kernel.path(LOCKDOWN)
    place.parent.mkdir(parents=True)
    place.write_text("none [integrity] confidentiality\n")
    assert _lockdown(kernel) == "integrity"
    place.unlink()
    place.mkdir()
    with pytest.raises(IsADirectoryError):
        _lockdown(kernel)


# VFIO, as linux/vfio.h has it

REQUESTS = {
    "_GET_API_VERSION": 0x3B64,
    "_CHECK_EXTENSION": 0x3B65,
    "_SET_IOMMU": 0x3B66,
    "_GROUP_GET_STATUS": 0x3B67,
    "_GROUP_SET_CONTAINER": 0x3B68,
    "_GROUP_GET_DEVICE_FD": 0x3B6A,
    "_DEVICE_GET_INFO": 0x3B6B,
    "_DEVICE_GET_REGION_INFO": 0x3B6C,
    "_DEVICE_GET_IRQ_INFO": 0x3B6D,
    "_DEVICE_SET_IRQS": 0x3B6E,
    "_DEVICE_RESET": 0x3B6F,
    "_IOMMU_GET_INFO": 0x3B70,
    "_IOMMU_MAP_DMA": 0x3B71,
    "_IOMMU_UNMAP_DMA": 0x3B72,
}
FLAGS = {
    "API_VERSION": 0,
    "_TYPE1_V2": 3,
    "_VIABLE": 0x1,
    "_CAN_RESET": 0x1,
    "_CAN_MAP": 0x4,
    "_MAP_READ_WRITE": 0x3,
    "_HAS_CAPABILITIES": 0x2,
    "_CAPABILITY_RANGES": 1,
    "_DATA_NONE": 0x1,
    "_DATA_EVENTFD": 0x4,
    "_ACTION_TRIGGER": 0x20,
}


@pytest.mark.parametrize(("name", "number"), (REQUESTS | FLAGS).items())
def test_the_numbers_of_vfio_are_those_of_the_header(name, number):
    assert getattr(vfio, name) == number


def test_what_every_iommu_translates_lies_between_the_first_mebibyte_and_the_interrupts():
    assert AddressRange(0x0010_0000, 0xFEDF_FFFF) == LOW_MEMORY


@attrs.define
class Answers:
    """A kernel that says what an IOMMU can do."""

    version: int = 0
    extension: int = 1
    pages: int = 0x1000
    needed: int = 24
    asked: list = attrs.field(factory=list)

    def control(self, _, request, argument=0):
        if request == REQUESTS["_GET_API_VERSION"]:
            return self.version
        if request == REQUESTS["_CHECK_EXTENSION"]:
            return self.extension
        assert request == REQUESTS["_IOMMU_GET_INFO"]
        assert int.from_bytes(argument[:4], "little") == len(argument)
        self.asked.append(len(argument))
        argument[:4] = self.needed.to_bytes(4, "little")
        argument[8:16] = self.pages.to_bytes(8, "little")
        return 0


@pytest.mark.parametrize(
    ("version", "extension", "yes"), [(0, 1, True), (0, 2, True), (0, 0, False), (1, 1, False)]
)
def test_another_interface_than_type_1_is_not_supported(version, extension, yes):
    assert Container(Answers(version=version, extension=extension), 3).is_supported is yes


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.EBUSY, CardInUseError), (errno.EIO, OSError), (errno.ENODEV, OSError)]
)
def test_a_card_that_vfio_does_not_give_is_in_use_or_the_error_is_told_as_it_is(code, kind):
    function = Mock(address="0000:00:05.0")
    group = Mock()
    group.device.side_effect = OSError(code, "no")
    with contextlib.ExitStack() as undo, pytest.raises(OSError, match=r"in use|no") as caught:
        _device(Mock(), undo, function, group)
    assert type(caught.value) is kind
    assert caught.value.errno == code


def test_a_kernel_without_type_1_iommus_is_told_of_what_is_missing():
    with contextlib.ExitStack() as undo, pytest.raises(NotSetUpError, match="vfio_iommu_type1"):
        _join(Mock(), undo, Mock(), Mock(is_supported=False))


@pytest.mark.parametrize(("pages", "page"), [(0x1000, 0x1000), (0x4020_1000, 0x1000)])
def test_the_smallest_page_counts(pages, page):
    assert Container(Answers(pages=pages), 3).iommu_info().page == page


def test_an_answer_may_need_more_room_than_was_thought():
    answers = Answers(needed=40)
    Container(answers, 3).iommu_info()
    assert answers.asked[-1] == 40
