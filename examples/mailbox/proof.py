"""Why the mailbox works: what is promised, the invariant that it follows from, four faults."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.claims import InvariantBook, PropertyBook
from engine.faults import Fault, FaultCase
from engine.leads_to import Case, Process, Promise, count
from engine.mutations import leaves, without_barrier
from engine.rules import Choice
from engine.scenario import Scenario
from engine.scope import Scope
from engine.terms import And, Bool, If, Iff, Implies, Number, constant, one_of
from engine.theory import Theory
from engine.witnesses import Setting
from examples.mailbox.spec import DRIVER, MAILBOX, SLOT, Label, Stage, State, at, specification

__all__ = ["THEORY"]

PROPERTIES: Final = PropertyBook()
INVARIANTS: Final = InvariantBook()

# What is promised


@PROPERTIES.property("own-answer")
def answer_is_its_own(s: State) -> Bool:
    """A call returns the answer to its own request."""
    return Implies(at(s, DRIVER, Label.IDLE), s.threads.got[DRIVER] == s.box.sequence[SLOT])


@PROPERTIES.property("whole-request")
def request_is_whole(s: State) -> Bool:
    """The device answers the request that was handed over, and no older one."""
    return Implies(s.box.stage == Stage.ANSWER, s.box.seen == s.box.sequence[SLOT])


# Why that is so: the invariant


def waits(s: State) -> Bool:
    """The request was announced, and the driver waits for the answer."""
    return at(s, DRIVER, Label.WAIT, Label.LOOK)


def under_way(s: State) -> Bool:
    """The doorbell is on its way to the device."""
    return s.box.doorbells_posted != s.box.doorbells_arrived


def handed_over(s: State) -> Bool:
    """The flag says that the slot is the device's, or will once it is visible."""
    return s.box.full[SLOT] | s.box.flag_pending[SLOT] & s.box.full_new[SLOT]


@INVARIANTS.invariant("driver.program")
def program(s: State) -> Bool:
    """The driver is somewhere in its program."""
    return one_of(s.threads.pc[DRIVER], Label)


@INVARIANTS.invariant("driver.answer")
def answer_loaded(s: State) -> Bool:
    """Between two calls the driver has the answer to the last one."""
    return answer_is_its_own(s)


@INVARIANTS.invariant("memory.order")
def order(s: State) -> Bool:
    """The data is visible when the flag is; a flag that is not visible yet says FULL."""
    box = s.box
    return And(
        Implies(box.full[SLOT], ~box.data_pending[SLOT]),
        Implies(box.flag_pending[SLOT], box.full_new[SLOT]),
    )


@INVARIANTS.invariant("memory.data")
def data(s: State) -> Bool:
    """From its store until the answer was found, the data is the request's, visible or not."""
    stored = ~at(s, DRIVER, Label.IDLE, Label.DATA, Label.ANSWER)
    right = s.box.data[SLOT] == s.box.sequence[SLOT]
    return If(stored, s.box.data_pending[SLOT] | right, ~s.box.data_pending[SLOT])


@INVARIANTS.invariant("slot.hosts")
def slot_is_hosts(s: State) -> Bool:
    """Until the driver stores the flag, and when it has seen it empty, nothing is under way."""
    hosts = at(s, DRIVER, Label.IDLE, Label.DATA, Label.FLAG, Label.ANSWER)
    quiet = ~s.box.full[SLOT] & ~s.box.flag_pending[SLOT] & ~under_way(s)
    return Implies(hosts, quiet & (s.box.stage == Stage.IDLE))


@INVARIANTS.invariant("slot.announced")
def slot_is_announced(s: State) -> Bool:
    """A slot that was handed over is the device's, and the device does not know it yet."""
    waiting = at(s, DRIVER, Label.DOORBELL) | waits(s) & under_way(s)
    one = s.box.doorbells_posted == s.box.doorbells_arrived + 1
    return And(
        Implies(waiting, handed_over(s) & (s.box.stage == Stage.IDLE)),
        Implies(under_way(s), waits(s) & one),
    )


@INVARIANTS.invariant("slot.answered")
def slot_is_answered(s: State) -> Bool:
    """Once the doorbell has arrived the device works on the slot, or has given it back."""
    box = s.box
    back = (box.answer[SLOT] == box.sequence[SLOT]) & (box.raised | at(s, DRIVER, Label.LOOK))
    return Implies(
        waits(s) & ~under_way(s),
        And(
            ~box.flag_pending[SLOT],
            ~box.data_pending[SLOT],
            Iff(box.full[SLOT], box.stage != Stage.IDLE),
            box.full[SLOT] | back,
        ),
    )


@INVARIANTS.invariant("device.engine")
def engine(s: State) -> Bool:
    """The device is at one of its stages, and what it has read and written is the request's."""
    box = s.box
    return And(
        one_of(box.stage, Stage),
        Implies(one_of(box.stage, (Stage.ANSWER, Stage.GIVE_BACK)), box.seen == box.sequence[SLOT]),
        Implies(box.stage == Stage.GIVE_BACK, box.answer[SLOT] == box.sequence[SLOT]),
    )


@INVARIANTS.invariant("driver.early")
def early(s: State) -> Bool:
    """An answer that is to be loaded, or was loaded early, is the request's."""
    box = s.box
    return And(
        Implies(at(s, DRIVER, Label.ANSWER), box.answer[SLOT] == box.sequence[SLOT]),
        Implies(
            box.answer_speculated,
            at(s, DRIVER, Label.ANSWER) & (box.speculated_answer == box.sequence[SLOT]),
        ),
    )


# What happens at last

LEFT: Final = {Label.DATA: 5, Label.FLAG: 4, Label.DOORBELL: 3, Label.ANSWER: 1, Label.IDLE: 0}


def steps_left(s: State) -> tuple[Number, Number]:
    """What the driver has left to do; while it waits, what memory and the device have."""
    box, pc = s.box, s.threads.pc[DRIVER]
    driver: Number = constant(2)
    for label, left in LEFT.items():
        driver = If(pc == label, left, driver)
    memory = count(box.data_pending[SLOT]) + count(box.flag_pending[SLOT]) + 10
    back = If(pc == Label.LOOK, 1, 2)
    device = If(box.full[SLOT], constant(9) - box.stage, back)
    return driver, If(waits(s), If(under_way(s), memory, device), 0)


def who_helps(s: State) -> list[Case]:
    """Whose turn it is to bring the answer nearer."""
    return [
        Case("driver", ~waits(s), Process("thread", DRIVER)),
        Case("data", under_way(s) & s.box.data_pending[SLOT], Process("box.data_visible", SLOT)),
        Case("flag", under_way(s) & s.box.flag_pending[SLOT], Process("box.flag_visible", SLOT)),
        Case("doorbell", under_way(s), Process("doorbell")),
        Case("device", s.box.full[SLOT], Process("device")),
        Case("interrupt", ~s.box.full[SLOT], Process("thread", DRIVER)),
    ]


def busy(s: State) -> Bool:
    """Every request is answered at last."""
    return ~at(s, DRIVER, Label.IDLE)


ANSWERED: Final = Promise(
    "answered", "requests-answered", (), busy, lambda s: ~busy(s), steps_left, who_helps
)

# What must go wrong

EVERYTHING: Final = Scenario(frozenset(step.rule.name for step in specification().transitions))
ONE_SLOT: Final = (1,)
FAULTS: Final = (
    FaultCase(
        Fault(
            "no-release", "classic", "no store barrier between data and flag",
            "The flag becomes visible before the data: the device answers an older request.",
            "whole-request",
        ),
        without_barrier("box.flag_visible", "release: data before flag"),
        EVERYTHING, ONE_SLOT,
    ),
    FaultCase(
        Fault(
            "no-acquire", "classic", "no load barrier between flag and answer",
            "The answer is loaded before the flag: the call returns an older answer.",
            "own-answer",
        ),
        without_barrier("box.speculate_answer", "acquire: flag before answer"),
        EVERYTHING, ONE_SLOT,
    ),
    FaultCase(
        Fault(
            "early-doorbell", "classic", "no barrier between flag and doorbell",
            "The doorbell arrives before the flag: the device finds nothing, and goes to sleep.",
            "deadlock-freedom",
        ),
        without_barrier("doorbell_arrives", "flag before doorbell"),
        EVERYTHING, ONE_SLOT,
    ),
    FaultCase(
        Fault(
            "no-doorbell", "classic", "the doorbell is not rung",
            "The device never looks at the slot, and the call never returns.",
            "deadlock-freedom",
        ),
        leaves("ring_doorbell", "box.doorbells_posted", "Go on without the doorbell."),
        EVERYTHING, ONE_SLOT,
    ),
)  # fmt: skip

THEORY: Final = Theory(
    place="examples.mailbox.proof:THEORY",
    program="examples.mailbox.check",
    description="Prove the mailbox, and catch four faults.",
    protocol=MAILBOX,
    specification=specification,
    invariants=INVARIANTS.invariants,
    properties=PROPERTIES.properties,
    promises=(ANSWERED,),
    undone=lambda s, t, k: {"request": busy(s)},
    movers=lambda s, t, k: {Choice.THREAD: (DRIVER,), Choice.SLOT: (SLOT,)},
    settings=(Setting(Scope(), steps=2000),),
    cases=lambda: FAULTS,
    answers=Path(__file__).resolve().parents[2] / ".proof-answers",
)
"""Everything that is proved of the mailbox."""
