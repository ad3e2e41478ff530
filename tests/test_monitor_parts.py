"""The parts of the monitor by themselves: what each remembers, and what it blames whom for."""

import json
from types import FunctionType, SimpleNamespace
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.memory import Purpose
from impl.packet import Header
from impl.settings import Monitoring, Settings
from judge.filters import OutOfKeysError
from judge.judge import CardDeviation, Deviation
from judge.words import EARLY_RULES, LATE_RULES, StrayAccessError
from model.layout import Owner
from model.state import EVENT_THREAD, Flags, Label
from model.system import specification
from monitor import report, verdict
from monitor.events import Events
from monitor.inferred_card import InferredCard
from monitor.loads import EarlyLoads
from monitor.path import LongPath
from monitor.stores import PendingStores
from monitor.unchanged import Unchanged
from monitor.verdict import Verdict
from monitor.watch import watch

USER, OTHER = 2, 3


class Judged:
    """Stands for the specification beside a run.

    Attributes:
        now: Its variables.
        fired: The steps that were taken, in order.
        refused: Steps that are not allowed.
    """

    def __init__(self, **now):
        self.now = now
        self.fired = []
        self.set = []
        self.refused = set()
        self.stepper = Mock(set=lambda name, value: self.set.append((name, value)))
        self.spec = Mock()
        self.spec.scope.ring_size = 4

    def enabled(self, rule, *_):
        return rule not in self.refused

    def fire(self, rule, *values):
        self.fired.append((rule, *values))

    def who(self, t):
        return f"thread {t}"

    def barriers(self, rule):
        return [f"  {rule} needs one"]

    def deviation(self, reason, *_):
        return Deviation(reason)


# The steps of a run


class Counting:
    """A stepper whose state is how many steps were taken."""

    def __init__(self):
        self.taken = 0

    def state(self):
        return self.taken


@given(
    st.integers(1, 6),
    st.lists(st.sampled_from(["append", "mark"]) | st.floats(0, 1), max_size=60),
)
def test_a_path_keeps_the_newest_steps_and_knows_the_state_before_them(kept, doings):
    stepper = Counting()
    path = LongPath(stepper, kept)
    steps, marks, lately = [], [], 0
    for doing in doings:
        if doing == "append":
            stepper.taken += 1
            steps.append((stepper.taken,))
            path.append(steps[-1])
        elif doing == "mark":
            marks.append((path.mark(), len(steps)))
        else:
            position = round(doing * len(steps))
            steps.insert(position, ("late",))
            path.insert(position, ("late",))
            marks = [(mark, at + (at > position)) for mark, at in marks]
            lately += 1
        assert len(path) == len(steps)
        assert list(path) == steps[path.forgotten :]
        assert path.start == sum(step != ("late",) for step in steps[: path.forgotten])
        assert [mark.position for mark, _ in marks] == [at for _, at in marks]
        assert min(stepper.taken, kept) <= len(list(path)) < 2 * kept + lately


@pytest.mark.parametrize(("position", "kept"), [(9, False), (11, False), (12, True)])
def test_a_step_that_was_taken_before_the_oldest_that_is_kept_is_forgotten(position, kept):
    path = LongPath(Counting(), kept=4)
    steps(path, 16)
    assert path.forgotten == 12
    path.insert(position, ("late",))
    assert len(path) == 17
    assert (("late",) in list(path)) == kept
    assert path.forgotten == (12 if kept else 13)


def test_a_path_forgets_steps_although_one_was_put_in_just_before_that_was_due():
    """A step that makes the number of new ones full without being the newest had kept them all."""
    path = LongPath(Counting(), kept=4)
    steps(path, 3)
    path.insert(3, ("late",))
    steps(path, 100)
    assert len(list(path)) <= 9


# When event bits were set


@pytest.fixture
def path():
    return LongPath(Counting())


@pytest.fixture
def judge():
    return Judged()


@pytest.fixture
def events(judge, path):
    return Events(judge, path)


def steps(path, count=1):
    for _ in range(count):
        path.append(("a step",))


def test_a_bit_is_set_as_early_as_it_can_have_been(events, judge, path):
    steps(path, 2)
    assert not events.to_be_told("tx")
    events.completed("tx")
    assert events.to_be_told("tx")
    assert not events.to_be_told("rx")
    steps(path, 3)
    events.tell("tx")
    assert list(path).index(("tx.set_event",)) == 2
    assert judge.set == [("tx.due", False), ("tx.event", True), ("card.raising", True)]
    assert not events.to_be_told("tx")


def test_a_bit_is_not_set_before_it_was_last_read(events, path):
    events.completed("tx")
    steps(path, 2)
    events.read()
    steps(path)
    events.tell("tx")
    assert list(path).index(("tx.set_event",)) == 2


def test_a_later_completion_is_still_to_be_told(events, judge, path):
    events.completed("tx")
    steps(path)
    events.completed("tx")
    events.tell("tx")
    assert judge.set[0] == ("tx.due", True)
    assert events.to_be_told("tx")
    events.read()
    events.tell("tx")
    assert not events.to_be_told("tx")


def test_a_vector_that_was_raised_since_is_not_raised_again(events, judge, path):
    events.completed("tx")
    steps(path)
    events.raised()
    events.tell("tx")
    assert ("card.raising", True) not in judge.set


def test_a_vector_that_was_raised_before_is(events, judge, path):
    events.raised()
    events.completed("tx")
    steps(path)
    events.tell("tx")
    assert ("card.raising", True) in judge.set


@pytest.mark.parametrize("before", [True, False])
def test_a_card_that_has_failed_sets_no_bit_for_what_it_did_not_do_before(events, path, before):
    if before:
        events.completed("tx")
    events.halts()
    if not before:
        steps(path)
        events.completed("tx")
        with pytest.raises(CardDeviation) as caught:
            events.tell("tx")
        assert caught.value.reason == "the tx ring's event was set after the card had failed"
    else:
        events.tell("tx")


def test_a_packet_is_dropped_where_it_may_come(events, judge):
    events.drop()
    assert judge.fired == [("rx.arrive_jumbo",)]


def test_a_packet_may_have_been_dropped_before_traffic_stopped(events, judge, path):
    events.stops()
    steps(path, 2)
    judge.refused.add("rx.arrive_jumbo")
    events.drop()
    assert next(iter(path)) == ("rx.arrive_jumbo",)
    assert judge.set == [("rx.dropped", True), ("card.raising", True)]


@pytest.mark.parametrize("forgets", ["read", "reset", None])
def test_none_is_dropped_where_none_can_have_come(events, judge, forgets):
    if forgets is None:
        judge.refused.add("rx.arrive_jumbo")
        events.stops()
    else:
        events.stops()
        getattr(events, forgets)()
        judge.refused.add("rx.arrive_jumbo")
    with pytest.raises(CardDeviation) as caught:
        events.drop()
    assert caught.value.reason == "RXDROP or RXJUMBO was set while packet traffic was off"


def test_a_card_that_was_reset_has_nothing_to_tell_and_may_set_bits_again(events, path):
    assert events.slots_came
    events.read()
    assert not events.slots_came
    events.completed("tx")
    events.halts()
    steps(path)
    events.reset()
    assert events.slots_came
    assert not events.to_be_told("tx")
    events.completed("tx")
    events.tell("tx")
    assert list(path).index(("tx.set_event",)) == 1
    steps(path)
    events.reset()
    steps(path)
    events.completed("rx")
    events.tell("rx")
    assert list(path).index(("rx.set_event",)) == 4


# What is known of a card


def test_nothing_is_known_of_a_card_before_it_was_reset(judge, path):
    system = Mock(stepper=Mock(layout=Mock(system=specification())))
    system.now = judge.now
    memory = Mock(__contains__=Mock(return_value=False))
    card = InferredCard(system, path, Mock(), memory, Mock())
    card.unchanged = Mock()
    card.events_read(0xFFFF_FFFF)
    card.unchanged.check_order.assert_not_called()
    card.reset_written()
    with pytest.raises(CardDeviation, match="EVFLAGS has bits 0x"):
        card.events_read(0xFFFF_FFFF)
    assert [call.args for call in card.unchanged.check_order.call_args_list] == [
        ("cmd",),
        ("tx",),
        ("rx",),
    ]


# Stores that are pending


@pytest.fixture
def stores():
    names = ("tx_fields", "tx_first_word", "tx_last_word", "tx_owner", "cmd_fields", "cmd_owner")
    now = {f"{name}_pending": [True] * 4 for name in (*names, "rx_pointer", "rx_owner")}
    judge = Judged(card_bases_posted=True, **now)
    judge.now["tx_doorbell_value"] = [3, 1]
    judge.now["tx_doorbells_arrived"] = 0
    fire = judge.fire

    def takes(rule, *values):
        fire(rule, *values)
        if rule.endswith("_visible"):
            judge.now[f"{rule.removesuffix('_visible').replace('.', '_')}_pending"][values[0]] = (
                False
            )
        elif rule == "tx.doorbell_arrives":
            judge.now["tx_doorbells_arrived"] += 1

    judge.fire = takes
    made = PendingStores(judge)
    made.judge = judge
    return made


def fill(stores, thread=USER, slot=2):
    for word in ("tx.fields", "tx.first_word"):
        stores.stored(thread, word, slot)


def test_an_owner_byte_comes_behind_a_store_barrier(stores):
    fill(stores)
    stores.release(USER)
    stores.owner_stored(USER, "tx", 2)
    assert stores.judge.fired == [
        ("tx.fields_visible", 2),
        ("tx.first_word_visible", 2),
        ("tx.last_word_visible", 2),
    ]


@pytest.mark.parametrize("release", [(), (OTHER,)])
def test_an_owner_byte_without_one_is_blamed_on_the_driver(stores, release):
    fill(stores)
    for thread in release:
        stores.release(thread)
    with pytest.raises(Deviation) as caught:
        stores.owner_stored(USER, "tx", 2)
    assert caught.value.reason == (
        "no store barrier stands between tx.fields and tx.first_word of slot 2 and its owner byte"
    )
    assert stores.judge.fired == [("tx.last_word_visible", 2)]


def test_barriers_are_about_the_slot_at_hand(stores):
    fill(stores, slot=1)
    stores.owner_stored(USER, "tx", 2)


def test_what_the_specification_forbids_is_blamed_on_the_stores(stores):
    stores.judge.refused.add("tx.owner_visible")
    with pytest.raises(Deviation, match="between the stores of slot 2 and its owner byte"):
        stores.owner_stored(USER, "tx", 2)


LATE = "rx.first_word"


@pytest.mark.parametrize(
    ("doing", "ordered"),
    [
        (lambda stores: None, False),
        (lambda stores: stores.release(USER), False),
        (lambda stores: stores.release_loads(OTHER), False),
        (lambda stores: stores.release_loads(USER), True),
        (lambda stores: stores.fence(USER), True),
    ],
)
def test_loads_of_a_payload_come_before_the_slot_goes(stores, doing, ordered):
    stores.loaded(USER, LATE, 2)
    doing(stores)
    stores.owner_stored(USER, "rx", 1)
    stores.owner_stored(USER, "tx", 2)
    if ordered:
        stores.owner_stored(USER, "rx", 2)
        return
    with pytest.raises(Deviation) as caught:
        stores.owner_stored(USER, "rx", 2)
    assert caught.value.reason == (
        f"the load of {LATE} of slot 2 may be satisfied after its owner byte is visible, where a "
        f"barrier must not let it\n  {LATE_RULES[LATE]} needs one"
    )


@pytest.mark.parametrize(("slot", "takes_over"), [(2, True), (1, False)])
def test_whoever_restores_a_slot_has_its_loads(stores, slot, takes_over):
    stores.loaded(USER, LATE, 2)
    stores.stored(OTHER, "rx.pointer", slot)
    stores.release(OTHER)
    stores.release_loads(OTHER)
    if takes_over:
        stores.owner_stored(OTHER, "rx", 2)
    else:
        with pytest.raises(Deviation):
            stores.owner_stored(OTHER, "rx", 2)


def test_only_restoring_a_slot_takes_its_loads_over(stores):
    stores.loaded(USER, LATE, 2)
    stores.stored(OTHER, "tx.fields", 2)
    stores.release_loads(OTHER)
    with pytest.raises(Deviation):
        stores.owner_stored(OTHER, "rx", 2)


@pytest.mark.parametrize("doing", ["register_read", "release_loads"])
@pytest.mark.parametrize("posted", [True, False])
def test_writes_have_arrived_when_a_read_behind_them_is_answered(stores, doing, posted):
    stores.judge.now["card_bases_posted"] = posted
    getattr(stores, doing)(*([USER] if doing == "release_loads" else []))
    assert stores.judge.fired == [("packet_bases_arrive",)] * posted


def test_behind_a_fence_all_is_visible_and_owners_come_last(stores):
    stores.judge.now["card_bases_posted"] = False
    stores.stored(USER, "rx.pointer", 1)
    stores.release(USER)
    stores.owner_stored(USER, "rx", 1)
    stores.stored(USER, "tx.fields", 3)
    stores.judge.fired.clear()
    stores.fence(USER)
    assert stores.judge.fired == [("tx.fields_visible", 3), ("rx.owner_visible", 1)]
    stores.fence(USER)
    assert len(stores.judge.fired) == 2
    stores.owner_stored(USER, "tx", 3)


def test_what_is_visible_already_is_shown_no_more(stores):
    stores.judge.now["tx_owner_pending"][2] = False
    stores.seen("tx", 2)
    stores.seen("tx", 1)
    assert stores.judge.fired == [("tx.owner_visible", 1)]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_doorbell_shows_the_owners_that_a_barrier_stands_behind(stores, ordered):
    for slot in (3, 1):
        stores.owner_stored(USER, "tx", slot)
    if ordered:
        stores.before_register_write(USER)
    stores.before_register_write(OTHER)
    stores.judge.fired.clear()
    stores.rings(USER, "tx", 2)
    arrives = ("tx.doorbell_arrives",)
    shown = [("tx.owner_visible", 3), arrives, ("tx.owner_visible", 1), arrives]
    assert stores.judge.fired == (shown if ordered else [arrives, arrives])


def test_doorbells_go_round(stores):
    stores.judge.now["tx_doorbells_arrived"] = 3
    stores.rings(USER, "tx", 1)
    assert stores.judge.fired[0] == ("tx.owner_visible", 1)


def test_a_fence_orders_register_writes_too(stores):
    stores.owner_stored(USER, "tx", 3)
    stores.fence(USER)
    stores.judge.now["tx_owner_pending"][3] = True
    stores.judge.fired.clear()
    stores.rings(USER, "tx", 1)
    assert stores.judge.fired == [("tx.owner_visible", 3), ("tx.doorbell_arrives",)]


# Loads that are early


@pytest.fixture
def loads():
    judge = Judged(threads_pc={EVENT_THREAD: Label.TX_SCAN, USER: Label.RX_OWNER, OTHER: 0})
    judge.refused = set(EARLY_RULES.values())
    made = EarlyLoads(judge)
    made.judge = judge
    return made


@pytest.mark.parametrize("word", EARLY_RULES)
@pytest.mark.parametrize("t", [EVENT_THREAD, USER, OTHER])
def test_a_load_may_have_been_satisfied_at_each_moment_since_the_barrier(loads, word, t):
    loads.moment(t)
    loads.judge.refused.clear()
    loads.moment(t)
    if t == EVENT_THREAD or (t == USER and word in {"rx.owner", "rx.header"}):
        with pytest.raises(Deviation) as caught:
            loads.check(t, word, 3)
        assert caught.value.reason == (
            f"thread {t}: the load of {word} of slot 3 may be satisfied ahead of its turn, where "
            f"a barrier must not let it\n  {EARLY_RULES[word]} needs one"
        )
    else:
        loads.check(t, word, 3)


def test_behind_a_barrier_the_moments_before_it_are_over(loads):
    loads.moment(USER)
    loads.judge.refused.clear()
    loads.barrier(OTHER)
    with pytest.raises(Deviation):
        loads.check(USER, "rx.owner", 3)
    loads.barrier(USER)
    loads.check(USER, "rx.owner", 3)


def test_the_barrier_itself_is_such_a_moment(loads):
    loads.barrier(USER)
    with pytest.raises(Deviation):
        loads.check(USER, "rx.owner", 3)


# What the card must leave as it is


class Memory:
    """The rings, as the monitor looks at them."""

    def __init__(self):
        self.owners = {ring: [Owner.DEVICE] * 4 for ring in ("cmd", "tx", "rx")}
        self.there = True

    def __contains__(self, _):
        return self.there

    def owner(self, ring, slot):
        return self.owners[ring][slot]

    def has_completion(self, ring, slot):
        return self.owners[ring][slot] == Owner.HOST

    def header(self, _):
        return Header(1, 2, 3)


@pytest.fixture
def unchanged():
    now = {"card_flags": Flags.CLEAR}
    for ring in ("tx", "rx"):
        now[f"{ring}_owner_pending"] = [False] * 4
        now[f"{ring}_owner_new"] = [False] * 4
        now[f"{ring}_owner"] = [True] * 4
        now[f"{ring}_based"] = True
        now[f"{ring}_dev_i"] = 0
    judge = Judged(**now)
    judge.owed_owners = {}
    memory = Memory()
    return SimpleNamespace(it=Unchanged(judge, memory), judge=judge, now=judge.now, memory=memory)


def test_a_slot_is_the_cards_from_its_hand_over_on(unchanged):
    assert unchanged.it.is_cards("tx", 1) is True
    unchanged.now["tx_owner_pending"][1] = True
    assert unchanged.it.is_cards("tx", 1) is False
    unchanged.now["tx_owner_new"][1] = True
    assert unchanged.it.is_cards("tx", 1) is True
    unchanged.judge.owed_owners = {1: 0}
    assert unchanged.it.is_cards("tx", 1) is False
    assert unchanged.it.is_cards("rx", 1) is True


def test_a_slot_of_the_hosts_stays_the_hosts(unchanged):
    unchanged.it.check_is_hosts("tx", 1)
    unchanged.now["tx_owner"][1] = False
    with pytest.raises(CardDeviation) as caught:
        unchanged.it.check_is_hosts("tx", 1)
    assert caught.value.reason == (
        f"the owner byte of slot 1 of the tx ring became {Owner.DEVICE:#x} while the slot was the "
        "host's"
    )
    unchanged.memory.owners["tx"][1] = Owner.HOST
    unchanged.it.check_is_hosts("tx", 1)


def test_a_header_stays_as_it_was_read(unchanged):
    unchanged.it.check_header(2, Header(1, 2, 3))
    with pytest.raises(CardDeviation) as caught:
        unchanged.it.check_header(2, Header(9, 2, 3))
    assert caught.value.reason == (
        f"the header of receive slot 2 was {Header(9, 2, 3)}, and became {Header(1, 2, 3)} while "
        "the slot was the host's"
    )


@pytest.mark.parametrize("ring", ["tx", "rx"])
@pytest.mark.parametrize("owner", [Owner.HOST, Owner.DEVICE])
def test_nothing_is_written_once_stop_was_answered(unchanged, ring, owner):
    unchanged.it.check_stopped()
    unchanged.memory.owners[ring][3] = owner
    unchanged.now[f"{ring}_owner"][3] = owner == Owner.HOST
    with pytest.raises(CardDeviation) as caught:
        unchanged.it.check_stopped()
    assert (
        caught.value.reason == f"slot 3 of the {ring} ring was written to after STOP was answered"
    )


@pytest.mark.parametrize("change", [{"card_flags": Flags.ERROR}, {"tx_based": False}])
def test_who_did_not_stop_may_have_written(unchanged, change):
    unchanged.memory.owners["tx"][3] = Owner.HOST
    unchanged.now.update(change)
    unchanged.it.check_stopped()


@pytest.mark.parametrize(
    ("back", "first", "wrong"),
    [
        ((), 0, None),
        ((0, 1), 0, None),
        ((1,), 0, (1, 0)),
        ((0, 3), 0, (3, 2)),
        ((2, 3, 0), 2, None),
        ((0,), 2, (0, 3)),
    ],
)
def test_slots_come_back_in_order(unchanged, back, first, wrong):
    unchanged.now["tx_dev_i"] = first
    for slot in back:
        unchanged.memory.owners["tx"][slot] = Owner.HOST
    if wrong is None:
        unchanged.it.check_order("tx")
        return
    with pytest.raises(CardDeviation) as caught:
        unchanged.it.check_order("tx")
    late, early = wrong
    assert caught.value.reason == f"slot {late} of the tx ring came back before slot {early}"


@pytest.mark.parametrize("change", [{"tx_based": False}, {"tx_owner": [True, False, True, True]}])
def test_slots_that_the_card_does_not_have_come_in_no_order(unchanged, change):
    unchanged.memory.owners["tx"][2] = Owner.HOST
    unchanged.now.update(change)
    unchanged.it.check_order("tx")


def test_there_is_no_order_where_there_is_no_ring(unchanged):
    unchanged.memory.owners["tx"][2] = Owner.HOST
    unchanged.memory.there = False
    unchanged.it.check_order("tx")


def test_only_so_many_slots_are_looked_at(unchanged):
    unchanged.judge.spec.scope.ring_size = 64
    for name in ("tx_owner_pending", "tx_owner_new"):
        unchanged.now[name] = [False] * 64
    unchanged.now["tx_owner"] = [True] * 64
    unchanged.memory.owners["tx"] = [Owner.DEVICE] * 64
    unchanged.memory.owners["tx"][16] = Owner.HOST
    unchanged.it.check_order("tx")
    unchanged.memory.owners["tx"][15] = Owner.HOST
    with pytest.raises(CardDeviation):
        unchanged.it.check_order("tx")


# What came of it


@pytest.fixture
def saved(monkeypatch):
    saved = []
    monkeypatch.setattr(verdict, "last_steps", lambda judge, path: f"steps of {judge} on {path}")
    monkeypatch.setattr(verdict, "save", lambda *about: saved.append(about))
    return saved


def mistake():
    raise ValueError("a mistake")


def signal():
    raise KeyboardInterrupt


def within(body, **module):
    """The same function in another module."""
    return FunctionType(body.__code__, {"__builtins__": __builtins__, **module})


def raised(body):
    with pytest.raises(BaseException) as caught:
        body()
    return caught.value


def test_all_is_right_at_first(saved):
    found = Verdict("judge", "path", None)
    assert (found.over, found.told, found.gave_up, found.take_alarm()) == (False, "", "", False)
    assert found.deviation is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Deviation("too early"), "the driver broke the specification: too early"),
        (CardDeviation("too late"), "the card broke the specification: too late"),
        (
            StrayAccessError("byte 3"),
            "the driver broke the specification: no word of the specification: byte 3",
        ),
    ],
)
def test_what_was_wrong_is_told_with_the_last_steps_and_sleepers_are_woken_once(saved, error, told):
    found = Verdict("judge", "path", None)
    assert found.failed(error) is False
    assert found.told == f"{told}\nsteps of judge on path"
    assert (found.over, found.gave_up, saved) == (True, "", [])
    assert found.alarming
    assert found.take_alarm() is True
    assert found.take_alarm() is False


def test_what_was_wrong_is_saved_on_request(saved, tmp_path):
    found, deviation = Verdict("judge", "path", tmp_path), Deviation("too early")
    found.failed(deviation)
    assert saved == [("judge", "path", deviation, tmp_path)]


def test_what_cannot_be_saved_is_told(saved, monkeypatch, tmp_path):
    monkeypatch.setattr(verdict, "save", Mock(side_effect=OSError("no room")))
    found = Verdict("judge", "path", tmp_path)
    found.failed(Deviation("too early"))
    assert found.told.endswith("steps of judge on path\nthe run could not be saved: no room")


@pytest.mark.parametrize(
    ("error", "reason", "signal"),
    [
        (OutOfKeysError("too many filters"), "too many filters", False),
        (
            raised(within(mistake, __name__="monitor.observer")),
            "the monitor itself failed:\n",
            False,
        ),
        (raised(within(mistake)), "the monitor itself failed:\n", False),
        (raised(mistake), "a signal struck while an access was judged", True),
        (
            raised(within(signal, __name__="monitor.observer")),
            "a signal struck while an access was judged",
            True,
        ),
    ],
)
def test_where_nothing_can_be_said_the_monitor_gives_up(saved, error, reason, signal):
    found = Verdict("judge", "path", None)
    assert found.failed(error) is signal
    assert found.gave_up.startswith(reason)
    assert (found.over, found.told, found.alarming) == (True, "", False)
    found.give_up("another reason")
    assert found.gave_up.startswith(reason)


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_a_signal_left_half_done_is_nobodys_fault(saved, signal):
    found, deviation = Verdict("judge", "path", None), Deviation("half of a step")
    deviation.__context__ = signal()
    found.failed(deviation)
    assert (found.gave_up, found.told) == ("a signal struck in the middle of an access", "")


# What is told of a run


@pytest.fixture
def recorded(monkeypatch):
    asked = []

    def record(*about, skip=0):
        asked.append((*about, skip))
        return SimpleNamespace(to_json=lambda: {"title": about[3]})

    monkeypatch.setattr(report, "recorded", record)
    monkeypatch.setattr(report, "ladder", lambda trace, phrases, explain: [phrases, str(explain)])
    return asked


class Kept(list):
    """Steps that are kept, behind others that are forgotten."""

    start = "start"

    def __init__(self, forgotten, steps):
        super().__init__(steps)
        self.forgotten = forgotten

    def __len__(self):
        return self.forgotten + super().__len__()


@pytest.mark.parametrize(("count", "skip"), [(3, 0), (12, 0), (13, 1), (40, 28)])
def test_a_message_tells_the_last_steps(recorded, count, skip):
    path = Kept(5, ["a step"] * count)
    judge = Mock(phrases="phrases")
    assert report.last_steps(judge, path) == "phrases\nFalse"
    assert recorded == [(judge.stepper, "start", path, "the last steps", "", skip)]


def test_a_file_has_all_that_are_kept(recorded, tmp_path):
    path, judge = Kept(1500, ["a step"] * 40), Mock()
    for _ in range(2):
        report.save(judge, path, CardDeviation("too late"), tmp_path / "runs" / "run.json")
    title = "a monitored run, steps 1,501 to 1,540"
    why = "the card broke the specification: too late"
    assert recorded[0] == (judge.stepper, "start", path, title, why, 0)
    text = (tmp_path / "runs" / "run.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text) == {"title": title}


# The monitor as the driver finds it


def test_a_monitor_counts_accesses_and_tells_what_it_found(saved):
    it = watch(Settings(ring_shift=1), Monitoring())
    assert (it.accesses, it.finding, it.gave_up) == (0, "", "")
    it.observer.judge.accesses.update(load=2, store=3)
    it.observer.verdict.give_up("enough")
    it.observer.verdict.failed(Deviation("too early"))
    assert (it.accesses, it.gave_up) == (5, "enough")
    assert it.finding.startswith("the driver broke the specification: too early")
    device = it.device(Mock(acquire="acquire"))
    assert it.observer._rings.acquire == "acquire"
    assert device.allocate(4096, Purpose.TRANSMIT_RING).freed is False
