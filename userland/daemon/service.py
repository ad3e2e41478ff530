"""What a daemon has to do with whoever runs it: readiness, its process number, its privileges."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import resource
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

__all__ = ["Account", "account", "become", "notify", "pid_file"]


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell the service manager, as sd_notify(3) does; whether there is one that listens.

    Args:
        state: Lines of NAME=VALUE, such as READY=1.
        environment: Where NOTIFY_SOCKET is looked up.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
        # A name that begins with @ is in the abstract name space.
        end.connect(address.replace("@", "\0", 1))
        end.send(state.encode())
    return True


@contextlib.contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    """A file with the number of this process, for as long as this lasts.

    Raises:
        FileExistsError: It names a process that runs.
        OSError: It cannot be written.
    """
    if path is None:
        yield
        return
    if _runs(path):
        number = path.read_text(encoding="ascii").strip()
        raise FileExistsError(errno.EEXIST, f"process {number} runs, as it says", str(path))
    path.write_text(f"{os.getpid()}\n", encoding="ascii")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _runs(path: Path) -> bool:
    try:
        number = int(path.read_text())
        os.kill(number, 0)
    except (OSError, ValueError, OverflowError) as error:
        return isinstance(error, PermissionError)
    return number != os.getpid()


@attrs.frozen
class Account:
    """Whom a process runs as.

    Attributes:
        user, group: Their numbers.
        groups: Those that the user is in besides.
    """

    user: int
    group: int
    groups: tuple[int, ...] = ()


def account(name: str) -> Account:
    """Whom a name or number means. A number need not be known; its group is the same number.

    Raises:
        ValueError: There is no such user.
    """
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError:
        if name.isdecimal():
            return Account(int(name), int(name))
        raise ValueError(f"there is no user {name!r}") from None
    groups = tuple(group.gr_gid for group in grp.getgrall() if entry.pw_name in group.gr_mem)
    return Account(entry.pw_uid, entry.pw_gid, groups)


def become(who: Account) -> None:
    """Be another user from now on, without root's capabilities; locked memory is unlimited.

    Raises:
        PermissionError: This process may not.
    """
    # The card's rings are locked in memory at each first open.
    unlimited = resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (unlimited, unlimited))
    os.setgroups(who.groups)
    os.setresgid(who.group, who.group, who.group)
    os.setresuid(who.user, who.user, who.user)
