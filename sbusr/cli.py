"""The command line: which command is meant. Without one the daemon runs (``run``)."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import __version__, exits

__all__ = ["COMMANDS", "main"]

PROGRAM: Final = "sbusr_run.py"

#: Each command's module has ``add_arguments(parser)`` and ``run(args) -> exit code``. It is
#: imported only when it is asked for.
COMMANDS: Final = {
    "run": ("sbusr.commands.run", "run the daemon (also where no command is named)"),
    "check": ("sbusr.commands.check", "check settings and methods, and show them"),
    "status": ("sbusr.commands.status", "ask a running daemon how it is"),
    "reload": ("sbusr.commands.reload", "have a running daemon load its methods anew"),
    "stop": ("sbusr.commands.stop", "stop a running daemon"),
    "call": ("sbusr.commands.call", "call a method over the bus, as a flow does"),
    "init": ("sbusr.commands.init", "make a directory for a daemon"),
    "bus": ("smartbus.bus.command", "run a bus server"),
    "ipsc": ("smartbus.ipsc.command", "run a stand-in for an IPSC server"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, by default this process's; return the exit code."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:  # before the command has its own handler
        return exits.INTERRUPTED


def _run(arguments: list[str]) -> int:
    name = "run"
    if arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
    if name not in COMMANDS:
        return _unknown(name)
    # A directory with settings.py (and perhaps methods/) of its own comes first, when the daemon is
    # started there; else those beside sbusr_run.py are taken.
    if Path("settings.py").exists():
        sys.path.insert(0, str(Path.cwd()))
    module, text = COMMANDS[name]
    try:
        room = importlib.import_module(module)
        parser = argparse.ArgumentParser(
            prog=PROGRAM if name == "run" else f"{PROGRAM} {name}",
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        room.add_arguments(parser)
        if name == "run":
            parser.add_argument("-V", "--version", action="version", version=f"sbusr {__version__}")
            parser.epilog = f"{_commands()}\n\n{parser.epilog}"
        return int(room.run(parser.parse_args(arguments)))
    except ImportError as exc:
        sys.stderr.write(
            f"sbusr: {exc}\nThe daemon needs the packages of the extra 'daemon': "
            "pip install 'smartbus-client-python[daemon]'; in its checkout "
            "pip install -r requirements.txt\n"
        )
        return exits.UNAVAILABLE


def _unknown(name: str) -> int:
    near = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
    sys.stderr.write(f"sbusr: there is no command {name!r}; {hint}\n")
    return exits.USAGE


def _commands() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([f"commands ({PROGRAM} COMMAND -h says more):", *lines])
