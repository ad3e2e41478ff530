"""Runs the command."""

import sys

from properties.conformance.command import main

if __name__ == "__main__":
    sys.exit(main())
