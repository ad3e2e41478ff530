"""Emulated cards for virtual machines: one process each, all on one net."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from lab.prepare import PROJECT

__all__ = ["LabCard", "cards"]

PATIENCE: Final = 60.0
"""Seconds within which a card is there, or gone."""


@attrs.frozen
class LabCard:
    """A card that runs.

    Attributes:
        name: What it is called.
        socket: Where virtual machines find it.
        control: Where it can be made to fail, and asked what it counted.
        net: Where the net that it is on can be joined.
    """

    name: str
    socket: Path
    control: Path
    net: Path


@contextlib.contextmanager
def cards(names: Sequence[str], folder: Path, logs: Path, *options: str) -> Iterator[list[LabCard]]:
    """Cards on one net of their own, for as long as this lasts.

    Args:
        names: What they are called.
        folder: Where their sockets are; its path is short.
        logs: Where what they print is kept.
        options: Further options of `python -m emulator`.
    """
    with contextlib.ExitStack() as stack:
        started = []
        for name in names:
            paths = (folder / f"{name}.card", folder / f"{name}.control", folder / "net")
            card = LabCard(name, *paths)
            words = [
                *(sys.executable, "-m", "emulator"),
                *("--socket", str(card.socket), "--control", str(card.control)),
                *("--net", str(card.net), *options),
            ]
            log = stack.enter_context((logs / f"card-{name}.log").open("wb"))
            process = subprocess.Popen(
                words,
                cwd=PROJECT,
                env=os.environ | {"PYTHONPATH": str(PROJECT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            stack.callback(_end, process)
            started.append((card, process, Path(log.name)))
        for card, process, log_path in started:
            _await(card, process, log_path)
        yield [card for card, _, _ in started]


def _await(card: LabCard, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not all(_answers(path) for path in (card.control,)):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"card {card.name} does not start:\n{log.read_text()}")
        time.sleep(0.02)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as end:
        return not end.connect_ex(str(path))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise RuntimeError(f"{process.args!r} did not end when it was asked to") from None
