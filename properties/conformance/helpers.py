"""What checks are written with: constants, packets, calls in the background, errors to come."""

from __future__ import annotations

import contextlib
import random
import select
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from impl.driver import DuctDriver, PacketView
from impl.errors import DuctError
from impl.memory import Data
from impl.packet import Packet
from model.layout import ECHO, LIMITS, USER_HEADER, UserHeader, pack

__all__ = [
    "EXACT",
    "FLIGHT",
    "GROUP",
    "MOMENT",
    "NOBODY",
    "PATIENCE",
    "SLOTS",
    "SOON",
    "Background",
    "address_of",
    "device_message",
    "echo",
    "gives_views",
    "polls",
    "raising",
    "receive",
    "refused",
    "some_bytes",
    "together",
    "view_of",
]

PATIENCE: Final = 60.0
"""Seconds after which a check hangs. No check that holds needs a tenth of it."""
SOON: Final = PATIENCE / 2
"""Seconds within which an awaited packet comes."""
MOMENT: Final = 0.05
"""Seconds that something which must not happen is given to happen."""

SLOTS: Final = 1 << LIMITS.default_shift
FLIGHT: Final = SLOTS // 4
"""Packets that a check lets be under way at a time: few enough that the card drops none."""
NOBODY: Final = 0x0BAD_F00D
"""An address at which nobody listens."""
GROUP: Final = 0x8000_4711
"""A multicast address."""
EXACT: Final = 0xFFFF_FFFF
"""The mask of a filter for one address."""

Value = TypeVar("Value")


class Background(Generic[Value]):
    """A call in a thread of its own."""

    def __init__(self, body: Callable[[], Value]) -> None:
        self._body = body
        self._value: Value | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._value = self._body()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def still_runs(self) -> bool:
        """Whether it goes on for a moment longer."""
        return not self._ended.wait(MOMENT)

    def result(self) -> Value | None:
        """Wait for its end; returns or raises what it did."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def error(self) -> BaseException | None:
        """Wait for its end; returns what it raised."""
        self._ended.wait()
        return self._error


def together(*bodies: Callable[[], object]) -> None:
    """Run all of them at once, and raise what one of them raises."""
    for call in [Background(body) for body in bodies]:
        call.result()


@contextlib.contextmanager
def raising(kind: type[Exception]) -> Iterator[list[Exception]]:
    """The block must raise such an error, which is in the list afterwards."""
    raised: list[Exception] = []
    try:
        yield raised
    except kind as error:
        raised.append(error)
    assert raised, f"{kind.__name__} was expected, and nothing was raised"


@contextlib.contextmanager
def refused(kind: type[DuctError], message: str | None = None) -> Iterator[None]:
    """The block must raise exactly this error, with these words."""
    with raising(DuctError) as raised:
        yield
    (error,) = raised
    assert type(error) is kind, f"{kind.__name__} was expected, not {error!r}"
    assert error.errno == kind.code
    if message is not None and not _came_by_errno(error):
        assert error.strerror == message, error.strerror


def _came_by_errno(error: Exception) -> bool:
    """A device file passes on which error it was, and not its words."""
    return isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, DuctError)


def receive(duct: DuctDriver) -> Packet:
    """The next packet, which comes soon."""
    return duct.receive(timeout=SOON)


def echo(duct: DuctDriver, payload: Data | Sequence[Data]) -> Packet:
    """Send something to the echo service and take what comes next."""
    duct.send(ECHO.address, payload, timeout=SOON)
    return receive(duct)


def some_bytes(size: int, seed: int = 0) -> bytes:
    """`size` bytes that look like no others."""
    return random.Random(size * 1000 + seed).randbytes(size)


def address_of(duct: DuctDriver) -> int:
    """The card's own address."""
    return duct.info.hwaddr


def polls(duct: DuctDriver, event: int, seconds: float = 0) -> bool:
    """Whether the driver's descriptor polls so within some seconds; select and epoll agree."""
    descriptor = duct.fileno()
    poll = select.poll()
    poll.register(descriptor, event)
    answer = any(found & event for _, found in poll.poll(seconds * 1000))
    readable, writable, _ = select.select(
        [descriptor] if event == select.POLLIN else [],
        [descriptor] if event == select.POLLOUT else [],
        [],
        0,
    )
    assert bool(readable or writable) == answer
    with select.epoll() as epoll:
        epoll.register(descriptor, select.EPOLLIN if event == select.POLLIN else select.EPOLLOUT)
        assert bool(epoll.poll(0)) == answer
    return answer


def gives_views(duct: DuctDriver) -> bool:
    """Whether it is no device file, which copies what it gives."""
    return isinstance(duct, DuctDriver)


def view_of(duct: DuctDriver, payload: bytes) -> PacketView:
    """Send something to the echo service and look at what comes next."""
    duct.send(ECHO.address, payload)
    return duct.receive_view(timeout=SOON)


def device_message(destination: int, payload: bytes, length: int | None = None) -> bytes:
    """What a program writes to the character device to send a packet, or with a wrong length."""
    size = len(payload) if length is None else length
    header = pack(UserHeader(0xDEAD_BEEF, destination, size))
    nothing = USER_HEADER["reserved0"]
    return header[: nothing.offset] + b"\xff" * nothing.size + payload
