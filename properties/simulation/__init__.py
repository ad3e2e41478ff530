"""The machine that the driver is tested on: threads, weak memory, a judged host, a card."""
