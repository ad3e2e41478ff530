"""How the card behind the vfio-user protocol tells a virtual machine of its interrupts."""

import errno
import os
import threading

import pytest

from model.layout import (
    DBELL,
    ECHO,
    EVFLAGS,
    FLAGS,
    FLTB,
    HWERR,
    RST,
    SEQ,
    TRANSMIT_RING,
    TXBASE,
    Command,
    Owner,
)
from tests.vfio_user.client import (
    BAR0,
    BAR1,
    BUS_MASTER,
    COMMAND,
    ERR,
    INTX,
    INTX_DISABLE,
    MEMORY,
    MSIX,
    PATIENCE,
    PciDevice,
    Refused,
    interrupts,
)
from tests.vfio_user.place import (
    EVENT,
    FATAL,
    SOON,
    host_of,
    wait_until_gone,
    works_for_the_next_client,
)


def test_a_fatal_error_raises_the_other_vector(place):
    host = host_of(place)
    place.running.fail()
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == HWERR.mask
    host.device.write(FLAGS, RST.mask)
    while host.device.read(FLAGS):
        pass
    host.device.close()


def test_without_the_bus_master_bit_nothing_moves_and_no_vector_is_raised(place):
    host = host_of(place)
    device, client = host.device, host.device.client
    while interrupts(device.events[EVENT], SOON):
        pass
    client.set_config(COMMAND, MEMORY, 2)
    before = place.counters.dma_reads, place.counters.dma_writes
    index = host.send(ECHO.address, b"later")
    assert not interrupts(device.events[EVENT], SOON)
    assert host.owner(TRANSMIT_RING, index) == Owner.DEVICE
    assert (place.counters.dma_reads, place.counters.dma_writes) == before
    client.set_config(COMMAND, MEMORY | BUS_MASTER, 2)
    assert host.receive().payload == b"later"
    device.close()


def test_a_vector_without_an_eventfd_stays_pending(place):
    host = host_of(place)
    client = host.device.client
    client.set_irqs(MSIX, 0x24, start=FATAL, count=1)
    place.running.fail()
    assert client.read(BAR1, 0x800, 8) == b"\2" + bytes(7)
    client.set_irqs(MSIX, 0x24, start=FATAL, count=1, fds=[host.device.events[FATAL]])
    assert host.device.wait_for_interrupt(FATAL)
    assert client.read(BAR1, 0x800, 8) == bytes(8)
    host.device.close()


def test_disabled_msix_tells_nobody(place):
    host = host_of(place)
    client, events = host.device.client, host.device.events
    client.set_irqs(MSIX, 0x21)
    place.running.fail()
    assert not interrupts(events[FATAL], SOON)
    client.set_config(0x42, 0, 2)
    assert client.read(BAR1, 0x800, 8) == bytes(8)
    host.device.close()


def test_a_client_may_trigger_its_own_eventfds(place):
    device = PciDevice(place.path)
    device.client.set_irqs(MSIX, 0x22, count=2, data=b"\0\1")
    assert not interrupts(device.events[0], 0)
    assert interrupts(device.events[1]) == 1
    device.client.set_irqs(MSIX, 0x21, count=2)
    assert [interrupts(fd) for fd in device.events] == [1, 1]
    device.close()


def intx_is_due(place):
    """A device with INTx, and a fatal error."""
    device = PciDevice(place.path, msix=False)
    place.running.fail()
    return device, device.client


def test_intx_masks_itself_and_is_told_again_while_it_is_due(place):
    device, client = intx_is_due(place)
    assert interrupts(device.intx) == 1
    place.running.fail(SEQ)
    client.post(BAR0, DBELL.offset, bytes(4))
    assert not interrupts(device.intx, SOON)
    client.set_irqs(INTX, 0x11, count=1)
    assert interrupts(device.intx) == 1
    device.write(FLAGS, RST.mask)
    while device.read(FLAGS):
        pass
    client.set_irqs(INTX, 0x11, count=1)
    assert not interrupts(device.intx, SOON)
    device.close()


def test_the_status_register_shows_intx_even_if_it_is_disabled(place):
    device, client = intx_is_due(place)
    assert interrupts(device.intx) == 1
    assert client.config(6, 2) == 0x18
    client.set_config(COMMAND, MEMORY | BUS_MASTER | INTX_DISABLE, 2)
    client.set_irqs(INTX, 0x11, count=1)
    assert client.config(6, 2) == 0x18
    assert not interrupts(device.intx, SOON)
    client.set_config(COMMAND, MEMORY | BUS_MASTER, 2)
    assert interrupts(device.intx) == 1
    client.reset()
    assert client.config(6, 2) == 0x10
    device.close()


def test_intx_needs_no_bus_mastering(place):
    device = PciDevice(place.path, msix=False)
    device.client.set_config(COMMAND, MEMORY, 2)
    device.write(TXBASE, 1)
    assert interrupts(device.intx) == 1
    assert device.read(FLAGS) == FLTB.mask
    device.close()


def test_reading_evflags_withdraws_intx(place):
    host = host_of(place, msix=False)
    device, client = host.device, host.device.client
    client.set_config(COMMAND, MEMORY | BUS_MASTER | INTX_DISABLE, 2)
    host.submit(Command.FLUSHFILT)
    assert place.running.wait_until_idle()
    while not client.config(6, 2) & 8:
        pass
    assert EVFLAGS.describe(device.read(EVFLAGS)) == "CMDCOMP"
    assert client.config(6, 2) == 0x10
    device.close()


def test_masking_keeps_intx_back(place):
    device = PciDevice(place.path, msix=False)
    device.client.set_irqs(INTX, 0x09, count=1)
    place.running.fail()
    assert not interrupts(device.intx, SOON)
    device.client.set_irqs(INTX, 0x12, count=1, data=b"\0")
    assert not interrupts(device.intx, SOON)
    device.client.set_irqs(INTX, 0x12, count=1, data=b"\1")
    assert interrupts(device.intx) == 1
    device.close()


@pytest.mark.parametrize(
    ("index", "flags", "start", "count", "number"),
    [
        (5, 0x21, 0, 0, errno.EINVAL),
        (MSIX, 0x21, 1, 2, errno.EINVAL),
        (INTX, 0x21, 1, 1, errno.EINVAL),
        (1, 0x21, 0, 1, errno.EINVAL),
        (MSIX, 0x11, 0, 1, errno.ENOTSUP),
        (INTX, 0x14, 0, 1, errno.ENOTSUP),
    ],
)
def test_what_an_interrupt_cannot_do_is_refused(client, index, flags, start, count, number):
    with pytest.raises(Refused) as refused:
        client.set_irqs(index, flags, start, count)
    assert refused.value.errno == number
    assert client.info()


def test_errors_of_the_bus_may_be_asked_for(client):
    client.set_irqs(ERR, 0x24, count=1, fds=[os.eventfd(0)])


def test_a_client_that_fills_an_eventfd_at_the_last_moment_keeps_nobody_waiting(place, monkeypatch):
    """The card finds room in it, and then there is none; the eventfd is one that waits."""
    device = PciDevice(place.path)
    waits = os.eventfd(0xFFFF_FFFF, 0)
    os.eventfd_write(waits, 0xFFFF_FFFF_FFFF_FFFE - 0xFFFF_FFFF)
    device.client.set_irqs(MSIX, 0x24, start=FATAL, count=1, fds=[waits])
    looked = threading.Event()

    class Room:
        def register(self, *_):
            pass

        def poll(self, _timeout):
            looked.set()
            return [True]

    monkeypatch.setattr("emulator.vfio_user.interrupts.select.poll", Room)
    failing = threading.Thread(target=place.running.fail)
    failing.start()
    assert looked.wait(PATIENCE)
    device.close()
    wait_until_gone(place, 1)
    failing.join()
    monkeypatch.undo()
    works_for_the_next_client(place)


def test_a_full_eventfd_keeps_nobody_waiting(place):
    host = host_of(place)
    os.eventfd_write(host.device.events[FATAL], 0xFFFF_FFFF_FFFF_FFFE)
    place.running.fail()
    assert host.device.read(FLAGS) == HWERR.mask
    host.device.close()
