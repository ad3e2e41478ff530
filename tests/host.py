"""A host of a few lines, which the emulated card is tried with."""

from emulator.packet import NetPacket
from impl.memory import Device, Purpose
from model.layout import (
    COMMAND_RING,
    DBELL,
    EXACT_MASK,
    FLAGS,
    HWADDR,
    LIMITS,
    RECEIVE_RING,
    RINGS,
    RST,
    TRANSMIT_RING,
    Command,
    CommandSlot,
    Owner,
    PacketSlot,
    doorbell,
    pack,
    unpack,
)

SHIFT = 3
SLOTS = 1 << SHIFT
PAGE = LIMITS.page_size
PURPOSES = {
    "CMD": Purpose.COMMAND_RING,
    "TX": Purpose.TRANSMIT_RING,
    "RX": Purpose.RECEIVE_RING,
}
EVENT, FATAL = 0, 1


class Host:
    """A driver of a few lines, in one thread, through the words of `impl.memory` only."""

    def __init__(self, device: Device):
        self.device = device
        device.write(FLAGS, RST.mask)
        while device.read(FLAGS):
            pass
        device.enable_bus_master()
        self.rings = {}
        self.index = dict.fromkeys(("CMD", "TX", "RX"), 0)
        for ring in RINGS:
            region = device.allocate(ring.size(SHIFT), PURPOSES[ring.name])
            for i in range(SLOTS):
                region.store(ring.offset(i), 1, Owner.HOST)
            self.rings[ring.name] = region
            device.write(ring.base, region.bus_address())
            device.write(ring.shift, SHIFT)
        self.sending = device.allocate(SLOTS * LIMITS.max_packet, Purpose.TRANSMIT_BUFFERS)
        self.receiving = device.allocate(SLOTS * LIMITS.max_packet, Purpose.RECEIVE_BUFFERS)
        for i in range(SLOTS):
            self.post(i)

    def pages(self, region, index):
        return tuple(
            region.bus_address(index * LIMITS.max_packet + i * PAGE) for i in range(LIMITS.buffers)
        )

    def hand_over(self, ring, index, slot):
        region = self.rings[ring.name]
        region.store_bulk(ring.offset(index) + 1, pack(slot)[1:])
        region.store(ring.offset(index), 1, Owner.DEVICE)

    def post(self, index):
        pages = self.pages(self.receiving, index)
        self.hand_over(RECEIVE_RING, index, PacketSlot(Owner.DEVICE, 0, (PAGE,) * 4, 0, 0, pages))

    def advance(self, ring):
        index = self.index[ring.name]
        self.index[ring.name] = (index + 1) % SLOTS
        return index

    def owner(self, ring, index):
        return self.rings[ring.name].load(ring.offset(index), 1)

    def wait_for(self, ring, index):
        while self.owner(ring, index) != Owner.HOST:
            assert self.device.wait_for_interrupt(EVENT)

    def submit(self, kind, mask=0, address=0):
        index = self.advance(COMMAND_RING)
        self.hand_over(COMMAND_RING, index, CommandSlot(Owner.DEVICE, kind, 0x77, mask, address))
        self.device.write(DBELL, doorbell(COMMAND_RING, index))
        return index

    def command(self, kind, mask=0, address=0):
        index = self.submit(kind, mask, address)
        self.wait_for(COMMAND_RING, index)
        data = self.rings["CMD"].load_bulk(COMMAND_RING.offset(index), COMMAND_RING.slot.size)
        return unpack(CommandSlot, data).error

    def start(self):
        assert self.command(Command.START) == 0
        assert self.command(Command.ADDFILT, EXACT_MASK, self.device.read(HWADDR)) == 0
        return self

    def fill(self, destination, payload=b""):
        index = self.advance(TRANSMIT_RING)
        self.sending.store_bulk(index * LIMITS.max_packet, payload)
        lengths = tuple(max(0, min(PAGE, len(payload) - i * PAGE)) for i in range(4))
        pages = self.pages(self.sending, index)
        self.hand_over(
            TRANSMIT_RING, index, PacketSlot(Owner.DEVICE, 0, lengths, destination, 0, pages)
        )
        return index

    def send(self, destination, payload=b""):
        index = self.fill(destination, payload)
        self.device.write(DBELL, doorbell(TRANSMIT_RING, index))
        return index

    def receive(self):
        index = self.advance(RECEIVE_RING)
        self.wait_for(RECEIVE_RING, index)
        data = self.rings["RX"].load_bulk(RECEIVE_RING.offset(index), RECEIVE_RING.slot.size)
        slot = unpack(PacketSlot, data)
        payload = self.receiving.load_bulk(index * LIMITS.max_packet, slot.pktlen)
        self.post(index)
        return NetPacket(slot.dest, slot.src, payload)


def interrupts_for(host, running, packets):
    """How many interrupts a card raises for packets that it is given at once."""
    before = host.device.counters.interrupts
    with running.held():
        for _ in range(packets):
            index = host.fill(0x99)
        # In place of the host, whose write would have to wait.
        running.card.write(DBELL, doorbell(TRANSMIT_RING, index))
    assert running.wait_until_idle()
    return host.device.counters.interrupts - before
