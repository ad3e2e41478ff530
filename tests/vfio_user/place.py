"""A server of the card in this process, and what its clients are tried with."""

import os
import threading
import time
from pathlib import Path

from emulator.behaviour import Behaviour
from emulator.counters import Counters
from emulator.net import Ductnet
from emulator.running import RunningCard
from emulator.services import attach_services
from emulator.vfio_user.dma import ClientMemory
from emulator.vfio_user.server import Server
from model.layout import ECHO
from tests.host import Host
from tests.vfio_user.client import PAGE, PciDevice

ADDRESS = 0x34565CAB
EVENT, FATAL = 0, 1
SOON = 0.05


class Place:
    """A server, running in this process, with its card."""

    def __init__(self, path, net=None, hwaddr=ADDRESS, **behaviour):
        self.path = str(path)
        if net is None:
            net = Ductnet()
            attach_services(net)
        self.net = net
        self.counters = Counters()
        memory = ClientMemory(self.counters)
        self.running = RunningCard(
            memory, net, hwaddr=hwaddr, behaviour=Behaviour(**behaviour), counters=self.counters
        )
        self.server = Server(self.path, self.running, memory)
        self._thread = threading.Thread(target=self.server.serve)
        self._thread.start()

    def close(self):
        self.server.stop()
        self._thread.join()
        self.server.close()
        self.running.power_off()


def host_of(place, **how):
    return Host(PciDevice(place.path, **how)).start()


def echoed(host, payload):
    host.send(ECHO.address, payload)
    return host.receive()


def works_for_the_next_client(place):
    host = host_of(place)
    assert echoed(host, b"next").payload == b"next"
    host.device.close()


def wait_until_gone(place, number):
    """Wait until so many clients are gone for the server too."""
    while place.server.gone < number:
        time.sleep(0.001)


def open_files():
    return len(os.listdir("/proc/self/fd"))


def map_count():
    return len(Path("/proc/self/maps").read_text().splitlines())


def short_memfd():
    fd = os.memfd_create("short")
    os.ftruncate(fd, PAGE)
    return fd
