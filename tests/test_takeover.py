"""The driver takes over a card in whatever state somebody has left it, judged at each access."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rules import Party
from judge.judge import Deviation
from model.layout import HWERR, RST
from model.state import Flags, Stage
from model.system import DUCT, specification
from properties.driver_source import PRESENT, DriverCode
from properties.fault_runs import Script
from properties.faults import fault
from properties.simulation.simulation import HWADDR, Setup, Simulation
from properties.stateful import specification_at

SETUP = Setup()
SPECIFICATION = specification_at(SETUP.scope())
SOMEBODY_ELSES = 0xDEAD_F000
BITS = {Flags.CLEAR: 0, Flags.ERROR: HWERR.mask, Flags.RESETTING: RST.mask}
AT_WORK = {
    "tx": (Stage.LOOK, Stage.FETCH, Stage.READ_FIRST_WORD, Stage.WRITE_OWNER),
    "cmd": (Stage.LOOK, Stage.FETCH, Stage.WRITE_STATUS, Stage.WRITE_OWNER),
    "rx": (Stage.LOOK, Stage.FETCH, Stage.WRITE_LAST_WORD, Stage.WRITE_HEADER, Stage.WRITE_OWNER),
}
"""Where an engine stands that is about to access memory."""


def test_whatever_the_card_changes_may_be_anything_at_power_on():
    """Then nothing that a predecessor's card has done is left out of the proofs."""
    changed = {
        name
        for step in specification().transitions
        if step.rule.party is Party.DEVICE or step.rule.name.startswith(("card.", "rx.arrive"))
        for name in step.updates
    }
    history = {variable.name for variable in specification().variables if variable.history}
    assert {"card.flags", "tx.stage", "cmd.seen_kind", "rx.target"} <= changed
    written = {f"{ring}.based" for ring in AT_WORK} | {"cmd.doorbell_i", "tx.doorbell_i"}
    assert (changed | written) - history <= DUCT.arbitrary


def engines(ring):
    return st.fixed_dictionaries(
        {
            "stage": st.sampled_from((Stage.IDLE, *AT_WORK[ring])),
            "based": st.booleans(),
            "dev_i": st.integers(0, 4095),
            "event": st.booleans(),
        }
    )


shared = st.fixed_dictionaries(
    {
        "flags": st.sampled_from(list(Flags)),
        **dict.fromkeys(("started", "stopping", "raising", "vector0", "vector1"), st.booleans()),
    }
)


class Watched:
    """Memory as the card reaches it, and the addresses that it asked for."""

    def __init__(self, memory):
        self.memory = memory
        self.asked = []

    def read(self, address, size):
        self.asked.append(address)
        return self.memory.read(address, size)

    def write(self, address, data):
        self.asked.append(address)
        self.memory.write(address, data)


def left(shared, engines, code=PRESENT):
    """A run whose card is in some state, without access to memory, and knows somebody's rings."""
    simulation = Simulation(SETUP, SPECIFICATION, code)
    card, stepper = simulation.card, simulation.judge.stepper
    card.dma = Watched(card.dma)
    for name, value in shared.items():
        setattr(card, name, value)
        stepper.set(f"card.{name}", value)
    card.flag_bits = BITS[card.flags]
    for ring, state in engines.items():
        engine = getattr(card, ring)
        engine.base, engine.shift = SOMEBODY_ELSES, 12
        for name, value in state.items():
            setattr(engine, name, value)
            stepper.set(f"{ring}.{name}", value)
    return simulation


@given(shared, st.fixed_dictionaries({ring: engines(ring) for ring in AT_WORK}))
@settings(deadline=None)
def test_a_card_in_any_state_is_opened_used_and_closed(shared, engines):
    simulation = left(shared, engines)
    script = Script(simulation)
    script.happens("open")
    assert len(simulation.handles) == 1
    script.happens("send", 0, HWADDR, (3,), True)
    script.happens("offer", HWADDR, 5)
    script.happens("receive", 0, True, False)
    simulation.finish()
    assert simulation.card.dma.asked
    assert max(simulation.card.dma.asked) < SOMEBODY_ELSES


def test_a_driver_that_resets_it_too_late_lets_it_go_on():
    code = DriverCode.changed(fault("bus-master-before-reset").changes)
    at_work = {"tx": {"based": True, "stage": Stage.FETCH}}
    simulation = left({"flags": Flags.CLEAR, "started": True}, at_work, code)
    with pytest.raises(Deviation, match=r"tx\.fetch is not allowed now"):
        Script(simulation).happens("open")
