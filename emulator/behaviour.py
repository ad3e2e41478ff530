"""How a card that runs freely behaves, within what the specification allows."""

from __future__ import annotations

import attrs

__all__ = ["Behaviour"]


@attrs.frozen(kw_only=True)
class Behaviour:
    """The choices that the datasheet leaves to the card, and optional misbehaviour.

    Attributes:
        interrupt_delay: Seconds from the moment at which vector 0 could be raised until it is.
        merge: How many completions share an interrupt. With fewer it comes when the card has
            nothing else to do. With 1 it comes at once.
        spurious_every: Raise vector 0 spuriously after every so many steps; 0 for never.
        finish_at_stop: Send the transmit slots that STOP finds, instead of leaving them.
        look_ahead: Now and then look at a ring without a doorbell, while there is other work.
        refuse_filters: The error byte that every ADDFILT is answered with (1: no space); 0 to obey.
        queue: Packets that may wait for the receive engine; what comes on top of them is lost.
        seed: Decides which step comes next wherever several may.
    """

    interrupt_delay: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    merge: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    spurious_every: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    finish_at_stop: bool = False
    look_ahead: bool = False
    refuse_filters: int = attrs.field(
        default=0,
        converter=int,
        validator=[attrs.validators.ge(0), attrs.validators.le(0xFF)],
    )
    queue: int = attrs.field(default=256, validator=attrs.validators.ge(0))
    seed: int = 0
