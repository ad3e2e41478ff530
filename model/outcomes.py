"""What callers are told, and why: properties of steps.

A call's result is said in one step and kept until the call ends. So each property here is about the
step in which something is said or done: what was true before it, and what is true after it.
`later` is the state after the step, `by` says who takes it. They are proved of every rule, for
every thread, ring size and filter.
"""

from __future__ import annotations

from typing import Final

from engine.claims import By, PropertyBook, StepProperty
from engine.rules import Party
from engine.terms import (
    FALSE,
    TRUE,
    And,
    Bool,
    If,
    Iff,
    Implies,
    Number,
    Or,
    constant,
    one_of,
    ring_size,
)
from model.device_spec import running
from model.ring_spec import (
    COMMAND_LABELS,
    HOLDING,
    QUEUEING,
    RECEIVE,
    TRANSMIT,
    TRANSMIT_LABELS,
    call_must_end,
    my_turn,
)
from model.state import (
    CAPACITY,
    FILTER_TABLE,
    UNICAST,
    Command,
    Flags,
    Label,
    Life,
    Result,
    Stage,
    State,
)
from model.thread_spec import LOCKED, SLEEPS_CMD, SLEEPS_LIFE, SLEEPS_RX, SLEEPS_TX, at

__all__ = ["STEPS"]

BOOK: Final = PropertyBook()
SENDING: Final = (Label.WRITE_ENTER, *TRANSMIT_LABELS)
"""Where a call to send is until its result is final."""
READING: Final = (Label.READ_ENTER, *QUEUEING, *HOLDING)
"""Where a call to receive is."""


def said(s: State, later: State, t: Number, *results: Result) -> Bool:
    """Thread t's call is given one of these results."""
    result = later.threads.result[t]
    return one_of(result, results) & (result != s.threads.result[t])


def leaves(s: State, later: State, t: Number, *labels: Label) -> Bool:
    """Thread t goes on from one of these labels to another label."""
    return at(s, t, *labels) & (s.threads.pc[t] != later.threads.pc[t])


def ends(s: State, later: State, t: Number, *labels: Label) -> Bool:
    """Thread t's call ends at one of these labels."""
    return leaves(s, later, t, *labels) & at(later, t, Label.IDLE)


def begins(s: State, later: State, t: Number, label: Label) -> Bool:
    """Thread t begins a call of the kind that begins at that label."""
    return leaves(s, later, t, Label.IDLE) & at(later, t, label)


def learns(s: State, later: State, t: Number) -> Bool:
    """Thread t is told that its request was completed."""
    return later.threads.completed[t] & ~s.threads.completed[t]


@BOOK.step("call-as-asked", "thread")
def call_as_asked(s: State, later: State, by: By, t: Number) -> Bool:
    """A call is what its caller asked for until it ends; who may not wait is never made to."""
    before, after = s.threads, later.threads

    def asked(name: str) -> Bool:
        return by.choice(name) != 0

    begun = leaves(s, later, t, Label.IDLE)
    goes_on = leaves(s, later, t, Label.TX_DOORBELL) & at(later, t, Label.TX_TURN)
    return And(
        Implies(
            begins(s, later, t, Label.WRITE_ENTER),
            And(
                Iff(after.zero[t], asked("zero")),
                Iff(after.nonblocking[t], asked("nonblocking")),
                after.more[t] == by.choice("more"),
            ),
        ),
        Implies(
            begins(s, later, t, Label.READ_ENTER),
            And(
                Iff(after.peek[t], asked("peek")),
                Iff(after.nonblocking[t], asked("nonblocking")),
            ),
        ),
        begun
        | And(Iff(before.nonblocking[t], after.nonblocking[t]), Iff(before.peek[t], after.peek[t])),
        begun
        | If(
            goes_on,
            And(after.more[t] == before.more[t] - 1, Iff(after.zero[t], asked("zero"))),
            And(after.more[t] == before.more[t], Iff(after.zero[t], before.zero[t])),
        ),
        Implies(after.asleep[t] & ~before.asleep[t], ~before.nonblocking[t]),
    )


# Sending


@BOOK.step("send-outcome", "thread")
def send_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """Send says OK only if the card sent the packet, or its slot is the card's if it may not wait.

    The slot that was handed over carries what the caller gave.
    """
    ring, threads = s.tx, s.threads
    slot = ring.prod_i
    queued = And(
        at(s, t, Label.TX_LEAVE_QUEUE),
        threads.nonblocking[t],
        threads.request[t] + 1 == ring.prod,
        ring.doorbells_posted == ring.prod,
    )
    sent = at(s, t, Label.TX_WAIT) & threads.completed[t] & ~threads.nonblocking[t]
    return And(
        Implies(at(s, t, *SENDING) & said(s, later, t, Result.OK), queued | sent),
        Implies(
            at(s, t, *SENDING) & learns(s, later, t),
            (ring.cons == threads.request[t]) & (constant(0) < ring.sent - ring.cons),
        ),
        Implies(
            leaves(s, later, t, Label.TX_OWNER),
            And(
                threads.request[t] == ring.prod,
                later.tx.prod == ring.prod + 1,
                later.tx.owner_new[slot],
                ring.sequence[slot] == ring.prod,
                ring.zero_new[slot] == threads.zero[t],
            ),
        ),
    )


@BOOK.step("batch-outcome", "thread")
def batch_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """A batch says OK only if all of its packets were handed over, and counts them in any case."""
    before, after = s.threads, later.threads
    begun = leaves(s, later, t, Label.IDLE) & (after.batch[t] == by.choice("more") + 1)
    counts = at(s, t, Label.TX_OWNER) & (later.tx.prod == s.tx.prod + 1)
    same = before.handed[t] == after.handed[t]
    return And(
        Implies(
            at(s, t, *SENDING) & said(s, later, t, Result.OK), before.handed[t] == before.batch[t]
        ),
        Implies(
            at(s, t, Label.TX_TURN) & said(s, later, t, Result.EAGAIN),
            before.batch[t] - before.handed[t] == before.more[t] + 1,
        ),
        same | begun & (after.handed[t] == 0) | counts & (after.handed[t] == before.handed[t] + 1),
        Implies(leaves(s, later, t, Label.TX_OWNER), ~same),
        Implies(
            leaves(s, later, t, Label.TX_DOORBELL) & ~at(later, t, Label.TX_TURN),
            before.handed[t] == before.batch[t],
        ),
        (before.batch[t] == after.batch[t]) | begun & (after.handed[t] == 0),
    )


# Receiving


@BOOK.step("read-outcome", "thread")
def read_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """Read says OK with the next packet and its length, and refuses no length that can be.

    A peek leaves the packet where it is. A longer one, which only a card that lies announces, is
    EIO.
    """
    ring, before, after = s.rx, s.threads, later.threads
    loaded = If(ring.header_speculated, ring.speculated_length, ring.length[ring.cons_i])
    fits = loaded <= CAPACITY
    taken = And(
        after.packet[t] == ring.cons,
        later.rx.cons == ring.cons + 1,
        after.copied[t] == If(fits, loaded, 0),
    )
    looked = (later.rx.cons == ring.cons) & (after.length[t] == loaded)
    begins = at(s, t, Label.IDLE) & (after.copied[t] == 0)
    kept = begins | (before.copied[t] == after.copied[t])
    unchanged = kept & (before.length[t] == after.length[t])
    return And(
        Implies(
            leaves(s, later, t, Label.RX_HEADER),
            And(
                after.result[t] == If(fits, Result.OK, Result.EIO),
                Implies(loaded > CAPACITY, s.card.lies),
                ring.dev != ring.cons,
                after.got[t] == ring.cons,
                If(before.peek[t], looked, taken),
            ),
        ),
        Implies(
            at(s, t, *READING) & said(s, later, t, Result.OK), leaves(s, later, t, Label.RX_HEADER)
        ),
        unchanged | leaves(s, later, t, Label.RX_HEADER),
    )


@BOOK.step("reception-by-filter")
def reception_by_filter(s: State, later: State, by: By) -> Bool:
    """The card takes a packet from the net only if a filter that commands made lets it through.

    What it takes it delivers, whole, unless there is no slot for it, and with its length, unless it
    lies about that. It reports a packet as dropped only while packet traffic is on.
    """
    ring, slot = s.rx, s.rx.dev_i
    begins = (ring.stage == Stage.IDLE) & (later.rx.stage != Stage.IDLE)
    gives_up = And(
        ring.stage != Stage.IDLE, later.rx.stage == Stage.IDLE, later.card.flags == Flags.CLEAR
    )
    delivered = And(
        ring.stage == Stage.WRITE_OWNER,
        later.rx.dev == ring.dev + 1,
        ring.header[slot] == ring.dev,
        s.card.lies | (ring.length[slot] == ring.arriving),
        ~later.rx.owner[slot],
    )
    dropped = (ring.stage == Stage.LOOK) & ~ring.owner[slot] & later.rx.dropped
    return And(
        Implies(
            begins,
            And(
                running(s) & s.card.started & ~s.card.stopping,
                s.card.asked[by.choice("key")] != 0,
                later.rx.arriving == by.choice("length"),
                later.rx.arriving <= CAPACITY,
            ),
        ),
        begins | (later.rx.arriving == ring.arriving),
        Implies(gives_up, delivered | dropped),
        Implies(later.rx.dropped & ~ring.dropped, running(s) & s.card.started),
    )


# Commands


@BOOK.step("command-outcome", "thread")
def command_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """A command's caller is told what the card answered to this very command.

    The command is the one that it asked for, and names the card's own address in an open or close.
    What it is told else is EIO or EINTR.
    """
    ring, before, after = s.cmd, s.threads, later.threads
    slot = ring.prod_i
    asked = (before.kind[t] == after.kind[t]) & (before.key[t] == after.key[t])
    return And(
        Implies(
            at(s, t, *COMMAND_LABELS) & (before.result[t] != after.result[t]),
            one_of(after.result[t], (Result.EIO, Result.EINTR))
            | at(s, t, Label.CMD_WAIT)
            & before.completed[t]
            & (after.result[t] == before.status[t]),
        ),
        Implies(said(s, later, t, Result.ENOSPC, Result.ENOENT), at(s, t, Label.CMD_WAIT)),
        Implies(at(s, t, Label.FILTER_ENTER), ~said(s, later, t, Result.OK)),
        Implies(
            at(s, t, *COMMAND_LABELS) & learns(s, later, t),
            And(
                ring.cons == before.request[t],
                ring.status_sequence[ring.cons_i] == ring.cons,
                after.status[t] == ring.status[ring.cons_i],
            ),
        ),
        Implies(before.completed[t] & after.completed[t], after.status[t] == before.status[t]),
        Implies(
            leaves(s, later, t, Label.CMD_OWNER),
            And(
                before.request[t] == ring.prod,
                later.cmd.prod == ring.prod + 1,
                later.cmd.owner_new[slot],
                ring.sequence[slot] == ring.prod,
                ring.kind_new[slot] == before.kind[t],
                ring.key_new[slot] == before.key[t],
            ),
        ),
        Implies(at(s, t, Label.FILTER_ENTER, *COMMAND_LABELS), asked),
        Implies(
            leaves(s, later, t, Label.START, Label.ADD_UNICAST, Label.STOP, Label.FLUSH),
            after.key[t] == UNICAST,
        ),
        Implies(
            begins(s, later, t, Label.FILTER_ENTER),
            And(
                after.kind[t] == If(by.choice("remove") != 0, Command.RMFILT, Command.ADDFILT),
                after.key[t] == by.choice("key"),
            ),
        ),
    )


@BOOK.step("answer-kept", "slot")
def answer_kept(s: State, later: State, by: By, k: Number) -> Bool:
    """The error byte that the card writes says what came of the command, and nobody changes it."""
    ring = s.cmd
    writes = (ring.stage == Stage.WRITE_STATUS) & (k == ring.dev_i)
    unchanged = And(
        later.cmd.status[k] == ring.status[k],
        later.cmd.status_sequence[k] == ring.status_sequence[k],
    )
    written = And(
        later.cmd.status[k] == ring.computed_status,
        later.cmd.status_sequence[k] == ring.dev,
    )
    return And(
        unchanged | writes,
        Implies(writes & (later.cmd.stage == Stage.WRITE_OWNER), written),
        (later.cmd.computed_status == ring.computed_status) | (ring.stage == Stage.EXECUTE),
    )


@BOOK.step("filter-semantics", "key")
def filter_semantics(s: State, later: State, by: By, key: Number) -> Bool:
    """ADDFILT, RMFILT and FLUSHFILT do with the card's table what the datasheet says they do.

    The others leave it alone, and so does everything else except a reset.
    """
    ring, slot = s.cmd, s.cmd.dev_i
    kind, mine = ring.kind_new[slot], ring.key_new[slot] == key
    before, after = s.card.filters[key], later.card.filters[key]
    count, counted = s.card.filter_count, later.card.filter_count
    answer = later.cmd.computed_status
    executes = (ring.stage == Stage.EXECUTE) & (later.cmd.stage != Stage.EXECUTE)
    unchanged = (after == before) & (counted == count)
    emptied = (after == 0) & (counted == 0)
    added = (after == If(mine, before + 1, before)) & (counted == count + 1)
    removed = (after == If(mine, before - 1, before)) & (counted == count - 1)
    full = count >= FILTER_TABLE
    absent = s.card.filters[ring.key_new[slot]] == 0
    add = If(full, unchanged & (answer == Result.ENOSPC), added & (answer == Result.OK))
    remove = If(absent, unchanged & (answer == Result.ENOENT), removed & (answer == Result.OK))
    flush = emptied & (answer == Result.OK)
    other = unchanged & (answer == Result.OK)
    executed = If(
        kind == Command.ADDFILT,
        add,
        If(kind == Command.RMFILT, remove, If(kind == Command.FLUSHFILT, flush, other)),
    )
    resets = (later.card.flags == Flags.RESETTING) & emptied
    return And(
        Implies(executes & (later.card.flags != Flags.RESETTING), executed),
        executes | unchanged | resets,
    )


# When a call does not end well


@BOOK.step("interrupted-outcome", "thread")
def interrupted_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """EINTR is said only to a call that sleeps and that a signal or a time limit ends."""
    ends = s.threads.asleep[t] & ~later.threads.asleep[t]
    return Implies(
        said(s, later, t, Result.EINTR),
        ends if by.party is Party.ENVIRONMENT else constant(0) == 1,
    )


@BOOK.step("again-outcome", "thread")
def again_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """EAGAIN is said only to a call that may not wait, and would have to.

    A reader would have to if others are in line before it, or by its load of the owner byte, which
    may be an early one.
    """
    ring = s.rx
    too_early = ring.owner_speculated & ring.speculated_owner
    return Implies(
        said(s, later, t, Result.EAGAIN),
        And(
            s.threads.nonblocking[t],
            at(s, t, Label.TX_TURN) & ~my_turn(TRANSMIT, s, t)
            | at(s, t, Label.RX_OWNER)
            & (~my_turn(RECEIVE, s, t) | (ring.dev == ring.cons) | too_early),
        ),
    )


@BOOK.step("failed-outcome", "thread")
def failed_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """EIO is said only after a failure, a close, an answer that cannot be, or an open undone.

    Exactly the calls that meet a card that is open and works are let in, and none goes on once that
    is over. A failure is one only if FLAGS says so and until a reset has ended, and an open is
    undone only if one of its commands did not succeed or its reset did not end.
    """
    driver = s.driver
    entering = (Label.WRITE_ENTER, Label.READ_ENTER, Label.FILTER_ENTER)
    unusable = driver.failed | (driver.life != Life.OPEN)
    waiting = at(s, t, Label.TX_TURN, Label.TX_WAIT, Label.CMD_TURN, Label.CMD_WAIT, Label.RX_OWNER)
    gets_on = at(later, t, Label.TX_FIRST_WORD, Label.TX_FIELDS, Label.CMD_FIELDS, Label.RX_HEADER)
    falls_asleep = later.threads.asleep[t] & ~s.threads.asleep[t]
    refused = one_of(s.threads.result[t], (Result.EIO, Result.EINTR, Result.ENOSPC))
    reset_failed = And(
        at(s, t, Label.POLL),
        driver.polls == 0,
        s.card.flags != Flags.CLEAR,
        later.driver.needs_reset,
    )
    return And(
        Implies(
            said(s, later, t, Result.EIO),
            Or(
                at(s, t, *entering) & unusable,
                waiting & call_must_end(s, t),
                at(s, t, Label.RX_HEADER) & s.card.lies,
                at(s, t, Label.OPEN_ENTER) & driver.failed & (driver.life == Life.OPEN),
                at(s, t, Label.CLOSED) & driver.aborting,
            ),
        ),
        Implies(leaves(s, later, t, *entering), Iff(at(later, t, Label.IDLE), unusable)),
        Implies(waiting & (gets_on | falls_asleep), ~call_must_end(s, t)),
        Implies(later.driver.failed & ~driver.failed, s.card.flags == Flags.ERROR),
        Implies(
            driver.failed & ~later.driver.failed & (t == by.choice("t")),
            at(s, t, Label.POLL) & (s.card.flags == Flags.CLEAR),
        ),
        Implies(
            later.driver.aborting & ~driver.aborting & (t == by.choice("t")),
            at(s, t, Label.STARTED, Label.ADDED_UNICAST) & refused | reset_failed,
        ),
    )


@BOOK.step("one-outcome", "thread")
def one_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """Every call ends with one result, which nobody changes once it was said.

    What the commands of an open or close end with on the way is not said yet.
    """
    before, after = s.threads.result[t], later.threads.result[t]
    conducting = Or(
        at(s, t, *(label for label in Label if Label.LEAVE <= label <= Label.CLOSED)),
        at(s, t, *COMMAND_LABELS) & (s.threads.return_to[t] != Label.EXIT),
    )
    begun = leaves(s, later, t, Label.IDLE)
    ended = (s.threads.pc[t] != later.threads.pc[t]) & at(later, t, Label.IDLE)
    return And(
        Implies((before != after) & (before != Result.NONE), begun | conducting),
        Implies(begun, after == Result.NONE),
        Implies(ended, after != Result.NONE),
        Implies(
            said(s, later, t, Result.OK),
            at(s, t, *SENDING, *COMMAND_LABELS, *READING, Label.OPEN_ENTER, Label.OPENED,
               Label.CLOSE_ENTER, Label.CLOSED),
        ),
    )  # fmt: skip


# Open and close


@BOOK.step("open-outcome", "thread")
def open_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """Open says OK exactly if it was counted: the card is open, and works as far as is known."""
    before, after = s.driver, later.driver
    ended = Or(
        ends(s, later, t, Label.OPEN_ENTER, Label.OPENED),
        ends(s, later, t, Label.CLOSED) & before.opening,
    )
    ok = later.threads.result[t] == Result.OK
    counted = (after.opens == before.opens + 1) & (after.handles == before.handles + 1)
    works = (after.life == Life.OPEN) & (at(s, t, Label.OPENED) | ~before.failed)
    return And(
        Implies(ended, If(ok, counted & works, after.opens == before.opens)),
        Implies(
            (after.opens != before.opens) & (t == by.choice("t")),
            at(s, t, Label.OPEN_ENTER, Label.OPENED, Label.CLOSE_ENTER),
        ),
        (after.opening == before.opening)
        | at(s, by.choice("t"), Label.OPEN_ENTER, Label.CLOSE_ENTER),
    )


@BOOK.step("close-outcome", "thread")
def close_outcome(s: State, later: State, by: By, t: Number) -> Bool:
    """Close counts; the last one waits for calls, drains, and sends STOP unless the card failed.

    It drains until that is overdue, resets the card only if it failed or if STOP or FLUSHFILT did
    not succeed, and says OK only if no reset is left to do.
    """
    before, after = s.driver, later.driver
    counted = (after.opens == before.opens - 1) & (after.handles == before.handles - 1)
    result = later.threads.result[t]
    closing = (before.life == Life.CLOSING) & ~before.opening & (t == before.conductor)
    refused = And(at(s, t, Label.STOPPED, Label.FLUSHED), s.threads.result[t] != Result.OK)
    stops = later.threads.kind[t] == Command.STOP
    overdue = by.party is Party.ENVIRONMENT
    empty = before.failed | (s.tx.cons == s.tx.prod)
    return And(
        Implies(
            ends(s, later, t, Label.CLOSE_ENTER),
            If(before.handles == 0, result == Result.EBADF, (result == Result.OK) & counted),
        ),
        Implies(said(s, later, t, Result.EBADF), at(s, t, Label.CLOSE_ENTER)),
        Implies(leaves(s, later, t, Label.CLOSE_ENTER) & at(later, t, Label.LEAVE), counted),
        Implies(
            closing & ends(s, later, t, Label.CLOSED),
            result == If(before.needs_reset, Result.EIO, Result.OK),
        ),
        Implies(closing & leaves(s, later, t, Label.LEAVE),
                at(later, t, Label.DRAIN) & (before.inside == 0)),
        Implies(leaves(s, later, t, Label.DRAIN),
                If(at(later, t, Label.RESET), before.failed, at(later, t, Label.STOP))),
        Implies(leaves(s, later, t, Label.DRAIN), empty if not overdue else ~before.failed),
        Implies(leaves(s, later, t, Label.STOP), at(later, t, Label.CMD_TURN) & stops),
        Implies(And(closing, s.threads.pc[t] != later.threads.pc[t], at(later, t, Label.RESET)),
                at(s, t, Label.DRAIN) & before.failed | refused),
    )  # fmt: skip


@BOOK.step("lock-needed", "thread")
def lock_needed(s: State, later: State, by: By, t: Number) -> Bool:
    """A thread goes on from where the lock is needed only if it is awake and has the lock.

    A signal or a time limit ends a sleep without it.
    """
    asleep = s.threads.asleep[t]
    has_lock = s.threads.ticket[t] == s.lock.serving
    allowed = asleep | has_lock if by.party is Party.ENVIRONMENT else ~asleep & has_lock
    return Implies(leaves(s, later, t, *LOCKED), allowed)


# The card


@BOOK.step("card-at-rest")
def card_at_rest(s: State, later: State, by: By) -> Bool:
    """A card that failed, is being reset, or may not access memory does nothing.

    Its engines stand still, so no memory is accessed and no packet sent or taken, and no event is
    reported. What the driver does to it is the driver's affair.
    """
    if by.party not in (Party.DEVICE, Party.ENVIRONMENT):
        return TRUE
    still = [later.card.started == s.card.started, later.card.stopping == s.card.stopping]
    for ring, later_ring in ((s.tx, later.tx), (s.cmd, later.cmd), (s.rx, later.rx)):
        still += [later_ring.stage == ring.stage, later_ring.event == ring.event]
    return running(s) | And(later.rx.dropped == s.rx.dropped, *still)


@BOOK.step("reset-forgets")
def reset_forgets(s: State, later: State, by: By) -> Bool:
    """A reset makes the card forget all that it was told and all that it was at.

    That is its rings and doorbells, the filters, traffic and STOP, and the events it was to report.
    """
    card = later.card
    forgotten = [
        card.flags == Flags.RESETTING,
        ~(card.started | card.stopping | card.raising | later.rx.dropped),
        card.filter_count == 0,
        ~(later.tx.look | later.cmd.look),
    ]
    for ring in (later.tx, later.cmd, later.rx):
        forgotten += [
            ring.stage == Stage.IDLE,
            ring.dev_i == 0,
            ~(ring.due | ring.event | ring.based),
        ]
    return Implies(leaves(s, later, by.choice("t"), Label.RESET), And(*forgotten))


@BOOK.step("doorbell-kept")
def doorbell_kept(s: State, later: State, by: By) -> Bool:
    """A doorbell makes the card look until the slot that it named came back, and no longer.

    A reset forgets doorbells, and START those of the packet ring, whose slots are new then.
    """
    parts = []
    for ring, after in ((s.tx, later.tx), (s.cmd, later.cmd)):
        slot = ring.doorbell_value[ring.doorbells_arrived]
        arrives = FALSE
        if by.party is Party.MEMORY:
            arrives = after.doorbells_arrived == ring.doorbells_arrived + 1
        legal = And(s.card.flags == Flags.CLEAR, ring.based, slot < ring_size())
        looks = (ring.stage == Stage.IDLE) & (after.stage == Stage.LOOK)
        returns = (ring.stage == Stage.WRITE_OWNER) & (after.dev == ring.dev + 1)
        starts = (s.cmd.stage == Stage.EXECUTE) & (later.cmd.stage != Stage.EXECUTE)
        forgotten = (later.card.flags == Flags.RESETTING) & ~after.look
        if ring is s.tx:
            forgotten |= starts & ~after.look & (later.tx.dev_i == 0)
            parts.append(Implies(starts & later.card.started & ~s.card.started, ~after.look))
        parts += [
            If(
                arrives,
                Iff(after.look, ring.look | legal)
                & (after.doorbell_i == If(legal, slot, ring.doorbell_i)),
                after.doorbell_i == ring.doorbell_i,
            ),
            Implies(after.look & ~ring.look, arrives | returns),
            Implies(returns, Iff(after.look, ring.look | (ring.dev_i != ring.doorbell_i))),
            Implies(ring.look & ~after.look, looks | forgotten),
        ]
    return And(*parts)


# Nobody spins


@BOOK.step("sleep-outcome", "thread")
def sleeps_until_woken(s: State, later: State, by: By, t: Number) -> Bool:
    """Who falls asleep has not been woken yet, and sleeps on, idle, until somebody wakes it.

    Signals, time limits, and wake-ups without a reason are the environment's.
    """

    def woken(state: State) -> Bool:
        threads = state.threads
        return Or(
            at(s, t, *SLEEPS_TX) & threads.wake_tx[t],
            at(s, t, *SLEEPS_CMD) & threads.wake_cmd[t],
            at(s, t, *SLEEPS_LIFE) & threads.wake_life[t],
            at(s, t, *SLEEPS_RX) & threads.wake_rx[t],
        )

    before, after = s.threads.asleep[t], later.threads.asleep[t]
    idle = s.threads.pc[t] == later.threads.pc[t]
    parts = [Implies(after & ~before, ~woken(later)), Implies(before & after, idle)]
    if by.party is not Party.ENVIRONMENT:
        parts.append(Implies(before & ~after, woken(s)))
    return And(*parts)


@BOOK.step("interrupt-outcome")
def interrupts_are_served_once(s: State, later: State, by: By) -> Bool:
    """A vector that is served is not pending any more, and is raised only where there is a reason.

    A completion sets its event bit once, and calls once unless a reset comes first, and so does a
    packet that is dropped. Nothing else than reading EVFLAGS, or a reset, clears the bit, so that
    the events that were read do not call again. A spurious vector is the
    environment's, and so is one that is withdrawn.
    """
    t = by.choice("t")
    before, after = s.card, later.card

    def events(state: State) -> Bool:
        return Or(state.tx.event, state.cmd.event, state.rx.event, state.rx.dropped)

    parts = [
        Implies(leaves(s, later, t, Label.EVENT_IDLE), before.vector0 & ~after.vector0),
        Implies(leaves(s, later, t, Label.FATAL_IDLE), before.vector1 & ~after.vector1),
        Implies(leaves(s, later, t, Label.READ_EVENTS), ~events(later)),
        Implies(after.raising & ~before.raising, events(later)),
        Implies(later.rx.dropped & ~s.rx.dropped, after.raising),
        *(
            Implies(later_ring.event & ~ring.event, ring.due & ~later_ring.due)
            for ring, later_ring in ((s.tx, later.tx), (s.cmd, later.cmd), (s.rx, later.rx))
        ),
        Implies(after.vector1 & ~before.vector1, after.flags == Flags.ERROR),
        Implies(before.vector1 & ~after.vector1, leaves(s, later, t, Label.FATAL_IDLE)),
        *(
            Implies(bit & ~later_bit, leaves(s, later, t, Label.READ_EVENTS, Label.RESET))
            for bit, later_bit in (
                (s.tx.event, later.tx.event),
                (s.cmd.event, later.cmd.event),
                (s.rx.event, later.rx.event),
                (s.rx.dropped, later.rx.dropped),
            )
        ),
    ]
    if by.party is not Party.ENVIRONMENT:
        parts.append(Implies(after.vector0 & ~before.vector0, before.raising & ~after.raising))
        resets = after.flags == Flags.RESETTING
        parts.append(Implies(before.raising & ~after.raising, after.vector0 | resets))
    return And(*parts)


STEPS: Final[tuple[StepProperty, ...]] = tuple(BOOK.steps)
"""All of them, in order."""
