"""What the quote service knows: proverbs, which belong to everybody."""

from __future__ import annotations

import datetime
from typing import Final

__all__ = ["QUOTES", "quote_of"]

QUOTES: Final = (
    "Well begun is half done.",
    "Measure twice, cut once.",
    "A stitch in time saves nine.",
    "Look before you leap.",
    "Many hands make light work.",
    "Too many cooks spoil the broth.",
    "Haste makes waste.",
    "Make haste slowly.",
    "A chain is only as strong as its weakest link.",
    "The proof of the pudding is in the eating.",
    "Still waters run deep.",
    "Practice makes perfect.",
    "Rome was not built in a day.",
    "Actions speak louder than words.",
    "Better late than never.",
    "Do not count your chickens before they are hatched.",
    "Where there is a will, there is a way.",
    "First come, first served.",
    "Good fences make good neighbours.",
    "One swallow does not make a summer.",
    "All is well that ends well.",
)


def quote_of(day: datetime.date) -> str:
    """The quote of a day. Each has its turn, and then they start over."""
    return QUOTES[day.toordinal() % len(QUOTES)]
