"""Measurements: `python -m bench`. Nothing here decides whether a test passes."""
