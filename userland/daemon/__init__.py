"""The daemon that serves a card as a character device; `userland.ductd` is its command."""
