"""Threads: the driver's lock, sleeping and waking.

Any number of threads run at once, each at some `Label`. Two of them are the driver's own and serve
the two interrupt vectors; the others are users in a call. One lock serialises them. It is a ticket
lock (first come, first served): with a lock that may prefer newcomers no bound on waiting could be
promised.

A thread that finds nothing to do sleeps: it gives up the lock and starts to wait on a wait queue in
one step. Whoever makes its condition true wakes the whole wait queue while holding the lock, and
every sleeper looks at its condition again. Sleepers may also wake spuriously.
"""

from __future__ import annotations

from typing import Final

from engine.rules import THREAD, Party, RuleBook
from engine.terms import TRUE, And, Array, Bool, If, Number, one_of
from model.state import EVENT_THREAD, FATAL_THREAD, NOBODY, Label, Result, State

__all__ = [
    "BOOK",
    "COMMANDS",
    "LIFE",
    "LOCKED",
    "READERS",
    "SENDERS",
    "SLEEPS_CMD",
    "SLEEPS_LIFE",
    "SLEEPS_TX",
    "at",
    "draw_ticket",
    "enter_call",
    "holder",
    "holds",
    "leave_call",
    "lock_is_held",
    "queued_for_lock",
    "serve_next",
    "sleep",
    "unlock",
    "user",
    "wake_everyone",
    "woken_on",
]

BOOK: Final = RuleBook()

SENDERS: Final = "SENDERS"
"""The wait queue of who wants a transmit slot, or the completion of a packet."""
COMMANDS: Final = "COMMANDS"
"""The wait queue of who wants a command slot, or the completion of a command."""
READERS: Final = "READERS"
"""The wait queue of who wants the next packet."""
LIFE: Final = "LIFE"
"""The wait queue of who opens or closes the card."""
SLEEPS_TX: Final = (Label.TX_TURN, Label.TX_WAIT)
"""Labels at which a thread may sleep on the wait queue of senders."""
SLEEPS_CMD: Final = (Label.CMD_TURN, Label.CMD_WAIT)
"""Labels at which a thread may sleep on the wait queue of commands."""
SLEEPS_LIFE: Final = (Label.OPEN_ENTER, Label.LEAVE, Label.DRAIN)
"""Labels at which a thread may sleep on the wait queue of open and close."""
SLEEPS_RX: Final = (Label.RX_OWNER,)
"""Labels at which a thread may sleep on the wait queue of readers."""
UNLOCKED: Final = (
    Label.IDLE,
    Label.RX_FIRST_WORD,
    Label.RX_LAST_WORD,
    Label.RX_POINTER,
    Label.EVENT_IDLE,
    Label.FATAL_IDLE,
)
"""Labels whose step needs no lock; all others do."""
LOCKED: Final = tuple(label for label in Label if label not in UNLOCKED)
"""Labels whose step needs the lock."""


def at(s: State, t: Number, *labels: Label) -> Bool:
    """Thread t is at one of `labels`."""
    return one_of(s.threads.pc[t], labels)


def user(t: Number) -> Bool:
    """Thread t is a user's, not one of the two that serve interrupts."""
    return And(t != EVENT_THREAD, t != FATAL_THREAD, t != NOBODY)


# The lock


def draw_ticket(s: State, t: Number) -> None:
    """Ask for the lock."""
    s.locks()
    s.threads.ticket[t] = s.lock.next
    s.lock.waiter[s.lock.next] = t
    s.lock.next = s.lock.next + 1


def unlock(s: State) -> None:
    """Give the lock to the next in the queue."""
    s.unlocks()
    serve_next(s)


def serve_next(s: State) -> None:
    """The lock goes to the next in the queue."""
    s.lock.serving = s.lock.serving + 1


def queued_for_lock(s: State, t: Number) -> Bool:
    """Thread t holds the lock or waits for it."""
    return And(one_of(s.threads.pc[t], LOCKED), ~s.threads.asleep[t])


def holds(s: State, t: Number, *labels: Label) -> Bool:
    """Thread t holds the lock and is at one of `labels`."""
    return And(at(s, t, *labels), ~s.threads.asleep[t], s.threads.ticket[t] == s.lock.serving)


def lock_is_held(s: State) -> Bool:
    """Some thread holds the lock."""
    return s.lock.next != s.lock.serving


def holder(s: State) -> Number:
    """The thread that holds the lock; meaningful while somebody does."""
    return s.lock.waiter[s.lock.serving]


# Sleeping and waking


def woken_on(s: State, queue: str) -> Array[Bool]:
    """By thread: it was woken on this wait queue."""
    threads = s.threads
    flags = {
        SENDERS: threads.wake_tx,
        COMMANDS: threads.wake_cmd,
        READERS: threads.wake_rx,
        LIFE: threads.wake_life,
    }
    return flags[queue]


def sleep(s: State, t: Number, queue: str) -> None:
    """Start to wait on a wait queue, and give up the lock: one step."""
    s.sleeps(queue)
    s.threads.asleep[t] = True
    woken_on(s, queue)[t] = False
    serve_next(s)


def wake_everyone(s: State) -> None:
    """Wake all wait queues: whatever the sleepers wait for, they must look again."""
    for queue in (SENDERS, COMMANDS, READERS, LIFE):
        s.wakes(queue)
        woken_on(s, queue).fill(True)
    s.rx.ready = TRUE


def get_up(s: State, t: Number) -> None:
    """Stop sleeping; the lock is needed before anything is looked at."""
    s.threads.asleep[t] = False
    draw_ticket(s, t)


@BOOK.rule("Host software", Party.HOST, THREAD, fair="thread")
def wake(s: State, t: Number) -> None:
    """A sleeper whose wait queue was woken gets up and asks for the lock."""
    threads = s.threads
    woken = (
        at(s, t, *SLEEPS_TX) & threads.wake_tx[t]
        | at(s, t, *SLEEPS_CMD) & threads.wake_cmd[t]
        | at(s, t, *SLEEPS_LIFE) & threads.wake_life[t]
        | at(s, t, *SLEEPS_RX) & threads.wake_rx[t]
    )
    s.require(threads.asleep[t] & woken)
    get_up(s, t)


@BOOK.rule("Host software", Party.ENVIRONMENT, THREAD)
def spurious_wakeup(s: State, t: Number) -> None:
    """A sleeper gets up although nobody woke it."""
    s.require(s.threads.asleep[t])
    get_up(s, t)


@BOOK.rule("What the character device offers", Party.ENVIRONMENT, THREAD)
def interrupt(s: State, t: Number) -> None:
    """A signal or a time limit ends a sleep; the call returns EINTR and leaves all consistent."""
    s.require(s.threads.asleep[t])
    s.require(at(s, t, *SLEEPS_TX, *SLEEPS_CMD, *SLEEPS_RX))
    label = s.threads.pc[t]
    s.threads.result[t] = Result.EINTR
    for sleeping, leaving in (
        (Label.TX_TURN, Label.TX_CANCEL),
        (Label.TX_WAIT, Label.TX_ABANDON),
        (Label.CMD_TURN, Label.CMD_CANCEL),
        (Label.CMD_WAIT, Label.CMD_ABANDON),
        (Label.RX_OWNER, Label.RX_CANCEL),
    ):
        s.threads.pc[t] = If(label == sleeping, leaving, s.threads.pc[t])
    get_up(s, t)


@BOOK.rule("What the character device offers", Party.ENVIRONMENT, THREAD)
def interrupt_open(s: State, t: Number) -> None:
    """A signal ends the wait for somebody else's open or close."""
    s.require(s.threads.asleep[t] & at(s, t, Label.OPEN_ENTER))
    s.threads.asleep[t] = False
    s.threads.result[t] = Result.EINTR
    s.threads.pc[t] = Label.IDLE


# Who is inside a call


def enter_call(s: State, t: Number) -> None:
    """Count t among the threads inside a call."""
    driver = s.driver
    s.threads.inside_position[t] = driver.inside
    driver.list[driver.inside] = t
    driver.inside = driver.inside + 1


def leave_call(s: State, t: Number) -> None:
    """Count t out again; the last of the list takes its place, so that the list has no gap."""
    driver = s.driver
    last = driver.list[driver.inside - 1]
    place = s.threads.inside_position[t]
    driver.list[place] = last
    s.threads.inside_position[last] = place
    driver.inside = driver.inside - 1
