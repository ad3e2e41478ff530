"""The mailbox: a device with one slot of memory, a doorbell and an interrupt.

    host:    store data -> store flag FULL -> ring doorbell -> read STATUS (the interrupt)
             -> load flag: EMPTY -> load answer
    device:  doorbell -> load flag: FULL -> load data -> store answer -> store flag EMPTY
             -> interrupt

The flag says whose the slot is. Between host and device stand a store buffer, speculated loads and
a posted doorbell, so the order of everything else hangs on three barriers.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import Final

import attrs

from engine.phrases import Phrases
from engine.protocol import Protocol, System
from engine.rules import USER, Party, Recorder, RuleBook
from engine.smt import Machine
from engine.terms import FALSE, TRUE, And, Array, Bool, Domain, If, Number, constant, one_of
from engine.variables import Group, flag, flags, number, numbers
from engine.weak_memory import memory_steps
from engine.words import Order, Speculation, Word

SECTION: Final = "mailbox"
DRIVER: Final = constant(0)
SLOT: Final = constant(0)
HOST, DEVICE = False, True
BOOK: Final = RuleBook()
Body = Callable[..., None]

# What there is


class Label(enum.IntEnum):
    """Where the driver is in its program: the step of that name comes next."""

    IDLE = 0
    DATA = 1
    FLAG = 2
    DOORBELL = 3
    WAIT = 4
    LOOK = 5
    ANSWER = 6


Stage = enum.IntEnum("Stage", ["IDLE", "LOOK", "FETCH", "ANSWER", "GIVE_BACK"], start=0)


@attrs.define(eq=False)
class Box(Group):
    """The slot, what the driver keeps of it, and the device."""

    sent: Number = number("number of requests handed over; the next one's number")
    sequence: Array[Number] = numbers(Domain.SLOT, "the request that was stored last")
    data_pending: Array[Bool] = flags(Domain.SLOT, "the store of the data is not visible yet")
    full_new: Array[Bool] = flags(Domain.SLOT, "the flag last stored, true = the device's")
    flag_pending: Array[Bool] = flags(Domain.SLOT, "the store of the flag is not visible yet")
    doorbells_posted: Number = number("number of doorbells that were written")
    doorbells_arrived: Number = number("number of doorbells that reached the device")
    data: Array[Number] = numbers(Domain.SLOT, "the request that the data belongs to")
    full: Array[Bool] = flags(Domain.SLOT, "the flag as the device sees it")
    answer: Array[Number] = numbers(Domain.SLOT, "the request that the answer belongs to")
    answer_speculated: Bool = flag("the answer was loaded ahead of its turn")
    speculated_answer: Number = number("the request that the answer so loaded belongs to")
    stage: Number = number("what the device does next")
    seen: Number = number("the request that the data fetched belongs to")
    raised: Bool = flag("the interrupt was raised and not acknowledged yet")


@attrs.define(eq=False)
class Threads(Group):
    """What threads keep. Thread 0 is the driver's."""

    pc: Array[Number] = numbers(Domain.THREAD, "the next step")
    got: Array[Number] = numbers(Domain.THREAD, "the request whose answer was loaded", history=True)


@attrs.define(eq=False)
class State(Recorder):
    """Everything."""

    box: Box
    threads: Threads


# Memory: which words are shared, and which barriers order them


def at(s: State, t: Number, *labels: Label) -> Bool:
    """Thread t is the driver's, and at one of `labels`."""
    return And(t == DRIVER, one_of(s.threads.pc[t], labels))


DATA: Final = Word("box", "data", ("data",), ("sequence",), "data_pending")
FLAG: Final = Word(
    "box", "flag", ("full",), ("full_new",), "flag_pending",
    after=(Order("release: data before flag", ("data",)),),
    values={HOST: "EMPTY", DEVICE: "FULL"}, synchronises=True,
)  # fmt: skip
ANSWER: Final = Word(
    "box", "answer", ("answer",),
    speculation=Speculation(
        flag="answer_speculated", holds=("speculated_answer",), slot=lambda s: SLOT,
        barrier="acquire: flag before answer", behind=lambda s: at(s, DRIVER, Label.ANSWER),
        window=lambda s: at(s, DRIVER, Label.LOOK, Label.ANSWER),
    ),
)  # fmt: skip
WORDS: Final = (DATA, FLAG, ANSWER)


@BOOK.rule(SECTION, Party.MEMORY, fair="doorbell")
def doorbell_arrives(s: State) -> None:
    """The doorbell reaches the device."""
    s.require(s.box.doorbells_arrived != s.box.doorbells_posted)
    s.barrier("flag before doorbell", ~s.box.flag_pending[SLOT])
    s.box.doorbells_arrived = s.box.doorbells_arrived + 1
    s.box.stage = constant(Stage.LOOK)


# The driver


def driver(here: Label, then: Label, party: Party = Party.HOST) -> Callable[[Body], Body]:
    """A step of the driver: it stands at `here`, and goes on at `then`."""

    def state(body: Body) -> Body:
        @functools.wraps(body)
        def step(s: State, t: Number) -> None:
            s.require(at(s, t, here))
            body(s, t)
            s.threads.pc[t] = then

        return BOOK.rule(SECTION, party, USER, fair="thread" if party is Party.HOST else "")(step)

    return state


@driver(Label.IDLE, then=Label.DATA, party=Party.ENVIRONMENT)
def begin(s: State, t: Number) -> None:
    """Somebody has a request."""
    s.box.sequence[SLOT] = s.box.sent


@driver(Label.DATA, then=Label.FLAG)
def store_data(s: State, t: Number) -> None:
    """Store the request."""
    s.store(DATA, SLOT)


@driver(Label.FLAG, then=Label.DOORBELL)
def hand_over(s: State, t: Number) -> None:
    """Store the flag: the slot is the device's."""
    s.store(FLAG, SLOT, full=DEVICE)
    s.box.sent = s.box.sent + 1


@driver(Label.DOORBELL, then=Label.WAIT)
def ring_doorbell(s: State, t: Number) -> None:
    """Write the doorbell, a posted write."""
    s.rings_doorbell("box", SLOT)
    s.box.doorbells_posted = s.box.doorbells_posted + 1


@driver(Label.WAIT, then=Label.LOOK)
def take_interrupt(s: State, t: Number) -> None:
    """Read STATUS, which acknowledges the interrupt."""
    s.require(s.box.raised)
    s.reads_register("STATUS")
    s.box.raised = FALSE


@driver(Label.LOOK, then=Label.ANSWER)
def find_answer(s: State, t: Number) -> None:
    """Load the flag: the slot is the host's again."""
    s.require(~s.load(FLAG, SLOT, HOST))


@driver(Label.LOOK, then=Label.WAIT)
def find_nothing(s: State, t: Number) -> None:
    """Load the flag: the interrupt was spurious."""
    s.require(s.load(FLAG, SLOT, DEVICE))


@driver(Label.ANSWER, then=Label.IDLE)
def load_answer(s: State, t: Number) -> None:
    """Load the answer; done."""
    s.threads.got[t] = s.load(ANSWER, SLOT)


# The device


def device(name: str) -> Callable[[Body], Body]:
    """A step of the device."""
    return BOOK.rule(SECTION, Party.DEVICE, fair="device", name=f"device.{name}")


@device("look")
def look(s: State) -> None:
    """Load the flag: only a slot of the device's is touched."""
    s.require(s.box.stage == Stage.LOOK)
    s.box.stage = If(s.load(FLAG, SLOT), Stage.FETCH, Stage.IDLE)


@device("fetch")
def fetch(s: State) -> None:
    """Load the data."""
    s.require(s.box.stage == Stage.FETCH)
    s.box.seen = s.load(DATA, SLOT)
    s.box.stage = constant(Stage.ANSWER)


@device("answer")
def answer(s: State) -> None:
    """Store the answer."""
    s.require(s.box.stage == Stage.ANSWER)
    s.store(ANSWER, SLOT, answer=s.box.seen)
    s.box.stage = constant(Stage.GIVE_BACK)


@device("give_back")
def give_back(s: State) -> None:
    """Store the flag: the slot is the host's; raise the interrupt."""
    s.require(s.box.stage == Stage.GIVE_BACK)
    s.store(FLAG, SLOT, full=HOST)
    s.box.raised = TRUE
    s.box.stage = constant(Stage.IDLE)


@BOOK.rule(SECTION, Party.ENVIRONMENT)
def spurious_interrupt(s: State) -> None:
    """The interrupt is raised although nothing happened."""
    s.require(~s.box.raised)
    s.box.raised = TRUE


# Everything together

MAILBOX: Final = Protocol(
    "mailbox", State, Label, words=WORDS, machine=Machine(shifts=(0,)),  # one slot
    arbitrary=frozenset({"box.data", "box.answer"}),
    phrases=Phrases(named={"threads.pc": Label, "box.stage": Stage}, threads={0: "driver"}),
)  # fmt: skip


@functools.cache
def specification() -> System:
    """The mailbox as it should be."""
    steps = [step for word in WORDS for step in memory_steps(word, SECTION)]
    return MAILBOX.system([*BOOK.rules, *steps])
