"""``reload``: have a running daemon load its methods anew."""

from __future__ import annotations

import argparse

from sbusr import exits

from . import daemon
from .output import add_json, paint, put, put_json

__all__ = ["add_arguments", "run"]

EPILOG = f"""\
The daemon is asked by HTTP (GET /sys/reset). If it wants a token, the environment variable
{daemon.TOKEN} holds it. A daemon without HTTP reloads when it gets the signal SIGHUP.

exit codes:
  0  its worker processes are new; their process ids are printed
  1  the methods do not load, and the old worker processes go on; the traceback is printed
  2  wrong arguments
  3  the settings cannot be used
  4  the daemon cannot be reached, or refuses
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.epilog = EPILOG
    daemon.add_arguments(parser, 120.0)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        done, value = daemon.ask_json(args, "/sys/reset", 409)
    except daemon.UNREACHED as exc:
        return daemon.give_up(exc)
    if args.json:
        put_json(value)
    elif done:
        pids = ", ".join(map(str, value["workers"]))
        put(f"{paint('reloaded', 'green')}; new worker processes: {pids}")
    else:
        error = value["error"]
        put(f"{paint('not reloaded', 'red')}: {error['message']}")
        if error.get("traceback"):
            put(error["traceback"].rstrip())
    return exits.OK if done else exits.FAILED
