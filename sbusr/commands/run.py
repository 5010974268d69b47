"""``run``: the daemon itself. Only its arguments are here; `sbusr.server` is the rest."""

from __future__ import annotations

import argparse

__all__ = ["add_arguments", "run"]

DESCRIPTION = """\
Execute JSON-RPC requests of flows with the functions in methods/, and start flows by HTTP.
The settings are in settings.py, in the current directory or beside this program.
"""

EPILOG = """\
Ctrl-C (or SIGTERM) stops; a second time stops without waiting for requests.

exit codes:
  0    stopped as asked
  2    wrong arguments
  3    the settings cannot be used
  4    something cannot be started
  5    stopped by a second signal
  130  Ctrl-C before the daemon was there
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="log everything, and put tracebacks into error replies",
    )
    parser.add_argument(
        "-W",
        "--no-web-server",
        action="store_true",
        help="no HTTP: then flows cannot be started, nor methods reloaded by a request",
    )
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="also start a bus and a stand-in for IPSC, where no IPSC is at hand",
    )
    parser.add_argument(
        "--flows",
        metavar="DIR",
        default="flows",
        help="with --embedded: directory of the flow scripts (default: %(default)s)",
    )
    parser.add_argument(
        "--pid-file",
        metavar="FILE",
        help="keep the process id in FILE while the daemon runs, for the command stop; a second "
        "daemon with the same FILE does not start",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from sbusr import server  # noqa: PLC0415 - not for --help

    return server.run(args)
