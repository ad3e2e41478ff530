"""A card that runs freely: a thread takes its steps until nothing is left to do, then sleeps.

The thread never polls. Register accesses and packets wake it. Which step it takes, where several
may be taken, follows from the seed alone; how that interleaves with the host does not.

Two locks, always taken in this order: the card's, for its state, and the bell's, for whether there
is reason to wake up and for the packets that wait. The net is called with the card's lock held, and
calls `deliver`, which takes only the bell's; so cards that send to each other cannot deadlock.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from emulator.behaviour import Behaviour
from emulator.bus import Dma
from emulator.card import Card
from emulator.counters import Counters
from emulator.fair_lock import FairLock
from emulator.hook import Hook
from emulator.net import Net
from emulator.packet import NetPacket
from model.layout import HWERR, IDENTITY, Bit, Register
from model.state import Flags, Stage

__all__ = ["RunningCard"]

_BATCH: Final = 64
"""Steps between two chances for the host to access a register."""
_PATIENCE: Final = 256
"""Steps after which merged interrupts wait no more, however busy the card is."""
_COMPLETIONS: Final = frozenset({"tx.complete", "cmd.complete", "rx.complete"})
_RAISE: Final = "card.raise_vector0"
_NOT_YET: Final = math.inf


class RunningCard:
    """A card with power: on the net, with a thread that takes its steps.

    It begins without bus mastering, as a PCI function does.

    Args:
        dma: The memory that it reaches.
        net: The net that it is attached to.
        hwaddr: Its address there.
        behaviour: How it behaves; may be changed at any time.
        counters: Where its doings are counted.

    Attributes:
        card: The card that takes the steps.
        counters: What was counted.
        choice: The steps of which one is taken next, to put something around.
    """

    def __init__(
        self,
        dma: Dma,
        net: Net,
        *,
        hwaddr: int,
        behaviour: Behaviour | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.card = Card(dma=dma, transmit=net.send, hwaddr=hwaddr, bus_master=False)
        self.counters = counters or Counters()
        self._net = net
        self._lock = FairLock()
        self._interrupt: Callable[[int], None] | None = None
        self._bus_master = False
        # what a bench does to it
        self._stands_still = False
        self._to_mute = 0.0
        self._newest_muted = False
        # the bell
        self._bell = threading.Condition(threading.Lock())
        self._called = False
        self._idle = False
        self._off = False
        self._queue: deque[NetPacket] = deque()
        # the choice of the next step
        self.choice = Hook(self._choices)
        self.behaviour = behaviour or Behaviour()
        self._untold = 0
        self._patience = _PATIENCE
        self._thread = threading.Thread(
            target=self._run, name=f"duct card {hwaddr:08x}", daemon=True
        )
        net.attach(self)
        self._thread.start()

    # What the host does

    def read(self, register: Register) -> int:
        """Read a register."""
        with self._lock:
            self.counters.register_reads += 1
            return self.card.read(register)

    def write(self, register: Register, value: int) -> None:
        """Write a register."""
        with self._lock:
            self.counters.register_writes += 1
            self.card.write(register, value)
            self._raise_vectors()
        self._ring()

    def connect(self, interrupt: Callable[[int], None] | None) -> None:
        """Say who is told of raised vectors; what was raised by now is forgotten.

        Args:
            interrupt: Called with the number of each vector that is raised, with the card's lock
                held: it must not wait, nor access the card. None if nobody is to be told.
        """
        with self._lock:
            self._interrupt = interrupt
            self.card.vector0 = False
            self.card.vector1 = False

    def set_bus_master(self, on: bool) -> None:
        """Let the card access memory and raise vectors, or not.

        When this returns, a card without bus mastering accesses no memory any more.
        """
        with self._lock:
            self._bus_master = on
            self._update_bus()
        self._ring()

    # What a test or a bench does

    @property
    def behaviour(self) -> Behaviour:
        """How the card behaves. Setting it starts the choices anew from its seed."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        with self._lock:
            self._behaviour = behaviour
            self._random = random.Random(behaviour.seed).random
            self._raise_at = _NOT_YET
            self.card.refuse_filters = behaviour.refuse_filters
        self._ring()

    def fail(self, bit: Bit = HWERR) -> None:
        """Let the card fail now, with this bit of FLAGS, unless it failed before."""
        with self._lock:
            self.card.fail(bit)
            self._raise_vectors()

    def stand_still(self) -> None:
        """Let the card access no memory and raise no vector until `go_on`, as if it hung.

        Its registers can be accessed, and resets end. When this returns, it stands still.
        """
        self._set_still(True)

    def go_on(self) -> None:
        """Let the card do what it ought to have done since `stand_still`."""
        self._set_still(False)

    def announce_nothing(self) -> None:
        """Let the card break a rule: say that a packet came, and none did (`RXCOMP`, vector 0)."""
        with self.held() as card:
            card.rx.set_event()

    def mute_interrupts(self, count: float = math.inf) -> None:
        """Let the card lose vectors that it ought to raise. A vector that was lost stays lost.

        Args:
            count: How many of the next ones: 0 for none, infinity for all.
        """
        with self._lock:
            self._to_mute = count

    @property
    def silent(self) -> bool:
        """Whether the vector for what is pending was lost, or would be: INTx is not due then."""
        return self._newest_muted or self._to_mute == math.inf

    @contextmanager
    def held(self) -> Iterator[Card]:
        """The card, standing still as long as this lasts. Nobody can access its registers."""
        with self._lock:
            yield self.card
            self._raise_vectors()
        self._ring()

    def wait_until_idle(self, timeout: float = 10.0) -> bool:
        """Wait until the card has nothing left to do. False if it is still busy after `timeout`."""
        with self._bell:
            return self._bell.wait_for(lambda: self._idle and not self._called, timeout)

    def power_off(self) -> None:
        """Leave the net and end the thread. The card is good for nothing afterwards."""
        self._net.detach(self)
        with self._bell:
            self._off = True
        self._ring()
        self._thread.join()

    # What the net does

    def deliver(self, packet: NetPacket) -> None:
        """A packet is on the net: keep it for the receive engine if a filter accepts it."""
        if not self.card.accepts(packet.destination):
            return
        with self._bell:
            if len(self._queue) >= self._behaviour.queue:
                self.counters.lost += 1
                return
            self._queue.append(packet)
        self._ring()

    # What the card does

    def _set_still(self, yes: bool) -> None:
        with self._lock:
            self._stands_still = yes
            self._update_bus()
        self._ring()

    def _update_bus(self) -> None:
        self.card.bus_master = self._bus_master and not self._stands_still
        self._raise_vectors()

    def _ring(self) -> None:
        """Wake the card: there may be something to do."""
        with self._bell:
            self._called = True
            self._bell.notify_all()

    def _run(self) -> None:
        try:
            while not self._off:
                with self._lock:
                    wait = self._work()
                self._sleep(wait)
        except BaseException:
            # Whatever broke, a station on the net perhaps: the host must not wait for a dead card.
            self.fail()
            raise

    def _sleep(self, seconds: float | None) -> None:
        """Sleep until the bell rings, or for so many seconds, if there are any."""
        with self._bell:
            if not self._called:
                self._idle = seconds is None
                self._bell.notify_all()
                self._bell.wait(seconds)
                self._idle = False
            self._called = False

    def _work(self) -> float | None:
        """Take some steps. Returns how long there is nothing to do; None: until the bell rings."""
        for _ in range(_BATCH):
            if self._queue:
                self._feed()
            choices = self.choice.do()
            if not choices:
                late = self._raise_at - time.monotonic()
                return None if self._raise_at == _NOT_YET else late
            self._take(choices[int(self._random() * len(choices))])
        return 0.0

    def _feed(self) -> None:
        """Hand the receive engine the packet that has waited longest.

        A card that does not receive forgets what waits, before a reset is over in particular.
        """
        card = self.card
        if card.may_arrive():
            card.arrive(self._queue.popleft())
        elif not card.started or card.flags is not Flags.CLEAR:
            self._queue.clear()

    def _choices(self) -> list[str]:
        """The steps of which one is taken next."""
        card, behaviour = self.card, self._behaviour
        enabled = card.enabled()
        choices = [name for name in enabled if name not in card.optional]
        if card.stopping:
            if behaviour.finish_at_stop and "tx.look_ahead" in enabled:
                choices = [name for name in choices if name != "cmd.stopped"]
                choices.append("tx.look_ahead")
        elif behaviour.look_ahead and choices and choices != [_RAISE]:
            choices = enabled
        if not card.raising or _RAISE not in choices:
            self._raise_at = _NOT_YET
            return choices
        others = [name for name in choices if name != _RAISE]
        return others if self._waits_to_raise(bool(others)) else [_RAISE]

    def _waits_to_raise(self, busy: bool) -> bool:
        """Whether vector 0 is not raised yet, though it could be."""
        behaviour = self._behaviour
        if behaviour.interrupt_delay:
            now = time.monotonic()
            if self._raise_at == _NOT_YET:
                self._raise_at = now + behaviour.interrupt_delay
            if now < self._raise_at:
                return True
        self._patience -= 1
        return busy and self._untold < behaviour.merge and self._patience > 0

    def _take(self, name: str) -> None:
        card, counters = self.card, self.counters
        card.take(name)
        counters.steps += 1
        if name == "rx.examine" and card.rx.stage is Stage.IDLE:
            counters.dropped += 1
        if card.flags is Flags.CLEAR:
            counters.transmitted += name == "tx.send"
            counters.received += name == "rx.complete"
        if name in _COMPLETIONS:
            self._untold += 1
        elif name == _RAISE:
            self._untold = 0
            self._patience = _PATIENCE
            self._raise_at = _NOT_YET
        every = self._behaviour.spurious_every
        if every and counters.steps % every == 0:
            card.spurious()
        if card.vector0 or card.vector1:
            self._raise_vectors()

    def _raise_vectors(self) -> None:
        """Deliver the vectors that the card raised."""
        card = self.card
        if self._interrupt is None or not card.bus_master:
            return
        if card.vector0:
            card.vector0 = False
            self._tell(self._interrupt, IDENTITY.event_vector)
        if card.vector1:
            card.vector1 = False
            self._tell(self._interrupt, IDENTITY.fatal_vector)

    def _tell(self, interrupt: Callable[[int], None], vector: int) -> None:
        """Deliver a vector, unless it is to be lost."""
        self._newest_muted = self._to_mute > 0
        if self._newest_muted:
            self._to_mute -= 1
            self.counters.interrupts_muted += 1
        else:
            self.counters.interrupts += 1
            interrupt(vector)
