"""Users' calls, told to an observer: when they begin, how they end, what they raise.

The driver calls these instead of its own controller and lifecycle, which do all the work. What is
not a call of a user's is left as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import attrs

from impl.controller import Controller, Wait
from impl.errors import DuctError, SpecificationError, WouldBlockError
from impl.lifecycle import Lifecycle
from impl.packet import Header, Outgoing, Packet
from judge.judge import Deviation
from model.layout import Command
from model.state import UNICAST, Label, Result
from monitor.observer import Observer
from monitor.outcomes import ERRORS
from monitor.runtime import WatchedRuntime

__all__ = ["Calls", "WatchedController", "WatchedLifecycle"]

Returned = TypeVar("Returned")


@attrs.define(eq=False)
class CallUnderWay:
    """A call under way.

    Attributes:
        kind: What it does, for people.
        thread: The thread of the specification that makes it; None if it is not judged.
        result: What it returns.
        goes_on: It does not end here: it holds a slot.
    """

    kind: str
    thread: int | None
    result: Any = None
    goes_on: bool = False


class Calls:
    """Begins and ends calls.

    Attributes:
        observer: Who is told.
        runtime: Wakes those who sleep when something was wrong.
    """

    def __init__(self, observer: Observer, runtime: WatchedRuntime) -> None:
        self.observer = observer
        self._runtime = runtime
        self._reported = False

    @contextlib.contextmanager
    def begun(
        self,
        kind: str,
        rule: str,
        *parameters: int,
        packets: Sequence[Outgoing] = (),
        closes: bool = False,
    ) -> Iterator[CallUnderWay]:
        """A call, as long as this lasts.

        Args:
            kind: What it does.
            rule: The rule that it begins with.
            parameters: The rule's parameters behind the thread.
            packets: What it sends.
            closes: It goes on although something was wrong, so that the card is stopped.

        Raises:
            SpecificationError: Something was wrong, before or in this call.
        """
        observer = self.observer
        with observer.mutex:
            # What begins when something was wrong already is nobody's call, and could not be told
            # to get up. So nothing may be found in between.
            if not closes:
                self._refuse()
            sizes = tuple(packet.size for packet in packets)
            heedless = rule in {"begin_open", "begin_close"}
            thread = observer.callers.begins(sizes, rule, *parameters, heedless=heedless)
            if thread is not None:
                observer.contents.packets[thread] = tuple(packets)
        with self._ended(CallUnderWay(kind, thread), silent=closes) as call:
            yield call

    @contextlib.contextmanager
    def resumed(self, slot: int) -> Iterator[CallUnderWay]:
        """The end of a call that held a receive slot."""
        with self.observer.mutex:
            thread = self.observer.callers.acts_for_holder(slot)
        with self._ended(CallUnderWay("receive", thread), silent=True) as call:
            yield call

    @contextlib.contextmanager
    def _ended(self, call: CallUnderWay, *, silent: bool) -> Iterator[CallUnderWay]:
        error: BaseException | None = None
        try:
            yield call
        except BaseException as raised:
            error = raised
        with self.observer.mutex:
            self._end(call, error)
        self._runtime.alarm()
        if not (silent and self._reported):
            self._refuse(error)
        if error is not None:
            raise error

    def _end(self, call: CallUnderWay, error: BaseException | None) -> None:
        t = call.thread
        if t is None:
            return
        if call.goes_on and error is None:
            self.observer.callers.pauses()
            return
        self.observer.tell(self._check_outcome, call, t, error)
        self.observer.callers.ends(t)

    def _refuse(self, cause: BaseException | None = None) -> None:
        told = self.observer.verdict.told
        if told:
            self._reported = True
            raise SpecificationError(told) from cause

    # Outcomes

    def _check_outcome(self, call: CallUnderWay, t: int, error: BaseException | None) -> None:
        judge = self.observer.judge
        struck = error is not None and (
            self.observer.callers.was_struck(t) or not isinstance(error, Exception)
        )
        if not self.observer.accesses.began(t):
            if error is None:
                raise Deviation(f"{call.kind} ended before it began")
            return
        if judge.pc(t) is not Label.IDLE:
            if struck and not isinstance(error, DuctError):
                self.observer.verdict.give_up(f"a signal struck in the middle of a call: {error!r}")
                return
            raise judge.deviation(
                f"{judge.who(t)}: {call.kind} ended ({error or call.result!r}), and the "
                f"specification is at {judge.pc(t).name}"
            )
        outcome = judge.result(t)
        counted = call.kind != "send" or call.result == judge.now["threads_handed"][t]
        if outcome is Result.OK:
            right = struck or (error is None and counted)
        elif outcome is Result.EAGAIN and error is None:
            right = bool(call.result) and call.kind == "send" and counted
        else:
            right = isinstance(error, ERRORS.get(outcome, ())) or struck
        if not right and not (call.kind == "close" and isinstance(error, ERRORS[Result.EBADF])):
            raise judge.deviation(
                f"{judge.who(t)}: {call.kind} ended with {error or call.result!r}, and the "
                f"specification says {outcome.name}"
            )


class _Inner:
    """Does whatever the object inside does."""

    def __init__(self, inner: Any, calls: Calls) -> None:
        self._inner = inner
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class WatchedController(_Inner):
    """The calls of a `Controller`."""

    _inner: Controller

    def send(self, batch: Sequence[Outgoing], wait: Wait) -> int:
        """Send packets in one turn; see `Controller.send`."""
        parameters = int(not batch[0].size), int(not wait.blocking), len(batch) - 1
        with self._calls.begun("send", "begin_write", *parameters, packets=batch) as call:
            call.result = self._inner.send(batch, wait)
        return int(call.result)

    def change_filter(self, command: Command, mask: int, address: int, wait: Wait) -> None:
        """Have the card add or remove a filter; see `Controller.change_filter`."""
        with self._key(mask, address) as key:
            parameters = int(command is Command.RMFILT), key
            with self._calls.begun("filter", "begin_filter", *parameters):
                self._inner.change_filter(command, mask, address, wait)

    @contextlib.contextmanager
    def _key(self, mask: int, address: int) -> Iterator[int]:
        """The specification's number of a filter, which stays its own as long as this lasts."""
        observer = self._calls.observer
        keys: list[int] = []
        with observer.mutex:
            observer.tell(lambda: keys.append(observer.filters.want(mask, address)))
        try:
            yield keys[0] if keys else UNICAST
        finally:
            with observer.mutex:
                for key in keys:
                    observer.filters.forgo(key)

    def receive_packets(self, packets: list[Packet], most: int, wait: Wait) -> None:
        """Wait for a packet, and take those behind it; each is a call of its own here."""
        while most:
            if packets:
                wait = Wait(blocking=False)
            try:
                with self._calls.begun("receive", "begin_read", int(not wait.blocking), 0):
                    self._inner.receive_packets(packets, 1, wait)
            except WouldBlockError:
                if packets:
                    return
                raise
            most -= 1

    def receive_packet(self, wait: Wait) -> tuple[int, Header]:
        """Wait for a packet and take it; see `Controller.receive_packet`."""
        taken: tuple[int, Header] | None = None
        try:
            with self._calls.begun("receive", "begin_read", int(not wait.blocking), 0) as call:
                call.result = taken = self._inner.receive_packet(wait)
                call.goes_on = True
        except SpecificationError:
            if taken is not None:
                # Nobody else knows of the slot, and a close waits until it is given back.
                self._inner.repost(taken[0])
            raise
        assert taken is not None
        return taken

    def repost(self, slot: int) -> None:
        """Hand a slot to the card again; see `Controller.repost`."""
        with self._calls.resumed(slot):
            self._inner.repost(slot)

    def peek(self, wait: Wait) -> Header:
        """Wait for a packet and see what the card says of it; see `Controller.peek`."""
        with self._calls.begun("poll", "begin_read", int(not wait.blocking), 1) as call:
            call.result = self._inner.peek(wait)
        header: Header = call.result
        return header


class WatchedLifecycle(_Inner):
    """The calls of a `Lifecycle`."""

    _inner: Lifecycle

    def open(self, timeout: float | None = None) -> None:
        """Count one more open; see `Lifecycle.open`. If something was wrong it is closed again."""
        opened = False
        try:
            with self._calls.begun("open", "begin_open"):
                self._inner.open(timeout)
                opened = True
        except SpecificationError:
            if opened:
                self._inner.close()
            raise

    def close(self, handle: object = None) -> None:
        """Count one open less; see `Lifecycle.close`."""
        with self._calls.begun("close", "begin_close", closes=True):
            self._inner.close(handle)
