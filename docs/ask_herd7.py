"""Ask herd7 for its verdicts on the litmus tests: `python -m docs.ask_herd7 [HERD7]`.

It writes `docs/litmus/verdicts.txt`: which herd7 it was, and for each test whether the bad end is
forbidden or allowed. Run it from the project's folder, where herd7 (https://github.com/herd/herdtools7)
is on the path, or with its path as an argument. It fails if a verdict is not the one expected.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from docs.draw_litmus import FOLDER, MODELS, litmus_tests

__all__ = ["VERDICTS", "asked", "expected", "recorded", "version"]

VERDICTS: Final = FOLDER / "verdicts.txt"
ALLOWED: Final = {"Never": False, "Sometimes": True, "Always": True}
"""What herd7 observes of the bad end, and whether that allows it."""


def version(program: str) -> str:
    """What herd7 says that it is."""
    made = subprocess.run([program, "-version"], check=True, capture_output=True, text=True)
    return f"herd7 {made.stdout.partition(',')[0].strip()}"


def asked(program: str) -> dict[str, bool]:
    """Whether herd7 allows the bad end of each test, by the path of its file.

    Raises:
        RuntimeError: herd7 gives no verdict on a test.
        subprocess.CalledProcessError: herd7 fails.
    """
    verdicts: dict[str, bool] = {}
    for machine, model in MODELS.items():
        tests = {item.name: item.path for item in litmus_tests() if item.machine == machine}
        files = [str(FOLDER / path) for path in tests.values()]
        command = [program, "-model", model, *files]
        made = subprocess.run(command, check=True, capture_output=True, text=True)
        observed = dict(re.findall(r"^Observation (\S+) (\w+) ", made.stdout, re.MULTILINE))
        missing = [path for name, path in tests.items() if name not in observed]
        if missing:
            raise RuntimeError(f"herd7 says nothing of {', '.join(missing)}: {made.stderr}")
        verdicts |= {path: ALLOWED[observed[name]] for name, path in tests.items()}
    return verdicts


def expected() -> dict[str, bool]:
    """Whether the bad end of each test should be allowed, by the path of its file."""
    return {item.path: item.allowed for item in litmus_tests()}


def recorded() -> tuple[str, dict[str, bool]]:
    """Which herd7 gave the verdicts that are on record, and these."""
    first, *lines = VERDICTS.read_text(encoding="utf-8").splitlines()
    return first, {path: word == "allowed" for path, word in map(str.split, lines)}


def _written(who: str, verdicts: Mapping[str, bool]) -> str:
    lines = [f"{path} {'allowed' if may else 'forbidden'}" for path, may in verdicts.items()]
    return "\n".join([who, *lines, ""])


def main(arguments: Sequence[str]) -> int:
    """Ask, write, and say which verdicts are not the expected ones; returns the exit status."""
    program = arguments[0] if arguments else "herd7"
    verdicts = asked(program)
    VERDICTS.write_text(_written(version(program), verdicts), encoding="utf-8")
    others = [path for path, may in expected().items() if verdicts[path] is not may]
    print(f"{len(verdicts)} verdicts, {len(others)} not as expected")
    for path in others:
        print(f"  {path}: {'allowed' if verdicts[path] else 'forbidden'}")
    return 1 if others else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
