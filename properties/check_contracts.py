"""The contracts of the driver's pure functions, checked by CrossHair.

    python -m properties.check_contracts [NAME ...]

Prints a line for each contract. Exit status: 0 all is as the table in `properties.contracts` says;
1 some contract has a counterexample; 2 the table is wrong: a contract that it has as confirmed was
not confirmed, or one that it has as unconfirmed was.
"""

from __future__ import annotations

import argparse
import enum
import functools
import struct
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs
from crosshair.core import register_patch
from crosshair.core_and_libs import analyze_function, run_checkables
from crosshair.options import AnalysisKind, AnalysisOptionSet
from crosshair.statespace import MessageType

from properties.contracts import CONTRACTS, Contract

__all__ = ["Confirmation", "ContractResult", "check", "main"]

CONFIRMING: Final = 30.0
"""Seconds for a contract that is to be confirmed; each takes less than a fifth of it."""
SEARCHING: Final = 1.0
"""Seconds to look for a counterexample where nothing will be confirmed."""


class Confirmation(enum.Enum):
    """What is known of a contract after a check."""

    CONFIRMED = "confirmed"
    OPEN = "not confirmed"
    REFUTED = "REFUTED"


@attrs.frozen
class ContractResult:
    """The outcome of a check.

    Attributes:
        contract: What was checked.
        verdict: Whether it holds.
        message: What CrossHair says, with the arguments of a counterexample.
        seconds: How long it took.
    """

    contract: Contract
    verdict: Confirmation
    message: str
    seconds: float

    @property
    def as_expected(self) -> bool:
        """Whether the table is right about it."""
        confirmed = self.verdict is Confirmation.CONFIRMED
        return self.verdict is not Confirmation.REFUTED and confirmed == (
            self.contract.obstacle is None
        )

    def __str__(self) -> str:
        start = f"{self.verdict.value:14}{self.seconds:5.1f} s  {self.contract.name}"
        obstacle = self.contract.obstacle
        if self.verdict is Confirmation.REFUTED:
            return f"{start}: {self.message}"
        if not self.as_expected:
            listed = "confirmed" if obstacle is None else f"not confirmed ({obstacle})"
            return f"{start}, and the table has it as {listed}"
        return start if obstacle is None else f"{start}: {obstacle}"


_KINDS: Final = {
    MessageType.CONFIRMED: Confirmation.CONFIRMED,
    MessageType.CANNOT_CONFIRM: Confirmation.OPEN,
    MessageType.POST_FAIL: Confirmation.REFUTED,
    MessageType.POST_ERR: Confirmation.REFUTED,
    MessageType.EXEC_ERR: Confirmation.REFUTED,
}


def check(contract: Contract) -> ContractResult:
    """Have CrossHair look at a contract.

    Raises:
        ValueError: CrossHair finds no contract in it.
    """
    _teach_structures()
    limit = SEARCHING if contract.obstacle else CONFIRMING
    options = AnalysisOptionSet(
        analysis_kind=[AnalysisKind.asserts],
        per_condition_timeout=limit,
        per_path_timeout=limit,
        report_all=True,
    )
    begin = time.perf_counter()
    messages = run_checkables(analyze_function(contract.function, options))
    seconds = time.perf_counter() - begin
    if len(messages) != 1 or messages[0].state not in _KINDS:
        told = "; ".join(f"{item.state.value}: {item.message}" for item in messages) or "nothing"
        raise ValueError(f"{contract.name} cannot be checked; CrossHair says {told}")
    (message,) = messages
    return ContractResult(
        contract, _KINDS[message.state], " ".join(message.message.split()), seconds
    )


@functools.cache
def _teach_structures() -> None:
    """CrossHair knows `struct.pack` and `unpack`; the methods of `struct.Struct` mean the same."""

    def packed(self: struct.Struct, *values: Any) -> bytes:
        return struct.pack(self.format, *values)

    def unpacked(self: struct.Struct, data: Any) -> tuple[Any, ...]:
        if len(data) != self.size:
            raise struct.error(f"unpack requires a buffer of {self.size} bytes")
        return struct.unpack(self.format, data)

    register_patch(struct.Struct.pack, packed)
    register_patch(struct.Struct.unpack, unpacked)


def exit_status(results: Iterable[ContractResult]) -> int:
    """0, 1 or 2: see the module."""
    status = 0
    for result in results:
        if result.verdict is Confirmation.REFUTED:
            return 1
        if not result.as_expected:
            status = 2
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Check contracts and say what is known of each."""
    parser = argparse.ArgumentParser(prog="properties.check_contracts", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="a contract; without any, all")
    names = parser.parse_args(arguments).names
    known = {contract.name: contract for contract in CONTRACTS}
    for name in names:
        if name not in known:
            parser.error(f"there is no contract {name}; there are {', '.join(known)}")
    results = []
    for contract in [known[name] for name in names] if names else CONTRACTS:
        result = check(contract)
        print(result, flush=True)
        results.append(result)
    confirmed = sum(result.verdict is Confirmation.CONFIRMED for result in results)
    seconds = sum(result.seconds for result in results)
    print(f"{confirmed} of {len(results)} contracts confirmed over all paths, in {seconds:.0f} s")
    return exit_status(results)


if __name__ == "__main__":
    sys.exit(main())
