"""PCI functions as the kernel shows them, by files; and which of them a user means."""

import pytest

from impl.errors import InvalidArgumentError, NoSuchCardError
from impl.pci import Resource, cards, find_card, function_at
from model.layout import IDENTITY

IDS = f"{IDENTITY.vendor:04x}:{IDENTITY.product:04x}"
MEMORY, PORTS, WIDE = 0x200, 0x100, 0x10_0000
"""IORESOURCE_MEM, IORESOURCE_IO and IORESOURCE_MEM_64 of linux/ioport.h."""
SIZE = IDENTITY.bar0_size
FIRST, SECOND = "0000:00:05.0", "0000:00:06.0"


class Bus:
    """Functions as files below a folder."""

    def __init__(self, root):
        self.root = root
        self.devices = root / "sys/bus/pci/devices"
        self.devices.mkdir(parents=True)

    def add(self, address, ids=IDS, size=SIZE, flags=MEMORY, group=None):
        folder = self.devices / address
        folder.mkdir()
        vendor, product = ids.split(":")
        (folder / "vendor").write_text(f"0x{vendor}\n")
        (folder / "device").write_text(f"0x{product}\n")
        (folder / "irq").write_text("11\n")
        end = 0xFE00_0000 + size - 1
        (folder / "resource").write_text(f"0xfe000000 {end:#x} {flags:#x}\n0x0 0x0 0x0\n")
        if group is not None:
            members = self.root / f"sys/kernel/iommu_groups/{group}/devices"
            members.mkdir(parents=True, exist_ok=True)
            (members / address).symlink_to(folder)
            (folder / "iommu_group").symlink_to(members.parent)
        return function_at(self.root, address)


@pytest.fixture
def bus(tmp_path):
    return Bus(tmp_path)


@pytest.mark.parametrize(
    ("line", "size", "told"),
    [
        ("0xfe000000 0xfe00007f 0x40200", 0x80, "32-bit memory of 0x80 bytes"),
        ("0xfe000000 0xfe000fff 0x100200", 0x1000, "64-bit memory of 0x1000 bytes"),
        ("0xc000 0xc01f 0x40101", 0x20, "I/O ports of 0x20 bytes"),
        ("0x0 0x0 0x0", 0, "nothing"),
    ],
)
def test_a_bar_is_a_line_of_the_kernels(line, size, told):
    resource = Resource.of_line(line)
    assert (resource.size, str(resource)) == (size, told)
    assert resource.is_32_bit_memory == told.startswith("32-bit")


@pytest.mark.parametrize(("flags", "yes"), [(MEMORY | 0xFF, True), (MEMORY | PORTS, False)])
def test_what_is_no_port_and_not_wide_is_32_bit_memory(flags, yes):
    assert Resource(0, SIZE, flags).is_32_bit_memory == yes


def test_a_function_is_what_its_files_say(bus):
    function = bus.add(FIRST)
    assert (function.address, function.ids, function.interrupt_line) == (FIRST, IDS, 11)
    assert (function.driver, function.iommu_group, function.iommu_type) == (None, None, None)
    assert function.uio_name is None
    assert function.group_members == ()


def test_a_group_has_members_and_a_type(bus):
    first, second = bus.add(FIRST, group=7), bus.add(SECOND, group=7)
    (first.folder / "iommu_group/type").write_text("DMA-FQ\n")
    assert (first.iommu_group, first.iommu_type) == ("7", "DMA-FQ")
    assert second.group_members == (first, second)


def test_registers_are_memory_of_their_size_or_of_a_page_where_bars_are_aligned(bus):
    right, page = bus.add(FIRST), bus.add(SECOND, size=0x1000)
    wrong = [
        bus.add("0000:00:07.0", flags=PORTS),
        bus.add("0000:00:08.0", flags=MEMORY | WIDE),
        bus.add("0000:00:09.0", size=2 * SIZE),
        bus.add("0000:00:0a.0", flags=PORTS, size=0x1000),
    ]
    alignment = bus.devices.parent / "resource_alignment"
    for told, aligned in [(None, False), ("\n", False), ("0000:00:06.0\n", True)]:
        if told is not None:
            alignment.write_text(told)
        assert right.has_registers
        assert page.has_registers == aligned
        assert not any(function.has_registers for function in wrong)


@pytest.mark.parametrize("wanted", [FIRST, "00:05.0", IDS, IDS.upper(), ""])
def test_the_only_card_has_many_names(bus, wanted):
    function = bus.add(FIRST)
    bus.add(SECOND, ids="8086:100e")
    assert find_card(bus.root, wanted) == function
    assert cards(bus.root) == [function]


def refused(bus, wanted, kind=NoSuchCardError):
    with pytest.raises(kind) as caught:
        find_card(bus.root, wanted)
    return caught.value.strerror


def test_a_machine_without_cards_says_so(bus):
    assert refused(bus, "") == f"{IDS} names no single card: this machine has none"
    assert refused(bus, FIRST) == f"there is no PCI function {FIRST}; this machine has none"
    assert refused(bus, "8086:100e") == (
        f"a duct card is {IDS}, not 8086:100e; this machine has none"
    )


def test_where_there_are_two_one_has_to_be_named(bus):
    first = bus.add(FIRST)
    bus.add(SECOND)
    there_are = f"the duct cards of this machine are {FIRST}, {SECOND}"
    assert refused(bus, IDS) == f"{IDS} names no single card: {there_are}; say which"
    assert find_card(bus.root, FIRST) == first


def test_what_is_no_duct_card_is_not_touched(bus):
    bus.add(FIRST, ids="8086:100e")
    assert refused(bus, FIRST) == (
        f"{FIRST} is 8086:100e, and a duct card is {IDS}; this machine has none"
    )
    bus.add(SECOND, flags=PORTS)
    assert refused(bus, SECOND) == (
        f"BAR0 of {SECOND} is I/O ports of {SIZE:#x} bytes, and that of a duct card is 32-bit "
        f"memory of {SIZE:#x} bytes; nothing was done to it"
    )


@pytest.mark.parametrize("wanted", ["eth0", "0000:00:05", "00:25.0x", "00:05.8"])
def test_what_is_no_address_is_refused(bus, wanted):
    assert refused(bus, wanted, InvalidArgumentError) == (
        f"a PCI function is named like 0000:00:05.0, 00:05.0 or {IDS}, not {wanted!r}"
    )
