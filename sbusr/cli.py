"""The command line of the daemon.

Exit codes: 0 stopped as asked; 2 wrong arguments; 3 the settings cannot be used; 4 something
cannot be started; 5 stopped by a second signal, without waiting for requests; 130 Ctrl-C before
the daemon was there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__

__all__ = ["main", "parse"]

EXIT_START = 4  # as in `.server`, which may not import
EXIT_INTERRUPTED = 130


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line, by default this process's."""
    parser = argparse.ArgumentParser(
        prog="sbusr_run.py",
        description="Execute JSON-RPC requests of flows with the functions in methods/, "
        "and start flows by HTTP. The settings are in settings.py, in the current directory or "
        "beside this program.",
        epilog="Ctrl-C (or SIGTERM) stops; a second time stops without waiting for requests.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"sbusr {__version__}")
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
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; return the exit code."""
    try:
        return _run(parse(argv))
    except KeyboardInterrupt:  # before the daemon has its own handler
        return EXIT_INTERRUPTED


def _run(args: argparse.Namespace) -> int:
    # A directory with settings.py (and perhaps methods/) of its own comes first, when the daemon is
    # started there; else those beside sbusr_run.py are taken.
    if Path("settings.py").exists():
        sys.path.insert(0, str(Path.cwd()))
    try:
        from .server import run  # noqa: PLC0415 - not for --help
    except ImportError as exc:
        sys.stderr.write(
            f"sbusr: {exc}\nThe daemon needs the packages of the extra 'daemon': "
            "pip install 'smartbus-client-python[daemon]'; in its checkout "
            "pip install -r requirements.txt\n"
        )
        return EXIT_START
    return run(args)
