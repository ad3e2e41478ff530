"""What a program may do with an open card: for tests that interrupt each of these somewhere.

Each takes a driver object, the stage that it is on (`tests.failing`), and a list: those that
receive append the payloads to it.
"""

import asyncio

from model.layout import ECHO
from tests.background import PATIENCE

MASK, ADDRESS = 0xFFFF_FFFF, 0x8000_0001
RAW = bytes.fromhex("00000000 60ec0000 0100 0000 00000000 78")
"""A packet for echo as the character device takes it."""


def send(duct, _here, _got):
    duct.send(ECHO.address, [b"to", b"gether"], timeout=PATIENCE)


def send_batch(duct, _here, _got):
    duct.send_batch(((ECHO.address, [b"x", b"!"]) for _ in range(3)), timeout=PATIENCE)


def send_unwaited(duct, _here, _got):
    duct.write(RAW, blocking=False)


def send_async(duct, _here, _got):
    asyncio.run(duct.send_async(ECHO.address, b"x"))


def filters(duct, _here, _got):
    duct.add_multicast(MASK, ADDRESS, timeout=PATIENCE)
    duct.remove_multicast(MASK, ADDRESS, timeout=PATIENCE)


def readiness(duct, _here, _got):
    duct.poll()
    duct.fileno()


def interrupt(duct, _here, _got):
    duct.interruption().strike()


def receive(duct, _here, got):
    got.append(duct.receive(timeout=PATIENCE).payload)


def receive_view(duct, _here, got):
    with duct.receive_view(timeout=PATIENCE) as view:
        got.append(bytes(view.payload))


def receive_batch(duct, _here, got):
    got.extend(packet.payload for packet in duct.receive_batch(2, timeout=PATIENCE))


def read(duct, _here, got):
    got.append(duct.read(timeout=PATIENCE)[16:])


def iterate(duct, _here, got):
    got.append(next(iter(duct)).payload)


def receive_async(duct, _here, got):
    got.append(asyncio.run(duct.receive_async()).payload)


def close(duct, _here, _got):
    duct.close()


def open_another(_duct, here, _got):
    with here.open():
        pass


def open_again(duct, here, _got):
    duct.close()
    with here.open():
        pass


def recover(duct, here, got):
    """As above, of a card that has failed."""
    open_again(duct, here, got)
