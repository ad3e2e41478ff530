"""What is wrong with a specification is said when it is loaded: where, what, and what to write."""

import functools
import os
from pathlib import Path

import attrs
import pytest

from engine.declarations import RuleError, place_of
from engine.mutations import leads, leaves, only_when, pretends, then
from engine.rules import SLOT as ANY_SLOT
from engine.rules import THREAD, USER, Kind, Party, Rule, bind
from engine.terms import TRUE, constant
from engine.weak_memory import lateness_rule, speculation_rule, visible_rule
from engine.word_check import WordError
from engine.words import Lateness, Order, Word
from examples.mailbox import spec
from examples.mailbox.spec import (
    ANSWER,
    DATA,
    FLAG,
    MAILBOX,
    SLOT,
    WORDS,
    Label,
    Stage,
    at,
    specification,
)

HERE = os.path.relpath(__file__)
LINES = {
    text.rpartition("  # line: ")[2]: number
    for number, text in enumerate(Path(__file__).read_text().splitlines(), start=1)
    if "  # line: " in text
}
RULES = [step.rule for step in specification().transitions]


def line(marker):
    return f"{HERE}:{LINES[marker]}"


def stated(body, *parameters, party=Party.HOST, name="bad"):
    return Rule(name, party, spec.SECTION, parameters, "", body)


def refused(body, *parameters, party=Party.HOST):
    with pytest.raises(RuleError) as caught:
        MAILBOX.lift(stated(body, *parameters, party=party))
    return str(caught.value)


def body_at(body):
    return f"rule bad ({HERE}:{body.__code__.co_firstlineno})"


def test_the_mailbox_is_not_refused():
    assert [step.rule for step in MAILBOX.system(RULES).transitions] == RULES


# A mistake in a rule's text is told at its line


def test_a_branch_on_a_term():
    def bad(s):
        s.require(s.box.stage == Stage.LOOK)
        if s.box.raised:  # line: branch
            s.box.stage = Stage.IDLE

    assert refused(bad, party=Party.DEVICE) == (
        f"rule bad ({line('branch')}): a specification term has no truth value of its own: write "
        "&, |, ~ and If instead of and, or, not and if"
    )


def test_a_branch_in_what_a_rule_calls():
    def bad(s):
        s.require(helps(s))

    def helps(s):
        return s.box.raised and s.box.full[SLOT]  # line: helper

    assert refused(bad, party=Party.DEVICE).startswith(f"rule bad ({line('helper')}): a spec")


def test_a_variable_that_the_state_does_not_have():
    def reads(s):
        s.require(s.box.rased)  # line: reads

    def sets(s):
        s.box.rased = TRUE  # line: sets

    def far_off(s):
        s.bucks.raised = TRUE  # line: far off

    told = "Box has no rased; did you mean raised?"
    assert refused(reads) == f"rule bad ({line('reads')}): {told}"
    assert refused(sets) == f"rule bad ({line('sets')}): {told}"
    assert refused(far_off) == f"rule bad ({line('far off')}): State has no bucks"


def test_a_variable_set_to_something_else():
    def flag_to_number(s):
        s.box.raised = s.box.sent

    def number_to_flag(s):
        s.box.stage = True

    def array_to_one(s):
        s.box.full = TRUE

    assert refused(flag_to_number) == (
        f"{body_at(flag_to_number)}: sets box.raised (bool) to box.sent; give it True, False or a "
        "condition"
    )
    assert refused(number_to_flag) == (
        f"{body_at(number_to_flag)}: sets box.stage (number) to True; give it a number, or a sum "
        "of numbers"
    )
    assert refused(array_to_one) == (
        f"{body_at(array_to_one)}: sets box.full (array of bool) to True; set one element, "
        "variable[index] = ..., or all, variable.fill(...)"
    )


def test_a_condition_that_is_none():
    def bad(s):
        s.require(s.box.stage)  # line: condition

    assert refused(bad) == f"rule bad ({line('condition')}): expected a truth value, not box.stage"


def test_a_body_that_takes_other_parameters():
    def bad(s):
        """Thread t is missing."""

    assert refused(bad, USER).startswith(f"{body_at(bad)}: ")
    assert refused(bad, USER).endswith("bad() takes 1 positional argument but 2 were given")


# Words


def test_a_word_that_is_not_the_protocols():
    other = Word("box", "length", ("answer",))

    def bad(s):
        s.load(other, SLOT)  # line: other word

    assert refused(bad, party=Party.DEVICE) == (
        f"rule bad ({line('other word')}): box.length is no word of the protocol; its words are "
        "box.data, box.flag, box.answer: add it to words="
    )


def test_a_value_that_a_word_does_not_have():
    def loads(s):
        s.load(FLAG, SLOT, 2)  # line: loads 2

    def stores(s):
        s.store(FLAG, SLOT, full=7)  # line: stores 7

    def demands(s):
        s.load(DATA, SLOT, 2)  # line: demands

    known = "its values are False (EMPTY), True (FULL)"
    assert refused(loads) == f"rule bad ({line('loads 2')}): box.flag is never 2; {known}"
    assert refused(stores) == f"rule bad ({line('stores 7')}): box.flag is never 7; {known}"
    assert refused(demands) == (
        f"rule bad ({line('demands')}): box.data has no named values; load it, and require the "
        "value"
    )


def test_a_keyword_that_a_word_does_not_hold():
    def stores(s):
        s.store(FLAG, SLOT, flag=True)  # line: keyword

    def allocates(s):
        s.allocate(FLAG, SLOT)  # line: allocates

    def nothing(s):
        s.store(FLAG, SLOT)  # line: nothing

    assert refused(stores) == (
        f"rule bad ({line('keyword')}): box.flag holds no flag; it takes full=..."
    )
    assert refused(allocates) == (
        f"rule bad ({line('allocates')}): box.flag is allocated, and holds something: say full=..."
    )
    assert refused(nothing, party=Party.DEVICE) == (
        f"rule bad ({line('nothing')}): nothing is stored to box.flag; say which of full=..."
    )


def test_a_store_of_the_hosts_to_a_word_of_the_devices():
    def bad(s):
        s.store(ANSWER, SLOT, answer=1)  # line: host stores

    assert refused(bad) == (
        f"rule bad ({line('host stores')}): box.answer is declared as a word that the host never "
        "stores; give it buffered= and pending="
    )


# What a rule touches and does not declare


def test_a_read_in_silence():
    def bad(s):
        s.require(s.box.full[SLOT])

    def in_an_update(s):
        s.box.seen = s.box.data[SLOT]

    assert refused(bad, party=Party.DEVICE) == (
        f"{body_at(bad)}: reads box.full, a part of the shared word box.flag, in silence; write "
        "s.load(box.flag, 0, ...) instead"
    )
    assert refused(in_an_update, party=Party.DEVICE) == (
        f"{body_at(in_an_update)}: reads box.data, a part of the shared word box.data, in silence; "
        "write s.load(box.data, 0, ...) instead"
    )


def test_a_read_in_a_barrier_or_in_when():
    def barrier(s):
        s.barrier("something", s.box.full[SLOT])

    def when(s):
        s.load(DATA, SLOT, when=s.box.full[SLOT])

    for bad in (barrier, when):
        assert refused(bad, party=Party.DEVICE).startswith(f"{body_at(bad)}: reads box.full, ")


def test_a_change_in_silence():
    def one(s):
        s.box.answer[SLOT] = 1

    def every(s):
        s.box.answer.fill(1)

    assert refused(one, party=Party.DEVICE) == (
        f"{body_at(one)}: changes box.answer, a part of the shared word box.answer, in silence; "
        "write s.store(box.answer, 0, ...) instead"
    )
    assert refused(every, party=Party.DEVICE) == (
        f"{body_at(every)}: changes box.answer, a part of the shared word box.answer, in silence; "
        "write s.store(box.answer, every slot, ...) instead"
    )


def test_a_pending_store_in_silence():
    def sets(s):
        s.box.flag_pending[SLOT] = True

    def asks(s):
        s.require(~s.box.flag_pending[SLOT])

    def awaits(s):
        s.barrier("full barrier", ~s.box.flag_pending[SLOT])

    assert refused(sets) == (
        f"{body_at(sets)}: changes box.flag_pending, a part of the shared word box.flag, in "
        "silence; write s.store(box.flag, 0, ...) instead"
    )
    assert refused(asks) == (
        f"{body_at(asks)}: reads box.flag_pending, a part of the shared word box.flag, in silence; "
        "write s.load(box.flag, 0, ...) instead"
    )
    assert MAILBOX.lift(stated(awaits)).guards[0].barrier
    assert MAILBOX.lift(stated(asks, party=Party.MEMORY))


def test_another_slot_than_declared():
    def bad(s, t, k):
        s.require(at(s, t, Label.LOOK))
        s.load(DATA, s.threads.got[t])
        s.box.seen = s.box.data[k]

    def plus_one(s, k):
        s.store(ANSWER, k, answer=1)
        s.box.answer[k + 1] = 2

    assert refused(bad, USER, ANY_SLOT, party=Party.DEVICE) == (
        f"{body_at(bad)}: reads box.data at k, and declares slot threads.got[t] of the shared word "
        "box.data; write s.load(box.data, k, ...)"
    )
    assert refused(plus_one, ANY_SLOT, party=Party.DEVICE) == (
        f"{body_at(plus_one)}: changes box.answer at add(k, 1), and declares slot k of the shared "
        "word box.answer; write s.store(box.answer, add(k, 1), ...)"
    )


def test_a_store_of_the_hosts_past_its_store_buffer():
    def bad(s):
        s.store(FLAG, SLOT, full=True)
        s.box.full[SLOT] = True

    assert refused(bad) == (
        f"{body_at(bad)}: changes box.full past the store buffer; write s.store(box.flag, 0, ...) "
        "alone, and let memory make it visible"
    )


# History


def test_history_that_decides():
    def guard(s, t):
        s.require(at(s, t, Label.ANSWER) & (s.threads.got[t] == 0))

    def when(s, t):
        s.require(at(s, t, Label.ANSWER))
        s.load(DATA, SLOT, when=s.threads.got[t] == 0)

    def update(s, t):
        s.require(at(s, t, Label.ANSWER))
        s.box.sent = s.threads.got[t]

    def record(s, t):
        s.require(at(s, t, Label.ANSWER))
        s.threads.got[t] = s.threads.got[t] + 1

    advice = (
        "let it read what the host or the device knows, or declare the variable without "
        "history=True"
    )
    for bad in (guard, when):
        assert refused(bad, USER) == (
            f"{body_at(bad)}: reads history to decide what happens: threads.got; {advice}"
        )
    assert refused(update, USER) == (
        f"{body_at(update)}: reads history to change box.sent: threads.got; {advice}"
    )
    assert MAILBOX.lift(stated(record, USER))


# Program counters


def test_a_rule_at_two_program_counters():
    def bad(s, t):
        s.require(at(s, t, Label.WAIT))
        s.require(at(s, t, Label.LOOK, Label.ANSWER))

    def nowhere(s, t):
        s.require(at(s, t, Label.WAIT) & (s.threads.pc[t] == 99))

    advice = "a thread is at one at a time, so write a rule for each"
    assert refused(bad, USER) == (
        f"{body_at(bad)}: stands at two program counters: WAIT and LOOK or ANSWER; {advice}"
    )
    assert refused(nowhere, USER) == (
        f"{body_at(nowhere)}: stands at two program counters: WAIT and 99; {advice}"
    )


def test_a_rule_of_a_threads_program_at_none():
    def bad(s, t):
        s.reads_register("STATUS")

    for parameter in (USER, THREAD):
        assert refused(bad, parameter) == (
            f"{body_at(bad)}: stands at no program counter, and a thread's program takes it; write "
            "s.require(s.threads.pc[t] == Label.IDLE), or whichever it is"
        )
    assert MAILBOX.lift(stated(bad, USER, party=Party.ENVIRONMENT))
    assert MAILBOX.lift(stated(lambda s: s.reads_register("STATUS")))


# Names


def test_two_rules_with_one_name():
    def again(s):
        s.box.raised = TRUE

    with pytest.raises(RuleError) as caught:
        MAILBOX.system([*RULES, stated(again, name="device.look")])
    first = place_of(specification().named("device.look").rule)
    assert str(caught.value) == (
        f"rule device.look ({HERE}:{again.__code__.co_firstlineno}): {first} has this name, too; "
        "give one of them another, by name="
    )


# The line is the author's


def wrapped(body):
    @functools.wraps(body)
    def whole(s):
        body(s)

    return whole


def own(s):
    """A rule."""


@pytest.mark.parametrize(
    "body",
    [
        own,
        wrapped(own),
        wrapped(wrapped(own)),
        functools.partial(own),
        bind(own),
        wrapped(functools.partial(wrapped(own))),
    ],
)
def test_the_place_of_a_wrapped_rule_is_that_of_its_text(body):
    assert place_of(stated(body)) == f"rule bad ({HERE}:{own.__code__.co_firstlineno})"


def test_a_method_has_a_place_and_what_has_no_text_has_none():
    class Owner:
        def body(self, s):
            """A rule."""

    assert place_of(stated(Owner().body)) == body_at(Owner.body)
    assert place_of(stated(print)) == "rule bad"


def test_rules_of_a_decorator_of_the_authors_are_told_by_their_own_line():
    rule = specification().named("load_answer").rule
    text = Path(spec.__file__).read_text().splitlines()
    assert place_of(rule).startswith("rule load_answer (examples/mailbox/spec.py:")
    number = int(place_of(rule).rpartition(":")[2].rstrip(")"))
    assert "def load_answer" in text[number]


@pytest.mark.parametrize(
    "change",
    [
        leaves("ring_doorbell", "box.doorbells_posted", "..."),
        leads("ring_doorbell", Label.LOOK, "..."),
        only_when("ring_doorbell", lambda s: s.box.raised, "..."),
        pretends("ring_doorbell", "box.stage", lambda s, t: s.box.sent, "..."),
    ],
)
def test_a_faults_rule_is_where_the_rule_is_that_it_changes(change):
    system = specification()
    rule = system.named("ring_doorbell").rule
    assert place_of(change(system).named("ring_doorbell").rule) == place_of(rule)


def test_a_faults_own_text_is_where_it_stands():
    def forgets(s, t):
        s.box.sent = s.box.data[SLOT]

    with pytest.raises(RuleError) as caught:
        then("ring_doorbell", forgets)(specification())
    where = f"{HERE}:{forgets.__code__.co_firstlineno}"
    assert str(caught.value).startswith(f"rule ring_doorbell ({where}): reads box.data, ")


def test_a_step_of_memory_is_where_its_word_is_declared():
    rule = visible_rule(FLAG, spec.SECTION)
    assert place_of(rule) == f"rule box.flag_visible ({FLAG.place})"
    assert FLAG.place.startswith("examples/mailbox/spec.py:")


def test_a_mistake_in_what_a_word_says_is_told_at_its_line():
    early = attrs.evolve(
        ANSWER.speculation,
        window=lambda s: s.box.raised and s.box.raised,  # line: window
    )
    word = Word("box", "answer", ("answer",), speculation=early)
    protocol = attrs.evolve(MAILBOX, words=(DATA, FLAG, word))
    with pytest.raises(RuleError) as caught:
        protocol.lift(speculation_rule(word, spec.SECTION))
    assert str(caught.value).startswith(f"rule box.speculate_answer ({line('window')}): a spec")


# Variables that go with an operation


LOCKED = attrs.evolve(MAILBOX, declared={"box.raised": (Kind.UNLOCK, Kind.SLEEP)})


def lifted(body):
    return LOCKED.lift(Rule("step", Party.ENVIRONMENT, spec.SECTION, (), "", body))


def test_a_variable_that_goes_with_an_operation_is_not_changed_in_silence():
    def says(s):
        s.unlocks()
        s.box.raised = TRUE

    def silent(s):
        s.box.raised = TRUE

    def idle(s):
        s.sleeps("anything")

    assert lifted(says)
    with pytest.raises(RuleError, match=r"changes box\.raised in silence"):
        lifted(silent)
    with pytest.raises(RuleError, match="declares sleep, and does not change box"):
        lifted(idle)
    with pytest.raises(ValueError, match=r"declared names box\.rased, .* did you mean box\.raised"):
        attrs.evolve(MAILBOX, declared={"box.rased": (Kind.UNLOCK,)})


# Words that are declared wrongly


def late(*into):
    """A load of the mailbox's answer that may be late."""
    return Lateness(
        into=into,
        slot=lambda s, t: constant(0),
        window=lambda s, t: at(s, t, Label.ANSWER),
        barrier="answer before flag",
        before=lambda s, t: s.box.flag_pending[constant(0)],
    )


def bad_word(**changes):
    """What is said of the mailbox with one more word."""
    usual = {"ring": "box", "name": "more", "holds": ("answer",)}
    more = Word(**(usual | changes))  # line: word
    with pytest.raises(WordError) as caught:
        attrs.evolve(MAILBOX, words=(*WORDS, more))
    told = str(caught.value)
    where = f"word {more.path} ({line('word')}): "
    assert told.startswith(where)
    return told.removeprefix(where)


STORED = {"holds": ("full",), "buffered": ("full_new",), "pending": "flag_pending"}
DECLARE = "declare it with numbers(Domain.SLOT, ...) or flags(Domain.SLOT, ...)"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"holds": ("anwser",)},
            "holds= names box.anwser, which is no variable of the state; did you mean box.answer?",
        ),
        (
            {"holds": ("xyz",)},
            f"holds= names box.xyz, which is no variable of the state; {DECLARE}",
        ),
        (
            {"ring": "tx"},
            "holds= names tx.answer, which is no variable of the state; did you mean box.answer?",
        ),
        (
            {"holds": ("stage",)},
            f"holds= names box.stage, which has no element for each slot; {DECLARE}",
        ),
        ({"holds": ()}, "holds= is empty; name the variables that hold it"),
        (
            {"name": "data"},
            f"{DATA.place} declares a word of this name, too",
        ),
        (
            {**STORED, "buffered": ("full_new", "sequence")},
            "buffered= names full_new, sequence; it needs a variable for each of full",
        ),
        (
            {**STORED, "buffered": ()},
            "buffered= names nothing; it needs a variable for each of full",
        ),
        (
            {**STORED, "pending": ""},
            "buffered= needs pending=, the flag that a store is not visible yet",
        ),
        (
            {**STORED, "buffered": ("sequence",)},
            "buffered= names box.sequence; declare it with flags(Domain.SLOT, ...)",
        ),
        (
            {**STORED, "pending": "fpending"},
            "pending= names box.fpending, which is no variable of the state; did you mean "
            "box.flag_pending?",
        ),
        (
            {**STORED, "pending": "raised"},
            "pending= names box.raised; declare it with flags(Domain.SLOT, ...)",
        ),
        (
            {**STORED, "after": (Order("release", ("dta",)),)},
            "after= names box.dta, which is no word of the protocol; did you mean box.data?",
        ),
        (
            {**STORED, "after": (Order("release", ("answer",)),)},
            "after= names box.answer, which the host never stores",
        ),
        (
            {"after": (Order("release", ("data",)),)},
            "after= orders stores, and the host never stores it: add buffered=",
        ),
        (
            {**STORED, "after": (Order("release", ("more",)),)},
            "after= names box.more; call the flag that it is pending more_pending",
        ),
        (
            {"exists": "there"},
            "exists= names box.there, which is no variable of the state; declare it with "
            "flags(Domain.SLOT, ...)",
        ),
        (
            {"speculation": attrs.evolve(ANSWER.speculation, flag="ahead")},
            "speculation.flag= names box.ahead, which is no variable of the state; declare it with "
            "flag(...)",
        ),
        (
            {"speculation": attrs.evolve(ANSWER.speculation, flag="full")},
            "speculation.flag= names box.full; declare it with flag(...)",
        ),
        (
            {"speculation": attrs.evolve(ANSWER.speculation, holds=("seen", "stage"))},
            "speculation.holds= names seen, stage; it needs a variable for each of answer",
        ),
        (
            {"lateness": late("threads.gott")},
            "lateness.into= names threads.gott, which is no variable of the state; did you mean "
            "threads.got?",
        ),
        (
            {"lateness": late("box.answer")},
            "lateness.into= names box.answer; declare it with numbers(Domain.THREAD, ...)",
        ),
        (
            {"lateness": late("threads.got", "threads.pc")},
            "lateness.into= names threads.got, threads.pc; it needs a variable for each of answer",
        ),
        (
            {"speculation": attrs.evolve(ANSWER.speculation, holds=("raised",))},
            "speculation.holds= names box.raised; declare it with number(...)",
        ),
    ],
    ids=lambda item: item if isinstance(item, str) else " ".join(item),
)
def test_a_word_that_is_declared_wrongly(changes, told):
    assert bad_word(**changes) == told


def test_a_load_that_is_late_takes_the_value_that_the_word_has_then():
    """The answer, until the driver stores the next request: a mailbox without a lock."""
    word = attrs.evolve(ANSWER, speculation=None, lateness=late("threads.got"))
    protocol = attrs.evolve(MAILBOX, words=(DATA, FLAG, word))

    def looks(s):
        s.threads.got[constant(0)] = s.load(word, SLOT)

    with pytest.raises(WordError, match="no step satisfies its loads late; add lateness_rule"):
        protocol.system([Rule("look", Party.HOST, spec.SECTION, (), "", looks)])
    step = protocol.lift(lateness_rule(word, spec.SECTION))
    assert step.rule.name == "box.answer_late"
    assert [guard.name for guard in step.guards if guard.barrier] == ["answer before flag"]
    assert [(item.kind, item.name) for item in step.operations] == [(Kind.LOAD, "box.answer")]
    assert set(step.updates) == {"threads.got"}


def test_a_store_may_wait_for_more_than_stores():
    order = Order("doorbell before flag", until=lambda s, _: s.box.raised)
    word = attrs.evolve(FLAG, after=(*FLAG.after, order))
    protocol = attrs.evolve(MAILBOX, words=(DATA, word, ANSWER))
    step = protocol.lift(visible_rule(word, spec.SECTION))
    assert [guard.name for guard in step.guards if guard.barrier] == [
        *("release: data before flag", "doorbell before flag")
    ]


def without(name):
    return [rule for rule in RULES if rule.name != name]


def test_memory_that_takes_no_step_with_a_word():
    with pytest.raises(WordError) as caught:
        MAILBOX.system(without("box.data_visible"))
    assert str(caught.value) == (
        f"word box.data ({DATA.place}): no step makes its stores visible; add "
        "visible_rule(word, section) to the rules"
    )
    with pytest.raises(WordError) as caught:
        MAILBOX.system(without("box.speculate_answer"))
    assert str(caught.value) == (
        f"word box.answer ({ANSWER.place}): no step satisfies its loads early; add "
        "speculation_rule(word, section) to the rules"
    )


def test_a_part_of_the_system_needs_memory_only_for_what_it_touches():
    assert MAILBOX.system(rule for rule in RULES if rule.party is Party.DEVICE)


# Protocols


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"pc": "threads.pcs"},
            "protocol mailbox: pc names threads.pcs, which is no variable of State; did you mean "
            "threads.pc?",
        ),
        (
            {"arbitrary": frozenset({"box.answers"})},
            "protocol mailbox: arbitrary names box.answers, which is no variable of State; did you "
            "mean box.answer?",
        ),
        (
            {"start": {"xyz": {0: 1}}},
            "protocol mailbox: start names xyz, which is no variable of State",
        ),
        (
            {"pc": "box.sequence"},
            "protocol mailbox: box.sequence must hold a number for each thread; declare it with "
            "numbers(Domain.THREAD, ...)",
        ),
    ],
    ids=str,
)
def test_a_protocol_that_names_what_the_state_does_not_have(change, told):
    with pytest.raises(ValueError) as caught:
        attrs.evolve(MAILBOX, **change)
    assert str(caught.value) == told
