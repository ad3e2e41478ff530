"""A card that writes what it must not: what the driver does then, and that the card is blamed.

Without a monitor: a slot whose owner byte is neither HOST nor DEVICE counts as the card's still, so
that nothing of it is read or returned. A card that failed counts as failed until the driver has
reset it, whatever FLAGS reads as meanwhile. Who has a slot is what the driver knows: what the card
writes to the owner byte of a slot that is the host's has no effect.
"""

import threading
import time

import pytest

from impl.errors import CardFailedError, SpecificationError, WaitTimeoutError, WouldBlockError
from impl.memory import Purpose
from impl.settings import Settings
from model.layout import COMMAND_SLOT, ECHO, FLAGS, IDENTITY, PACKET_SLOT, Owner
from model.state import Flags
from monitor.inferred_card import InferredCard
from monitor.unchanged import Unchanged
from properties.card_faults import CARD_FAULTS, reads
from properties.monitored import play
from tests.own_card import OwnCard

PATIENCE = 20
SOON = 0.05
SETTINGS = Settings(ring_shift=1, drain_timeout=0.05, command_timeout=2)
RINGS = {
    "cmd": (Purpose.COMMAND_RING, COMMAND_SLOT.size),
    "tx": (Purpose.TRANSMIT_RING, PACKET_SLOT.size),
    "rx": (Purpose.RECEIVE_RING, PACKET_SLOT.size),
}
STRANGE = [0x00, 0xFF, Owner.HOST ^ 1, Owner.DEVICE ^ 1]
MASK, ADDRESS = 0xFFFF_FFFF, 0x8000_0001


class World(OwnCard):
    """An emulated card that only one test has, and its memory."""

    def owner(self, ring, slot):
        """Memory, and where in it the owner byte of a slot is."""
        purpose, size = RINGS[ring]
        (region,) = [r for r in self.laboratory.memory().regions if r.purpose is purpose]
        return region, slot * size

    def write(self, ring, slot, value):
        """The card writes an owner byte, and raises vector 0."""
        region, offset = self.owner(ring, slot)
        with self.card.held() as card:
            card.dma.write(region.bus_address(offset), bytes([value]))
            card.spurious()

    def read(self, ring, slot):
        region, offset = self.owner(ring, slot)
        return region.load(offset, 1)


@pytest.fixture
def world():
    world = World(settings=SETTINGS)
    yield world
    world.power_off()


def served(world):
    """Let the driver serve what was raised."""
    before = world.card.counters.register_reads
    with world.card.held() as card:
        card.spurious()
    end = time.monotonic() + PATIENCE
    while world.card.counters.register_reads == before:
        assert time.monotonic() < end
        time.sleep(0.0005)
    time.sleep(0.002)


# What the driver does


@pytest.mark.parametrize("value", STRANGE)
def test_a_packet_whose_owner_is_nobody_has_not_come(world, value):
    with world.open() as duct:
        world.write("rx", 0, value)
        served(world)
        with pytest.raises(WouldBlockError):
            duct.receive(blocking=False)
        assert duct.poll().next_length is None
        # Made the card's again, the slot is as good as before.
        world.write("rx", 0, Owner.DEVICE)
        duct.send(ECHO.address, b"comes", timeout=PATIENCE)
        assert duct.receive(timeout=PATIENCE).payload == b"comes"


@pytest.mark.parametrize("value", STRANGE)
def test_what_was_handed_over_and_has_a_strange_owner_is_not_back(world, value):
    """Whoever waits for it waits until the time is over; the last close resets the card."""
    duct = world.open()
    world.stand_still()
    duct.send(ECHO.address, b"", blocking=False)
    world.stand_still(False)
    world.card.wait_until_idle()
    assert duct.poll().free_slots <= 2
    with world.card.held() as card:
        card.bus_master = False
    for kind, call in (
        ("tx", lambda: duct.send(ECHO.address, b"", timeout=SOON)),
        ("cmd", lambda: duct.add_multicast(MASK, ADDRESS, timeout=SOON)),
    ):
        slot = duct._controller.transmit if kind == "tx" else duct._controller.commands
        index = slot.next_slot
        with pytest.raises(WaitTimeoutError):
            call()
        region, offset = world.owner(kind, index)
        region.store(offset, 1, value)
        outstanding = slot.outstanding
        served_without_bus(duct)
        assert slot.outstanding == outstanding
    duct.close()
    with world.open() as again:
        again.send(ECHO.address, b"goes on", timeout=PATIENCE)
        assert again.receive(timeout=PATIENCE).payload == b"goes on"


def served_without_bus(duct):
    """As if vector 0 had come."""
    controller = duct._controller
    controller.runtime.lock()
    try:
        controller.serve_events()
    finally:
        controller.runtime.unlock()


@pytest.mark.parametrize("value", [*STRANGE, Owner.DEVICE])
def test_a_slot_on_loan_is_the_readers_whatever_the_card_writes_to_its_owner(world, value):
    with world.open() as duct:
        duct.send(ECHO.address, b"on loan", timeout=PATIENCE)
        with duct.receive_view(timeout=PATIENCE) as view:
            region, offset = world.owner("rx", 0)
            region.store(offset, 1, value)
            assert bytes(view.payload) == b"on loan"
        assert world.read("rx", 0) == Owner.DEVICE
        duct.send(ECHO.address, b"next", timeout=PATIENCE)
        assert duct.receive(timeout=PATIENCE).payload == b"next"


@pytest.mark.parametrize("value", [*STRANGE, Owner.HOST])
def test_a_free_slot_is_used_whatever_the_card_writes_to_its_owner(world, value):
    with world.open() as duct:
        for ring in ("tx", "cmd"):
            for slot in range(2):
                region, offset = world.owner(ring, slot)
                region.store(offset, 1, value)
        duct.send(ECHO.address, b"sent", timeout=PATIENCE)
        duct.add_multicast(MASK, ADDRESS, timeout=PATIENCE)
        assert duct.receive(timeout=PATIENCE).payload == b"sent"


def test_a_card_that_failed_has_failed_whatever_flags_reads_as_afterwards(world):
    duct = world.open()
    world.card.fail()
    with pytest.raises(CardFailedError):
        duct.receive(timeout=PATIENCE)
    card = world.card.card
    reads(card, FLAGS, lambda _: 0)
    with world.card.held() as held:
        held.vector1 = True
    time.sleep(SOON)
    for _ in range(2):
        with pytest.raises(CardFailedError):
            duct.poll()
    duct.close()


# Who is blamed, and by what


def never(*_):
    """A check that sees nothing."""


def takes_any_owner(owner_loaded):
    def blind(card, ring, slot, value):
        if value in set(Owner):
            owner_loaded(card, ring, slot, value)

    return blind


def takes_any_recovery(flags_read):
    def blind(card, value):
        if value or card._now["card_flags"] != Flags.ERROR:
            flags_read(card, value)

    return blind


CHECKS = {
    "owner-is-nobody": (InferredCard, "owner_loaded", takes_any_owner),
    "writes-to-a-free-slot": (Unchanged, "check_is_hosts", lambda _: never),
    "changes-header": (Unchanged, "check_header", lambda _: never),
    "recovers-by-itself": (InferredCard, "flags_read", takes_any_recovery),
}
"""Faults of a card, each with the one check that sees it."""


@pytest.mark.parametrize("name", CHECKS)
def test_a_card_that_writes_garbage_is_blamed_by_one_check_alone(name, monkeypatch):
    (wrong,) = [item for item in CARD_FAULTS if item.fault.id == name]
    seen = play(prepare=wrong.make)
    assert seen.finding.startswith("the card broke the specification: ")
    assert wrong.says in seen.finding
    holder, check, blinded = CHECKS[name]
    monkeypatch.setattr(holder, check, blinded(getattr(holder, check)))
    assert not play(prepare=wrong.make).finding


@pytest.mark.parametrize("value", [*STRANGE, Owner.DEVICE])
def test_a_card_that_writes_to_a_slot_on_loan_is_blamed(world, value):
    duct = world.open(monitor=True)
    duct.send(ECHO.address, b"on loan", timeout=PATIENCE)
    view = duct.receive_view(timeout=PATIENCE)
    world.write("rx", 0, value)
    with pytest.raises(SpecificationError):
        view.release()
    assert (
        f"the owner byte of slot 0 of the rx ring became {value:#x} while the slot was the host's"
        in duct.watch.finding
    )
    duct.close()


@pytest.mark.parametrize("ring", RINGS)
def test_an_owner_that_is_nobody_is_blamed_on_the_card_on_each_ring(world, ring):
    duct = world.open(monitor=True)
    world.stand_still()
    calls = {
        "cmd": lambda: duct.add_multicast(MASK, ADDRESS, timeout=PATIENCE),
        "tx": lambda: duct.send(ECHO.address, b"", timeout=PATIENCE),
        "rx": lambda: duct.receive(timeout=PATIENCE),
    }
    errors = []

    def run():
        try:
            calls[ring]()
        except SpecificationError as error:
            errors.append(error)

    index = {
        "cmd": duct._controller.commands.next_slot,
        "tx": duct._controller.transmit.next_slot,
        "rx": 0,
    }[ring]
    calling = threading.Thread(target=run, daemon=True)
    calling.start()
    queue = {"cmd": 1, "tx": 0, "rx": 2}[ring]
    sleepers = list(duct._controller.runtime._inner._sleepers.values())
    while not sleepers[queue]:
        time.sleep(0.001)
    region, offset = world.owner(ring, index)
    region.store(offset, 1, 0x5A)
    world.devices[-1]._interrupts.take_up(IDENTITY.event_vector)
    calling.join(PATIENCE)
    assert not calling.is_alive()
    assert len(errors) == 1
    assert duct.watch.finding.startswith("the card broke the specification: owner byte 0x5a in ")
    world.stand_still(False)
    duct.close()
