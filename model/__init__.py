"""The specification: what must be true of host, memory, rings, card and driver.

Plain Python that imports nothing else of the project: no solver and no I/O.
"""
