"""What is particular to UIO: physical addresses, and what stands in the way."""

import errno
import threading

import pytest

from impl.attach import Attachments
from impl.driver import DuctDriver
from impl.errors import CardFailedError, NoDmaMemoryError, NotPermittedError, NotSetUpError
from impl.huge_pages import physical_address
from impl.kernel import HUGE_PAGE
from impl.memory import Purpose
from model.layout import VMAJ
from tests.fake_machine import CARD, reached

PATIENCE = 60
MOMENT = 0.1
"""Seconds that something which must not happen is given to happen."""


@pytest.fixture
def here(tmp_path):
    with reached("uio", tmp_path) as here:
        yield here


def refused(here, kind):
    with pytest.raises(kind) as caught:
        here.open(CARD)
    assert not here.kernel.opened
    return caught.value.strerror


def refused_memory(here, kind):
    device = here.open(CARD)
    with pytest.raises(kind) as caught:
        device.allocate(3 * HUGE_PAGE, Purpose.TRANSMIT_BUFFERS)
    device.close()
    return caught.value.strerror


# Registers


def test_registers_that_share_a_page_are_found_where_they_are(here):
    """Otherwise the driver would write to the registers of another device."""
    resource = "0x00000000fe000180 0x00000000fe0001ff 0x0000000000040200"
    here.machine.write(f"/sys/bus/pci/devices/{CARD}/resource", resource)
    here.slot.begin = 0x180
    device = here.open(CARD)
    assert device.read(VMAJ) == 2
    device.close()


# What stands in the way


@pytest.mark.parametrize("kind", ["DMA", "DMA-FQ", "blocked"])
def test_an_iommu_that_translates_is_refused(here, kind):
    here.machine.write("/sys/kernel/iommu_groups/4/type", f"{kind}\n")
    assert refused(here, NotSetUpError) == (
        f"the IOMMU translates what 0000:00:05.0 accesses (type {kind} of group 4), so the "
        "physical addresses that UIO uses would fault; use vfio:0000:00:05.0, or boot with "
        "iommu.passthrough=1"
    )


@pytest.mark.parametrize("level", ["integrity", "confidentiality"])
def test_a_kernel_that_is_locked_down_is_refused(here, level):
    text = "none integrity confidentiality\n".replace(level, f"[{level}]")
    here.machine.write("/sys/kernel/security/lockdown", text)
    assert refused(here, NotPermittedError) == (
        f"the kernel is locked down ({level}), so that no program may map the registers of a card; "
        "use vfio:0000:00:05.0, or boot without lockdown (Secure Boot off)"
    )


def test_a_kernel_that_could_be_locked_down_and_is_not_will_do(here):
    here.machine.write("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    here.open(CARD).close()


def test_a_machine_without_an_iommu_will_do(tmp_path):
    with reached("uio", tmp_path) as here:
        (tmp_path / "sys/bus/pci/devices" / CARD / "iommu_group").unlink()
        here.open(CARD).close()


def test_there_are_no_huge_pages(here):
    here.kernel.limits["huge pages"] = 2
    pool = "/sys/kernel/mm/hugepages/hugepages-2048kB"
    here.machine.write(f"{pool}/free_hugepages", "2\n")
    here.machine.write(f"{pool}/nr_hugepages", "64\n")
    assert refused_memory(here, NoDmaMemoryError) == (
        "too few huge pages of 2 MiB: 3 more needed, 2 of 64 free; add some: "
        "echo 80 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    )


def test_there_is_no_pool_of_huge_pages(here):
    here.kernel.limits["huge pages"] = 0
    assert "3 more needed, none of none free" in refused_memory(here, NoDmaMemoryError)


def test_the_process_may_not_lock_memory(here, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("tests.fake_machine.FakeKernel.map_huge_pages", refuse)
    assert refused_memory(here, NotPermittedError) == (
        "this process may not lock 6 MiB of memory; run it as root, or raise the limit (ulimit -l)"
    )


def test_the_kernel_hides_where_memory_is(here):
    here.kernel.frames.hidden = True
    assert refused_memory(here, NotPermittedError) == (
        "/proc/self/pagemap hides where memory is; run as root or with the capability SYS_ADMIN, "
        "or use vfio:, which needs neither"
    )


def test_a_page_that_is_not_in_memory_is_not_used():
    with pytest.raises(NoDmaMemoryError, match="is not in memory although it was to be locked"):
        physical_address(0x1234, 4096)


@pytest.mark.parametrize("soft_dirty", [0, 1 << 55 | 1 << 56 | 1 << 61])
def test_only_the_frame_of_an_entry_counts(soft_dirty):
    assert physical_address(1 << 63 | soft_dirty | 0x12345, 4096) == 0x1234_5000


# Beginning and end


def test_at_close_the_card_is_stopped_before_anything_is_taken_from_it(here):
    device = here.open(CARD)
    device.enable_bus_master()
    here.kernel.journal.clear()
    device.close()
    assert here.kernel.journal == [
        "bus mastering off",
        "pagemap closed",
        "registers unmapped",
        "registers closed",
        "config closed",
        "uio closed",
    ]


def test_a_failed_card_does_not_keep_the_driver_busy_until_it_is_reset(here):
    attachments = Attachments(lambda: {"uio": here.open})
    with DuctDriver.open(f"uio:{CARD}", attachments=attachments) as duct:
        here.kernel.journal.clear()
        here.slot.running.fail()
        with pytest.raises(CardFailedError):
            duct.receive(timeout=PATIENCE)
        threading.Event().wait(MOMENT)
        assert here.kernel.journal.count("interrupt") <= 2
