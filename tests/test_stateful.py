"""The driver is compared with the specification at every memory access."""

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from properties.code import PRESENT
from properties.profiles import PROFILES, chosen
from properties.stateful import DriverMachine, machine_of

PROFILE = chosen()


@pytest.mark.parametrize("part", range(PROFILE.parts))
def test_every_access_is_a_step_of_the_specification(part):
    machine = machine_of(PRESENT, saves_to=DriverMachine.saves_to)
    seeded = seed(part)(machine) if PROFILE.fixed else machine
    run_state_machine_as_test(seeded, settings=PROFILE.limits(derandomize=False))
    # A search whose runs are empty finds nothing and proves nothing.
    assert machine.accesses >= PROFILE.accesses


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
