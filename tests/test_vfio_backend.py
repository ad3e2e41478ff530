"""What is particular to VFIO: the IOMMU, MSI-X, resets, and what stands in the way."""

import errno
import os

import pytest

from emulator.bus import BusError
from impl.errors import NoDmaMemoryError, NoSuchCardError, NotPermittedError, NotSetUpError
from impl.kernel import HUGE_PAGE
from impl.memory import Purpose
from impl.vfio_backend import LOW_MEMORY
from tests.fake_machine import CARD, reached


@pytest.fixture
def here(tmp_path):
    with reached("vfio", tmp_path) as here:
        yield here


@pytest.fixture
def device(here):
    device = here.open(CARD)
    yield device
    device.close()


def refused(here, kind):
    with pytest.raises(kind) as caught:
        here.open(CARD)
    assert not here.kernel.opened
    assert not here.kernel.groups
    return caught.value.strerror


# Memory behind the IOMMU


def test_what_was_freed_is_out_of_the_cards_reach_at_once(here, device):
    region = device.allocate(4096, Purpose.TRANSMIT_BUFFERS)
    place = region.bus_address()
    here.slot.memory.write(place, b"reached")
    device.free(region)
    with pytest.raises(BusError):
        here.slot.memory.write(place, b"not any more")
    assert region.load_bulk(0, 7) == b"reached"


def test_what_was_never_given_is_out_of_the_cards_reach(here, device):
    region = device.allocate(4096, Purpose.TRANSMIT_BUFFERS)
    for place in (0, region.bus_address() - 1, region.bus_address() + 4096):
        with pytest.raises(BusError):
            here.slot.memory.read(place, 1)


def test_addresses_are_used_again_only_after_all_others(here):
    here.kernel.usable[:] = [(0x1000, 0x4FFF)]
    device = here.open(CARD)
    places = []
    for _ in range(5):
        region = device.allocate(4096, Purpose.TRANSMIT_BUFFERS)
        places.append(region.bus_address())
        device.free(region)
    device.close()
    assert places == [0x1000, 0x2000, 0x3000, 0x4000, 0x1000]


def test_only_addresses_that_the_iommu_translates_are_used(here):
    here.kernel.usable[:] = [(0x10_0000, 0x10_2FFF), (0x80_0000_0000, 0x80_0001_0FFF)]
    device = here.open(CARD)
    small = device.allocate(0x3000, Purpose.TRANSMIT_BUFFERS)
    large = device.allocate(0x4000, Purpose.TRANSMIT_BUFFERS)
    assert (small.bus_address(), large.bus_address()) == (0x10_0000, 0x80_0000_0000)
    device.close()


def test_an_old_kernel_that_names_no_addresses_is_given_low_ones(here):
    here.kernel.limits["ranges are told"] = False
    device = here.open(CARD)
    place = device.allocate(4096, Purpose.TRANSMIT_BUFFERS).bus_address()
    device.close()
    assert LOW_MEMORY.start <= place < LOW_MEMORY.end < 0xFEE0_0000


def test_there_are_no_addresses_left(here):
    here.kernel.usable[:] = [(0x1000, 0x2FFF)]
    device = here.open(CARD)
    with pytest.raises(NoDmaMemoryError) as caught:
        device.allocate(0x3000, Purpose.TRANSMIT_BUFFERS)
    assert caught.value.strerror == "the IOMMU has no 12288 addresses left"
    device.close()


def test_the_process_may_not_lock_so_much_memory(here):
    here.kernel.limits["lockable"] = HUGE_PAGE
    device = here.open(CARD)
    device.allocate(1 << 20, Purpose.TRANSMIT_BUFFERS)  # takes a whole huge page
    with pytest.raises(NoDmaMemoryError) as caught:
        device.allocate(4096, Purpose.RECEIVE_BUFFERS)
    assert caught.value.strerror == (
        "4 KiB of memory cannot be locked for the card; raise the limit (ulimit -l, or "
        "LimitMEMLOCK= of a service)"
    )
    device.close()


def test_addresses_that_could_not_be_mapped_are_not_lost(here):
    here.kernel.usable[:] = [(0x1000, 0x1FFF)]
    here.kernel.limits["lockable"] = 0
    device = here.open(CARD)
    with pytest.raises(NoDmaMemoryError):
        device.allocate(4096, Purpose.TRANSMIT_BUFFERS)
    here.kernel.limits["lockable"] = 4096
    assert device.allocate(4096, Purpose.TRANSMIT_BUFFERS).bus_address() == 0x1000
    device.close()


# Beginning and end


def test_at_close_the_card_is_stopped_before_anything_is_taken_from_it(here):
    device = here.open(CARD)
    device.allocate(4096, Purpose.TRANSMIT_BUFFERS)
    device.enable_bus_master()
    here.kernel.journal.clear()
    device.close()
    assert here.kernel.journal == [
        "0 vectors",
        "bus mastering off",
        "reset",
        "registers unmapped",
        "device closed",
        "memory unmapped",
        "group closed",
        "container closed",
    ]


def test_eventfds_are_closed_when_vectors_cannot_be_had(here, monkeypatch):
    def fails(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("impl.vfio.VfioDevice.set_vectors", fails)
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Invalid argument"):
        here.open(CARD)
    assert sorted(os.listdir("/proc/self/fd")) == before


# Resets


def test_the_card_is_reset_when_it_is_opened_and_when_it_is_closed(here):
    device = here.open(CARD)
    assert here.slot.resets == 1
    assert not here.slot.bus_master
    device.enable_bus_master()
    assert here.slot.bus_master
    device.close()
    assert here.slot.resets == 2


def test_a_card_that_the_kernel_cannot_reset_will_do(here):
    here.slot.can_reset = False
    here.open(CARD).close()
    assert here.slot.resets == 0


# What stands in the way


def test_there_is_no_iommu(here, tmp_path):
    (tmp_path / "sys/bus/pci/devices" / CARD / "iommu_group").unlink()
    assert refused(here, NotSetUpError) == (
        "0000:00:05.0 is behind no IOMMU, which VFIO takes; turn it on (BIOS: VT-d or AMD-Vi; "
        "kernel: intel_iommu=on), or use uio:0000:00:05.0"
    )


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV])
def test_the_module_is_not_loaded(here, number):
    here.kernel.refusals["/dev/vfio/vfio"] = number
    assert refused(here, NotSetUpError) == "/dev/vfio/vfio does not exist; run: modprobe vfio-pci"


def test_the_container_may_not_be_opened(here):
    here.kernel.refusals["/dev/vfio/vfio"] = errno.EACCES
    assert refused(here, NotPermittedError).startswith("/dev/vfio/vfio may not be opened: ")


def test_other_functions_of_the_group_are_bound_to_kernel_drivers(here):
    for address, driver in (("0000:00:05.1", "e1000e"), ("0000:00:05.2", "vfio-pci")):
        here.machine.add_function(address, ids="8086:100e", group=4)
        folder = f"/sys/bus/pci/devices/{address}"
        here.machine.link(f"{folder}/driver", f"/sys/bus/pci/drivers/{driver}")
    here.machine.add_function("0000:00:05.3", ids="8086:100e", group=4)
    here.kernel.shared_groups.add(4)
    assert refused(here, NotSetUpError) == (
        "IOMMU group 4 cannot be used as long as kernel drivers have other functions in it: "
        "0000:00:05.1 (e1000e); unbind these, or plug the card into another slot"
    )


def test_interrupts_are_not_remapped(here):
    here.kernel.refusals["the IOMMU"] = errno.EPERM
    assert refused(here, NotPermittedError) == (
        "this machine does not keep a card from raising other devices' interrupts; turn interrupt "
        "remapping on (intremap=on), or, if you trust the card, load vfio_iommu_type1 with "
        "allow_unsafe_interrupts=1"
    )


def test_the_registers_cannot_be_mapped(here):
    here.slot.mappable = False
    assert refused(here, NotSetUpError) == (
        "the registers of 0000:00:05.0 share a page with another device, so the kernel does not "
        "let them be mapped; boot with pci=resource_alignment=12@0000:00:05.0"
    )


def test_the_function_has_another_number_of_vectors(here):
    here.slot.vectors = 1
    assert refused(here, NoSuchCardError) == (
        "0000:00:05.0 has 1 MSI-X vectors, and a duct card has 2"
    )


@pytest.mark.parametrize("size", [1 << 20, HUGE_PAGE, 3 * HUGE_PAGE + 1])
def test_large_regions_take_whole_huge_pages_for_the_iommu_to_map_as_one(device, size):
    device.allocate(4096, Purpose.TRANSMIT_RING)
    region = device.allocate(size, Purpose.TRANSMIT_BUFFERS)
    assert region.size % HUGE_PAGE == region.bus_address() % HUGE_PAGE == 0
    assert size <= region.size < size + HUGE_PAGE


def test_small_regions_take_no_more_pages_than_they_need(device):
    assert device.allocate(4097, Purpose.TRANSMIT_RING).size == 8192
