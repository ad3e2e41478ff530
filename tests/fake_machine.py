"""A machine with duct cards, as the kernel shows it: files below a folder, devices behind calls.

`Machine` is the hardware: functions with a card in software behind each, and memory. `FakeKernel`
answers the system calls of `impl.kernel` for it. What the backends do is real, down to the bytes of
each ioctl; numbers and structures here are written down anew from the kernel's headers.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import struct
import weakref
from collections.abc import Callable
from functools import partial

import attrs

from emulator.bus import BusError
from emulator.net import Ductnet
from emulator.running import RunningCard
from emulator.services import attach_services
from emulator.vfio_user.function import PciFunction
from emulator.vfio_user.protocol import IrqSet
from impl.kernel import HUGE_PAGE, Kernel
from impl.memory import Device as DriverDevice
from impl.uio_backend import open_uio_on
from impl.vfio_backend import open_vfio_on
from model.layout import IDENTITY

REGISTERS = "0x00000000fe000000 0x00000000fe00007f 0x0000000000040200"
CONFIG = 7
INTX = 0
COMMAND = 4
MEMORY_SPACE = 1 << 1
BUS_MASTER = 1 << 2
INTERRUPT_DISABLE = 1 << 10


def failure(number):
    return OSError(number, os.strerror(number))


# Memory


class Memory:
    """What cards reach: pieces of this process's memory, by bus address."""

    def __init__(self):
        self.pieces = {}
        self.accesses = 0
        self.faults = []

    def show(self, address, piece):
        """Let cards reach `piece`, a function that returns bytes, or None if they are gone."""
        self.pieces[address] = piece

    def read(self, address, size):
        return bytes(self._reach(address, size))

    def write(self, address, data):
        self._reach(address, len(data))[:] = data

    def _reach(self, address, size):
        self.accesses += 1
        for start, piece in list(self.pieces.items()):
            content = piece()
            if content is None:
                del self.pieces[start]
            elif start <= address and address + size <= start + len(content):
                return content[address - start : address - start + size]
        self.faults.append(address)
        raise BusError(address, size)


# Functions


@attrs.define(eq=False)
class Slot:
    """A function on the bus.

    Attributes:
        uio: The number of its UIO device.
        begin: Where in its page BAR0 begins.
    """

    address: str
    group: int
    uio: int
    memory: Memory
    running: RunningCard
    function: PciFunction
    begin: int = 0
    can_reset: bool = True
    mappable: bool = True
    vectors: int = IDENTITY.vectors
    resets: int = 0

    def change_command(self, *, set_bits=0, clear_bits=0):
        command = int.from_bytes(self.function.read(CONFIG, COMMAND, 2), "little")
        command = command & ~clear_bits | set_bits
        self.function.write(CONFIG, COMMAND, command.to_bytes(2, "little"))

    @property
    def bus_master(self):
        return bool(self.function.config.bus_master)


class Machine:
    """Hardware, and the files by which the kernel shows it."""

    def __init__(self, root):
        self.root = root
        self.net = Ductnet()
        attach_services(self.net)
        self.slots = {}
        self.write("/proc/cpuinfo", "")

    def write(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def link(self, path, target):
        link = self.root / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        goal = self.root / target.lstrip("/")
        goal.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(goal)

    def add_function(
        self, address, *, ids="3301:2000", bar0=REGISTERS, irq=11, group=None, kind="DMA-FQ"
    ):
        """Files of a function; what is behind them comes with `plug_in`."""
        folder = f"/sys/bus/pci/devices/{address}"
        vendor, product = ids.split(":")
        self.write(f"{folder}/vendor", f"0x{vendor}\n")
        self.write(f"{folder}/device", f"0x{product}\n")
        self.write(f"{folder}/irq", f"{irq}\n")
        self.write(f"{folder}/driver_override", "(null)\n")
        nothing = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
        self.write(f"{folder}/resource", bar0 + "\n" + 6 * nothing)
        if group is not None:
            self.link(f"{folder}/iommu_group", f"/sys/kernel/iommu_groups/{group}")
            self.write(f"/sys/kernel/iommu_groups/{group}/type", f"{kind}\n")
            self.link(f"/sys/kernel/iommu_groups/{group}/devices/{address}", folder)

    def plug_in(self, address="0000:00:05.0", *, group=4, bar0=REGISTERS, **more):
        """A duct card, bound to nothing."""
        self.add_function(address, group=group, bar0=bar0, **more)
        memory = Memory()
        hwaddr = 0x1000 + len(self.slots)
        running = RunningCard(memory, self.net, hwaddr=hwaddr)
        function = PciFunction(running)
        function.connect()
        begin = int(bar0.split()[0], 16) % mmap.PAGESIZE
        slot = Slot(address, group, len(self.slots), memory, running, function, begin)
        self.slots[address] = slot
        return slot

    def bind(self, slot, driver):
        """As if the kernel had bound the function."""
        folder = f"/sys/bus/pci/devices/{slot.address}"
        if driver is None:
            (self.root / folder.lstrip("/") / "driver").unlink()
            return
        self.link(f"{folder}/driver", f"/sys/bus/pci/drivers/{driver}")
        if driver == "uio_pci_generic":
            self.write(f"{folder}/uio/uio{slot.uio}/name", "uio_pci_generic\n")

    def power_off(self):
        for slot in self.slots.values():
            slot.running.power_off()


# What descriptors stand for


@attrs.define(eq=False)
class Opened:
    """An open file."""

    kernel: "FakeKernel"
    slot: Slot | None

    def close(self):
        pass


class Config(Opened):
    """Configuration space in sysfs."""

    def read_at(self, size, offset):
        return self.slot.function.read(CONFIG, offset, size)

    def write_at(self, data, offset):
        self.kernel.note_command(data, self.slot)
        self.slot.function.write(CONFIG, offset, data)
        if not self.slot.function.config.interrupt_disable:
            # The eventfd that stands for the line masks itself.
            self.slot.function.set_irqs(IrqSet(20, 1 | 1 << 4, INTX, 0, 1), [])


class Registers(Opened):
    """BAR0 in sysfs."""


class Uio(Opened):
    """A UIO device; the descriptor is an eventfd that INTx signals."""

    def close(self):
        self.slot.change_command(clear_bits=BUS_MASTER)
        self.slot.function.set_irqs(IrqSet(20, 1 | 1 << 5, INTX, 0, 0), [])

    def read(self, descriptor, size):
        assert size == 4, "UIO devices are read by 4 bytes"
        self.kernel.journal.append("interrupt")
        # As the kernel's handler did when the interrupt came.
        self.slot.change_command(set_bits=INTERRUPT_DISABLE)
        return struct.pack("<I", os.eventfd_read(descriptor))


class PageMap(Opened):
    """Where the memory of this process is."""

    def read_at(self, size, offset):
        assert (size, offset % 8) == (8, 0), "the page map consists of entries of 8 bytes"
        return self.kernel.frames.entry(offset // 8 * mmap.PAGESIZE).to_bytes(8, "little")


def refuse_short(argument):
    """As Linux does with a structure that says (argsz) that it is shorter than it has to be."""
    if int.from_bytes(argument[:4], "little") < len(argument):
        raise failure(errno.EINVAL)


@attrs.define(eq=False)
class Container(Opened):
    """The address space of an IOMMU of 39 bits, with interrupts in the middle."""

    group: "Group | None" = None
    translates: bool = False

    def close(self):
        # Without its address space the devices in it reach nothing.
        if self.group is not None:
            self._pieces.clear()

    def control(self, request, argument):
        match request - 0x3B64:
            case 0:
                return 0
            case 1:
                return int(argument == 3)
            case 2:
                if self.group is None:
                    raise failure(errno.EINVAL)
                if self.kernel.refusals.get("the IOMMU"):
                    raise failure(self.kernel.refusals["the IOMMU"])
                self.translates = True
            case 12:
                self._info(argument)
            case 13:
                self._map(*struct.unpack("<IIQQQ", argument))
            case 14:
                size, flags, iova, length = struct.unpack("<IIQQ", argument)
                assert (size, flags) == (24, 0)
                if len(self._pieces.get(iova, lambda: b"")()) != length:
                    raise failure(errno.EINVAL)
                del self._pieces[iova]
                self.kernel.journal.append("memory unmapped")
            case _:
                raise failure(errno.ENOTTY)
        return 0

    @property
    def _pieces(self):
        return self.group.slot.memory.pieces

    def _map(self, size, flags, place, iova, length):
        assert (size, flags, length % mmap.PAGESIZE) == (32, 3, 0)
        if not any(start <= iova and iova + length - 1 <= end for start, end in self.kernel.usable):
            raise failure(errno.EINVAL)
        if any(iova < at + len(has()) and at < iova + length for at, has in self._pieces.items()):
            raise failure(errno.EEXIST)
        if sum(len(has()) for has in self._pieces.values()) + length > self.kernel.lockable:
            raise failure(errno.ENOMEM)
        pinned = memoryview(self.kernel.frames.at(place))[:length]
        self.group.slot.memory.show(iova, lambda: pinned)

    def _info(self, answer):
        ranges = self.kernel.usable if self.kernel.limits["ranges are told"] else []
        other = struct.pack("<HHIIIQQ", 2, 1, 24 + 32, 0, 0, 1 << 12, 0)[:32]
        listed = struct.pack("<HHIII", 1, 1, 0, len(ranges), 0)
        listed += b"".join(struct.pack("<QQ", *item) for item in ranges)
        chain = other + listed if ranges else b""
        whole = struct.pack("<IIQII", 24 + len(chain), 3 if chain else 1, 0x40201000, 24, 0) + chain
        offered = struct.unpack_from("<I", answer)[0]
        answer[:24] = whole[:24]
        if offered >= len(whole):
            answer[:] = whole


@attrs.define(eq=False)
class Group(Opened):
    """An IOMMU group."""

    container: Container | None = None

    def close(self):
        self.kernel.groups.remove(self.slot.group)

    def control(self, request, argument):
        match request - 0x3B64:
            case 3:
                assert struct.unpack("<II", argument) == (8, 0)
                viable = self.slot.group not in self.kernel.shared_groups
                argument[:] = struct.pack("<II", 8, int(viable))
            case 4:
                (descriptor,) = struct.unpack("<i", argument)
                self.container = self.kernel.opened[descriptor]
                self.container.group = self
            case 6:
                if not self.container.translates:
                    raise failure(errno.EINVAL)
                assert argument == self.slot.address.encode() + b"\0"
                return self.kernel.give(Device(self.kernel, self.slot))
            case _:
                raise failure(errno.ENOTTY)
        return 0


class Device(Opened):
    """A function behind VFIO: region i begins at i << 40."""

    def close(self):
        assert self.slot not in self.kernel.windows, "unbinding would hang"
        self.slot.change_command(clear_bits=BUS_MASTER)
        self.slot.function.set_irqs(IrqSet(20, 1 | 1 << 5, 2, 0, 0), [])

    def control(self, request, argument):
        slot = self.slot
        match request - 0x3B64:
            case 7:
                size, *_ = struct.unpack("<IIII", argument)
                refuse_short(argument)
                argument[:] = struct.pack("<IIII", size, 2 | slot.can_reset, 9, 5)
            case 8:
                size, _, index, _, _, _ = struct.unpack("<IIIIQQ", argument)
                refuse_short(argument)
                length = slot.function.region_info(index).size
                flags = 7 if index == 0 and slot.mappable else 3
                argument[:] = struct.pack("<IIIIQQ", size, flags, index, 0, length, index << 40)
            case 9:
                size, _, index, _ = struct.unpack("<IIII", argument)
                refuse_short(argument)
                count = slot.vectors if index == 2 else slot.function.irq_info(index).count
                argument[:] = struct.pack("<IIII", size, 1, index, count)
            case 10:
                size, flags, index, start, count = struct.unpack_from("<IIIII", argument)
                assert size == len(argument)
                fds = struct.unpack(f"<{count}i", argument[20:])
                slot.function.set_irqs(IrqSet(size, flags, index, start, count), fds)
                self.kernel.journal.append(f"{count} vectors")
            case 11:
                if not slot.can_reset:
                    raise failure(errno.ENOTTY)
                slot.resets += 1
                self.kernel.journal.append("reset")
                slot.function.reset()
            case _:
                raise failure(errno.ENOTTY)
        return 0

    def read_at(self, size, offset):
        return self.slot.function.read(offset >> 40, offset % (1 << 40), size)

    def write_at(self, data, offset):
        self.kernel.note_command(data, self.slot)
        self.slot.function.write(offset >> 40, offset % (1 << 40), data)


# The memory of this process, as the kernel knows it


class Frames:
    """Where each page of memory is; huge pages are far from each other."""

    def __init__(self):
        self._mappings = {}
        self._next = 0x7_0000_0000
        self.hidden = False

    def add(self, mapping, *, memories=()):
        place = place_of(mapping)
        self._mappings[place] = weakref.ref(mapping)
        for index in range(len(mapping) // HUGE_PAGE if memories else 0):
            for memory in memories:
                memory.show(self._next, _piece(weakref.ref(mapping), index))
            self._mappings[place + index * HUGE_PAGE, "frame"] = self._next
            self._next -= 3 * HUGE_PAGE
        return mapping

    def at(self, place):
        return self._mappings[place]()

    def entry(self, place):
        return 1 << 63 | (0 if self.hidden else self._mappings[place, "frame"] // mmap.PAGESIZE)


def place_of(mapping):
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


def _piece(mapping, index):
    def piece():
        alive = mapping()
        if alive is None:
            return None
        return memoryview(alive)[index * HUGE_PAGE : (index + 1) * HUGE_PAGE]

    return piece


class Words:
    """Registers of one width behind a mapping. A device sees one access for each item access."""

    def __init__(self, function, width):
        self._function = function
        self._width = width

    def __getitem__(self, index):
        data = self._function.read(0, index * self._width, self._width)
        return int.from_bytes(data, "little")

    def __setitem__(self, index, value):
        self._function.write(0, index * self._width, value.to_bytes(self._width, "little"))


class Window:
    """Mapped registers."""

    def __init__(self, kernel, slot):
        self._kernel = kernel
        self._slot = slot
        self.words = Words(slot.function, 4)
        self.double_words = Words(slot.function, 8)
        kernel.windows.append(slot)

    def close(self):
        self._kernel.windows.remove(self._slot)
        self._kernel.journal.append("registers unmapped")
        self.words = self.double_words = None


# The kernel


@attrs.frozen(eq=False)
class FakeKernel(Kernel):
    """The system calls.

    Attributes:
        machine: The hardware.
        refusals: The errno with which a file is not opened, by path.
        groups: IOMMU groups that are open.
        shared_groups: Groups that are not viable.
        usable: What the IOMMU translates.
        limits: Bytes that may be locked, huge pages that one call may map, and whether the usable
            addresses are told.
        windows: Registers that are mapped.
        journal: What was done to cards and their memory, in words.
        locked: Files that are locked.
    """

    machine: Machine = attrs.field(kw_only=True)
    refusals: dict = attrs.field(factory=dict)
    groups: list = attrs.field(factory=list)
    shared_groups: set = attrs.field(factory=set)
    usable: list = attrs.field(factory=lambda: [(0, 0xFEDF_FFFF), (0xFEF0_0000, (1 << 39) - 1)])
    limits: dict = attrs.field(
        factory=lambda: {"lockable": 1 << 40, "huge pages": 1000, "ranges are told": True}
    )
    windows: list = attrs.field(factory=list)
    journal: list = attrs.field(factory=list)
    locked: set = attrs.field(factory=set)
    opened: dict = attrs.field(factory=dict)
    frames: Frames = attrs.field(factory=Frames)

    @property
    def lockable(self):
        return self.limits["lockable"]

    def note_command(self, data, slot):
        on = int.from_bytes(data, "little") & BUS_MASTER
        runs = " while the card runs" if on and slot.running.card.started else ""
        self.journal.append(f"bus mastering {'on' if on else 'off'}{runs}")

    def give(self, item, descriptor=None):
        if descriptor is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
        self.opened[descriptor] = item
        return descriptor

    def open(self, path, _flags=os.O_RDWR):
        if path in self.refusals:
            raise failure(self.refusals[path])
        if path == "/proc/self/pagemap":
            return self.give(PageMap(self, None))
        if path == "/dev/vfio/vfio":
            return self.give(Container(self, None))
        for slot in self.machine.slots.values():
            folder = f"/sys/bus/pci/devices/{slot.address}"
            if path == f"{folder}/config":
                return self.give(Config(self, slot))
            if path == f"{folder}/resource0":
                return self.give(Registers(self, slot))
            if path == f"/dev/vfio/{slot.group}":
                if slot.group in self.groups:
                    raise failure(errno.EBUSY)
                self.groups.append(slot.group)
                return self.give(Group(self, slot))
            if path == f"/dev/uio{slot.uio}":
                line = os.eventfd(0)
                slot.function.set_irqs(IrqSet(20, 1 << 2 | 1 << 5, INTX, 0, 1), [line])
                return self.give(Uio(self, slot), line)
        raise failure(errno.ENOENT)

    def close(self, descriptor):
        item = self.opened.pop(descriptor)
        self.journal.append(f"{type(item).__name__.lower()} closed")
        self.locked.discard(descriptor)
        item.close()
        os.close(descriptor)

    def lock(self, descriptor):
        slot = self.opened[descriptor].slot
        taken = any(self.opened[other].slot is slot for other in self.locked)
        if not taken:
            self.locked.add(descriptor)
        return not taken

    def read(self, descriptor, size):
        return self.opened[descriptor].read(descriptor, size)

    def read_at(self, descriptor, size, offset):
        return self.opened[descriptor].read_at(size, offset)

    def write_at(self, descriptor, data, offset):
        self.opened[descriptor].write_at(data, offset)

    def control(self, descriptor, request, argument=0):
        return self.opened[descriptor].control(request, argument)

    def map_registers(self, descriptor, size, offset=0):
        file = self.opened[descriptor]
        begin = file.slot.begin if isinstance(file, Registers) else 0
        assert (size, offset) == (IDENTITY.bar0_size, begin)
        return Window(self, file.slot)

    def map_memory(self, size):
        return self.frames.add(mmap.mmap(-1, size))

    def map_huge_pages(self, count):
        if count > self.limits["huge pages"]:
            raise failure(errno.ENOMEM)
        memories = [slot.memory for slot in self.machine.slots.values()]
        return self.frames.add(mmap.mmap(-1, count * HUGE_PAGE), memories=memories)


# Ways to the cards of a machine

CARD, OTHER = "0000:00:05.0", "0000:00:06.0"
WAYS = {
    "vfio": (open_vfio_on, "vfio-pci", {}),
    "uio": (open_uio_on, "uio_pci_generic", {"kind": "identity"}),
    "uio, polled": (open_uio_on, "uio_pci_generic", {"kind": "identity", "irq": 0}),
}


@attrs.frozen
class Reached:
    """A machine with two cards, bound to what one way takes."""

    way: str
    machine: Machine
    kernel: FakeKernel
    open: Callable[[str], DriverDevice]

    @property
    def slot(self):
        return self.machine.slots[CARD]


@contextlib.contextmanager
def reached(way, root):
    open_on, driver, kind = WAYS[way]
    machine = Machine(root)
    for address, group in ((CARD, 4), (OTHER, 5)):
        machine.bind(machine.plug_in(address, group=group, **kind), driver)
    kernel = FakeKernel(root, machine=machine)
    try:
        yield Reached(way, machine, kernel, partial(open_on, kernel))
    finally:
        machine.power_off()
