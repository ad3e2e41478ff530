"""The card as the driver reaches it, with every access told to an observer."""

from __future__ import annotations

from typing import Self, final, overload

from impl.memory import Data, Device, DmaRegion, Purpose
from model.layout import Register
from monitor.observer import Observer

__all__ = ["WatchedDevice", "WatchedRegion"]


@final
class WatchedRegion(DmaRegion):
    """DMA memory. The driver's access and what is told of it are one step.

    Attributes:
        inner: The memory itself.
        freed: It was given back.
    """

    def __init__(self, inner: DmaRegion, observer: Observer) -> None:
        self.inner = inner
        self.purpose = inner.purpose
        self.size = inner.size
        self.freed = False
        self._observer = observer

    @property
    def octets(self) -> Self:  # type: ignore[override]
        """Its bytes, each access of which is told."""
        return self

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> bytes: ...

    def __getitem__(self, place: int | slice) -> int | bytes:
        if isinstance(place, slice):
            return self.load_bulk(place.start, place.stop - place.start)
        return self.load(place, 1)

    def __setitem__(self, place: int | slice, value: int | Data) -> None:
        if isinstance(value, int):
            assert isinstance(place, int)
            self.store(place, 1, value)
        else:
            assert isinstance(place, slice)
            self.store_bulk(place.start, value)

    def bus_address(self, offset: int = 0) -> int:
        """The address by which the card knows the byte at `offset`."""
        return self.inner.bus_address(offset)

    def load(self, offset: int, width: int) -> int:
        """The number of `width` bytes at `offset`."""
        with self._observer.mutex:
            value = self.inner.load(offset, width)
            data = value.to_bytes(width, "little")
            self._observer.tell(self._observer.loaded, self, offset, data)
            return value

    def store(self, offset: int, width: int, value: int) -> None:
        """Store a number of `width` bytes at `offset`."""
        with self._observer.mutex:
            data = value.to_bytes(width, "little")
            self._observer.tell(self._observer.stores, self, offset, data)
            self.inner.store(offset, width, value)

    def load_bulk(self, offset: int, size: int) -> bytes:
        """A copy of `size` bytes from `offset` on."""
        with self._observer.mutex:
            data = self.inner.load_bulk(offset, size)
            self._observer.tell(self._observer.loaded, self, offset, data)
            return data

    def store_bulk(self, offset: int, data: Data) -> None:
        """Store all of `data` from `offset` on."""
        with self._observer.mutex:
            self._observer.tell(self._observer.stores, self, offset, data)
            self.inner.store_bulk(offset, data)

    def view(self, offset: int, size: int) -> memoryview:
        """`size` bytes from `offset` on as they are, not copied; read-only."""
        with self._observer.mutex:
            view = self.inner.view(offset, size)
            self._observer.tell(self._observer.loaded, self, offset, view)
            return view


@final
class WatchedDevice(Device):
    """The card."""

    def __init__(self, inner: Device, observer: Observer) -> None:
        self._inner = inner
        self._observer = observer

    # Memory

    def allocate(self, size: int, purpose: Purpose) -> DmaRegion:
        """A new region of at least `size` bytes."""
        observer = self._observer
        try:
            region = WatchedRegion(self._inner.allocate(size, purpose), observer)
        except OSError as error:
            observer.verdict.give_up(f"there was no memory for the {purpose.value}: {error}")
            raise
        with observer.mutex:
            observer.tell(observer.allocated, region)
        return region

    def free(self, region: DmaRegion) -> None:
        """Give a region back."""
        assert isinstance(region, WatchedRegion)
        with self._observer.mutex:
            self._observer.tell(self._observer.frees, region)
            region.freed = True
            self._inner.free(region.inner)

    # Barriers

    def acquire(self) -> None:
        """No later load is satisfied before an earlier load or register read."""
        with self._observer.mutex:
            self._inner.acquire()
            self._observer.tell(self._observer.acquired)

    def release(self) -> None:
        """No later store becomes visible before an earlier store."""
        with self._observer.mutex:
            self._inner.release()
            self._observer.tell(self._observer.released)

    def release_loads(self) -> None:
        """No later store becomes visible before an earlier load or register read is satisfied."""
        with self._observer.mutex:
            self._inner.release_loads()
            self._observer.tell(self._observer.released_loads)

    def before_register_write(self) -> None:
        """No later register write reaches the card before an earlier store is visible to it."""
        with self._observer.mutex:
            self._inner.before_register_write()
            self._observer.tell(self._observer.ordered_register_writes)

    def fence(self) -> None:
        """Return when every earlier store is visible to the card."""
        with self._observer.mutex:
            self._inner.fence()
            self._observer.tell(self._observer.fenced)

    # Registers

    def read(self, register: Register) -> int:
        """Read a register."""
        with self._observer.mutex:
            self._observer.tell(self._observer.reads, register)
            value = self._inner.read(register)
            self._observer.tell(self._observer.has_read, register, value)
            return value

    def write(self, register: Register, value: int) -> None:
        """Write a register."""
        with self._observer.mutex:
            self._observer.tell(self._observer.writes, register, value)
            self._inner.write(register, value)

    # Bus mastering

    def enable_bus_master(self) -> None:
        """Let the card access memory and raise vectors."""
        with self._observer.mutex:
            self._observer.tell(self._observer.enables_bus_master)
            self._inner.enable_bus_master()

    # Interrupts

    def wait_for_interrupt(self, vector: int) -> bool:
        """Wait until the card raises `vector`; False when the device was closed instead."""
        self._observer.callers.serves(vector)
        try:
            return self._inner.wait_for_interrupt(vector)
        except Exception as error:
            self._observer.verdict.give_up(f"interrupts cannot be waited for: {error!r}")
            raise

    def close(self) -> None:
        """Let go of the card."""
        with self._observer.mutex:
            self._observer.lets_go()
        self._inner.close()
