"""``init``: make a directory for a daemon."""

from __future__ import annotations

import argparse
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

from sbusr import exits

from .output import complain, put, table

__all__ = ["FILES", "add_arguments", "run"]

EPILOG = """\
It writes settings.py, methods/, a flow for the stand-in IPSC and a unit for systemd. Nothing that
is there is overwritten.

exit codes:
  0  the files are there
  1  some of them were there before; nothing was written
  2  wrong arguments
  4  the directory cannot be written
"""

#: What is written, from which template, and what it is.
FILES: Final = {
    "settings.py": ("settings", "where the bus is, how many processes there are, HTTP"),
    "methods/__init__.py": ("methods", "what flows may call"),
    "flows/Project1/Hello.py": ("flow", "a flow that calls it, for --embedded"),
    "sbusr.service": ("service", "a unit for systemd"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.epilog = EPILOG
    parser.add_argument("directory", metavar="DIR", type=Path, help="is made if it is not there")


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    directory: Path = args.directory.absolute()
    there = [name for name in FILES if (directory / name).exists()]
    if there:
        complain(f"nothing was written: in {directory} there is {', '.join(there)}")
        return exits.FAILED
    try:
        for name, (template, _) in FILES.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_text(template, directory), "utf-8")
    except OSError as exc:
        complain(f"cannot write {exc.filename}: {exc.strerror}")
        return exits.UNAVAILABLE
    put(f"In {directory} there are now")
    put("\n".join(table([(name, what) for name, (_, what) in FILES.items()])))
    command = f"{sys.executable} -m sbusr"
    put(f"\nCheck them:  cd {directory} && {command} check")
    put(f"Try them:    cd {directory} && {command} run --embedded")
    return exits.OK


def _text(template: str, directory: Path) -> str:
    text = (files("sbusr") / "templates" / f"{template}.txt").read_text("utf-8")
    if template != "service":
        return text
    places = {"directory": str(directory), "python": sys.executable}
    # systemd has a meaning for this character.
    return text.format_map({name: place.replace("%", "%%") for name, place in places.items()})
