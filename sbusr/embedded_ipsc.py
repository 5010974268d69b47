"""The stand-in IPSC of ``sbusr_run.py --embedded``, in a process of its own.

Flow scripts may do anything; here they disturb neither the daemon nor its Ctrl-C. The process ends
when its standard input is closed, so it cannot outlive the daemon.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from smartbus.__main__ import main as smartbus

__all__ = ["main"]

GRACE = 0.7
"""Seconds that the flow host has to end by itself."""


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE)
    os._exit(0)


def main(argv: list[str]) -> int:
    """Run it: ``python -m sbusr.embedded_ipsc HOST:PORT FLOWS_DIRECTORY``."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return smartbus(["ipsc", "--bus", argv[0], "--flows", argv[1]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
