"""Draw the way of one access from the driver to the judge, from runs: `python docs/draw_access.py`.

A packet is sent and one is received, in a simulated run and in a monitored one, and whenever a step
of the specification is taken the call stack is noted: the files between the driver's call and the
step are the way of the access. Run it from the project's folder; it prints what ARCHITECTURE.md
shows.
"""

from __future__ import annotations

import functools
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import attrs

from emulator.backend import Laboratory
from engine.stepper import Stepper
from impl.attach import Attachments
from impl.driver import DuctDriver
from judge.judge import Specification
from model.layout import ECHO
from monitor.watch import watch
from properties.simulation.simulation import FILTERS, Setup, Simulation

ROOT: Final = Path(__file__).resolve().parent.parent
PARTS: Final = ("engine", "judge", "monitor", "properties")
DRIVER: Final = "impl"
TAKES_A_STEP: Final = Stepper.fire.__code__
PATIENCE: Final = 30.0
SHOWN: Final = ("tx.store_owner", "rx.packet_found")
"""The steps whose ways are drawn: an owner byte is stored, and one is loaded."""
WIDTH: Final = 98


@attrs.frozen
class Way:
    """The way of one access.

    Attributes:
        step: The rule of the specification that was taken.
        caller: The file of the driver that made the access.
        files: The files from there to the step, each as often as the way comes back to it.
        called: All files in which something was called until the access was over.
    """

    step: str
    caller: str
    files: tuple[str, ...]
    called: Mapping[str, None]

    @property
    def asked(self) -> list[str]:
        """The files that were asked on the way, and are no part of it."""
        return [name for name in self.called if name not in self.files]


class Ways:
    """Notes the way of each access that is made while it listens."""

    def __init__(self) -> None:
        self.found: list[Way] = []
        self._called_in: dict[FrameType, dict[str, None]] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note what the calling thread, and all that are started meanwhile, do."""
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "return":
            self._called_in.pop(frame, None)
        elif event == "call" and _file_of(frame).startswith(PARTS):
            stack = [frame]
            while not (file := _file_of(stack[-1])).startswith(DRIVER + "/"):
                before = stack[-1].f_back
                if before is None:
                    return
                stack.append(before)
            called = self._called_in.setdefault(stack[-2], {})
            called[_file_of(frame)] = None
            if frame.f_code is TAKES_A_STEP:
                files = _without_repeats(name for item in stack[-2::-1] if (name := _file_of(item)))
                self.found.append(Way(frame.f_locals["step"][0], file, files, called))


def _file_of(frame: FrameType) -> str:
    """The frame's file, from the project's folder on; "" for code of others or that was made."""
    return _within(frame.f_code.co_filename)


@functools.cache
def _within(name: str) -> str:
    return name.removeprefix(f"{ROOT}/") if name.startswith(f"{ROOT}/") else ""


def _without_repeats(names: Iterator[str]) -> tuple[str, ...]:
    """Without the calls within a file."""
    found: list[str] = []
    for name in names:
        if found[-1:] != [name]:
            found.append(name)
    return tuple(found)


def simulated() -> list[Way]:
    """The ways of all accesses by which a packet is sent and received, threads being greenlets."""
    setup = Setup()
    run = Simulation(setup, Specification(setup.scope()))
    to_itself = FILTERS[0][1]
    send = "send", 0, to_itself, (5,), True
    receive = "receive", 0, True, False
    ways = Ways()
    arrives = "offer", to_itself, 5
    with ways.listening():
        for decision in (("open",), *2 * (send, arrives, receive)):
            run.decide(decision)
            run.settle()
    run.finish()
    return ways.found


def monitored() -> list[Way]:
    """The same over the emulated card with real threads, the monitor looking on."""
    laboratory = Laboratory()
    ways = Ways()
    attachments = Attachments(lambda: {"emulated": laboratory.open}, lambda: watch)
    with (
        ways.listening(),
        DuctDriver.open("emulated:", monitor=True, attachments=attachments) as duct,
    ):
        for _ in range(2):  # what is compiled at the first time is no part of the way
            duct.send(ECHO.address, b"hello")
            _await(lambda: duct.poll().next_length is not None)
            duct.receive()
    laboratory.power_off()
    return ways.found


def _await(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "no packet came"
        time.sleep(0.001)


def drawing(runs: Mapping[str, list[Way]]) -> str:
    """The ways of a store and of a load in each kind of run, as text."""
    lines: list[str] = []
    for kind, ways in runs.items():
        shown = [next(item for item in reversed(ways) if item.step == step) for step in SHOWN]
        for files in dict.fromkeys(way.files for way in shown):
            same = [way for way in shown if way.files == files]
            lines.append(f"{kind}: {', '.join(way.step for way in same)}")
            lines += _wrapped(" -> ".join((same[0].caller, *files)), "    ")
            lines += [
                line
                for way in same
                for line in _wrapped(f"{way.step} asks {', '.join(way.asked)}", "      ")
            ]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def main() -> None:
    """Print the drawing."""
    print(drawing({"simulated": simulated(), "monitored": monitored()}), end="")


if __name__ == "__main__":
    main()
