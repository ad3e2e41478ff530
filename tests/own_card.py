"""An emulated card that only one test has."""

from emulator.backend import Laboratory
from impl.attach import Attachments
from impl.driver import DuctDriver
from monitor import watch


class OwnCard:
    """A laboratory of its own, the drivers that reach it, and their devices.

    Attributes:
        laboratory: The laboratory.
        attachments: What drivers that were opened keep of the card.
        devices: Each device that was reached, the newest last.
        options: What `open` gives to every driver.
    """

    def __init__(self, **options):
        self.laboratory = Laboratory()
        self.attachments = Attachments(lambda: {"emulated": self.reach}, lambda: watch.watch)
        self.devices = []
        self.options = options

    def reach(self, name):
        self.devices.append(self.laboratory.open(name))
        return self.devices[-1]

    def open(self, name="", **options):
        return DuctDriver.open(
            f"emulated:{name}", attachments=self.attachments, **{**self.options, **options}
        )

    @property
    def card(self):
        return self.laboratory.card()

    def stand_still(self, yes=True):
        """The card accesses no memory, and so does nothing that matters."""
        if yes:
            self.card.stand_still()
        else:
            self.card.go_on()

    def power_off(self):
        """Let go of what drivers have kept, and of the card."""
        for kept in self.attachments._cards.values():
            kept.detach()
        self.laboratory.power_off()
