"""The C kernel of the rings: judged like the driver in Python, and refused where it is wrong.

Without a C compiler there is none, and these tests but for a few are skipped.
"""

import collections
import functools
import gc
import importlib.machinery
import itertools
import os
import re
import shutil
import subprocess
import sys
import weakref
from array import array

import pytest
from hypothesis import given, seed
from hypothesis.stateful import run_state_machine_as_test

from bench.memory_card import MemoryCard
from emulator.backend import Laboratory
from impl.attach import Attachment, Attachments
from impl.barriers import INSTRUCTIONS
from impl.datapath import build as building
from impl.datapath.build import BuildError, build
from impl.datapath.loader import PYTHON, Datapath, KernelError, chosen, load
from impl.datapath.version import FOLDER, path_of
from impl.dma import PacketMemory
from impl.driver import DuctDriver
from impl.errors import CardError, InvalidArgumentError, PacketTooLongError
from impl.memory import Purpose
from impl.packet import FIELDS, Packet, check_received, outgoing
from impl.ring import ReceiveRing, TransmitRing
from impl.settings import Settings
from impl.threads import ThreadRuntime
from impl.turn import Turn
from model.layout import ECHO, LIMITS, PACKET_SLOT
from properties.driver_source import PRESENT
from properties.fault_runs import SCENES, play
from properties.kernel_faults import KERNEL_FAULTS, caught, judged
from properties.profiles import PROFILES
from properties.profiles import chosen as chosen_profile
from properties.simulation.arrays import room_for, sendable
from properties.simulation.hostile import HostileWorld
from properties.simulation.hostile_choices import decisions, setups
from properties.stateful import DriverMachine, machine_of
from tests.struck import Struck, striking
from tests.test_ring import SLOTS, Device, deliver, give_to_host

PROFILE = chosen_profile()
PATIENCE = 30
KERNEL_SCENES = {name: item.scene for name, item in KERNEL_FAULTS.items() if item.scene is not None}
ALL_SCENES = {**SCENES, **{f"kernel {name}": scene for name, scene in KERNEL_SCENES.items()}}
INFO_BY_SWITCH = {"off": "Python (DUCT_KERNEL=off)", "on": "C kernel"}


def is_there(name):
    try:
        load(name)
    except KernelError:
        return False
    return True


BUILT = pytest.mark.skipif(
    not (is_there("_real") and is_there("_judged")), reason="the C kernel is not built"
)


def real():
    return Datapath("C kernel", load("_real"))


# The comparison


@BUILT
@pytest.mark.parametrize("part", range(max(1, PROFILE.parts // 4)))
def test_every_access_of_the_kernel_is_a_step_of_the_specification(part):
    code = PRESENT.over(judged())
    machine = machine_of(code, saves_to=DriverMachine.saves_to)
    for attempt in range(3):
        seeded = seed(part + attempt * PROFILE.parts)(machine) if PROFILE.fixed else machine
        run_state_machine_as_test(seeded, settings=PROFILE.limits(derandomize=False))
        if machine.accesses >= PROFILE.accesses:
            return
    pytest.fail(f"three searches judged {machine.accesses} accesses only")


@BUILT
@pytest.mark.parametrize("name", ALL_SCENES)
def test_the_kernel_passes_the_scenes(name):
    assert play(ALL_SCENES[name], PRESENT.over(judged())).deviation is None


@BUILT
@pytest.mark.parametrize("name", KERNEL_FAULTS)
def test_a_fault_of_the_kernel_is_caught(name, tmp_path):
    assert caught(KERNEL_FAULTS[name], name, tmp_path).deviation is not None


def test_a_fault_fits_the_source_once():
    sources = {
        fault.file: (FOLDER / fault.file).read_text("utf-8") for fault in KERNEL_FAULTS.values()
    }
    changed = {fault.apply(sources[fault.file]) for fault in KERNEL_FAULTS.values()}
    assert len(changed) == len(KERNEL_FAULTS)
    assert changed.isdisjoint(sources.values())
    (first, *_) = KERNEL_FAULTS.values()
    with pytest.raises(ValueError, match="0 places"):
        first.apply("")


@BUILT
def test_the_kernel_survives_every_card():
    outcomes = collections.Counter()
    code = PRESENT.over(judged())

    @seed(0)
    @PROFILE.limits(derandomize=False)
    @given(setup=setups(), events=decisions())
    def survives(setup, events):
        simulation = HostileWorld(setup, code)
        simulation.run(events)
        outcomes.update(simulation.outcomes)

    survives()
    assert outcomes.total() >= PROFILE.examples * 5


# The same accesses as in Python, in the same order


def turn_of(device, ring, others, mine):
    said = device.said.append

    def give_back(slot):
        # As the controller does it.
        ring.refill(slot)
        said(("relock",))
        ring.repost(slot)

    def answering(word, answer):
        def ask():
            said((word,))
            return answer

        return ask

    return Turn(
        none_waits=lambda: said(("none_waits",)),
        another_waits=answering("another_waits", mine),
        unlock_soon=lambda: said(("unlock_soon",)),
        relock=answering("relock", others),
        next_call=answering("next_call", mine),
        give_back=give_back,
    )


@BUILT
@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize(
    ("lengths", "most"),
    [((5,), 1), ((5, 0, 4097), 2), ((1, 2, 3), 9), ((0, 1, 2, 3), 4), ((1, 20_000, 3), 3)],
)
def test_packets_are_received_by_the_same_accesses(lengths, most, others, mine):
    runs = []
    for datapath in (PYTHON, judged()):
        device = Device()
        memory = PacketMemory(device, SLOTS)
        ring = ReceiveRing(device, SLOTS, datapath)
        ring.start_over(memory)
        for slot in range(SLOTS):
            ring.initialise_slot(slot)
        for slot, length in enumerate(lengths):
            deliver(memory, slot, bytes(min(length, LIMITS.max_packet)))
            at = slot * PACKET_SLOT.size + PACKET_SLOT["pktlen"].offset
            memory.receive_ring.data[at : at + 4] = length.to_bytes(4, "little")
        assert ring.packet_ready()
        del device.said[:]
        packets = []
        error = None
        try:
            ring.receive(packets, most, turn_of(device, ring, others, mine))
        except CardError as raised:
            error = str(raised)
        runs.append((device.said, packets, error, bytes(memory.receive_ring.data)))
    python, kernel = runs
    assert kernel == python
    taken = lengths[: most if mine else 1]
    believed = itertools.takewhile(lambda length: length <= LIMITS.max_packet, taken)
    assert [len(packet.payload) for packet in python[1]] == list(believed)


def in_batch_order(said):
    """What fills slots in, one release, all owner bytes, and what comes after them."""
    release, ring = ("release",), Purpose.TRANSMIT_RING
    owners = [ahead + 1 for ahead, word in enumerate(said) if word == release]
    assert all(said[at][:2] == ("store", ring) for at in owners)
    others = sorted(set(range(owners[-1])) - set(owners))
    filled = [said[at] for at in others if said[at] != release]
    return [*filled, release, *(said[at] for at in owners), *said[owners[-1] + 1 :]]


@BUILT
def test_packets_are_sent_by_the_same_accesses_but_in_batch_order():
    batch = [
        outgoing(1, b""),
        outgoing(2, [b"several", bytearray(b"buffers"), memoryview(b"of them"), b""]),
        outgoing(3, bytes(4097)),
        outgoing(4, bytes(LIMITS.max_packet)),
        outgoing(5, b"no room for it"),
    ]
    runs = []
    for datapath in (PYTHON, judged()):
        device = Device()
        memory = PacketMemory(device, SLOTS)
        ring = TransmitRing(device, SLOTS, datapath)
        ring.start_over(memory)
        for slot in range(SLOTS):
            ring.initialise_slot(slot)
        del device.said[:]
        ring.produce(batch, 0, None)
        assert ring.room == 0
        ring.ring_doorbell()
        for slot in range(2):
            give_to_host(memory.transmit_ring, slot)
        assert ring.reclaim_all()
        assert ring.room == 2
        assert not ring.reclaim_all()
        memories = bytes(memory.transmit_ring.data), bytes(memory.transmit_buffers.data)
        runs.append((device.said, memories))
    (python, left), (kernel, left_by_kernel) = runs
    assert kernel == in_batch_order(python)
    assert left_by_kernel == left


# The real build


@BUILT
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_real_kernel_leaves_memory_as_python_does(batch):
    runs = []
    for datapath in (PYTHON, real()):
        card = MemoryCard()
        attachment = Attachment.to(card, ThreadRuntime(), Settings(), datapath)
        with DuctDriver(attachment) as duct:
            got = []
            for _ in range(3):
                card.receives(batch, 64)
                packets = duct.receive_batch(batch + 1)
                got += packets
                given = [(packet.source, packet.payload) for packet in packets]
                assert duct.send_batch(given, blocking=False) == batch
                assert card.sends() == batch
                attachment.controller.runtime.lock()
                attachment.controller.serve_events()
                attachment.controller.runtime.unlock()
            runs.append((got, card.doorbell, card.contents()))
        attachment.detach()
    assert runs[0] == runs[1]


@BUILT
@pytest.mark.parametrize("switch", INFO_BY_SWITCH)
def test_packets_go_out_and_come_back(switch, monkeypatch):
    monkeypatch.setenv("DUCT_KERNEL", switch)
    laboratory = Laboratory()
    attachments = Attachments(lambda: {"emulated": laboratory.open})
    sizes = [0, 1, 2, 4095, 4096, 4097, 16383, 16384]
    with DuctDriver.open("emulated:", attachments=attachments) as duct:
        assert duct.info.datapath == INFO_BY_SWITCH[switch]
        duct.send_batch([(ECHO.address, bytes([size % 251]) * size) for size in sizes])
        packets = []
        while len(packets) < len(sizes):
            packets += duct.receive_batch(5, timeout=PATIENCE)
    laboratory.power_off()
    assert [packet.payload for packet in packets] == [bytes([n % 251]) * n for n in sizes]


def echoed(duct):
    """Whether packets come back; what a struck call has left may come before them."""
    while duct.poll().next_length is not None:
        duct.receive(timeout=PATIENCE)
    for number in range(3):
        payload = b"does it go on? %d" % number
        duct.send(ECHO.address, payload, timeout=PATIENCE)
        while duct.receive(timeout=PATIENCE).payload != payload:
            pass
    return True


@BUILT
@pytest.mark.parametrize("call", ["send", "receive", "queue", "receive into", "send from"])
def test_a_signal_at_a_bytecode_does_no_harm(call):
    kept, room = sendable([(ECHO.address, b"1"), (ECHO.address, b"2")]), room_for(2)
    calls = {
        "queue": lambda duct: duct.send_batch([(ECHO.address, b"1")] * 2, blocking=False),
        "receive into": lambda duct: duct.receive_into(room, timeout=PATIENCE),
        "send from": lambda duct: duct.send_from(kept, blocking=False),
        "send": lambda duct: duct.send_batch([(ECHO.address, b"1"), (ECHO.address, [b"2"])]),
        "receive": lambda duct: duct.receive_batch(2, timeout=PATIENCE),
    }
    laboratory = Laboratory()
    attachments = Attachments(lambda: {"emulated": laboratory.open})
    step = 1 if PROFILE.name == "nightly" else 17
    for number in itertools.count(1, step):
        with striking(), DuctDriver.open("emulated:", attachments=attachments) as duct:
            assert duct.info.datapath == "C kernel"
            if call.startswith("receive"):
                duct.send_batch([(ECHO.address, b"1")] * 2)
            struck = Struck(functools.partial(calls[call], duct), number)
            struck.check()
            assert echoed(duct), struck.place
        if struck.place is None:
            break
    laboratory.power_off()


@BUILT
def test_what_cannot_be_sent_is_refused_before_anything_is():
    card = MemoryCard()
    attachment = Attachment.to(card, ThreadRuntime(), Settings(), real())
    with DuctDriver(attachment) as duct:
        for wrong, error in (
            ((1, bytes(16385)), PacketTooLongError),
            ((1 << 32, b""), InvalidArgumentError),
            ((-1, b""), InvalidArgumentError),
            ((1, "text"), TypeError),
            (("ec60", b""), TypeError),
            (1, TypeError),
            ((1,), TypeError),
        ):
            with pytest.raises(error):
                duct.send_batch([(1, b"right"), wrong], blocking=False)
        assert card.sends() == 0
    attachment.detach()


@BUILT
def test_a_buffer_that_is_gone_ends_a_batch_before_it_and_is_told():
    card = MemoryCard()
    attachment = Attachment.to(card, ThreadRuntime(), Settings(), real())
    gone = memoryview(b"gone")
    batch = [outgoing(1, b"there"), outgoing(1, gone), outgoing(1, b"behind")]
    with DuctDriver(attachment):
        transmit = attachment.controller.transmit
        for packet in batch:
            for part in packet.buffers:
                if isinstance(part, memoryview):
                    part.release()
        before = transmit.produced
        transmit.produce(batch, 0, None)
        assert transmit.produced == before + 1
        with pytest.raises(ValueError, match="released"):
            transmit.produce(batch, 1, None)
        assert transmit.produced == before + 1
    attachment.detach()


@BUILT
def test_a_card_that_announces_too_much_is_refused_and_keeps_no_slot():
    card = MemoryCard()
    attachment = Attachment.to(card, ThreadRuntime(), Settings(), real())
    with DuctDriver(attachment) as duct:
        for _ in range(2):
            card.receives(1, 1)
            card.receives(1, LIMITS.max_packet + 1)
            card.receives(1, 2)
            assert [len(packet.payload) for packet in duct.receive_batch(9)] == [1]
            with pytest.raises(CardError):
                duct.receive()
            assert len(duct.receive().payload) == 2
    attachment.detach()


def receive_parts(**changed):
    slots = 4
    return {
        "device": None,
        "ring": memoryview(bytearray(slots * PACKET_SLOT.size)),
        "payloads": memoryview(bytearray(slots * LIMITS.max_packet)),
        "fields": bytes(slots * FIELDS.size),
        "held": bytearray(slots),
        "taken": array("Q", [0]),
        "packet": Packet,
        "refuse": check_received,
        "turn": None,
        **changed,
    }


@BUILT
@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"ring": memoryview(bytearray(255))}, ValueError, "smaller than the ring"),
        ({"payloads": memoryview(bytearray(65535))}, ValueError, "smaller than the ring"),
        ({"fields": bytes(FIELDS.size * 3)}, ValueError, "not those of a whole ring"),
        ({"fields": b""}, ValueError, "not those of a whole ring"),
        ({"held": bytearray(3)}, ValueError, "not of this ring"),
        ({"taken": array("I", [0])}, ValueError, "not of this ring"),
        ({"ring": memoryview(bytes(256))}, BufferError, "not writable"),
        ({"ring": object()}, TypeError, "bytes-like"),
    ],
)
def test_memory_that_does_not_fit_is_refused(changed, error, message):
    load("_real").Receive(**receive_parts())
    with pytest.raises(error, match=message):
        load("_real").Receive(**receive_parts(**changed))


@BUILT
def test_memory_is_let_go_of_when_the_card_is_closed():
    card = MemoryCard()
    attachment = Attachment.to(card, ThreadRuntime(), Settings(), real())
    with DuctDriver(attachment) as duct:
        card.receives(1, 1)
        duct.receive()
    attachment.detach()
    kept = weakref.ref(attachment.controller)
    del attachment, duct
    gc.collect()
    assert kept() is None


class Told:
    """The bytes of a region, which somebody is told of."""

    def __init__(self, inner):
        self.inner = inner

    def __getitem__(self, place):
        return self.inner[place]

    def __setitem__(self, place, value):
        self.inner[place] = value


@BUILT
def test_over_memory_that_somebody_watches_packets_are_moved_in_python(monkeypatch):
    card = MemoryCard()
    allocate = card.allocate

    def told(size, purpose):
        region = allocate(size, purpose)
        region.octets = Told(region.octets)
        return region

    monkeypatch.setattr(card, "allocate", told)
    attachment = Attachment.to(card, ThreadRuntime(), Settings(), real())
    with DuctDriver(attachment) as duct:
        assert duct.send_batch([(1, b"plain"), (2, [b"in", b"parts"])], blocking=False) == 2
        assert card.sends() == 2
        card.receives(2, 3)
        assert [len(packet.payload) for packet in duct.receive_batch(2)] == [3, 3]
    attachment.detach()


@BUILT
def test_a_kernel_has_no_memory_that_somebody_watches():
    assert real().kernel_for(memoryview(b""), object()) is None
    assert real().kernel_for(memoryview(b"")) is not None
    assert judged().kernel_for(object()) is not None
    assert PYTHON.kernel_for(memoryview(b"")) is None


def test_the_barriers_are_those_of_the_driver_in_python():
    text = (FOLDER / "real.h").read_text(encoding="utf-8")
    for machine, code in INSTRUCTIONS.items():
        part = text.partition(f"defined(__{machine}__)")[2]
        for name in ("acquire", "release", "release_loads", "before_register_write"):
            found = re.search(rf'#define {name.upper()}_CODE "(.*)"', part)
            assert found[1] == getattr(code, name).text


# What is built, and what is refused


@BUILT
@pytest.mark.parametrize("name", ["_real", "_judged"])
def test_the_source_compiles_without_a_warning(name, tmp_path):
    assert build(name, into=tmp_path, flags=("-Werror",)) == path_of(name, tmp_path)


SANITIZERS = {"address": "libasan.so", "undefined": "libubsan.so"}
TRAFFIC = """
import random, sys
from pathlib import Path
from bench.memory_card import MemoryCard
from impl.attach import Attachment
from impl.datapath.loader import Datapath, load
from impl.driver import DuctDriver
from impl.errors import CardError
from impl.settings import Settings
from impl.threads import ThreadRuntime
kernel = Datapath("C kernel", load("_real", Path(sys.argv[1])))
source, card = random.Random(1), MemoryCard()
attachment = Attachment.to(card, ThreadRuntime(), Settings(ring_shift=2), kernel)
with DuctDriver(attachment) as duct:
    for number in range(20_000):
        count = source.randrange(1, 5)
        card.receives(count, source.choice([0, 1, 64, 4097, 16384, 16385, 2**31, 2**32 - 1]))
        packets = []
        while card.waiting:
            try:
                packets += duct.receive_batch(source.randrange(1, 9))
            except CardError:
                pass
        parts = source.choice([lambda it: it, lambda it: [it[:7], bytearray(it[7:])]])
        duct.send_batch([(1, parts(packet.payload)) for packet in packets] or [(1, b"")],
                        blocking=False)
        card.sends()
        attachment.controller.runtime.lock()
        attachment.controller.serve_events()
        attachment.controller.runtime.unlock()
attachment.detach()
print("through")
"""


ARRAY_TRAFFIC = """
import random, sys
from pathlib import Path
from bench.memory_card import MemoryCard
from impl.attach import Attachment
from impl.datapath.loader import Datapath, load
from impl.driver import DuctDriver, PacketBatch
from impl.errors import CardError, InvalidArgumentError, PacketTooLongError
from impl.settings import Settings
from impl.threads import ThreadRuntime
kernel = Datapath("C kernel", load("_real", Path(sys.argv[1])))
source, card = random.Random(1), MemoryCard()
attachment = Attachment.to(card, ThreadRuntime(), Settings(ring_shift=2), kernel)
MOST = 5
def array(size, letter):
    # Not aligned, and nothing behind it.
    return memoryview(bytearray(1 + MOST * size))[1:].cast(letter)
payloads = bytearray(3 * PacketBatch.ROOM + 7)
offsets, lengths, addresses = array(8, "Q"), array(4, "I"), array(4, "I")
batch = PacketBatch(payloads, offsets, lengths, destinations=addresses, sources=addresses)
refused = 0
with DuctDriver(attachment) as duct:
    for number in range(20_000):
        card.receives(source.randrange(1, 5),
                      source.choice([0, 1, 64, 4097, 16384, 16385, 2**31, 2**32 - 1]))
        while card.waiting:
            for k in range(MOST):
                offsets[k] = source.choice([0, 1, 16384, 2 * 16384 + 7, source.randrange(32768)])
            if source.random() < 0.1:
                offsets[source.randrange(MOST)] = source.choice([2 * 16384 + 8, 2**63, 2**64 - 1])
            try:
                duct.receive_into(batch, source.randrange(1, MOST + 1))
            except CardError:
                pass
            except InvalidArgumentError:
                refused += 1
        batch.filled = source.randrange(MOST + 1)
        for k in range(MOST):
            offsets[k] = source.choice([0, 1, len(payloads), source.randrange(len(payloads))])
            room = len(payloads) - offsets[k]
            lengths[k] = source.choice([0, min(room, 16384), source.randrange(room) % 16385
                                        if room else 0])
        if source.random() < 0.1:
            k = source.randrange(MOST)
            offsets[k], lengths[k] = source.choice(
                [(len(payloads), 1), (2**64 - 1, 1), (0, 16385), (1, 2**32 - 1)])
        try:
            duct.send_from(batch, blocking=False)
        except (InvalidArgumentError, PacketTooLongError):
            refused += 1
        card.sends()
        attachment.controller.runtime.lock()
        attachment.controller.serve_events()
        attachment.controller.runtime.unlock()
attachment.detach()
assert refused
print("through")
"""


@BUILT
@pytest.mark.parametrize("traffic", [TRAFFIC, ARRAY_TRAFFIC], ids=["objects", "arrays"])
@pytest.mark.parametrize("sanitizer", SANITIZERS)
def test_sanitizers_find_nothing_whatever_the_card_announces(sanitizer, traffic, tmp_path):
    if PROFILE.name != "nightly":
        pytest.skip("nightly has the time")
    library = subprocess.run(
        ["cc", f"-print-file-name={SANITIZERS[sanitizer]}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if not os.path.isabs(library):
        pytest.skip(f"the compiler has no {SANITIZERS[sanitizer]}")
    flags = ("-g", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all")
    build("_real", into=tmp_path, flags=flags)
    ran = subprocess.run(
        [sys.executable, "-c", traffic, str(tmp_path)],
        env={**os.environ, "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0"},
        cwd=FOLDER.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "through\n", "")


def test_the_switch_says_on_or_off():
    assert chosen({"DUCT_KERNEL": "off"}) == Datapath("Python (DUCT_KERNEL=off)")
    with pytest.raises(InvalidArgumentError, match="DUCT_KERNEL is on or off, not 'maybe'"):
        chosen({"DUCT_KERNEL": "maybe"})


def test_what_is_not_there_is_not_loaded(tmp_path):
    with pytest.raises(KernelError, match="not built"):
        load("_real", tmp_path)


def test_what_is_of_another_machine_is_not_loaded(tmp_path):
    path_of("_real", tmp_path).write_bytes(b"\x7fELF of another world")
    with pytest.raises(KernelError, match="for another machine"):
        load("_real", tmp_path)


@BUILT
def test_a_kernel_of_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "source_digest", lambda: "another")
    build("_real", into=tmp_path)
    with pytest.raises(KernelError, match="built for another version; make env builds it anew"):
        load("_real", tmp_path)


@BUILT
def test_a_source_that_does_not_compile_is_told_in_a_line(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(FOLDER, source, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (source / "ring_kernel.h").write_text("#error nothing\n")
    with pytest.raises(BuildError, match=r"says: .*#error nothing"):
        build("_real", folder=source, into=tmp_path)
    assert not path_of("_real", tmp_path).exists()


def test_without_a_compiler_one_line_says_so(tmp_path):
    folder = tmp_path / "project"
    for part in ("impl", "model", "engine"):
        shutil.copytree(
            FOLDER.parent.parent / part, folder / part, ignore=shutil.ignore_patterns("*.so")
        )
    ran = subprocess.run(
        [sys.executable, "-c", "from impl.datapath import build; build.build_missing()"],
        cwd=folder,
        env={"PATH": str(tmp_path), "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == (
        "C kernel: not built, since there is no C compiler; Python does the same\n"
    )


def test_the_builds_are_for_this_interpreter():
    assert path_of("_real").name == f"_real{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    assert os.fspath(path_of("_real").parent) == os.fspath(FOLDER)


def test_the_profile_of_continuous_integration_judges_the_kernel_as_well():
    assert PROFILES["ci"].parts // 4 == 1
