"""A short soak: every packet is accounted for; and an account that is wrong is noticed."""

import pytest

from emulator.backend import Laboratory
from properties.soak import main, soak


def test_three_seconds_of_traffic_failures_and_closes_add_up():
    account = soak(3.0, seed=5, talk=False)
    assert account.wrong == []
    assert account.sessions > 3
    assert account.echoed > 50
    assert account.sent + account.failed == account.given
    assert account.filters > account.refused > 0


def test_the_command_says_that_all_is_accounted_for(capsys):
    assert main(["--seconds", "0.5"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "all packets are accounted for"


class Lossy:
    """A card that loses every other packet without a word."""

    def __init__(self, card):
        self.card = card
        self.odd = False

    def deliver(self, packet):
        self.odd = not self.odd
        if self.odd:
            self.card.deliver(packet)


def test_packets_that_vanish_are_noticed(monkeypatch, capsys):
    laboratory = Laboratory()
    laboratory.net.detach(laboratory.card())
    laboratory.net.attach(Lossy(laboratory.card()))
    monkeypatch.setattr("properties.soak.Laboratory", lambda: laboratory)
    assert main(["--seconds", "30", "--seed", "2"]) == 1
    assert "packets were given" in capsys.readouterr().out


def test_a_bad_option_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--seconds", "soon"])
    assert ended.value.code == 2
    assert "invalid float value: 'soon'" in capsys.readouterr().err
