"""What tells one version of the C kernel from another: its source, and the layout."""

from __future__ import annotations

import hashlib
import importlib.machinery
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from impl.dma import BUFFER_SIZE
from impl.packet import FIELDS, HEADER
from model.layout import DBELL, LIMITS, PACKET_SLOT, TRANSMIT_RING, Owner, doorbell

__all__ = ["FOLDER", "LAYOUT", "path_of", "source_digest"]

FOLDER: Final = Path(__file__).parent
SOURCES: Final = (
    "judged.h", "lock.h", "module.c", "real.h", "ring_kernel.h", "turn_kernel.h", "turns.h",
)  # fmt: skip
LAYOUT: Final[Mapping[str, int]] = {
    "SLOT_SIZE": PACKET_SLOT.size,
    "OWNER": PACKET_SLOT["owner"].offset,
    "HOST": int(Owner.HOST),
    "DEVICE": int(Owner.DEVICE),
    "FIELDS_BEGIN": FIELDS.offset,
    "FIELDS_SIZE": FIELDS.size,
    "HEADER_BEGIN": HEADER.offset,
    "HEADER_SIZE": HEADER.size,
    "BUFFERS": LIMITS.buffers,
    "PAGE_SIZE": LIMITS.page_size,
    "BUFFER_SIZE": BUFFER_SIZE,
    "DOORBELL": DBELL.offset,
    "TRANSMIT_BELL": doorbell(TRANSMIT_RING, 0),
}
"""What the kernel knows of the layout, by the names that it has there."""


def source_digest(folder: Path = FOLDER) -> str:
    """The SHA-256 of all that a build is made of."""
    digest = hashlib.sha256(repr(sorted(LAYOUT.items())).encode())
    for name in SOURCES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def path_of(name: str, folder: Path = FOLDER) -> Path:
    """Where a build for this interpreter is: `_real` or `_judged`."""
    return folder / f"{name}{importlib.machinery.EXTENSION_SUFFIXES[0]}"
