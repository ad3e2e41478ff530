"""Every fault in words: what somebody does wrong, and what comes of it.

A fault is a mistake that a driver or a card could make. It is described here, once, and made in
other places: `proofs/` makes it in the specification, as a small change of its rules, and
`properties/` makes it in the driver's own lines, or in the emulated card. A mistake that is made in
several places has the same description there, and so the same name.

Two drivers for the card are public: the reference driver (R) and an independent one (I). Their
defects were found by reading the drivers against the datasheet. R was run afterwards, compiled as
it is over a shim of the kernel's calls, with an emulated card: that confirmed most of its defects,
showed others, and is told below where it made a difference. The origin of a fault is one of these
or both (R, I), none of them but known to every driver writer (classic), or nowhere but here (own).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.faults import Fault

__all__ = ["BARRIERS", "CATALOGUE", "barrier_fault", "described"]


def barrier_fault(name: str, rule: str, barrier: str, explanation: str, broken: str) -> Fault:
    """The fault of a driver that does not hold a rule back with a barrier."""
    title = f"the barrier of {rule} is missing ({barrier})"
    return Fault(name, "classic", title, explanation, broken)


_FIELD: Final = (
    Fault(
        "zero-length-stall",
        "R",
        "an empty packet is handed back without advancing the receive index",
        """
        A packet of length 0 is legal. When the driver finds one it has nothing to copy, so it
        takes a shortcut: it gives the slot back to the card and returns, but skips the queue that
        advances its receive index. Driver and card now disagree about which slot comes next: the
        driver waits for the card to fill slot 0 again, while the card, which walks the ring in
        order, puts the next packet into slot 1. The interrupt for that packet tells readers to
        look. The reader looks at slot 0, finds it owned by the card, and sleeps. The packet lies in
        slot 1, nobody looks there, and nothing wakes the reader until the card has gone all the way
        round the ring; then packets come out in the wrong order. With a single slot the next slot
        is the same one, so the mistake shows from two slots on.
        """,
        "no-lost-packet",
    ),
    Fault(
        "wild-pointer-recycle",
        "R",
        "an empty packet's slot gets its buffer pointers from an index that was never set",
        """
        Before a slot goes back to the card its buffer pointers must be stored again. On the path
        for packets of length 0 the driver copies them from its table of buffers with a loop index
        that this path never set, so the slot then points to whatever the index happens to lead to.
        The next packet that the card puts into this slot is written there: into memory that the
        slot does not own.
        """,
        "buffer-ownership",
    ),
    Fault(
        "fatal-is-forever",
        "R",
        "the fatal handler sets a flag that nothing ever clears",
        """
        When the card reports a fatal error the driver sets a flag that makes every call fail. After
        the last close the card is reset, successfully, and could be used again. But nothing clears
        the flag: every open from now on returns EIO, until the machine is restarted.
        """,
        "recoverability",
    ),
    Fault(
        "free-while-started",
        "R",
        "when an open fails after START, the buffers are freed without STOP",
        """
        An open sends START and then adds the card's own address as a filter. If the filter command
        fails, or a signal interrupts one of the two waits, the driver frees the ring's buffers and
        returns an error. But the card has started, or will as soon as it gets to the command, and
        nobody tells it to stop: the next packet is written into memory that belongs to somebody
        else by now. R, when run, zeroed the pointers of the card's slots first; a card that had
        fetched its descriptors ahead still wrote to freed pages, another one dropped packets.
        """,
        "no-dma-after-free",
    ),
    Fault(
        "stop-failed-free",
        "R",
        "close frees the buffers even when STOP did not complete",
        """
        The last close sends STOP and waits for the answer. If the wait ends early, by a signal say,
        the driver goes on all the same: it frees the buffers and reports the card closed. The card
        has not executed STOP yet. A packet that arrives now is written into freed memory. When R
        was run with a STOP that was refused, it freed the buffers of a card that was still started;
        no packet came in time.
        """,
        "no-dma-after-free",
    ),
    Fault(
        "result-of-another",
        "R",
        "a command's error byte is read after a sleep, when its slot may carry another command",
        """
        A caller submits a command and sleeps. When it wakes it reads the error byte from its slot.
        But the interrupt handler has taken the slot back already, and nothing keeps it: with enough
        callers (65 on a ring of 64 slots) another command has reused it. The caller returns the
        other command's result as its own.
        """,
        "own-result",
    ),
    Fault(
        "waits-for-another",
        "R",
        "a blocking write waits until its slot is the host's, which may carry a later packet",
        """
        A blocking write returns when its packet was sent. The driver decides that by looking at the
        owner of the slot that it used. When the writer wakes, somebody else may have put a later
        packet into the same slot already, so the slot is the card's again and the writer sleeps
        again. On a busy ring this can go on for ever, although its own packet left long ago.
        """,
        "requests-complete",
    ),
    Fault(
        "wake-before-advance",
        "R",
        "the transmit handler wakes writers and drops the lock before it advances its index",
        """
        A writer sleeps because the ring is full. The handler finds that the card has sent a packet,
        wakes the writers, drops the lock, and only then counts the slot as free. The writer gets
        the lock in between, still sees a full ring, and sleeps again. Now the handler advances its
        index: the slot is free, and nobody tells the writer. It sleeps until another packet
        completes; on a ring with one slot there is none. Where one big lock is held all along, as
        in R's kernel, writers are safe, and only pollers are told too early.
        """,
        "no-lost-wake-up",
    ),
    Fault(
        "wrong-channel",
        "R",
        "a close wakes other channels than the ones that readers and writers sleep on",
        """
        The last close must wait until all calls have left the driver, so it wakes whoever sleeps in
        one. But it signals a channel on which no reader or writer sleeps. The reader goes on
        waiting for a packet, the close waits for the reader, and neither ever moves. In R's system
        a call keeps its file open, so it takes a forced close.
        """,
        "deadlock-freedom",
    ),
    Fault(
        "open-count",
        "R, I",
        "opens are counted one by one, but the system calls close once, at the last close",
        """
        The driver adds one to its count at every open and takes one off at every close. But the
        system calls a character device's close routine only once, when the last user has closed it.
        After two opens the count is two, the only close brings it to one, and the driver believes
        that somebody still uses the card: it is never stopped again.
        """,
        "opens-counted",
    ),
    Fault(
        "stale-owner-reopen",
        "R",
        "the transmit ring is not initialised again on open; slots that STOP left stay the card's",
        """
        STOP may leave transmit slots untouched that the card has not sent yet: their owner byte
        still says DEVICE. The driver initialises the transmit ring once and not at every open, so
        after a close and another open the first slot seems to belong to the card. The first write
        waits for the card to return it. The card has no reason to: it was stopped, and no doorbell
        will ring for this slot.
        """,
        "deadlock-freedom",
    ),
    Fault(
        "submit-ignores-fatal",
        "R",
        "the wait for a free command slot does not look at the fatal flag",
        """
        A caller finds the command ring full and sleeps until a slot is free. When the card fails
        the fatal handler wakes everybody, but this loop asks one question only: is there a free
        slot? There is none, and there never will be, because a card that failed returns no slot.
        The caller sleeps again, for ever.
        """,
        "deadlock-freedom",
    ),
    Fault(
        "reset-spins",
        "R",
        "a reset is waited for in a loop that has no end in practice",
        """
        After writing RST the driver reads FLAGS until it is 0, up to 2^32 times, inside the
        interrupt handler with the lock held. If the card does not come back, because it is dead or
        fails again each time, the machine hangs: no other thread gets the lock and no call ends.
        """,
        "open-and-close-end",
    ),
    Fault(
        "acquire-too-early",
        "I",
        "the load barrier stands before the owner byte is read, not after it",
        """
        The reader must load the owner byte first and the packet afterwards. The driver has a load
        barrier, but puts it before the load of the owner byte, where it orders nothing that
        matters. On a machine that may satisfy loads early the header can be read while the card
        still owns the slot; then the owner byte is read, says HOST, and the driver trusts the stale
        header: length and addresses of whatever lay in the slot before.
        """,
        "receive-fifo",
    ),
    Fault(
        "dead-after-one",
        "I",
        "after the first packet both receive indices are reduced alike and stay equal for ever",
        """
        The driver keeps two receive indices and takes the ring for empty when they are equal. After
        the first packet it reduces both modulo the ring size in the same statement, which makes
        them equal, and from then on they move together. Packets keep arriving and interrupts keep
        waking the reader, but it compares the indices, finds them equal, and sleeps again.
        """,
        "no-lost-packet",
    ),
    Fault(
        "unlock-then-sleep",
        "I",
        "a caller checks its condition, drops the lock, and then starts to sleep",
        """
        A caller looks whether its command has completed; it has not, so the caller drops the lock
        and goes to sleep: two steps. If the command completes between the two, the handler takes
        the lock, finds nobody sleeping whom it could wake, and is done. Then the caller falls
        asleep, waiting for a wake-up that has come and gone. Dropping the lock and starting to wait
        must be one step.
        """,
        "no-lost-wake-up",
    ),
    Fault(
        "double-fetch",
        "I",
        "a length is read from shared memory, checked, and read again to be used",
        """
        The driver checks that the length in the slot is not larger than the slot's buffers. To copy
        the packet it reads the length from the slot again. The slot lies in memory that the card
        can write: a faulty or hostile card changes the length between the two loads, and the driver
        copies past the end of the buffers with a length that it never checked.
        """,
        "bounds",
    ),
    Fault(
        "unchecked-length",
        "I",
        "a length inside the received payload is trusted",
        """
        The payload of a packet carries a length of its own, written by whoever sent the packet. The
        driver copies that many bytes to the reader without comparing it with what the card
        received. Anybody on the net can make the driver read past the end of the buffers.
        """,
        "bounds",
    ),
    Fault(
        "shared-result",
        "I",
        "all callers share one variable for the result of the last command",
        """
        The interrupt handler stores the result of each command in one variable of the driver, and a
        caller that wakes reads it from there. If another command completes before the first caller
        gets to run, the variable holds the later command's result, and the first caller returns
        that.
        """,
        "own-result",
    ),
    Fault(
        "rx-before-start",
        "I",
        "receive slots are the card's from attach on, and freed at detach without STOP or reset",
        """
        The driver allocates the receive buffers, hands them to the card and programs the ring when
        it attaches, before anybody opens the card, and frees them when it detaches. It sends
        neither STOP nor a reset before it frees them, so the card still owns every slot and keeps
        filling buffers that are gone.
        """,
        "no-dma-after-free",
    ),
    Fault(
        "open-leak",
        "I",
        "a failed open leaves its count behind",
        """
        The driver counts an open before it knows whether the open succeeds, and the error path does
        not take the count back. After one failed open the count is one too high for ever: the last
        close does not bring it to zero, and the card is never stopped.
        """,
        "opens-counted",
    ),
    Fault(
        "stale-command-index",
        "R",
        "the index of a command's slot is taken before the wait for a free slot, and used after it",
        """
        With the command ring full a caller notes the index of the next slot, sleeps until there is
        room, and then puts its command into the slot that it noted. If two callers wait they have
        noted the same slot. The first one uses it; the second one overwrites that command while it
        is the card's, and leaves the slot untouched that the card looks at next. The last commands
        are never executed, and a STOP behind them is not either.
        """,
        "race-freedom",
    ),
    Fault(
        "negative-length-read",
        "R",
        "the size that a reader asks for is trusted where it is negative as a signed number",
        """
        A reader says how many bytes it has room for, and the driver copies the smaller of that and
        the packet's length. It compares the two as signed numbers: a size of 2^31 or more is
        negative, and so the smaller one. As a count of bytes it is huge again, and the copy runs
        past the end of the buffers, into memory that the reader should not see.
        """,
        "bounds",
    ),
    Fault(
        "short-read-stall",
        "R",
        "a read that is shorter than a header hands its slot back without advancing the index",
        """
        A reader that asks for fewer bytes than the header has takes the way of the empty packet:
        the slot goes back to the card and the receive index stays. From then on driver and card
        disagree about the next slot, and the next packet lies where nobody looks. So any program
        that may read from the card can stop reception for all others, with one call.
        """,
        "no-lost-packet",
    ),
    Fault(
        "phantom-write",
        "R",
        "a write that finds the ring full and may not wait says OK, and its packet is gone",
        """
        The driver takes the payload from its caller first and looks for a free slot afterwards.
        When there is none and the call may not wait, it fails with EAGAIN, but by then the system
        counts the payload as written: the program is told OK. The packet was never on the ring.
        """,
        "send-outcome",
    ),
    Fault(
        "pollers-not-told",
        "R",
        "a fatal error wakes sleeping calls, and no poller",
        """
        The fatal handler wakes whoever sleeps in a call. A program that sleeps in none, but waits
        for the card to become readable or writable, is not told. No packet will ever come, so an
        event loop waits for ever for a card that has failed.
        """,
        "failure-polled",
    ),
    Fault(
        "close-loses-queue",
        "R",
        "the last close stops the card with packets queued that it has time to send",
        """
        A write that may not wait returns when its packet is queued. The last close sends STOP at
        once, and the card may leave what it has not sent yet. A program that writes and exits, as
        most do, loses its last packets.
        """,
        "close-outcome",
    ),
    Fault(
        "wake-before-free",
        "R",
        "the last close wakes those who wait to open before it has freed the rings",
        """
        A last close has stopped the card. It declares the card closed, wakes whoever waits to open
        it, and frees the rings of its own after that. The next open comes in between, sets up the
        rings anew and starts the card, and then the close frees them: the open succeeds, its calls
        fail, and the card writes to memory that was freed.
        """,
        "no-dma-after-free",
    ),
)
"""Defects of two real drivers."""


def _classic(name: str, title: str, explanation: str, broken: str) -> Fault:
    return Fault(name, "classic", title, explanation, broken)


_CLASSIC: Final = (
    _classic(
        "owner-before-fields",
        "the owner byte is stored before the fields and the payload",
        """
        Storing owner = DEVICE hands the slot and its buffers to the card. The driver does that
        first and fills in the rest afterwards. The card may look at the slot in between, and sends
        whatever the memory held before.
        """,
        "transmit-fifo",
    ),
    _classic(
        "doorbell-before-owner",
        "the doorbell is rung before the owner byte is stored",
        """
        The doorbell tells the card to look at the slot. If it arrives before the owner byte says
        DEVICE the card finds a slot of the host's, and goes back to rest. Then the owner byte is
        stored, too late: no doorbell will ring for this slot again, and the writer waits for ever.
        """,
        "deadlock-freedom",
    ),
    _classic(
        "doorbell-wrong-index",
        "the doorbell names the slot after the one handed over",
        """
        The doorbell carries the index of the slot just handed over. The driver advances its
        producer index first and then writes that index, which is the next slot's. The card is sent
        to a slot that was not handed over. On a ring with one slot both are the same.
        """,
        "doorbell-index",
    ),
    _classic(
        "no-doorbell",
        "the doorbell is not rung at all",
        """
        The driver fills in the slot and hands it over, but does not write DBELL. A card that looks
        at its ring only when told to never finds the packet, and the writer waits for ever.
        """,
        "deadlock-freedom",
    ),
    _classic(
        "doorbell-wrong-ring",
        "the doorbell for a packet lacks bit 31, so it rings for the command ring",
        """
        Bit 31 of DBELL says which ring is meant. The driver leaves it clear after handing over a
        packet. The card looks at the command ring, finds nothing there, and never looks at the
        packet; the writer waits for ever.
        """,
        "deadlock-freedom",
    ),
    _classic(
        "producer-unbounded",
        "the producer index is not bounded by the consumer's",
        """
        The driver does not check whether the ring is full. With as many packets under way as there
        are slots the next one goes into a slot that the card still owns, and overwrites a packet
        that was not sent yet.
        """,
        "flow-control",
    ),
    _classic(
        "batch-sleeps-unrung",
        "a batch rings only after its last packet, but sleeps on a full ring before that",
        """
        To spare register writes the driver hands over several packets and rings the doorbell once,
        after the last one. With fewer free slots than packets it finds the ring full on the way and
        sleeps until the card returns a slot. But the card was not told of the packets that it has
        been given already: it rests, no slot ever comes back, and the writer sleeps for ever.
        """,
        "deadlock-freedom",
    ),
    _classic(
        "batch-waits-for-first",
        "each packet of a batch has its writer told, and the first completion ends the wait",
        """
        A writer of several packets waits for the last one, since the card sends them in order. The
        driver notes the writer as the one to be told at every slot of the batch and not at the last
        one only. When the first packet is sent the writer is told that its packet is done, and
        returns while the others are still on their way.
        """,
        "own-result",
    ),
    _classic(
        "consumer-runs-ahead",
        "the consumer is advanced past a slot that the card still owns",
        """
        On an interrupt the driver takes back the oldest slot without checking that the card has
        returned it. Interrupts may be spurious, or meant for another ring: the packet is reported
        as sent, and its slot is used again, while the card is still at it.
        """,
        "flow-control",
    ),
    _classic(
        "flags-after-scan",
        "EVFLAGS is read after the completion scan instead of before it",
        """
        Reading EVFLAGS clears it. The driver first takes back all completed slots and then reads
        EVFLAGS to acknowledge them. A packet that completes between the two sets its event bit, the
        read clears the bit, and nobody has looked at the slot: the completion was acknowledged
        without being handled. With its bit cleared the card has no reason to interrupt again.
        """,
        "no-lost-completion",
    ),
    _classic(
        "one-per-interrupt",
        "only one completion is taken back per interrupt",
        """
        Several completions may share one interrupt. The handler takes back one slot and returns.
        The other completed slot has no interrupt of its own: it is not taken back until something
        else completes, and whoever waits for it waits for ever.
        """,
        "no-lost-completion",
    ),
    _classic(
        "returned-before-copied",
        "a receive slot is given back before the payload was copied",
        """
        The driver gives the slot back to the card as soon as it has read the header, and copies the
        payload to the reader afterwards. The card may put the next packet into the same buffers
        while the copy is under way: the reader gets a mixture of two packets.
        """,
        "race-freedom",
    ),
    _classic(
        "peek-without-owner",
        "the length of the next packet is read without asking who owns the slot",
        """
        A reader may ask how long the next packet is and leave it where it is. It takes nothing, so
        the driver thinks that it may look whoever owns the slot. But then it reads the header while
        the card is writing it: what it returns is the length of an older packet, or of half a one.
        """,
        "race-freedom",
    ),
    _classic(
        "rxcomp-only",
        "packets are looked for only when RXCOMP is set, although several may share one event",
        """
        The driver takes RXCOMP for "one packet has come": the flag makes the card readable, a
        successful read makes it unreadable again. Two packets that arrive close together set
        RXCOMP once. The first read takes the first packet; the second packet lies in its slot, and
        no reader looks for it until a third one comes.
        """,
        "no-lost-packet",
    ),
    _classic(
        "readable-at-every-event",
        "the card is declared readable at every interrupt, whether a packet waits or not",
        """
        The handler does not look whether a packet waits: whatever the interrupt was for, it makes
        the card readable. A program that watches the file is told to read, finds nothing, and goes
        back to watch; with every packet that it sends itself it is woken for nothing.
        """,
        "precise-readiness",
    ),
    _classic(
        "last-packet-leaves-readable",
        "whoever takes the last packet leaves the card readable",
        """
        A reader takes a packet and leaves without a look at the next slot. If that was the last
        packet the card stays readable, until somebody tries to read and finds nothing. A program
        that reads one packet whenever it is told that one waits gets stuck in its second read.
        """,
        "precise-readiness",
    ),
    _classic(
        "readiness-cleared-unseen",
        "a reader declares the card not readable although the next packet is there",
        """
        Two packets share one interrupt, and the handler has made the card readable. The first
        reader takes its packet and clears that, without a look whether another one waits. The
        second packet lies in its slot, and no reader is woken for it until a third one comes.
        """,
        "no-lost-packet",
    ),
    _classic(
        "looks-after-free",
        "the handler looks at the receive ring of a card that is closed",
        """
        To tell whether a packet waits the handler looks at the next receive slot, whenever it runs.
        But an interrupt may come late, or spuriously, when the card has been closed and the
        ring's memory was given back: the handler reads memory that belongs to somebody else.
        """,
        "no-access-after-free",
    ),
    _classic(
        "reader-overtakes",
        "a packet goes to whichever reader looks first, and not to the first in line",
        """
        Readers take places in a queue, and all that wait are woken when a packet comes. Each of
        them that gets the lock looks for itself, whether it is its turn or not. Every packet finds
        a reader, none is lost and nobody sleeps beside one. But a reader that calls again at once
        may take every packet, and one that has waited for long goes without for ever.
        """,
        "reading-order",
    ),
    _classic(
        "slot-never-returned",
        "a reader may leave without giving its slot back, although the card goes on",
        """
        A reader that looks at a packet in place must give the slot back when it is done. Only when
        the card has failed or is being closed may it leave the slot as it is, since the next open
        sets up all slots anew. The driver takes that way out on an open card too, say when a
        reader is killed: the slot is nobody's, the card never gets past it, and drops all packets
        once it gets there.
        """,
        "no-slot-lost",
    ),
    _classic(
        "submit-without-lock",
        "a second thread may submit without the lock",
        """
        Claiming a slot, filling it in and advancing the producer index must be one thread's work at
        a time. The driver does not take its lock to send. Two writers see the same free slot, and
        both fill it in: one packet overwrites the other.
        """,
        "mutual-exclusion",
    ),
    _classic(
        "rebased-without-reset",
        "the command ring is set up anew without a reset of the card",
        """
        On every open the driver initialises the command ring, starts again at slot 0, and writes
        CMDBASE. But only a reset puts the card's own command index back to 0. The card goes on
        where it was, the driver puts its first command into slot 0, and the card never finds it.
        """,
        "deadlock-freedom",
    ),
    _classic(
        "no-flush-before-start",
        "nothing makes the addresses of the rings arrive before START is seen",
        """
        The driver writes the addresses of the packet rings and hands START over. Register writes
        are posted, and the card may look at its command ring unasked: it finds START in memory
        while the addresses are still on their way, and starts without them.
        """,
        "protocol-order",
    ),
    _classic(
        "indices-kept-over-reset",
        "the driver does not put its indices back to 0 after a reset",
        """
        A reset puts the card's command index back to slot 0. The driver keeps its own index where
        it was before the failure. Its next command goes into some slot in the middle of the ring,
        the card looks at slot 0, and neither finds the other.
        """,
        "deadlock-freedom",
    ),
    _classic(
        "bus-master-before-reset",
        "Bus Master is set before the card was reset",
        """
        A driver was killed in full traffic. Its card is still started, with rings and buffers in
        memory that is somebody else's by now, and all that keeps it from going on is that the
        system has cleared its Bus Master bit. The next driver sets the bit when it attaches and
        resets the card when it is opened: in between the card writes the packets that it had in
        hand into the memory of others.
        """,
        "no-dma-before-reset",
    ),
    _classic(
        "relaxed-ordering",
        "relaxed ordering is switched on: the card's owner write may overtake its other writes",
        """
        The driver relies on the card's writes becoming visible in the order in which they were
        issued: once the owner byte says HOST, header and payload are there. With relaxed ordering
        switched on in the device's PCI Express settings the bus may reorder them. The reader sees
        owner = HOST and reads a header that has not arrived yet.
        """,
        "receive-fifo",
    ),
    _classic(
        "look-cleared-late",
        "the card clears its look-again flag after it looked, not before",
        """
        A doorbell sets a flag in the card: look at the ring again. The card looks at the owner byte
        first, finds a slot of the host's, and then clears the flag. A doorbell that arrives between
        the two is wiped out together with the old one: the card rests with a packet in its ring.
        """,
        "deadlock-freedom",
    ),
    _classic(
        "stop-starves",
        "the card starts new work after it has fetched STOP",
        """
        STOP is over when both packet engines are at rest. A card that keeps accepting packets after
        it has fetched STOP may never come to rest on a busy net: each time one packet is done the
        next one is there. STOP never completes, and the close waits for ever.
        """,
        "open-and-close-end",
    ),
    _classic(
        "scans-after-reset",
        "after a reset the card goes on scanning its rings",
        """
        A reset must make the card forget where its rings are. This card forgets its indices but
        goes on with packet traffic: after the reset the driver frees the buffers, and the card
        reads a transmit slot that is not there any more.
        """,
        "no-dma-after-free",
    ),
    _classic(
        "reclaim-starves",
        "the reclaim loop lets submitters in and has no bound: one ring starves the others",
        """
        After each slot that it takes back the handler lets other threads have the lock, and then
        looks for the next slot. A sender that is quick enough always has the next packet sent by
        then. The handler never leaves the transmit ring, and a command that completed long ago is
        never taken back.
        """,
        "requests-complete",
    ),
)
"""Classic mistakes with rings, doorbells, interrupts and resets, which neither public driver makes.
The last ones are mistakes of a card: what the protocol needs from the other side."""


def _outcome(origin: str, name: str, title: str, explanation: str, broken: str) -> Fault:
    return Fault(name, origin, title, explanation, broken)


_OUTCOMES: Final = (
    _outcome(
        "own",
        "waits-anyway",
        "a write that may not wait sleeps until there is room",
        """
        A program that serves many others asks for a write that must not wait. The driver does not
        look at that: the ring is full, so the call sleeps until a slot is free, and all that the
        program serves waits with it.
        """,
        "call-as-asked",
    ),
    _outcome(
        "own",
        "returns-when-queued",
        "a blocking write says OK when its packet is queued, not when it was sent",
        """
        A write that may wait is to return when the card has sent its packet. The driver hands the
        slot over, rings the doorbell, and says OK at once. Most packets leave all the same; one
        that is on the ring when the card fails or is stopped never does, and its sender was told
        that it had.
        """,
        "send-outcome",
    ),
    _outcome(
        "own",
        "batch-stops-short",
        "a batch ends after its second packet and says OK",
        """
        A batch of packets goes out under one turn. The driver leaves its loop after two of them,
        rings the doorbell, waits until they are sent, and says OK. Whoever gave it three packets
        believes that three were sent.
        """,
        "batch-outcome",
    ),
    _outcome(
        "own",
        "copies-too-little",
        "the last byte of each packet is not copied",
        """
        The reader loads the length of its packet, checks it, and copies one byte less. It says OK,
        and its caller has a packet that is too short, and nothing by which to notice.
        """,
        "read-outcome",
    ),
    _outcome(
        "own",
        "for-a-stranger",
        "a packet is received that no filter accepts",
        """
        A card keeps what its filters let through. This one takes a packet from the net although its
        table has no filter for it, and puts it into a slot: readers get what was meant for somebody
        else, or for a group that was left.
        """,
        "reception-by-filter",
    ),
    _outcome(
        "own",
        "result-not-looked-at",
        "a command's caller says OK, whatever the card has answered",
        """
        The handler takes a command's completion and stores its error byte where the caller finds
        it. The caller does not look: the command was completed, so it says OK. A filter that was
        not there counts as removed, and one that did not fit into the table as added.
        """,
        "command-outcome",
    ),
    _outcome(
        "own",
        "removes-what-is-not-there",
        "RMFILT of a filter that is not in the table succeeds",
        """
        The card looks for the filter, does not find it, and should write 1 to the error byte. It
        writes 0. The driver returns success, and its caller believes that a filter is gone which
        was never there: most likely the one that it meant is.
        """,
        "answer-kept",
    ),
    _outcome(
        "own",
        "no-space-with-space",
        "ADDFILT is refused although the table has room",
        """
        The card adds a filter to its table and answers that there was no room. The caller gives up,
        and the card goes on receiving what it was not to receive.
        """,
        "filter-semantics",
    ),
    _outcome(
        "own",
        "wake-up-ends-call",
        "a reader that was woken says EINTR without looking for a packet",
        """
        A reader sleeps until the handler finds a packet and wakes it. The driver takes every end of
        a sleep for that of a signal, so the read ends with EINTR although nothing interrupted it.
        The packet waits, and whoever called again would get it.
        """,
        "interrupted-outcome",
    ),
    _outcome(
        "own",
        "never-waits",
        "a read that may wait says EAGAIN when no packet is there",
        """
        A read finds no packet and should sleep until one comes, unless it must not wait. The driver
        does not ask whether it must not, and says EAGAIN to everybody.
        """,
        "again-outcome",
    ),
    _outcome(
        "own",
        "full-ring-is-an-error",
        "a write that may not wait says EIO when the ring is full",
        """
        A write that may not wait finds the ring full. It should say EAGAIN: try again. The driver
        says EIO, which means that the card has failed, so its caller closes a card that is well.
        """,
        "failed-outcome",
    ),
    _outcome(
        "R",
        "interruption-says-ok",
        "a write that a signal interrupts says OK",
        """
        A signal ends the sleep of a write that waits for its turn or for its packet to be sent. The
        driver leaves its loop, cleans up, and returns the value that it would have returned anyway:
        success. The packet may never have been on the ring.
        """,
        "one-outcome",
    ),
    _outcome(
        "own",
        "failed-open-says-ok",
        "an open of a card that has failed says OK, and counts for nothing",
        """
        The card has failed while somebody has it open, so nobody else may open it until it was
        closed and reset. The driver sees that, does not count the open, and returns without the
        error. Each call that follows ends with EIO, and the close takes away somebody else's open.
        """,
        "open-outcome",
    ),
    _outcome(
        "own",
        "own-address-forgotten",
        "an open does not tell the card to receive what is sent to its own address",
        """
        After START the driver has to add a filter for the card's own address. It does not. The open
        says OK, packets can be sent, and not one is ever received.
        """,
        "own-address",
    ),
    _outcome(
        "own",
        "reset-instead-of-stop",
        "the last close resets a card that works, and does not send STOP",
        """
        A card that works is to be told to STOP, which lets it finish what it is at; a reset is for
        one that does not answer. The driver always resets. It frees memory no sooner than it may,
        and all users see is a close that takes longer, and a packet cut off on the net.
        """,
        "close-outcome",
    ),
    _outcome(
        "own",
        "spins",
        "a caller that finds the ring full looks again and again, and does not sleep",
        """
        A writer finds the ring full. Instead of sleeping until it is woken it gives up the lock,
        takes it again, and looks again. In the end it gets its slot, as it should; until then one
        processor does nothing else.
        """,
        "sleep-outcome",
    ),
    _outcome(
        "own",
        "events-not-read",
        "the handler looks at the rings without reading EVFLAGS, which it should clear",
        """
        The handler finds all that the card has returned without asking EVFLAGS. But reading is what
        clears it, and as long as a bit is set the interrupt line stays asserted: the handler is
        called again as soon as it has returned, for ever, with nothing to do.
        """,
        "interrupt-outcome",
    ),
    _outcome(
        "own",
        "sends-after-failure",
        "a card that has failed goes on and sends the packet that it was at",
        """
        A card that sets an error bit in FLAGS halts: what it was at stays undone until the reset.
        This one puts its packet on the net all the same. Its caller was told EIO, so it sends the
        packet again after the reset, and whoever it is for gets it twice.
        """,
        "card-at-rest",
    ),
    _outcome(
        "own",
        "looks-for-ever",
        "a card looks at the next slot for ever, and not up to the one that the doorbell named",
        """
        The newest doorbell says how far there is something to do. The card does not compare: after
        each slot it looks at the next one, finds that it is the host's, and has kept nothing of
        what the doorbell was for. Nothing goes wrong, but each packet costs one access more.
        """,
        "doorbell-kept",
    ),
    _outcome(
        "own",
        "event-survives-reset",
        "a reset lets the card report a packet that was received before it",
        """
        A reset makes the card forget all that it was at. This one keeps that it was about to report
        a packet, and reports it as soon as it works again: the driver looks at a ring that it has
        just made, for a packet that somebody else has had.
        """,
        "reset-forgets",
    ),
    _outcome(
        "own",
        "turns-away-unlocked",
        "a call that meets a failed card ends without having had the lock",
        """
        A call begins with the lock, and then looks whether the card works. This driver looks first,
        and ends the call at once if the card has failed. Its ticket stays in the line for the lock,
        and when its turn comes nobody takes it, nor hands it on.
        """,
        "lock-needed",
    ),
)
"""Callers that are told what is not so. Nothing else is wrong, so nothing else notices."""

_BARRIERS: Final = (
    (
        "fence_command_slot",
        "command ring before its base",
        "no-barrier-cmd-base",
        """
        After a reset the driver stores owner = HOST to every command slot and then tells the card
        where the ring is. Without a barrier between the two the card may know the ring before the
        stores are visible: it finds the owner byte of a command that was under way when it failed,
        and executes that command again.
        """,
        "command-fifo",
    ),
    (
        "free_slot",
        "stores before transmit memory is freed",
        "no-barrier-tx-free",
        """
        The driver frees the transmit buffers while stores of its own to them may still be in the
        processor's store buffer. They become visible later, in memory that belongs to somebody else
        by then.
        """,
        "no-store-after-free",
    ),
    (
        "free_slot",
        "stores before receive memory is freed",
        "no-barrier-rx-free",
        """
        The driver frees the receive buffers while its last stores to the slots, of the pointers and
        owner bytes that it gave back, may still be in the processor's store buffer. They become
        visible later, in memory that belongs to somebody else by then.
        """,
        "no-store-after-free",
    ),
    (
        "fence_packet_slot",
        "transmit ring before its base",
        "no-barrier-tx-base",
        """
        The driver stores owner = HOST to every transmit slot, tells the card where the ring is, and
        sends START. New memory may hold anything. If the owner stores are not visible before the
        card knows the ring, it may find DEVICE in a slot and send the garbage behind it.
        """,
        "transmit-fifo",
    ),
    (
        "fence_packet_slot",
        "receive ring before its base",
        "no-barrier-rx-base",
        """
        The driver stores buffer pointers and owner = DEVICE to every receive slot, tells the card
        where the ring is, and sends START. New memory may hold anything. If the pointers are not
        visible before the card uses the ring, it writes the first packet to a wild address.
        """,
        "buffer-ownership",
    ),
    (
        "tx.owner_visible",
        "release: fields before owner",
        "no-barrier-tx-fields",
        """
        The driver stores the slot's fields and then owner = DEVICE, with no store barrier between.
        The processor may make the owner byte visible first. The card finds its slot, reads length
        and pointers that are not there yet, and sends whatever the memory held before.
        """,
        "transmit-fifo",
    ),
    (
        "tx.owner_visible",
        "release: payload before owner",
        "no-barrier-tx-payload",
        """
        The driver stores the payload, the fields, and then owner = DEVICE, and nothing makes the
        payload visible before the owner byte. The card sends a packet of which some words are those
        of an older packet.
        """,
        "transmit-fifo",
    ),
    (
        "tx.doorbell_arrives",
        "owner before doorbell",
        "no-barrier-tx-doorbell",
        """
        The write to DBELL is not ordered after the store of the owner byte and reaches the card
        first. The card looks at the slot, finds it the host's, and goes to rest. When the owner
        byte becomes visible nobody tells the card: the packet lies there and its writer waits.
        """,
        "deadlock-freedom",
    ),
    (
        "tx.speculate_owner",
        "acquire: event flags before owner",
        "no-barrier-tx-events",
        """
        The handler reads EVFLAGS, which clears it, and then looks at the owner bytes. Without a
        load barrier between the two the processor may load an owner byte before EVFLAGS is read. A
        packet that completes in between has its event bit cleared by that read, and the handler,
        with the old owner byte in hand, takes the slot for the card's: nobody takes it back.
        """,
        "no-lost-completion",
    ),
    (
        "cmd.owner_visible",
        "release: fields before owner",
        "no-barrier-cmd-fields",
        """
        The driver stores the command and then owner = DEVICE, with no store barrier between. The
        owner byte may become visible first: the card executes whatever the slot held before.
        """,
        "command-fifo",
    ),
    (
        "cmd.doorbell_arrives",
        "owner before doorbell",
        "no-barrier-cmd-doorbell",
        """
        The write to DBELL is not ordered after the store of the owner byte and reaches the card
        first. The card looks, finds the slot the host's, and goes to rest; the command is never
        executed and its caller waits for ever.
        """,
        "deadlock-freedom",
    ),
    (
        "cmd.speculate_owner",
        "acquire: event flags before owner",
        "no-barrier-cmd-events",
        """
        Without a load barrier after the read of EVFLAGS the handler may see an owner byte that is
        older than the event flags. A command that completes in between is announced by an event bit
        that the handler has cleared, and is not taken back.
        """,
        "no-lost-completion",
    ),
    (
        "rx.owner_visible",
        "release: pointer before owner",
        "no-barrier-rx-pointer",
        """
        To give a slot back the driver stores its buffer pointers and then owner = DEVICE, with no
        store barrier between. The owner byte may become visible first, and the card reads the
        pointers while the driver's store to them is still on its way.
        """,
        "race-freedom",
    ),
    (
        "cmd.speculate_status",
        "acquire: owner before status",
        "no-barrier-cmd-result",
        """
        The handler loads the owner byte of a command's slot and then its error byte, with no load
        barrier between. The processor may load the error byte first, before the card has written
        it: the caller gets the result of an older command.
        """,
        "own-result",
    ),
    (
        "rx.speculate_owner",
        "acquire: event flags before owner",
        "no-barrier-rx-events",
        """
        The handler reads EVFLAGS, which clears it, and then looks whether a packet waits. Without a
        load barrier between the two the owner byte may be loaded first. A packet that is delivered
        in between has its event bit cleared by that read, and the handler, with the old owner byte
        in hand, sees no packet: the card does not become readable and no reader wakes.
        """,
        "no-lost-packet",
    ),
    (
        "rx.speculate_header",
        "acquire: owner before header",
        "no-barrier-rx-header",
        """
        The reader loads the owner byte and then the header, with no load barrier between. The
        processor may load the header first, while the card still owns the slot: the reader takes
        length and addresses of whatever lay in the slot before.
        """,
        "receive-fifo",
    ),
    (
        "rx.first_word_late",
        "release: loads before owner",
        "no-barrier-rx-first-load",
        """
        The reader copies the payload, stores the pointers behind a store barrier, and gives the
        slot back. A store barrier keeps no load in front of the owner byte: the processor may
        satisfy a load of the payload when the card has the slot again. The reader gets a word of
        the next packet.
        """,
        "receive-fifo",
    ),
    (
        "rx.last_word_late",
        "release: loads before owner",
        "no-barrier-rx-last-load",
        """
        A barrier between loads and stores stands in the middle of the copy, and not behind it. The
        loads of the second half may be satisfied when the card has the slot again: a packet is half
        its own and half the next one.
        """,
        "receive-fifo",
    ),
    (
        "cmd.owner_visible",
        "release: register read before owner",
        "no-barrier-start-read",
        """
        The driver reads a register, so that the addresses of the packet rings have arrived when the
        answer is there, and does not wait for the answer. The owner byte of START may be visible
        first, and the card, which may look at its command ring unasked, starts without the rings.
        """,
        "protocol-order",
    ),
)
"""The removal of each single barrier: the rule that it holds back, its name, the fault."""

BARRIERS: Final[Mapping[tuple[str, str], Fault]] = {
    (rule, barrier): barrier_fault(name, rule, barrier, explanation, broken)
    for rule, barrier, name, explanation, broken in _BARRIERS
}
"""The fault of each barrier, by the rule that it holds back and its name."""

_OWN: Final = {
    "line-not-woken": "whoever leaves the queue does not wake the next one in it",
    "completion-not-woken": "nobody is woken when a slot was taken back",
    "readers-not-woken": "a packet comes, and its reader is not woken",
    "next-reader-not-woken": "whoever takes a packet does not wake the next in line for another",
    "interrupted-reader-tells-nobody": "a reader that a signal ends keeps to itself what woke it",
    "batch-overtakes": "a batch takes packets that others are in line for",
    "others-overtaken": "a batch goes on although others have come into line in the meantime",
    "batch-tells-nobody": "a batch leaves a packet, and tells neither the line nor pollers",
    "newcomer-overtakes": "a reader that has just come takes a packet that others are in line for",
    "reader-never-leaves-line": "a reader keeps its place: nobody behind it gets a packet",
    "drain-not-woken": "the last packet was sent, and the close that waits for it is not woken",
    "leaver-wakes-nobody": "the last call ends, and the close that waits for it is not woken",
    "failure-wakes-nobody": "the card fails, and sleepers go on waiting for it",
    "open-wakes-nobody": "opens that wait for the first one are not woken when it is done",
    "closed-wakes-nobody": "opens that wait for the last close are not woken when it is done",
    "close-cancels-nothing": "a close of one open leaves the calls that wait in it asleep",
    "producer-stays": "the producer index does not move: the next request goes to the same slot",
    "consumer-stays": "the consumer index does not move: the same slot is taken back again",
    "receive-index-stays": "the receive index stays: the reader waits for the slot that it holds",
    "waiter-not-noted": "who waits for a slot's completion is not noted, and never told",
    "held-not-noted": "a slot that is held looks like the next packet when the ring has gone round",
    "held-for-ever": "a slot given back still counts as held: its next packet is never seen",
    "batch-miscounted": "packets of a batch are not counted: its sender waits for the wrong one",
    "reclaims-nothing": "a slot is looked at although nothing is outstanding",
    "sent-unseen": "transmit slots are taken back unseen, sent or not",
    "sent-beyond-outstanding": "a transmit slot is looked at although nothing is outstanding",
    "held-not-asked": "a slot that a slow reader holds is taken for the next packet",
    "retired-not-asked": "a receive ring that is detached from memory is looked at",
    "overtakes-the-line": "a caller takes a free slot before those who came earlier",
    "line-never-left": "a caller keeps its place in the queue: nobody behind it goes on",
    "ignores-close": "a call goes on while the card is being closed",
    "waits-on-after-failure": "a call sleeps again for its completion although the card has failed",
    "entering-not-counted": "a call is not counted: the last close does not wait for it",
    "leaving-not-counted": "a call that ended still counts: the last close waits for ever",
    "length-not-checked": "a length that the card announced is not checked: reads beyond buffers",
    "peek-takes": "a reader that only wants the length takes the packet",
    "readiness-never-set": "pollers do not learn that a packet waits",
    "readable-with-readers-in-line": "pollers see a packet that somebody is in line for",
    "readiness-never-cleared": "pollers do not learn that no packet waits any more",
    "readiness-kept-over-close": "after a close and an open pollers still see packets of before",
    "full-ring-not-shown": "pollers do not learn that a sender has filled the ring",
    "free-slot-not-shown": "pollers do not learn that a slot was taken back",
    "pointers-not-restored": "a receive slot goes back with whatever the card left in its pointers",
    "owner-before-pointer": "a receive slot's owner byte is stored before its pointers",
    "lengths-not-restored": "a receive slot goes back without lengths: the card drops its packet",
    "pages-overlap": "all four pointers of a slot lead to its first page",
    "buffers-not-advanced": "each part of a payload is stored where the first one was",
    "views-kept-at-close": "views are not given back at close, which waits for them for ever",
    "late-view-kept": "a packet is lent by a driver object that was closed meanwhile",
    "opens-together": "an open does not wait for somebody else's close",
    "leavers-not-awaited": "the last close does not wait for calls under way",
    "drains-a-failed-card": "the last close waits for a failed card to send what is queued",
    "aborted-open-keeps-card": "an open that START did not answer leaves the card as it is",
    "filters-not-flushed": "the card keeps its filters over a close",
    "packet-memory-leaks": "the packet rings are not freed at the last close",
    "rings-used-after-stop": "the packet rings count as in use after STOP, when they are freed",
    "command-base-before-size": "the address of the command ring is written before its size",
    "failure-not-noted": "after a fatal error calls go on as if nothing had happened",
    "failure-taken-for-granted": "an old interrupt after a reset makes a good card count as failed",
    "reset-not-written": "the card is waited for without having been reset",
    "bus-master-never-set": "a card that was reset is not let access memory: it answers nothing",
    "bus-master-during-reset": "the card is let access memory before it has finished its reset",
    "reset-given-up-early": "a card that needs a moment to come back is given up",
    "failure-during-reset": "a card that fails again while it comes back is not reset again",
    "needs-reset-not-set": "after a reset that failed the next open goes on without one",
    "needs-reset-not-cleared": "the card is reset at every open",
    "command-ring-not-retired": "commands under way at a reset still count as outstanding",
    "packet-rings-not-retired": "the packet rings still count as in use after a reset",
    "command-slots-kept": "after a reset the command ring still has the owner bytes of before",
}
"""Further mistakes in this driver's own lines: what could be left out of them, or put wrong."""

_CARDS: Final = {
    "returns-out-of-order": "a transmit slot comes back before an older one",
    "returns-without-a-packet": "a receive slot comes back, and no packet was written to it",
    "too-long": "a packet is announced as longer than its buffers",
    "before-start": "a receive slot is written to before START",
    "after-stop": "a transmit slot is written to after STOP was carried out",
    "strange-error": "STOP is answered with an error that means nothing",
    "strange-owner": "a transmit slot comes back with an owner byte that is no owner",
    "takes-back": "a transmit slot that was given back becomes the card's again",
    "changes-header": "the length of a packet changes while a reader holds it",
    "completes-twice": "RXCOMP is set again and again for one packet",
    "sends-nothing": "TXCOMP is set although nothing was sent",
    "drops-with-room": "RXDROP is set although there is a receive slot",
    "drops-when-stopped": "RXJUMBO is set although packet traffic is off",
    "strange-event": "a bit of EVFLAGS is set that means nothing",
    "resets-unasked": "FLAGS names a reset that nobody asked for",
    "owner-is-nobody": "for a while the owner byte of a slot on its way back is no owner",
    "writes-to-a-free-slot": "the owner byte of a free transmit slot is overwritten",
    "recovers-by-itself": "FLAGS names an error, and then none, and nobody has reset the card",
}
"""What a card may do wrong that the monitor can see."""

CATALOGUE: Final[tuple[Fault, ...]] = (
    *_FIELD,
    *_CLASSIC,
    *_OUTCOMES,
    *BARRIERS.values(),
    *(Fault(name, "own", title) for name, title in (_OWN | _CARDS).items()),
)
_BY_ID: Final[Mapping[str, Fault]] = {fault.id: fault for fault in CATALOGUE}


def described(fault: Fault | str) -> Fault:
    """The fault with this id, or the one given. Raises `KeyError` if the catalogue has none."""
    return fault if isinstance(fault, Fault) else _BY_ID[fault]
