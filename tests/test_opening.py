"""Files of the kernel that cannot be opened: what is known has a class, what is not is told."""

import contextlib
import errno
import os

import pytest

from impl.errors import CardInUseError, NotPermittedError, NotSetUpError
from impl.opening import opened


class Refusing:
    """A kernel that opens nothing."""

    def __init__(self, number):
        self.number = number

    def open(self, _path, _flags):
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, NotPermittedError),
        (errno.EPERM, NotPermittedError),
        (errno.ENOENT, NotSetUpError),
        (errno.ENODEV, NotSetUpError),
        (errno.ENXIO, NotSetUpError),
        (errno.EBUSY, CardInUseError),
        (errno.EMFILE, OSError),
    ],
)
def test_what_the_kernel_says_is_told(number, kind):
    with contextlib.ExitStack() as undo, pytest.raises(kind) as told:
        opened(Refusing(number), undo, "/dev/uio0")
    assert type(told.value) is kind
    assert kind is not OSError or told.value.errno == number
