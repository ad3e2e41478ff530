"""What a packet costs ixy.py, a driver in Python for other cards, if there is a copy of it.

Its own lines receive and send, over memory that stands in for its card; none of its text is here.
It passes buffers on and copies nothing, has no lock, and waits for no interrupt.
"""

from __future__ import annotations

import importlib
import logging
import mmap
import struct
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["NotIxyError", "cost_of_ixy"]

REGISTERS: Final = 1 << 17
SLOTS: Final = 512
ARRIVED: Final = struct.Struct("<IHH")
"""The end of a receive descriptor: what it says of the packet (done, its last part), and length."""
DONE: Final = 1
LAST: Final = 2
BUFFERS: Final = 4096


class NotIxyError(Exception):
    """What was named is no copy of ixy.py that can be measured; says why."""


class _DmaMemory(mmap.mmap):
    """What ixy.py gets of its own module in C: memory, and where the card would find it."""

    physical_address = 1 << 32

    def __new__(cls, size: int, _aligned: bool = True) -> _DmaMemory:
        return super().__new__(cls, -1, size)


def cost_of_ixy(place: Path, batch: int, payload: int, seconds: float, quiet: Any) -> float:
    """Nanoseconds a packet.

    Args:
        place: Where a copy of ixy.py is.
        batch: Packets in a batch, less than 512.
        payload: Bytes of each.
        seconds: How long to measure.
        quiet: What makes one figure of many.

    Raises:
        NotIxyError: It is not there, or not as it is known.
    """
    source = place / "src"
    if not (source / "ixypy").is_dir():
        raise NotIxyError(f"{place} is no copy of ixy.py: it has no src/ixypy")
    stand_ins = {"memory": types.ModuleType("memory")}
    vars(stand_ins["memory"])["DmaMemory"] = _DmaMemory
    if importlib.util.find_spec("numpy") is None:
        # It looks at registers through NumPy, once a batch; any view of numbers does.
        numpy = stand_ins["numpy"] = types.ModuleType("numpy")
        vars(numpy).update(uint32="I", frombuffer=lambda data, dtype: memoryview(data).cast(dtype))
    sys.modules.update(stand_ins)
    sys.path.insert(0, str(source))
    logging.disable(logging.INFO)
    try:
        forward = _forwarding(batch, payload)
        samples: list[float] = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(samples) < 3:
            samples.append(forward())
    except (ImportError, AttributeError, TypeError) as error:
        raise NotIxyError(f"{place} is not the ixy.py that is known: {error}") from error
    finally:
        logging.disable(logging.NOTSET)
        sys.path.remove(str(source))
        for name in [*stand_ins, *(name for name in sys.modules if name.startswith("ixypy"))]:
            sys.modules.pop(name)
    return float(quiet(samples)) / batch * 1e9


def _forwarding(batch: int, payload: int) -> Callable[[], float]:
    """What forwards one batch when it is called, and returns the seconds that this took."""
    card = importlib.import_module("ixypy.ixgbe.device").IxgbeDevice
    parts = importlib.import_module("ixypy.ixgbe.structures")
    pool = importlib.import_module("ixypy.mempool").Mempool.allocate(BUFFERS)
    incoming, outgoing = (memoryview(bytearray(16 * SLOTS)) for _ in range(2))
    device = card.__new__(card)
    device.reg = importlib.import_module("ixypy.register").MmapRegister(mmap.mmap(-1, REGISTERS))
    device.rx_queues = [parts.RxQueue(incoming, SLOTS, 0, pool)]
    device.tx_queues = [parts.TxQueue(outgoing, SLOTS, 0)]
    for number in range(SLOTS):
        device.rx_queues[0].buffers[number] = pool.get_buffer()
    at = 0

    def forward() -> float:
        nonlocal at
        for number in range(at, at + batch):
            ARRIVED.pack_into(incoming, number % SLOTS * 16 + 8, DONE | LAST, payload, 0)
            outgoing[number % SLOTS * 16 + 12] |= DONE
        begin = time.perf_counter()
        buffers = device.rx_batch(0, batch)
        sent = device.tx_batch(buffers, 0)
        taken = time.perf_counter() - begin
        if sent != batch:
            raise RuntimeError(f"ixy.py sent {sent} packets of a batch of {batch}")
        # The card sends what it was given before more comes in.
        for number in range(at, at + batch):
            outgoing[number % SLOTS * 16 + 12] |= DONE
        at += batch
        return taken

    return forward
