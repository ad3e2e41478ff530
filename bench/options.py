"""What measurements are told on the command line, and where their figures go.

What makes no sense is refused before anything is measured, with a message and exit status 2.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, Final

from model.layout import LIMITS

__all__ = [
    "RESULTS",
    "batch_of",
    "folder_at",
    "packets_of",
    "payload_of",
    "read_results",
    "results_at",
    "seconds_of",
    "write_results",
]

RESULTS: Final = Path("bench/results.json")
MOST: Final = 1 << (LIMITS.max_shift - 1)
"""Packets of a batch: a ring has room for two."""


def seconds_of(text: str) -> float:
    """A time to measure for. Raises `ArgumentTypeError` unless it is above 0, and finite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a time is seconds above 0, not {text!r}")
    return value


def _whole(text: str, what: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{what} from {least} to {most}, not {text!r}")
    return value


def payload_of(text: str) -> int:
    """Bytes of a packet. Raises `ArgumentTypeError` unless a packet can have so many."""
    return _whole(text, "a packet has a number of bytes", 0, LIMITS.max_packet)


def batch_of(text: str) -> int:
    """Packets of a batch. Raises `ArgumentTypeError` unless the largest ring has room for two."""
    return _whole(text, "a batch has a number of packets", 1, MOST)


def packets_of(text: str) -> int:
    """How many packets. Raises `ArgumentTypeError` unless it is 1 or more."""
    return _whole(text, "it takes a number of packets", 1, 10**12)


def results_at(text: str) -> Path:
    """A file for figures. Raises `ArgumentTypeError` unless it can be, and has figures or none."""
    place = Path(text)
    if place.is_dir() or not place.parent.is_dir():
        raise argparse.ArgumentTypeError(f"figures go to a file in a folder that exists: {text!r}")
    try:
        read_results(place)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is there, and has no figures") from error
    return place


def folder_at(text: str) -> Path:
    """A folder. Raises `ArgumentTypeError` unless it exists."""
    place = Path(text)
    if not place.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return place


def read_results(place: Path) -> dict[str, Any]:
    """The figures of a file by section; none if it is not there. Raises `ValueError`."""
    if not place.exists():
        return {}
    found = json.loads(place.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{place} has no sections")
    return found


def write_results(sections: dict[str, Any], place: Path) -> None:
    """Put sections of figures in the place of those that were there, and leave the others."""
    found = read_results(place) | sections
    place.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
