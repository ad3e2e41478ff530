"""The datasheet as data: identity, registers, bits, slots, commands, limits and services.

Every number that host and card must agree on stands here, once; whoever needs one imports it. Each
entry says whether it is a *fact* (an existing driver for the card depends on it) or a *decision*
(no public document says; the specification must not depend on more than is written here).
`datasheet` lists all of them.

The functions are pure: they turn slots into bytes and back, take a doorbell value apart, and say
whether a filter lets a packet through. They are for whoever looks at a slot as a whole. A driver
hands a slot over word by word, since the owner byte must come last: it stores to
`PACKET_SLOT["dest"].offset` and the like.
"""

from __future__ import annotations

import enum
import errno
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

import attrs

__all__ = [
    "CMDBASE",
    "CMDCOMP",
    "CMDSHIFT",
    "COMMANDS",
    "COMMAND_RING",
    "COMMAND_SLOT",
    "DBELL",
    "DBELL_TX",
    "ECHO",
    "EVFLAGS",
    "EXACT_MASK",
    "FLAGS",
    "FLTB",
    "FLTR",
    "HWADDR",
    "HWERR",
    "IDENTITY",
    "INFO",
    "IOCTLS",
    "LIMITS",
    "MULTICAST_FILTER",
    "PACKET_SLOT",
    "QUOTE",
    "RECEIVE_RING",
    "REGISTERS",
    "RINGS",
    "RST",
    "RXBASE",
    "RXCOMP",
    "RXDROP",
    "RXJUMBO",
    "RXSHIFT",
    "SEQ",
    "SERVICES",
    "TRANSMIT_RING",
    "TXBASE",
    "TXCOMP",
    "TXSHIFT",
    "UNICAST",
    "USER_HEADER",
    "VMAJ",
    "VMIN",
    "WORDS",
    "Access",
    "Bit",
    "Command",
    "CommandEntry",
    "CommandSlot",
    "Entry",
    "Field",
    "Identity",
    "Info",
    "Ioctl",
    "Limits",
    "MulticastFilter",
    "Owner",
    "PacketSlot",
    "Part",
    "Register",
    "Ring",
    "Service",
    "Standing",
    "Structure",
    "UserHeader",
    "datasheet",
    "doorbell",
    "errno_of",
    "filter_accepts",
    "is_fatal",
    "is_multicast",
    "pack",
    "ring_slots",
    "split_doorbell",
    "unpack",
]


class Standing(enum.Enum):
    """How an entry of the datasheet is known."""

    FACT = "F"
    DECISION = "D"


FACT: Final = Standing.FACT
DECISION: Final = Standing.DECISION


def _figure(value: int, standing: Standing, meaning: str) -> Any:
    """A number of the datasheet, with what it means and how it is known."""
    return attrs.field(default=value, metadata={"standing": standing, "meaning": meaning})


# Identity and limits


@attrs.frozen
class Identity:
    """How the card presents itself on the PCI bus."""

    vendor: int = _figure(0x3301, FACT, "PCI vendor")
    product: int = _figure(0x2000, FACT, "PCI product")
    revision: int = _figure(0, FACT, "PCI revision")
    bar0_size: int = _figure(0x80, FACT, "bytes of BAR0, 32-bit memory; any other is refused")
    vectors: int = _figure(2, FACT, "MSI-X vectors")
    event_vector: int = _figure(0, FACT, "the MSI-X vector raised for events")
    fatal_vector: int = _figure(1, FACT, "the MSI-X vector raised for fatal errors")
    intx_pin: int = _figure(1, DECISION, "INTx pin A: level, used while MSI-X is off")


@attrs.frozen
class Limits:
    """What no run exceeds."""

    max_shift: int = _figure(12, DECISION, "log2 of the number of slots of the largest ring")
    default_shift: int = _figure(6, FACT, "log2 of the number of slots that the driver uses")
    page_size: int = _figure(4096, FACT, "bytes of a receive buffer; rings are aligned to it")
    buffers: int = _figure(4, FACT, "buffers that a packet slot points to")
    max_packet: int = _figure(16384, FACT, "bytes of the longest packet; the shortest has none")
    filters: int = _figure(16, DECISION, "entries of the filter table")


IDENTITY: Final = Identity()
LIMITS: Final = Limits()


# Registers


class Access(enum.Enum):
    """What may be done to a register."""

    READ = "RO"
    WRITE = "WO"
    READ_CLEARS = "RO, clear on read"
    READ_OR_RESET = "RO, reset"


@attrs.frozen
class Bit:
    """One bit of a register."""

    name: str
    position: int
    standing: Standing
    meaning: str

    @property
    def mask(self) -> int:
        """The register's value with only this bit set."""
        return 1 << self.position


@attrs.frozen
class Register:
    """A register in BAR0, little endian, read and written in one access of its full width.

    Attributes:
        name: As in the datasheet.
        offset: Bytes from the start of BAR0.
        width: 32 or 64 bits.
        access: What may be done to it.
        standing: How it is known.
        meaning: What it holds.
        bits: Its bits, where they have names.
    """

    name: str
    offset: int
    width: int
    access: Access
    standing: Standing
    meaning: str
    bits: tuple[Bit, ...] = ()

    def __attrs_post_init__(self) -> None:
        if self.width not in (32, 64):
            raise ValueError(f"register {self.name} is 32 or 64 bits wide, not {self.width}")
        if self.offset % self.size or not 0 <= self.offset <= IDENTITY.bar0_size - self.size:
            raise ValueError(
                f"register {self.name} must lie aligned within the {IDENTITY.bar0_size} bytes "
                f"of BAR0, not at offset {self.offset:#x}"
            )

    @property
    def size(self) -> int:
        """Its width in bytes."""
        return self.width // 8

    def describe(self, value: int) -> str:
        """`value` by the names of its bits, as in "FLTR|SEQ"; nameless bits in hexadecimal."""
        names = [bit.name for bit in self.bits if value & bit.mask]
        rest = value & ~sum(bit.mask for bit in self.bits)
        return "|".join([*names, hex(rest)] if rest or not names else names)


FLTB: Final = Bit("FLTB", 0, DECISION, "bad address in a BAR register")
FLTR: Final = Bit("FLTR", 1, DECISION, "bad address in a descriptor")
SEQ: Final = Bit("SEQ", 2, DECISION, "operation out of sequence")
HWERR: Final = Bit("HWERR", 16, DECISION, "hardware error")
RST: Final = Bit("RST", 31, FACT, "written: start a reset; read: a reset is under way")

TXCOMP: Final = Bit("TXCOMP", 0, FACT, "a packet was sent")
RXCOMP: Final = Bit("RXCOMP", 1, FACT, "a packet was received")
RXDROP: Final = Bit("RXDROP", 2, FACT, "a packet was dropped: the card had no receive slot")
CMDCOMP: Final = Bit("CMDCOMP", 3, FACT, "a command was completed")
RXJUMBO: Final = Bit("RXJUMBO", 4, FACT, "a packet was dropped: longer than a slot's buffers")

DBELL_TX: Final = Bit("TX", 31, FACT, "set: the transmit ring; clear: the command ring")

_RO, _WO = Access.READ, Access.WRITE
VMAJ: Final = Register("VMAJ", 0x00, 32, _RO, FACT, "major version")
VMIN: Final = Register("VMIN", 0x04, 32, _RO, FACT, "minor version")
FLAGS: Final = Register(
    "FLAGS",
    0x08,
    32,
    Access.READ_OR_RESET,
    FACT,
    "fatal error bits; a reset that was started by writing RST is over when it reads 0",
    (FLTB, FLTR, SEQ, HWERR, RST),
)
HWADDR: Final = Register("HWADDR", 0x0C, 32, _RO, FACT, "hardware address")
CMDBASE: Final = Register("CMDBASE", 0x10, 64, _WO, FACT, "bus address of the command ring")
CMDSHIFT: Final = Register("CMDSHIFT", 0x18, 32, _WO, FACT, "log2 of its number of slots")
TXBASE: Final = Register("TXBASE", 0x20, 64, _WO, FACT, "bus address of the transmit ring")
TXSHIFT: Final = Register("TXSHIFT", 0x28, 32, _WO, FACT, "log2 of its number of slots")
RXBASE: Final = Register("RXBASE", 0x30, 64, _WO, FACT, "bus address of the receive ring")
RXSHIFT: Final = Register("RXSHIFT", 0x38, 32, _WO, FACT, "log2 of its number of slots")
EVFLAGS: Final = Register(
    "EVFLAGS",
    0x40,
    32,
    Access.READ_CLEARS,
    FACT,
    "pending events",
    (TXCOMP, RXCOMP, RXDROP, CMDCOMP, RXJUMBO),
)
DBELL: Final = Register(
    "DBELL", 0x50, 32, _WO, FACT, "index of the slot just handed over, and its ring", (DBELL_TX,)
)

REGISTERS: Final = (
    VMAJ,
    VMIN,
    FLAGS,
    HWADDR,
    CMDBASE,
    CMDSHIFT,
    TXBASE,
    TXSHIFT,
    RXBASE,
    RXSHIFT,
    EVFLAGS,
    DBELL,
)


def is_fatal(flags: int) -> bool:
    """Whether a value read from FLAGS names an error: any bit but RST."""
    return bool(flags & ~RST.mask)


# Structures in memory


class Owner(enum.IntEnum):
    """The first byte of every slot: who may touch the rest of it and its buffers. A fact."""

    HOST = 0xAA
    DEVICE = 0x55


_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
WORDS: Final = {width: struct.Struct(f"<{code}") for width, code in _CODES.items()}
"""A number in memory, by its bytes: little endian."""


@attrs.frozen
class Field:
    """A field of a structure: `count` little-endian numbers of `width` bytes each."""

    name: str
    offset: int
    width: int
    count: int
    standing: Standing
    meaning: str

    def __attrs_post_init__(self) -> None:
        if self.width not in _CODES:
            raise ValueError(f"field {self.name} is 1, 2, 4 or 8 bytes wide, not {self.width}")
        if self.count < 1:
            raise ValueError(f"field {self.name} has at least one element, not {self.count}")

    @property
    def size(self) -> int:
        """Bytes of all its elements together."""
        return self.width * self.count

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.size

    @property
    def reserved(self) -> bool:
        """Whether it carries nothing: written as zeros, ignored when read."""
        return self.name.startswith("reserved")

    def element(self, index: int) -> int:
        """Offset of one of its elements. Raises `IndexError` if there is none."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name} has elements 0 to {self.count - 1}, not {index}")
        return self.offset + self.width * index


@attrs.frozen
class Part:
    """Some fields of a structure as one run of bytes, from the first of them to the last.

    Fields in between that are not among them are written as zeros, and ignored when read.

    Attributes:
        offset: Where the run begins.
        size: Its bytes.
        codec: Between these bytes and the fields' elements, one after the other.
    """

    offset: int
    size: int
    codec: struct.Struct


@attrs.frozen
class Structure:
    """A structure in memory: fields that follow each other without gap or overlap.

    Attributes:
        name: What it is called.
        size: Its bytes.
        fields: Its fields.
        codec: Between its bytes and all elements that carry something, one after the other.
    """

    name: str
    size: int
    fields: tuple[Field, ...]
    codec: struct.Struct = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        end = 0
        for field in self.fields:
            if field.offset != end:
                raise ValueError(
                    f"field {field.name} of the {self.name} must start at byte {end}, "
                    f"not {field.offset}"
                )
            if field.offset % field.width:
                raise ValueError(f"field {field.name} of the {self.name} is not aligned")
            end = field.end
        if end != self.size:
            raise ValueError(f"the fields of the {self.name} end at byte {end}, not {self.size}")
        carrying = [field for field in self.fields if not field.reserved]
        object.__setattr__(self, "codec", self._codec(carrying, 0, end))

    def part(self, *names: str) -> Part:
        """The part of it that these fields are, which are named in their order.

        Raises:
            KeyError: There is no such field.
            ValueError: They are named in another order.
        """
        fields = [self[name] for name in names]
        if not fields or fields != [field for field in self.fields if field.name in names]:
            raise ValueError(f"a part of the {self.name} is fields in their order, not {names}")
        begin, end = fields[0].offset, fields[-1].end
        return Part(begin, end - begin, self._codec(fields, begin, end))

    def _codec(self, fields: Iterable[Field], begin: int, end: int) -> struct.Struct:
        """From `begin` to `end`; what does not belong to `fields` is padding."""
        codes = {field.offset: f"{field.count}{_CODES[field.width]}" for field in fields}
        within = (field for field in self.fields if begin <= field.offset < end)
        parts = (codes.get(field.offset, f"{field.size}x") for field in within)
        return struct.Struct("<" + "".join(parts))

    def __getitem__(self, name: str) -> Field:
        for field in self.fields:
            if field.name == name:
                return field
        known = ", ".join(field.name for field in self.fields)
        raise KeyError(f"the {self.name} has no field {name!r}; it has {known}")


COMMAND_SLOT: Final = Structure(
    "command slot",
    32,
    (
        Field("owner", 0, 1, 1, FACT, "who may touch the slot"),
        Field("type", 1, 1, 1, FACT, "the command"),
        Field("error", 2, 1, 1, FACT, "the card's answer"),
        Field("reserved0", 3, 1, 5, FACT, "nothing"),
        Field("filtmask", 8, 4, 1, FACT, "mask of the filter"),
        Field("filtaddr", 12, 4, 1, FACT, "address of the filter"),
        Field("reserved1", 16, 8, 2, FACT, "nothing"),
    ),
)
PACKET_SLOT: Final = Structure(
    "packet slot",
    64,
    (
        Field("owner", 0, 1, 1, FACT, "who may touch the slot and its buffers"),
        Field("reserved0", 1, 1, 3, FACT, "nothing"),
        Field("pktlen", 4, 4, 1, FACT, "bytes received; not used when sending"),
        Field("length", 8, 4, 4, FACT, "bytes of each buffer; 0 for one that is not used"),
        Field("dest", 24, 4, 1, FACT, "address that the packet goes to"),
        Field("src", 28, 4, 1, FACT, "address that it came from; not used when sending"),
        Field("pointer", 32, 8, 4, FACT, "bus address of each buffer"),
    ),
)
USER_HEADER: Final = Structure(
    "user header",
    16,
    (
        Field("source", 0, 4, 1, FACT, "address that the packet came from"),
        Field("destination", 4, 4, 1, FACT, "address that it goes to"),
        Field("length", 8, 4, 1, FACT, "bytes of payload that follow"),
        Field("reserved0", 12, 4, 1, FACT, "nothing"),
    ),
)
INFO: Final = Structure(
    "answer to GET_INFO",
    12,
    (
        Field("major", 0, 4, 1, FACT, "major version"),
        Field("minor", 4, 4, 1, FACT, "minor version"),
        Field("hwaddr", 8, 4, 1, FACT, "hardware address"),
    ),
)
MULTICAST_FILTER: Final = Structure(
    "multicast filter",
    8,
    (
        Field("mask", 0, 4, 1, FACT, "mask of the filter"),
        Field("addr", 4, 4, 1, FACT, "address of the filter"),
    ),
)


class _Contents:
    """A structure's contents as plain numbers; `structure` says where they stand in memory."""

    __slots__ = ()
    structure: Structure


@attrs.frozen
class CommandSlot(_Contents):
    """The contents of a command slot. Memory may hold any byte as owner, type and error."""

    structure = COMMAND_SLOT
    owner: int
    type: int = 0
    error: int = 0
    filtmask: int = 0
    filtaddr: int = 0


@attrs.frozen
class PacketSlot(_Contents):
    """The contents of a transmit or receive slot. Memory may hold any byte as owner."""

    structure = PACKET_SLOT
    owner: int
    pktlen: int = 0
    length: tuple[int, ...] = (0, 0, 0, 0)
    dest: int = 0
    src: int = 0
    pointer: tuple[int, ...] = (0, 0, 0, 0)


@attrs.frozen
class UserHeader(_Contents):
    """What precedes the payload in a user's `read` and `write`."""

    structure = USER_HEADER
    source: int
    destination: int
    length: int


@attrs.frozen
class Info(_Contents):
    """What the card says of itself."""

    structure = INFO
    major: int
    minor: int
    hwaddr: int


@attrs.frozen
class MulticastFilter(_Contents):
    """What a user asks to receive, or to receive no longer."""

    structure = MULTICAST_FILTER
    mask: int
    addr: int


ContentsType = TypeVar("ContentsType", bound=_Contents)


def pack(contents: _Contents) -> bytes:
    """The bytes that stand for `contents` in memory; reserved bytes are 0.

    Raises:
        ValueError: a number does not fit its field, or an array has the wrong length.
    """
    structure = contents.structure
    words: list[int] = []
    for field in structure.fields:
        if field.reserved:
            continue
        what = f"{field.name} of a {structure.name}"
        value: int | tuple[int, ...] = getattr(contents, field.name)
        elements = value if isinstance(value, tuple) else (value,)
        if len(elements) != field.count:
            raise ValueError(f"{what} has {field.count} elements, not {len(elements)}")
        limit = (1 << 8 * field.width) - 1
        for element in elements:
            if not 0 <= element <= limit:
                raise ValueError(f"{what} must be 0 to {limit:#x}, not {element:#x}")
        words.extend(elements)
    return structure.codec.pack(*words)


def unpack(kind: type[ContentsType], data: bytes | bytearray | memoryview) -> ContentsType:
    """The contents that `data` stands for; reserved bytes are ignored.

    Raises:
        ValueError: `data` is not as long as the structure.
    """
    structure = kind.structure
    if len(data) != structure.size:
        raise ValueError(f"a {structure.name} has {structure.size} bytes, not {len(data)}")
    words = iter(structure.codec.unpack(data))
    contents: dict[str, int | tuple[int, ...]] = {}
    for field in structure.fields:
        if field.reserved:
            continue
        elements = tuple(next(words) for _ in range(field.count))
        contents[field.name] = elements if field.count > 1 else elements[0]
    return kind(**contents)


# Rings


@attrs.frozen
class Ring:
    """One of the three rings: 2^shift slots that the card walks in order, from slot 0 on.

    Attributes:
        name: Short name, as in the names of its registers.
        slot: What a slot looks like.
        base: The register that takes the ring's bus address.
        shift: The register that takes log2 of its number of slots.
        completion: The event that says that the card handed a slot back.
        standing: How it is known.
        meaning: What it carries.
    """

    name: str
    slot: Structure
    base: Register
    shift: Register
    completion: Bit
    standing: Standing
    meaning: str

    def size(self, shift: int) -> int:
        """Bytes of the ring when it has 2^shift slots."""
        return self.slot.size * ring_slots(shift)

    def offset(self, index: int) -> int:
        """Offset of slot `index` from the start of the ring."""
        return self.slot.size * index


COMMAND_RING: Final = Ring(
    "CMD", COMMAND_SLOT, CMDBASE, CMDSHIFT, CMDCOMP, FACT, "commands, answered in place"
)
TRANSMIT_RING: Final = Ring("TX", PACKET_SLOT, TXBASE, TXSHIFT, TXCOMP, FACT, "packets to send")
RECEIVE_RING: Final = Ring("RX", PACKET_SLOT, RXBASE, RXSHIFT, RXCOMP, FACT, "packets received")
RINGS: Final = (COMMAND_RING, TRANSMIT_RING, RECEIVE_RING)


def ring_slots(shift: int) -> int:
    """The number of slots of a ring with this shift.

    Raises:
        ValueError: no ring has this shift.
    """
    if not 0 <= shift <= LIMITS.max_shift:
        raise ValueError(f"the shift of a ring must be 0 to {LIMITS.max_shift}, not {shift}")
    return 1 << shift


def doorbell(ring: Ring, index: int) -> int:
    """The value that tells the card, through DBELL, that slot `index` of `ring` is its own now.

    Raises:
        ValueError: the ring has no doorbell, or no ring is so large.
    """
    if ring is RECEIVE_RING:
        raise ValueError("the receive ring has no doorbell")
    last = ring_slots(LIMITS.max_shift) - 1
    if not 0 <= index <= last:
        raise ValueError(f"the index of a slot must be 0 to {last}, not {index}")
    return index | (DBELL_TX.mask if ring is TRANSMIT_RING else 0)


def split_doorbell(value: int) -> tuple[Ring, int]:
    """The ring and the slot index that a value written to DBELL names, legal or not."""
    ring = TRANSMIT_RING if value & DBELL_TX.mask else COMMAND_RING
    return ring, value & ~DBELL_TX.mask


# Commands


class Command(enum.IntEnum):
    """The type byte of a command slot."""

    START = 1
    STOP = 2
    ADDFILT = 3
    RMFILT = 4
    FLUSHFILT = 5


@attrs.frozen
class CommandEntry:
    """A command and its answers. The error byte is 0 for success.

    Attributes:
        command: Its code.
        takes_filter: Whether it reads filtmask and filtaddr.
        refusal: What error byte 1 means, as an `errno` number, or `EIO` if nothing special. Any
            other error byte is a device error, `EIO`.
        standing: How it is known.
        meaning: What it does.
    """

    command: Command
    takes_filter: bool
    refusal: int
    standing: Standing
    meaning: str


COMMANDS: Final = (
    CommandEntry(Command.START, False, errno.EIO, FACT, "begin packet traffic"),
    CommandEntry(
        Command.STOP,
        False,
        errno.EIO,
        FACT,
        "end it; once answered, the card touches neither packet ring nor any buffer",
    ),
    CommandEntry(Command.ADDFILT, True, errno.ENOSPC, FACT, "add a filter; 1 = no space"),
    CommandEntry(
        Command.RMFILT, True, errno.ENOENT, FACT, "remove a filter; 1 = none matches exactly"
    ),
    CommandEntry(Command.FLUSHFILT, False, errno.EIO, FACT, "remove all filters"),
)


def errno_of(command: Command, error: int) -> int:
    """What the error byte of a completed command means: 0 for success, or an `errno` number."""
    if error == 0:
        return 0
    if error != 1:
        return errno.EIO
    return next(entry.refusal for entry in COMMANDS if entry.command is command)


# Addresses, filters, and what answers on the net

EXACT_MASK: Final = 0xFFFF_FFFF
"""The mask of a filter for one address; with HWADDR, the filter of the card's own. A fact."""
_MULTICAST: Final = 1 << 31
UNICAST: Final = EXACT_MASK & ~_MULTICAST
"""The bits that the address of a single card may have. A fact."""


def is_multicast(address: int) -> bool:
    """Whether an address is multicast: bit 31 is set. A fact."""
    return bool(address & _MULTICAST)


def filter_accepts(mask: int, address: int, destination: int) -> bool:
    """Whether a filter lets a packet for `destination` through. A decision."""
    return destination & mask == address & mask


@attrs.frozen
class Service:
    """What answers at an address of the public test network."""

    name: str
    address: int
    standing: Standing
    meaning: str


ECHO: Final = Service("echo", 0xEC60, FACT, "sends the payload back to the sender")
QUOTE: Final = Service("quote", 0xBEEF, FACT, "sends a quote of the day for an empty packet")
SERVICES: Final = (ECHO, QUOTE)


@attrs.frozen
class Ioctl:
    """A control call of the character device: its number in group `group` and what it carries."""

    name: str
    group: str
    number: int
    carries: Structure
    standing: Standing
    meaning: str


IOCTLS: Final = (
    Ioctl("GET_INFO", "z", 0, INFO, FACT, "what the card says of itself"),
    Ioctl("ADD_MCAST", "z", 1, MULTICAST_FILTER, FACT, "receive packets for a multicast address"),
    Ioctl("RM_MCAST", "z", 2, MULTICAST_FILTER, FACT, "receive them no longer"),
)


# The whole datasheet, to print


@attrs.frozen
class Entry:
    """A line of the datasheet, as text."""

    section: str
    name: str
    value: str
    standing: Standing
    meaning: str


def datasheet() -> Iterator[Entry]:
    """Every entry above, section by section, in the order of the datasheet."""
    for section, table in (("Identity", IDENTITY), ("Limits", LIMITS)):
        for figure in attrs.fields(type(table)):
            value: int = getattr(table, figure.name)
            text = hex(value) if figure.name in ("vendor", "product") else str(value)
            yield Entry(section, figure.name, text, **figure.metadata)
    for register in REGISTERS:
        text = f"{register.offset:#04x}, {register.width} bits, {register.access.value}"
        yield Entry("Registers", register.name, text, register.standing, register.meaning)
        for bit in register.bits:
            name = f"{register.name}.{bit.name}"
            yield Entry("Registers", name, f"bit {bit.position}", bit.standing, bit.meaning)
    for owner in Owner:
        yield Entry("Rings", f"owner {owner.name}", hex(owner), FACT, "the first byte of a slot")
    for ring in RINGS:
        text = f"{ring.slot.size}-byte slots"
        yield Entry("Rings", ring.name, text, ring.standing, ring.meaning)
    for structure in (COMMAND_SLOT, PACKET_SLOT):
        yield from _fields("Rings", structure)
    for entry in COMMANDS:
        command = entry.command
        yield Entry("Commands", command.name, str(command.value), entry.standing, entry.meaning)
    yield Entry("Filters", "match", "dest & mask == addr & mask", DECISION, "a packet is received")
    yield Entry("Filters", "multicast", "bit 31", FACT, "set in a multicast address")
    yield Entry("Filters", "unicast", hex(EXACT_MASK), FACT, "mask of the filter for HWADDR")
    for service in SERVICES:
        text = hex(service.address)
        yield Entry("Ductnet", service.name, text, service.standing, service.meaning)
    yield from _fields("Character device", USER_HEADER)
    for call in IOCTLS:
        text = f"('{call.group}', {call.number})"
        yield Entry("Character device", call.name, text, call.standing, call.meaning)
        yield from _fields("Character device", call.carries)


def _fields(section: str, structure: Structure) -> Iterator[Entry]:
    for field in structure.fields:
        if field.reserved:
            continue
        times = f" x {field.count}" if field.count > 1 else ""
        text = f"byte {field.offset}, {8 * field.width} bits{times}"
        name = f"{structure.name}.{field.name}"
        yield Entry(section, name, text, field.standing, field.meaning)
