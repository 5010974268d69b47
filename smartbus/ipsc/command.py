"""``python -m smartbus ipsc``: run a stand-in for an IPSC server until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from smartbus.errors import SmartBusError

from .functions import trace_logger
from .host import Ipsc

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.add_argument(
        "--bus",
        default="127.0.0.1:8089",
        metavar="HOST:PORT",
        help="the bus server (default %(default)s)",
    )
    parser.add_argument(
        "--flows",
        default="flows",
        metavar="DIR",
        help="where the scripts are, as DIR/PROJECT/FLOW.py (default %(default)s)",
    )
    parser.add_argument(
        "--unit", type=int, default=0, metavar="N", help="unit of the bus server, 0 to 15"
    )
    parser.add_argument(
        "--process", type=int, default=0, metavar="N", help="index of this IPSC process, 0 to 255"
    )
    parser.add_argument(
        "--max-runs", type=int, default=100, metavar="N", help="flows that may run at a time"
    )
    parser.add_argument("--user", help="user name, if the bus server wants one")
    parser.add_argument(
        "--password",
        help="its password; better in the environment variable SMARTBUS_PASSWORD, which "
        "others on this machine do not see",
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="show flow calls; -vv: all"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    host, colon, port = args.bus.rpartition(":")
    if not colon or not host or not port.isdecimal():
        message = f"--bus {args.bus!r}: expected HOST:PORT, such as 127.0.0.1:8089"
        print(f"smartbus ipsc: {message}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(args.verbose, 2)]
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(message)s")
    trace_logger.setLevel(logging.INFO)  # what flows trace is what one runs them for
    # A signal that comes before the loop has its handlers waits for them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        ipsc = Ipsc(
            host,
            int(port),
            args.flows,
            unit_id=args.unit,
            process_index=args.process,
            user=args.user,
            password=args.password or os.environ.get("SMARTBUS_PASSWORD"),
            max_runs=args.max_runs,
        )
        asyncio.run(_serve(ipsc, args.bus))
    except SmartBusError as error:
        print(f"smartbus ipsc: {error.message}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return EXIT_OK


async def _serve(ipsc: Ipsc, bus: str) -> None:
    """Run until a signal comes, or raise `SmartBusError` when the bus refuses for good."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    await ipsc.start()
    stopping = asyncio.create_task(stop.wait())
    ended = asyncio.create_task(ipsc.wait_ended())
    greeting = asyncio.create_task(_greet(ipsc, bus))
    try:
        await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
    finally:
        for task in (stopping, ended, greeting):
            task.cancel()
        await ipsc.close()


async def _greet(ipsc: Ipsc, bus: str) -> None:
    with contextlib.suppress(SmartBusError):  # that is the other task's business
        await ipsc.wait_connected()
        print(  # noqa: T201
            f"Stand-in IPSC, unit {ipsc.unit_id}, process {ipsc.process_index}, on the bus {bus}, "
            f"runs flows from {ipsc.flows_dir}; Ctrl-C stops it.",
            flush=True,
        )
