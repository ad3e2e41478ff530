"""What every backend must offer: one list of checks for a card in software, in a guest, in metal.

Each check is a function that takes a `Backend` and says something about the driver over it, as a
program would see it through `impl.driver`. Nothing here needs a test framework: a guest that has
little but Python runs the list with

    python -m properties.conformance ADDRESS [OTHER]

where ADDRESS is the card and OTHER, if given, a second card on the same net. Exit status: 0 all
checks that could be made hold, 1 some do not, 2 wrong usage.

A check that hangs is a failure with a name: each one runs in a thread of its own, and is given up
after `PATIENCE` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import linecache
import os
import random
import select
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from functools import partial
from typing import Final, Generic, TypeVar

import attrs

from impl.attach import ATTACHMENTS, Attachments
from impl.driver import DuctDriver, PacketView
from impl.errors import (
    CardFailedError,
    ClosedError,
    DuctError,
    FilterTableFullError,
    InvalidArgumentError,
    NoSuchFilterError,
    PacketTooLongError,
    UnknownAddressError,
    WaitTimeoutError,
    WouldBlockError,
)
from impl.memory import Data, Device
from impl.packet import Packet
from impl.watch import Watch
from model.layout import ECHO, LIMITS, QUOTE

__all__ = [
    "CHECKS",
    "Backend",
    "Check",
    "Clogged",
    "HangError",
    "at_address",
    "emulated",
    "fill",
    "main",
    "run_guarded",
]

if not __debug__:
    raise RuntimeError("the checks are made of assert statements, which python -O leaves out")

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

Value = TypeVar("Value")


# Backends


@attrs.frozen
class Clogged:
    """A card that stands still, and whose transmit ring is full of empty packets to `NOBODY`.

    Attributes:
        duct: The driver.
        unclog: Lets the card go on.
    """

    duct: DuctDriver
    unclog: Callable[[], None]


@attrs.frozen
class Backend:
    """A way to a card, for as long as one check lasts.

    Attributes:
        name: What it is called.
        make: Opens the card, whose net has the echo and quote services. While the card is open
            already it is one more open of the same card.
        make_clogged: Opens the card and clogs it.
        make_pair: Opens two cards on one net.
        fail: Makes the open card report a fatal error.
    """

    name: str
    make: Callable[[], DuctDriver]
    make_clogged: Callable[[], Clogged] | None = None
    make_pair: Callable[[], tuple[DuctDriver, DuctDriver]] | None = None
    fail: Callable[[], None] | None = None


BackendMaker = Callable[[], AbstractContextManager[Backend]]


def fill(duct: DuctDriver) -> None:
    """Fill the transmit ring of a card that stands still."""
    with contextlib.suppress(WouldBlockError):
        while True:
            duct.send(NOBODY, b"", blocking=False)


class Opener:
    """Opens cards, with a monitor or without.

    Args:
        monitor: Let the specification judge every access.
        attachments: Who keeps count of the cards in use.
    """

    def __init__(self, monitor: bool, attachments: Attachments = ATTACHMENTS) -> None:
        self._monitor = monitor
        self._attachments = attachments
        self._watches: list[Watch] = []

    def open(self, address: str) -> DuctDriver:
        """The card at an address."""
        duct = DuctDriver.open(address, monitor=self._monitor, attachments=self._attachments)
        if duct.watch is not None:
            self._watches.append(duct.watch)
        return duct

    def check(self) -> None:
        """Whatever was judged was right, and all of it was judged."""
        for watch in self._watches:
            assert not watch.finding, watch.finding
            assert not watch.gave_up, f"the monitor gave up: {watch.gave_up}"
            assert watch.accesses


@contextlib.contextmanager
def at_address(
    address: str, other: str | None = None, *, monitor: bool = False
) -> Iterator[Backend]:
    """Whatever card is at an address. Nothing can be done to it but by the driver."""
    opener = Opener(monitor)

    def pair() -> tuple[DuctDriver, DuctDriver]:
        assert other is not None
        return opener.open(address), opener.open(other)

    yield Backend(
        address, lambda: opener.open(address), make_pair=pair if other is not None else None
    )
    opener.check()


@contextlib.contextmanager
def emulated(
    change: Callable[[object], None] = lambda _card: None, *, monitor: bool = False
) -> Iterator[Backend]:
    """A new card in software, on a net of its own.

    Args:
        change: Called with each running card before it is opened; may change how it behaves.
        monitor: Let the specification judge every access.
    """
    from emulator.backend import Laboratory

    laboratory = Laboratory()
    opener = Opener(monitor, Attachments(lambda: {"emulated": laboratory.open}))
    card = laboratory.card()
    change(card)
    change(laboratory.card("other"))

    def make(name: str = "") -> DuctDriver:
        return opener.open(f"emulated:{name}")

    def stand_still(yes: bool) -> None:
        with card.held() as still:
            still.bus_master = not yes

    def make_clogged() -> Clogged:
        duct = make()
        stand_still(True)
        fill(duct)
        return Clogged(duct, lambda: stand_still(False))

    try:
        yield Backend("emulated", make, make_clogged, lambda: (make(), make("other")), card.fail)
        opener.check()
    finally:
        laboratory.power_off()


# Checks


@attrs.frozen
class Check:
    """One statement about the driver.

    Attributes:
        name: The statement.
        body: Raises if it does not hold.
        needs: The ability that a backend may lack, as an attribute of `Backend`; or "".
    """

    name: str
    body: Callable[[Backend], None]
    needs: str = ""

    def possible(self, backend: Backend) -> bool:
        """Whether the backend is able to do what the check needs."""
        return not self.needs or getattr(backend, self.needs) is not None


CHECKS: Final[list[Check]] = []
"""All checks, in the order in which they stand here."""


def check(body: Callable[[Backend], None]) -> Callable[[Backend], None]:
    """Add a check that every backend can make."""
    CHECKS.append(Check(body.__name__, body))
    return body


def clogged_check(body: Callable[[Clogged], None]) -> Callable[[Clogged], None]:
    """Add a check of a driver whose transmit ring is full."""

    def with_clogged(backend: Backend) -> None:
        assert backend.make_clogged is not None
        clogged = backend.make_clogged()
        with clogged.duct:
            try:
                body(clogged)
            finally:
                clogged.unclog()

    CHECKS.append(Check(body.__name__, with_clogged, "make_clogged"))
    return body


PairCheck = Callable[[DuctDriver, DuctDriver], None]


def pair_check(body: PairCheck) -> PairCheck:
    """Add a check of two cards on one net."""

    def with_pair(backend: Backend) -> None:
        assert backend.make_pair is not None
        one, other = backend.make_pair()
        with one, other:
            body(one, other)

    CHECKS.append(Check(body.__name__, with_pair, "make_pair"))
    return body


FailureCheck = Callable[[Backend, Callable[[], None]], None]


def failure_check(body: FailureCheck) -> FailureCheck:
    """Add a check of a card that fails when it is told to."""

    def with_failure(backend: Backend) -> None:
        assert backend.fail is not None
        body(backend, backend.fail)

    CHECKS.append(Check(body.__name__, with_failure, "fail"))
    return body


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
    if message is not None:
        assert error.strerror == message, error.strerror


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


# What the card is


@check
def info_tells_version_and_hardware_address(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.info.major >= 0
        assert duct.info.minor >= 0
        assert 0 < address_of(duct) <= 0xFFFF_FFFF
        with backend.make() as again:
            assert again.info == duct.info


@check
def an_unknown_scheme_is_refused_and_the_known_ones_are_named(backend: Backend) -> None:
    del backend
    known = Attachments(lambda: {"alpha": _unreachable, "beta": _unreachable})
    for address in ("gamma:0", "alpha", "", "/dev/duct0"):
        message = f"{address!r} names no card: an address begins with one of alpha:, beta:"
        with refused(UnknownAddressError, message):
            DuctDriver.open(address, attachments=known)


def _unreachable(rest: str) -> Device:
    raise AssertionError(f"nobody asked for {rest}")


# Packets come and go


@check
def an_echo_comes_back_from_the_echo_service(backend: Backend) -> None:
    with backend.make() as duct:
        assert echo(duct, b"hello") == Packet(ECHO.address, address_of(duct), b"hello")


@check
def a_quote_answers_an_empty_packet(backend: Backend) -> None:
    with backend.make() as duct:
        duct.send(QUOTE.address, b"")
        packet = receive(duct)
        assert (packet.source, packet.destination) == (QUOTE.address, address_of(duct))
        assert packet.payload.decode()


@check
def a_packet_to_the_card_itself_comes_back(backend: Backend) -> None:
    with backend.make() as duct:
        own = address_of(duct)
        duct.send(own, b"to myself")
        assert receive(duct) == Packet(own, own, b"to myself")


@check
def packets_of_every_size_come_back_unchanged(backend: Backend) -> None:
    page = LIMITS.page_size
    sizes = {0, 1, 2, 3, LIMITS.max_packet}
    sizes |= {pages * page + off for pages in range(1, LIMITS.buffers) for off in (-1, 0, 1)}
    sizes |= {LIMITS.max_packet - 1}
    with backend.make() as duct:
        for size in sorted(sizes):
            payload = some_bytes(size)
            assert echo(duct, payload).payload == payload, f"{size} bytes"


@check
def nothing_of_an_earlier_packet_shows_in_a_shorter_one(backend: Backend) -> None:
    with backend.make() as duct:
        for round_ in range(SLOTS + 1):
            payload = some_bytes(LIMITS.max_packet if round_ % 2 else round_, round_)
            assert echo(duct, payload).payload == payload


@check
def a_packet_that_is_too_long_is_refused_and_nothing_of_it_is_sent(backend: Backend) -> None:
    with backend.make() as duct:
        for size in (LIMITS.max_packet + 1, 2 * LIMITS.max_packet):
            with refused(
                PacketTooLongError, f"a packet carries at most 16384 bytes, and {size} were given"
            ):
                duct.send(ECHO.address, bytes(size))
            with refused(PacketTooLongError):
                duct.send(ECHO.address, [bytes(1)] * size)
        assert echo(duct, b"only this").payload == b"only this"


@check
def an_address_that_does_not_fit_32_bits_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for address, text in ((1 << 32, "0x100000000"), (-1, "-0x1")):
            with refused(
                InvalidArgumentError,
                f"a destination is a number from 0 to 0xffffffff, not {text}",
            ):
                duct.send(address, b"")


@check
def many_buffers_arrive_as_one_packet(backend: Backend) -> None:
    chance = random.Random(4)
    whole = some_bytes(LIMITS.max_packet)
    with backend.make() as duct:
        for size in (0, 1, 4095, 4097, 9000, LIMITS.max_packet):
            for count in (0, 1, 2, 3, 40):
                cuts = sorted(chance.randint(0, size) for _ in range(count))
                ends = zip([0, *cuts], [*cuts, size], strict=True)
                parts = [whole[start:end] for start, end in ends]
                assert echo(duct, parts).payload == whole[:size]


@check
def buffers_may_be_empty_of_any_kind_and_none_at_all(backend: Backend) -> None:
    with backend.make() as duct:
        words = memoryview(bytearray(some_bytes(12))).cast("I")
        parts: list[Data] = [
            b"",
            b"bytes",
            bytearray(b""),
            bytearray(b" array "),
            words,
            memoryview(b""),
        ]
        assert echo(duct, parts).payload == b"bytes array " + words.tobytes()
        assert echo(duct, []).payload == b""
        assert echo(duct, (b"", b"")).payload == b""
        assert echo(duct, words).payload == words.tobytes()
        assert echo(duct, memoryview(b"0123456789")[2:5]).payload == b"234"


@check
def a_payload_may_be_changed_after_it_was_sent(backend: Backend) -> None:
    with backend.make() as duct:
        payload = bytearray(b"before")
        duct.send(ECHO.address, payload, blocking=False)
        payload[:] = b"after!"
        assert receive(duct).payload == b"before"


@check
def packets_of_one_sender_arrive_in_order(backend: Backend) -> None:
    with backend.make() as duct:
        for start in range(0, 5 * SLOTS, FLIGHT):
            numbers = range(start, start + FLIGHT)
            for number in numbers:
                duct.send(ECHO.address, struct.pack("<I", number), blocking=number % 3 == 0)
            got = [struct.unpack("<I", receive(duct).payload)[0] for _ in numbers]
            assert got == list(numbers)


@check
def nothing_waits_where_nothing_was_sent(backend: Backend) -> None:
    with backend.make() as duct:
        for _ in range(3):
            with refused(WouldBlockError, "no packet waits"):
                duct.receive(blocking=False)
            with refused(WouldBlockError, "no packet waits"):
                duct.receive(timeout=0)
            with refused(WouldBlockError, "no packet waits"):
                duct.receive_view(blocking=False)
            with refused(WouldBlockError, "no packet waits"):
                duct.receive_batch(5, blocking=False)
            with refused(WouldBlockError, "no packet waits"):
                duct.read(blocking=False)
            duct.send(NOBODY, b"")


@check
def waiting_for_a_packet_ends_when_its_time_is_over(backend: Backend) -> None:
    with backend.make() as duct:
        for wait in (duct.receive, duct.receive_view, duct.read):
            began = time.monotonic()
            with refused(WaitTimeoutError, "waited 0.05 s for a packet"):
                wait(timeout=0.05)
            assert time.monotonic() - began >= 0.05
        assert echo(duct, b"and goes on").payload == b"and goes on"


@check
def a_time_that_is_no_time_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for time_, text in ((-1, "-1"), (-0.5, "-0.5"), (float("nan"), "nan")):
            with refused(InvalidArgumentError, f"a timeout is 0 seconds or more, not {text}"):
                duct.receive(timeout=time_)
            with refused(InvalidArgumentError, f"a timeout is 0 seconds or more, not {text}"):
                duct.send(NOBODY, b"", timeout=time_)
        assert echo(duct, b"").payload == b""


@check
def a_very_long_timeout_is_as_good_as_none(backend: Backend) -> None:
    with backend.make() as duct:
        for timeout in (1e9, 1e300, float("inf")):
            waiting = Background(partial(duct.receive, timeout=timeout))
            assert waiting.still_runs()
            duct.send(ECHO.address, b"x", timeout=timeout)
            assert waiting.result() is not None


# A full transmit ring


@clogged_check
def a_full_ring_blocks(clogged: Clogged) -> None:
    duct = clogged.duct
    message = f"all {SLOTS} transmit slots are in use or spoken for"
    with refused(WouldBlockError, message):
        duct.send(ECHO.address, b"", blocking=False)
    with refused(WouldBlockError, message):
        duct.send(ECHO.address, b"", timeout=0)
    with refused(WouldBlockError, message):
        duct.write(struct.pack("<4I", 0, ECHO.address, 0, 0), blocking=False)
    with refused(
        WaitTimeoutError, "waited 0.05 s for a transmit slot, or the completion of a packet"
    ):
        duct.send(ECHO.address, b"", timeout=0.05)
    clogged.unclog()
    assert echo(duct, b"nothing of these was sent").payload == b"nothing of these was sent"


@clogged_check
def a_blocking_send_waits_for_a_slot(clogged: Clogged) -> None:
    sending = Background(lambda: clogged.duct.send(ECHO.address, b"late"))
    assert sending.still_runs()
    clogged.unclog()
    sending.result()
    assert receive(clogged.duct).payload == b"late"


@clogged_check
def many_senders_wait_for_slots_and_all_packets_are_sent(clogged: Clogged) -> None:
    duct = clogged.duct
    payloads = {bytes([number]) for number in range(FLIGHT)}
    sending = [Background(partial(duct.send, ECHO.address, payload)) for payload in payloads]
    assert all(call.still_runs() for call in sending)
    clogged.unclog()
    for call in sending:
        call.result()
    assert {receive(duct).payload for _ in payloads} == payloads


@clogged_check
def a_full_ring_is_not_writable_until_a_slot_is_free(clogged: Clogged) -> None:
    duct = clogged.duct
    assert not polls(duct, select.POLLOUT)
    clogged.unclog()
    assert polls(duct, select.POLLOUT, SOON)
    duct.send(ECHO.address, b"free", blocking=False)
    assert receive(duct).payload == b"free"


@clogged_check
def a_task_waits_for_a_slot_without_blocking_the_others(clogged: Clogged) -> None:
    duct = clogged.duct

    async def everything() -> None:
        sends = [asyncio.create_task(duct.send_async(ECHO.address, bytes([n]))) for n in range(5)]
        await asyncio.sleep(MOMENT)
        assert not any(task.done() for task in sends)
        clogged.unclog()
        await asyncio.gather(*sends)

    asyncio.run(everything())
    assert {receive(duct).payload for _ in range(5)} == {bytes([n]) for n in range(5)}


@clogged_check
def close_ends_the_calls_that_wait_for_a_slot(clogged: Clogged) -> None:
    duct = clogged.duct
    sending = [Background(lambda: duct.send(ECHO.address, b"")) for _ in range(3)]
    sending.append(Background(lambda: duct.add_multicast(EXACT, GROUP)))
    assert all(call.still_runs() for call in sending)
    closing = Background(duct.close)
    for call in sending:
        assert isinstance(call.error(), ClosedError | CardFailedError)
    clogged.unclog()
    closing.result()


# Packets where the card wrote them


@check
def a_view_shows_the_packet_and_cannot_be_written(backend: Backend) -> None:
    with backend.make() as duct:
        for size in (0, 1, 4096, 4097, LIMITS.max_packet):
            payload = some_bytes(size)
            duct.send(ECHO.address, payload)
            with duct.receive_view(timeout=SOON) as view:
                assert (view.source, view.destination) == (ECHO.address, address_of(duct))
                assert view.payload == payload
                assert view.payload.readonly


@check
def a_view_cannot_be_used_after_its_release(backend: Backend) -> None:
    with backend.make() as duct:
        view = _view_of(duct, b"on loan")
        view.release()
        view.release()
        with raising(ValueError):
            bytes(view.payload)


@check
def a_view_is_not_released_while_something_refers_to_its_payload(backend: Backend) -> None:
    with backend.make() as duct:
        for refer in (lambda view: view[3:], memoryview, lambda view: view.cast("H")):
            view = _view_of(duct, b"on loan!")
            reference = refer(view.payload)
            with raising(BufferError) as raised:
                view.release()
            words = "the payload is in use: release slices of it and arrays over it first"
            assert str(raised[0]) == words
            assert bytes(view.payload) == b"on loan!"
            reference.release()
            view.release()
        assert echo(duct, b"the slots are back").payload == b"the slots are back"


@check
def slots_come_back_however_packets_are_taken(backend: Backend) -> None:
    with backend.make() as duct:
        for number in range(3 * SLOTS):
            payload = struct.pack("<I", number)
            duct.send(ECHO.address, payload)
            if number % 3 == 0:
                assert receive(duct).payload == payload
            elif number % 3 == 1:
                with duct.receive_view(timeout=SOON) as view:
                    assert view.payload == payload
            else:
                assert [packet.payload for packet in duct.receive_batch(4, timeout=SOON)] == [
                    payload
                ]


@check
def views_may_be_released_in_any_order(backend: Backend) -> None:
    chance = random.Random(7)
    with backend.make() as duct:
        for start in range(0, 5 * SLOTS, FLIGHT):
            payloads = [some_bytes(64, start + number) for number in range(FLIGHT)]
            views = [(payload, _view_of(duct, payload)) for payload in payloads]
            chance.shuffle(views)
            for payload, view in views:
                assert view.payload == payload
                view.release()


@check
def a_card_whose_slots_are_all_on_loan_goes_on_when_one_is_released(backend: Backend) -> None:
    with backend.make() as duct:
        views = [_view_of(duct, bytes([number])) for number in range(SLOTS)]
        duct.send(address_of(duct), b"finds no slot")
        with refused(WouldBlockError, "no packet waits"):
            duct.receive(blocking=False)
        for number, view in enumerate(views):
            assert view.payload == bytes([number])
            view.release()
        duct.send(ECHO.address, b"finds one")
        while receive(duct).payload != b"finds one":
            pass  # the other one may have waited on the net meanwhile


@check
def close_takes_views_back(backend: Backend) -> None:
    with backend.make() as other:
        duct = backend.make()
        views = [_view_of(duct, bytes(4096)) for _ in range(FLIGHT)]
        piece = views[0].payload[1:3]
        duct.close()
        for view in views[1:]:
            with raising(ValueError):
                bytes(view.payload)
        assert len(bytes(piece)) == 2
        for view in views[1:]:
            view.release()
        for _ in range(2 * SLOTS):
            assert echo(other, b"slots are back").payload == b"slots are back"


def _view_of(duct: DuctDriver, payload: bytes) -> PacketView:
    duct.send(ECHO.address, payload)
    return duct.receive_view(timeout=SOON)


# Batches of received packets


@check
def a_batch_has_what_waits_and_no_more_than_was_asked_for(backend: Backend) -> None:
    with backend.make() as duct:
        for most in (1, 3, FLIGHT, 1000):
            for number in range(FLIGHT):
                duct.send(ECHO.address, bytes([number]))
            got: list[int] = []
            while len(got) < FLIGHT:
                batch = duct.receive_batch(most, timeout=SOON)
                assert 1 <= len(batch) <= most
                got += [packet.payload[0] for packet in batch]
            assert got == list(range(FLIGHT))


@check
def a_batch_of_no_packets_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for most in (0, -1):
            with refused(InvalidArgumentError, f"a batch has 1 packet or more, not {most}"):
                duct.receive_batch(most)


# Multicast


@check
def multicast_packets_come_between_add_and_remove(backend: Backend) -> None:
    with backend.make() as duct:
        own = address_of(duct)

        def heard() -> bool:
            """Whether a packet to the group arrives before a later one to the card itself."""
            duct.send(GROUP, b"group")
            duct.send(own, b"end")
            first = receive(duct)
            if first.payload == b"end":
                return False
            assert first == Packet(own, GROUP, b"group")
            assert receive(duct).payload == b"end"
            return True

        assert not heard()
        duct.add_multicast(EXACT, GROUP)
        assert heard()
        duct.remove_multicast(EXACT, GROUP)
        assert not heard()
        duct.add_multicast(0x8000_0000, 0x8000_0000)
        assert heard()


@check
def a_filter_that_was_added_twice_is_there_until_removed_twice(backend: Backend) -> None:
    with backend.make() as duct:
        own = address_of(duct)
        duct.add_multicast(EXACT, GROUP)
        duct.add_multicast(EXACT, GROUP)
        duct.remove_multicast(EXACT, GROUP)
        duct.send(GROUP, b"once")
        duct.send(own, b"end")
        assert [receive(duct).payload, receive(duct).payload] == [b"once", b"end"]
        duct.remove_multicast(EXACT, GROUP)
        with refused(NoSuchFilterError):
            duct.remove_multicast(EXACT, GROUP)


@check
def a_filter_that_was_not_added_cannot_be_removed(backend: Backend) -> None:
    with backend.make() as duct:
        duct.add_multicast(0xFFFF_0000, GROUP)
        message = "RMFILT, mask 0xffffffff, address 0x80004711: the card has no such filter"
        with refused(NoSuchFilterError, message):
            duct.remove_multicast(EXACT, GROUP)
        with refused(NoSuchFilterError):
            duct.remove_multicast(0xFFFF_0000, GROUP + 1)
        duct.remove_multicast(0xFFFF_0000, GROUP)


@check
def the_filter_table_has_room_for_sixteen_with_the_cards_own(backend: Backend) -> None:
    with backend.make() as duct:
        for number in range(LIMITS.filters - 1):
            duct.add_multicast(EXACT, GROUP + number)
        message = "ADDFILT, mask 0xffffffff, address 0x80005000: the card's filter table is full"
        for _ in range(2):
            with refused(FilterTableFullError, message):
                duct.add_multicast(EXACT, 0x8000_5000)
        duct.remove_multicast(EXACT, GROUP + 3)
        duct.add_multicast(EXACT, 0x8000_5000)
        duct.send(0x8000_5000, b"heard")
        assert receive(duct).payload == b"heard"


@check
def a_filter_without_bit_31_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for mask, address in ((0x7FFF_FFFF, GROUP), (EXACT, 0x4711), (0, 0), (1, 1)):
            message = (
                "a multicast filter has bit 31 set in mask and address, "
                f"and mask {mask:#010x}, address {address:#010x} were given"
            )
            with refused(InvalidArgumentError, message):
                duct.add_multicast(mask, address)
            with refused(InvalidArgumentError, message):
                duct.remove_multicast(mask, address)
        with refused(InvalidArgumentError):
            duct.add_multicast(1 << 32 | EXACT, GROUP)


@check
def the_last_close_forgets_filters(backend: Backend) -> None:
    with backend.make() as duct:
        for number in range(LIMITS.filters - 1):
            duct.add_multicast(EXACT, GROUP + number)
    with backend.make() as duct:
        for number in range(LIMITS.filters - 1):
            duct.add_multicast(EXACT, GROUP + number)


@check
def filters_change_while_packets_flow(backend: Backend) -> None:
    with backend.make() as duct:

        def change(address: int) -> None:
            for _ in range(25):
                duct.add_multicast(EXACT, address)
                duct.remove_multicast(EXACT, address)

        def talk() -> None:
            for number in range(100):
                assert echo(duct, bytes([number])).payload == bytes([number])

        together(*(partial(change, GROUP + n) for n in range(3)), talk)
        for number in range(LIMITS.filters - 1):
            duct.add_multicast(EXACT, GROUP + number)


# Messages of the character device


def _message(destination: int, payload: bytes, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack("<4I", 0xDEAD_BEEF, destination, size, 0xFFFF_FFFF) + payload


@check
def a_message_that_is_written_comes_back_as_one_that_is_read(backend: Backend) -> None:
    with backend.make() as duct:
        for size in (0, 1, 4097, LIMITS.max_packet):
            payload = some_bytes(size)
            message = _message(ECHO.address, payload)
            assert duct.write(message) == len(message)
            header = struct.pack("<4I", ECHO.address, address_of(duct), size, 0)
            assert duct.read(timeout=SOON) == header + payload


@check
def reading_cuts_a_message_and_loses_its_rest(backend: Backend) -> None:
    with backend.make() as duct:
        whole = struct.pack("<4I", ECHO.address, address_of(duct), 5, 0) + b"hello"
        for size in (0, 1, 16, 17, 20, 21, 100):
            duct.write(_message(ECHO.address, b"hello"))
            assert duct.read(size, timeout=SOON) == whole[:size]
        with refused(WouldBlockError, "no packet waits"):
            duct.read(blocking=False)


@check
def a_message_without_a_right_header_is_refused(backend: Backend) -> None:
    with backend.make() as duct:
        for size in (0, 1, 15):
            message = f"a message begins with a header of 16 bytes, and it has {size} bytes"
            with refused(InvalidArgumentError, message):
                duct.write(bytes(size))
        for length, size in ((0, 1), (1, 0), (6, 5), (0xFFFF_FFFF, 5)):
            message = f"the header announces {length} bytes of payload, and {size} follow"
            with refused(InvalidArgumentError, message):
                duct.write(_message(ECHO.address, bytes(size), length))
        too_long = LIMITS.max_packet + 1
        with refused(
            PacketTooLongError, f"a packet carries at most 16384 bytes, and {too_long} were given"
        ):
            duct.write(_message(ECHO.address, bytes(too_long)))
        assert echo(duct, b"only this").payload == b"only this"


# Readiness


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


@check
def the_descriptor_is_readable_exactly_while_a_packet_waits(backend: Backend) -> None:
    with backend.make() as duct:
        assert not polls(duct, select.POLLIN)
        for count in (1, 2, FLIGHT):
            for _ in range(count):
                duct.send(ECHO.address, b"")
            for _ in range(count):
                assert polls(duct, select.POLLIN, SOON)
                receive(duct)
            assert not polls(duct, select.POLLIN)
            # The interrupt of a packet that was sent tells of no packet received.
            duct.send(NOBODY, b"")
            assert not polls(duct, select.POLLIN)


@check
def the_descriptor_is_writable_while_a_slot_is_free(backend: Backend) -> None:
    with backend.make() as duct:
        for _ in range(5):
            assert polls(duct, select.POLLOUT)
            duct.send(NOBODY, b"")


@check
def a_poll_that_waits_ends_when_a_packet_comes(backend: Backend) -> None:
    with backend.make() as duct:
        waiting = Background(lambda: polls(duct, select.POLLIN, SOON))
        assert waiting.still_runs()
        duct.send(ECHO.address, b"")
        assert waiting.result()
        receive(duct)


@check
def each_open_has_one_descriptor_of_its_own(backend: Backend) -> None:
    with backend.make() as duct, backend.make() as other:
        assert duct.fileno() == duct.fileno()
        assert duct.fileno() != other.fileno()
        descriptor = duct.fileno()
        duct.close()
        with refused(ClosedError):
            duct.fileno()
        with raising(OSError) as raised:
            os.fstat(descriptor)
        assert isinstance(raised[0], OSError)
        assert raised[0].errno == errno.EBADF
        other.send(ECHO.address, b"")
        assert polls(other, select.POLLIN, SOON)
        receive(other)


# Tasks


@check
def tasks_send_and_receive(backend: Backend) -> None:
    with backend.make() as duct:

        async def everything() -> None:
            for number in range(50):
                await duct.send_async(ECHO.address, bytes([number]))
                packet = await asyncio.wait_for(duct.receive_async(), SOON)
                assert packet.payload == bytes([number])

        asyncio.run(everything())


@check
def many_tasks_wait_at_once_and_every_packet_is_accounted_for(backend: Backend) -> None:
    count, tasks = 400, 20
    with backend.make() as duct:
        got: list[int] = []

        async def everything() -> None:
            under_way = asyncio.Semaphore(FLIGHT)

            async def send(first: int) -> None:
                for number in range(first, count, tasks):
                    await under_way.acquire()
                    await duct.send_async(ECHO.address, struct.pack("<I", number))

            async def take() -> None:
                for _ in range(count // tasks):
                    packet = await duct.receive_async()
                    got.extend(struct.unpack("<I", packet.payload))
                    under_way.release()

            senders = [send(first) for first in range(tasks)]
            await asyncio.wait_for(asyncio.gather(*senders, *(take() for _ in senders)), SOON)

        asyncio.run(everything())
        assert sorted(got) == list(range(count))


@check
def a_task_that_is_cancelled_leaves_the_others_waiting(backend: Backend) -> None:
    with backend.make() as duct:

        async def everything() -> None:
            waiting = [asyncio.create_task(duct.receive_async()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.wait([waiting[0]])
            assert waiting[0].cancelled()
            for payload in (b"a", b"b"):
                await duct.send_async(ECHO.address, payload)
            got = await asyncio.wait_for(asyncio.gather(*waiting[1:]), SOON)
            assert {packet.payload for packet in got} == {b"a", b"b"}

        asyncio.run(everything())
        asyncio.run(everything())


@check
def several_event_loops_wait_for_one_driver(backend: Backend) -> None:
    count, loops = 30, 3
    with backend.make() as duct:
        under_way = threading.Semaphore(FLIGHT)
        got: list[int] = []

        async def take() -> None:
            for _ in range(count):
                packet = await asyncio.wait_for(duct.receive_async(), SOON)
                got.extend(struct.unpack("<I", packet.payload))
                under_way.release()

        def send() -> None:
            for number in range(count * loops):
                assert under_way.acquire(timeout=SOON)
                duct.send(ECHO.address, struct.pack("<I", number))

        together(send, *(lambda: asyncio.run(take()) for _ in range(loops)))
        assert sorted(got) == list(range(count * loops))


@check
def asynchronous_iteration_yields_packets_until_the_driver_is_closed(backend: Backend) -> None:
    with backend.make() as duct:
        got: list[bytes] = []

        async def everything() -> None:
            async def listen() -> None:
                async for packet in duct:
                    got.append(packet.payload)
                    if len(got) == 3:
                        enough.set()

            enough = asyncio.Event()
            listening = asyncio.create_task(listen())
            for payload in (b"1", b"2", b"3"):
                await duct.send_async(ECHO.address, payload)
            await asyncio.wait_for(enough.wait(), SOON)
            duct.close()
            await asyncio.wait_for(listening, SOON)

        asyncio.run(everything())
        assert got == [b"1", b"2", b"3"]


@check
def close_in_another_thread_ends_what_tasks_wait_for(backend: Backend) -> None:
    with backend.make() as duct:

        async def everything() -> None:
            waiting = [asyncio.create_task(duct.receive_async()) for _ in range(3)]
            await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, duct.close)
            for task in waiting:
                with refused(ClosedError):
                    await asyncio.wait_for(task, SOON)

        asyncio.run(everything())


# Open and close


@check
def several_opens_share_the_card(backend: Backend) -> None:
    with backend.make() as one, backend.make() as two:
        one.send(ECHO.address, b"sent by one")
        assert receive(two).payload == b"sent by one"
        two.add_multicast(EXACT, GROUP)
        one.send(GROUP, b"for both")
        assert receive(one).payload == b"for both"
        for duct in (one, two):
            with refused(WouldBlockError, "no packet waits"):
                duct.receive(blocking=False)


@check
def closing_one_of_several_opens_leaves_the_others_at_work(backend: Backend) -> None:
    with backend.make() as one:
        two = backend.make()
        waiting = [Background(two.receive) for _ in range(2)]
        kept = Background(one.receive)
        assert waiting[0].still_runs()
        two.close()
        for call in waiting:
            assert isinstance(call.error(), ClosedError)
        one.send(ECHO.address, b"still here")
        packet = kept.result()
        assert packet is not None
        assert packet.payload == b"still here"


@check
def the_card_can_be_opened_again_and_again(backend: Backend) -> None:
    for number in range(8):
        with backend.make() as duct, backend.make() as other:
            assert echo(duct, bytes([number])).payload == bytes([number])
            duct.send(NOBODY, b"left behind", blocking=False)
            other.close()


@check
def a_packet_that_nobody_took_is_gone_after_the_last_close(backend: Backend) -> None:
    with backend.make() as duct:
        duct.send(ECHO.address, b"not taken")
        assert polls(duct, select.POLLIN, SOON)
    with backend.make() as duct:
        with refused(WouldBlockError, "no packet waits"):
            duct.receive(blocking=False)
        assert echo(duct, b"taken").payload == b"taken"


@check
def the_last_close_sends_what_is_queued(backend: Backend) -> None:
    with backend.make() as other:
        with backend.make() as duct:
            for number in range(FLIGHT):
                duct.send(ECHO.address, bytes([number]), blocking=False)
        assert [receive(other).payload[0] for _ in range(FLIGHT)] == list(range(FLIGHT))


@check
def close_ends_the_calls_that_wait_for_a_packet(backend: Backend) -> None:
    duct = backend.make()
    waiting: list[Background[object]] = [
        Background(duct.receive),
        Background(lambda: duct.receive(timeout=10 * PATIENCE)),
        Background(duct.receive_view),
        Background(lambda: duct.receive_batch(3)),
        Background(duct.read),
    ]
    iteration = Background(lambda: list(duct))
    assert all(call.still_runs() for call in waiting)
    duct.close()
    for call in waiting:
        assert isinstance(call.error(), ClosedError | CardFailedError)
    assert iteration.result() == []


@check
def close_at_any_moment_of_busy_calls_ends_them(backend: Backend) -> None:
    for round_ in range(10):
        duct = backend.make()

        def talk(duct: DuctDriver = duct) -> None:
            while True:
                duct.send(ECHO.address, b"talk", timeout=PATIENCE)
                duct.receive(timeout=PATIENCE)

        def loan(duct: DuctDriver = duct) -> None:
            while True:
                duct.send(ECHO.address, b"loan", blocking=False)
                with duct.receive_view(timeout=PATIENCE) as view:
                    bytes(view.payload)

        def change(duct: DuctDriver = duct) -> None:
            while True:
                duct.add_multicast(EXACT, GROUP)
                duct.remove_multicast(EXACT, GROUP)

        busy = [Background(body) for body in (talk, loan, change)]
        time.sleep(round_ * 0.002)
        duct.close()
        for call in busy:
            # What is read of a view after the close is a ValueError: it is released.
            assert isinstance(call.error(), ClosedError | CardFailedError | ValueError)


@check
def a_closed_driver_refuses_every_call(backend: Backend) -> None:
    duct = backend.make()
    before = duct.closed
    duct.close()
    duct.close()
    assert (before, duct.closed) == (False, True)
    calls: list[Callable[[], object]] = [
        lambda: duct.send(ECHO.address, b""),
        lambda: duct.send(ECHO.address, b"", blocking=False),
        lambda: duct.write(_message(ECHO.address, b"")),
        duct.receive,
        lambda: duct.receive(blocking=False),
        duct.receive_view,
        lambda: duct.receive_batch(1),
        duct.read,
        duct.fileno,
        lambda: duct.add_multicast(EXACT, GROUP),
        lambda: duct.remove_multicast(EXACT, GROUP),
        lambda: asyncio.run(duct.receive_async()),
        lambda: asyncio.run(duct.send_async(ECHO.address, b"")),
    ]
    for call in calls:
        with refused(ClosedError, "the driver was closed; open the card again"):
            call()
    assert list(duct) == []


@check
def a_with_block_closes_the_driver_however_it_ends(backend: Backend) -> None:
    with backend.make() as duct:
        pass
    assert duct.closed
    try:
        with backend.make() as duct:
            raise LookupError
    except LookupError:
        assert duct.closed


@check
def opens_and_closes_of_many_threads_do_not_get_into_each_others_way(backend: Backend) -> None:
    def use(number: int) -> None:
        for _ in range(8):
            with backend.make() as duct:
                duct.send(NOBODY, bytes([number]))

    together(*(partial(use, n) for n in range(4)))
    with backend.make() as duct:
        assert echo(duct, b"well").payload == b"well"


# Threads


@check
def four_threads_send_and_receive_and_every_packet_is_accounted_for(backend: Backend) -> None:
    senders, each = 4, 150
    got: list[list[tuple[int, int]]] = [[] for _ in range(senders)]
    under_way = threading.Semaphore(FLIGHT)
    tickets = iter(range(senders * each))
    mutex = threading.Lock()
    with backend.make() as duct:

        def send(sender: int) -> None:
            for number in range(each):
                assert under_way.acquire(timeout=SOON)
                payload = struct.pack("<II", sender, number)
                duct.send(ECHO.address, payload, timeout=SOON)

        def take(receiver: int) -> None:
            while True:
                with mutex:
                    if next(tickets, None) is None:
                        return
                if receiver % 2:
                    payload = receive(duct).payload
                else:
                    with duct.receive_view(timeout=SOON) as view:
                        payload = bytes(view.payload)
                got[receiver].append(struct.unpack("<II", payload))
                under_way.release()

        together(
            *(partial(send, n) for n in range(senders)),
            *(partial(take, n) for n in range(senders)),
        )
    everything = sorted(packet for packets in got for packet in packets)
    assert everything == [(sender, number) for sender in range(senders) for number in range(each)]


# Two cards


@pair_check
def two_cards_talk_to_each_other(one: DuctDriver, other: DuctDriver) -> None:
    assert address_of(one) != address_of(other)
    one.send(address_of(other), b"hello")
    assert receive(other) == Packet(address_of(one), address_of(other), b"hello")
    other.send(address_of(one), b"and hello")
    assert receive(one) == Packet(address_of(other), address_of(one), b"and hello")


@pair_check
def a_card_does_not_overhear_another(one: DuctDriver, other: DuctDriver) -> None:
    assert echo(one, b"secret").payload == b"secret"
    one.send(address_of(other), b"public")
    assert receive(other).payload == b"public"


@pair_check
def a_multicast_packet_reaches_every_card_that_asked_for_it(
    one: DuctDriver, other: DuctDriver
) -> None:
    for duct in (one, other):
        duct.add_multicast(EXACT, GROUP)
    one.send(GROUP, b"all")
    for duct in (one, other):
        assert receive(duct) == Packet(address_of(one), GROUP, b"all")


# A card that fails


@failure_check
def a_fatal_error_ends_every_call_and_every_later_one(
    backend: Backend, fail: Callable[[], None]
) -> None:
    message = "the card reported a fatal error; close every open of it and open it again"
    duct = backend.make()
    waiting: list[Background[object]] = [
        Background(duct.receive),
        Background(duct.receive_view),
        Background(lambda: list(duct)),
        Background(lambda: asyncio.run(duct.receive_async())),
    ]
    assert all(call.still_runs() for call in waiting)
    fail()
    for call in waiting:
        with refused(CardFailedError, message):
            call.result()
    for later in (
        lambda: duct.send(ECHO.address, b""),
        lambda: duct.send(ECHO.address, b"", blocking=False),
        duct.receive,
        lambda: duct.receive(blocking=False),
        lambda: duct.add_multicast(EXACT, GROUP),
    ):
        with refused(CardFailedError, message):
            later()
    duct.close()


@failure_check
def a_failed_card_polls_as_readable_and_writable(
    backend: Backend, fail: Callable[[], None]
) -> None:
    with backend.make() as duct:
        waiting = Background(lambda: polls(duct, select.POLLIN, SOON))
        assert waiting.still_runs()
        fail()
        assert waiting.result()
        assert polls(duct, select.POLLIN)
        assert polls(duct, select.POLLOUT)


@failure_check
def a_failure_ends_the_calls_that_wait_for_a_slot(
    backend: Backend, fail: Callable[[], None]
) -> None:
    if backend.make_clogged is None:
        return
    clogged = backend.make_clogged()
    with clogged.duct as duct:

        async def send() -> None:
            await duct.send_async(ECHO.address, b"")

        waiting = [
            Background(lambda: duct.send(ECHO.address, b"")),
            Background(lambda: duct.add_multicast(EXACT, GROUP)),
            Background(lambda: asyncio.run(send())),
        ]
        assert all(call.still_runs() for call in waiting)
        fail()
        clogged.unclog()
        for call in waiting:
            assert isinstance(call.error(), CardFailedError)
        assert polls(duct, select.POLLOUT)


@failure_check
def a_failed_card_opens_again_when_every_open_was_closed(
    backend: Backend, fail: Callable[[], None]
) -> None:
    for _ in range(3):
        one, two = backend.make(), backend.make()
        one.add_multicast(EXACT, GROUP)
        assert echo(one, b"before").payload == b"before"
        waiting = Background(two.receive)
        fail()
        assert isinstance(waiting.error(), CardFailedError)
        with refused(
            CardFailedError, "the card reported a fatal error; close every open of it first"
        ):
            backend.make()
        one.close()
        with refused(CardFailedError):
            backend.make()
        two.close()
        with backend.make() as duct:
            assert echo(duct, b"after").payload == b"after"
            with refused(NoSuchFilterError):
                duct.remove_multicast(EXACT, GROUP)


@failure_check
def a_failure_at_any_moment_of_busy_calls_ends_them(
    backend: Backend, fail: Callable[[], None]
) -> None:
    for round_ in range(8):
        with backend.make() as duct:

            def talk(duct: DuctDriver = duct) -> None:
                while True:
                    duct.send(ECHO.address, bytes(5000))
                    duct.receive()

            def change(duct: DuctDriver = duct) -> None:
                while True:
                    duct.add_multicast(EXACT, GROUP)
                    duct.remove_multicast(EXACT, GROUP)

            busy = [Background(body) for body in (talk, talk, change)]
            time.sleep(round_ * 0.002)
            fail()
            for call in busy:
                assert isinstance(call.error(), CardFailedError)


@failure_check
def a_view_outlives_a_failure(backend: Backend, fail: Callable[[], None]) -> None:
    duct = backend.make()
    view = _view_of(duct, b"read me")
    waiting = Background(duct.receive)
    fail()
    assert isinstance(waiting.error(), CardFailedError)
    assert bytes(view.payload) == b"read me"
    piece = view.payload[5:]
    duct.close()
    assert len(bytes(piece)) == 2
    with backend.make() as again:
        assert echo(again, b"again").payload == b"again"


# Batches to be sent


@check
def a_batch_is_sent_in_order(backend: Backend) -> None:
    with backend.make() as duct:
        for blocking in (True, False):
            for count in (1, 2, FLIGHT):
                payloads = [some_bytes(number * 31, count) for number in range(count)]
                batch = [(ECHO.address, payload) for payload in payloads]
                assert duct.send_batch(iter(batch), blocking=blocking) == count
                assert [receive(duct).payload for _ in payloads] == payloads


@check
def an_empty_batch_sends_nothing(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.send_batch([]) == 0
        assert duct.send_batch([], blocking=False) == 0


@check
def a_batch_may_be_longer_than_the_ring(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.send_batch([(NOBODY, b"x")] * (3 * SLOTS)) == 3 * SLOTS
        assert echo(duct, b"and on").payload == b"and on"


@check
def a_batch_that_may_not_wait_ends_where_the_ring_is_full(backend: Backend) -> None:
    with backend.make() as duct:
        queued = duct.send_batch([(NOBODY, b"x")] * (3 * SLOTS), blocking=False)
        assert SLOTS <= queued <= 3 * SLOTS


@clogged_check
def a_batch_of_which_nothing_can_be_sent_is_an_error(clogged: Clogged) -> None:
    duct = clogged.duct
    with refused(WouldBlockError):
        duct.send_batch([(ECHO.address, b"x")] * 3, blocking=False)
    with refused(WaitTimeoutError):
        duct.send_batch([(ECHO.address, b"x")] * 3, timeout=0.05)
    sending = Background(lambda: duct.send_batch([(ECHO.address, b"y")] * 3))
    assert sending.still_runs()
    clogged.unclog()
    assert sending.result() == 3
    assert [receive(duct).payload for _ in range(3)] == [b"y"] * 3


# What poll tells


@check
def poll_tells_the_length_of_the_next_packet(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.poll().next_length is None
        for size in (0, 1, 4097, LIMITS.max_packet):
            duct.send(ECHO.address, bytes(size))
            assert polls(duct, select.POLLIN, SOON)
            assert duct.poll().next_length == size
            assert duct.poll().next_length == size
            assert len(receive(duct).payload) == size
            assert duct.poll().next_length is None


@check
def poll_tells_how_many_slots_are_free(backend: Backend) -> None:
    with backend.make() as duct:
        assert duct.poll().free_slots == SLOTS
        duct.send(NOBODY, b"")
        assert duct.poll().free_slots == SLOTS


@clogged_check
def poll_tells_that_no_slot_is_free(clogged: Clogged) -> None:
    assert clogged.duct.poll().free_slots == 0
    clogged.unclog()
    clogged.duct.send(NOBODY, b"")
    assert clogged.duct.poll().free_slots == SLOTS


# Running


class HangError(Exception):
    """A check did not end in time. The message says where each thread stands."""


def run_guarded(check: Check, make: BackendMaker, patience: float | None = None) -> bool:
    """Make one check; False if the backend is not able to.

    Args:
        check: What to check.
        make: Where.
        patience: Seconds after which it hangs; None: `PATIENCE`.

    Raises:
        HangError: It did not end.
        BaseException: What the check raised.
    """
    patience = PATIENCE if patience is None else patience

    def body() -> bool:
        with make() as backend:
            if not check.possible(backend):
                return False
            check.body(backend)
            return True

    outcome: list[bool | BaseException] = []

    def run() -> None:
        try:
            outcome.append(body())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name=check.name, daemon=True)
    thread.start()
    thread.join(patience)
    if not outcome:
        raise HangError(f"did not end within {patience:g} s\n{_where_threads_stand()}")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _where_threads_stand() -> str:
    frames = sys._current_frames()
    parts = [
        f"{thread.name}:\n{''.join(traceback.format_stack(frames[thread.ident])[-4:])}"
        for thread in threading.enumerate()
        if thread.ident in frames and thread is not threading.current_thread()
    ]
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all checks and print a line for each; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m properties.conformance",
        description="Check that the driver over a backend is what programs rely on.",
        epilog="exit status: 0 all checks that could be made hold; 1 some do not; 2 wrong usage",
        allow_abbrev=False,
    )
    parser.add_argument("address", metavar="ADDRESS", help='the card, such as "emulated:"')
    parser.add_argument(
        "other", metavar="OTHER", nargs="?", help="a second card on the same net as the first"
    )
    parser.add_argument("--only", metavar="GLOB", default="*", help="checks whose names match")
    parser.add_argument(
        "--monitor", action="store_true", help="let the specification judge every access as well"
    )
    given = parser.parse_args(arguments)
    checks = [check for check in CHECKS if fnmatchcase(check.name, given.only)]
    if not checks:
        parser.error(f"--only {given.only!r} matches none of {len(CHECKS)} checks")
    maker: BackendMaker = (
        partial(emulated, monitor=given.monitor)
        if given.address == "emulated:"
        else partial(at_address, given.address, given.other, monitor=given.monitor)
    )
    return _run_all(checks, maker)


def _run_all(checks: Sequence[Check], make: BackendMaker) -> int:
    counts = {"holds": 0, "FAILS": 0, "left out": 0}
    for check in checks:
        began = time.monotonic()
        detail = ""
        hangs = False
        try:
            verdict = "holds" if run_guarded(check, make) else "left out"
        except HangError as error:
            verdict, detail, hangs = "FAILS", str(error), True
        except Exception as error:
            verdict, detail = "FAILS", _reason(check, error)
        counts[verdict] += 1
        seconds = time.monotonic() - began
        print(f"{verdict:8} {seconds:6.2f} s  {check.name.replace('_', ' ')}", flush=True)
        if detail:
            print("".join(f"    {line}\n" for line in detail.splitlines()), end="", flush=True)
        if hangs:
            print("The card is in an unknown state now; the other checks were not made.")
            break
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
    return 1 if counts["FAILS"] else 0


def _reason(check: Check, error: Exception) -> str:
    """What was raised, and the line of the check that did not hold."""
    frames = traceback.extract_tb(error.__traceback__)
    files = {__file__, check.body.__code__.co_filename}
    frame = [frame for frame in frames if frame.filename in files][-1]
    line = linecache.getline(frame.filename, frame.lineno or 0).strip()
    where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return f"{where}: {line}\n{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
