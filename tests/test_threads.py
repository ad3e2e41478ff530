"""The lock, sleepers and signals over real threads: whatever ends a sleep, the lock is held."""

import errno
import os
import select
import threading
from collections import deque
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from impl import threads
from impl.datapath.loader import KernelError, load
from impl.runtime import CancelledError, ExpiredError, WaitQueue
from impl.threads import FairLock, ThreadRuntime
from tests.background import PATIENCE, Background, until
from tests.scripts import printed_by

ROOT = Path(__file__).resolve().parent.parent
CHANNELS = st.sampled_from(list(WaitQueue))


class Handle:
    """Something to sleep on behalf of."""


# The lock


def locks():
    """What makes a lock: in Python, and in C where it is built."""
    yield pytest.param(FairLock, id="Python")
    try:
        yield pytest.param(load("_real").Lock, id="kernel")
    except KernelError:
        yield pytest.param(None, id="kernel", marks=pytest.mark.skip("the C kernel is not built"))


@pytest.fixture(params=locks())
def make_lock(request):
    return request.param


def waiting(lock):
    """How many are in line."""
    return lock.in_line if isinstance(lock.in_line, int) else len(lock.in_line)


@given(count=st.integers(1, 8))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_threads_get_the_lock_in_the_order_in_which_they_ask(make_lock, count):
    lock, order, standing = make_lock(), [], []
    lock.acquire()

    def ask(number):
        lock.acquire()
        order.append(number)
        lock.release()

    for number in range(count):
        standing.append(Background(lambda number=number: ask(number)))
        until(lambda number=number: waiting(lock) == number + 1)
    lock.release()
    assert [thread.join().error for thread in standing] == [None] * count
    assert order == list(range(count))


def test_a_thread_that_comes_back_at_once_waits_behind_the_others(make_lock):
    lock, order = make_lock(), []
    lock.acquire()

    def ask():
        lock.acquire()
        order.append("other")
        lock.release()

    other = Background(ask)
    until(lambda: waiting(lock))
    lock.release()
    lock.acquire()
    order.append("again")
    lock.release()
    assert other.join().error is None
    assert order == ["other", "again"]


def test_a_lock_that_nobody_waits_for_is_kept_when_it_is_given_up_for_a_while():
    runtime = ThreadRuntime()
    runtime.lock()
    runtime.unlock_soon()
    assert held(runtime)
    assert not runtime.relock()
    runtime.unlock()
    assert not held(runtime)
    runtime.close()


def test_those_who_wait_for_the_lock_have_it_before_it_is_taken_again():
    runtime, order = ThreadRuntime(), []
    runtime.lock()

    def ask(number):
        runtime.lock()
        order.append(number)
        runtime.unlock()

    standing = []
    runtime.unlock_soon()
    for number in range(3):
        standing.append(Background(lambda number=number: ask(number)))
        until(lambda number=number: len(runtime._lock.in_line) == number + 1)
    assert runtime.relock()
    order.append("again")
    runtime.unlock()
    assert [thread.join().error for thread in standing] == [None] * 3
    assert order == [0, 1, 2, "again"]
    runtime.close()


def test_one_thread_at_a_time_has_the_lock(make_lock):
    lock, inside, most = make_lock(), [0], [0]

    def work():
        for _ in range(300):
            lock.acquire()
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1
            lock.release()

    assert [thread.join().error for thread in [Background(work) for _ in range(6)]] == [None] * 6
    assert most == [1]
    assert not waiting(lock)
    # Nobody has it.
    lock.acquire()


def test_a_lock_that_nobody_has_cannot_be_given_back(make_lock):
    lock = make_lock()
    with pytest.raises(RuntimeError):
        lock.release()
    assert Background(lock.acquire).join().error is None


class StaleLine(deque):
    """The line as a thread finds it that looks just before somebody else comes into it."""

    look, comes = 0, None

    def __bool__(self):
        seen = len(self) > 0
        self.look -= 1
        if self.look == 0:
            self.comes()
        return seen


@pytest.mark.parametrize("look", [1, 2])
def test_who_comes_while_the_lock_is_given_back_gets_it(look):
    lock, coming = FairLock(), []
    got = threading.Event()

    def ask():
        lock.acquire()
        got.set()
        lock.release()

    def comes():
        coming.append(Background(ask))
        until(lambda: got.is_set() or len(lock.in_line) > 0)

    lock.in_line = StaleLine()
    lock.acquire()
    lock.in_line.look, lock.in_line.comes = look, comes
    lock.release()
    (thread,) = coming
    assert thread.join().error is None
    assert not lock.taken


def test_who_finds_the_lock_taken_that_is_given_back_before_it_is_in_line_gets_it():
    class LateLine(deque):
        def append(self, turn):
            lock.release()
            super().append(turn)

    lock = FairLock()
    lock.in_line = LateLine()
    lock.acquire()
    assert Background(lock.acquire).join().error is None
    lock.release()
    assert not lock.taken


def test_a_turn_in_line_is_nobody_s_before_it_is_given_to_who_stands_there():
    class Line(deque):
        def append(self, turn):
            assert turn.locked()
            super().append(turn)

    lock = FairLock()
    lock.in_line = Line()
    lock.acquire()
    other = Background(lock.acquire)
    until(lambda: lock.in_line)
    lock.release()
    assert other.join().error is None
    lock.release()


def test_who_gives_the_lock_back_does_not_wait_for_who_takes_it_meanwhile():
    class BusyLine(deque):
        look = 0

        def __bool__(self):
            self.look -= 1
            if self.look == 0:
                Background(lock.acquire).join()
                others.append(Background(lock.acquire))
                until(lambda: len(self) > 0)
            return len(self) > 0

    lock, others = FairLock(), []
    lock.in_line = BusyLine()
    lock.acquire()
    lock.in_line.look = 2
    assert Background(lock.release).join().error is None
    lock.release()
    assert others[0].join().error is None
    lock.release()


# Sleeping


@pytest.fixture
def runtime():
    runtime = ThreadRuntime()
    yield runtime
    runtime.close()


def held(runtime):
    """Whether somebody has the lock; in these tests nobody else would."""
    return runtime._lock.taken


def sleeping(runtime):
    """How many sleep."""
    return sum(map(len, runtime._sleepers.values()))


class Sleeper:
    """A thread that sleeps once, and says what became of it."""

    def __init__(self, runtime, queue=WaitQueue.READERS, deadline=None, handle=None):
        self.held = None

        def body():
            runtime.lock()
            try:
                runtime.sleep(queue, deadline, handle)
            finally:
                self.held = held(runtime)
                runtime.unlock()

        before = sleeping(runtime)
        self.thread = Background(body)
        until(lambda: sleeping(runtime) > before)

    def join(self):
        error = self.thread.join().error
        assert self.held, "a sleep returned without the lock"
        return error


@given(sleepers=st.lists(CHANNELS, min_size=1, max_size=6), woken=CHANNELS)
@settings(max_examples=30)
def test_wake_ends_the_sleeps_on_its_channel_and_no_others(sleepers, woken):
    runtime = ThreadRuntime()
    threads_ = [(queue, Sleeper(runtime, queue)) for queue in sleepers]
    runtime.lock()
    runtime.wake(woken)
    runtime.unlock()
    for queue, sleeper in threads_:
        if queue is woken:
            assert sleeper.join() is None
    runtime.lock()
    assert sleeping(runtime) == sum(queue is not woken for queue in sleepers)
    for queue in WaitQueue:
        runtime.wake(queue)
    runtime.unlock()
    assert [sleeper.join() for _, sleeper in threads_] == [None] * len(threads_)
    assert not held(runtime)
    runtime.close()


def test_who_goes_to_sleep_is_known_as_asleep_before_the_lock_is_given_up(runtime):
    class Known(list):
        def append(self, sleeper):
            assert held(runtime)
            super().append(sleeper)

    runtime._sleepers[WaitQueue.READERS] = Known()
    sleeper = Sleeper(runtime)
    runtime.lock()
    runtime.wake(WaitQueue.READERS)
    runtime.unlock()
    assert sleeper.join() is None


def test_words_of_the_class_do_what_those_of_its_objects_do(runtime):
    runtime.lock()
    ThreadRuntime.unlock(runtime)
    assert not held(runtime)
    descriptor = runtime.fileno()
    for yes in (True, False):
        ThreadRuntime.set_readable(runtime, yes)
        ThreadRuntime.set_writable(runtime, yes)
        assert select.select([descriptor], [descriptor], [], 0)[:2] == (
            [descriptor] * yes,
            [descriptor] * yes,
        )
    os.close(descriptor)


@given(owners=st.lists(st.integers(0, 2), min_size=1, max_size=6), cancelled=st.integers(0, 2))
@settings(max_examples=30)
def test_cancel_ends_the_sleeps_of_its_handle_and_no_others(owners, cancelled):
    runtime = ThreadRuntime()
    handles = [Handle(), Handle(), None]
    sleepers = [(owner, Sleeper(runtime, handle=handles[owner])) for owner in owners]
    runtime.lock()
    runtime.cancel(handles[cancelled])
    runtime.unlock()
    ended = [owner for owner in owners if owner == cancelled and handles[owner] is not None]
    assert sleeping(runtime) == len(owners) - len(ended)
    runtime.lock()
    runtime.wake(WaitQueue.READERS)
    runtime.unlock()
    for owner, sleeper in sleepers:
        if owner in ended:
            assert isinstance(sleeper.join(), CancelledError)
        else:
            assert sleeper.join() is None
    runtime.close()


def test_whoever_was_woken_may_be_woken_again_before_it_has_the_lock(runtime):
    handle = Handle()
    sleeper = Sleeper(runtime, handle=handle)
    runtime.lock()
    runtime.wake(WaitQueue.READERS)
    runtime.wake(WaitQueue.READERS)
    runtime.cancel(handle)
    runtime.unlock()
    assert sleeper.join() is None


def test_a_handle_that_was_cancelled_never_sleeps_again(runtime):
    handle = Handle()
    runtime.lock()
    runtime.cancel(handle)
    with pytest.raises(CancelledError):
        runtime.sleep(WaitQueue.READERS, handle=handle)
    assert held(runtime)


def test_a_sleep_ends_at_its_deadline(runtime):
    runtime.lock()
    deadline = runtime.now() + 0.02
    with pytest.raises(ExpiredError):
        runtime.sleep(WaitQueue.READERS, deadline)
    assert runtime.now() >= deadline
    assert held(runtime)
    assert not sleeping(runtime)


@given(st.floats(max_value=0))
def test_a_deadline_in_the_past_is_no_sleep(late):
    runtime = ThreadRuntime()
    runtime.lock()
    with pytest.raises(ExpiredError):
        runtime.sleep(WaitQueue.READERS, runtime.now() + late)
    assert held(runtime)
    runtime.close()


def test_without_a_deadline_a_sleep_has_no_end_of_its_own(runtime, monkeypatch):
    asked = []
    monkeypatch.setattr(threads, "_alarmed", lambda _, timeout: asked.append(timeout) or True)
    runtime.lock()
    runtime.sleep(WaitQueue.READERS)
    runtime.unlock()
    assert asked == [-1]


@pytest.mark.parametrize("deadline", [1e12, 1e300, float("inf")])
def test_a_deadline_may_be_as_far_away_as_one_likes(runtime, deadline):
    sleeper = Sleeper(runtime, deadline=deadline)
    runtime.lock()
    runtime.wake(WaitQueue.READERS)
    runtime.unlock()
    assert sleeper.join() is None


def test_who_is_woken_on_the_way_from_the_deadline_to_the_lock_was_woken(runtime):
    sleeper = Sleeper(runtime, deadline=runtime.now() + 0.05)
    runtime.lock()
    until(lambda: runtime._lock.in_line)  # the deadline is over, and the lock is ours
    runtime.wake(WaitQueue.READERS)
    runtime.unlock()
    assert sleeper.join() is None


def test_who_is_cancelled_on_the_way_from_the_deadline_to_the_lock_was_cancelled(runtime):
    handle = Handle()
    sleeper = Sleeper(runtime, deadline=runtime.now() + 0.05, handle=handle)
    runtime.lock()
    until(lambda: runtime._lock.in_line)
    runtime.cancel(handle)
    runtime.unlock()
    assert isinstance(sleeper.join(), CancelledError)


def test_a_wake_finds_whoever_gave_up_the_lock_to_sleep(runtime):
    """Giving up the lock and sleeping are one step: no wake falls in between."""
    rounds, state = 500, {"ball": 0}

    def play(side):
        for _ in range(rounds):
            runtime.lock()
            while state["ball"] % 2 != side:
                runtime.sleep(WaitQueue.LIFE)
            state["ball"] += 1
            runtime.wake(WaitQueue.LIFE)
            runtime.unlock()

    players = [Background(lambda side=side: play(side)) for side in (0, 1)]
    assert [player.join().error for player in players] == [None, None]
    assert state["ball"] == 2 * rounds


def test_threads_of_the_runtime_have_names_and_end_before_it_is_closed():
    runtime, go = ThreadRuntime(), threading.Event()
    names, ended = [], []

    def body():
        # A program that forgets to close a card ends all the same.
        assert threading.current_thread().daemon
        names.append(threading.current_thread().name)
        go.wait(PATIENCE)
        ended.append(True)

    runtime.start("events", body)
    closing = Background(runtime.close)
    assert not ended
    go.set()
    assert closing.join().error is None
    assert (names, ended) == (["duct events"], [True])


def test_to_close_is_to_wait_for_the_threads():
    runtime, closed, seen = ThreadRuntime(), threading.Event(), []
    runtime.start("look", lambda: seen.append(closed.wait(0.1)))
    runtime.close()
    closed.set()
    until(lambda: seen)
    assert seen == [False]


def test_a_thread_that_cannot_be_started_is_a_want_of_memory(runtime, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError))
    with pytest.raises(OSError, match="the thread for look cannot be started") as caught:
        runtime.start("look", print)
    assert caught.value.errno == errno.ENOMEM


def test_the_clock_never_goes_back(runtime):
    times = [runtime.now() for _ in range(1000)]
    assert times == sorted(times)
    before = runtime.now()
    runtime.pause(0.01)
    assert runtime.now() >= before + 0.01


def test_what_is_shown_can_be_polled(runtime):
    descriptor = runtime.fileno()
    runtime.set_readable(True)
    runtime.set_writable(True)
    assert select.select([descriptor], [descriptor], [], 0) == ([descriptor], [descriptor], [])
    os.close(descriptor)


# Real signals


def run_script(script):
    """What a program prints; it begins with a runtime and somebody who interrupts it."""
    prelude = """
        import os, signal, threading, time
        from impl.runtime import WaitQueue, ExpiredError
        from impl.shield import HANDLERS, shielded
        from impl.threads import ThreadRuntime

        runtime = ThreadRuntime()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        HANDLERS.hold("somebody")

        def interrupt_when(condition):
            def body():
                while not condition():
                    time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGINT)
            threading.Thread(target=body, daemon=True).start()

        def others_work():
            def body():
                runtime.lock()
                runtime.unlock()
            thread = threading.Thread(target=body, daemon=True)
            thread.start()
            thread.join(20)
            print("others work" if not thread.is_alive() else "others hang")
    """
    return printed_by(script, prelude)


def test_a_signal_ends_a_sleep_with_the_lock_held():
    assert run_script("""
        runtime.lock()
        interrupt_when(lambda: runtime._sleepers[WaitQueue.READERS])
        try:
            runtime.sleep(WaitQueue.READERS)
        except KeyboardInterrupt:
            print("interrupted", "with" if runtime._lock.taken else "without", "the lock")
        print(len(runtime._sleepers[WaitQueue.READERS]), "sleepers are left")
        runtime.unlock()
        others_work()
    """) == ["interrupted with the lock", "0 sleepers are left", "others work"]


def test_a_sleep_in_a_call_is_where_signals_strike_and_first_those_that_came_before():
    assert run_script("""
        @shielded
        def call(before, seconds):
            runtime.lock()
            try:
                if before:
                    os.kill(os.getpid(), signal.SIGINT)
                runtime.sleep(WaitQueue.READERS, runtime.now() + seconds)
            finally:
                runtime.unlock()

        for before, seconds in ((True, 20), (False, 20), (False, 0.001)):
            if seconds == 20 and not before:
                interrupt_when(lambda: runtime._sleepers[WaitQueue.READERS])
            try:
                call(before, seconds)
            except (KeyboardInterrupt, ExpiredError) as error:
                print(type(error).__name__)
    """) == ["KeyboardInterrupt", "KeyboardInterrupt", "ExpiredError"]


def test_a_signal_does_not_interrupt_a_sleeper_on_its_way_to_the_lock():
    assert run_script("""
        taken, go = threading.Event(), threading.Event()

        def other():
            runtime.lock()
            runtime.wake(WaitQueue.READERS)
            taken.set()
            go.wait(20)
            runtime.unlock()

        @shielded
        def call():
            runtime.lock()
            threading.Thread(target=other, daemon=True).start()
            runtime.sleep(WaitQueue.READERS)
            print("awake", "with" if runtime._lock.taken else "without", "the lock")
            runtime.unlock()

        interrupt_when(lambda: taken.is_set() and runtime._lock.in_line)
        threading.Timer(0.2, go.set).start()
        try:
            call()
        except KeyboardInterrupt:
            print("interrupted when it was done")
        others_work()
    """) == ["awake with the lock", "interrupted when it was done", "others work"]


@pytest.mark.parametrize("ask", ["unlock(); runtime.lock()", "relock()"])
def test_a_signal_does_not_interrupt_who_waits_for_the_lock(ask):
    assert run_script(f"""
        taken, go = threading.Event(), threading.Event()

        def other():
            runtime.lock()
            taken.set()
            go.wait(20)
            runtime.unlock()

        @shielded
        def call():
            runtime.lock()
            runtime.unlock_soon()
            threading.Thread(target=other, daemon=True).start()
            while not runtime._lock.in_line:
                pass
            interrupt_when(taken.is_set)
            threading.Timer(0.3, go.set).start()
            runtime.{ask}
            print("with" if runtime._lock.taken else "without", "the lock")
            runtime.unlock()

        try:
            call()
        except KeyboardInterrupt:
            print("interrupted when it was done")
        others_work()
    """) == ["with the lock", "interrupted when it was done", "others work"]


def test_a_signal_handler_that_returns_ends_no_sleep():
    assert run_script("""
        count = []
        signal.signal(signal.SIGALRM, lambda *_: count.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        runtime.lock()
        deadline = runtime.now() + 0.1
        try:
            runtime.sleep(WaitQueue.READERS, deadline)
        except ExpiredError:
            print("on time" if runtime.now() >= deadline else "early", bool(count))
        signal.setitimer(signal.ITIMER_REAL, 0)
        runtime.unlock()
        others_work()
    """) == ["on time True", "others work"]
