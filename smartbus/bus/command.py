"""``python -m smartbus bus``: run a bus server until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import signal
import sys
from typing import Final

from smartbus._c.abi import IPC_SOCKET, IPC_SOCKET_ENVIRONMENT
from smartbus.errors import SmartBusError
from smartbus.wire import MAX_FRAME as LARGEST_FRAME

from .host import LEAST_MAX_FRAME, MAX_FRAME, Bus
from .passwords import PasswordFile, PasswordFileError

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2

_IPC_MODE: Final = 0o660

#: Enough for as many connections as a bus accepts, and for this process itself.
DESCRIPTORS: Final = 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8089",
        metavar="HOST:PORT",
        help="where to listen; port 0 picks a free one (default %(default)s)",
    )
    parser.add_argument(
        "--unit", type=int, default=0, metavar="N", help="unit of this server, 0 to 15"
    )
    parser.add_argument(
        "--ipc",
        nargs="?",
        const=os.environ.get(IPC_SOCKET_ENVIRONMENT) or IPC_SOCKET,
        metavar="PATH",
        help="listen on a local socket as well, for IPC clients; without PATH where they look "
        f"for it: {IPC_SOCKET} unless {IPC_SOCKET_ENVIRONMENT} says otherwise",
    )
    parser.add_argument(
        "--ipc-mode",
        type=_mode,
        metavar="MODE",
        help=f"who may connect there, in octal (default {_IPC_MODE:04o})",
    )
    parser.add_argument(
        "--max-frame",
        type=_frame_size,
        default=MAX_FRAME,
        metavar="BYTES",
        help="disconnect a client that sends a larger packet, its 20 bytes of header and up to 3 "
        f"of padding included; {LEAST_MAX_FRAME} to {LARGEST_FRAME}, which is all that clients can "
        "send (default %(default)s)",
    )
    parser.add_argument("--users", metavar="FILE", help="only the users in FILE may register")
    parser.add_argument(
        "--add-user",
        metavar="NAME",
        help="ask for NAME's password (or read it from standard input), put both into the file "
        "of --users, and end",
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="show who comes and goes; -vv: all"
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        if args.add_user is not None:
            return _add_user(args)
        host, port = _address(args.listen)
        mode = _ipc_mode(args)
        bus = Bus(
            host,
            port,
            args.unit,
            args.users,
            max_frame=args.max_frame,
            ipc_path=args.ipc,
            ipc_mode=mode,
        )
        return _serve(bus, args.verbose)
    except (SmartBusError, PasswordFileError, OSError) as error:
        print(f"smartbus bus: {_message(error)}", file=sys.stderr)  # noqa: T201
        return EXIT_FAILED
    except _UsageError as error:
        print(f"smartbus bus: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_USAGE


class _UsageError(Exception):
    """The command line makes no sense."""


def _message(error: Exception) -> str:
    if isinstance(error, SmartBusError):
        return error.message
    if isinstance(error, OSError) and error.strerror is not None:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 0xFFFF:
        raise _UsageError(f"--listen {text!r}: expected HOST:PORT, such as 127.0.0.1:8089")
    return host or "0.0.0.0", int(port)  # noqa: S104 - ":8089" asks for it


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no octal number, such as 0660") from None
    if not 0 <= mode <= 0o777:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0 and 0777")
    return mode


def _frame_size(text: str) -> int:
    if not text.isdecimal() or not LEAST_MAX_FRAME <= int(text) <= LARGEST_FRAME:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of bytes from {LEAST_MAX_FRAME} to {LARGEST_FRAME}"
        )
    return int(text)


def _ipc_mode(args: argparse.Namespace) -> int:
    if args.ipc == "":
        raise _UsageError("--ipc '' names no file")
    if args.ipc_mode is None:
        return _IPC_MODE
    if args.ipc is None:
        raise _UsageError("--ipc-mode needs --ipc")
    return int(args.ipc_mode)


def _add_user(args: argparse.Namespace) -> int:
    if args.users is None:
        raise _UsageError("--add-user needs --users FILE")
    name: str = args.add_user
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of {name}: ")
        if getpass.getpass("Again: ") != password:
            raise _UsageError("the two differ; nothing was changed")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    new = PasswordFile.add(args.users, name, password)
    print(f"{name} is {'a new user' if new else 'there with the new password'} in {args.users}")  # noqa: T201
    return EXIT_OK


def _raise_descriptor_limit() -> None:
    """Let every connection that a bus accepts have a descriptor, as far as the system allows."""
    try:
        import resource  # noqa: PLC0415 - not on every platform
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft not in (resource.RLIM_INFINITY, wanted) and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _serve(bus: Bus, verbose: int) -> int:
    _raise_descriptor_limit()
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(message)s")
    signals = {signal.SIGINT, signal.SIGTERM}
    # Waiting for blocked signals leaves nothing to race with; threads inherit the mask.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        with bus:
            also = f" IPC on {bus.ipc_path};" if bus.ipc_path is not None else ""
            print(  # noqa: T201
                f"SmartBus server, unit {bus.unit_id}, on {bus.address};{also} Ctrl-C stops it.",
                flush=True,
            )
            signal.sigwait(signals)
    finally:
        # The impatient, and service managers, send more than one.
        while signal.sigpending() & signals:
            signal.sigwait(signals)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return EXIT_OK
