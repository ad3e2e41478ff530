"""The file of a device below /dev: who may open it."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
import time
from pathlib import Path
from typing import Final

import attrs

__all__ = ["GROUP", "MODE", "Access", "group_id", "set_access", "user_id"]

MODE: Final = 0o660
GROUP: Final = "duct"
"""Who may open the device unless told otherwise, if there is such a group."""
DEVICES: Final = Path("/dev")
PATIENCE: Final = 5.0
"""Seconds within which a file appears in /dev."""


@attrs.frozen
class Access:
    """Who may open the file. -1 leaves owner or group as they are."""

    mode: int = MODE
    owner: int = -1
    group: int = -1


def user_id(name: str) -> int:
    """The number of a user, given by name or number. Raises `ValueError` if there is none."""
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ValueError(f"there is no user {name!r}") from None


def group_id(name: str) -> int:
    """The number of a group, given by name or number. Raises `ValueError` if there is none."""
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ValueError(f"there is no group {name!r}") from None


def set_access(name: str, access: Access, devices: Path = DEVICES) -> Path:
    """Say who may open a device; returns its file.

    Raises:
        FileNotFoundError: It does not appear: nothing makes files in /dev.
        OSError: Its access cannot be changed.
    """
    path = devices / name
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise FileNotFoundError(
                errno.ENOENT, f"the kernel has the device, and {path} does not appear", str(path)
            )
        time.sleep(0.01)
    os.chown(path, access.owner, access.group)
    os.chmod(path, stat.S_IMODE(access.mode))
    return path
