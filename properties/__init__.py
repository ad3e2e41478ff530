"""What the driver must be, as tests state it: contracts, and suites that every backend runs."""

from engine.needed import needed

needed()
