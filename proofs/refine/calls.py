"""The driver's functions that are proved, each in any call that there may be of it."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from engine.claims import slot_exists
from engine.refine.explorer import Exploration, Way, explore
from engine.refine.knowledge import Knowledge
from engine.refine.values import Integer, number_of
from engine.terms import TRUE, And, Bool, If, Iff, Number, Or, Sort, constant, ring_size, symbol
from impl.errors import (
    CallInterruptedError,
    CardError,
    CardFailedError,
    ClosedError,
    DuctError,
    FilterTableFullError,
    NoSuchFilterError,
    WaitTimeoutError,
    WouldBlockError,
)
from impl.interruption import Interruption
from impl.runtime import CancelledError, ExpiredError
from model.layout import Command
from model.state import EVENT_THREAD, FATAL_THREAD, NOBODY, UNICAST, Label, Life, Result
from proofs.refine.driver import Code, Driver, is_driver
from proofs.refine.machine import BUFFER as BUFFER_SIZE
from proofs.refine.machine import Packet, Signal
from proofs.refine.relation import RELATION, kept
from proofs.refine.scene import Scene, seeds
from proofs.refine.setting import FIRST, setting
from proofs.refine.stand_ins import Batch, Bytes

__all__ = ["CALLS", "Call", "prove"]

ANYBODY: Final[Any] = symbol("T", Sort.NUMBER)
"""A user's thread."""
ENDS: Final = "ends"
RELATED: Final = frozenset(item.name for item in RELATION)
SAID: Final[Mapping[Result, tuple[type[BaseException], ...]]] = {
    Result.EIO: (CardFailedError, CardError),
    Result.EAGAIN: (WouldBlockError,),
    Result.EINTR: (WaitTimeoutError, ClosedError, CallInterruptedError, Signal),
    Result.ENOSPC: (FilterTableFullError,),
    Result.ENOENT: (NoSuchFilterError,),
    Result.EBADF: (ClosedError,),
}
"""By result: what a call raises then."""


@attrs.frozen(eq=False)
class Call:
    """A function of the driver that is proved.

    Attributes:
        name: What it is called.
        meaning: What is proved, in one line.
        thread: Who runs it.
        body: Runs it.
        first: What it mostly needs of the invariant, besides what all calls do (`FIRST`).
    """

    name: str
    meaning: str
    thread: Number
    body: Callable[[Way, Code], None]
    first: frozenset[str] = frozenset()


def prove(
    call: Call,
    code: Code,
    *,
    ring_size: int | None = None,
    seed: int = 0,
    solver: str = "z3",
    **options: Any,
) -> Exploration:
    """Go all ways through a call, for every ring size or for one."""
    setting()  # it is made once, and not on the way

    def knowledge() -> Knowledge:
        first = FIRST | RELATED | call.first
        return Knowledge(seeds(call.thread), seed, first, ring_size, solver)

    expected = (DuctError, ExpiredError, CancelledError, Signal, StopIteration)
    return explore(
        lambda way: call.body(way, code), knowledge, traced=is_driver, expected=expected, **options
    )


# Calls of users


def _user(way: Way, code: Code) -> tuple[Scene, Any]:
    """A thread that is in no call, and how long its call may wait."""
    scene = Scene(way, ANYBODY)
    scene.rigid.append(And(ANYBODY != EVENT_THREAD, ANYBODY != FATAL_THREAD, ANYBODY != NOBODY))
    scene.rigid.append(constant(0) <= ANYBODY)
    scene.loop_claims = functools.partial(_slot_remembered, scene)
    blocking = way.choose((True, False))
    handle = Interruption.__new__(Interruption)  # how it ends a sleep is decided there
    wait = code.controller.Wait(blocking=blocking, timeout=1.0, deadline=1.0, handle=handle)
    return scene, wait


def _run(scene: Scene, lines: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """What the lines return, or what they raise of what they may."""
    try:
        return lines(), None
    except tuple(kind for kinds in SAID.values() for kind in kinds) as error:
        return None, error


def _ends(scene: Scene, error: BaseException | None, good: Bool) -> None:
    """The call is over, and says what the specification does."""
    way, pc = scene.way, Label(scene.beside.pc())
    if scene.locked:
        way.fail(ENDS, "the call ends with the lock")
    if pc is not Label.IDLE:
        way.fail(ENDS, f"the call ends, and the specification is at {pc.name}")
    result = scene.beside.own("threads.result")
    if error is None:
        way.prove(ENDS, good, "the call ends well, and the specification does not say so")
        return
    fits = Or(*(result == code for code, kinds in SAID.items() if isinstance(error, kinds)))
    way.prove(ENDS, fits, f"the call ends with {error!r}, and the specification says otherwise")


OWN_SLOT: Final = (Label.TX_WAIT, Label.CMD_WAIT, Label.RX_POINTER, Label.RX_REPOST)
"""Where a call remembers the slot that it works on."""


def _slot_remembered(scene: Scene, where: str, local: Mapping[str, Any]) -> list[Bool]:
    """The slot that the lines remember is the call's."""
    slot = local.get("slot")
    if not isinstance(slot, Integer) or scene.beside.pc() not in OWN_SLOT:
        return []
    return [slot.term == scene.beside.own("threads.slot"), slot_exists(slot.term)]


def _peek(way: Way, code: Code) -> None:
    scene, wait = _user(way, code)
    driver = Driver(code, way, scene)
    scene.begin(Label.IDLE)
    scene.begins = lambda: scene.beside.fire(
        "begin_read", nonblocking=constant(int(not wait.blocking)), peek=constant(1)
    )
    header, error = _run(scene, lambda: driver.controller.peek(wait))
    result = scene.beside.own("threads.result")
    good = result == Result.OK
    if header is not None:
        good = good & (number_of(header.length) == scene.beside.own("threads.length"))
    _ends(scene, error, good)


def _receive_view(way: Way, code: Code) -> None:
    """The lines of `DuctDriver.receive_view` and of its release that are the controller's."""
    scene, wait = _user(way, code)
    driver = Driver(code, way, scene)
    scene.begin(Label.IDLE)
    scene.begins = lambda: scene.beside.fire(
        "begin_read", nonblocking=constant(int(not wait.blocking)), peek=constant(0)
    )
    controller = driver.controller

    def lines() -> None:
        slot, header = controller.receive_packet(wait)
        try:
            controller.receive.borrow(slot, header.length)
        except CardError:
            controller.repost(slot)
            raise
        controller.repost(slot)

    _, error = _run(scene, lines)
    _ends(scene, error, scene.beside.own("threads.result") == Result.OK)


def _receive_packets(way: Way, code: Code) -> None:
    """Packets are taken, each as if by a call of its own; those behind the first do not wait."""
    scene, wait = _user(way, code)
    driver = Driver(code, way, scene)
    most: Any = symbol("most", Sort.NUMBER)
    scene.rigid.append(constant(1) <= most)
    scene.begin(Label.IDLE)

    def begins() -> None:
        blocking = wait.blocking and not scene.calls
        nonblocking = constant(int(not blocking))
        scene.beside.fire("begin_read", nonblocking=nonblocking, peek=constant(0))

    def claims(where: str, local: Mapping[str, Any]) -> list[Bool]:
        number = local.get("number")
        more = []
        if number is not None:
            # Another call of the turn begins only if a packet is still wanted.
            again = scene.beside.pc() not in OWN_SLOT
            more = [number_of(number) < most if again else number_of(number) <= most]
        return more + _slot_remembered(scene, where, local) + scene.known_alone(local)

    scene.begins, scene.loop_claims = begins, claims
    packets: Any = deque()  # of which the lines only append; a list would be told from a longer one
    lines = functools.partial(driver.controller.receive_packets, packets, Integer(way, most), wait)
    _, error = _run(scene, lines)
    result = scene.beside.own("threads.result")
    again = (result == Result.EAGAIN) if scene.calls > 1 else ~TRUE
    _ends(scene, error, (result == Result.OK) | again)


def _change_filter(way: Way, code: Code) -> None:
    scene, wait = _user(way, code)
    driver = Driver(code, way, scene)
    key: Any = symbol("key", Sort.NUMBER)
    scene.rigid.append(key != UNICAST)
    scene.begin(Label.IDLE)
    command = way.choose((Command.ADDFILT, Command.RMFILT))
    scene.begins = lambda: scene.beside.fire(
        "begin_filter", remove=constant(int(command is Command.RMFILT)), key=key
    )
    scene.unrolled = True  # it is one command
    if not wait.blocking:
        scene.glance()
        _, error = _run(
            scene, lambda: driver.controller.change_filter(command, 1 << 31, 1 << 31, wait)
        )
        refused = isinstance(error, (WouldBlockError, CardFailedError))
        way.prove(ENDS, TRUE if refused else ~TRUE, "a call that may not wait changes a filter")
        return
    _, error = _run(scene, lambda: driver.controller.change_filter(command, 1 << 31, 1 << 31, wait))
    _ends(scene, error, scene.beside.own("threads.result") == Result.OK)


def _send(way: Way, code: Code) -> None:
    scene, wait = _user(way, code)
    driver = Driver(code, way, scene)
    count: Any = symbol("M", Sort.NUMBER)
    scene.rigid.append(constant(1) <= count)
    scene.begin(Label.IDLE)
    beside = scene.beside

    def zero() -> Any:
        chosen: Any = symbol(f"zero#{way.number()}", Sort.NUMBER)
        way.assume((chosen == 0) | (chosen == 1))
        return chosen

    def packet(_: Any) -> Any:
        """A packet of any size, in up to two buffers."""
        size: Any = symbol(f"size#{way.number()}", Sort.NUMBER)
        way.assume(And(constant(0) <= size, size <= BUFFER_SIZE))
        way.assume(Iff(size == 0, beside.own("threads.zero")))
        middle: Any = symbol(f"middle#{way.number()}", Sort.NUMBER)
        inside = And(constant(0) < middle, middle <= size, (middle < size) | (size == 1))
        way.assume((size == 0) | inside)
        first: Any = symbol(f"first buffer#{way.number()}", Sort.NUMBER)
        way.assume(And(constant(0) <= first, first <= size))
        buffers = tuple(Bytes(Integer(way, item)) for item in (first, size - first))
        scene.packet_size = size
        driver.buffers.packet = driver.transmit_ring.packet = Packet(size, middle, constant(0))
        return code.ring.Outgoing(0, buffers, Integer(way, size))

    scene.zero = zero
    scene.begins = lambda: beside.fire(
        "begin_write",
        zero=zero(),
        nonblocking=constant(int(not wait.blocking)),
        more=count - 1,
    )
    scene.cuts_turns = True
    scene.loop_claims = functools.partial(_batch_claims, scene, count)
    scene.excused = lambda where, local: {"driver.writable": TRUE}
    batch = Batch(Integer(way, count), packet)
    handed_over, error = _run(scene, lambda: driver.controller.send(batch, wait))
    result, handed = beside.own("threads.result"), beside.own("threads.handed")
    good: Bool = TRUE
    if handed_over is not None:
        number = number_of(handed_over)
        some = And(result == Result.EAGAIN, constant(0) < number, number < count)
        good = (number == handed) & Or(And(result == Result.OK, number == count), some)
    _ends(scene, error, good)


def _batch_claims(scene: Scene, count: Any, where: str, local: Mapping[str, Any]) -> list[Bool]:
    """What is known in the middle of a batch, besides the invariant and the relation."""
    beside: Any = scene.beside
    if beside.pc() == Label.IDLE:
        return []
    claims: list[Bool] = [beside.own("threads.batch") == count]
    if "handed_over" not in local:
        return claims
    handed: Any = beside.own("threads.handed")
    if beside.pc() in OWN_SLOT:
        all_of_them = [handed == count, handed == number_of(local["handed_over"])]
        return claims + all_of_them + _slot_remembered(scene, where, local)
    place = scene.places[0][2]
    claims.append(beside.own("threads.more") == count - 1 - handed)
    if where == "a turn of a loop":
        begin, before = number_of(local["begin"]), number_of(local["before"])
        number = scene.number.term
        ring_full = number_of(local["begin"]) + ring_size() - before + scene.kept("tx.consumed")
        claims += [
            handed == number,
            scene.kept("tx.produced") - before == number - begin,
            number_of(scene.loop.end) == If(count < ring_full, count, ring_full),
            number < number_of(scene.loop.end),
            constant(0) <= begin,
            begin <= number,
            beside.values["driver.life"] == Life.OPEN,
            ~beside.values["driver.failed"],
            # Whoever has handed a packet over stays the first in line: so nobody sleeps, and
            # nobody else hands over, while a doorbell is owed.
            beside.values["tx.waiters.head"] == place,
        ]
    elif Label(beside.pc()) is Label.TX_TURN:
        claims.append(handed == number_of(local["handed_over"]))
        claims.append(handed < count)
    claims.append(beside.own("threads.queue_position") == place)
    return claims


# Open and close


def _open(way: Way, code: Code) -> None:
    """Up to where the first open resets the card or makes its rings."""
    scene, _ = _user(way, code)
    driver = Driver(code, way, scene)
    scene.begin(Label.IDLE)
    scene.begins = lambda: scene.beside.fire("begin_open")
    timeout = way.choose((None, 1.0))
    _, error = _run(scene, lambda: driver.lifecycle.open(timeout))
    _ends(scene, error, scene.beside.own("threads.result") == Result.OK)


def _close(way: Way, code: Code) -> None:
    """Up to where the last close resets the card, or frees what it has."""
    scene, _ = _user(way, code)
    driver = Driver(code, way, scene)
    scene.begin(Label.IDLE)
    scene.begins = lambda: scene.beside.fire("begin_close", assumed=True)
    scene.unrolled = True  # it is one command at a time
    _, error = _run(scene, lambda: driver.lifecycle.close(None))
    _ends(scene, error, scene.beside.own("threads.result") == Result.OK)


# Interrupts


def _serve_fatal(way: Way, code: Code) -> None:
    scene = Scene(way, constant(FATAL_THREAD))
    driver = Driver(code, way, scene)
    scene.begin(Label.FATAL_IDLE)
    scene.begins = lambda: scene.beside.fire("fatal_interrupt", assumed=True)
    driver.controller._serve(FATAL_THREAD, driver.controller.serve_fatal)
    _served(scene, Label.FATAL_IDLE)


def _serve_events(way: Way, code: Code) -> None:
    scene = Scene(way, constant(EVENT_THREAD))
    driver = Driver(code, way, scene)
    scene.begin(Label.EVENT_IDLE)
    scene.begins = lambda: scene.beside.fire("event_interrupt", assumed=True)
    scene.excused = _while_scanning
    controller = driver.controller
    controller._serve(EVENT_THREAD, controller.serve_events)
    _served(scene, Label.EVENT_IDLE)


def _served(scene: Scene, idle: Label) -> None:
    """An interrupt was served, and the handler waits for the next one."""
    if scene.locked:
        scene.way.fail(ENDS, "the interrupt is served, and the lock is kept")
    at = Label(scene.beside.pc())
    said = f"the interrupt is served, and the specification is at {at.name}"
    scene.way.prove(ENDS, TRUE if at is idle else ~TRUE, said)


def _while_scanning(where: str, local: Mapping[str, Any]) -> Mapping[str, Bool]:
    """What need not hold while slots are taken back: who waits for them is woken afterwards."""
    if where == "a look" and "before" in local:
        consumed = kept("cmd.consumed")
        taken = {"driver.woken.COMMANDS": consumed != number_of(local["before"])}
    else:
        taken = {"driver.woken.SENDERS": kept("tx.scanned") != kept("tx.consumed")}
    return {"driver.writable": TRUE, **taken}


CALLS: Final[Mapping[str, Call]] = {
    call.name: call
    for call in (
        Call("peek", "a look at the next packet", ANYBODY, _peek),
        Call("receive_view", "a packet is taken, and its slot given back", ANYBODY, _receive_view),
        Call("receive_packets", "packets are received, any number", ANYBODY, _receive_packets),
        Call("send", "a batch of any length is sent", ANYBODY, _send),
        Call("change_filter", "a filter is added or removed", ANYBODY, _change_filter),
        Call("open", "the card is opened, up to its start by the first open", ANYBODY, _open),
        Call(
            *("close", "it is closed, until it is reset or its memory freed", ANYBODY, _close),
            first=frozenset({"life.conductor"}),
        ),
        Call("serve_events", "vector 0 is served", constant(EVENT_THREAD), _serve_events),
        Call("serve_fatal", "vector 1 is served", constant(FATAL_THREAD), _serve_fatal),
    )
}
"""Those that are proved."""
