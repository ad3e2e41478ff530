"""Which tests concern a file, the quickest first: those that are run when the file is changed.

What a file has none of its own for is looked at through whoever uses it. All that runs is here: the
driver, what plays the card, the monitor. Not here are files that only declare (`impl/turn.py`,
`emulator/bus.py` and their like have no line that runs but their names), what builds and finds the
C kernel (the rest of `impl/datapath/`), and what of `emulator/` serves a card to another process.
"""

from __future__ import annotations

from typing import Final

__all__ = ["TESTS"]

PROMISES: Final = ("driver_promises", "driver_edges", "interruption")
LIFE: Final = ("driver_edges", "attach", "deadlines", "driver_promises")
STRUCK: Final = ("every_way_out", "signals")
"""Calls that fail, and calls that are struck, at each place in turn."""
CARD: Final = ("emulator", "emulator_steps", "emulator_backend", "card_edges")
RUNNING: Final = ("emulator_backend", "card_edges", "driver_promises")
"""A card that runs by itself."""
MONITOR: Final = ("watched", "watched_calls", "monitor_parts", "stages", "inferred_card", "monitor")
REAL: Final = ("way_edges", "kernel", "uio_backend", "vfio_backend", "hardware")
SPECIFICATION: Final = ("stateful",)
"""The comparison with the specification, which finds most, and takes longest."""

_BY_NAME: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "impl": {
        "attach": ("attach", "driver_edges"),
        "barriers": ("barriers", "way_edges"),
        "binding": ("binding",),
        "config_space": REAL,
        "controller": (*PROMISES, "deadlines", *STRUCK, *SPECIFICATION),
        "datapath/quick": ("turns",),
        "device_calls": ("file_edges", "device_file", "device"),
        "device_file": ("file_edges", "device_file", "device", "file_signals"),
        "dma": ("dma", "driver_edges", "every_way_out", *SPECIFICATION),
        "driver": (
            *(*PROMISES, "driver_api", "loan", "polling", "packet_batch", "shield", "turns"),
            *(*STRUCK, *SPECIFICATION),
        ),
        "duct": ("file_edges", "device_file", "file_signals"),
        "errors": ("errors",),
        "hardware": REAL,
        "holders": ("binding", *REAL),
        "huge_pages": REAL,
        "interruption": ("interruption", "way_edges", "shield"),
        "interrupts": ("interrupts", "shield_edges", "deadlines", *REAL),
        "iova": ("iova", "way_edges"),
        "kernel": ("mapped", *REAL),
        "lifecycle": (*LIFE, *STRUCK, *SPECIFICATION),
        "loan": ("loan", "way_edges"),
        "mapped": ("mapped", *REAL),
        "memory": ("layout", "dma", "ring", *REAL),
        "opening": ("opening", *REAL),
        "packet": ("packet", "ring", "driver_promises", "layout", "device_file"),
        "packet_batch": ("packet_batch", "turns", *SPECIFICATION),
        "packet_calls": (
            *("driver_promises", "driver_edges", "shield", "packet_batch", "driver_api"),
            *("file_edges", "polling", "turns", "device_file", "signals"),
        ),
        "pci": ("pci", "binding"),
        "polling": ("polling", "shield_edges", "driver_promises", "driver_api", "signals"),
        "readiness": ("way_edges", "readiness", "polling", "driver_edges", "turns"),
        "request": ("dma", "ring", "driver_promises"),
        "ring": ("ring", "driver_promises", "turns", "garbage", *STRUCK, *SPECIFICATION),
        "runtime": ("threads", *SPECIFICATION),
        "settings": ("settings", "attach", "driver_promises"),
        "shield": ("shield_edges", "shield", "signals"),
        "threads": ("threads", "interruption", "deadlines", "shield", "turns"),
        "uio_backend": REAL,
        "vfio": REAL,
        "vfio_backend": REAL,
        "watch": ("monitor",),
        "watchdog": ("way_edges", "watchdog", "hardware"),
    },
    "emulator": {
        "backend": RUNNING,
        "behaviour": RUNNING,
        "buffers": CARD,
        "card": CARD,
        "card_state": CARD,
        "command": CARD,
        "control": ("control", "bench_control"),
        "counters": (*CARD, "control"),
        "memory": (*CARD, "control"),
        "net": RUNNING,
        "receive": CARD,
        "ring_engine": CARD,
        "running": (*CARD, "control", "driver_promises"),
        "transmit": CARD,
    },
    "monitor": dict.fromkeys(
        (
            *("callers", "calls", "device", "events", "inferred_card", "loads", "observer", "path"),
            *("report", "runtime", "stages", "stores", "unchanged", "verdict", "watch"),
        ),
        MONITOR,
    ),
}

TESTS: Final = {
    f"{part}/{name}.py": tuple(f"tests/test_{test}.py" for test in tests)
    for part, files in _BY_NAME.items()
    for name, tests in files.items()
}
"""The test files of each file."""
