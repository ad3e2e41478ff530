"""The driver is compared with the specification at every memory access."""

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from properties.driver_source import PRESENT
from properties.profiles import PROFILES, chosen
from properties.stateful import DriverMachine, machine_of

PROFILE = chosen()
ATTEMPTS = 3
"""Searches that may be made for one share of the accesses. How long the runs of a search are is up
to chance, and to every constant in a module that is loaded, of which Hypothesis makes use."""


@pytest.mark.parametrize("part", range(PROFILE.parts))
def test_every_access_is_a_step_of_the_specification(part):
    machine = machine_of(PRESENT, saves_to=DriverMachine.saves_to)
    for attempt in range(ATTEMPTS):
        seeded = seed(part + attempt * PROFILE.parts)(machine) if PROFILE.fixed else machine
        run_state_machine_as_test(seeded, settings=PROFILE.limits(derandomize=False))
        if machine.accesses >= PROFILE.accesses:
            return
    # Searches whose runs are empty find nothing and prove nothing.
    pytest.fail(f"{ATTEMPTS} searches judged {machine.accesses} accesses only")


class TestDriver(DriverMachine.TestCase):
    """The same for fuzzers, which look for Hypothesis tests by themselves."""

    settings = PROFILES["dev"].limits()


def test_a_million_accesses_are_judged_in_continuous_integration():
    profile = PROFILES["ci"]
    assert profile.parts * profile.accesses >= 1_000_000


def test_an_unknown_profile_names_the_known_ones(monkeypatch):
    monkeypatch.setenv("DUCT_PROFILE", "weekly")
    with pytest.raises(ValueError) as error:
        chosen()
    assert str(error.value) == "DUCT_PROFILE is one of dev, ci, nightly, not 'weekly'"
