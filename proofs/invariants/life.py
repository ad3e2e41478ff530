"""Open and close: who does it, which rings are in use meanwhile, and by which commands."""

from __future__ import annotations

from typing import Final

from engine.claims import InvariantBook, slot_exists
from engine.terms import And, Bool, Implies, Number, Or, constant, one_of, wrap
from model.device_spec import running
from model.ring_spec import COMMAND_LABELS
from model.state import UNICAST, Command, Flags, Label, Life, Result, Stage, State
from model.thread_spec import at
from proofs.invariants.phases import (
    AFTER_RESET,
    CLOSING_PHASES,
    OPENING_PHASES,
    QUIET,
    RESETTING,
    at_step,
    conducting,
    phase,
)
from proofs.invariants.requests import finished, outstanding

__all__ = ["BOOK", "submitted"]

BOOK: Final = InvariantBook()


@BOOK.invariant("life.conductor", "thread")
def one_conductor(s: State, t: Number) -> Bool:
    """At most one thread opens or closes the card."""
    return Implies(
        conducting(s, t),
        And(
            t == s.driver.conductor,
            one_of(s.driver.life, (Life.OPENING, Life.CLOSING)),
        ),
    )


@BOOK.invariant("life.state")
def life_state(s: State) -> Bool:
    """What the driver is doing, who does it, and what it counts agree."""
    driver = s.driver
    changing = one_of(driver.life, (Life.OPENING, Life.CLOSING))
    return And(
        one_of(driver.life, Life),
        ~s.card.was_reset | one_of(s.card.flags, Flags),
        constant(0) <= driver.polls,
        Implies(changing, conducting(s, driver.conductor)),
        driver.opens == driver.handles,
        constant(0) <= driver.handles,
        (driver.life == Life.OPEN) == (driver.handles != 0),
        Implies((driver.life != Life.OPEN) & ~phase(s, Label.LEAVE), driver.inside == 0),
        Implies(phase(s, *CLOSING_PHASES), driver.life == Life.CLOSING),
        Implies(phase(s, *OPENING_PHASES), (driver.life == Life.OPENING) & ~driver.aborting),
        slot_exists(driver.cursor),
        Implies(driver.life == Life.OPENING, ~driver.aborting | at_step(s, Label.CLOSED)),
    )


@BOOK.invariant("life.rings")
def life_rings(s: State) -> Bool:
    """Which rings are in use in which phase."""
    driver = s.driver
    known = s.card.was_reset
    opened = driver.life == Life.OPEN
    packets = Or(
        opened,
        phase(
            s,
            *CLOSING_PHASES,
            Label.READ_BACK,
            Label.START,
            Label.STARTED,
            Label.ADD_UNICAST,
            Label.ADDED_UNICAST,
            Label.OPENED,
        ),
    )
    commands = packets | phase(s, *QUIET) | (driver.life == Life.CLOSED) & ~driver.needs_reset
    commands = commands | at_step(s, Label.CLOSED) & ~driver.needs_reset
    none = Or(
        phase(s, *RESETTING, *QUIET),
        at_step(s, Label.CLOSED),
        driver.life == Life.CLOSED,
    )
    return And(
        Implies(packets, s.tx.live & s.rx.live),
        Implies(commands, s.cmd.live & ~driver.needs_reset),
        Implies(none, ~s.tx.live & ~s.rx.live & ~(known & s.card.started)),
        Implies(phase(s, *RESETTING), ~s.cmd.live & ~s.cmd.based & (s.cmd.dev_i == 0)),
        Implies(known & ~s.tx.live, s.tx.stage == Stage.IDLE),
        Implies(known & ~s.cmd.live, s.cmd.stage == Stage.IDLE),
        s.tx.live == s.rx.live,
        Implies(s.tx.live, s.cmd.live),
        Implies(driver.needs_reset & (driver.life != Life.OPENING) & (driver.life != Life.CLOSING),
                ~s.cmd.live),
        Implies(at_step(s, Label.CLOSED) & driver.needs_reset, ~s.cmd.live),
        Implies(s.card.flags == Flags.RESETTING, ~s.cmd.live),
        Implies(phase(s, *AFTER_RESET), s.card.flags != Flags.RESETTING),
        Implies(known & ~s.cmd.live, ~s.cmd.based),
    )  # fmt: skip


def last_command_executed(s: State) -> Bool:
    """The card has executed every command submitted, though it may not have returned the last."""
    ring = s.cmd
    answering = one_of(ring.stage, (Stage.WRITE_STATUS, Stage.WRITE_OWNER))
    return (ring.dev == ring.prod) | answering & (ring.dev + 1 == ring.prod)


def submitted(s: State, t: Number) -> Bool:
    """Thread t has handed its command over and waits for the answer or gives up waiting."""
    return at(s, t, Label.CMD_DOORBELL, Label.CMD_WAIT, Label.CMD_ABANDON) | at(
        s, t, Label.CMD_LEAVE_QUEUE
    ) & (s.threads.result[t] == Result.NONE)


def ready_to_start(s: State) -> Bool:
    """Both packet rings are set up and unused: the state in which START makes sense."""
    tx, rx = s.tx, s.rx
    return And(
        ~s.card.started,
        tx.live,
        rx.live,
        (tx.prod == tx.cons) & (tx.dev == tx.cons) & (tx.prod_i == 0) & (tx.cons_i == 0),
        (tx.doorbells_arrived == tx.doorbells_posted)
        & (tx.doorbells_posted == tx.prod)
        & (tx.first == tx.prod),
        (rx.dev == rx.cons) & (rx.cons_i == 0) & (rx.first == rx.cons),
    )


@BOOK.invariant("life.bases")
def life_bases(s: State) -> Bool:
    """Addresses under way are those of rings that are set up; whoever awaits them has asked."""
    posted, awaited = s.card.bases_posted, s.driver.read_unanswered
    setting_up = phase(s, Label.READ_BACK, Label.START, Label.STARTED) | at_step(s, Label.RESET)
    return And(
        Implies(posted, And(s.tx.live, ~s.card.started, setting_up)),
        Implies(posted & ~at_step(s, Label.READ_BACK), awaited),
        Implies(awaited, posted),
    )


@BOOK.invariant("life.answers", "thread")
def life_answers(s: State, t: Number) -> Bool:
    """The conductor's command is the newest one; an OK answer means that all were executed."""
    ring, threads = s.cmd, s.threads
    back = threads.return_to[t]
    kind_of_back = And(
        Implies(back == Label.STOPPED, threads.kind[t] == Command.STOP),
        Implies(back == Label.FLUSHED, threads.kind[t] == Command.FLUSHFILT),
        Implies(back == Label.STARTED, threads.kind[t] == Command.START),
        Implies(back == Label.ADDED_UNICAST, threads.kind[t] == Command.ADDFILT),
    )
    ordinary = one_of(threads.kind[t], (Command.ADDFILT, Command.RMFILT))
    waiting = submitted(s, t) & (back != Label.EXIT)
    answered = at(s, t, Label.STOPPED, Label.FLUSHED, Label.STARTED, Label.ADDED_UNICAST)
    return And(
        Implies(at(s, t, *COMMAND_LABELS) | answered, kind_of_back),
        Implies(at(s, t, *COMMAND_LABELS, Label.FILTER_ENTER) & (back == Label.EXIT), ordinary),
        Implies(waiting, And(threads.request[t] + 1 == ring.prod,
                             Implies(threads.completed[t], ring.cons == ring.prod))),
        Implies(waiting & ~threads.completed[t],
                ring.kind_new[threads.slot[t]] == threads.kind[t]),
        Implies(answered, back == threads.pc[t]),
        Implies(answered & (threads.result[t] == Result.OK), ring.cons == ring.prod),
    )  # fmt: skip


@BOOK.invariant("life.commands", "slot")
def life_commands(s: State, k: Number) -> Bool:
    """START, STOP and FLUSHFILT are outstanding only while the conductor sees to them."""
    ring = s.cmd
    c = s.driver.conductor
    offset = wrap(k, ring.cons_i)
    kind = ring.kind_new[k]
    conducted = And(
        one_of(s.driver.life, (Life.OPENING, Life.CLOSING)),
        ring.cons + offset + 1 == ring.prod,
        kind == s.threads.kind[c],
        Or(
            submitted(s, c) & (s.threads.return_to[c] != Label.EXIT),
            at(s, c, Label.RESET),
            at(s, c, Label.STOPPED, Label.STARTED, Label.FLUSHED)
            & (s.threads.result[c] != Result.OK),
        ),
    )
    executed = And(
        offset == finished(ring), one_of(ring.stage, (Stage.WRITE_STATUS, Stage.WRITE_OWNER))
    )
    return Implies(
        And(ring.live, slot_exists(k), finished(ring) <= offset, offset < outstanding(ring)),
        And(
            one_of(kind, (Command.ADDFILT, Command.RMFILT)) | conducted,
            Implies((kind == Command.START) & ~executed, ready_to_start(s)),
            Implies(kind == Command.START, ring.owner_pending[k] | ~s.card.bases_posted),
            Implies((kind == Command.STOP) & ~executed & running(s), s.card.started),
        ),
    )


@BOOK.invariant("life.started")
def life_started(s: State) -> Bool:
    """Packet traffic is on exactly when the driver believes so, and no command is out of order."""
    driver, card = s.driver, s.card
    c = driver.conductor
    waits = submitted(s, c)
    executed = last_command_executed(s)
    commanding = at(s, c, *COMMAND_LABELS)
    before = Or(
        at_step(s, Label.LEAVE, Label.DRAIN, Label.STOP),
        phase(s, Label.STOPPED) & at(s, c, *COMMAND_LABELS) & ~waits,
        at_step(s, Label.ADD_UNICAST, Label.ADDED_UNICAST, Label.OPENED),
        phase(s, Label.ADDED_UNICAST),
        driver.life == Life.OPEN,
    )
    after = Or(
        phase(s, Label.FLUSH, Label.FLUSHED),
        at_step(s, Label.STOPPED) & (s.threads.result[c] == Result.OK),
        at_step(s, Label.READ_BACK, Label.START),
        phase(s, Label.STARTED) & at(s, c, *COMMAND_LABELS) & ~waits,
    )
    return And(
        ~card.sequence_error,
        Implies(before, card.started),
        Implies(after, ~card.started),
        Implies(
            phase(s, Label.STOPPED) & commanding & waits & running(s),
            card.started != executed,
        ),
        Implies(
            phase(s, Label.STOPPED) & at(s, c, *COMMAND_LABELS) & waits & executed,
            ~card.started,
        ),
        Implies(
            phase(s, Label.STARTED) & commanding & waits & running(s),
            card.started == executed,
        ),
        Implies(
            phase(s, Label.STARTED) & at(s, c, *COMMAND_LABELS) & waits & executed,
            card.started,
        ),
        Implies(at_step(s, Label.STARTED) & (s.threads.result[c] == Result.OK), card.started),
        Implies(
            at_step(s, Label.READ_BACK, Label.START)
            | phase(s, Label.STARTED) & at(s, c, *COMMAND_LABELS) & ~waits,
            And(s.cmd.dev == s.cmd.prod, ready_to_start(s)),
        ),
        Implies(
            phase(s, *QUIET) | ((driver.life == Life.CLOSED) | at_step(s, Label.CLOSED))
            & ~driver.needs_reset,
            s.cmd.dev == s.cmd.prod,
        ),
        Implies(phase(s, *RESETTING),
                (s.tx.doorbells_arrived == s.tx.doorbells_posted)
                & (s.cmd.doorbells_arrived == s.cmd.doorbells_posted)),
    )  # fmt: skip


def without_filters(s: State) -> Bool:
    """The card was closed or reset, and nobody has added a filter since."""
    c = s.driver.conductor
    return Or(
        (s.driver.life == Life.CLOSED) & ~s.driver.needs_reset,
        phase(s, *RESETTING, *QUIET),
        at_step(s, Label.CLOSED) & ~s.driver.needs_reset,
        at_step(s, Label.FLUSHED) & (s.threads.result[c] == Result.OK),
        phase(s, Label.FLUSHED) & submitted(s, c) & last_command_executed(s),
    )


@BOOK.invariant("life.no-filters", "key")
def no_filters(s: State, key: Number) -> Bool:
    """A card that was closed or reset has no filter."""
    return Implies(without_filters(s), s.card.filters[key] == 0)


@BOOK.invariant("life.filter-count")
def no_filter_count(s: State) -> Bool:
    """A card that was closed or reset counts no filter."""
    return Implies(without_filters(s), s.card.filter_count == 0)


@BOOK.invariant("life.own-address-asked", "thread")
def own_address_asked(s: State, t: Number) -> Bool:
    """No user adds or removes the card's own address."""
    threads = s.threads
    return And(
        Implies(
            at(s, t, *COMMAND_LABELS, Label.FILTER_ENTER) & (threads.return_to[t] == Label.EXIT),
            threads.key[t] != UNICAST,
        ),
        Implies(
            at(s, t, *COMMAND_LABELS) & (threads.return_to[t] == Label.ADDED_UNICAST),
            threads.key[t] == UNICAST,
        ),
    )


@BOOK.invariant("life.own-address-kept", "slot")
def own_address_kept(s: State, k: Number) -> Bool:
    """A command about the card's own address is on its way only in an open, or in its undoing."""
    ring, c = s.cmd, s.driver.conductor
    offset = wrap(k, ring.cons_i)
    adds = phase(s, Label.ADDED_UNICAST)
    return Implies(
        And(
            ring.live,
            slot_exists(k),
            finished(ring) <= offset,
            offset < outstanding(ring),
            one_of(ring.kind_new[k], (Command.ADDFILT, Command.RMFILT)),
            ring.key_new[k] == UNICAST,
        ),
        And(
            ring.kind_new[k] == Command.ADDFILT,
            Or(
                s.driver.life == Life.CLOSING,
                And(adds, submitted(s, c), ring.cons + offset + 1 == ring.prod),
                at_step(s, Label.ADDED_UNICAST) & (s.threads.result[c] != Result.OK),
            ),
        ),
    )


@BOOK.invariant("life.own-address")
def life_own_address(s: State) -> Bool:
    """An open card has the filter of its own address once, from the moment that it was added."""
    ring, threads, c = s.cmd, s.threads, s.driver.conductor
    commanding = phase(s, Label.ADDED_UNICAST) & at(s, c, *COMMAND_LABELS)
    adding = commanding & submitted(s, c)
    written = (ring.dev == ring.prod) & (ring.status[threads.slot[c]] == Result.OK)
    answering = And(
        one_of(ring.stage, (Stage.WRITE_STATUS, Stage.WRITE_OWNER)),
        ring.dev + 1 == ring.prod,
        ring.computed_status == Result.OK,
    )
    told = threads.completed[c] & (threads.status[c] == Result.OK)
    present = Or(
        s.driver.life == Life.OPEN,
        at_step(s, Label.OPENED),
        at_step(s, Label.ADDED_UNICAST) & (threads.result[c] == Result.OK),
        adding & (told | ~threads.completed[c] & (written | answering)),
    )
    absent = Or(
        phase(s, Label.READ_BACK, Label.START, Label.STARTED),
        at_step(s, Label.ADD_UNICAST),
        commanding & ~submitted(s, c),
        adding & ~last_command_executed(s),
    )
    return And(
        Implies(present, s.card.filters[UNICAST] == 1),
        Implies(absent, s.card.filters[UNICAST] == 0),
    )
