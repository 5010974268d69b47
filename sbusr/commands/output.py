"""What commands print: text for people, one line of JSON for scripts."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any, Final, Literal

__all__ = ["add_json", "complain", "paint", "put", "put_json", "table"]

_COLOURS: Final = {"green": "32", "red": "31", "yellow": "33", "bold": "1", "dim": "2"}

Colour = Literal["green", "red", "yellow", "bold", "dim"]


def add_json(parser: ArgumentParser) -> None:
    """Let a command have the option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one line of JSON, for scripts")


def put(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def put_json(value: Any) -> None:
    """Print a value as one line of ASCII JSON."""
    put(json.dumps(value))


def complain(text: str) -> None:
    """Print what went wrong."""
    sys.stderr.write(f"sbusr: {text}\n")


def paint(text: str, colour: Colour) -> str:
    """Colour a text, if standard output is a terminal (and ``NO_COLOR`` is not set)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def table(rows: Iterable[tuple[str, ...]], indent: str = "  ") -> list[str]:
    """Lines with columns as wide as they need to be; the last may be anything."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (indent + "  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]
