"""When the card set the bits of EVFLAGS, as it turns out once they are read.

A completion makes an event bit due, and the card sets the bit at any time after that; completions
in between share it. Which of several completions a bit was set for is not to be seen. So it is said
to have been set as early as it can have been: then every later completion may still be announced
by the next bit. The step is put in where it stood, in front of steps that were taken since; none of
them reads what it changes.
"""

from __future__ import annotations

from judge.judge import CardDeviation, Judge
from monitor.path import LongPath, Mark

__all__ = ["Events"]


class Events:
    """Knows what can have been announced.

    Attributes:
        slots_came: A receive slot was given to the card since EVFLAGS was last read.
    """

    def __init__(self, judge: Judge, path: LongPath) -> None:
        self.slots_came = True
        self._judge = judge
        self._path = path
        self._first: dict[str, Mark] = {}
        self._last: dict[str, Mark] = {}
        self._last_read = path.mark()
        self._last_raised = path.mark()
        self._halted: Mark | None = None
        self._could_drop: Mark | None = None

    def completed(self, ring: str) -> None:
        """The card has just given a slot back."""
        self._last[ring] = self._path.mark()
        self._first.setdefault(ring, self._last[ring])

    def to_be_told(self, ring: str) -> bool:
        """Some completion was not announced yet."""
        return ring in self._first

    def tell(self, ring: str) -> None:
        """The ring's bit is set. Raises `CardDeviation` if the card had failed before."""
        position = max(self._first.pop(ring).position, self._last_read.position)
        if self._halted is not None and position > self._halted.position:
            raise CardDeviation(f"the {ring} ring's event was set after the card had failed")
        self._path.insert(position, (f"{ring}.set_event",))
        more = self._last[ring].position > position
        if more:
            self._first[ring] = self._last[ring]
        self._set(f"{ring}.due", more)
        self._set(f"{ring}.event", True)
        self._raises(position)

    def drop(self) -> None:
        """A packet was dropped. Raises `CardDeviation` if none can have come."""
        if self._judge.enabled("rx.arrive_jumbo"):
            self._judge.fire("rx.arrive_jumbo")
        elif self._could_drop is not None:
            position = self._could_drop.position
            self._path.insert(position, ("rx.arrive_jumbo",))
            self._set("rx.dropped", True)
            self._raises(position)
        else:
            raise CardDeviation("RXDROP or RXJUMBO was set while packet traffic was off")

    def raised(self) -> None:
        """Vector 0 was raised for all that was set by now."""
        self._last_raised = self._path.mark()

    def _raises(self, position: int) -> None:
        """A bit was set back there: vector 0 is still to be raised, unless it was since."""
        if self._last_raised.position <= position:
            self._set("card.raising", True)

    def read(self) -> None:
        """EVFLAGS was read, which clears it."""
        self._last_read = self._path.mark()
        self._could_drop = None
        self.slots_came = False

    def stops(self) -> None:
        """No packet comes any more."""
        if self._judge.enabled("rx.arrive_jumbo"):
            self._could_drop = self._path.mark()

    def halts(self) -> None:
        """The card has failed."""
        self._halted = self._path.mark()

    def reset(self) -> None:
        """The card has forgotten everything."""
        self._first.clear()
        self._halted = None
        self._could_drop = None
        self.slots_came = True

    def _set(self, name: str, value: bool) -> None:
        self._judge.stepper.set(name, value)
