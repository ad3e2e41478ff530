"""The emulated card against the specification, step by step from the same state.

Specification and card start alike. Then the same steps are taken on both: the card's own, and what
host and net do to it. Before each step the same steps must be possible, and after it everything
that both have must be equal, memory included.
"""

import functools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.card import OPTIONAL, Card, NotEnabledError
from emulator.memory import AddressSpace
from emulator.packet import NetPacket
from emulator.receive import Arrival
from engine.executor import Executor
from engine.rules import Choice, Parameter, Party, Rule
from engine.terms import TRUE, variables
from impl.memory import Purpose
from model import device_spec
from model.layout import (
    COMMAND_RING,
    COMMAND_SLOT,
    DBELL,
    DBELL_TX,
    EVFLAGS,
    FLAGS,
    LIMITS,
    PACKET_SLOT,
    RECEIVE_RING,
    RINGS,
    RST,
    SEQ,
    TRANSMIT_RING,
    Command,
    CommandSlot,
    Owner,
    PacketSlot,
    pack,
)
from model.ring_spec import COMMAND, TRANSMIT
from model.scope import Scope
from model.state import Flags, Result, Stage
from model.system import DUCT, specification
from monitor.stages import steps_by_stage

SHIFT = 1
SLOTS = 1 << SHIFT
KEYS = (0x10, 0x11)
"""The addresses that the specification's filters 0 and 1 stand for."""
LENGTHS = (0, 1, 2, 7)
WORD = Parameter("word", Choice.WORD)

ERROR_BYTE = {Result.OK: 0, Result.ENOSPC: 1, Result.ENOENT: 1}
OWN_STEPS = {rule.name for rule in device_spec.BOOK.rules if rule.party is Party.DEVICE} - {
    "card.fatal_error"
}
"""What the card does. A fatal error is something that happens to it."""
SHARED = ("stage", "dev_i", "due", "event", "based")


def clear_events(s):
    """The host reads EVFLAGS."""
    s.tx.event = s.cmd.event = s.rx.event = s.rx.dropped = s.tx.event & ~s.tx.event


def set_base(ring, s):
    """The host writes the address and the size of a ring."""
    if ring is not s.cmd:
        device_spec.protocol_error(s, s.card.started & device_spec.running(s))
    ring.based = TRUE


def host_rule(name, body, *parameters):
    return Rule(name, Party.HOST, "", parameters, "", body)


@functools.cache
def executor():
    """The card's rules, and what the host does to its registers, run as the specification says."""
    rules = [
        *device_spec.BOOK.rules,
        host_rule("reset", device_spec.card_resets),
        host_rule("events", clear_events),
        host_rule("base.tx", lambda s: set_base(s.tx, s)),
        host_rule("base.cmd", lambda s: set_base(s.cmd, s)),
        host_rule("base.rx", lambda s: set_base(s.rx, s)),
        host_rule("bell.tx", functools.partial(device_spec.receive_doorbell, TRANSMIT), WORD),
        host_rule("bell.cmd", functools.partial(device_spec.receive_doorbell, COMMAND), WORD),
    ]
    return Executor.of(DUCT.system(rules), Scope(ring_size=SLOTS, keys=len(KEYS), words=LENGTHS))


class Pair:
    """The specification and the card, in step with each other."""

    def __init__(self, filters):
        self.memory = AddressSpace()
        self.sent = []
        self.card = Card(dma=self.memory, transmit=self.sent.append)
        self.rings = {}
        self.buffers = {}
        self.state = executor().changed(
            executor().initial(), card__bus_master=True, card__was_reset=True
        )
        for ring, purpose in (
            (COMMAND_RING, Purpose.COMMAND_RING),
            (TRANSMIT_RING, Purpose.TRANSMIT_RING),
            (RECEIVE_RING, Purpose.RECEIVE_RING),
        ):
            self.rings[ring.name.lower()] = self.memory.allocate(ring.size(SHIFT), purpose)
            self.set_base(ring)
        for ring in (TRANSMIT_RING, RECEIVE_RING):
            self.buffers[ring.name.lower()] = self.memory.allocate(
                SLOTS * LIMITS.max_packet, Purpose.RECEIVE_BUFFERS
            )
        self.card.filters = [(0xFFFF_FFFF, KEYS[0])] * filters
        self.state = executor().changed(
            self.state, card__filters=(filters, 0), card__filter_count=filters
        )

    def spec(self, name):
        return executor().value(self.state, name)

    def fire(self, name, **parameters):
        self.state = executor().fire(self.state, executor().find(name, **parameters))

    def put(self, name, slot, value):
        array = list(self.spec(name))
        array[slot] = value
        self.state = executor().changed(self.state, **{name.replace(".", "__"): tuple(array)})

    # What may happen, each as a function that lets it happen to both

    def polite(self):
        """What a host does that keeps to the protocol, and what the net does."""
        kinds = [Command.ADDFILT, Command.RMFILT, Command.FLUSHFILT]
        if self.card.cmd.stage is Stage.IDLE and not any(self.spec("cmd.owner")):
            kinds.append(Command.STOP if self.card.started else Command.START)
        yield from self.slots(kinds)
        yield self.read_events
        if self.card.flags is Flags.ERROR:
            yield self.recover
        for ring in RINGS:
            if not self.spec(f"{ring.name.lower()}.based"):
                yield functools.partial(self.set_base, ring)
        for name in ("tx", "cmd"):
            if self.spec(f"{name}.based"):
                yield from (functools.partial(self.ring_bell, name, k) for k in range(SLOTS))
        yield from self.environment()

    def rude(self):
        """What breaks the protocol, or the card."""
        yield self.reset
        yield from self.slots([Command.START, Command.STOP])
        yield from (functools.partial(self.set_base, ring) for ring in RINGS)
        for name in ("tx", "cmd"):
            yield from (functools.partial(self.ring_bell, name, k) for k in (0, SLOTS))
        if self.card.may_fail():
            yield self.fail

    def slots(self, kinds):
        """The host hands over a slot that is its own, whatever it is at."""
        stride = LIMITS.max_packet
        for k in range(SLOTS):
            if not self.spec("cmd.owner")[k]:
                for kind in kinds:
                    for key in range(len(KEYS)):
                        yield functools.partial(self.give_command, k, kind, key)
            if not self.spec("tx.owner")[k]:
                for length in LENGTHS:
                    yield functools.partial(self.give_packet, "tx", k, length, stride)
            if not self.spec("rx.owner")[k]:
                yield functools.partial(self.give_packet, "rx", k, stride, stride)

    def give_command(self, k, kind, key):
        slot = CommandSlot(Owner.DEVICE, kind, 0xEE, 0xFFFF_FFFF, KEYS[key])
        self.rings["cmd"].store_bulk(COMMAND_RING.offset(k), pack(slot))
        for name, value in (("owner", True), ("kind", int(kind)), ("key", key)):
            self.put(f"cmd.{name}", k, value)

    def give_packet(self, ring, k, length, stride):
        page = LIMITS.page_size
        pointers = tuple(self.buffers[ring].bus_address(k * stride + i * page) for i in range(4))
        lengths = tuple(max(0, min(page, length - i * page)) for i in range(4))
        slot = PacketSlot(Owner.DEVICE, 0, lengths, KEYS[0], 0, pointers)
        self.rings[ring].store_bulk(TRANSMIT_RING.offset(k), pack(slot))
        self.put(f"{ring}.owner", k, True)
        if ring == "tx":
            self.buffers[ring].store_bulk(k * stride, bytes([k + 1]) * length)
            self.put("tx.zero", k, length == 0)

    def reset(self):
        self.fire("reset")
        self.card.write(FLAGS, RST.mask)

    def recover(self):
        """Reset the card, take all slots back, and give it its rings anew."""
        self.reset()
        for ring in RINGS:
            name = ring.name.lower()
            for k in range(SLOTS):
                self.rings[name].store(ring.offset(k), 1, Owner.HOST)
                self.put(f"{name}.owner", k, False)
            self.set_base(ring)

    def ring_bell(self, name, slot):
        self.fire(f"bell.{name}", word=slot)
        self.card.write(DBELL, slot | (DBELL_TX.mask if name == "tx" else 0))

    def fail(self):
        self.fire("card.fatal_error")
        assert self.card.fail()

    def set_base(self, ring):
        name = ring.name.lower()
        self.fire(f"base.{name}")
        self.card.write(ring.base, self.rings[name].bus_address())
        self.card.write(ring.shift, SHIFT)

    def read_events(self):
        self.fire("events")
        self.card.read(EVFLAGS)

    def environment(self):
        """What may happen to the card, as its guards say; both must agree on them."""
        possible = {item.name for item in executor().enabled(self.state)}
        card = self.card
        assert ("card.fatal_error" in possible) == card.may_fail()
        assert ("card.spurious_vector0" in possible) == (not card.vector0)
        assert ("card.withdraw_vector0" in possible) == card.may_withdraw()
        assert ("rx.arrive_jumbo" in possible) == card.may_arrive()
        if "card.spurious_vector0" in possible:
            yield lambda: (self.fire("card.spurious_vector0"), card.spurious())
        if "card.withdraw_vector0" in possible:
            yield lambda: (self.fire("card.withdraw_vector0"), card.withdraw())
        if "rx.arrive_jumbo" in possible:
            for key in range(len(KEYS)):
                for length in (*LENGTHS, LIMITS.max_packet + 1):
                    yield functools.partial(self.arrive, key, length)

    def arrive(self, key, length):
        taken = self.card.arrive(NetPacket(KEYS[key], 0x99, bytes(length)))
        accepted = self.spec("card.filters")[key] != 0
        if not accepted:
            assert taken is Arrival.IGNORED
        elif length > LIMITS.max_packet:
            assert taken is Arrival.JUMBO
            self.fire("rx.arrive_jumbo")
        else:
            assert taken is Arrival.TAKEN
            self.fire("rx.arrive", key=key, length=length)

    def own_steps(self):
        """The card's own steps: the same ones as in the specification, in the card's order."""
        expected = {item.name for item in executor().enabled(self.state)} & OWN_STEPS
        enabled = self.card.enabled()
        assert set(enabled) == expected
        assert enabled == [name for name in self.card.steps if name in expected]
        for name in enabled:
            yield functools.partial(self.take, name)

    def take(self, name):
        self.fire(name)
        self.card.take(name)

    # Both are alike

    def compare(self):
        card = self.card
        for name in ("flags", "started", "stopping", "raising", "vector0", "vector1"):
            assert getattr(card, name) == self.spec(f"card.{name}"), name
        counts = tuple(card.filters.count((0xFFFF_FFFF, key)) for key in KEYS)
        assert counts == self.spec("card.filters")
        assert len(card.filters) == self.spec("card.filter_count")
        for name in ("tx", "cmd", "rx"):
            ring = getattr(card, name)
            for field in (*SHARED, *(("dropped",) if name == "rx" else ("look", "doorbell_i"))):
                assert getattr(ring, field) == self.spec(f"{name}.{field}"), f"{name}.{field}"
            size = (COMMAND_RING if name == "cmd" else TRANSMIT_RING).slot.size
            for k in range(SLOTS):
                owned = self.rings[name].load(k * size, 1) == Owner.DEVICE
                assert owned == self.spec(f"{name}.owner")[k], f"{name}.owner[{k}]"
        if card.rx.stage is not Stage.IDLE:
            assert len(card.rx.arriving.payload) == self.spec("rx.arriving")
        assert len(self.sent) == self.spec("tx.sent")

    def compare_answer(self, k):
        error = self.rings["cmd"].load(COMMAND_RING.offset(k) + COMMAND_SLOT["error"].offset, 1)
        assert error == ERROR_BYTE[self.spec("cmd.status")[k]]

    def compare_received(self, k):
        length = self.rings["rx"].load(RECEIVE_RING.offset(k) + PACKET_SLOT["pktlen"].offset, 4)
        assert length == self.spec("rx.length")[k]

    def step(self, number):
        """One of all that may happen, mostly a step of the card's and seldom something rude."""
        which, number = number % 100, number // 100
        own = list(self.own_steps())
        if which == 99:
            choices = list(self.rude())
        elif which < 70 and own:
            choices = own
        else:
            choices = list(self.polite())
        choice = choices[number % len(choices)]
        slots = {name: getattr(self.card, name).dev_i for name in ("cmd", "rx")}
        choice()
        self.compare()
        name = choice.args[0] if getattr(choice, "func", None) == self.take else ""
        if name == "cmd.complete":
            self.compare_answer(slots["cmd"])
        elif name == "rx.complete":
            self.compare_received(slots["rx"])
        return name


NUMBERS = st.lists(st.integers(0, 10**6), max_size=150)


@given(NUMBERS, st.sampled_from((0, 1, LIMITS.filters)))
def test_the_card_steps_as_the_specification_does(numbers, filters):
    pair = Pair(filters)
    pair.compare()
    for number in numbers:
        pair.step(number)


def start(pair):
    pair.give_command(0, Command.START, 0)
    pair.ring_bell("cmd", 0)
    for word in ("look", "examine", "fetch", "execute", "write_status", "complete"):
        pair.take(f"cmd.{word}")
    pair.compare()


@given(NUMBERS, st.sampled_from((1, LIMITS.filters)))
def test_a_started_card_steps_as_the_specification_does(numbers, filters):
    pair = Pair(filters)
    start(pair)
    for number in numbers:
        pair.step(number)


def test_long_random_walks_take_every_step():
    source = random.Random(1)
    pair = Pair(1)
    taken = set()
    for _ in range(20_000):
        name = pair.step(source.randrange(10**6))
        taken.add(name)
    assert set(pair.card.steps) <= taken


def test_every_step_is_a_rule_of_the_specification():
    rules = {item.rule.name for item in specification().transitions}
    card = Pair(0).card
    assert set(card.steps) <= rules
    assert card.optional == OPTIONAL
    assert card.optional <= set(card.steps)


def test_every_device_rule_is_a_step():
    assert set(Pair(0).card.steps) == OWN_STEPS


@pytest.mark.parametrize("ring", ["tx", "cmd", "rx"])
def test_each_stage_of_an_engine_has_the_step_of_the_specification(ring):
    steps = steps_by_stage(specification(), ring)
    steps.pop(Stage.IDLE, None)
    assert getattr(Pair(0).card, ring).next == steps


def reaches_memory(item):
    """Whether a rule of the card reads or writes a slot or a buffer."""
    read = {symbol.name for term in item.updates.values() for symbol in variables(term)}
    return bool(item.accesses) or any(name.endswith(".owner") for name in {*read, *item.updates})


@pytest.mark.parametrize("ring", ["tx", "cmd", "rx"])
def test_without_bus_mastering_steps_that_reach_memory_wait(ring):
    card = Pair(0).card
    engine = getattr(card, ring)
    for stage, name in engine.next.items():
        engine.stage = stage
        card.bus_master = True
        assert name in card.enabled()
        card.bus_master = False
        waits = name not in card.enabled()
        assert waits == reaches_memory(specification().named(name)), name


def test_without_bus_mastering_vectors_wait():
    card = Pair(0).card
    card.raising = True
    assert "card.raise_vector0" in card.enabled()
    card.bus_master = False
    assert "card.raise_vector0" not in card.enabled()


def test_optional_steps_are_those_that_no_fair_process_has_to_take():
    unfair = {rule.name for rule in device_spec.BOOK.rules if not rule.fair}
    assert unfair & OWN_STEPS == OPTIONAL


def test_a_step_that_is_not_enabled_is_refused():
    pair = Pair(0)
    with pytest.raises(NotEnabledError) as caught:
        pair.card.take("tx.send")
    assert str(caught.value) == "tx.send may not be taken now; these may: cmd.look_ahead"


def test_start_while_started_halts_both_with_seq():
    pair = Pair(0)
    start(pair)
    pair.give_command(1, Command.START, 0)
    pair.ring_bell("cmd", 1)
    for word in ("look", "examine", "fetch", "execute"):
        pair.take(f"cmd.{word}")
    pair.compare()
    assert pair.card.flag_bits == SEQ.mask
