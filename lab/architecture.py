"""The kinds of machine that the lab has guests of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

__all__ = ["AARCH64", "ARCHITECTURES", "HOST", "X86_64", "Architecture"]


@attrs.frozen
class Architecture:
    """A kind of machine, which QEMU emulates.

    Attributes:
        name: What the kernel calls it.
        debian: What Debian calls it.
        kernel: The package that depends on the newest kernel.
        qemu: The packages that QEMU consists of.
        firmware: Folders of these with what a machine has in ROM, below `usr/share`.
        machine: The options of QEMU that say what the machine is.
        iommu: The options that give it an IOMMU.
        parameters: What its kernel is told whatever a guest is for.
        modules: Kernel modules to load before anything else.
        pages_shared: Registers of cards share pages, as no firmware gives each a page of its own.
    """

    name: str
    debian: str
    kernel: str
    qemu: Sequence[str]
    firmware: Sequence[str]
    machine: Sequence[str]
    iommu: Sequence[str]
    parameters: Sequence[str]
    modules: Sequence[str] = ()
    pages_shared: bool = False


X86_64: Final = Architecture(
    name="x86_64",
    debian="amd64",
    kernel="linux-image-amd64",
    qemu=("qemu-system-x86", "seabios"),
    firmware=("seabios", "qemu"),
    # Page tables of four levels: with five, each of the many look-ups in software takes longer.
    machine=("-machine", "q35,memory-backend=memory", "-cpu", "max,la57=off"),
    iommu=("-device", "intel-iommu,intremap=on,caching-mode=on"),
    # The check of the timer measures it against the processor, whose pace here is anybody's guess:
    # on a busy machine the kernel would not start.
    parameters=("console=ttyS0", "intel_iommu=on", "no_timer_check"),
)
AARCH64: Final = Architecture(
    name="aarch64",
    debian="arm64",
    kernel="linux-image-arm64",
    qemu=("qemu-system-arm",),
    firmware=("qemu",),
    machine=("-machine", "virt,gic-version=3,memory-backend=memory", "-cpu", "cortex-a76"),
    # QEMU's SMMUv3 does not tell cards in other processes what it maps; this one does. Its slot is
    # behind those of the cards.
    iommu=("-device", "virtio-iommu-pci,bus=pcie.0,addr=10.0"),
    parameters=("console=ttyAMA0",),
    modules=("virtio-iommu",),
    pages_shared=True,
)
ARCHITECTURES: Final = {item.name: item for item in (X86_64, AARCH64)}
HOST: Final = X86_64
"""What the lab itself runs on."""
