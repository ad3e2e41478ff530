"""A card that does anything, and what the driver must do all the same.

The card writes any bytes to any memory that it reaches at any time, raises any vector, and its
registers read as anything. Of a call on the driver is demanded nevertheless that

* it ends within a bounded number of accesses once its deadline may pass,
* it raises only what the driver documents,
* it never looks beyond the buffers of a slot, nor at memory that was given back,
* what it returns is what one load saw, as long as one look at the slot said,

and that the card can be closed, and opened again as soon as it behaves.

Loads that are satisfied early need no decision here: whatever they see, the card may as well write.

`HostileWorld` is one run. What happens in it is a list of decisions, which
`properties.simulation.hostile_choices` draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

import attrs

from emulator.card import Card
from emulator.packet import NetPacket
from impl.dma import BUFFER_SIZE
from impl.errors import (
    CardError,
    CardFailedError,
    ClosedError,
    FilterTableFullError,
    NoSuchFilterError,
    WaitTimeoutError,
    WouldBlockError,
)
from impl.memory import Purpose
from impl.settings import Settings
from model.layout import COMMAND_SLOT, IDENTITY, PACKET_SLOT, Owner
from properties.driver_source import PRESENT, DriverCode
from properties.simulation.card_port import EmulatedPort, VisibleMemory
from properties.simulation.host import Ending, Host
from properties.simulation.hostile_choices import SLOT_SIZES, Decision, Setup
from properties.simulation.hostile_port import BoundsReferee, HostilePort
from properties.simulation.threads import HostThread, Standing
from properties.simulation.weak_memory import WeakRegion

__all__ = ["HostileError", "HostileWorld"]

USERS: Final = 4
HANDLERS: Final = 2
HANDLES: Final = 2
MOST: Final = 1000
"""Steps within which all ends that is under way. Runs of the present driver take up to 300."""
SECONDS: Final = 1.0

_WAITING: Final = (CardFailedError, WaitTimeoutError, ClosedError)
DOCUMENTED: Final[dict[str, tuple[type[BaseException], ...]]] = {
    "open": (CardFailedError, WaitTimeoutError),
    "close": (CardFailedError,),
    "send": (*_WAITING, WouldBlockError),
    "receive": (*_WAITING, WouldBlockError, CardError),
    "view": (*_WAITING, WouldBlockError, CardError),
    "poll": (CardFailedError, ClosedError, CardError),
    "add filter": (*_WAITING, CardError, FilterTableFullError),
    "remove filter": (*_WAITING, CardError, NoSuchFilterError),
    "release": (),
}
"""What each call may raise."""


class HostileError(Exception):
    """The driver did something that no card may make it do."""


@attrs.frozen(eq=False)
class _Call:
    """A call under way: its kind, and the driver object that it is made through."""

    kind: str
    handle: Any


class HostileWorld:
    """One run.

    Attributes:
        handles: Driver objects that are open.
        views: Packets on loan, each with its driver object.
        outcomes: How often calls of each kind ended, and with what.
        steps: Steps of threads so far.
    """

    def __init__(self, setup: Setup, code: DriverCode = PRESENT) -> None:
        self.setup = setup
        self.code = code
        self.port = HostilePort(itertools.cycle(setup.flags), itertools.cycle(setup.others))
        self.watch = BoundsReferee()
        self.host = Host(self.port, self.watch, fill=bytes([setup.fill]), posted=setup.posted)
        settings = Settings(
            ring_shift=setup.ring_shift,
            reset_polls=setup.polls,
            command_timeout=SECONDS,
            drain_timeout=SECONDS,
        )
        self.controller = code.controller(self.host, self.host, settings)
        self.controller.start()
        self.attachment = code.Attachment(self.controller, code.Lifecycle(self.controller))
        self.users = [HostThread(HANDLERS + number) for number in range(USERS)]
        self.host.threads += self.users
        self.calls: dict[int, _Call] = {}
        self.handles: list[Any] = []
        self.views: list[tuple[Any, Any]] = []
        self.outcomes: dict[tuple[str, str], int] = {}
        self.sent: list[NetPacket] = []
        self.steps = 0
        self._turn = 0

    # A whole run

    def run(self, decisions: list[Decision]) -> None:
        """Let things happen, then end all of it, and have the card behave again.

        Raises:
            HostileError: The driver did what it must not do.
            StrayAccessError: It accessed what it must not access.
        """
        try:
            if self.setup.opened:
                self._open_nicely()
            for decision in decisions:
                self.decide(decision)
            self.rest()
            if self.setup.releases:
                self.release_all()
            self.close_all()
            self.behave_again()
        except BaseException:
            for thread in self.host.threads:
                thread.give_up()
            raise

    def decide(self, decision: Decision) -> None:
        """Let something happen, if it can now."""
        kind, *about = decision
        getattr(self, f"_do_{kind}")(*about)

    def _open_nicely(self) -> None:
        """Open the card while it behaves."""
        obliging = attrs.evolve(self.setup, obliging=True, answer=0)
        self.port.behaves, self.setup, setup = True, obliging, self.setup
        self._do_open()
        self.rest()
        self.port.behaves, self.setup = False, setup
        if not self.handles:
            raise HostileError(f"a card that behaves does not open: {self.outcomes}")

    def release_all(self) -> None:
        """Give back every packet on loan."""
        while self.views:
            self._do_release(0)
            self.rest()

    def close_all(self) -> None:
        """Close every open. Nothing is left but what the card may still write to."""
        while self.handles:
            self._do_close(0)
            self.rest()
        controller, needs_reset = self.controller, self.attachment.lifecycle.needs_reset
        # By name: a changed driver has an enumeration of its own.
        if controller.life.name != "CLOSED" or controller.inside:
            raise HostileError(
                f"closed, and the card is {controller.life.value}, {controller.inside} inside"
            )
        self._check_memory(kept=needs_reset)
        # A closed card has no memory that an interrupt could be a reason to look at.
        for vector in range(IDENTITY.vectors):
            self._do_vector(vector)
            self.rest()

    def _check_memory(self, *, kept: bool) -> None:
        left = {region.purpose for region in self.host.memory.regions.values()}
        if not kept and left != {Purpose.COMMAND_RING}:
            raise HostileError(f"closed, and memory is left: {left}")

    def behave_again(self) -> None:
        """The card is switched on anew and keeps to the rules. It opens, sends, receives, closes.

        If the driver has no reason to reset it, one open may fail, which resets it.
        """
        host = self.host
        while host.posted:
            host.arrive()
        self.port.vectors.clear()
        lifecycle = self.attachment.lifecycle
        known = not (lifecycle.needs_reset or self.controller.failed)
        hwaddr = self.controller.info.hwaddr
        card = Card(dma=VisibleMemory(host.memory), transmit=self.sent.append, hwaddr=hwaddr)
        self.port.instead = EmulatedPort(card)
        for _ in range(1 + known):
            if not self.handles:
                self._do_open()
                self.rest()
        if not self.handles:
            raise HostileError(f"the card behaves again and does not open: {self.outcomes}")
        handle = self.handles[0]
        self._succeed(lambda: handle.send(hwaddr, b"to the net", timeout=SECONDS))
        if [packet.payload for packet in self.sent] != [b"to the net"]:
            raise HostileError(f"the card behaves again and sent {self.sent}")
        card.arrive(NetPacket(hwaddr, 7, b"from the net"))
        packet = self._succeed(lambda: handle.receive(timeout=SECONDS))
        if packet.payload != b"from the net":
            raise HostileError(f"the card behaves again, and this came: {packet}")
        self._succeed(self.handles.pop().close)
        self._check_memory(kept=False)

    def _succeed(self, body: Callable[[], Any]) -> Any:
        thread = self.users[0]
        self._begin("nice", body)
        self.rest()
        if thread.error is not None:
            raise HostileError("the card behaves again, and a call fails") from thread.error
        return thread.result

    # What the card does

    def _do_write(self, which: int, offset: int, data: bytes) -> None:
        """It writes to some memory."""
        regions = list(self.host.memory.regions.values())
        region = regions[which % len(regions)]
        offset %= len(region.visible)
        data = data[: len(region.visible) - offset]
        region.visible[offset : offset + len(data)] = data

    def _do_slot(self, ring: Purpose, slot: int | None, owner: int, words: tuple[int, ...]) -> None:
        """It writes to a slot, or to each, what looks like an answer; then the owner byte."""
        size = SLOT_SIZES[ring]
        for region in self.host.memory.regions.values():
            if region.purpose is ring:
                slots = len(region.visible) // size
                for index in range(slots) if slot is None else [slot % slots]:
                    self._write_slot(region, index * size, owner, words)

    def _do_packet(self, words: tuple[int, ...]) -> None:
        """It fills every receive slot, and says so."""
        self._do_slot(Purpose.RECEIVE_RING, None, Owner.HOST, words)
        self._do_vector(IDENTITY.event_vector)

    def _write_slot(
        self, region: WeakRegion, begin: int, owner: int, words: tuple[int, ...]
    ) -> None:
        length, dest, src, error, pointer = words
        if region.purpose is Purpose.COMMAND_RING:
            region.visible[begin + COMMAND_SLOT["error"].offset] = error
        else:
            fields = (("pktlen", length), ("dest", dest), ("src", src), ("pointer", pointer))
            for name, value in fields:
                field = PACKET_SLOT[name]
                at = begin + field.offset
                region.visible[at : at + field.width] = value.to_bytes(field.width, "little")
        region.visible[begin] = owner

    def _do_vector(self, vector: int) -> None:
        """It raises a vector, which is delivered if somebody waits for it."""
        self.port.vectors.add(vector)
        self._deliver()

    def _deliver(self) -> bool:
        for vector in range(IDENTITY.vectors):
            if self.port.raised(vector) and self.host.handler(vector) is not None:
                self.host.deliver(vector)
                return True
        return False

    def _do_answer(self) -> None:
        """It answers all requests, and says so."""
        self._oblige()
        self._deliver()

    def _oblige(self) -> bool:
        """It answers the requests that it was handed. Whether there were any."""
        answered = False
        for region in list(self.host.memory.regions.values()):
            if region.purpose in {Purpose.COMMAND_RING, Purpose.TRANSMIT_RING}:
                size = SLOT_SIZES[region.purpose]
                for begin in range(0, len(region.visible), size):
                    if region.visible[begin] == Owner.DEVICE:
                        if region.purpose is Purpose.COMMAND_RING:
                            error = COMMAND_SLOT["error"].offset
                            region.visible[begin + error] = self.setup.answer
                        region.visible[begin] = Owner.HOST
                        answered = True
        if answered:
            self.port.vectors.add(IDENTITY.event_vector)
        return answered

    # What happens on the host

    def _do_show(self, index: int) -> None:
        """A store becomes visible."""
        pending = self.host.memory.pending
        if pending:
            self.host.show(pending[index % len(pending)])

    def _do_arrive(self) -> None:
        """A register write arrives."""
        if self.host.posted:
            self.host.arrive()

    def _do_go(self, picks: bytes) -> None:
        """Threads go on, one access at a time."""
        for pick in picks:
            ready = self._standing(Standing.READY)
            if not ready:
                return
            self._go_on(ready[pick % len(ready)])

    def _do_up(self, which: int, ending: str) -> None:
        """A sleep ends."""
        sleeping = self._standing(Standing.SLEEPS)
        if not sleeping:
            return
        thread = sleeping[which % len(sleeping)]
        assert thread.sleep is not None
        if ending is Ending.EXPIRED and thread.sleep.deadline is None:
            ending = Ending.SPURIOUS
        self.host.get_up(thread, Ending.CANCELLED if thread.sleep.cancelled else ending)

    def _standing(self, standing: Standing) -> list[HostThread]:
        return [thread for thread in self.host.threads if thread.standing is standing]

    # What users do

    def _do_open(self) -> None:
        if len(self.handles) < HANDLES:
            self._begin("open", lambda: self.code.DuctDriver(self.attachment, SECONDS))

    def _do_close(self, index: int) -> None:
        if self.handles and self._idle() is not None:
            handle = self.handles.pop(index % len(self.handles))
            self.views = [item for item in self.views if item[1] is not handle]
            self._begin("close", handle.close)

    def _do_send(self, index: int, sizes: tuple[int, ...], blocking: bool) -> None:
        batch = [(7, bytes(size)) for size in sizes]
        self._through(
            index,
            "send",
            lambda handle: handle.send_batch(batch, blocking=blocking, timeout=SECONDS),
        )

    def _do_receive(self, index: int, blocking: bool) -> None:
        self._through(
            index, "receive", lambda handle: handle.receive(blocking=blocking, timeout=SECONDS)
        )

    def _do_view(self, index: int, blocking: bool) -> None:
        self._through(
            index, "view", lambda handle: handle.receive_view(blocking=blocking, timeout=SECONDS)
        )

    def _do_poll(self, index: int) -> None:
        self._through(index, "poll", lambda handle: handle.poll())

    def _do_filter(self, index: int, remove: bool) -> None:
        def change(handle: Any) -> None:
            call = handle.remove_multicast if remove else handle.add_multicast
            call(0xFFFF_FFFF, 0x8000_0001, timeout=SECONDS)

        self._through(index, "remove filter" if remove else "add filter", change)

    def _do_release(self, index: int) -> None:
        if self.views and self._idle() is not None:
            view, _ = self.views.pop(index % len(self.views))
            self._begin("release", view.release)

    def _through(self, index: int, kind: str, body: Callable[[Any], Any]) -> None:
        if self.handles:
            handle = self.handles[index % len(self.handles)]
            self._begin(kind, lambda: body(handle), handle)

    def _idle(self) -> HostThread | None:
        idle = [thread for thread in self.users if thread.standing is Standing.IDLE]
        return idle[0] if idle else None

    def _begin(self, kind: str, body: Callable[[], Any], handle: Any = None) -> None:
        thread = self._idle()
        if thread is not None:
            self.calls[thread.number] = _Call(kind, handle)
            self.watch.begin(thread)
            thread.begin(body)

    # How calls go on and end

    def _go_on(self, thread: HostThread) -> None:
        self.steps += 1
        if self.host.run(thread):
            self._ended(thread)

    def _ended(self, thread: HostThread) -> None:
        error, result = thread.error, thread.result
        if thread.number < HANDLERS:
            raise HostileError(f"interrupt handler {thread.number} ended: {error!r}") from error
        call = self.calls.pop(thread.number)
        told = "returned" if error is None else type(error).__name__
        self.outcomes[call.kind, told] = self.outcomes.get((call.kind, told), 0) + 1
        if call.kind == "nice":
            return
        if error is not None:
            if type(error) not in DOCUMENTED[call.kind]:
                raise HostileError(f"{call.kind} raised {error!r}") from error
            return
        match call.kind:
            case "open":
                self.handles.append(result)
            case "poll":
                length = result.next_length
                if length is not None and not 0 <= length <= BUFFER_SIZE:
                    raise HostileError(f"poll announces a packet of {length} bytes")
            case "receive":
                self._check_packet(thread, result)
            case "view":
                self._check_packet(thread, result)
                if not call.handle.closed:
                    self.views.append((result, call.handle))

    def _check_packet(self, thread: HostThread, packet: Any) -> None:
        """A packet is what was loaded, once, from one slot."""
        seen = self.watch.seen[thread.number]
        header = seen.header
        if header is None:
            raise HostileError("a packet was received, and no slot was looked at")
        payload = bytes(packet.payload)
        if len(payload) > BUFFER_SIZE or len(payload) != header.length:
            raise HostileError(
                f"{len(payload)} bytes were received, and the slot said {header.length}"
            )
        if (packet.source, packet.destination) != (header.source, header.destination):
            raise HostileError(
                f"a packet from {packet.source:#x} to {packet.destination:#x} was received, and "
                f"the slot said {header}"
            )
        wanted = seen.payload
        if payload and seen.offset != seen.slot * BUFFER_SIZE:
            raise HostileError(f"slot {seen.slot} was taken, and byte {seen.offset} was loaded")
        if not isinstance(packet.payload, bytes) and payload:
            wanted = self._buffer(seen.slot, len(payload))
        if payload != wanted:
            raise HostileError("what was received is not what the slot's buffers hold")

    def _buffer(self, slot: int, size: int) -> bytes:
        begin = slot * BUFFER_SIZE
        for region in self.host.memory.regions.values():
            if region.purpose is Purpose.RECEIVE_BUFFERS:
                return bytes(region.visible[begin : begin + size])
        raise HostileError("a view was lent of memory that was given back")

    # Coming to rest

    def rest(self) -> None:
        """Let everything end; deadlines pass when nothing else happens.

        Raises:
            HostileError: Some call does not end.
        """
        for _ in range(MOST):
            if not self._something_happens():
                break
        busy = [f"{call.kind} ({self.host.threads[t].access})" for t, call in self.calls.items()]
        ready = self._standing(Standing.READY)
        if busy or ready:
            raise HostileError(
                f"not over after {MOST} steps: {', '.join(busy) or 'an interrupt handler'}"
            )

    def _something_happens(self) -> bool:
        host, instead = self.host, self.port.instead
        if instead is not None:
            if host.posted:
                host.arrive()
                return True
            card = instead.card
            for step in card.enabled():
                if step not in card.optional:
                    card.take(step)
                    return True
        if self._deliver():
            return True
        ready = self._standing(Standing.READY)
        if ready:
            self._turn += 1
            self._go_on(ready[self._turn % len(ready)])
            return True
        sleeping = self._standing(Standing.SLEEPS)
        for thread in sleeping:
            assert thread.sleep is not None
            if thread.sleep.cancelled or thread.sleep.notified:
                ending = Ending.CANCELLED if thread.sleep.cancelled else Ending.NOTIFIED
                host.get_up(thread, ending)
                return True
        if instead is None and self.setup.obliging and sleeping and self._oblige():
            return True
        for store in host.memory.pending:
            host.show(store)
            return True
        for thread in sleeping:
            if thread.sleep is not None and thread.sleep.deadline is not None:
                if thread.sleep.deadline > host.time + SECONDS:
                    raise HostileError(f"a sleep that ends at {thread.sleep.deadline}")
                host.get_up(thread, Ending.EXPIRED)
                return True
        return False
