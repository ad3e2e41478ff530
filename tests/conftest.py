"""Settings that all tests share."""

import os

from hypothesis import settings

# No test depends on how fast the machine is. On CI the same examples are drawn on every run, so a
# failure there can be repeated anywhere: HYPOTHESIS_PROFILE=ci.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)
