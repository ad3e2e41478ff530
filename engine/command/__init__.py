"""The command that proves a theory and catches its faults: options, processes, reports."""
