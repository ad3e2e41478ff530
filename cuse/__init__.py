"""Character devices in user space: a program serves a device file through the kernel's CUSE."""

from cuse.calls import Call
from cuse.device import Device, Notifier, OpenFile
from cuse.server import NoDeviceError, Server

__all__ = ["Call", "Device", "NoDeviceError", "Notifier", "OpenFile", "Server"]
