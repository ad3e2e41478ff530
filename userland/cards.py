"""The subcommands of `ductctl` that are about the cards of this machine: list, bind, unbind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from impl.binding import NOTES, Binder, Bus, Way, way_of
from impl.pci import CARD, PciFunction, cards, find_card
from userland.tool import Parser, run

__all__ = ["subcommands"]

NAME: Final = "ductctl"
STATUS: Final = "exit status: 0 done; 1 it cannot be done; 2 wrong usage; 128 + n ended by signal n"
CARD_HELP: Final = (
    f"the card: its PCI address, such as 0000:00:05.0 or 00:05.0, or {CARD}; not needed if there "
    "is only one"
)
HEADINGS: Final = ("CARD", "IDS", "DRIVER", "IOMMU", "INTERRUPTS", "USE")


@attrs.frozen
class Options:
    """What was asked for.

    Attributes:
        card: Which card; empty for the only one.
        way: How it is to be reached.
        notes: Where it is noted what cards were bound to.
    """

    card: str = ""
    way: Way = Way.VFIO
    notes: Path = NOTES


def _parser(name: str, description: str, examples: str) -> Parser:
    return Parser(f"{NAME} {name}", description, f"{examples}\n\n{STATUS}", opens=False)


def _add_binding(parser: Parser) -> None:
    parser.add_argument("card", nargs="?", default="", metavar="CARD", help=CARD_HELP)
    parser.add_argument(
        "--notes",
        type=Path,
        default=NOTES,
        metavar="FOLDER",
        help="where it is noted what cards were bound to before (default: %(default)s)",
    )


# list


def _parse_list(arguments: Sequence[str]) -> Options:
    parser = _parser(
        "list",
        "Show the duct cards of this machine: what they are bound to, what stands between them and "
        "memory, and how to reach them.",
        "examples:\n  ductctl list",
    )
    parser.parse_args(arguments)
    return Options()


def _list(bus: Bus, _options: Options) -> None:
    found = cards(bus.root)
    if not found:
        print(f"this machine has no duct card ({CARD})")
        return
    rows = [HEADINGS, *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        fields = (field.ljust(width) for field, width in zip(row, widths, strict=True))
        print("  ".join(fields).rstrip())


def _row(function: PciFunction) -> tuple[str, ...]:
    way = way_of(function)
    address = function.address
    interrupts = {
        Way.VFIO: "MSI-X",
        Way.UIO: f"INTx {function.interrupt_line}" if function.interrupt_line else "polling",
    }
    use = f"{way.value}:{address}" if way else f"{NAME} bind {_advisable(function).value} {address}"
    return (
        address,
        function.ids,
        function.driver or "none",
        _iommu(function),
        interrupts[way] if way else "-",
        use,
    )


def _iommu(function: PciFunction) -> str:
    group = function.iommu_group
    return "none" if group is None else f"group {group}, {function.iommu_type or 'unknown'}"


def _advisable(function: PciFunction) -> Way:
    """The better way to reach a card: VFIO wherever there is an IOMMU."""
    return Way.UIO if function.iommu_group is None else Way.VFIO


# bind


def _parse_bind(arguments: Sequence[str]) -> Options:
    parser = _parser(
        "bind",
        "Bind a card to the kernel driver by which programs can reach it, whatever it is bound to "
        "now. What it was bound to is noted, for ductctl unbind. Takes root.",
        "examples:\n"
        "  ductctl bind vfio 0000:00:05.0      the IOMMU confines the card; to be preferred\n"
        "  ductctl bind uio 0000:00:05.0       without an IOMMU",
    )
    parser.add_argument(
        "way",
        choices=[way.value for way in Way],
        help=", ".join(f"{way.value}: {way.driver}" for way in Way),
    )
    _add_binding(parser)
    given = parser.parse_args(arguments)
    return Options(given.card, Way(given.way), given.notes)


def _bind(bus: Bus, options: Options) -> None:
    function = find_card(bus.root, options.card)
    changed = Binder(bus, options.notes).bind(function, options.way)
    already = "" if changed else " already"
    print(
        f"{function.address} is bound to {function.driver}{already}; reach it by "
        f"{options.way.value}:{function.address}"
    )


# unbind


def _parse_unbind(arguments: Sequence[str]) -> Options:
    parser = _parser(
        "unbind",
        "Bind a card to what it was bound to before ductctl bind. Takes root.",
        "examples:\n  ductctl unbind 0000:00:05.0",
    )
    _add_binding(parser)
    given = parser.parse_args(arguments)
    return Options(given.card, notes=given.notes)


def _unbind(bus: Bus, options: Options) -> None:
    function = find_card(bus.root, options.card)
    changed = Binder(bus, options.notes).unbind(function)
    again = ", as before" if changed else "; there is nothing to give back"
    print(f"{function.address} is bound to {function.driver or 'no driver'}{again}")


def subcommands(bus: Bus) -> Mapping[str, Callable[[Sequence[str]], int]]:
    """What runs each, by name: takes what stands behind the name, returns the exit status.

    Args:
        bus: The machine that they are about.
    """

    def subcommand(
        name: str, parse: Callable[[Sequence[str]], Options], work: Callable[[Bus, Options], None]
    ) -> Callable[[Sequence[str]], int]:
        return lambda arguments: run(parse, partial(work, bus), f"{NAME} {name}", arguments)

    return {
        "list": subcommand("list", _parse_list, _list),
        "bind": subcommand("bind", _parse_bind, _bind),
        "unbind": subcommand("unbind", _parse_unbind, _unbind),
    }
