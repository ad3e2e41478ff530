"""What can be chosen of a card, and what cannot."""

import math

import pytest

from impl.errors import InvalidArgumentError
from impl.settings import LONGEST, Settings
from model.layout import LIMITS

DAY = 86_400
TIMES = ("reset_pause", "drain_timeout", "command_timeout")
GOOD = [
    *(("ring_shift", shift) for shift in (0, LIMITS.max_shift)),
    *(("reset_polls", polls) for polls in (1, 10**9)),
    *((name, seconds) for name in TIMES for seconds in (0, 0.5, DAY)),
]
BAD = [
    *(("ring_shift", shift, f"is 0 to 12, not {shift}") for shift in (-1, LIMITS.max_shift + 1)),
    *(("reset_polls", polls, f"is 1 or more, not {polls}") for polls in (0, -1)),
    *(
        (name, given, f"is a whole number, not {given!r}")
        for name in ("ring_shift", "reset_polls")
        for given in (1.0, "8", None)
    ),
    *(
        (name, seconds, f"is 0 to 86400 seconds, not {seconds}")
        for name in TIMES
        for seconds in (-0.001, DAY + 0.001, math.inf, math.nan)
    ),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_what_is_in_its_range_is_taken(name, value):
    assert getattr(Settings(**{name: value}), name) == value


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_what_is_not_is_refused_by_name(name, value, message):
    with pytest.raises(InvalidArgumentError) as caught:
        Settings(**{name: value})
    assert caught.value.strerror == f"{name} {message}"


def test_the_longest_time_is_a_day():
    assert LONGEST == DAY
