"""One way through the driver's lines: what they keep and do, and the specification beside it.

The lock is the driver's own: while the thread has it nobody else runs lines that need it, and what
the driver keeps is touched by nobody else. (The specification may have given the lock up a moment
earlier, where a step loads something and gives up the lock at once; nobody else takes a step that
needs it before the lines give it up as well.) Where the lock is given up the relation is proved,
and where it is given the relation is known, of a state of which else only the invariant is known.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

import attrs

from engine.claims import Invariant
from engine.induction import fresh, statement
from engine.refine.beside import Beside, Setting, stored
from engine.refine.explorer import Way
from engine.refine.knowledge import Moment
from engine.refine.values import Integer, NotModelledError, Truth, low, number_of, truth_of
from engine.table import Seen
from engine.terms import (
    TRUE,
    And,
    Array,
    Bool,
    If,
    Iff,
    Implies,
    Number,
    Sort,
    Term,
    constant,
    mark,
    next_index,
    ring_size,
    select,
    substitute,
    symbol,
    variables,
)
from engine.words import Word
from impl.controller import Wait
from impl.request import Request
from impl.runtime import WaitQueue
from model.layout import Owner
from model.ring_spec import COMMAND, RECEIVE, TRANSMIT
from model.state import NOBODY, POLLS, POSTED, Label, Life
from model.system import DUCT
from model.thread_spec import SLEEPS_LIFE
from proofs.refine.orders import Orders
from proofs.refine.relation import KEPT, PACKET_STAYS, RELATION
from proofs.refine.setting import setting

__all__ = ["BOUNDS", "Scene", "seeds"]

BOUNDS: Final = "bounds"
RELATED: Final = "relation"
LOOP: Final = "loops"
RINGS: Final = {ops.name: ops for ops in (TRANSMIT, COMMAND, RECEIVE)}
SIZES: Final = (POSTED >= 1, POLLS >= 1, ring_size() >= 1)


def seeds(thread: Number) -> Callable[[str, Moment], Sequence[Number]]:
    """The indices at which the invariant is always known: the thread's own, and the handler's."""
    threads, lock = DUCT.symbols.threads, DUCT.symbols.lock
    terms: dict[str, tuple[Any, ...]] = {
        "thread": (thread, constant(0), lock.waiter[lock.serving]),
        "slot": (threads.slot[thread], DUCT.symbols.rx.cons_i),
        "counter": (threads.queue_position[thread],),
    }

    def of(index: str, moment: Moment) -> list[Number]:
        return [substitute(term, moment.values, moment._done) for term in terms.get(index, ())]

    return of


class _Following(Beside):
    """The specification beside the driver's lines."""

    def __init__(self, scene: Scene, way: Way, thread: Number) -> None:
        super().__init__(way, setting(), thread)
        self._scene = scene

    def repeat(self, name: str) -> None:
        """`skip_cancelled`, until it may not be taken any more.

        It changes one thing, the place whose turn it is, and may be taken at each place that was
        given up, up to the end of the queue; so it ends, at the first place that was not.
        """
        ring = name.partition(".")[0]
        head, step = f"{ring}.waiters.head", self.setting.steps[name]
        assert set(step.updates) == {head}
        first = self._scene.first_present(
            self.values[head],
            self.values[f"{ring}.waiters.next"],
            self.values[f"{ring}.waiters.cancelled"],
        )
        place: Any = symbol("any place", Sort.NUMBER)
        begin: Any = self.values[head]
        gone: Any = select(self.values[f"{ring}.waiters.cancelled"], place)
        at_place = substitute(step.guard, {symbol(head, Sort.NUMBER): place})
        inside = And(begin <= place, place < first, gone)
        self.way.prove("steps", Implies(inside, self.now(at_place)), f"{name} may not be repeated")
        self.change({head: first})
        self.fired.add(name)
        self.way.log.append(f"    {name}, as often as may be")

    def _holds_lock(self) -> bool:
        serving, ticket = self.values["lock.serving"], self.own("threads.ticket")
        return serving is ticket


class Scene:
    """One way through the driver's lines.

    Attributes:
        way: The way.
        beside: The specification.
        keeps: What the driver keeps, by the names of `proofs.refine.relation`.
        thread: The thread that runs the lines.
        locked: It has the lock.
        orders: What is not in order yet.
    """

    def __init__(self, way: Way, thread: Number) -> None:
        self.way = way
        self.thread = thread
        self.setting: Setting = setting()
        self.beside: Any = _Following(self, way, thread)
        self.keeps: dict[str, Term] = {}
        self.locked = False
        self.orders = Orders(self)
        self.beside.after_step = self.orders.after_step
        self.beside.parameters = self._parameters
        self.places: list[tuple[object, str, Number]] = []
        self.request: Any = None
        self.owed = False
        self.rigid: list[Bool] = list(SIZES)
        self.begins: Callable[[], None] = lambda: None
        self.again: Callable[[], None] | None = None
        self.zero: Callable[[], Number] = lambda: constant(0)
        self.loop_claims: Callable[[str, Mapping[str, Any]], Sequence[Bool]] = lambda *_: ()
        self.excused: Callable[[str, Mapping[str, Any]], Mapping[str, Bool]] = lambda *_: {}
        self.refilled: Number | None = None
        self.packet_size: Any = None
        self.alone = False
        self.kept_lock = False
        self.packet_there = False
        self.unrolled = False
        self.cuts_turns = False
        self.scanning = False
        self.calls = 0
        self.loop: Any = None
        self.number: Any = None
        self._granted: _Related | None = None
        self._excused: frozenset[str] = frozenset()
        self._moves: list[tuple[_Related, _Related]] = []
        self._firsts: list[tuple[Any, Any, Any]] = []

    def _parameters(self, rule: str) -> dict[str, Number]:
        return {"zero": self.zero()} if rule == "tx.next_of_batch" else {}

    # Beginning

    def begin(self, label: Label) -> None:
        """Any state, in which the thread is at a label and nobody has the lock of the driver's."""
        for fact in self.rigid:
            self.way.assume(fact)
        self.beside.forget_all()
        self.beside.put(self.setting.system.protocol.pc, label)
        self.beside.put("threads.asleep", stored_flag(False))
        self.beside.begin_moment()

    def _know_relation(self, excused: Mapping[str, Bool] | None = None) -> None:
        """The driver keeps anything that is related to the state."""
        self.keeps = {
            name: symbol(f"{name}#{self.way.number()}", sort) for name, sort in KEPT.items()
        }
        values = self.beside.values
        # Where the relation says that two are the same the same symbol stands for both: it only
        # says so of places in a queue and of slots that exist, and what is kept of others is not
        # part of what the driver has.
        for ring in RINGS:
            self.keeps[f"impl.{ring}.attached"] = values[f"{ring}.live"]
            for mine, theirs in (
                ("head", "head"), ("next", "next"), ("gone", "cancelled"), ("who", "waiter"),
            ):  # fmt: skip
                self.keeps[f"impl.{ring}.{mine}"] = values[f"{ring}.waiters.{theirs}"]
        for ring in ("tx", "cmd"):
            nobody: Array[Number] = Array(values[f"{ring}.waiter"])
            nobody.choose_fill(~values[f"{ring}.live"], NOBODY)
            if ring == "cmd" or not self.scanning:
                self.keeps[f"impl.{ring}.waiting"] = nobody.term
        if not self.scanning:
            for name in ("told", "scanned"):
                self.keeps[f"impl.tx.{name}"] = self.keeps["impl.tx.consumed"]
        self.keeps["impl.life"] = values["driver.life"]
        self.keeps["impl.failed"] = values["driver.failed"]
        self.keeps["impl.inside"] = values["driver.inside"]
        self.keeps["impl.opens"] = values["driver.handles"]
        known = tuple(_weaker(item, (excused or {}).get(item.name)) for item in RELATION)
        self.beside.begin_moment(known, self._kept_values())
        self._moves = []
        self._granted = _Related(self.beside.values, self.keeps)
        self._excused = frozenset(excused or ())
        self._tell_request()

    def _kept_values(self) -> dict[Term, Term]:
        return {symbol(name, term.sort): term for name, term in self.keeps.items()}

    def _tell_request(self) -> None:
        if self.request is not None:
            self.request.done = Truth(self.way, self.kept_at("done", self.thread))
            self.request.result = Integer(self.way, self.kept_at("result", self.thread))

    # What the driver keeps

    def glance(self) -> None:
        """The lines look at something without the lock, of which nothing is known."""
        self.keeps = {
            name: symbol(f"{name}#{self.way.number()}", sort) for name, sort in KEPT.items()
        }
        self.locked = True

    def touch(self, what: str) -> None:
        """What the driver keeps is touched only with the lock."""
        if not self.locked:
            self.way.fail(BOUNDS, f"{what} is touched without the lock")

    def kept(self, name: str) -> Any:
        """A variable of the driver."""
        return self.keeps[f"impl.{name}"]

    def keep(self, name: str, value: Any) -> None:
        """A variable of the driver changes."""
        self.keeps[f"impl.{name}"] = value

    def kept_at(self, name: str, index: Any) -> Any:
        """An element of an array of the driver."""
        return select(self.kept(name), number_of(index))

    def keep_at(self, name: str, index: Any, value: Any) -> None:
        """An element of an array of the driver changes."""
        self.keep(name, stored(self.kept(name), number_of(index), value))

    def first_present(self, head: Any, end: Any, gone: Any) -> Any:
        """The first place from `head` on that was not given up; `end` if there is none.

        Each place before it was given up; that is said of all other such places that are known.
        """
        first: Any = symbol(f"first#{self.way.number()}", Sort.NUMBER)
        is_there = (first == end) | ~select(gone, first)  # type: ignore[operator]
        known = [And(head <= first, first <= end, is_there)]
        known.append((first == head) | select(gone, head))
        for other, begin, others_gone in self._firsts:
            for place, start, stop, away in (
                (other, head, first, gone), (first, begin, other, others_gone),
            ):  # fmt: skip
                inside = And(start <= place, place < stop)
                known.append(Implies(inside, select(away, place)))  # type: ignore[arg-type]
        self._firsts.append((first, head, gone))
        self.way.assume(And(*known))
        return first

    # Others

    def others_move(self) -> None:
        """All others do what they may."""
        if self.locked or self.alone:
            before = self.beside.values
            self.beside.others_move(self.setting.locked)
            after = _Related(self.beside.values, self.keeps)
            self._moves.append((_Related(before, self.keeps), after))
            self.orders.passes()
            if self.packet_there:
                self.way.assume(self._of_packet())  # proved once: code/kept/packet/...
        else:
            self.beside.others_move(self.setting.free)

    # Steps

    def access(self, *looks: Seen) -> None:
        """The lines are about to do one of these things, and others go first."""
        if not self.beside.approach(*looks):
            self.beside.not_allowed(looks[0])
        self.others_move()

    def step(self, seen: Seen, slot: Number | None = None) -> str:
        """The lines do something: it is a step, of the right slot."""
        name: str = self.beside.rule_for(seen)
        declared = self.setting.table.deciding[name].slot
        if slot is not None and declared is not None:
            said = self.setting.say(seen)
            self.way.prove(
                "steps",
                slot == self.beside.now(declared),
                f"{said}, and not of the slot that the specification says ({declared!r})",
            )
        self.beside.fire(name)
        return name

    def seen_by_host(self, word: Word, slot: Number) -> list[Any]:
        """What a load of a word yields: what was loaded early, the own store, or memory."""
        ring, at = word.ring, self.beside.at
        seen = [at(f"{ring}.{name}", slot) for name in word.holds]
        if word.buffered:
            pending = at(f"{ring}.{word.pending}", slot)
            stored_values = [at(f"{ring}.{name}", slot) for name in word.buffered]
            seen = [_if(pending, one, two) for one, two in zip(stored_values, seen, strict=True)]
        ahead = word.speculation
        if ahead is not None:
            early = [self.beside.values[f"{ring}.{name}"] for name in ahead.holds]
            flag = self.beside.values[f"{ring}.{ahead.flag}"]
            seen = [_if(flag, one, two) for one, two in zip(early, seen, strict=True)]
        return seen

    def check_contents(self, path: str, value: Any) -> None:
        """What is stored says what the specification does, as far as that knows of it."""
        if path == "tx.fields":
            empty = number_of(value.number) == 0
            self.way.prove("steps", Iff(empty, self.beside.own("threads.zero")), "a wrong length")
            right = self.packet_size is not None and value.what == "fields"
            same = number_of(value.number) == number_of(self.packet_size) if right else ~TRUE
            self.way.prove("steps", same, "fields that are not the packet's")

    def other_than_host(self) -> Integer:
        """An owner byte that is not HOST."""
        byte: Any = symbol(f"owner byte#{self.way.number()}", Sort.NUMBER)
        self.way.assume(And(constant(0) <= byte, byte < 256, byte != int(Owner.HOST)))
        return Integer(self.way, byte)

    def ring_doorbell(self, ring: str, slot: Number) -> None:
        """DBELL is written; for a batch once for all that were handed over."""
        pc = Label(self.beside.pc())
        more = self.beside.own("threads.more")
        if pc is Label.TX_DOORBELL and ring == "tx" and self.way.decide(more != 0):
            self.beside.fire("tx.next_of_batch", zero=self.zero())
            self.owed = True
            pc = Label.TX_TURN
        owed, self.owed = self.owed, False
        self.orders.check_doorbell(ring)
        if owed and pc is not Label.TX_DOORBELL:
            last = next_index(slot) == self.beside.values["tx.prod_i"]
            self.way.prove("steps", last, "the doorbell is not of the slot handed over last")
            return
        seen = ("doorbell", ring)
        self.access(seen)
        self.step(seen, slot)

    # The lock

    def lock(self) -> None:
        """The lock is asked for, others have it, and it is given."""
        if self.locked:
            self.way.fail("steps", "the lock is asked for by who has it")
        if self.refilled is not None:
            slot, self.refilled = self.refilled, None
            seen = ("store", "rx.pointer")
            self.access(seen)
            self.step(seen, slot)
        else:
            self.begins()
            self.calls += 1
        self.cut("the lock")
        self._given()

    def _given(self) -> None:
        """The lock is given, in any state that others may have left."""
        self.beside.others_move(self.setting.free, known=False)
        self._has_lock()
        self._know_relation()
        self.locked, self.kept_lock, self.packet_there = True, False, False
        # The lock orders all that was before it.
        self.orders.acquire()

    def give_up_lock(self, seen: Seen) -> None:
        """The lines give up the lock; the specification does, or has already."""
        if self.holds_lock and self.beside.approach(seen):
            self.others_move()
            self.beside.fire(self.beside.rule_for(seen))
        if self.holds_lock:
            self.beside.not_allowed(seen)

    def _has_lock(self) -> None:
        """The specification has the thread hold the lock."""
        serving, following = (self.beside.values[f"lock.{name}"] for name in ("serving", "next"))
        self.beside.put("threads.ticket", serving)
        self.beside.put("threads.asleep", stored_flag(False))
        self.way.assume(serving != following)

    @property
    def holds_lock(self) -> bool:
        """The specification has the thread hold the lock."""
        return bool(self.beside._holds_lock())

    # A reader that keeps the lock, for nobody else asks for it

    def packet_waits(self) -> bool:
        """Whether it is known that a packet waits."""
        return self.way.knows(self._of_packet())

    def _of_packet(self) -> Bool:
        waits: Bool = self.beside.now(statement(DUCT.symbols, PACKET_STAYS))
        return waits

    def stay_alone(self) -> None:
        """The specification gives up the lock, and nobody else will have it."""
        self.check_relation()
        self.locked, self.alone = False, True

    def go_on_alone(self) -> None:
        """The lock is asked for again, and nobody asked for it before; so it is given at once.

        No barrier comes of it. Whoever asks from here on asks a moment later, as far as anybody
        can tell.
        """
        if self.refilled is None:
            self.way.fail("steps", "the lock is asked for again, and no slot was refilled")
        slot, self.refilled = self.refilled, None
        seen = ("store", "rx.pointer")
        self.access(seen)
        self.step(seen, slot)
        self._is_next()
        self.locked, self.alone, self.kept_lock = True, False, True
        self.cut("the lock, which was kept")

    def _is_next(self) -> None:
        serving = self.beside.values["lock.serving"]
        self.way.assume(serving == self.beside.own("threads.ticket"))
        self.beside.put("threads.ticket", serving)

    def next_call_at_once(self) -> None:
        """One call ends and the next begins, without a word: nobody else is there.

        The load by which the next call would find its packet is none of the lines': they know that
        it waits since they looked, and that nobody has taken it. So it is not made early either.
        """
        self.beside.fire("exit_call")
        self.begins()
        self.calls += 1
        self._is_next()
        self.beside.fire("enter_read")
        self.way.assume(~self.beside.values["rx.owner_speculated"])
        self.beside.fire("rx.packet_found")
        self.kept_lock = False

    def known_alone(self, local: Mapping[str, Any]) -> list[Bool]:
        """What a reader that keeps the lock knows, if it is to take one more packet."""
        if not self.kept_lock or not local.get("more"):
            return []
        values = self.beside.values
        return [
            self._of_packet(),
            values["rx.waiters.head"] == values["rx.waiters.next"],
            values["driver.life"] == Life.OPEN,
            ~values["driver.failed"],
            values["rx.ready"],
        ]

    def released(self) -> None:
        """The lock is given up: what the driver keeps is related to the state."""
        if self.owed:
            self.way.fail("steps", "packets were handed over, and the doorbell is not rung")
        if self.scanning:
            self._end_scan()
        self.check_relation()
        self.locked = False
        self.orders.release()
        self.orders.release_loads()

    def check_relation(self, excused: Mapping[str, Bool] | None = None) -> None:
        """What the driver keeps is related to the state, but where a part of that is excused.

        That others' steps keep the relation is proved once (`code/kept/...`), and used here for the
        moves of others since the lock was given.
        """
        self._note_request()
        for ring in RINGS:
            # Any place is the end of a queue in which nobody is.
            head, end = self.kept(f"{ring}.head"), self.kept(f"{ring}.next")
            theirs = self.beside.values[f"{ring}.waiters.next"]
            if end is not theirs:
                self.keep(f"{ring}.head", If(head == end, theirs, head))
                self.keep(f"{ring}.next", If(head == end, theirs, end))
        claims: list[tuple[Bool, str | Callable[[], str]]] = []
        given: list[Bool] = []
        present = _Related(self.beside.values, self.keeps)
        for item in RELATION:
            excuse = (excused or {}).get(item.name)
            claim = present.says(item)
            unknown = self._granted is None or item.name in self._excused
            known = self._granted.says(item) if self._granted and not unknown else None
            since: list[Bool] = []
            for before, after in self._moves:
                one, two = before.says(item), after.says(item)
                since.append(Implies(one, two))
                known = two if one is known else None
            if claim is known:
                claims.append((TRUE, ""))  # nothing has changed but by others, who keep it
                continue
            text = f"{item.name} does not hold here: {item.meaning}"
            claims.append((claim if excuse is None else present.of(excuse) | claim, text))
            given += since
        self.way.prove_all(RELATED, claims, given)

    def _note_request(self) -> None:
        if self.request is not None and self.locked:
            self.keep_at("done", self.thread, truth_of(self.request.done))
            self.keep_at("result", self.thread, number_of(self.request.result))

    # Sleeping

    def sleep(self, queue: WaitQueue) -> None:
        """The lines fall asleep, and get up with the lock."""
        seen = ("sleep", queue.name)
        if self.holds_lock and self.beside.approach(seen):
            self.others_move()
            self.beside.fire(self.beside.rule_for(seen))
        asleep = self.beside.own("threads.asleep")
        if asleep is not TRUE:
            self.beside.not_allowed(seen)
        labels = {
            "SENDERS": (Label.TX_TURN, Label.TX_WAIT),
            "COMMANDS": (Label.CMD_TURN, Label.CMD_WAIT),
            "READERS": (Label.RX_OWNER,),
            "LIFE": SLEEPS_LIFE,
        }
        if self.beside.pc() not in labels[queue.name]:
            self.way.fail("steps", f"sleeps for {queue.value}, at {Label(self.beside.pc()).name}")
        self.keep_at(f"woken.{queue.name}", self.thread, stored_flag(False))
        self.released()
        self.cut("a sleep")
        self.beside.others_move(self.setting.free)

    def wake(self, queue: WaitQueue) -> None:
        """Everybody who sleeps on a queue is woken."""
        woken: Array[Bool] = Array(self.kept(f"woken.{queue.name}"))
        woken.fill(True)
        self.keep(f"woken.{queue.name}", woken.term)

    def get_up(self, *, interrupted: bool) -> None:
        """A sleep ends: by a wake-up, or by a time limit or a signal."""
        if interrupted and self.beside.pc() == Label.OPEN_ENTER:
            self._give_up_opening()
            return
        # Who closes the card goes on whatever ends its sleep.
        interrupted &= self.beside.pc() not in (Label.LEAVE, Label.DRAIN)
        self.beside.fire("interrupt" if interrupted else "spurious_wakeup", assumed=True)
        self._given()

    def _give_up_opening(self) -> None:
        """The wait for another's open or close ends, in the specification without the lock."""
        self.beside.fire("interrupt_open", assumed=True)
        self.beside.others_move(self.setting.free, known=False)
        self._know_relation()
        self.locked = True

    def leave_to_others(self, *looks: Seen) -> NoReturn:
        """The lines are not followed further; the specification is about to do one of these."""
        self.beside.approach(*looks)
        self.way.end("done")

    # Loops

    def cut(
        self,
        where: str,
        *,
        loose: Sequence[Integer] = (),
        loose_own: Sequence[str] = (),
        excused: Callable[[], Mapping[str, Bool]] = dict,
    ) -> None:
        """All that comes goes on as from any state: whoever comes here again has nothing new.

        Program counter and known numbers stay what they are; the rest may be anything that
        `loop_claims` allows, but what is the same number stays the same. All that is part of the
        key by which a place is known again.

        Args:
            where: What the place is.
            loose: Numbers that may be anything although they are known.
            loose_own: The thread's own variables of which this is true.
            excused: With the lock: parts of the relation, and where they need not hold.
        """
        frames, local = self.way.frames(), self._local()
        claims = [
            (claim, f"what is known of {where} does not hold")
            for claim in self.loop_claims(where, local)
        ]
        if claims:
            self.way.prove_all(LOOP, claims)
        if self.locked:
            self.check_relation(excused())
        good = self.orders.generalise() if self.locked else ()
        whole = tuple((frame.f_code.co_name, frame.f_lasti) for frame in self.way.stack())
        result = self.beside.own("threads.result")
        while result.operation == "if":
            result = result.arguments[1 if self.way.decide(result.arguments[0]) else 2]
        self.beside.put("threads.result", result)
        code = tuple(
            tuple(sorted((name, _shape(value)) for name, value in frame.f_locals.items()))
            for frame in frames
        )
        cells = [cell for frame in frames for cell in _cells(frame.f_locals)]
        own = {name: self.beside.own(name) for name in sorted(self.setting.free.own)}
        for name in ("threads.zero", *loose_own):
            own[name] = self._loosened(own[name])
        # What the number of a loop's turn is tells no turn from another.
        counters = [cell for cell in cells if cell is self.number]
        for cell in (*loose, *counters):
            cell.term = self._loosened(cell.term)
        cells = list({id(cell): cell for cell in (*cells, *loose)}.values())
        terms = [
            *own.values(),
            *(cell.term for cell in cells),
            *(term for _, _, term in self.places),
        ]
        terms += [] if self.refilled is None else [self.refilled]
        fixed = self._fixed()
        names: dict[Term, str] = {}
        for term in terms:
            same = all(item in fixed for item in variables(term))
            names.setdefault(term, repr(term) if same else f"any {len(names)}")
        key = (
            whole, code, tuple(names[term] for term in terms), good, self.owed,
            self.request is not None, self.refilled is not None, self.locked, tuple(excused()),
            self.calls > 1, self.alone, self.kept_lock, self.packet_there, self.scanning,
        )  # fmt: skip
        self.way.cut(where, key)
        self.way.knowledge.forget()
        self._firsts.clear()
        anew = {term: self._anew(term, name) for term, name in names.items()}
        for fact in self.rigid:
            self.way.assume(fact)
        for cell in cells:
            cell.term = anew[cell.term]
        self.places = [(place, ring, anew[term]) for place, ring, term in self.places]
        self.refilled = None if self.refilled is None else anew[self.refilled]
        self.beside.forget_all()
        for name, term in own.items():
            self.beside.put(name, anew[term])
        if self.locked:
            self._has_lock()
            self._know_relation(excused())
        else:
            self.beside.begin_moment()
        self.orders.begin_anew(good)
        for claim in self.loop_claims(where, local):
            self.way.assume(claim)

    def turn(self, number: Integer, loop: Any, where: str) -> None:
        """A turn of a loop begins, of any number."""
        self.loop = loop
        if self.beside.pc() == Label.WRITE_ENTER:
            self.beside.fire("enter_write")
        if self.beside.pc() == Label.TX_DOORBELL:
            self.beside.fire("tx.next_of_batch", zero=self.zero())
            self.owed = True
        ends = [loop.end] if isinstance(loop.end, Integer) else []
        self.cut(
            where,
            loose=[number, *ends],
            loose_own=("threads.handed", "threads.more"),
            excused=lambda: self.excused(where, self._local()),
        )

    def look(self, ring: str, slot: Any) -> Any:
        """The lines look whether the oldest request was returned: in a loop, of any number.

        Returns the slot, which may be any.
        """
        oldest = Integer(self.way, slot)
        consumed, produced = f"{ring}.consumed", f"{ring}.produced"

        def claims(where: str, local: Mapping[str, Any]) -> list[Bool]:
            before = local["before"] if ring == "cmd" else local["first"]
            number = self.kept(consumed) if ring == "cmd" else number_of(local["number"])
            known: list[Bool] = [
                oldest.term == low(number),
                number != self.kept(produced),
                number_of(before) <= number,
            ]
            if ring == "tx":
                known += [
                    number == self.kept("tx.scanned"),
                    number_of(before) == self.kept("tx.told"),
                    number_of(before) == self.kept(consumed),
                    number_of(local["end"]) == self.kept(produced),
                    self.kept(produced) - self.kept(consumed) <= ring_size(),
                ]
            return known

        if ring == "tx":
            self.scanning = True
            self.keep("tx.scanned", number_of(self._local()["number"]))
        self._cut_with(claims, "a look", [oldest])
        return oldest.term

    def begin_telling(self, count: Integer) -> None:
        """So many transmit slots were found to be returned, the specification has taken them back.

        It goes on to where it looks for a packet, of which nothing is seen.
        """
        self.keep("tx.scanned", self.kept("tx.consumed") + count.term)
        self.beside.approach(("load", "rx.owner HOST"), ("load", "rx.owner DEVICE"))

    def tell_next(self, number: Integer, count: Integer, where: str) -> None:
        """The turn of a slot of which somebody may have to be told: it may be any of them."""

        def claims(where: str, local: Mapping[str, Any]) -> list[Bool]:
            told, scanned = self.kept("tx.told"), self.kept("tx.scanned")
            return [
                number.term == told,
                told < scanned,
                scanned == self.kept("tx.consumed") + count.term,
                count.term == number_of(local["count"]),
            ]

        self.way.goes_on()  # from the oldest up to the last that was returned
        self._cut_with(claims, where, [number, count])

    def _end_scan(self) -> None:
        """All that was found to be returned was taken back, and who waited for it was told."""
        told, scanned, consumed = (
            self.kept(f"tx.{name}") for name in ("told", "scanned", "consumed")
        )
        said = "slots were found to be returned, and were not taken back, or nobody was told"
        self.way.prove(RELATED, And(told == scanned, scanned == consumed), said)
        self.keep("tx.told", consumed)
        self.keep("tx.scanned", consumed)
        self.scanning = False

    def _cut_with(
        self,
        claims: Callable[[str, Mapping[str, Any]], Sequence[Bool]],
        where: str,
        loose: Sequence[Integer],
    ) -> None:
        """A cut of which this is claimed, and nothing else."""
        before, self.loop_claims = self.loop_claims, claims
        self.cut(where, loose=loose, excused=lambda: self.excused(where, self._local()))
        self.loop_claims = before

    def _local(self) -> _Local:
        frames = self.way.frames()
        return _Local(
            (name, value) for frame in reversed(frames) for name, value in frame.f_locals.items()
        )

    def _loosened(self, term: Any) -> Any:
        if not self._fixed().issuperset(variables(term)):
            return term  # it may be anything already, and stays the same as others
        sort = Sort.BOOL if isinstance(term, Bool) else Sort.NUMBER
        return symbol(f"known#{self.way.number()}", sort)

    def _anew(self, term: Term, name: str) -> Any:
        if not name.startswith("any "):
            return term
        sort = Sort.BOOL if isinstance(term, Bool) else Sort.NUMBER
        return symbol(f"any#{self.way.number()}", sort)

    def _fixed(self) -> set[Term]:
        """What never changes on any way: sizes, and what the call was asked for."""
        return {item for fact in self.rigid for item in variables(fact)}


class _Local(dict[str, Any]):
    """The variables of the lines at hand, by name."""

    def __missing__(self, name: str) -> Any:
        raise NotModelledError(f"the lines have no variable {name!r}, of which the proof speaks")


class _Related:
    """The parts of the relation, of one state and of what the driver keeps then.

    What has an index is said of an arbitrary one. Terms of the same structure are the same object,
    so a part that says the same of two states is recognised.
    """

    def __init__(self, values: Mapping[str, Term], keeps: Mapping[str, Term]) -> None:
        both = (*values.items(), *keeps.items())
        self._known = {symbol(name, term.sort): term for name, term in both}
        self._done: dict[Term, Term] = {}

    def says(self, item: Invariant) -> Bool:
        """A part of the relation."""
        return self.of(statement(DUCT.symbols, item, *map(fresh, item.indices)))

    def of(self, term: Bool) -> Bool:
        """A term over the variables of both."""
        return substitute(term, self._known, self._done)


def _weaker(item: Invariant, excuse: Bool | None) -> Invariant:
    """A part of the relation that need not hold where it is excused."""
    if excuse is None:
        return item

    def body(s: Any, *indices: Number) -> Bool:
        return excuse | item.body(s, *indices)

    return Invariant(f"{item.name}, excused by {mark(excuse)}", item.indices, body)


def stored_flag(value: bool) -> Bool:
    """A truth value as a term."""
    return TRUE if value else ~TRUE


def _if(test: Any, one: Any, two: Any) -> Any:
    return If(test, one, two)


def _shape(value: object) -> str:
    """What a local variable is, as far as it tells one place from another."""
    match value:
        case bool() | int() | str() | None | enum.Enum():
            return repr(value)
        case Wait():
            return f"{value.blocking} {type(value.handle).__name__}"
        case list() | tuple():
            return f"[{', '.join(map(_shape, value))}]"
    return type(value).__name__


def _cells(local: Mapping[str, Any]) -> Iterator[Integer]:
    """The numbers that are not known in local variables and in what these refer to."""
    for _, value in sorted(local.items()):
        if isinstance(value, Integer):
            yield value
        elif attrs.has(type(value)) and not isinstance(value, Request):
            for field in attrs.fields(type(value)):
                inner = getattr(value, field.name)
                if isinstance(inner, Integer):
                    yield inner
