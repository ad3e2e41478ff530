"""A machine in software with duct cards in it: real kernel, real UIO, real VFIO, emulated cards."""

from engine.needed import needed

needed()
