"""Settings that all tests share."""

import os

import pytest
from hypothesis import Phase, settings

from emulator.backend import Laboratory

# No test depends on how fast the machine is. On CI the same examples are drawn on every run, so a
# failure there can be repeated anywhere: HYPOTHESIS_PROFILE=ci. `first` is the same for those who
# need not see a failure that was made smaller.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "first", settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)


@pytest.fixture
def laboratory():
    """Emulated cards on one net, whose threads end with the test."""
    made = Laboratory()
    yield made
    made.power_off()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a third of the time tests wait for threads."""
    return len(os.sched_getaffinity(0)) + 1
