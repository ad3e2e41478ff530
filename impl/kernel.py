"""The system calls that reaching hardware takes, in one place, so that tests can stand behind them.

Only what a test has to replace is here. Files of sysfs are read by path, below `root`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import sys
from pathlib import Path
from typing import Final

import attrs

from impl.errors import UnsupportedMachineError
from impl.mapped import address_of
from impl.memory import Words

__all__ = ["HUGE_PAGE", "Kernel", "RegisterWindow", "linux"]

HUGE_PAGE: Final = 2 << 20
"""Bytes of the huge pages that are asked for."""

# Not all of these are in Python's mmap module. They are the same on x86-64 and aarch64
# (asm-generic/mman.h, linux/mman.h).
_MAP_LOCKED: Final = 0x2000
_MAP_HUGETLB: Final = 0x40000
_MAP_HUGE_SHIFT: Final = 26
_MAP_POPULATE: Final = 0x8000


class RegisterWindow:
    """The registers of a card, mapped into this process.

    Attributes:
        words: 32-bit registers, by index.
        double_words: 64-bit registers, by index.
    """

    words: Words
    double_words: Words

    def __init__(self, mapping: mmap.mmap, begin: int) -> None:
        self._mapping = mapping
        place = address_of(mapping) + begin
        registers = memoryview((ctypes.c_char * len(mapping)).from_address(place)).cast("B")
        # Of all ways that Python has to store to a mapping, only an item of a cast view is a single
        # access of its width: struct writes zeros first, slices are written twice, ctypes reads.
        self._views = [registers.cast(code) for code in ("I", "Q")]
        self.words, self.double_words = self._views

    def close(self) -> None:
        """Unmap it. As long as it is mapped, the kernel does not let go of the card."""
        for view in self._views:
            view.release()
        self._mapping.close()


@attrs.frozen
class Kernel:
    """The kernel of this machine. Paths begin with `/`; descriptors are not inherited by programs.

    All methods raise `OSError` as the system call does.

    Attributes:
        root: The folder that `/` stands for.
    """

    root: Path = Path("/")

    def path(self, path: str) -> Path:
        """Where a file is found."""
        return self.root / path.lstrip("/")

    def open(self, path: str, flags: int = os.O_RDWR) -> int:
        """Open a file; returns its descriptor."""
        return os.open(self.path(path), flags | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def lock(self, descriptor: int) -> bool:
        """Take the lock of an open file, which is held until it is closed. False if it is taken."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def read(self, descriptor: int, size: int) -> bytes:
        """Read from a descriptor."""
        return os.read(descriptor, size)

    def read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        """Read `size` bytes at an offset."""
        data = os.pread(descriptor, size, offset)
        if len(data) != size:
            raise OSError(errno.EIO, f"{len(data)} of {size} bytes at offset {offset:#x}")
        return data

    def write_at(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of `data` at an offset, in one call."""
        size = os.pwrite(descriptor, data, offset)
        if size != len(data):
            raise OSError(errno.EIO, f"{size} of {len(data)} bytes at offset {offset:#x}")

    def control(self, descriptor: int, request: int, argument: int | bytearray = 0) -> int:
        """The ioctl `request`. A bytearray is what the kernel reads and writes."""
        return fcntl.ioctl(descriptor, request, argument)

    def map_registers(self, descriptor: int, size: int, offset: int = 0) -> RegisterWindow:
        """Map `size` bytes of a card's registers, which begin at `offset`.

        The system maps whole pages. Registers that begin within a page end in it, since they are
        aligned to their size; what else there is in their page is never accessed. sysfs says of its
        files that they are as long as the registers, and `mmap` maps no more than that of them.
        """
        begin = offset % mmap.PAGESIZE
        if begin + size > max(size, mmap.PAGESIZE):
            raise OSError(errno.EINVAL, f"{size} bytes of registers at {offset:#x} leave a page")
        mapping = mmap.mmap(descriptor, size, mmap.MAP_SHARED, offset=offset - begin)
        return RegisterWindow(mapping, begin)

    def map_memory(self, size: int) -> mmap.mmap:
        """New memory. It is unmapped when nobody refers to it or to a view of it any more.

        Whole multiples of `HUGE_PAGE` consist of huge pages if the kernel has some at hand. A
        process that is forked off gets copies: pages that the card reaches stay with this one
        (Linux 5.12, copy_present_pte).
        """
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if size % HUGE_PAGE == 0:
            with contextlib.suppress(OSError):  # a kernel without transparent huge pages
                memory.madvise(mmap.MADV_HUGEPAGE)
        return memory

    def map_huge_pages(self, count: int) -> mmap.mmap:
        """New memory of huge pages that stay where they are.

        It is shared with processes that are forked off: were it copied on write, then whoever
        writes first would get new pages, which the card does not know of.
        """
        shift = HUGE_PAGE.bit_length() - 1
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _MAP_LOCKED | _MAP_POPULATE
        flags |= _MAP_HUGETLB | shift << _MAP_HUGE_SHIFT
        return mmap.mmap(-1, count * HUGE_PAGE, flags)


def linux() -> Kernel:
    """The kernel of this machine. Raises `UnsupportedMachineError` if that is not Linux."""
    if sys.platform != "linux":
        raise UnsupportedMachineError(
            f"hardware is reached through UIO or VFIO, which only Linux has, not {sys.platform}; "
            "emulated: is a card in software"
        )
    return Kernel()
