"""Calls that are judged: what the specification begins with, and how each may end."""

import contextlib
import threading
from unittest.mock import Mock

import pytest

from impl.controller import Wait
from impl.errors import (
    CallInterruptedError,
    CardError,
    CardFailedError,
    ClosedError,
    FilterTableFullError,
    NoSuchFilterError,
    SpecificationError,
    WaitTimeoutError,
    WouldBlockError,
)
from impl.packet import Header, Outgoing
from judge.judge import Deviation
from model.layout import Command
from model.state import EVENT_THREAD, FATAL_THREAD, UNICAST, Label, Result
from monitor.callers import Callers
from monitor.calls import Calls, CallUnderWay, WatchedController, WatchedLifecycle

USER = 5
EMPTY, FULL = Outgoing(1, (), 0), Outgoing(1, (b"abc",), 3)


class CameError(Exception):
    """What a signal handler raises."""


# How a call may end


class Judged:
    """Stands for the observer of a driver. All of it may be set.

    Attributes:
        found: What judging raised.
        gave_up: Why nothing is judged any more.
        ended: Who was said to have ended, and who to hold a slot from now on.
        alarms: How often sleepers were looked after.
    """

    def __init__(self):
        self.mutex = threading.RLock()
        self.found = self.gave_up = None
        self.ended = []
        self.alarms = 0
        self.began = True
        self.pc, self.result, self.handed = Label.IDLE, Result.OK, {USER: 1}
        self.struck = False
        self.contents = Mock(packets={})
        self.callers = Mock()
        self.callers.begins.return_value = USER
        self.callers.acts_for_holder.return_value = USER
        self.callers.was_struck.side_effect = lambda t: t == USER and self.struck
        self.callers.ends = self.ended.append
        self.callers.pauses.side_effect = lambda: self.ended.append("holds a slot")
        self.accesses = Mock()
        self.accesses.began.side_effect = lambda t: t == USER and self.began
        self.judge = Mock(now={"threads_handed": self.handed})
        self.judge.pc.side_effect = lambda _: self.pc
        self.judge.result.side_effect = lambda _: self.result
        self.judge.who.return_value = "user 3"
        self.judge.deviation = Deviation
        self.verdict = Mock(told="")
        self.verdict.give_up.side_effect = lambda reason: setattr(self, "gave_up", reason)
        self.calls = Calls(self, Mock(alarm=self.alarm))

    def alarm(self):
        self.alarms += 1

    def tell(self, what, *about):
        assert not self.ended, "a call is judged before its thread is another's"
        try:
            what(*about)
        except Deviation as deviation:
            self.found = deviation.reason

    def call(self, kind="receive", *, result=None, error=None, goes_on=False):
        with contextlib.suppress(BaseException), self.calls.begun(kind, "begin_read") as call:
            call.result = result
            call.goes_on = goes_on
            if error is not None:
                raise error
        return self.found


@pytest.fixture
def judged():
    return Judged()


RIGHT = [
    (Result.OK, None),
    (Result.EIO, CardFailedError("")),
    (Result.EIO, CardError("")),
    (Result.EAGAIN, WouldBlockError("")),
    (Result.EINTR, WaitTimeoutError("")),
    (Result.EINTR, ClosedError("")),
    (Result.EINTR, CallInterruptedError("")),
    (Result.ENOSPC, FilterTableFullError("")),
    (Result.ENOENT, NoSuchFilterError("")),
    (Result.EBADF, ClosedError("")),
]


@pytest.mark.parametrize("outcome", [result for result in Result if result is not Result.NONE])
@pytest.mark.parametrize("error", [None, *(error for _, error in RIGHT if error)], ids=repr)
def test_a_call_ends_as_the_specification_says(judged, outcome, error):
    judged.result = outcome
    told = judged.call(error=error)
    if any(outcome is item and type(error) is type(other) for item, other in RIGHT):
        assert told is None
    else:
        assert told == (
            f"user 3: receive ended with {error or None!r}, and the specification says "
            f"{outcome.name}"
        )
    assert judged.ended == [USER]


@pytest.mark.parametrize("outcome", [Result.OK, Result.EAGAIN])
@pytest.mark.parametrize(("handed", "right"), [(2, True), (3, False)])
def test_a_call_that_sends_says_how_many_were_handed_over(judged, outcome, handed, right):
    judged.result, judged.handed[USER] = outcome, handed
    told = judged.call("send", result=2)
    assert (told is None) is right
    if not right:
        name = outcome.name
        assert told == f"user 3: send ended with 2, and the specification says {name}"


def test_none_handed_over_is_an_error(judged):
    judged.result, judged.handed[USER] = Result.EAGAIN, 0
    assert "ended with 0" in judged.call("send", result=0)


def test_only_calls_that_send_hand_a_part_over(judged):
    judged.result, judged.handed[USER] = Result.EAGAIN, 2
    assert "ended with 2" in judged.call("receive", result=2)


@pytest.mark.parametrize("kind", ["close", "receive"])
def test_a_close_may_find_the_card_closed(judged, kind):
    told = judged.call(kind, error=ClosedError(""))
    assert (told is None) is (kind == "close")


def test_a_close_that_ends_otherwise_is_wrong(judged):
    assert judged.call("close", error=CardError("")) is not None


@pytest.mark.parametrize("error", [CameError(), KeyboardInterrupt()])
@pytest.mark.parametrize("struck", [True, False])
@pytest.mark.parametrize("outcome", [Result.OK, Result.EINTR])
def test_a_signal_may_raise_anything_where_it_struck(judged, error, struck, outcome):
    judged.struck, judged.result = struck, outcome
    right = struck or isinstance(error, KeyboardInterrupt)
    assert (judged.call(error=error) is None) is right


def test_a_call_that_ends_before_it_began_ends_with_an_error(judged):
    judged.began = False
    assert judged.call() == "receive ended before it began"
    judged.found = None
    judged.ended.clear()
    assert judged.call(error=ClosedError("")) is None


def test_a_call_that_ends_in_the_middle_is_wrong(judged):
    judged.pc = Label.TX_WAIT
    told = "user 3: receive ended ({}), and the specification is at TX_WAIT"
    assert judged.call(result=7) == told.format("7")
    judged.ended.clear()
    assert judged.call(error=ClosedError("over")) == told.format(repr(ClosedError("over")))
    assert judged.gave_up is None


@pytest.mark.parametrize(
    ("error", "struck", "gives_up"),
    [
        (CameError("it came"), True, True),
        (KeyboardInterrupt(), False, True),
        (CameError("it came"), False, False),
        (ClosedError(""), True, False),
    ],
)
def test_a_signal_in_the_middle_is_nothing_to_judge(judged, error, struck, gives_up):
    judged.pc, judged.struck = Label.TX_WAIT, struck
    told = judged.call(error=error)
    if gives_up:
        assert told is None
        assert judged.gave_up == f"a signal struck in the middle of a call: {error!r}"
    else:
        assert told is not None
        assert judged.gave_up is None


# When a call begins, goes on, and ends


def test_a_call_begins_with_what_it_sends(judged):
    with judged.calls.begun("send", "begin_write", 1, 0, 2, packets=(EMPTY, FULL)) as call:
        assert (call.kind, call.thread, call.result, call.goes_on) == ("send", USER, None, False)
        call.result = 1
    judged.callers.begins.assert_called_once_with((0, 3), "begin_write", 1, 0, 2, heedless=False)
    assert judged.contents.packets == {USER: (EMPTY, FULL)}
    assert judged.alarms == 1


@pytest.mark.parametrize(
    ("rule", "heedless"), [("begin_open", True), ("begin_close", True), ("begin_read", False)]
)
def test_opens_and_closes_go_on_whatever_is_found(judged, rule, heedless):
    with judged.calls.begun("call", rule):
        pass
    assert judged.callers.begins.call_args.kwargs == {"heedless": heedless}


def test_a_call_that_is_not_judged_is_made_all_the_same(judged):
    judged.callers.begins.return_value = None
    with judged.calls.begun("send", "begin_write", packets=(FULL,)) as call:
        assert call.thread is None
    assert judged.contents.packets == {}
    assert judged.ended == []
    with pytest.raises(CameError), judged.calls.begun("send", "begin_write"):
        raise CameError


def test_a_call_that_holds_a_slot_goes_on(judged):
    judged.pc = Label.RX_POINTER
    assert judged.call(goes_on=True) is None
    assert judged.ended == ["holds a slot"]


def test_a_call_that_would_hold_a_slot_and_fails_ends(judged):
    judged.result = Result.EAGAIN
    assert judged.call(goes_on=True, error=WouldBlockError("")) is None
    assert judged.ended == [USER]


def test_what_a_call_raises_is_raised(judged):
    judged.result = Result.EAGAIN
    with pytest.raises(WouldBlockError), judged.calls.begun("receive", "begin_read"):
        raise WouldBlockError("")


def test_no_call_begins_where_something_was_wrong(judged):
    judged.verdict.told = "all that was wrong"
    with pytest.raises(SpecificationError, match="all that was wrong"):
        judged.calls.begun("receive", "begin_read").__enter__()
    judged.callers.begins.assert_not_called()


def test_a_call_in_which_it_is_found_raises_it(judged):
    judged.result = Result.EAGAIN
    error = WouldBlockError("")

    @judged.calls.begun("receive", "begin_read")
    def call():
        judged.verdict.told = "all that was wrong"
        raise error

    with pytest.raises(SpecificationError, match="all that was wrong") as caught:
        call()
    assert caught.value.__cause__ is error
    assert judged.ended == [USER]


def test_a_close_goes_on_and_raises_it_unless_it_was_told_before(judged):
    judged.verdict.told = "all that was wrong"
    done = []
    with (
        pytest.raises(SpecificationError),
        judged.calls.begun("close", "begin_close", closes=True),
    ):
        done.append("first")
    judged.ended.clear()
    with judged.calls.begun("close", "begin_close", closes=True):
        done.append("second")
    assert done == ["first", "second"]


def test_the_end_of_a_view_ends_the_call_that_took_it(judged):
    judged.verdict.told = "all that was wrong"
    with pytest.raises(SpecificationError), judged.calls.resumed(3) as call:
        assert (call.kind, call.thread) == ("receive", USER)
    judged.callers.acts_for_holder.assert_called_once_with(3)
    assert judged.ended == [USER]
    judged.ended.clear()
    with judged.calls.resumed(3):
        pass


# What each call of the driver is to the specification


class Begun:
    """Stands for `Calls`: notes which calls begin, and how they end.

    Attributes:
        log: Kind, rule, parameters and options of each that began, and the slots of the resumed.
        calls: Those calls.
        wrong: What is raised at the end of one.
    """

    def __init__(self, observer=None):
        self.log = []
        self.calls = []
        self.wrong = None
        self.observer = observer

    @contextlib.contextmanager
    def begun(self, kind, rule, *parameters, **options):
        self.log.append((kind, rule, *parameters, options))
        self.calls.append(CallUnderWay(kind, USER))
        yield self.calls[-1]
        if self.wrong is not None:
            raise self.wrong

    @contextlib.contextmanager
    def resumed(self, slot):
        self.log.append(slot)
        yield


PATIENT, HASTY = Wait(), Wait(blocking=False)


@pytest.mark.parametrize(
    ("batch", "wait", "parameters"),
    [([EMPTY], PATIENT, (1, 0, 0)), ([FULL, EMPTY, EMPTY], HASTY, (0, 1, 2))],
)
def test_a_send(batch, wait, parameters):
    begun, inner = Begun(), Mock(send=Mock(return_value=len(batch)))
    assert WatchedController(inner, begun).send(batch, wait) == len(batch)
    inner.send.assert_called_once_with(batch, wait)
    assert begun.log == [("send", "begin_write", *parameters, {"packets": batch})]
    assert begun.calls[0].result == len(batch)


@pytest.mark.parametrize(("command", "removes"), [(Command.ADDFILT, 0), (Command.RMFILT, 1)])
def test_a_change_of_filters(command, removes):
    observer = Mock(mutex=threading.RLock())
    observer.tell = lambda what: what()
    observer.filters.want.return_value = 4
    begun, inner = Begun(observer), Mock()

    def change(*_):
        observer.filters.want.assert_called_once_with(1, 2)
        observer.filters.forgo.assert_not_called()

    inner.change_filter.side_effect = change
    WatchedController(inner, begun).change_filter(command, 1, 2, PATIENT)
    inner.change_filter.assert_called_once_with(command, 1, 2, PATIENT)
    observer.filters.forgo.assert_called_once_with(4)
    assert begun.log == [("filter", "begin_filter", removes, 4, {})]


def test_a_change_of_filters_that_is_not_judged():
    observer = Mock(mutex=threading.RLock(), tell=lambda _: None)
    begun = Begun(observer)
    WatchedController(Mock(), begun).change_filter(Command.ADDFILT, 1, 2, PATIENT)
    assert begun.log == [("filter", "begin_filter", 0, UNICAST, {})]
    observer.filters.forgo.assert_not_called()


class Arriving:
    """A controller with some packets, which it gives away one by one."""

    def __init__(self, count):
        self.count = count
        self.waits = []

    def receive_packets(self, packets, most, wait):
        assert most == 1
        self.waits.append(wait)
        if not self.count:
            raise WouldBlockError("")
        self.count -= 1
        packets.append("packet")


ONE_THAT_WAITS = ("receive", "begin_read", 0, 0, {})
ONE_THAT_DOES_NOT = ("receive", "begin_read", 1, 0, {})


@pytest.mark.parametrize(("there", "most", "taken"), [(5, 3, 3), (2, 3, 2), (1, 1, 1)])
def test_each_packet_of_several_is_taken_by_a_call_of_its_own(there, most, taken):
    begun, inner, packets = Begun(), Arriving(there), []
    WatchedController(inner, begun).receive_packets(packets, most, PATIENT)
    assert len(packets) == taken
    more = min(there + 1, most) - 1
    assert begun.log == [ONE_THAT_WAITS] + [ONE_THAT_DOES_NOT] * more
    assert inner.waits == [PATIENT] + [HASTY] * more


def test_where_no_packet_waits_at_all_the_call_says_so():
    begun = Begun()
    with pytest.raises(WouldBlockError):
        WatchedController(Arriving(0), begun).receive_packets([], 3, HASTY)
    assert begun.log == [ONE_THAT_DOES_NOT]


@pytest.mark.parametrize(
    ("wait", "begins"), [(PATIENT, ONE_THAT_WAITS), (HASTY, ONE_THAT_DOES_NOT)]
)
def test_a_packet_that_is_lent_keeps_its_call(wait, begins):
    begun, taken = Begun(), (3, Header(1, 2, 3))
    inner = Mock(receive_packet=Mock(return_value=taken))
    controller = WatchedController(inner, begun)
    assert controller.receive_packet(wait) == taken
    inner.receive_packet.assert_called_once_with(wait)
    (call,) = begun.calls
    assert (call.result, call.goes_on) == (taken, True)
    controller.repost(3)
    inner.repost.assert_called_once_with(3)
    assert begun.log == [begins, 3]


@pytest.mark.parametrize("taken", [True, False])
def test_a_packet_that_nobody_gets_goes_back(taken):
    begun, inner = Begun(), Mock()
    if taken:
        inner.receive_packet.return_value = 3, Header(1, 2, 3)
        begun.wrong = SpecificationError("all that was wrong")
    else:
        inner.receive_packet.side_effect = SpecificationError("all that was wrong")
    with pytest.raises(SpecificationError):
        WatchedController(inner, begun).receive_packet(PATIENT)
    assert inner.repost.call_args_list == ([((3,),)] if taken else [])


@pytest.mark.parametrize(("wait", "hasty"), [(PATIENT, 0), (HASTY, 1)])
def test_a_peek(wait, hasty):
    begun, header = Begun(), Header(1, 2, 3)
    inner = Mock(peek=Mock(return_value=header))
    assert WatchedController(inner, begun).peek(wait) is header
    inner.peek.assert_called_once_with(wait)
    assert begun.log == [("poll", "begin_read", hasty, 1, {})]
    assert begun.calls[0].result is header


def test_what_is_no_call_is_left_as_it_is():
    inner = Mock()
    assert WatchedController(inner, Begun()).info is inner.info
    assert WatchedLifecycle(inner, Begun()).handles is inner.handles


@pytest.mark.parametrize("wrong", [None, SpecificationError("all that was wrong")])
def test_an_open_in_which_something_is_wrong_is_closed_again(wrong):
    begun, inner = Begun(), Mock()
    begun.wrong = wrong
    lifecycle = WatchedLifecycle(inner, begun)
    with pytest.raises(SpecificationError) if wrong else contextlib.nullcontext():
        lifecycle.open(3.0)
    inner.open.assert_called_once_with(3.0)
    assert inner.close.call_args_list == ([((),)] if wrong else [])
    assert begun.log == [("open", "begin_open", {})]


def test_an_open_that_fails_is_not_closed():
    inner = Mock()
    inner.open.side_effect = SpecificationError("all that was wrong")
    with pytest.raises(SpecificationError):
        WatchedLifecycle(inner, Begun()).open()
    inner.open.assert_called_once_with(None)
    inner.close.assert_not_called()


def test_a_close():
    begun, inner = Begun(), Mock()
    WatchedLifecycle(inner, begun).close("handle")
    inner.close.assert_called_once_with("handle")
    assert begun.log == [("close", "begin_close", {"closes": True})]


# Which thread of the specification a caller is


@pytest.fixture
def verdict():
    verdict = Mock(over=False, deviation=None, gave_up=None)
    verdict.give_up.side_effect = lambda reason: setattr(verdict, "gave_up", reason)
    return verdict


@pytest.fixture
def callers(verdict):
    """Two calls may be under way."""
    judge = Mock(now={"rx_holder": [9, 7]})
    judge.spec.scope.users = 2
    return Callers(judge, Mock(), verdict)


def test_users_are_the_threads_behind_the_handlers_and_are_used_again(callers, verdict):
    assert callers.present() is None
    assert callers.begins((1,), "begin_write", 6) == callers.present() == callers.me() == 2
    callers._accesses.begin.assert_called_once_with(2, (1,), "begin_write", 2, 6)
    assert callers.begins((), "begin_read") == 3
    callers.ends(2)
    assert callers.present() is None
    assert callers.begins((), "begin_read") == 2
    assert verdict.gave_up is None
    assert callers.begins((), "begin_read") is None
    assert verdict.gave_up == "more than 2 calls are under way at once"


def test_nobody_begins_where_nothing_is_judged(callers, verdict):
    verdict.over = True
    assert callers.begins((), "begin_read") is None
    assert callers.acts_for_holder(1) is None
    assert callers.present() is None


def test_outside_of_calls_nothing_is_accessed(callers):
    with pytest.raises(Deviation) as caught:
        callers.me()
    assert caught.value.reason == "an access to the card outside of any call"
    callers.struck(CameError())


@pytest.mark.parametrize(("vector", "thread"), [(0, EVENT_THREAD), (1, FATAL_THREAD)])
def test_handlers_are_the_first_two(callers, vector, thread):
    callers.serves(vector)
    assert callers.me() == thread


def test_whoever_gives_a_slot_back_is_who_took_the_packet(callers):
    assert callers.acts_for_holder(1) == callers.me() == 7
    callers.pauses()
    assert callers.present() is None
    callers.pauses()


def test_each_thread_is_its_own(callers):
    callers.begins((), "begin_read")
    found = []
    other = threading.Thread(target=lambda: found.append(callers.present()))
    other.start()
    other.join()
    assert found == [None]


def test_a_signal_is_that_of_the_call_it_struck(callers):
    t = callers.begins((), "begin_read")
    assert not callers.was_struck(t)
    callers.struck(CameError())
    assert callers.was_struck(t)
    callers.ends(t)
    assert callers.begins((), "begin_read") == t
    assert not callers.was_struck(t)


@pytest.mark.parametrize("heedless", [True, False])
def test_who_must_not_sleep_where_something_was_wrong(callers, verdict, heedless):
    t = callers.begins((), "begin_close", heedless=heedless)
    assert not callers.refuses_sleep()
    verdict.deviation = Deviation("something")
    assert callers.refuses_sleep() is not heedless
    callers.ends(t)
    assert not callers.refuses_sleep()
    callers.begins((), "begin_read")
    assert callers.refuses_sleep()
