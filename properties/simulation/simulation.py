"""Driver, memory, card and net as one system whose every step is somebody's decision.

A run is a list of *decisions*: a user begins a call; a thread goes on to its next access; a store
becomes visible; the card takes a step; an interrupt is delivered; something goes wrong. Given the
same decisions a run is the same, to the last access. `Simulation.options` says what may be decided
next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import attrs

from emulator.card import Card
from emulator.packet import NetPacket
from emulator.receive import Arrival
from impl.errors import (
    ClosedError,
)
from impl.interruption import Interruption
from impl.memory import Purpose
from impl.packet import Packet
from impl.settings import Settings
from judge.judge import Deviation, Judge, Specification
from judge.words import StrayAccessError
from model.layout import EXACT_MASK, PACKET_SLOT, filter_accepts
from model.scope import Scope
from model.state import Flags, Label, Result
from model.words import LOOKING
from monitor.outcomes import ERRORS
from properties.driver_source import PRESENT, DriverCode
from properties.simulation.arrays import room_for, sendable, taken
from properties.simulation.card_port import EmulatedPort, VisibleMemory
from properties.simulation.host import Ending, Host
from properties.simulation.judged_host import JudgingHost
from properties.simulation.threads import HostThread, Signal, Standing

__all__ = ["FILTERS", "Decision", "Setup", "Simulation"]

Decision: TypeAlias = tuple[Any, ...]
"""What happens next, as plain data: its kind, and what it is about."""

HWADDR: Final = 0x34565CAB
FILTERS: Final = ((EXACT_MASK, HWADDR), (0xFFFF0000, 0x80010000), (0xFFFFFFFF, 0x80020002))
"""The filters that occur, by the specification's key; the first is the card's own address."""
SIZES: Final = (0, 1, 2, 3, 4096, 5000, 16384)
"""The sizes of packets that occur."""
TOO_LONG: Final = 20_000
"""More bytes than a receive slot's buffers hold: what a card that lies may announce."""
LENGTH: Final = PACKET_SLOT.part("pktlen")
HANDLERS: Final = 2
READING: Final = frozenset(LOOKING)
BELLS: Final = 16
"""Doorbells that may be under way at once, counting each packet of a batch."""
OUTCOMES: Final = {**ERRORS, Result.EINTR: (*ERRORS[Result.EINTR], Signal)}
"""Which errors a call may raise that ends so."""


@attrs.frozen
class Setup:
    """The sizes of a run.

    Attributes:
        ring_shift: log2 of the slots of each ring.
        users: Calls that may be under way at once.
        posted: Register writes that may be under way at once.
        polls: Reads of FLAGS before a reset is given up.
        stale: Fresh memory looks as if it were the card's.
        lies: The card may overwrite the length of any packet at any time.
    """

    ring_shift: int = 1
    users: int = 4
    posted: int = 4
    polls: int = 2
    stale: bool = False
    lies: bool = False

    def scope(self) -> Scope:
        """The same for the specification."""
        return Scope(
            ring_size=1 << self.ring_shift,
            users=self.users + 1,
            posted=BELLS,
            polls=self.polls,
            keys=len(FILTERS),
            words=(*SIZES, TOO_LONG) if self.lies else SIZES,
            counts=(0, 1, 2),
        )


@attrs.define(eq=False)
class PlannedCall:
    """A user's call under way.

    Attributes:
        kind: Its name.
        thread: The thread that makes it.
        packets: What it sends.
        handle: The driver object that it is made through.
    """

    kind: str
    thread: HostThread
    packets: tuple[tuple[int, bytes], ...] = ()
    handle: Any = None


class Simulation:
    """One run.

    Attributes:
        decisions: What was decided so far.
        judge: The specification beside the run.
        calls: Calls under way, by thread.
        broken: It deviated; nothing more can be decided.
        handles: Driver objects that are open, oldest first.
        views: Packets on loan.
    """

    def __init__(self, setup: Setup, spec: Specification, code: DriverCode = PRESENT) -> None:
        self.setup = setup
        self.code = code
        self.decisions: list[Decision] = []
        self.judge = Judge(spec, stale=setup.stale, lies=setup.lies)
        self.judged_host = JudgingHost(self.judge)
        self.card = Card(
            dma=None,  # type: ignore[arg-type]
            transmit=self._transmitted,
            hwaddr=HWADDR,
            bus_master=False,
        )
        fill = b"\x55" if setup.stale else b"\xa5"
        self.host = Host(EmulatedPort(self.card), self.judged_host, fill=fill, posted=setup.posted)
        self.judged_host.attend(self.host)
        self.card.dma = VisibleMemory(self.host.memory)
        settings = Settings(ring_shift=setup.ring_shift, reset_polls=setup.polls)
        controller = code.controller(self.host, self.host, settings)
        controller.start()
        self.attachment = code.Attachment(controller, code.Lifecycle(controller))
        self.users = [HostThread(HANDLERS + number) for number in range(setup.users + 1)]
        self.host.threads += self.users
        self.handles: list[Any] = []
        self.views: list[tuple[Any, int, Any]] = []
        self.arriving: deque[NetPacket] = deque()
        self.results: list[tuple[str, Any]] = []
        self._lent: set[int] = set()
        self.calls: dict[int, PlannedCall] = {}
        self._sent: NetPacket | None = None
        self._packets: dict[int, NetPacket] = {}
        self._serial = 0
        self.broken = False

    # What may be decided

    def options(self) -> Iterator[Decision]:
        """What may happen next without anything going wrong."""
        host, card = self.host, self.card
        for index, store in enumerate(host.memory.pending):
            if store.ready():
                yield "show", index
        if host.posted and host.posted[0].ready():
            yield ("arrive",)
        for vector, raised in ((0, card.vector0), (1, card.vector1)):
            if raised and host.handler(vector) is not None:
                yield "deliver", vector
        for step in card.enabled():
            if step not in card.optional:
                yield "card", step
        if self.arriving and card.may_arrive():
            yield ("packet",)
        for thread in host.threads:
            if thread.standing is Standing.READY:
                if self.judged_host.may_begin(thread.number):
                    yield "run", thread.number
            elif thread.standing is Standing.SLEEPS:
                sleep = thread.sleep
                assert sleep is not None
                if sleep.cancelled:
                    yield "up", thread.number, Ending.CANCELLED
                elif sleep.notified:
                    yield "up", thread.number, Ending.NOTIFIED

    def extras(self) -> Iterator[Decision]:
        """What may happen next and never has to, though nothing is wrong with it."""
        for step in self.card.enabled():
            if step in self.card.optional:
                yield "card", step
        thread = self.host.lock_line.holder
        if thread is not None and thread.standing is Standing.READY:
            for word, slot in self._loads_ahead(thread):
                if (word, slot) not in thread.early:
                    yield "early", thread.number, word, slot
        for index in range(len(self.host.late)):
            yield "late", index

    def _loads_ahead(self, thread: HostThread) -> Iterator[tuple[str, int]]:
        """Loads that the thread may make before it gives up the lock."""
        now = self.judge.now
        mask = (1 << self.setup.ring_shift) - 1
        if thread.number == 0:
            for ring, taking in (("cmd", Label.CMD_RECLAIM), ("tx", Label.TX_RECLAIM)):
                if now[f"{ring}_live"]:
                    ahead = self.judge.pc(0) is taking
                    yield f"{ring}.owner", now[f"{ring}_cons_i"] + ahead & mask
                    if ring == "cmd":
                        yield "cmd.status", now["cmd_cons_i"]
            if now["rx_live"]:
                yield "rx.owner", now["rx_cons_i"]
        elif self.judge.pc(thread.number) in READING:
            ahead = self.judge.pc(thread.number) is Label.RX_HEADER
            yield "rx.owner", now["rx_cons_i"] + ahead & mask
            yield "rx.header", now["rx_cons_i"]

    def disturbances(self) -> Iterator[Decision]:
        """What may go wrong next."""
        for thread in self.host.threads:
            if thread.standing is not Standing.SLEEPS:
                continue
            sleep = thread.sleep
            assert sleep is not None
            yield "up", thread.number, Ending.SPURIOUS
            if sleep.deadline is not None and self._may_interrupt(thread.number):
                yield "up", thread.number, Ending.EXPIRED
            if thread.number >= HANDLERS and self._may_interrupt(thread.number):
                yield "up", thread.number, Ending.SIGNAL
            if isinstance(sleep.handle, Interruption) and not sleep.handle.struck:
                yield "strike", thread.number
        if self.card.bus_master and not self.card.vector0:
            yield ("spurious",)
        if self.card.may_withdraw():
            yield ("withdraw",)
        if self.card.may_fail():
            yield ("fail",)

    def _may_interrupt(self, t: int) -> bool:
        draining = self.judge.pc(t) in {Label.DRAIN, Label.LEAVE}
        return (
            draining
            or self.judge.enabled("interrupt", t)
            or self.judge.enabled("interrupt_open", t)
        )

    # Decisions

    def decide(self, decision: Decision) -> None:
        """Let something happen. Raises `Deviation` if it is not what the specification allows."""
        self.decisions.append(decision)
        kind, *about = decision
        try:
            getattr(self, f"_do_{kind}")(*about)
        except Deviation:
            self._break()
            raise
        except StrayAccessError as error:
            self._break()
            raise Deviation(f"no word of the specification: {error}") from error

    def _break(self) -> None:
        """Nothing goes on after a deviation."""
        self.broken = True
        for thread in self.host.threads:
            thread.give_up()

    def _do_show(self, index: int) -> None:
        self.host.show(self.host.memory.pending[index])

    def _do_arrive(self) -> None:
        self.host.arrive()
        self._compare_card()

    def _do_deliver(self, vector: int) -> None:
        self.host.deliver(vector)

    def _do_card(self, step: str) -> None:
        self.judge.accesses["card"] += 1
        self._sent = None
        number = self.judge.now["rx_dev"]
        self.judge.fire(step)
        self.card.take(step)
        if step == "tx.send":
            self._check_sent()
        elif step == "rx.complete":
            self._packets[number] = self.card.rx.arriving
        self._compare_card()

    def _do_run(self, t: int) -> None:
        thread = self.host.threads[t]
        if self.host.run(thread):
            self._ended(thread)

    def _do_up(self, t: int, ending: str) -> None:
        self.host.get_up(self.host.threads[t], ending)

    def _do_strike(self, t: int) -> None:
        """Somebody ends the call that a thread sleeps in."""
        sleep = self.host.threads[t].sleep
        assert sleep is not None
        assert isinstance(sleep.handle, Interruption)
        sleep.handle.strike()

    def _do_early(self, t: int, word: str, slot: int) -> None:
        self.host.load_early(self.host.threads[t], word, slot)

    def _do_late(self, index: int) -> None:
        self.host.load_late(index)

    def _do_spurious(self) -> None:
        self.judge.fire("card.spurious_vector0")
        self.card.spurious()

    def _do_withdraw(self) -> None:
        self.judge.fire("card.withdraw_vector0")
        self.card.withdraw()

    def _do_fail(self) -> None:
        self.judge.fire("card.fatal_error")
        self.card.fail()

    def _do_lie(self, slot: int, length: int) -> None:
        """The card overwrites a packet's length, whoever owns the slot."""
        self.judge.fire("rx.lie", slot, length)
        for region in self.host.memory.regions.values():
            if region.purpose is Purpose.RECEIVE_RING:
                begin = slot * PACKET_SLOT.size + LENGTH.offset
                LENGTH.codec.pack_into(region.visible, begin, length)

    def _do_packet(self) -> None:
        packet = self.arriving.popleft()
        now = self.judge.now
        keys = [
            key
            for key, (mask, address) in enumerate(FILTERS)
            if now["card_filters"][key] and filter_accepts(mask, address, packet.destination)
        ]
        arrival = self.card.arrive(packet)
        if (arrival is Arrival.TAKEN) != bool(keys):
            raise Deviation(f"the card's filters: a packet for {packet.destination:#x} {arrival}")
        if keys:
            self.judge.fire("rx.arrive", keys[0], len(packet.payload))

    def _do_offer(self, destination: int, size: int) -> None:
        """A packet comes along the net."""
        self._serial += 1
        self.arriving.append(NetPacket(destination, self._serial, self._payload(size)))

    # Calls

    def idle(self, *, ends: bool = False) -> HostThread | None:
        """A thread that a call may be made by; one is kept for calls that end something."""
        for thread in self.users if ends else self.users[:-1]:
            if thread.standing is Standing.IDLE and thread.number not in self._lent:
                return thread
        return None

    def _payload(self, size: int) -> bytes:
        return (self._serial.to_bytes(4, "little") + bytes([self._serial % 251]))[:size] + bytes(
            [self._serial % 251]
        ) * (size - 5)

    def _do_open(self) -> None:
        self._call("open", lambda: self.code.DuctDriver(self.attachment), (), "begin_open")

    def _do_close(self, index: int) -> None:
        handle = self.handles.pop(index)
        self.views = [item for item in self.views if item[2] is not handle]
        self._call("close", handle.close, (), "begin_close", handle=handle)

    def _do_send(self, index: int, destination: int, sizes: Sequence[int], blocking: bool) -> None:
        handle = self.handles[index]
        packets: list[tuple[int, bytes]] = []
        # Every other batch lies in arrays.
        in_arrays = self._serial % 2 == 1
        for size in sizes:
            self._serial += 1
            packets.append((destination, self._payload(size)))
        interruption = self._interruption(handle)
        scattered = [(to, _scattered(payload)) for to, payload in packets]
        self._call(
            "send",
            lambda: (
                handle.send_from(sendable(packets), blocking=blocking, timeout=1.0)
                if in_arrays
                else handle.send_batch(
                    scattered, blocking=blocking, timeout=1.0, interruption=interruption
                )
            ),
            tuple(packets),
            "begin_write",
            int(not sizes[0]),
            int(not blocking),
            len(sizes) - 1,
            handle=handle,
        )

    def _do_receive(self, index: int, blocking: bool, view: bool) -> None:
        handle = self.handles[index]
        receive = handle.receive_view if view else handle.receive
        interruption = self._interruption(handle)
        self._call(
            "view" if view else "receive",
            lambda: receive(blocking=blocking, timeout=1.0, interruption=interruption),
            (),
            "begin_read",
            int(not blocking),
            0,
            handle=handle,
        )

    def _do_batch(self, index: int, most: int, blocking: bool) -> None:
        """A user receives several packets in one call."""
        handle = self.handles[index]
        batch = room_for(most)

        def receive() -> list[Packet]:
            if most % 2:
                handle.receive_into(batch, blocking=blocking, timeout=1.0)
                return taken(batch)
            packets: list[Packet] = handle.receive_batch(most, blocking=blocking, timeout=1.0)
            return packets

        self._call(
            "batch",
            receive,
            (),
            "begin_read",
            int(not blocking),
            0,
            handle=handle,
            again=("begin_read", 1, 0),
        )

    def _do_poll(self, index: int) -> None:
        handle = self.handles[index]
        self._call("poll", handle.poll, (), "begin_read", 1, 1, handle=handle)

    def _do_filter(self, index: int, key: int, remove: bool) -> None:
        handle = self.handles[index]
        mask, address = FILTERS[key]
        change = handle.remove_multicast if remove else handle.add_multicast
        interruption = self._interruption(handle)
        self._call(
            "filter",
            lambda: change(mask, address, timeout=1.0, interruption=interruption),
            (),
            "begin_filter",
            int(remove),
            key,
            handle=handle,
        )

    def _interruption(self, handle: Any) -> Interruption | None:
        """By which the next call may be ended: that of every other user may."""
        thread = self.idle()
        return handle.interruption() if thread is not None and thread.number % 2 else None

    def _do_release(self, index: int) -> None:
        view, _, _ = self.views.pop(index)
        self._call("release", view.release, ())

    def _call(
        self,
        kind: str,
        body: Callable[[], Any],
        packets: tuple[tuple[int, bytes], ...],
        rule: str | None = None,
        *parameters: int,
        handle: Any = None,
        again: tuple[Any, ...] = (),
    ) -> None:
        thread = self.idle(ends=kind in {"close", "release"})
        assert thread is not None, "too many calls under way"
        begins = () if rule is None else (rule, thread.number, *parameters)
        if again:
            again = again[0], thread.number, *again[1:]
        self.judged_host.begin(thread.number, packets, *begins, again=again)
        self.calls[thread.number] = PlannedCall(kind, thread, packets, handle)
        thread.begin(body)

    def _ended(self, thread: HostThread) -> None:
        """A call returned or raised: so must the specification's."""
        t = thread.number
        result, error = thread.result, thread.error
        if isinstance(error, Deviation | StrayAccessError):
            raise error
        if t < HANDLERS:
            raise Deviation(f"{self.judge.who(t)} ended: {error!r}") from error
        call = self.calls.pop(t)
        self.results.append((call.kind, error if error is not None else result))
        self._lent -= {number for number in self._lent if self.judge.pc(number) is Label.IDLE}
        if call.kind == "release":
            if error is not None:
                raise Deviation(f"a release raised {error!r}") from error
        elif not self.judged_host.began(t):
            # Only a closed driver refuses a call before it does anything.
            if not isinstance(error, ClosedError):
                raise Deviation(f"{call.kind} ended before it began: {error!r}") from error
        elif call.kind == "view" and error is None:
            self._lend(t, result, call.handle)
        else:
            self._check_outcome(call, t, result, error)
            if call.kind == "open" and error is None:
                self.handles.append(result)

    def _check_outcome(
        self, call: PlannedCall, t: int, result: object, error: BaseException | None
    ) -> None:
        judge = self.judge
        if judge.pc(t) is not Label.IDLE:
            raise judge.deviation(
                f"{judge.who(t)}: {call.kind} ended ({error or result!r}), and the "
                f"specification is at {judge.pc(t).name}"
            )
        outcome = judge.result(t)
        if call.kind == "batch" and error is None:
            self._check_received_batch(call, t, result)
            return
        if call.kind == "poll" and error is None:
            self._check_polled(t, outcome, result)
            return
        if call.kind == "send" and error is None:
            self._check_batch(call, outcome, result)
            return
        if outcome is Result.OK:
            # A view of a driver that was closed in the meantime is given back at once.
            closed = call.handle is not None and call.handle.closed
            right = error is None or (
                call.kind == "view" and closed and isinstance(error, ClosedError)
            )
        else:
            right = isinstance(error, OUTCOMES.get(outcome, ()))
        if call.kind in {"open", "close"} and isinstance(error, Signal):
            # They bring the card to a state that is known, and raise afterwards.
            right = call.kind == "close" or outcome is not Result.OK
        if not right:
            raise Deviation(
                f"{judge.who(t)}: {call.kind} ended with {error or result!r}, and the "
                f"specification says {outcome.name}"
            ) from error
        if call.kind == "receive" and error is None:
            self._check_received(t, result)

    def _check_polled(self, t: int, outcome: Result, result: Any) -> None:
        length = self.judge.now["threads_length"][t] if outcome is Result.OK else None
        if result.next_length != length or outcome not in {Result.OK, Result.EAGAIN}:
            raise Deviation(
                f"{self.judge.who(t)}: poll says {result}, and the specification says "
                f"{outcome.name}, length {length}"
            )

    def _check_batch(self, call: PlannedCall, outcome: Result, handed_over: Any) -> None:
        t, wanted = call.thread.number, len(call.packets)
        counted = self.judge.now["threads_handed"][t]
        some = outcome is Result.OK or (outcome is Result.EAGAIN and counted)
        if not some or handed_over != counted:
            raise Deviation(
                f"{self.judge.who(t)}: {handed_over} of {wanted} packets were "
                f"sent, and the specification says {outcome.name} and counts {counted}"
            )

    def _check_received_batch(self, call: PlannedCall, t: int, packets: Any) -> None:
        """Each packet of a batch is one that a call of its own received; an error is owed."""
        ends = self.judged_host.ends[t]
        received = [number for outcome, number in ends if outcome is Result.OK]
        if len(packets) != len(received):
            raise Deviation(
                f"{self.judge.who(t)}: received {len(packets)} packets in a batch, and the "
                f"specification says {', '.join(outcome.name for outcome, _ in ends)}"
            )
        for number, packet in zip(received, packets, strict=True):
            self._check_packet(t, number, packet)
        last, owed = ends[-1][0], list(call.handle.owed)
        call.handle.owed.clear()
        right = OUTCOMES[last] if last not in {Result.OK, Result.EAGAIN} else ()
        if len(owed) != bool(right) or not all(isinstance(error, right) for error in owed):
            raise Deviation(
                f"{self.judge.who(t)}: a batch that ended with {last.name} owes {owed or 'nothing'}"
            )

    def _check_received(self, t: int, packet: Any) -> None:
        self._check_packet(t, self.judge.now["threads_packet"][t], packet)

    def _check_packet(self, t: int, number: int, packet: Any) -> None:
        wanted = self._packets[number]
        got = (packet.source, packet.destination, bytes(packet.payload))
        if got != (wanted.source, wanted.destination, wanted.payload):
            raise Deviation(
                f"{self.judge.who(t)}: received packet #{number} as {describe(*got)}, and it is "
                f"{describe(wanted.source, wanted.destination, wanted.payload)}"
            )

    def _lend(self, t: int, view: Any, handle: Any) -> None:
        """The reader holds the slot until the view is released; nobody else is that thread."""
        self._check_received(t, view)
        self._lent.add(t)
        self.views.append((view, t, handle))

    # The card

    def _transmitted(self, packet: NetPacket) -> None:
        self._sent = packet

    def _check_sent(self) -> None:
        """The packet on the net is the one that its sender gave."""
        number = self.judge.now["tx_dev"]
        packet = self._sent
        destination, payload = self.judged_host.handed_over[number]
        if packet is None or (packet.destination, packet.payload) != (destination, payload):
            found = "nothing" if packet is None else describe(*attrs.astuple(packet))
            raise Deviation(
                f"the card sent packet #{number} as {found}, and it is "
                f"{describe(HWADDR, destination, payload)}"
            )

    def _compare_card(self) -> None:
        """The card's state is the specification's."""
        now, card = self.judge.now, self.card
        if card.flags is Flags.ERROR and now["card_flags"] != Flags.ERROR:
            raise Deviation(
                f"the card halts, FLAGS {card.flag_bits:#x}: the driver gave it something wrong"
            )
        pairs: list[tuple[str, object]] = [
            ("card_flags", card.flags),
            ("card_started", card.started),
            ("card_bus_master", card.bus_master),
            ("card_raising", card.raising),
            ("card_vector0", card.vector0),
            ("card_vector1", card.vector1),
        ]
        for name, engine in (("tx", card.tx), ("cmd", card.cmd), ("rx", card.rx)):
            pairs += [
                (f"{name}_stage", engine.stage),
                (f"{name}_dev_i", engine.dev_i),
                (f"{name}_due", engine.due),
                (f"{name}_event", engine.event),
            ]
        wrong = [
            f"  {name}: {value!r}, and the specification says {now[name]!r}"
            for name, value in pairs
            if now[name] != value
        ]
        if wrong:
            raise Deviation("\n".join(["card and specification differ:", *wrong]))

    # Coming to rest

    def settle(self, most: int = 100_000) -> None:
        """Let everything happen that must, until nothing is left; check that nothing should."""
        for _ in range(most):
            option = next(self.options(), None)
            if option is None:
                self._check_rest()
                return
            self.decide(option)
        self._break()
        raise Deviation(f"the system does not come to rest within {most} steps")

    def _check_rest(self) -> None:
        """Nothing goes on here; so nothing must go on in the specification."""
        for thread in self.host.threads:
            if thread.sleep is not None and getattr(thread.sleep.handle, "closed", False):
                self._break()
                raise Deviation(
                    f"{self.judge.who(thread.number)} sleeps on behalf of a driver that was closed"
                )
        for item in self.judge.spec.fair:
            if self.judge.enabled(item.name, *item.values):
                if item.rule.fair == "thread" and item.parameters["t"] in self._lent:
                    continue
                self._break()
                raise Deviation(
                    f"nothing goes on any more, and the specification goes on with {item}"
                )

    def finish(self) -> None:
        """Come to rest, close every open, come to rest again: nothing may be left."""
        self.settle()
        while self.handles:
            self.decide(("close", 0))
            self.settle()
        busy = [item.number for item in self.users if item.standing is not Standing.IDLE]
        if busy:
            self._break()
            raise Deviation(f"the card is closed, and users {busy} have not come back")
        self._check_memory()
        if not self.steps:
            raise Deviation("nothing was judged")

    def _check_memory(self) -> None:
        """A card that is closed, and not waiting for a reset, has given its packet memory back."""
        if self.judge.now["driver_needs_reset"]:
            return
        kept = [
            region.purpose.value
            for region in self.host.memory.regions.values()
            if region.purpose is not Purpose.COMMAND_RING
        ]
        if kept:
            raise Deviation(f"the card is closed, and these are not freed: {', '.join(kept)}")

    @property
    def steps(self) -> int:
        """Accesses judged so far."""
        return sum(self.judge.accesses.values())


def _scattered(payload: bytes) -> tuple[bytes, ...]:
    """The payload in one, two or three buffers."""
    parts = 1 + len(payload) % 3
    size = -(-len(payload) // parts) or 1
    return tuple(payload[begin : begin + size] for begin in range(0, len(payload), size))


def describe(source: int, destination: int, payload: bytes) -> str:
    """A packet in a few words."""
    start = payload[:8].hex()
    return f"{len(payload)} bytes {start}... from {source:#x} to {destination:#x}"
