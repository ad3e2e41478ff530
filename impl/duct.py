"""Opening a card, whether this process reaches it or another one serves it as a file.

with open_duct("/dev/duct0") as duct: ...
with open_duct("vfio:0000:00:05.0") as duct: ...
"""

from __future__ import annotations

import re
from typing import TypeAlias

from impl.device_file import LINUX, DeviceFile, SystemCalls
from impl.driver import DuctDriver
from impl.errors import NotSupportedError
from impl.packet_calls import PacketCalls
from impl.settings import Monitoring, Settings
from impl.shield import PENDING, protected, take

__all__ = ["Duct", "file_of", "open_duct"]

Duct: TypeAlias = DuctDriver | DeviceFile
"""What a program sends and receives by."""


def file_of(address: str) -> str | None:
    """The device file that is meant; None if a card is.

    It is a path, a name below /dev (duct0), or the number of a unit (0).
    """
    if address.startswith(("/", "./", "../")):
        return address
    if re.fullmatch(r"duct[0-9]+", address):
        return f"/dev/{address}"
    return f"/dev/duct{address}" if re.fullmatch(r"[0-9]+", address) else None


@protected
def open_duct(
    address: str,
    *,
    settings: Settings | None = None,
    monitor: bool | Monitoring = False,
    timeout: float | None = None,
    calls: SystemCalls = LINUX,
) -> Duct:
    """Open a card by its address (`DuctDriver.open`) or by its device file (`DeviceFile`).

    Args:
        address: SCHEME:REST, or a path, a name below /dev or a number: /dev/duct0, duct0, 0.
        settings: Sizes and times; not for files.
        monitor: Let the specification judge every access; not for files.
        timeout: Seconds to wait for somebody else's open or close; for files, as long as it takes.
        calls: The system calls for files.

    Raises:
        NotSupportedError: Whoever serves the file has chosen settings and monitor.
        OSError: See `DuctDriver.open` and `DeviceFile`.
    """
    duct: Duct | None = None
    try:
        path = file_of(address)
        if path is None:
            duct = DuctDriver.open(address, settings=settings, monitor=monitor, timeout=timeout)
        elif monitor:
            raise NotSupportedError(f"{path} is a file; its monitor is that of ductd --monitor")
        elif settings is not None:
            raise NotSupportedError(f"{path} is a file; whoever serves it has chosen the settings")
        else:
            duct = DeviceFile(path, calls)
        return duct
    finally:
        # Nobody else would close it.
        while PENDING and take(_close, duct):
            pass


def _close(duct: PacketCalls) -> None:
    assert isinstance(duct, DuctDriver | DeviceFile)
    duct.close()
