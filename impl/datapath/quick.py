"""A controller whose turns are made in C where nothing stands in the way.

`impl.controller.Controller` says what a turn is. `turn_kernel.h` makes all of one at once, as long
as nobody has the lock or is in line, the card is open and has not failed, nobody is to be woken and
nobody has to wait. In every other case it has touched nothing, and the controller's own lines make
the turn. Neither has a state of its own: what C looks at, of controller and rings, are fields of C
types from which their classes are derived here, and attributes to Python.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from impl.datapath.loader import Datapath
from impl.packet_batch import PacketBatch
from impl.runtime import WaitQueue
from model.layout import EVFLAGS

__all__ = ["controller_over"]

Made = TypeVar("Made")
RINGS = ("commands", "transmit", "receive")


def controller_over(base: type[Made], datapath: Datapath) -> type[Made]:
    """The class of a controller's that makes turns in C, if there is a kernel; otherwise `base`.

    Args:
        base: `impl.controller.Controller`, or a changed one.
        datapath: What moves packets.
    """
    if datapath.kernel is None:
        return base
    turns = datapath.kernel.Turns
    # With no line of Python before it.
    served = {"serve_events": turns.serve_events}
    return cast(type[Made], type("QuickController", (Quick, base, turns), served))


class Quick:
    """The calls of a controller that C may make. What follows in line are controller and C type."""

    bind: Any
    receive_at_once: Any
    send_at_once: Any
    life: Any

    def __init__(self, device: Any, runtime: Any, settings: Any, datapath: Datapath) -> None:
        """As `Controller` has it."""
        super().__init__(device, runtime, settings, datapath)  # type: ignore[call-arg]
        self._kernel = datapath.kernel
        if not datapath.judged:
            runtime.lock_by(datapath.kernel.Lock())
        for name in RINGS:
            setattr(self, name, _known_to(datapath.kernel, getattr(self, name)))
        self.bind(type(self.life).OPEN, EVFLAGS, WaitQueue.SENDERS, WaitQueue.LIFE)

    def receive_packets(self, packets: Any, most: int, wait: Any) -> None:
        """As `Controller` has it."""
        known = packets.over(self._kernel) if isinstance(packets, PacketBatch) else packets
        if not self.receive_at_once(known, most):
            super().receive_packets(packets, most, wait)  # type: ignore[misc]

    def send(self, batch: Any, wait: Any) -> int:
        """As `Controller` has it. Who waits until the packets are sent has to sleep."""
        sent = 0
        if not wait.blocking:
            known = batch.over(self._kernel) if isinstance(batch, PacketBatch) else batch
            sent = self.send_at_once(known)
        return sent or super().send(batch, wait)  # type: ignore[misc]

    def serve_in_python(self) -> None:
        """What `serve_events` of the C type does where C does not."""
        super().serve_events()  # type: ignore[misc]


def _known_to(kernel: Any, ring: Any) -> Any:
    """The ring as an object whose positions are fields of C."""
    cls = type(ring)
    both: Any = type(cls.__name__, (cls, kernel.Ring), {})
    known = both.__new__(both)
    for name, value in vars(ring).items():
        setattr(known, name, value)
    return known
