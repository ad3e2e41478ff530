"""The account of a load over the device: one that adds up, and each way in which one does not."""

import re

import attrs
import pytest

from emulator.options import parse as options
from lab.account import SETTLED, Account, Fault, Packet, parse, summary
from lab.account import wrong as wrong_of
from lab.prepare import PROJECT
from lab.soak import TEMPER

COUNT = 60


def account(faults=(), **fates):
    """An account in which every packet was sent, and read before the next one was.

    Args:
        faults: The faults.
        fates: What became of some of them instead: `p7=Packet(...)`, or a fate, which is not read.
    """
    packets = []
    for number in range(COUNT):
        time = 4 * number
        packet = Packet("S", time + 1, time + 2, time + 3, time + 4)
        given = fates.get(f"p{number}", packet)
        packets.append(Packet(given, time + 1, time + 2) if isinstance(given, str) else given)
    memory = {71: [30_000, 30_100, 30_050]}
    return Account(packets, list(faults), memory, 0x1234, 500, 50, 5)


def net(*without):
    """What was on the net: all packets in order, without some."""
    return [number for number in range(COUNT) if number not in without]


def wrong(account, net):
    return wrong_of(attrs.evolve(account, net=net))


def only(found, *words):
    """There is one complaint, and it has these words."""
    (said,) = found
    assert all(word in said for word in words), said


FAILED = Fault("f", 30, 33, 800)


def test_an_account_of_traffic_without_faults_adds_up():
    assert wrong(account(), net()) == []
    assert wrong(account(p7="R", p8="F"), net(7, 8)) == []


def test_what_was_acknowledged_was_on_the_net():
    for fate in "SQ":
        complaint = f"packet 7 ({fate}) was acknowledged, and was not on the net"
        assert complaint in wrong(account(p7=fate), net(7))


def test_a_failure_takes_nothing_back_that_was_sent():
    # Also where the write said so just before.
    found = wrong(account([FAILED], p29="S"), net(29))
    only(found, "packet 29 (S) was acknowledged, and was not on the net")


def test_what_was_queued_when_the_card_failed_may_be_lost_and_what_came_before_may_not():
    queued = {f"p{number}": "Q" for number in (27, 28, 29, 30)}
    assert wrong(account([FAILED], **queued), net(27, 28, 29, 30)) == []
    found = wrong(account([FAILED], **queued), net(28, 29, 30))
    assert found == []
    # A later one has left, so this one had to.
    only(wrong(account([FAILED], **queued), net(28)), "packet 28 was queued first")


def test_what_was_refused_was_not_sent():
    assert "packet 7 (R) was refused, and was on the net" in wrong(account(p7="R"), net())


def test_of_what_failed_nobody_knows_but_it_was_there_once_at_the_most():
    # It may be read, too.
    read = attrs.evolve(account().packets[29], fate="F")
    assert wrong(account([FAILED], p29=read), net()) == []
    assert wrong(account([FAILED], p29="F"), net(29)) == []
    twice = [*net(), 29]
    assert "packet 29 was on the net 2 times" in wrong(account([FAILED], p29="F"), twice)


def test_a_write_whose_end_nobody_knows_is_told():
    only(wrong(account(p7="-"), net(7)), "packet 7 (-): nobody knows")


def test_packets_leave_in_the_order_of_writes_that_followed_each_other():
    swapped = net()
    swapped[7], swapped[8] = 8, 7
    assert any("packet 7 was queued first" in it for it in wrong(account(), swapped))
    # Writes at the same time may leave in any order.
    together = account(
        p7=Packet("S", 29, 34, 50, 53), p8=Packet("S", 33, 35, 51, 54), p9="R", p10="R", p11="R",
        p12="R",
    )  # fmt: skip
    swapped = [it for it in swapped if it not in {9, 10, 11, 12}]
    assert wrong(together, swapped) == []


def test_what_was_read_was_on_the_net_and_in_that_order():
    only(wrong(account(p7=Packet("F", 29, 30, 31, 32)), net(7)), "packet 7 (F) was read")
    late = attrs.evolve(account().packets[7], read_began=300, read_ended=301)
    only(wrong(account(p7=late), net()), "packet 7 was read after one that was on the net later")


NOBODY = "packet {} was on the net, and nobody read it"


def test_what_nobody_read_was_taken_by_somebody_who_was_killed_just_then():
    lost = account(p7="S", p9="S")
    assert wrong(lost, net()) == [NOBODY.format(7), NOBODY.format(9)]
    # The write of packet 7 began at 29, and packet 8 was read until 36; so packet 9, 37 and 44.
    both = [(20, 30), (37, 44)]
    assert wrong(attrs.evolve(lost, losses=both), net()) == []
    only(wrong(attrs.evolve(lost, losses=both[1:]), net()), NOBODY.format(7))
    only(wrong(attrs.evolve(lost, losses=[(20, 28), (37, 44)]), net()), "packet 7")
    only(wrong(attrs.evolve(lost, losses=[(20, 30), (45, 60)]), net()), NOBODY.format(9))


def test_whoever_is_killed_takes_one_packet():
    lost = account(p7="S", p8="S")
    assert len(wrong(attrs.evolve(lost, losses=[(0, 240)]), net())) == 1
    # Whoever was there for both leaves the first one to those who were there for it only.
    assert wrong(attrs.evolve(lost, losses=[(0, 240), (28, 30)]), net()) == []


def test_what_the_card_had_received_when_it_failed_may_be_lost_with_all_that_came_after():
    lost = {f"p{number}": "S" for number in range(25, 33)}
    assert wrong(account([FAILED], **lost), net()) == []
    hole = {**lost, "p20": "S"}
    only(wrong(account([FAILED], **hole), net()), NOBODY.format(20))
    # After it everything is as before.
    only(wrong(account([FAILED], **lost, p40="S"), net()), NOBODY.format(40))


def test_a_daemon_that_grows_is_told():
    grown = attrs.evolve(account(), memory={71: [30_000, 30_001 + SETTLED], 72: [40_000]})
    only(wrong(grown, net()), f"a daemon has grown by {SETTLED + 1} kB")


TOLD = """\
memory 71 30000
memory 72 31000
memory 71 30010
fault k 1 2 1500
packet S 1 2 3 4
packet F 5 6 0 0
lost 3 9
load 4660 500 50 5
99 checks hold
"""


def test_what_a_load_prints_is_understood():
    told = parse(TOLD)
    assert told == Account(
        [Packet("S", 1, 2, 3, 4), Packet("F", 5, 6)],
        [Fault("k", 1, 2, 1500)],
        {71: [30000, 30010], 72: [31000]},
        0x1234,
        500,
        50,
        5,
        [(3, 9)],
    )
    assert told.periods() == [range(1), range(2, 2)]


def test_several_loads_are_told_in_one_line():
    told = attrs.evolve(parse(TOLD), net=[0, 1])
    assert summary([told, told]) == (
        "1000 calls, 100 ended early, 10 processes killed, 2 daemons killed (back in 1.5 s at the "
        "most); 2 packets acknowledged, 2 of them on the net; 2 read"
    )
    assert summary([]).startswith("0 calls")


def test_a_load_that_did_not_come_to_its_end_is_no_account():
    with pytest.raises(ValueError, match="no account of a load"):
        parse("".join(TOLD.splitlines(keepends=True)[:4]))


def test_the_card_of_the_soak_holds_all_that_is_under_way_and_has_every_temper_but_refusing():
    flight = re.search(r"#define FLIGHT (\d+)", (PROJECT / "lab/c/load.c").read_text())
    behaviour = options(["--socket", "/tmp/card", *TEMPER]).behaviour
    assert behaviour.queue == int(flight[1])
    tempers = attrs.asdict(behaviour, filter=lambda field, value: value != field.default)
    assert {*tempers} == {*attrs.asdict(behaviour)} - {"refuse_filters", "seed"}
