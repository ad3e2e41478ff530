"""The batch operations of the rings in C, where they are built: one kernel, two builds.

`ring_kernel.h` has them, `turn_kernel.h` whole turns with the lock. Built over `real.h` they access
memory; built over `judged.h` each access is a call of the driver's interfaces, so that the
comparison judges it like one of `impl/ring.py`.
(What the driver knows of the kernel of Linux is `impl/kernel.py`.)
"""
