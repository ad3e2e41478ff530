"""How long the proof of the driver's lines takes, by call: `python -m bench.lines`."""

from __future__ import annotations

from collections.abc import Iterable

from bench.named import options
from proofs.refine.calls import CALLS, prove
from proofs.refine.driver import load

__all__ = ["print_lines"]


def print_lines(names: Iterable[str] = tuple(CALLS)) -> None:
    """Go all ways through each call, in one process, and print a table."""
    print(
        f"\n{'lines of':<20} {'ways':>6} {'cuts':>6} {'claims':>8} {'questions':>10} {'seconds':>8}"
    )
    for name in names:
        found = prove(CALLS[name], load())
        claims = sum(found.obligations.values())
        failed = f"  {len(found.failures)} failed" if found.failures else ""
        print(
            f"{name:<20} {found.ways:>6} {found.cuts:>6} {claims:>8,} {found.questions:>10,} "
            f"{found.seconds:>8.1f}{failed}",
            flush=True,
        )


if __name__ == "__main__":
    print_lines(options("bench.lines", __doc__, "CALL", CALLS))
