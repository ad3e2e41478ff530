"""A card in software, the bus that it sends on, and the backend that lets a driver reach it.

The card (`emulator.card`) works on real bytes, one step of the specification at a time, and does
nothing by itself. Whoever owns it decides which step comes next: a test that compares each one with
`model.device_spec`, or `emulator.running`, which lets it run freely in a thread.

`emulator.vfio_user` serves such a card to virtual machines (`python -m emulator --help`), and
`emulator.shared_net` joins the cards of several processes.
"""

from engine.needed import needed

needed()
