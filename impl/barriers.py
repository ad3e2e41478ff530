"""Barriers of the machine, as instructions, since no statement of Python is one.

The instructions are put into a page of memory that is then made executable, and called through
ctypes. Each barrier keeps its promise of `impl.memory` for DMA memory that is ordinary (write-back)
memory and registers that are mapped uncached, on a machine that keeps DMA coherent with its caches:

x86-64 (Intel SDM volume 3A, 9.2; AMD64 APM volume 2, 7.2)
    No load is moved before an earlier load, no store before an earlier load or store, and an
    uncached access waits for all before it. What is left are non-temporal stores, by which C
    libraries copy large blocks: SFENCE keeps them in order, also with a store to a register. LFENCE
    ends all loads before it; between loads and stores nothing is needed. MFENCE returns when all
    stores are visible to everybody.

aarch64 (Arm ARM DDI 0487, B2.3)
    Anything is moved that nothing keeps. DMB OSHLD orders loads, of registers too, with whatever
    follows, stores included; DMB OSHST orders stores with stores, and no load: as all observers in
    the outer shareable domain, devices among them, see them. A store to a register is an access to
    another kind of memory, and DSB ST waits until stores before it are complete. DSB SY waits for
    every access.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from impl.errors import UnsupportedMachineError

__all__ = ["INSTRUCTIONS", "LINUX", "Barriers", "Instruction", "code_for"]


@attrs.frozen
class Instruction:
    """An instruction of a processor.

    Attributes:
        text: As an assembler writes it; "" for none.
        code: As the processor reads it.
    """

    text: str
    code: bytes


@attrs.frozen
class Instructions:
    """The instruction of each barrier, and the one that returns from a function."""

    acquire: Instruction
    release: Instruction
    release_loads: Instruction
    before_register_write: Instruction
    fence: Instruction
    return_: Instruction


_LIMITS: Final = {"oshld": 0b0001, "oshst": 0b0010, "st": 0b1110, "sy": 0b1111}
"""What an aarch64 barrier orders, and for whom, as CRm has it (Arm ARM, C6.2)."""


def _arm(text: str, word: int) -> Instruction:
    return Instruction(text, word.to_bytes(4, "little"))


def _dmb(limit: str) -> Instruction:
    return _arm(f"dmb {limit}", 0xD503_30BF | _LIMITS[limit] << 8)


def _dsb(limit: str) -> Instruction:
    return _arm(f"dsb {limit}", 0xD503_309F | _LIMITS[limit] << 8)


_SFENCE: Final = Instruction("sfence", b"\x0f\xae\xf8")

INSTRUCTIONS: Final[Mapping[str, Instructions]] = {
    "x86_64": Instructions(
        acquire=Instruction("lfence", b"\x0f\xae\xe8"),
        release=_SFENCE,
        release_loads=Instruction("", b""),
        before_register_write=_SFENCE,
        fence=Instruction("mfence", b"\x0f\xae\xf0"),
        return_=Instruction("ret", b"\xc3"),
    ),
    "aarch64": Instructions(
        acquire=_dmb("oshld"),
        release=_dmb("oshst"),
        release_loads=_dmb("oshld"),
        before_register_write=_dsb("st"),
        fence=_dsb("sy"),
        return_=_arm("ret", 0xD65F_03C0),
    ),
}
"""What is called on each kind of machine that is supported, as `platform.machine` names it."""

LINUX: Final[Mapping[str, str]] = {
    "acquire": "dma_rmb()",
    "release": "dma_wmb()",
    "release_loads": "dma_mb()",
    "before_register_write": "wmb()",
    "fence": "mb()",
}
"""What a driver in the Linux kernel would call in place of each barrier."""

_SLOT: Final = 16
"""Bytes between two functions in the page."""
_READ_EXECUTE: Final = mmap.PROT_READ | mmap.PROT_EXEC

# Called without giving up the interpreter's lock, which would take longer than the barrier.
_Function = ctypes.PYFUNCTYPE(None)


def code_for(machine: str) -> Instructions:
    """The barriers of a kind of machine. Raises `UnsupportedMachineError` if they are not known."""
    code = INSTRUCTIONS.get(machine)
    if code is None:
        raise UnsupportedMachineError(
            f"the memory barriers of {machine or 'this machine'} are not known to the driver; it "
            f"reaches hardware on {' and '.join(INSTRUCTIONS)}"
        )
    return code


@attrs.frozen(eq=False)
class Barriers:
    """The barriers of `impl.memory.Device`, as functions.

    Attributes:
        acquire: No later load is satisfied before an earlier load or register read.
        release: No later store becomes visible before an earlier store.
        release_loads: No later store becomes visible before an earlier load or register read.
        before_register_write: No later register write arrives before an earlier store is visible.
        fence: Returns when every earlier store is visible to the card.
    """

    acquire: Callable[[], None]
    release: Callable[[], None]
    release_loads: Callable[[], None]
    before_register_write: Callable[[], None]
    fence: Callable[[], None]
    _page: mmap.mmap = attrs.field(repr=False)

    @classmethod
    def of_this_machine(cls) -> Barriers:
        """The barriers of the machine that this runs on.

        Raises:
            UnsupportedMachineError: They are not known.
            OSError: The kernel allows no memory to be made executable.
        """
        code = code_for(platform.machine())
        bodies = (
            code.acquire,
            code.release,
            code.release_loads,
            code.before_register_write,
            code.fence,
        )
        page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for index, body in enumerate(bodies):
            function = body.code + code.return_.code
            page[index * _SLOT : index * _SLOT + len(function)] = function
        start = ctypes.addressof(ctypes.c_char.from_buffer(page))
        _make_executable(start)
        acquire, release, release_loads, before_register_write, fence = (
            _Function(start + index * _SLOT) if body.code else _nothing
            for index, body in enumerate(bodies)
        )
        return cls(acquire, release, release_loads, before_register_write, fence, page)


def _nothing() -> None:
    """A barrier that this machine keeps by itself: calling into the page would take longer."""


def _make_executable(start: int) -> None:
    """Make a page executable and no longer writable.

    The kernel makes the instructions visible to instruction fetches when a page becomes executable
    for the first time, which aarch64 needs.
    """
    library = ctypes.CDLL(None, use_errno=True)
    arguments = ctypes.c_void_p(start), ctypes.c_size_t(mmap.PAGESIZE), _READ_EXECUTE
    if library.mprotect(*arguments):
        code = ctypes.get_errno()
        raise OSError(
            code,
            f"{os.strerror(code)}: the kernel lets this process make no memory executable, which "
            "the memory barriers take; allow it (SELinux: execmem)",
        )
