"""What a bench may tell a card to do, and what the card does then."""

import json

import attrs
import pytest

from emulator.bus import BusError
from emulator.control import Control
from model.layout import ECHO, EVFLAGS, FLAGS, HWADDR, HWERR, RST, RXCOMP, TRANSMIT_RING, Owner
from tests.host import EVENT, FATAL, SLOTS, Host
from tests.vfio_user.client import BAR0, BUS_MASTER, COMMAND, INTX, MEMORY, interrupts
from tests.vfio_user.place import SOON, Place, echoed, host_of

REQUESTS = (
    "ping [WORD], counters, fail, stand-still, go-on, mute-interrupts on|off|N, announce-nothing"
)


@pytest.fixture
def host(laboratory):
    """A driver of the card that `say` talks to."""
    return Host(laboratory.open()).start()


@pytest.fixture
def say(laboratory):
    return Control(laboratory.card()).answer


@pytest.fixture
def place(tmp_path):
    it = Place(tmp_path / "card")
    yield it
    it.close()


def counters(say):
    word, _, rest = say("counters").partition(" ")
    assert word == "ok"
    return json.loads(rest)


# Words


def test_a_ping_is_answered_with_its_word(say):
    assert say("ping") == "ok"
    assert say("ping hello") == 'ok "hello"'


@pytest.mark.parametrize(
    "request_", ["frob", "PING", "fail now", "ping one two", "mute-interrupts"]
)
def test_what_is_no_request_is_answered_with_those_that_are(say, request_):
    assert say(request_) == f"error {request_!r} is no request; one of these is: {REQUESTS}"


@pytest.mark.parametrize("number", ["-1", "1.5", "maybe", "1000001", "9" * 900])
def test_only_so_many_interrupts_can_be_lost(say, number):
    text = f"mute-interrupts takes on, off or a number from 0 to 1000000, not {number!r}"
    assert say(f"mute-interrupts {number}") == f"error {text}"


# What was counted


def test_the_counters_tell_of_packets_and_memory(host, laboratory, say):
    card = laboratory.card()
    before = counters(say)
    host.send(ECHO.address, b"x" * 100)
    assert host.receive().payload == b"x" * 100
    assert card.wait_until_idle()
    after = counters(say)
    assert after == attrs.asdict(card.counters)
    change = {name: after[name] - before[name] for name in after}
    assert (change["transmitted"], change["received"]) == (1, 1)
    # The payload, and at least a slot or what is written to one.
    assert change["dma_read_bytes"] >= 100 + TRANSMIT_RING.slot.size
    assert change["dma_written_bytes"] == 100 + 4 + 8 + 1 + 1
    assert change["dma_writes"] == 2 + 2 + 1 + 1
    assert change["interrupts"] >= 1
    assert change["interrupts_muted"] == change["dropped"] == change["lost"] == 0


class AllBut:
    """Memory with an address that cannot be written to."""

    def __init__(self, memory, address):
        self.memory = memory
        self.address = address
        self.read = memory.read

    def write(self, address, data):
        if address == self.address:
            raise BusError(address, len(data))
        self.memory.write(address, data)


def test_a_packet_that_cannot_be_handed_over_was_not_received(laboratory, host, say):
    """The last thing that the card writes is the owner byte, and it does not get there."""
    card = laboratory.card().card
    card.dma = AllBut(card.dma, host.rings["RX"].bus_address())
    host.send(ECHO.address, b"x")
    assert host.device.wait_for_interrupt(FATAL)
    now = counters(say)
    assert (now["transmitted"], now["received"]) == (1, 0)


# A card that fails, that lies, that stands still


def test_it_announces_a_packet_that_did_not_come(host, say):
    assert say("announce-nothing") == "ok"
    assert host.device.wait_for_interrupt(EVENT)
    assert host.device.read(EVFLAGS) & RXCOMP.mask
    assert counters(say)["received"] == 0


def test_it_fails(host, say):
    assert say("fail") == "ok"
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == HWERR.mask


def test_it_stands_still_and_goes_on(host, laboratory, say):
    assert say("stand-still") == "ok"
    before = counters(say)
    indices = [host.send(ECHO.address, b"later") for _ in range(3)]
    assert laboratory.card().wait_until_idle()
    after = counters(say)
    for name in ("dma_reads", "dma_writes", "interrupts", "transmitted"):
        assert after[name] == before[name]
    assert [host.owner(TRANSMIT_RING, index) for index in indices] == [Owner.DEVICE] * 3
    assert say("go-on") == "ok"
    assert [host.receive().payload for _ in indices] == [b"later"] * 3


def test_a_failure_while_it_stands_still_is_told_when_it_goes_on(host, say):
    say("stand-still")
    before = counters(say)["interrupts"]
    say("fail")
    assert host.device.read(FLAGS) == HWERR.mask
    assert counters(say)["interrupts"] == before
    say("go-on")
    assert host.device.wait_for_interrupt(FATAL)


def test_a_reset_of_a_card_that_stands_still_ends(host, say):
    say("stand-still")
    host.device.write(FLAGS, RST.mask)
    while host.device.read(FLAGS):
        pass


def test_the_bus_master_bit_is_the_clients_while_the_card_stands_still(place):
    host = host_of(place)
    client = host.device.client
    place.running.stand_still()
    assert client.config(COMMAND, 2) == MEMORY | BUS_MASTER
    client.set_config(COMMAND, MEMORY, 2)
    place.running.go_on()
    assert not place.running.card.bus_master
    place.running.stand_still()
    client.set_config(COMMAND, MEMORY | BUS_MASTER, 2)
    assert not place.running.card.bus_master
    place.running.go_on()
    assert echoed(host, b"goes on").payload == b"goes on"
    host.device.close()


# A card that loses its interrupts


def completed(host, payload=b"x"):
    """Send a packet to nobody and wait for its completion, without an interrupt."""
    index = host.send(1, payload)
    while host.owner(TRANSMIT_RING, index) != Owner.HOST:
        pass


def test_so_many_interrupts_are_lost_and_no_more(host, laboratory, say):
    card = laboratory.card()
    assert card.wait_until_idle()
    assert say("mute-interrupts 3") == "ok"
    before = counters(say)
    for lost in range(1, 4):
        completed(host)
        assert card.wait_until_idle()
        now = counters(say)
        assert now["interrupts_muted"] - before["interrupts_muted"] == lost
        assert now["interrupts"] == before["interrupts"]
    completed(host)
    assert host.device.wait_for_interrupt(EVENT)
    assert card.wait_until_idle()
    assert counters(say)["interrupts"] == before["interrupts"] + 1


def test_all_interrupts_are_lost_until_they_are_not(host, laboratory, say):
    card = laboratory.card()
    assert card.wait_until_idle()
    assert say("mute-interrupts 1000000") == "ok"
    assert say("mute-interrupts on") == "ok"
    before = counters(say)["interrupts"]
    for _ in range(3 * SLOTS):
        completed(host)
    say("fail")
    assert counters(say)["interrupts"] == before
    assert host.device.read(FLAGS) == HWERR.mask
    host.device.write(FLAGS, RST.mask)
    assert say("mute-interrupts off") == "ok"
    say("fail")
    assert host.device.wait_for_interrupt(FATAL)


@pytest.mark.parametrize("msix", [True, False], ids=["MSI-X", "INTx"])
def test_a_virtual_machine_is_not_told_of_an_interrupt_that_was_lost(place, msix):
    host = host_of(place, msix=msix)
    device = host.device
    told = device.events[EVENT] if msix else device.intx
    assert place.running.wait_until_idle()
    # All that was due is served.
    device.read(EVFLAGS)
    interrupts(told, 0)
    device.client.set_irqs(INTX, 0x11, count=1)
    place.running.mute_interrupts(1)
    completed(host)
    assert place.running.wait_until_idle()
    # Nor by what usually makes a level show.
    device.client.post(BAR0, HWADDR.offset, bytes(4))
    device.client.set_irqs(INTX, 0x11, count=1)
    assert device.client.config(6, 2) == 0x10
    assert not interrupts(told, SOON)
    completed(host)
    assert interrupts(told)
    device.close()
