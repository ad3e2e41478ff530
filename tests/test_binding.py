"""Cards are bound, found bound, and given back to whatever had them before."""

import errno
import os
import shutil
import stat
import threading
from pathlib import Path

import attrs
import pytest

from impl.binding import Binder, Bus, Way, device_file, way_of
from impl.controller import attempted
from impl.errors import CardInUseError, NotPermittedError, NotSetUpError
from impl.holders import holders
from impl.pci import PciFunction, Resource, find_card
from tests.failing import Strikes
from tests.fake_machine import Machine
from userland.cards import subcommands

CARD = "0000:00:05.0"
PATIENCE = 60


@attrs.define(eq=False)
class FakeBus(Bus):
    """A bus whose kernel binds functions as the real one does.

    Attributes:
        machine: Its functions.
        modules: Drivers whose modules can be loaded.
        refusing: Drivers that take no function.
        natural: The driver that takes a function for which none was named.
        stuck: The kernel does not let go of functions.
        fails_at: The write that fails, counted from 1.
        writes: What was written, as name of the file and text.
    """

    root: object
    machine: Machine
    modules: set = attrs.field(factory=lambda: {"uio_pci_generic", "vfio-pci"})
    refusing: set = attrs.field(factory=set)
    natural: str | None = None
    stuck: bool = False
    fails_at: int = 0
    writes: list = attrs.field(factory=list)

    def write(self, path, text):
        self.writes.append((path.name, text))
        if len(self.writes) == self.fails_at:
            raise KeyboardInterrupt
        if path.name == "driver_override":
            path.write_text(text if text.strip() else "(null)\n")
        elif path.name == "unbind":
            self._bind(text, None)
        elif path.name == "drivers_probe":
            folder = self.root / "sys/bus/pci/devices" / text
            if (folder / "driver").exists():
                return
            override = (folder / "driver_override").read_text().strip()
            driver = self.natural if override == "(null)" else override
            if driver not in self.refusing:
                self._bind(text, driver)

    def write_patiently(self, path, text, _seconds):
        if not self.stuck:
            self.write(path, text)
        return not self.stuck

    def load(self, module):
        if module not in self.modules:
            return f"modprobe: FATAL: Module {module} not found"
        (self.root / "sys/bus/pci/drivers" / module).mkdir(parents=True, exist_ok=True)
        return ""

    def _bind(self, address, driver):
        slot = self.machine.slots[address]
        folder = self.root / "sys/bus/pci/devices" / address
        for file in (f"dev/uio{slot.uio}", f"dev/vfio/{slot.group}"):
            (self.root / file).unlink(missing_ok=True)
        for name in (folder / "uio").glob("*/*"):
            name.unlink()
            name.parent.rmdir()
        if driver is None:
            (folder / "driver").unlink(missing_ok=True)
            return
        self.machine.bind(slot, driver)
        (self.root / "sys/bus/pci/drivers" / driver / "unbind").touch()
        file = device_file(PciFunction(folder))
        if file is not None:
            self.machine.write(file, "")


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path)
    machine.plug_in(CARD)
    machine.write("/sys/bus/pci/drivers_probe", "")
    yield machine
    machine.power_off()


@pytest.fixture
def bus(machine):
    return FakeBus(machine.root, machine)


@pytest.fixture
def binder(bus, tmp_path):
    return Binder(bus, tmp_path / "run" / "duct")


@pytest.fixture
def card(machine):
    return find_card(machine.root, CARD)


def as_found(card, binder):
    """What a card is bound to, what it may be bound to, and whether there is a note of it."""
    override = (card.folder / "driver_override").read_text().strip()
    return card.driver, override, list(binder.notes.glob("*"))


WAYS = list(Way)


@pytest.mark.parametrize("way", WAYS)
def test_a_card_is_bound_and_given_back(card, binder, way):
    binder.bus.load("vfio-pci")
    assert binder.bind(card, way)
    assert card.driver == way.driver
    assert way_of(card) is way
    assert binder.unbind(card)
    assert as_found(card, binder) == (None, "(null)", [])


@pytest.mark.parametrize("way", WAYS)
def test_twice_is_once(card, binder, way):
    assert binder.bind(card, way)
    writes = len(binder.bus.writes)
    assert not binder.bind(card, way)
    assert len(binder.bus.writes) == writes
    assert binder.unbind(card)
    writes = len(binder.bus.writes)
    assert not binder.unbind(card)
    assert len(binder.bus.writes) == writes


@pytest.mark.parametrize("override", ["(null)", "e1000e"])
@pytest.mark.parametrize("way", WAYS)
def test_the_driver_that_had_the_card_gets_it_back(card, binder, way, override):
    binder.bus._bind(CARD, "e1000e")
    (card.folder / "driver_override").write_text(override + "\n")
    before = as_found(card, binder)
    binder.bind(card, way)
    assert card.driver == way.driver
    binder.unbind(card)
    assert as_found(card, binder) == before == ("e1000e", override, [])


def test_the_first_note_counts_when_a_card_goes_from_one_way_to_the_other(card, binder):
    binder.bus._bind(CARD, "e1000e")
    for way in (Way.UIO, Way.VFIO, Way.UIO):
        binder.bind(card, way)
        assert card.driver == way.driver
    binder.unbind(card)
    assert as_found(card, binder) == ("e1000e", "(null)", [])


def test_a_card_that_somebody_else_has_bound_is_unbound(card, binder):
    binder.bus._bind(CARD, "vfio-pci")
    assert binder.unbind(card)
    assert as_found(card, binder) == (None, "(null)", [])


def test_a_card_of_another_driver_is_left_alone_by_unbind(card, binder):
    binder.bus._bind(CARD, "e1000e")
    assert not binder.unbind(card)
    assert card.driver == "e1000e"


# Interruptions


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_bind_that_was_interrupted_is_repeated_or_undone(card, binder, step):
    for repeat in (True, False):
        binder.bus._bind(CARD, "e1000e")
        binder.bus.writes.clear()
        binder.bus.fails_at = step
        with pytest.raises(KeyboardInterrupt):
            binder.bind(card, Way.VFIO)
        if repeat:
            assert binder.bind(card, Way.VFIO)
            assert card.driver == "vfio-pci"
        binder.unbind(card)
        assert as_found(card, binder) == ("e1000e", "(null)", [])


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_an_unbind_that_was_interrupted_is_repeated(card, binder, step):
    binder.bus._bind(CARD, "e1000e")
    binder.bind(card, Way.VFIO)
    binder.bus.writes.clear()
    binder.bus.fails_at = step
    with pytest.raises(KeyboardInterrupt):
        binder.unbind(card)
    binder.unbind(card)
    assert as_found(card, binder) == ("e1000e", "(null)", [])


class Notes(type(Path())):
    """A folder of notes, and whatever is in it, where an operation may fail."""

    strikes = Strikes()

    def mkdir(self, *arguments, **options):
        self.strikes.pass_by("mkdir", errno.ENOSPC)
        super().mkdir(*arguments, **options)

    def write_text(self, text, **options):
        self.strikes.pass_by("write_text", errno.ENOSPC)
        return super().write_text(text, **options)

    def replace(self, target):
        self.strikes.pass_by("replace", errno.EIO)
        return super().replace(target)

    def unlink(self, **options):
        self.strikes.pass_by("unlink", errno.EIO)
        super().unlink(**options)


class FailingBus(FakeBus):
    """A bus where an operation may fail."""

    def write(self, path, text):
        Notes.strikes.pass_by(path.name, errno.EIO)
        super().write(path, text)

    def load(self, module):
        Notes.strikes.pass_by("load", errno.EAGAIN)
        return super().load(module)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("goes_on", ["bind", "unbind"])
@pytest.mark.parametrize("call", ["bind", "unbind"])
def test_whatever_fails_in_a_bind_or_an_unbind_the_next_one_finishes_it(
    card, machine, tmp_path, way, call, goes_on
):
    bus = FailingBus(machine.root, machine)
    binder = Binder(bus, Notes(tmp_path / "run" / "duct"))
    bus._bind(CARD, "e1000e")
    strikes = Notes.strikes
    for number in range(1, 20):
        if call == "unbind":
            binder.bind(card, way)
        with strikes.armed(number):
            error = attempted(
                (lambda: binder.unbind(card) and None)
                if call == "unbind"
                else (lambda: binder.bind(card, way) and None)
            )
        assert isinstance(error, OSError) == (strikes.struck is not None)
        if goes_on == "bind":
            binder.bind(card, way)
            assert card.driver == way.driver
        binder.unbind(card)
        assert as_found(card, binder)[:2] == ("e1000e", "(null)")
        assert not list(binder.notes.glob("*.json"))
        if strikes.struck is None:
            break
    assert number > 5


def test_a_driver_that_does_not_take_the_card_leaves_it_as_it_was(card, binder):
    binder.bus._bind(CARD, "e1000e")
    binder.bus.refusing.add("uio_pci_generic")
    with pytest.raises(NotSetUpError) as caught:
        binder.bind(card, Way.UIO)
    assert caught.value.strerror == (
        "uio_pci_generic does not take 0000:00:05.0; the kernel's log (dmesg) says why. It is "
        "bound to e1000e, as before"
    )
    assert as_found(card, binder) == ("e1000e", "(null)", [])


def test_a_driver_that_does_not_take_the_card_back_is_named_and_the_note_is_kept(card, binder):
    binder.bus._bind(CARD, "e1000e")
    binder.bind(card, Way.VFIO)
    binder.bus.refusing.add("e1000e")
    with pytest.raises(NotSetUpError) as caught:
        binder.unbind(card)
    assert caught.value.strerror == (
        "0000:00:05.0 was bound to e1000e, which does not take it back; the kernel's log (dmesg) "
        "says why"
    )
    binder.bus.refusing.clear()
    binder.unbind(card)
    assert as_found(card, binder) == ("e1000e", "(null)", [])


# What stands in the way


def test_the_module_cannot_be_loaded(card, binder):
    binder.bus.modules.clear()
    with pytest.raises(NotSetUpError) as caught:
        binder.bind(card, Way.VFIO)
    assert caught.value.strerror == (
        "the kernel has no driver vfio-pci, and its module cannot be loaded: modprobe: FATAL: "
        "Module vfio-pci not found"
    )
    assert as_found(card, binder) == (None, "(null)", [])


def test_a_driver_that_is_there_needs_no_module(card, binder):
    binder.bus.load("vfio-pci")
    binder.bus.modules.clear()
    assert binder.bind(card, Way.VFIO)


def a_process_has(machine, file):
    machine.write("/proc/4711/comm", "ductclient\n")
    folder = machine.root / "proc/4711/fd"
    folder.mkdir()
    (folder / "3").symlink_to(file)
    machine.write("/proc/4712/comm", "other\n")


@pytest.mark.parametrize(("way", "file"), [(Way.UIO, "/dev/uio0"), (Way.VFIO, "/dev/vfio/4")])
def test_a_card_in_use_stays_as_it_is(card, binder, machine, way, file):
    binder.bind(card, way)
    a_process_has(machine, file)
    other = next(item for item in Way if item is not way)
    for change in (lambda: binder.unbind(card), lambda: binder.bind(card, other)):
        with pytest.raises(CardInUseError) as caught:
            change()
        assert caught.value.strerror == (
            "0000:00:05.0 is in use by ductclient (pid 4711); end that first"
        )
    assert card.driver == way.driver


def test_a_kernel_that_does_not_let_go_is_not_waited_for(card, binder):
    binder.bind(card, Way.VFIO)
    binder.bus.stuck = True
    with pytest.raises(CardInUseError) as caught:
        binder.unbind(card)
    assert caught.value.strerror == (
        "vfio-pci does not let go of 0000:00:05.0; the kernel takes it away as soon as nobody uses "
        "it"
    )
    binder.bus.stuck = False
    binder.unbind(card)
    assert as_found(card, binder) == (None, "(null)", [])


def test_a_process_that_may_not_is_told_which_file(card, binder, monkeypatch):
    def refuse(_bus, path, _text):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(FakeBus, "write", refuse)
    for change in (lambda: binder.bind(card, Way.VFIO), lambda: binder.unbind(card)):
        with pytest.raises(NotPermittedError) as caught:
            change()
        assert caught.value.strerror == (
            f"0000:00:05.0 cannot be bound or given back: {card.folder}/driver_override may not be "
            "written; run as root"
        )


def test_a_device_file_that_does_not_appear_is_named(card, binder, machine, monkeypatch):
    monkeypatch.setattr("impl.binding.PATIENCE", 0.05)
    monkeypatch.setattr(machine, "write", lambda *_: None)
    with pytest.raises(NotSetUpError) as caught:
        binder.bind(card, Way.VFIO)
    assert caught.value.strerror == (
        "0000:00:05.0 is bound to vfio-pci, but there is no /dev/vfio/4; is it behind an IOMMU, "
        "and does udev run?"
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_card_that_is_bound_already_is_ready_when_its_device_file_is(
    card, binder, machine, monkeypatch, way
):
    monkeypatch.setattr("impl.binding.PATIENCE", 0.05)
    binder.bind(card, way)
    (machine.root / device_file(card).lstrip("/")).unlink()
    with pytest.raises(NotSetUpError, match=f"is bound to {way.driver}, but there is no"):
        binder.bind(card, way)


def test_a_card_has_no_device_file_where_its_driver_has_made_none(card, machine):
    slot = machine.slots[CARD]
    machine.bind(slot, "e1000e")
    assert device_file(card) is None
    machine.bind(slot, "vfio-pci")
    (card.folder / "iommu_group").unlink()
    assert device_file(card) is None
    machine.bind(slot, "uio_pci_generic")
    for name in (card.folder / "uio").iterdir():
        shutil.rmtree(name)
    assert device_file(card) is None


def test_a_bind_that_is_refused_leaves_no_note(card, binder, machine):
    machine.bind(machine.slots[CARD], "vfio-pci")
    a_process_has(machine, "/dev/vfio/4")
    with pytest.raises(CardInUseError):
        binder.bind(card, Way.UIO)
    assert not binder.notes.exists()


# What it does to the machine


def test_a_bus_may_stand_below_another_root(tmp_path):
    assert Bus(tmp_path).root == tmp_path


def test_a_file_is_written(tmp_path):
    file = tmp_path / "driver_override"
    Bus().write(file, "vfio-pci\n")
    assert file.read_text() == "vfio-pci\n"


def test_a_file_that_takes_what_is_written_is_waited_for(tmp_path):
    file = tmp_path / "unbind"
    assert Bus().write_patiently(file, CARD, PATIENCE)
    assert file.read_text() == CARD


def test_a_file_that_keeps_the_writer_waiting_is_given_up(tmp_path):
    # A pipe that nobody reads; whoever opens it for writing waits for a reader.
    pipe = tmp_path / "unbind"
    os.mkfifo(pipe)
    assert not Bus().write_patiently(pipe, CARD, 0.1)
    # It does not keep the program from ending either.
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert all(thread.daemon for thread in others)
    reader = os.open(pipe, os.O_RDONLY)
    assert os.read(reader, 100) == CARD.encode()
    os.close(reader)


def test_a_file_that_cannot_be_written_is_no_success(tmp_path):
    folder = tmp_path / "unbind"
    folder.mkdir()
    with pytest.raises(NotSetUpError) as caught:
        Bus().write_patiently(folder, CARD, PATIENCE)
    assert caught.value.strerror.startswith(f"{folder} cannot be written: ")


def test_without_a_program_that_writes_nothing_was_written(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotSetUpError):
        Bus().write_patiently(tmp_path / "unbind", CARD, PATIENCE)


@pytest.mark.parametrize(
    ("script", "told"),
    [("exit 0", ""), ("echo no such module >&2; exit 1", "no such module"), ("exit 3", "status 3")],
)
def test_a_module_is_loaded_by_modprobe(tmp_path, monkeypatch, script, told):
    command = tmp_path / "modprobe"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert Bus().load("vfio-pci") == told


def test_a_machine_without_modprobe_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Bus().load("vfio-pci") == "modprobe is not installed"


def test_who_has_a_file_open_is_found_among_the_processes(tmp_path):
    file = tmp_path / "file"
    with file.open("w"):
        names = holders(Bus().root, str(file))
        assert [name.rpartition(" (pid ")[2] for name in names] == [f"{os.getpid()})"]
    assert holders(Bus().root, str(file)) == []


# The commands


@pytest.fixture
def ductctl(bus, binder, capsys):
    def run(name, *arguments):
        notes = () if name == "list" else ("--notes", str(binder.notes))
        status = subcommands(bus)[name]([*arguments, *notes])
        output, error = capsys.readouterr()
        return status, output, error

    return run


def test_list_shows_what_a_card_is_bound_to_and_how_to_reach_it(ductctl, machine, bus):
    machine.plug_in("0000:00:06.0", group=5)
    machine.plug_in("0000:00:07.0", group=None)
    machine.plug_in("0000:00:08.0", group=None, irq=0)
    bus._bind("0000:00:06.0", "vfio-pci")
    bus._bind("0000:00:08.0", "uio_pci_generic")
    assert ductctl("list") == (
        0,
        "CARD          IDS        DRIVER           IOMMU            INTERRUPTS  USE\n"
        "0000:00:05.0  3301:2000  none             group 4, DMA-FQ  -           "
        "ductctl bind vfio 0000:00:05.0\n"
        "0000:00:06.0  3301:2000  vfio-pci         group 5, DMA-FQ  MSI-X       vfio:0000:00:06.0\n"
        "0000:00:07.0  3301:2000  none             none             -           "
        "ductctl bind uio 0000:00:07.0\n"
        "0000:00:08.0  3301:2000  uio_pci_generic  none             polling     uio:0000:00:08.0\n",
        "",
    )


def test_list_says_when_there_is_no_card(ductctl, machine):
    machine.add_function(CARD, ids="8086:100e")
    assert ductctl("list") == (0, "this machine has no duct card (3301:2000)\n", "")


def test_bind_and_unbind_say_what_they_did(ductctl):
    said = "0000:00:05.0 is bound to vfio-pci{}; reach it by vfio:0000:00:05.0\n"
    assert ductctl("bind", "vfio", "00:05.0") == (0, said.format(""), "")
    assert ductctl("bind", "vfio") == (0, said.format(" already"), "")
    assert ductctl("unbind") == (0, "0000:00:05.0 is bound to no driver, as before\n", "")
    assert ductctl("unbind", "3301:2000") == (
        0,
        "0000:00:05.0 is bound to no driver; there is nothing to give back\n",
        "",
    )


def test_what_cannot_be_done_is_told_in_one_line(ductctl, bus):
    bus.modules.clear()
    assert ductctl("bind", "uio", "00:05.0") == (
        1,
        "",
        "ductctl bind: the kernel has no driver uio_pci_generic, and its module cannot be loaded: "
        "modprobe: FATAL: Module uio_pci_generic not found\n",
    )


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("bind", ["igb"], "argument way: invalid choice: 'igb' (choose from "),
        ("bind", [], "the following arguments are required: way"),
        ("unbind", ["a", "b"], "unrecognized arguments: b"),
    ],
)
def test_wrong_usage_is_told_in_one_line(ductctl, name, arguments, told):
    status, output, error = ductctl(name, *arguments)
    assert (status, output) == (2, "")
    assert error.startswith(f"ductctl {name}: {told}")
    assert error.endswith(f"; see ductctl {name} --help\n")
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["list", "bind", "unbind"])
def test_help_shows_an_example(ductctl, name):
    status, output, error = ductctl(name, "--help")
    assert (status, error) == (0, "")
    assert f"\n  ductctl {name}" in output


def test_a_holder_whose_name_cannot_be_read_is_named_by_its_number(tmp_path):
    descriptors = tmp_path / "proc" / "7" / "fd"
    descriptors.mkdir(parents=True)
    (descriptors / "3").symlink_to("/dev/uio0")
    assert holders(tmp_path, "/dev/uio0") == ["a process (pid 7)"]


@pytest.mark.parametrize(
    ("flags", "fits"), [(0x200, True), (0x100200, False), (0x100, False), (0, False)]
)
def test_registers_are_32_bit_memory(flags, fits):
    assert Resource(0xFE00_0000, 4096, flags).is_32_bit_memory is fits
