"""Views that are on loan: whether anything still refers to the memory that was lent.

The slices of a memoryview do not keep it from being released, but a view of a view does. In Python
3.11 and 3.12 the garbage collector crashes when it finds both in a cycle: it takes from the inner
view what the outer one needs to let go of it. So each inner view is also referred to from here,
where no cycle reaches, until nothing refers to the outer one. (3.13 has no such defect.)
"""

from __future__ import annotations

import contextlib
import pickle
import weakref
from typing import Final

import attrs

__all__ = ["Loan"]

_KEPT: Final[dict[int, tuple[weakref.ref[Loan], memoryview]]] = {}
"""What is on loan in this process, with the loan; that of a loan which is gone is swept away."""


@attrs.define(eq=False)
class Loan:
    """Memory that is lent.

    Attributes:
        view: What the borrower gets: it, its slices and arrays over it all refer to the memory.
    """

    _memory: memoryview
    view: memoryview = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        _sweep()
        self._lend()

    def end(self) -> None:
        """Take the memory back; the view cannot be used any more. A second end does nothing.

        Raises:
            BufferError: Something else refers to the memory. The loan goes on.
        """
        self.view.release()
        try:
            self._memory.release()
        except BufferError:
            self._lend()
            raise
        _KEPT.pop(id(self._memory), None)

    def _lend(self) -> None:
        self.view = memoryview(pickle.PickleBuffer(self._memory))
        _KEPT[id(self._memory)] = weakref.ref(self), self._memory


def _sweep() -> None:
    """Forget what nothing refers to any more, of loans that were not ended."""
    for key, (loan, memory) in list(_KEPT.items()):
        if loan() is None:
            with contextlib.suppress(BufferError):
                memory.release()
                _KEPT.pop(key, None)
