"""Many threads on one driver."""

from __future__ import annotations

import struct
import threading
from functools import partial

from model.layout import ECHO
from properties.conformance.backends import Backend
from properties.conformance.check import check
from properties.conformance.helpers import FLIGHT, SOON, gives_views, receive, together


@check
def four_threads_send_and_receive_and_every_packet_is_accounted_for(backend: Backend) -> None:
    senders, each = 4, 150
    got: list[list[tuple[int, int]]] = [[] for _ in range(senders)]
    under_way = threading.Semaphore(FLIGHT)
    tickets = iter(range(senders * each))
    mutex = threading.Lock()
    with backend.make() as duct:

        def send(sender: int) -> None:
            for number in range(each):
                assert under_way.acquire(timeout=SOON)
                payload = struct.pack("<II", sender, number)
                duct.send(ECHO.address, payload, timeout=SOON)

        def take(receiver: int) -> None:
            while True:
                with mutex:
                    if next(tickets, None) is None:
                        return
                if receiver % 2 or not gives_views(duct):
                    payload = receive(duct).payload
                else:
                    with duct.receive_view(timeout=SOON) as view:
                        payload = bytes(view.payload)
                got[receiver].append(struct.unpack("<II", payload))
                under_way.release()

        together(
            *(partial(send, n) for n in range(senders)),
            *(partial(take, n) for n in range(senders)),
        )
    everything = sorted(packet for packets in got for packet in packets)
    assert everything == [(sender, number) for sender in range(senders) for number in range(each)]
