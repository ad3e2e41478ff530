"""The stateful comparison: Hypothesis decides everything that happens to driver, memory and card.

Users begin calls, packets arrive, sleeps end early, the card fails; in between a *schedule*, a
string of bytes, picks who goes on next, one access at a time. Byte 0 picks what comes first in the
fixed order of `Simulation.options`, so that examples shrink towards short, orderly runs.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from judge.judge import Deviation, Specification
from model.scope import Scope
from properties.driver_source import PRESENT, DriverCode
from properties.replay import Run, explanation, save, trace_of, write_trace
from properties.simulation.host import Ending
from properties.simulation.simulation import FILTERS, HWADDR, SIZES, Decision, Setup, Simulation

__all__ = ["DriverMachine", "machine_of", "specification_at"]

EXTRA: Final = 224
"""Schedule bytes from here on pick among what may happen and never has to."""
HANDLES: Final = 3
SETUPS: Final = st.builds(
    Setup,
    ring_shift=st.sampled_from([1, 0, 2]),
    users=st.sampled_from([4, 2]),
    posted=st.sampled_from([4, 1, 2]),
    stale=st.booleans(),
)
MOST_ARRIVING: Final = 4
DESTINATIONS: Final = (0xEC60, HWADDR, 0x80010003)
BATCHES: Final = ((0,), (1,), (2,), (5000,), (16384,), (0, 3), (4096, 0), (2, 0, 1), (3, 2, 5000))


def _calls() -> Iterator[Decision]:
    """Every call that users make; those that occur often stand here more than once."""
    for index, blocking in itertools.product(range(2), (True, False)):
        for destination, sizes in itertools.product(DESTINATIONS[:2], BATCHES):
            yield "send", index, destination, sizes, blocking
        for view in (False, True):
            yield from [("receive", index, blocking, view)] * 6
        for most in (2, 5):
            yield from [("batch", index, most, blocking)] * 2
    for destination, size in itertools.product(DESTINATIONS[1:], SIZES):
        yield from [("offer", destination, size)] * 3
    for index in range(2):
        yield from [("release", index)] * 8
        yield from [("poll", index)] * 3
        yield from [("close", index)] * 3
        for key, remove in itertools.product(range(1, len(FILTERS)), (False, True)):
            yield from [("filter", index, key, remove)] * 2
    yield from [("open",)] * 6


CALLS: Final = tuple(_calls())


@functools.cache
def specification_at(scope: Scope) -> Specification:
    """The specification at a run's sizes; making one costs a tenth of a second."""
    return Specification(scope)


class DriverMachine(RuleBasedStateMachine):
    """One run of the driver beside the specification.

    Attributes:
        code: The driver that is run.
        accesses: Accesses judged in all runs of this class so far.
        saves_to: Where a run that deviates is written to; None: nowhere.
    """

    code: ClassVar[DriverCode] = PRESENT
    accesses: ClassVar[int] = 0
    saves_to: ClassVar[Path | None] = Path("build/deviation.json")
    fault: ClassVar[str] = ""
    simulation: Simulation
    plan: deque[Decision]

    @initialize(setup=SETUPS)
    def set_up(self, setup: Setup) -> None:
        """Power on, and open the card."""
        self.simulation = Simulation(setup, specification_at(setup.scope()), self.code)
        self.plan = deque()
        self._decide("open")

    def _decide(self, *decision: Any) -> None:
        self._watched(lambda: self.simulation.decide(decision))

    def _watched(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Deviation as deviation:
            run = Run(self.simulation.setup, tuple(self.simulation.decisions), self.fault)
            note(explanation(self.simulation, deviation))
            if self.saves_to is not None:
                save(run, self.saves_to)
                write_trace(
                    trace_of(self.simulation, deviation), self.saves_to.with_suffix(".itf.json")
                )
                note(f"Replay it: {run.command(self.saves_to)}")
            raise

    # Time passes

    @rule(schedule=st.binary(min_size=1, max_size=16))
    def go_on(self, schedule: bytes) -> None:
        """Let a few things happen, one access at a time, in the order that the schedule picks."""
        self._follow(schedule)

    @rule(schedule=st.binary(min_size=512, max_size=1024))
    def go_on_and_on(self, schedule: bytes) -> None:
        """The same for a long while."""
        self._follow(schedule)

    def _follow(self, schedule: bytes) -> None:
        simulation = self.simulation

        def act() -> None:
            for byte in schedule:
                options: list[Decision] = []
                if byte >= EXTRA:
                    options = list(simulation.extras())
                if not options:
                    options = [*simulation.options(), *self._next_call()]
                if not options and self.plan:
                    # Nothing else happens: time passes, or somebody is done with a packet.
                    options = [item for item in simulation.disturbances() if Ending.EXPIRED in item]
                    if simulation.views and simulation.idle(ends=True) is not None:
                        options.append(("release", 0))
                if not options:
                    return
                choice = options[byte % len(options)]
                if self.plan and choice is self.plan[0]:
                    self.plan.popleft()
                    choice = self._through_a_handle(choice)
                simulation.decide(choice)

        self._watched(act)

    def _next_call(self) -> Iterator[Decision]:
        """The call that the users make next, if one of them can."""
        simulation, plan = self.simulation, self.plan
        while plan:
            kind = plan[0][0]
            if kind == "offer" and len(simulation.arriving) < MOST_ARRIVING:
                yield plan[0]
                return
            if kind not in {"offer", "open", "release"} and not simulation.handles:
                if not simulation.calls:
                    plan.appendleft(("open",))
                    continue
                return
            useless = (
                kind == "offer"
                or (kind == "open" and len(simulation.handles) >= HANDLES)
                or (kind == "release" and not simulation.views)
            )
            if not useless:
                if simulation.idle(ends=kind in {"close", "release"}) is not None:
                    yield plan[0]
                return
            plan.popleft()

    def _through_a_handle(self, call: Decision) -> Decision:
        """The call with an index that exists."""
        kind, *about = call
        if kind in {"offer", "open"}:
            return call
        among = self.simulation.views if kind == "release" else self.simulation.handles
        return kind, about[0] % len(among), *about[1:]

    @rule()
    def settle(self) -> None:
        """Let everything happen that must."""
        self._watched(self.simulation.settle)

    # What users do

    @rule(call=st.sampled_from(CALLS))
    def plan_call(self, call: Decision) -> None:
        """A user intends to make this call as soon as a thread is free."""
        self.plan.append(call)

    @rule(calls=st.lists(st.sampled_from(CALLS), min_size=32, max_size=64))
    def plan_calls(self, calls: list[Decision]) -> None:
        """Users intend to make all these calls, in this order."""
        self.plan.extend(calls)

    # What goes wrong

    @rule(which=st.integers(0, 15))
    def disturb(self, which: int) -> None:
        """Something goes wrong, short of a fatal error."""
        choices = [item for item in self.simulation.disturbances() if item[0] != "fail"]
        if choices:
            self._decide(*choices[which % len(choices)])

    @precondition(lambda self: self.simulation.card.may_fail())
    @rule(really=st.integers(0, 3))
    def fail(self, really: int) -> None:
        """The card fails, one time in four."""
        if not really:
            self._decide("fail")

    # The end

    def teardown(self) -> None:
        """Everything comes to rest, every open is closed, and nothing is left."""
        simulation = getattr(self, "simulation", None)
        if simulation is None or simulation.broken:
            return
        try:
            self._watched(simulation.finish)
        finally:
            type(self).accesses += simulation.steps


def machine_of(
    code: DriverCode, *, fault: str = "", saves_to: Path | None = None
) -> type[DriverMachine]:
    """The stateful comparison for another driver."""
    return type(
        "ChangedDriverMachine",
        (DriverMachine,),
        {"code": code, "accesses": 0, "fault": fault, "saves_to": saves_to},
    )
