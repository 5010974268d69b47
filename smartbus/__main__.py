"""``python -m smartbus``: the commands of this package."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

from smartbus import __version__

#: Each command's module has ``add_arguments(parser)`` and ``run(args) -> exit code``. It is
#: imported only when it is asked for.
COMMANDS: Final = {
    "bus": ("smartbus.bus.command", "run a bus server"),
    "info": ("smartbus.info", "show versions, platform and which C libraries are found"),
    "ipsc": ("smartbus.ipsc.command", "run a stand-in for an IPSC server"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, by default this process's; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="python -m smartbus", description="The commands of SmartBus for Python."
    )
    parser.add_argument("--version", action="version", version=f"smartbus {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if arguments[:1] == [name]:
            room = importlib.import_module(module)
            room.add_arguments(command)
            command.set_defaults(run=room.run)
    args = parser.parse_args(arguments)
    return int(args.run(args))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before the command has its own handler
        sys.exit(130)
