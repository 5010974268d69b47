"""``reload``: have a running daemon load its methods anew."""

from __future__ import annotations

import argparse

from sbusr import exits
from sbusr.config import SettingsError

from . import daemon
from .output import add_json, complain, paint, put, put_json

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
        answer = daemon.ask(args, "/sys/reset")
        value = answer.json()
        if answer.status not in {200, 409}:
            raise daemon.DaemonError(answer.problem)
    except SettingsError as exc:
        complain(str(exc))
        return exits.SETTINGS
    except daemon.DaemonError as exc:
        complain(str(exc))
        return exits.UNAVAILABLE
    if args.json:
        put_json(value)
    elif answer.status == 200:
        pids = ", ".join(map(str, value["workers"]))
        put(f"{paint('reloaded', 'green')}; new worker processes: {pids}")
    else:
        error = value["error"]
        put(f"{paint('not reloaded', 'red')}: {error['message']}")
        if error.get("traceback"):
            put(error["traceback"].rstrip())
    return exits.OK if answer.status == 200 else exits.FAILED
