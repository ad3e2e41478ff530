"""The barriers are the instructions that the manuals of the processors name, and they run."""

import ctypes
import platform

import pytest

from impl.barriers import INSTRUCTIONS, LINUX, Barriers, code_for
from impl.errors import UnsupportedMachineError
from impl.memory import Device

BARRIERS = ("acquire", "release", "release_loads", "before_register_write", "fence")


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        # lfence, sfence, nothing, sfence, mfence; ret
        ("x86_64", ("0faee8", "0faef8", "", "0faef8", "0faef0", "c3")),
        # dmb oshld, oshst, oshld, dsb st, sy; ret: instructions of 32 bits, little endian
        ("aarch64", ("bf3103d5", "bf3203d5", "bf3103d5", "9f3e03d5", "9f3f03d5", "c0035fd6")),
    ],
)
def test_the_instructions_are_those_of_the_manual(machine, words):
    code = INSTRUCTIONS[machine]
    assert tuple(getattr(code, name).code.hex() for name in (*BARRIERS, "return_")) == words


def test_each_has_a_counterpart_in_linux_that_its_meaning_names():
    assert tuple(LINUX) == BARRIERS
    for name, primitive in LINUX.items():
        assert f"`{primitive}`" in getattr(Device, name).__doc__


def test_on_any_other_machine_there_are_none():
    with pytest.raises(UnsupportedMachineError) as caught:
        code_for("")
    assert caught.value.strerror == (
        "the memory barriers of this machine are not known to the driver; it reaches hardware on "
        "x86_64 and aarch64"
    )


@pytest.fixture
def barriers():
    if platform.machine() not in INSTRUCTIONS:
        pytest.skip("the machine is not supported")
    return Barriers.of_this_machine()


@pytest.mark.parametrize("name", BARRIERS)
def test_what_is_called_is_the_instruction_and_a_return(barriers, name):
    code = code_for(platform.machine())
    if not getattr(code, name).code:
        # The machine keeps this order by itself.
        assert getattr(barriers, name)() is None
        return
    expected = getattr(code, name).code + code.return_.code
    place = ctypes.cast(getattr(barriers, name), ctypes.c_void_p).value
    assert ctypes.string_at(place, len(expected)) == expected


@pytest.mark.parametrize("name", BARRIERS)
def test_each_can_be_called_and_returns(barriers, name):
    barrier = getattr(barriers, name)
    for _ in range(1000):
        barrier()


def test_the_page_of_the_instructions_cannot_be_written(barriers):
    place = ctypes.cast(barriers.fence, ctypes.c_void_p).value
    with open("/proc/self/maps", encoding="ascii") as maps:
        page = next(
            line
            for line in maps
            if int(line.split("-")[0], 16) <= place < int(line.split("-")[1].split()[0], 16)
        )
    assert page.split()[1] == "r-xp"


def test_a_kernel_that_makes_no_memory_executable_is_named(monkeypatch):
    class Library:
        def mprotect(self, *_):
            ctypes.set_errno(13)
            return -1

    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Library())
    with pytest.raises(OSError, match="Permission denied: the kernel lets this process make no"):
        Barriers.of_this_machine()
