"""Both ways to real cards, from the address to the ioctl, with a card in software behind them."""

import contextlib
import errno
import gc
import threading
import weakref
from functools import partial
from types import SimpleNamespace

import attrs
import pytest

pytest.register_assert_rewrite("properties.conformance")

from emulator.bus import BusError  # noqa: E402
from impl.attach import Attachments  # noqa: E402
from impl.barriers import Barriers  # noqa: E402
from impl.driver import DuctDriver  # noqa: E402
from impl.errors import (  # noqa: E402
    CardFailedError,
    CardInUseError,
    InvalidArgumentError,
    NoSuchCardError,
    NotPermittedError,
    NotSetUpError,
    UnsupportedMachineError,
)
from impl.hardware import HardwareDevice  # noqa: E402
from impl.interrupts import Interrupts, Wake  # noqa: E402
from impl.memory import Purpose  # noqa: E402
from impl.uio_backend import open_uio  # noqa: E402
from impl.vfio_backend import open_vfio  # noqa: E402
from impl.watchdog import CALM, POLLING, WARY  # noqa: E402
from model.layout import DBELL, ECHO, FLAGS, HWADDR, HWERR, TXBASE, VMAJ  # noqa: E402
from properties.conformance import CHECKS, Backend, Clogged, fill, run_guarded  # noqa: E402
from tests.fake_machine import (  # noqa: E402
    BUS_MASTER,
    CARD,
    COMMAND,
    CONFIG,
    MEMORY_SPACE,
    OTHER,
    WAYS,
    reached,
)

PATIENCE = 60


@contextlib.contextmanager
def backend(way, root):
    with reached(way, root) as here:
        attachments = Attachments(lambda: {"way": here.open})

        def make(card=CARD):
            return DuctDriver.open(f"way:{card}", attachments=attachments)

        def stand_still(yes):
            with here.slot.running.held() as card:
                card.bus_master = not yes

        def make_clogged():
            duct = make()
            stand_still(True)
            fill(duct)
            return Clogged(duct, lambda: stand_still(False))

        yield Backend(
            way, make, make_clogged, lambda: (make(), make(OTHER)), here.slot.running.fail
        )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_the_way_conforms(check, way, tmp_path):
    assert run_guarded(check, lambda: backend(way, tmp_path)), "the fake machine has every ability"


@pytest.fixture(params=WAYS)
def here(request, tmp_path):
    """A machine with two cards, reached in each of the ways."""
    with reached(request.param, tmp_path) as here:
        yield here


@pytest.fixture
def device(here):
    """The first of them, open."""
    device = here.open(CARD)
    yield device
    device.close()


# The card


def test_the_card_masters_the_bus_from_when_it_is_let_until_it_is_closed(here):
    here.slot.change_command(set_bits=BUS_MASTER)
    device = here.open(CARD)
    assert not here.slot.bus_master
    device.enable_bus_master()
    assert here.slot.bus_master
    device.close()
    assert not here.slot.bus_master


def test_a_card_that_was_left_running_reaches_no_memory_before_it_is_reset(here):
    """A driver that was killed does not close; its memory is somebody else's soon."""
    here.slot.can_reset = False
    here.slot.change_command(set_bits=BUS_MASTER)
    with here.slot.running.held() as card:
        card.started = True
    with DuctDriver.open(f"way:{CARD}", attachments=Attachments(lambda: {"way": here.open})):
        let = [line for line in here.kernel.journal if line.startswith("bus mastering on")]
        assert let[0] == "bus mastering on", "not while the card runs"


def test_a_closed_card_reaches_nothing(here):
    device = here.open(CARD)
    region = device.allocate(4096, Purpose.TRANSMIT_BUFFERS)
    place = region.bus_address()
    here.slot.memory.read(place, 1)
    device.close()
    del region
    with pytest.raises(BusError):
        here.slot.memory.read(place, 1)


def test_closing_twice_is_closing_once(here):
    device = here.open(CARD)
    device.close()
    device.close()


def test_a_closed_card_refuses_every_word(here):
    device = here.open(CARD)
    device.close()
    for word in (
        lambda: device.read(HWADDR),
        lambda: device.write(DBELL, 0),
        lambda: device.allocate(1, Purpose.COMMAND_RING),
        device.enable_bus_master,
    ):
        with pytest.raises(OSError, match="was closed") as caught:
            word()
        assert caught.value.errno == errno.EBADF


def test_a_closed_card_leaves_no_file_open_and_no_register_mapped(here):
    here.open(CARD).close()
    assert not here.kernel.opened
    assert not here.kernel.windows


def test_what_was_opened_is_closed_when_a_later_step_fails(here, monkeypatch):
    def fails(*_, **__):
        raise OSError(errno.EIO, "no such luck")

    monkeypatch.setattr("impl.config_space.ConfigSpace.change_command", fails)
    with pytest.raises(OSError, match="no such luck"):
        here.open(CARD)
    assert not here.kernel.opened
    assert not here.kernel.windows


def test_a_card_that_was_closed_can_be_opened_again(here):
    here.open(CARD).close()
    device = here.open(CARD)
    assert device.read(VMAJ) == 2
    device.close()


def test_registers_are_read_and_written_in_one_access_each(here, device):
    before = attrs.evolve(here.slot.running.counters)
    assert device.read(HWADDR) == here.slot.running.card.hwaddr
    device.write(TXBASE, 0x1234_5678_9000)
    after = here.slot.running.counters
    assert after.register_reads - before.register_reads == 1
    assert after.register_writes - before.register_writes == 1
    assert here.slot.running.card.tx.base == 0x1234_5678_9000


# Memory


@pytest.mark.parametrize("shift", [0, 1, 6, 12])
def test_a_ring_of_any_size_is_contiguous_for_the_card(here, device, shift):
    size = 64 << shift
    ring = device.allocate(size, Purpose.TRANSMIT_RING)
    ring.store_bulk(0, bytes(range(64)) * (size // 64))
    assert ring.bus_address() % 4096 == 0
    assert here.slot.memory.read(ring.bus_address(), size) == ring.load_bulk(0, size)


def test_each_page_of_a_buffer_is_where_its_address_says(here, device):
    pages = 1200
    buffers = device.allocate(pages * 4096, Purpose.RECEIVE_BUFFERS)
    for page in range(0, pages, 100):
        here.slot.memory.write(buffers.bus_address(page * 4096), bytes([page // 100]) * 4096)
        assert buffers.load_bulk(page * 4096, 4096) == bytes([page // 100]) * 4096


def test_a_view_stays_readable_when_its_region_was_freed_and_the_card_was_closed(here):
    device = here.open(CARD)
    region = device.allocate(100, Purpose.RECEIVE_BUFFERS)
    region.store_bulk(10, b"still here")
    view = region.view(10, 10)
    device.free(region)
    del region
    device.close()
    gc.collect()
    assert bytes(view) == b"still here"


def test_memory_goes_back_with_the_last_that_refers_to_it(here, device):
    region = device.allocate(100, Purpose.RECEIVE_BUFFERS)
    mapping = weakref.ref(region.view(0, 1).obj)
    view = region.view(0, 1)
    device.free(region)
    del region
    gc.collect()
    assert mapping() is not None
    view.release()
    gc.collect()
    assert mapping() is None


def test_only_regions_of_the_card_are_freed_and_only_once(here, device):
    region = device.allocate(100, Purpose.RECEIVE_BUFFERS)
    device.free(region)
    with pytest.raises(ValueError, match="not this card's, or was freed before"):
        device.free(region)


def test_a_region_has_at_least_a_byte(device):
    with pytest.raises(ValueError, match="a region has at least 1 byte, not 0"):
        device.allocate(0, Purpose.COMMAND_RING)


# Interrupts


def test_close_ends_every_wait(here):
    device = here.open(CARD)
    results = []

    def wait(vector):
        while device.wait_for_interrupt(vector):
            pass
        results.append(vector)

    threads = [threading.Thread(target=wait, args=[vector]) for vector in (0, 1)]
    for thread in threads:
        thread.start()
    device.close()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(results) == [0, 1]
    assert not device.wait_for_interrupt(0)


def test_there_are_two_vectors(device):
    with pytest.raises(ValueError, match="the card has vectors 0 to 1, not 2"):
        device.wait_for_interrupt(2)


@pytest.mark.parametrize("vector", [0, 1])
def test_a_wait_ends_by_the_interrupt_and_not_by_the_time(here, vector, monkeypatch):
    monkeypatch.setattr("impl.watchdog.CALM", 10 * PATIENCE)
    device = here.open(CARD)
    device.enable_bus_master()
    ended = threading.Event()

    def wait(number):
        assert device.wait_for_interrupt(number)
        if number == vector:
            ended.set()

    # A line is enabled when both vectors are waited for.
    threads = [threading.Thread(target=wait, args=[number]) for number in (0, 1)]
    for thread in threads:
        thread.start()
    with here.slot.running.held() as card:
        card.spurious()
    here.slot.running.fail()
    assert ended.wait(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
    device.close()


class Script(Interrupts):
    """Waits end as it is written."""

    def __init__(self, *wakes):
        self.wakes = list(wakes)
        self.seconds = []

    def wait(self, _vector, seconds):
        self.seconds.append(seconds)
        return self.wakes.pop(0)

    def close(self):
        pass


def scripted(*wakes, registers=None, barriers=None):
    script = Script(*wakes)
    device = HardwareDevice(
        "vfio:0000:00:05.0",
        registers=registers,
        config=None,
        memory=None,
        interrupts=script,
        barriers=barriers or Barriers.of_this_machine(),
        advice="Look.",
        teardown=contextlib.ExitStack(),
    )
    return device, script


@pytest.mark.parametrize("way", WAYS)
def test_a_card_that_did_not_answer_at_its_addresses_does(way, tmp_path):
    with reached(way, tmp_path) as here:
        here.slot.change_command(clear_bits=MEMORY_SPACE)
        device = WAYS[way][0](here.kernel, CARD)
        assert int.from_bytes(here.slot.function.read(CONFIG, COMMAND, 2), "little") & MEMORY_SPACE
        device.close()


def test_a_failure_that_lasts_is_not_taken_for_a_lost_interrupt(caplog):
    registers = SimpleNamespace(words={FLAGS.offset // 4: HWERR.mask}, double_words={})
    device, script = scripted(Wake.INTERRUPT, *[Wake.TIME] * 5, registers=registers)
    while script.wakes:
        device.wait_for_interrupt(1)
        device.read(FLAGS)
    assert script.seconds == [CALM] * 6
    assert caplog.records == []


def test_a_failure_whose_interrupt_does_not_come_is_told_of(caplog):
    registers = SimpleNamespace(words={FLAGS.offset // 4: HWERR.mask}, double_words={})
    device, script = scripted(*[Wake.TIME] * 3, registers=registers)
    while script.wakes:
        device.wait_for_interrupt(1)
        device.read(FLAGS)
    assert script.seconds == [CALM, WARY, POLLING]
    assert [record.getMessage() for record in caplog.records] == [
        "vfio:0000:00:05.0: interrupts are lost: vector 1 did not come when the card "
        "had something to say (1 in a row). The driver goes on by asking it every 5 ms. Look."
    ]


def test_each_barrier_is_the_one_of_the_machine():
    said = []
    names = ("acquire", "release", "release_loads", "before_register_write", "fence")
    barriers = SimpleNamespace(**{name: partial(said.append, name) for name in names})
    device, _ = scripted(registers=SimpleNamespace(words={}, double_words={}), barriers=barriers)
    for name in names:
        getattr(device, name)()
    assert tuple(said) == names


def lose_interrupts(here):
    with here.slot.running.held():
        here.slot.function.interrupts.disconnect()


def test_the_driver_works_on_and_says_so_when_interrupts_are_lost(here, caplog, monkeypatch):
    monkeypatch.setattr("impl.watchdog.CALM", 0.02)
    monkeypatch.setattr("impl.watchdog.WARY", 0.01)
    attachments = Attachments(lambda: {"way": here.open})
    with DuctDriver.open(f"way:{CARD}", attachments=attachments) as duct:
        lose_interrupts(here)
        for number in range(20):
            duct.send(ECHO.address, bytes([number]), timeout=PATIENCE)
            assert duct.receive(timeout=PATIENCE).payload == bytes([number])
    told = [record.getMessage() for record in caplog.records]
    if here.way == "uio, polled":
        assert told == []
    else:
        assert len(told) == 1
        assert told[0].startswith(
            f"{here.way}:{CARD}: interrupts are lost: vector 0 did not come when the card "
            "had something to say (3 in a row). The driver goes on by asking it every 5 ms. "
            "Check that "
        )


def test_a_failure_is_noticed_although_its_interrupt_is_lost(here, caplog, monkeypatch):
    monkeypatch.setattr("impl.watchdog.CALM", 0.02)
    monkeypatch.setattr("impl.watchdog.WARY", 0.01)
    attachments = Attachments(lambda: {"way": here.open})
    with DuctDriver.open(f"way:{CARD}", attachments=attachments) as duct:
        lose_interrupts(here)
        here.slot.running.fail()
        with pytest.raises(CardFailedError):
            duct.receive(timeout=PATIENCE)


# Errors that all ways have in common


def refused(here, address, kind):
    with pytest.raises(kind) as caught:
        here.open(address)
    assert not here.kernel.opened
    return caught.value.strerror


def test_there_is_no_such_function(here):
    assert refused(here, "0000:00:07.0", NoSuchCardError) == (
        "there is no PCI function 0000:00:07.0; the duct cards of this machine are 0000:00:05.0, "
        "0000:00:06.0"
    )


def test_the_function_is_no_duct_card(here):
    here.machine.add_function("0000:00:02.0", ids="8086:100e")
    assert refused(here, "00:02.0", NoSuchCardError) == (
        "0000:00:02.0 is 8086:100e, and a duct card is 3301:2000; the duct cards of this machine "
        "are 0000:00:05.0, 0000:00:06.0"
    )


@pytest.mark.parametrize("address", ["", "3301:2000"])
def test_the_only_card_needs_no_name_and_one_of_several_does(here, address):
    assert refused(here, address, NoSuchCardError) == (
        "3301:2000 names no single card: the duct cards of this machine are 0000:00:05.0, "
        "0000:00:06.0; say which"
    )
    here.machine.add_function(OTHER, ids="8086:100e")
    here.open(address).close()


@pytest.mark.parametrize(
    ("bar0", "told"),
    [
        ("0x00000000fe000000 0x00000000fe00007f 0x0000000000140204", "64-bit memory of 0x80 bytes"),
        (
            "0x00000000fe000000 0x00000000fe0000ff 0x0000000000040200",
            "32-bit memory of 0x100 bytes",
        ),
        ("0x000000000000c000 0x000000000000c07f 0x0000000000040101", "I/O ports of 0x80 bytes"),
        ("0x0000000000000000 0x0000000000000000 0x0000000000000000", "nothing"),
    ],
)
def test_bar0_is_of_another_type_or_size(here, bar0, told):
    here.machine.add_function(CARD, bar0=bar0)
    assert refused(here, CARD, NoSuchCardError) == (
        f"BAR0 of 0000:00:05.0 is {told}, and that of a duct card is 32-bit memory of 0x80 bytes; "
        "nothing was done to it"
    )


ALIGNED = "0x00000000fe000000 0x00000000fe000fff 0x0000000000040200"
"""BAR0 as a kernel shows it that was told to give it a page of its own."""


def test_bar0_may_have_a_page_of_its_own(here):
    here.machine.write("/sys/bus/pci/resource_alignment", "12@0000:00:05.0\n")
    here.machine.write(f"/sys/bus/pci/devices/{CARD}/resource", ALIGNED)
    device = here.open(CARD)
    assert device.read(VMAJ) == 2
    device.close()


@pytest.mark.parametrize("told", ["", "\n", None])
def test_bar0_of_a_page_that_nobody_asked_for_is_another_card(here, told):
    if told is not None:
        here.machine.write("/sys/bus/pci/resource_alignment", told)
    here.machine.write(f"/sys/bus/pci/devices/{CARD}/resource", ALIGNED)
    assert "is 32-bit memory of 0x1000 bytes" in refused(here, CARD, NoSuchCardError)


@pytest.mark.parametrize("driver", ["e1000e", None])
def test_the_card_is_bound_to_another_driver_or_to_none(here, driver):
    here.machine.bind(here.slot, driver)
    way = here.way.partition(",")[0]
    taken = WAYS[here.way][1]
    assert refused(here, CARD, NotSetUpError) == (
        f"0000:00:05.0 is bound to {driver or 'no driver'}, not to {taken}; run: "
        f"ductctl bind {way} 0000:00:05.0"
    )


@pytest.mark.parametrize(
    ("reason", "told"),
    [(errno.EACCES, "Permission denied"), (errno.EPERM, "Operation not permitted")],
)
def test_the_process_is_not_permitted(here, reason, told):
    path = f"/dev/{'vfio/4' if here.way == 'vfio' else 'uio0'}"
    here.kernel.refusals[path] = reason
    assert refused(here, CARD, NotPermittedError) == (
        f"{path} may not be opened: {told}; run as root, or let your user read and write it (chown)"
    )


def test_somebody_else_has_the_card(here):
    device = here.open(CARD)
    with pytest.raises(CardInUseError) as caught:
        here.open(CARD)
    assert caught.value.strerror == (
        "/dev/vfio/4 is in use: another process has the card"
        if here.way == "vfio"
        else "0000:00:05.0 is in use: another process has /dev/uio0, or this one has it by another "
        "address"
    )
    assert device.read(VMAJ) == 2
    device.close()
    here.open(CARD).close()


def test_the_machine_has_barriers_that_nobody_knows(here, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert refused(here, CARD, UnsupportedMachineError) == (
        "the memory barriers of riscv64 are not known to the driver; it reaches hardware on x86_64 "
        "and aarch64"
    )


@pytest.mark.parametrize("open_", [open_uio, open_vfio])
def test_only_linux_has_these_ways(open_, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(UnsupportedMachineError) as caught:
        open_("")
    assert caught.value.strerror == (
        "hardware is reached through UIO or VFIO, which only Linux has, not darwin; emulated: is a "
        "card in software"
    )


@pytest.mark.parametrize("way", ["uio", "vfio"])
def test_the_way_is_known_by_its_scheme(way):
    with pytest.raises(InvalidArgumentError) as caught:
        DuctDriver.open(f"{way}:nowhere")
    assert caught.value.strerror == (
        "a PCI function is named like 0000:00:05.0, 00:05.0 or 3301:2000, not 'nowhere'"
    )
