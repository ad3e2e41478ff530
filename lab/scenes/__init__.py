"""What the lab must show, as tests: `make lab`."""
