"""What it takes to serve a device file in a guest: the module, programs in C, a daemon."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Final

from lab.guest import Guest, Process
from lab.prepare import PROJECT

__all__ = ["DEVICE", "PID_FILE", "PROGRAMS", "compile_programs", "served", "started"]

PROGRAMS: Final = sorted(path.stem for path in (PROJECT / "lab/c").glob("*.c"))
"""Programs that take the device as their first argument."""
BSD: Final = sorted(path.stem for path in (PROJECT / "lab/c/bsd").glob("*.c"))
"""Programs that are written as those for OpenBSD are."""
DEVICE: Final = "/dev/duct0"
PID_FILE: Final = "/run/ductd.pid"


def compile_programs(guest: Guest) -> None:
    """Load the kernel's module, and compile all programs into /tmp."""
    guest.check("modprobe", "cuse")
    include = guest.check("ductctl", "--include-dir").strip()
    lines = [
        f"tcc -I{include} -o /tmp/{name} lab/c/{name}.c -lpthread || exit" for name in PROGRAMS
    ]
    # As programs of BSD's are built: by pkg-config, with libbsd.
    flags = f"$(PKG_CONFIG_PATH={include}/pkgconfig pkg-config --cflags --libs libbsd-overlay duct)"
    lines += [f"tcc -o /tmp/{name} lab/c/bsd/{name}.c {flags} || exit" for name in BSD]
    guest.check("sh", "-c", "\n".join(lines))


@contextlib.contextmanager
def served(guest: Guest, address: str, *options: str, name: str = "duct0") -> Iterator[Process]:
    """A daemon that serves a card, ended by SIGTERM.

    Args:
        guest: Where.
        address: The card.
        options: Further options of the daemon.
        name: The device's name.
    """
    device = f"/dev/{name}"
    daemon = started(guest, address, *options, name=name)
    try:
        yield daemon
    finally:
        if daemon.running:
            daemon.signal(signal.SIGTERM)
        ended = daemon.wait()
    assert ended.status == 0, ended.output
    assert f"{device} is gone" in ended.output
    assert guest.run("ls", device).status


def started(guest: Guest, address: str, *options: str, name: str = "duct0") -> Process:
    """A daemon that serves a card from now on; see `served`."""
    daemon = guest.start("ductd", address, "--name", name, *options)
    daemon.wait_for(f"/dev/{name} is {address}")
    return daemon
