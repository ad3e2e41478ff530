"""A device with one slot: the smallest protocol that has everything a ring has."""
