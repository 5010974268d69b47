#!/usr/bin/env python3
"""Run the sbusr daemon in this terminal: ``python sbusr_run.py --help``."""

import sys

if __name__ == "__main__":
    try:
        from sbusr.cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # before the daemon has its own handler
        sys.exit(130)
