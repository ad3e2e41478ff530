"""The command line of the virtual machine. Pure: it says what is to be run and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from lab.prepare import PROJECT, Parts
from lab.program import command

__all__ = ["FIRST_SLOT", "Machine", "environment", "words"]

FIRST_SLOT: Final = 5
"""PCI slot of the first card; the others follow."""
MEMORY: Final = "1G"
PROCESSORS: Final = "1"
"""One is fastest. The card is another process anyway, and a guest with more processors than there
are to run them spends half of its time waiting for one that does not run."""
_KERNEL: Final = ("quiet", "panic=-1")


@attrs.frozen
class Machine:
    """A virtual machine.

    Attributes:
        cards: Sockets of the vfio-user servers whose cards it has.
        ports: virtio ports by name, with the socket of each; QEMU connects to those that exist.
        console: Where the serial console goes; None: to the terminal.
        kernel: Further parameters of the kernel.
    """

    cards: Sequence[Path]
    ports: Mapping[str, Path] = attrs.field(factory=dict)
    console: Path | None = None
    kernel: Sequence[str] = ()


def environment(parts: Parts) -> dict[str, str]:
    """The variables that QEMU runs with."""
    return {"QEMU_MODULE_DIR": str(parts.qemu / "usr/lib/x86_64-linux-gnu/qemu")}


def words(parts: Parts, machine: Machine) -> list[str]:
    """The command line.

    The memory is a file that the card maps. The IOMMU stands before everything that it is to
    translate for. No KVM: it must run where there is none.
    """
    architecture = parts.architecture
    share = parts.qemu / "usr/share"
    return [
        *command(parts.qemu, f"usr/bin/qemu-system-{architecture.name}"),
        *(word for folder in architecture.firmware for word in ("-L", str(share / folder))),
        *(*architecture.machine, "-accel", "tcg,thread=multi"),
        *("-smp", PROCESSORS, "-m", MEMORY),
        *("-object", f"memory-backend-memfd,id=memory,size={MEMORY},share=on"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *architecture.iommu,
        *("-kernel", str(parts.kernel), "-initrd", str(parts.initramfs)),
        *("-append", " ".join((*architecture.parameters, *_KERNEL, *machine.kernel))),
        *_console(machine.console),
        *_cards(machine.cards),
        *_shared("root", parts.guest),
        *_shared("checkout", PROJECT),
        *_shared("compiled", parts.compiled),
        *_ports(machine.ports),
    ]


def _console(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return "-serial", "mon:stdio"
    return "-serial", f"file:{path}"


def _cards(sockets: Sequence[Path]) -> Iterator[str]:
    for slot, socket in enumerate(sockets, FIRST_SLOT):
        device = {
            "driver": "vfio-user-pci",
            "socket": {"type": "unix", "path": str(socket)},
            "bus": "pcie.0",
            "addr": f"{slot:02x}.0",
        }
        yield from ("-device", json.dumps(device))


def _shared(tag: str, folder: Path) -> Iterator[str]:
    options = "security_model=none,readonly=on,multidevs=remap"
    yield from ("-fsdev", f"local,id={tag},path={folder},{options}")
    yield from ("-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag},bus=pcie.0")


def _ports(ports: Mapping[str, Path]) -> Iterator[str]:
    if ports:
        yield from ("-device", "virtio-serial-pci")
    for name, socket in ports.items():
        yield from ("-chardev", f"socket,id={name},path={socket}")
        yield from ("-device", f"virtserialport,chardev={name},name={name}")
