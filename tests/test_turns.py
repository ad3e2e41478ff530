"""Turns in C: a driver that makes them is, to all who use it, the driver that does not."""

import contextlib
import shutil
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.memory_card import FIRST_TRANSMIT_BELL, MemoryCard
from impl.attach import Attachment
from impl.controller import Life
from impl.datapath import loader
from impl.datapath.build import build
from impl.datapath.loader import PYTHON, Datapath, KernelError, load
from impl.datapath.version import FOLDER
from impl.driver import DuctDriver
from impl.errors import CardError, CardFailedError, ClosedError, DuctError, InvalidArgumentError
from impl.settings import Settings
from impl.threads import ThreadRuntime
from model.layout import LIMITS
from properties.profiles import chosen
from properties.simulation.arrays import room_for, sendable, taken
from tests.background import Background, until
from tests.test_readiness import polled

PROFILE = chosen()
SHIFT = 2
SLOTS = 1 << SHIFT
LENGTHS = st.sampled_from([0, 1, 64, 4097, LIMITS.max_packet, LIMITS.max_packet + 1])

try:
    KERNEL = Datapath("C kernel", load("_real"))
except KernelError:
    pytestmark = pytest.mark.skip("the C kernel is not built")


class Bench:
    """A card that is memory, and one open of it."""

    def __init__(self, datapath, card=None):
        self.card = card or MemoryCard()
        settings = Settings(ring_shift=SHIFT)
        self.attachment = Attachment.to(self.card, ThreadRuntime(), settings, datapath)
        self.controller = self.attachment.controller
        self.duct = DuctDriver(self.attachment)
        self.views = []
        self.room = room_for(SLOTS + 1)
        self.through = room_for(SLOTS)

    def close(self):
        for view in self.views:
            view.release()
        self.card.sends()
        self.interrupt()
        self.duct.close()
        self.attachment.detach()

    def interrupt(self):
        self.controller.runtime.lock()
        self.controller.serve_events()
        self.controller.runtime.unlock()

    def do(self, what, *about):
        """What it gives, or raises, as something that can be compared."""
        try:
            return getattr(self, what)(*about)
        except (DuctError, RuntimeError) as error:
            return type(error).__name__, str(error)

    # What may be done

    def comes(self, length):
        self.card.receives(1, length)

    def sent(self):
        return self.card.sends()

    def one(self):
        return self.duct.receive(blocking=False)

    def several(self, most):
        return self.duct.receive_batch(most, blocking=False)

    def into(self, most):
        self.duct.receive_into(self.room, min(most, SLOTS + 1), blocking=False)
        return taken(self.room)

    def view(self):
        self.views.append(self.duct.receive_view(blocking=False))
        return bytes(self.views[-1].payload)

    def release(self):
        if self.views:
            self.views.pop(0).release()

    def objects(self, lengths):
        return self.duct.send_batch([(7, bytes(n)) for n in lengths], blocking=False)

    def scattered(self, lengths):
        packets = [(7, [bytes(n // 2), bytearray(n - n // 2)]) for n in lengths]
        return self.duct.send_batch(packets, blocking=False)

    def arrays(self, lengths):
        return self.duct.send_from(sendable([(7, bytes(n)) for n in lengths]), blocking=False)

    def again(self):
        """A batch that was used before: all of the call is in C."""
        self.arrays_kept = getattr(self, "arrays_kept", sendable([(9, b"kept")] * 2))
        return self.duct.send_from(self.arrays_kept, blocking=False)

    def onward(self):
        """What comes is sent on, by the same card."""
        sent = self.duct.forward(self.through, self.duct, blocking=False)
        return sent, taken(self.through)

    def poll(self):
        return self.duct.poll()

    @property
    def state(self):
        """All that anybody could see."""
        controller = self.controller
        return (
            polled(self.duct.fileno()),
            self.card.doorbell,
            self.card.contents(),
            controller.transmit.produced,
            controller.transmit.outstanding,
            controller.free_slots,
            controller.inside,
        )


SENT = st.lists(st.sampled_from([0, 1, 4097]), min_size=1, max_size=SLOTS + 1)
STEPS = st.one_of(
    st.tuples(st.just("comes"), LENGTHS),
    st.tuples(st.just("comes"), LENGTHS),
    st.tuples(st.sampled_from(["several", "into"]), st.integers(1, SLOTS + 2)),
    st.tuples(st.sampled_from(["objects", "scattered", "arrays"]), SENT),
    st.tuples(
        st.sampled_from(
            [
                *("one", "view", "release", "again", "interrupt", "interrupt", "sent", "poll"),
                *("onward", "onward"),
            ]
        )
    ),
)


@given(steps=st.lists(STEPS, max_size=40))
@settings(max_examples=PROFILE.examples)
def test_whatever_is_done_nobody_can_tell_turns_in_c_from_those_in_python(steps):
    python, kernel = Bench(PYTHON), Bench(KERNEL)
    try:
        for step in steps:
            assert kernel.do(*step) == python.do(*step)
            assert kernel.state == python.state
    finally:
        python.close()
        kernel.close()


@pytest.fixture
def bench():
    bench = Bench(KERNEL)
    yield bench
    bench.close()


@pytest.fixture
def in_python(bench, monkeypatch):
    """Something for each time that Python takes the lock."""
    calls = []
    runtime = bench.controller.runtime
    lock = runtime.lock
    monkeypatch.setattr(runtime, "lock", lambda: (calls.append(1), lock()))
    return calls


def test_python_makes_no_turn_where_nothing_stands_in_the_way(bench, in_python):
    # The first packet is received in Python, by which C comes to know the ring.
    bench.comes(1)
    bench.one()
    in_python.clear()
    for _ in range(3):
        for receive in (bench.one, lambda: bench.several(2), lambda: bench.into(2)):
            bench.comes(64)
            bench.comes(64)
            receive()
            if bench.card.waiting:
                bench.several(2)
            assert bench.objects([1]) == 1
            assert bench.again() == 2
            bench.sent()
            bench.interrupt()
    # Those of the interrupts.
    assert len(in_python) == 9


def test_python_makes_no_turn_where_packets_are_sent_on(bench, in_python):
    for _ in range(4):
        bench.comes(64)
        bench.comes(0)
        assert bench.onward()[0] == 2
        bench.sent()
        bench.interrupt()
    # The first is sent on in Python, by which C comes to know the batch.
    assert len(in_python) == 4 + 1


@pytest.mark.parametrize("waiting", [0, 1])
def test_an_error_of_forward_itself_is_raised_and_nothing_is_sent_again(bench, waiting):
    bench.comes(5)
    assert bench.onward()[0] == 1
    bench.sent()
    bench.interrupt()
    for _ in range(waiting):
        bench.comes(5)
    bench.through.begin_to_send(None)  # another call uses the batch
    assert bench.do("onward")[0] == "InvalidArgumentError"
    bench.through.end()
    assert bench.sent() == 0
    assert not bench.duct.owed


def test_an_error_of_the_other_card_is_no_error_of_this_one(bench):
    other = Bench(KERNEL)
    bench.comes(5)
    bench.duct.forward(bench.through, other.duct, blocking=False)
    other.controller.fail("it was told to")
    for _ in range(2):
        bench.comes(5)
        with pytest.raises(CardFailedError):
            bench.duct.forward(bench.through, other.duct, blocking=False)
        assert not bench.duct.owed
    with contextlib.suppress(DuctError):
        other.close()


def test_what_could_not_be_received_is_owed_and_what_was_is_sent_on(bench):
    bench.comes(5)
    bench.onward()
    bench.comes(5)
    bench.comes(LIMITS.max_packet + 1)
    assert bench.onward()[0] == 1
    assert bench.do("one")[0] == "CardError"


# The order of what the real build does, which nothing judges

TRACED = {
    "(void)port;": '(void)port; dprintf(2, #name "\\n");',
    "    return *at(region, place);\n}\n\nstatic inline int STORE_OWNER": (
        '    dprintf(2, "owner %d\\n", (int)place / SLOT_SIZE);\n'
        "    return *at(region, place);\n}\n\nstatic inline int STORE_OWNER"
    ),
    "    *at(region, place) = owner;\n": (
        '    dprintf(2, "given %d\\n", (int)place / SLOT_SIZE);\n    *at(region, place) = owner;\n'
    ),
    "    memcpy(data, (const void *)at": (
        '    if (size == HEADER_SIZE) dprintf(2, "header %d\\n", (int)place / SLOT_SIZE);\n'
        "    memcpy(data, (const void *)at"
    ),
    "    (void)region, (void)place, (void)made;\n": (
        '    (void)region, (void)made; dprintf(2, "fields %d\\n", (int)place / SLOT_SIZE);\n'
    ),
}
"""What is changed of the primitives so that they say what they do."""


@pytest.fixture
def told(tmp_path, capfd):
    """What the primitives do in a call of a driver, which are as they are but talk."""
    folder = tmp_path / "source"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.so", "*.py", "__pycache__"))
    source = (folder / "real.h").read_text(encoding="utf-8")
    for old, new in TRACED.items():
        assert source.count(old) == 1
        source = source.replace(old, new)
    (folder / "real.h").write_text(source, encoding="utf-8")
    build("_real", folder=folder, into=tmp_path)
    bench = Bench(Datapath("C kernel", load("_real", tmp_path)))

    def ask(call):
        capfd.readouterr()
        call(bench)
        return capfd.readouterr().err.splitlines()

    yield ask
    bench.close()


def behind_a_barrier(steps, first, barrier, then):
    """How often *then* was done of a slot; before each there was a barrier behind *first*."""
    places = [place for place, step in enumerate(steps) if step.startswith(f"{then} ")]
    for place in places:
        slot = steps[place].partition(" ")[2]
        before = steps[:place]
        assert f"{first} {slot}" in before
        assert barrier in before[before.index(f"{first} {slot}") :]
    return len(places)


@pytest.mark.parametrize(
    ("most", "in_python", "barriers"),
    [
        (SLOTS, [], 1),
        # For more than the ring has the turn is made in Python, which looks at the first one.
        (SLOTS + 1, ["owner 2"], SLOTS),
    ],
)
def test_a_header_is_loaded_behind_a_barrier_that_several_packets_may_share(
    told, most, in_python, barriers
):
    def call(bench):
        for _ in range(SLOTS):
            bench.comes(1)
        assert len(bench.into(most)) == SLOTS

    for _ in range(2):  # by the first of which C comes to know the ring
        told(lambda bench: (bench.comes(1), bench.one()))
    steps = [*in_python, *told(call)]
    assert behind_a_barrier(steps, "owner", "ACQUIRE", "header") == SLOTS
    assert steps.count("ACQUIRE") == barriers
    assert behind_a_barrier(steps, "header", "RELEASE_LOADS", "given") == SLOTS
    assert behind_a_barrier(steps, "header", "RELEASE", "given") == SLOTS


def test_owner_bytes_are_stored_behind_a_barrier_and_the_doorbell_behind_another(told):
    steps = told(lambda bench: bench.objects([1] * (SLOTS - 1)))
    assert behind_a_barrier(steps, "fields", "RELEASE", "given") == SLOTS - 1
    assert steps.count("RELEASE") == 1
    assert steps[-1] == "BEFORE_REGISTER_WRITE"


# What stands in the way, of which each is seen before anything is touched


@pytest.fixture
def ready(bench):
    """A packet waits, and there is room."""
    bench.comes(5)
    bench.again()
    bench.sent()
    bench.interrupt()
    return bench


def untouched(bench):
    """Whether C makes neither turn, and leaves all as it is."""
    before, packets = bench.state, []
    made = (
        bench.controller.receive_at_once(packets, 1),
        bench.controller.receive_into_at_once(bench.room.over(KERNEL.kernel), None),
        bench.controller.send_at_once([(7, b"")]),
        bench.controller.send_from_at_once(bench.arrays_kept.known),
    )
    assert bench.state == before
    assert not packets
    return made == (False, -1, 0, 0)


def test_a_lock_that_somebody_has(ready):
    ready.controller.runtime.lock()
    assert untouched(ready)
    ready.controller.runtime.unlock()


@pytest.mark.parametrize("life", [Life.OPENING, Life.CLOSING, Life.CLOSED])
def test_a_card_that_is_not_open(ready, life):
    ready.controller.life = life
    assert untouched(ready)
    with pytest.raises(CardFailedError, match=life.value):
        ready.duct.receive_into(ready.room, blocking=False)
    ready.controller.life = Life.OPEN


def test_a_card_that_failed(ready):
    ready.controller.fail("it does not feel well")
    assert untouched(ready)
    with pytest.raises(CardFailedError, match="well"):
        ready.duct.send_from(ready.arrays_kept, blocking=False)
    ready.controller.failed = False
    ready.controller.runtime.set_readable(False)


def test_somebody_in_line(ready):
    controller = ready.controller
    for line in (controller.receive.waiters, controller.transmit.waiters):
        line.append(object())
    controller.show_writable()  # as it is wherever somebody is in line and the lock is given up
    assert untouched(ready)
    for line in (controller.receive.waiters, controller.transmit.waiters):
        line.clear()
    controller.show_writable()


def test_somebody_sleeps_for_room(ready):
    sleepers = ready.controller.runtime.parts.sleepers_for_room
    sleepers.append(object())
    assert ready.controller.send_at_once([(7, b"")]) == 0
    assert ready.controller.send_from_at_once(ready.arrays_kept.known) == 0
    sleepers.clear()


@pytest.mark.parametrize("sleepers", ["sleepers_for_room", "sleepers_for_life"])
def test_an_interrupt_while_somebody_sleeps_who_may_have_to_be_woken(ready, monkeypatch, sleepers):
    made = []
    ready.one()  # by which C comes to know the ring
    monkeypatch.setattr(ready.controller, "serve_in_python", lambda: made.append(True))
    ready.interrupt()
    assert not made
    asleep = getattr(ready.controller.runtime.parts, sleepers)
    asleep.append(object())
    ready.interrupt()
    assert made == [True]
    asleep.clear()


def test_a_card_that_is_closed(ready):
    ready.duct.close()
    assert ready.controller.receive_at_once([], 1) is False
    assert ready.controller.send_at_once([(7, b"")]) == 0
    with pytest.raises(ClosedError):
        ready.duct.receive_into(ready.room, blocking=False)
    with pytest.raises(ClosedError):
        ready.duct.send_from(ready.arrays_kept, blocking=False)
    ready.duct = DuctDriver(ready.attachment)


def test_a_batch_that_another_call_uses(ready):
    kept, controller = ready.arrays_kept, ready.controller
    ready.into(1)
    ready.room.begin_to_fill(1, None)
    kept.begin_to_send(None)
    assert controller.receive_into_at_once(ready.room.known, None) == -1
    assert controller.send_from_at_once(kept.known) == 0
    with pytest.raises(InvalidArgumentError, match="in use"):
        ready.duct.send_from(kept, blocking=False)
    for use in (ready.room, kept):
        use.end()


def test_what_an_earlier_call_owes_comes_first(ready):
    ready.duct.owed.append(CardError("it was too long"))
    with pytest.raises(CardError, match="too long"):
        ready.into(1)
    assert len(ready.into(1)) == 1


def test_a_time_limit_that_cannot_be_is_refused_though_a_packet_waits(ready):
    for call in (
        lambda: ready.duct.receive_into(ready.room, timeout=-1),
        lambda: ready.duct.receive_batch(1, timeout=-1),
        lambda: ready.duct.send_from(ready.arrays_kept, blocking=False, timeout=-1),
        lambda: ready.duct.send_batch([(7, b"")], blocking=False, timeout=-1),
    ):
        with pytest.raises(InvalidArgumentError, match="a timeout is 0 seconds or more"):
            call()


def test_an_interrupt_that_somebody_is_to_be_told_of_is_served_in_python(bench, monkeypatch):
    served = []
    cls = type(bench.controller)
    in_python = cls.serve_in_python
    monkeypatch.setattr(cls, "serve_in_python", lambda self: (served.append(1), in_python(self)))
    bench.comes(1)
    bench.one()
    bench.interrupt()
    assert not served
    sleeper = Background(lambda: bench.duct.send(7, b"waits until it is sent"))
    until(lambda: bench.controller.transmit.outstanding == 1)
    until(lambda: bench.controller.runtime.parts.sleepers_for_room)
    assert bench.sent() == 1
    bench.interrupt()
    assert sleeper.join().error is None
    assert served
    reader = Background(lambda: bench.duct.receive().payload)
    until(lambda: bench.controller.receive.waiters)
    bench.comes(3)
    bench.interrupt()
    assert len(reader.join().value) == 3
    assert len(served) == 2


def came(card, length):
    """Whether there was a slot for a packet."""
    try:
        card.receives(1, length)
    except RuntimeError:
        return False
    return True


def test_readers_in_several_threads_lose_nothing(bench):
    stop, got = threading.Event(), []

    def serve():
        while not stop.is_set():
            bench.interrupt()

    def receive():
        while len(got) < 400:
            try:
                got.extend(packet.payload for packet in bench.duct.receive_batch(3, timeout=5))
            except DuctError:
                return

    server = Background(serve)
    readers = [Background(receive) for _ in range(2)]
    for number in range(400):
        until(lambda number=number: came(bench.card, number % 7))
    for reader in readers:
        assert reader.join().error is None
    stop.set()
    assert server.join().error is None
    assert len(got) == 400


def test_turns_are_not_made_before_they_are_bound():
    turns = KERNEL.kernel.Turns()
    for make in (
        lambda: turns.receive_at_once([], 1),
        lambda: turns.receive_into_at_once(None, 1),
        lambda: turns.send_at_once([]),
        lambda: turns.send_from_at_once(None),
        turns.serve_events,
    ):
        with pytest.raises(RuntimeError, match="not bound"):
            make()


def test_what_is_not_a_call_is_refused(bench):
    turns = bench.controller
    for make in (
        lambda: turns.receive_at_once((), 1),
        lambda: turns.receive_at_once([], "all"),
        lambda: turns.send_at_once(()),
        lambda: turns.bind(1, 2, 3, 4),
    ):
        with pytest.raises(TypeError):
            make()
    assert turns.receive_into_at_once(bench.room, None) == -1
    assert turns.send_from_at_once(bench.room) == 0


def test_python_that_runs_without_its_lock_has_no_kernel(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(KernelError, match="needs the interpreter's own lock"):
        load("_real")
    assert loader.chosen({}).kernel is None


class BusyWords(dict):
    """Registers of which the doorbell of the transmit ring fails once, or always."""

    fails = 0

    def __setitem__(self, index, value):
        if value >= FIRST_TRANSMIT_BELL and self.fails:
            self.fails -= 1
            raise OSError("the bus is busy")
        super().__setitem__(index, value)


def test_a_doorbell_that_fails_once_is_rung_again_and_the_error_is_raised():
    card = MemoryCard()
    card.words = BusyWords()
    bench = Bench(KERNEL, card)
    bench.again()
    card.words.fails = 1
    with pytest.raises(OSError, match="busy"):
        bench.objects([1, 2])
    assert card.doorbell == FIRST_TRANSMIT_BELL + 3
    assert card.sends() == 4
    bench.close()


def test_a_card_whose_doorbell_cannot_be_rung_counts_as_failed():
    card = MemoryCard()
    card.words = BusyWords()
    bench = Bench(KERNEL, card)
    card.words.fails = 3
    with pytest.raises(OSError, match="busy"):
        bench.objects([1])
    with pytest.raises(CardFailedError, match="a request to the card was not dealt with"):
        bench.objects([1])
    bench.close()
