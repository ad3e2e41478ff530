"""Measurements: `python -m bench`. Nothing here decides whether a test passes."""

from engine.needed import needed

needed()
