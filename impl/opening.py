"""Opening files of the kernel, with errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import os

from impl.errors import CardInUseError, NotPermittedError, NotSetUpError
from impl.kernel import Kernel

__all__ = ["opened"]


def opened(
    kernel: Kernel,
    undo: contextlib.ExitStack,
    path: str,
    flags: int = os.O_RDWR,
    missing: str = "run: ductctl bind",
) -> int:
    """Open a file that `undo` closes again.

    Args:
        kernel: The kernel.
        undo: What is to be undone later.
        path: The file.
        flags: How to open it.
        missing: What to do if there is no such file.

    Raises:
        NotPermittedError: The process may not.
        NotSetUpError: There is no such file.
        CardInUseError: Somebody else has it open.
    """
    try:
        descriptor = kernel.open(path, flags)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            raise NotPermittedError(
                f"{path} may not be opened: {error.strerror}; run as root, or let your user read "
                "and write it (chown)"
            ) from error
        if error.errno in {errno.ENOENT, errno.ENODEV, errno.ENXIO}:
            raise NotSetUpError(f"{path} does not exist; {missing}") from error
        if error.errno == errno.EBUSY:
            raise CardInUseError(f"{path} is in use: another process has the card") from error
        raise
    undo.callback(kernel.close, descriptor)
    return descriptor
