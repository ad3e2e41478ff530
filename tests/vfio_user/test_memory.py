"""How the card behind the vfio-user protocol reaches the memory of a virtual machine."""

import errno
import fcntl
import mmap
import os
import struct

import pytest

from emulator.bus import BusError
from model.layout import (
    COMMAND_RING,
    DBELL,
    ECHO,
    FLAGS,
    FLTB,
    TRANSMIT_RING,
    Command,
    Owner,
    doorbell,
)
from tests.host import Host
from tests.vfio_user.client import PAGE, PciDevice, Refused
from tests.vfio_user.place import (
    FATAL,
    echoed,
    host_of,
    map_count,
    open_files,
    short_memfd,
    works_for_the_next_client,
)


def test_memory_that_is_not_mapped_is_a_fault(place):
    host = host_of(place)
    assert host.device.client.unmap(PciDevice.BASE, PciDevice.SIZE)[8:16] == struct.pack(
        "<Q", PciDevice.BASE
    )
    host.send(ECHO.address)
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == FLTB.mask
    host.device.close()


def test_memory_that_the_client_refuses_is_a_fault(place):
    host = host_of(place, by_messages=True)
    host.device.client.refuse = errno.ENODEV
    host.send(ECHO.address)
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == FLTB.mask
    host.device.close()


def test_memory_that_may_only_be_read_is_not_written(place):
    host = host_of(place)
    client = host.device.client
    client.unmap(PciDevice.BASE, PciDevice.SIZE)
    client.map(PciDevice.BASE, PciDevice.SIZE, host.device.memfd, flags=1)
    host.submit(Command.FLUSHFILT)
    assert host.device.wait_for_interrupt(FATAL)
    assert host.device.read(FLAGS) == FLTB.mask
    assert host.owner(COMMAND_RING, host.index["CMD"] - 1) == Owner.DEVICE
    host.device.close()


def test_memory_may_come_page_by_page_from_anywhere_in_a_file(place):
    device = PciDevice(place.path)
    device.client.unmap(device.BASE, device.SIZE)
    for start in range(0, device.SIZE, PAGE):
        device.client.map(device.BASE + start, PAGE, device.memfd, offset=start)
    host = Host(device).start()
    assert echoed(host, b"z" * 9000).payload == b"z" * 9000
    device.close()


def test_maps_of_one_file_need_one_descriptor_however_many_there_are(place):
    """A virtual machine with an IOMMU maps page by page, more often than there are descriptors."""
    device = PciDevice(place.path)
    client = device.client
    before, mapped = open_files(), map_count()
    for n in range(1000):
        client.map(0x1_0000_0000 + n * 2 * PAGE, PAGE, device.memfd, offset=n * PAGE)
    assert open_files() == before
    assert map_count() <= mapped
    client.unmap(0x1_0000_0000, 2000 * PAGE)
    host = Host(device).start()
    assert echoed(host, b"still there").payload == b"still there"
    device.close()


def test_memory_of_a_file_that_has_grown_is_reached(place):
    device = PciDevice(place.path)
    before = open_files()
    os.ftruncate(device.memfd, 2 * device.SIZE)
    device.client.unmap(device.BASE, device.SIZE)
    device.client.map(0, PAGE, device.memfd)
    os.ftruncate(device.memfd, 3 * device.SIZE)
    device.client.map(device.BASE, device.SIZE, device.memfd, offset=2 * device.SIZE)
    first = device.content
    device.content = mmap.mmap(device.memfd, device.SIZE, offset=2 * device.SIZE)
    first.close()
    device.client.unmap(0, PAGE)
    host = Host(device).start()
    assert echoed(host, b"far away").payload == b"far away"
    device.client.unmap(device.BASE, device.SIZE)
    assert open_files() == before - 1
    device.close()


def test_there_is_room_for_so_many_files(place):
    device = PciDevice(place.path)
    fds = [short_memfd() for _ in range(256)]
    for n, fd in enumerate(fds[:-1]):
        device.client.map(n * PAGE, PAGE, fd)
    with pytest.raises(Refused, match="No space left on device"):
        device.client.map(len(fds) * PAGE, PAGE, fds[-1])
    device.client.unmap(0, PAGE)
    device.client.map(0, PAGE, fds[-1])
    device.close()
    for fd in fds:
        os.close(fd)


def test_a_file_that_is_sealed_against_writing_is_a_fault_when_it_is_written(place):
    device = PciDevice(place.path)
    fd = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, PAGE)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    device.client.map(0x1000, PAGE, fd)
    with place.running.held() as card:
        assert card.dma.read(0x1000, 4) == bytes(4)
        with pytest.raises(BusError):
            card.dma.write(0x1000, b"1234")
    device.close()
    os.close(fd)


def test_what_was_never_mapped_can_be_unmapped(client):
    client.unmap(0, 1 << 63)
    client.unmap(0xFEE00000, 0x1000)
    client.unmap(0, 0, flags=2)


def test_an_unmap_takes_all_maps_in_its_range_and_cuts_none(client):
    client.map(0x1000, 0x1000)
    client.map(0x3000, 0x1000)
    for address, size in [(0x1000, 0x800), (0x1800, 0x2800), (0, 0x1001)]:
        with pytest.raises(Refused, match="Invalid argument"):
            client.unmap(address, size)
    with pytest.raises(Refused, match="File exists"):
        client.map(0x1800, 0x1000)
    with pytest.raises(Refused, match="File exists"):
        client.map(0, 0x5000)
    client.unmap(0, 0x10000)
    client.map(0x1800, 0x1000)


def test_a_file_that_shrinks_under_the_card_is_a_fault_and_no_more(place):
    host = host_of(place, sealed=False)
    device = host.device
    # A ring that is still there, so that it is the card that meets the end of the file.
    os.ftruncate(device.memfd, 0)
    device.write(DBELL, doorbell(TRANSMIT_RING, 0))
    assert device.wait_for_interrupt(FATAL)
    assert device.read(FLAGS) == FLTB.mask
    assert os.fstat(device.memfd).st_size == 0
    device.close()
    works_for_the_next_client(place)
