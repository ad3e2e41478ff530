"""The handlers of a program while it has cards open, and the places where signals are taken."""

import dis
import signal
import sys
from pathlib import Path

import pytest

from impl import device_file, driver, shield
from impl.driver import DuctDriver
from impl.shield import HANDLERS, PENDING, WrappedHandler, interruptible, protected, shielded, take
from model.layout import ECHO
from tests.background import Background, until
from tests.own_card import OwnCard
from tests.scripts import printed_by
from tests.struck import nobody_else_has_a_card_open

ROOT = Path(__file__).resolve().parent.parent
NUMBER = signal.SIGUSR2


class CameError(Exception):
    """What a handler raises."""


@pytest.fixture
def came():
    """The signals that have come; a list that begins with an error has the handler raise it."""
    numbers = []

    def handler(number, _):
        numbers.append(number)

    before = {number: signal.signal(number, handler) for number in (NUMBER, signal.SIGUSR1)}
    yield numbers
    for number, was in before.items():
        signal.signal(number, was)


@pytest.fixture(autouse=True)
def alone():
    with nobody_else_has_a_card_open():
        yield


@pytest.fixture
def card():
    card = OwnCard()
    yield card
    card.power_off()


def handler_of(number=NUMBER):
    return signal.getsignal(number)


# Handlers


def test_handlers_are_wrapped_while_a_card_is_open_and_put_back(card, came):
    own = handler_of()
    with card.open() as duct:
        wrapped = handler_of()
        assert isinstance(wrapped, WrappedHandler)
        assert wrapped.handler is own
        with card.open():
            pass
        assert handler_of() is wrapped
        signal.raise_signal(NUMBER)
        assert came == [NUMBER]
        duct.close()
        assert handler_of() is own


def test_a_handler_that_was_set_meanwhile_stays(card, came):
    with card.open():
        later = signal.default_int_handler
        signal.signal(NUMBER, later)
    assert handler_of() is later


def test_handlers_that_were_set_meanwhile_are_wrapped_when_that_is_asked_for(card, came):
    with card.open():
        signal.signal(NUMBER, signal.default_int_handler)
        HANDLERS.wrap()
        assert handler_of().handler is signal.default_int_handler
    assert handler_of() is signal.default_int_handler


def test_what_python_does_not_handle_is_left_alone(card):
    before = signal.signal(NUMBER, signal.SIG_IGN)
    with card.open():
        assert handler_of() is signal.SIG_IGN
    signal.signal(NUMBER, before)


def test_an_open_that_fails_leaves_the_handlers_as_they_were(card, came):
    own = handler_of()
    with pytest.raises(OSError, match="names no card"):
        DuctDriver.open("nowhere:", attachments=card.attachments)
    assert handler_of() is own


def test_a_wrapped_handler_that_is_kept_goes_on_to_work(card, came):
    with card.open():
        kept = handler_of()
    signal.signal(NUMBER, kept)
    signal.raise_signal(NUMBER)
    assert came == [NUMBER]


CALLS = {
    "send": lambda duct: duct.send(1, b""),
    "release": lambda duct: duct.interruption(),
    "poll": lambda duct: duct.poll(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_where_another_thread_opened_the_card_the_main_thread_wraps_them_in_its_first_call(
    card, came, call
):
    own = handler_of()
    duct = Background(card.open).join().value
    assert handler_of() is own
    assert Background(lambda: duct.send(1, b"")).join().error is None
    assert handler_of() is own
    call(duct)
    assert handler_of().handler is own
    assert not HANDLERS.absent
    assert Background(duct.close).join().error is None
    # Only the main thread can put them back, and does when it has closed a card.
    assert handler_of().handler is own
    card.open().close()
    assert handler_of() is own


# Where signals are taken


def test_an_error_that_a_handler_raises_is_not_taken_for_one_of_the_batch(card, monkeypatch):
    """The call raises it, and the packets that it had taken are for the next one, once."""

    def handler(*_):
        raise CameError

    before = signal.signal(NUMBER, handler)
    with card.open() as duct:
        receive = duct._controller.receive_packets

        def struck(*arguments):
            receive(*arguments)
            signal.raise_signal(NUMBER)

        duct.send_batch([(ECHO.address, b"one"), (ECHO.address, b"two")])
        until(lambda: duct.poll().next_length is not None)
        monkeypatch.setattr(duct._controller, "receive_packets", struck)
        with pytest.raises(CameError):
            duct.receive_batch(2)
        monkeypatch.undo()
        assert duct.poll().next_length == 3
        assert [duct.receive(timeout=30).payload for _ in range(2)] == [b"one", b"two"]
        assert duct.poll().next_length is None
    signal.signal(NUMBER, before)


def struck(function):
    """What a call raises in whose middle the handlers of two signals are called."""
    handlers = {number: WrappedHandler(handler_of(number)) for number in (NUMBER, signal.SIGUSR1)}

    def strike(frame):
        for number, handler in handlers.items():
            handler(number, frame)

    return function(strike)


def test_a_protected_call_takes_all_signals_when_it_is_done_each_once(came):
    seen = []

    @shielded
    def inner(strike):
        strike(sys._getframe())
        strike(sys._getframe())
        seen.append(list(came))

    @shielded
    def outer(strike):
        inner(strike)
        seen.append(list(came))
        return "done"

    assert struck(outer) == "done"
    assert seen == [[], []]
    assert came == [signal.SIGUSR1, NUMBER]
    assert not PENDING


def test_an_interruptible_function_takes_them_at_once_and_first_what_is_remembered(came):
    seen = []

    @interruptible
    def point(strike):
        while PENDING and take():
            pass
        seen.append(list(came))
        strike(sys._getframe())
        seen.append(list(came))

    @shielded
    def call(strike):
        strike(sys._getframe())
        point(strike)

    struck(call)
    assert seen == [[signal.SIGUSR1, NUMBER], [signal.SIGUSR1, NUMBER, NUMBER, signal.SIGUSR1]]


def test_what_several_handlers_raise_is_raised_with_each_in_the_context_of_the_next():
    def handler(number, _):
        raise CameError(number)

    before = {number: signal.signal(number, handler) for number in (NUMBER, signal.SIGUSR1)}
    undone = []

    @protected
    def call(strike):
        try:
            strike(sys._getframe())
        finally:
            while PENDING and take(undone.append, "made"):
                pass

    try:
        with pytest.raises(CameError) as told:
            struck(call)
    finally:
        for number, was in before.items():
            signal.signal(number, was)
    assert [told.value.args, told.value.__context__.args] == [(NUMBER,), (signal.SIGUSR1,)]
    assert undone == ["made"]
    assert not PENDING


def test_other_threads_do_not_take_what_the_main_thread_remembers(came):
    @shielded
    def call(strike):
        strike(sys._getframe())
        assert Background(shielded(int)).join().value == 0
        assert not came

    struck(call)
    assert len(came) == 2


LOOKS = ("RESUME", "CALL", "CALL_FUNCTION_EX", "JUMP_BACKWARD", "FOR_ITER", "SEND", "YIELD_VALUE")


def protected_codes():
    for module in (driver, device_file, shield):
        for code in sorted(shield._PROTECTED, key=lambda code: code.co_firstlineno):
            if code.co_filename == module.__file__ and "PENDING" in code.co_names:
                yield pytest.param(code, id=f"{module.__name__}.{code.co_qualname}")


@pytest.mark.parametrize("code", list(protected_codes()))
def test_between_the_last_look_and_the_return_python_looks_for_no_signal(code):
    """Python looks where a function begins, a call returns, and a loop goes back."""
    instructions = list(dis.get_instructions(code))
    places = {instruction.offset: number for number, instruction in enumerate(instructions)}
    tests = [
        number
        for number, it in enumerate(instructions)
        if "JUMP" in it.opname
        and "PENDING" in [it.argval for it in instructions[number - 2 : number]]
    ]
    ends = 0
    for test in tests:
        # Either way may be the one where nothing is pending.
        for way in (test + 1, places[instructions[test].argval]):
            passed = list(run_from(instructions, places, way))
            if any(it.argval in {"take", "_deliver"} for it in passed):
                continue
            ends += 1
            assert not [it.opname for it in passed if it.opname.startswith(LOOKS)], passed
    assert ends


def run_from(instructions, places, number):
    """The instructions from one to the end of the function, jumps taken."""
    while True:
        instruction = instructions[number]
        yield instruction
        if instruction.opname in {"RETURN_VALUE", "RETURN_CONST", "RERAISE", "RAISE_VARARGS"}:
            return
        forward = instruction.opname == "JUMP_FORWARD"
        number = places[instruction.argval] if forward else number + 1


# Real signals


def test_a_storm_of_signals_loses_nothing():
    """A timer strikes calls for two seconds; every packet arrives, and the card closes."""
    assert printed_by("""
        import signal, time
        from emulator.backend import default
        from impl.driver import DuctDriver

        struck, armed = 0, False

        def strike(*_):
            global armed
            if armed:
                armed = False
                raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, strike)
        other = DuctDriver.open("emulated:")
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            try:
                armed = True
                with DuctDriver.open("emulated:") as duct:
                    while time.monotonic() < end:
                        duct.send(1, b"x", timeout=1)
                        duct.poll()
                        duct.send_batch([(0xEC60, b"x")] * 3)
                        with duct.receive_view(timeout=1):
                            pass
                        duct.receive_batch(9)
            except KeyboardInterrupt:
                struck += 1
        armed = False
        controller = other._controller
        print(controller.inside, bool(controller.runtime._lock.taken), struck > 50)
        print(len(controller.transmit.waiters), len(controller.receive.waiters))
        print(sum(controller.receive._held))
        while other.poll().next_length is not None:
            other.receive()
        other.send(0xEC60, b"goes on")
        # Some may have been on their way when nothing was there.
        while (payload := other.receive(timeout=20).payload) == b"x":
            pass
        print(payload)
        other.close()
        print(default().card().card.started, default().memory().regions)
    """) == ["0 False True", "0 0", "0", "b'goes on'", "False ()"]


def test_a_handler_may_end_a_call_that_waits_by_a_strike():
    assert printed_by("""
        import os, signal, threading, time
        from impl.driver import DuctDriver
        from impl.errors import CallInterruptedError

        with DuctDriver.open("emulated:") as duct:
            interruption = duct.interruption()
            signal.signal(signal.SIGTERM, lambda *_: interruption.strike())
            threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()
            try:
                duct.receive(interruption=interruption)
            except CallInterruptedError:
                print("ended")
    """) == ["ended"]


def test_asyncio_cancels_what_runs_in_it_at_ctrl_c():
    assert printed_by("""
        import asyncio, os, signal
        from impl.driver import DuctDriver

        signal.signal(signal.SIGINT, signal.default_int_handler)

        async def main():
            with DuctDriver.open("emulated:") as duct:
                asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
                try:
                    await duct.receive_async()
                except asyncio.CancelledError:
                    print("cancelled", duct.closed)
                    raise

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    """) == ["cancelled False", "interrupted True"]
