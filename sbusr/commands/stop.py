"""``stop``: end a running daemon, which its pid file names."""

from __future__ import annotations

import argparse
import os
import signal
import time

from sbusr import exits, pidfile

from .output import complain, put

__all__ = ["add_arguments", "run"]

LOOK_EVERY = 0.05
"""Seconds between two looks whether it still runs."""

EPILOG = """\
The daemon answers the requests that it has, for up to 2.5 seconds.

exit codes:
  0  it has stopped
  1  it still runs
  2  wrong arguments
  4  there is no daemon with that pid file, or it may not be stopped
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.epilog = EPILOG
    parser.add_argument(
        "--pid-file", metavar="FILE", required=True, help="the one that the daemon was started with"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long to wait for its end (default: %(default)g)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        pid = pidfile.running(args.pid_file)
        if pid is None:
            complain(f"no daemon runs with the pid file {args.pid_file}")
            return exits.UNAVAILABLE
        os.kill(pid, signal.SIGTERM)
    except OSError as exc:
        complain(f"cannot stop it: {exc}")
        return exits.UNAVAILABLE
    deadline = time.monotonic() + args.timeout
    while pidfile.running(args.pid_file) == pid:
        if time.monotonic() > deadline:
            complain(f"process {pid} still runs")
            return exits.FAILED
        time.sleep(LOOK_EVERY)
    put(f"process {pid} has stopped")
    return exits.OK
