"""``check``: whether the daemon could run with these settings and methods, and what they are."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
from typing import Any

import msgspec

from sbusr import config, exits

from .output import add_json, paint, put, put_json, table
from .probe import survey

__all__ = ["add_arguments", "masked", "run"]

_SECRET = re.compile(r"pwd|passw|secret|token|credential|_auth$", re.IGNORECASE)
"""Names of what is not shown."""

EPILOG = """\
The methods package and all its modules are imported, in a process of its own. The configuration is
printed with all defaults; passwords and the like are masked.

exit codes:
  0  all is well
  2  wrong arguments
  3  the settings or the methods cannot be used; why, is printed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.epilog = EPILOG
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    problems = []
    warnings: list[str] = []
    settings = None
    try:
        settings = masked(msgspec.to_builtins(config.load(), enc_hook=repr, str_keys=True))
        warnings = [text for level, text in config.stray_names() if level >= logging.WARNING]
    except config.SettingsError as exc:
        problems.append({"module": config.NAME, "message": str(exc), "traceback": ""})
    found = survey()
    problems += found["problems"]
    file = getattr(sys.modules.get(config.NAME), "__file__", None)
    if args.json:
        put_json(
            {
                "ok": not problems,
                "file": file,
                "settings": settings,
                "methods": found["methods"],
                "problems": problems,
                "warnings": warnings,
            }
        )
    else:
        _show(file, settings, found["methods"], problems, warnings)
    return exits.SETTINGS if problems else exits.OK


def masked(value: Any, *, secret: bool = False) -> Any:
    """A value of the settings, with all that has the name of a secret masked."""
    if isinstance(value, dict):
        return {k: masked(v, secret=secret or bool(_SECRET.search(k))) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(each, secret=secret) for each in value]
    return "********" if secret and value is not None else value


def _show(
    file: str | None,
    settings: dict[str, Any] | None,
    methods: list[dict[str, Any]],
    problems: list[dict[str, str]],
    warnings: list[str],
) -> None:
    if settings is not None:
        put(paint(f"settings ({file})", "bold"))
        for name, value in settings.items():
            text = json.dumps(value, ensure_ascii=False, indent=2).replace("\n", "\n  ")
            put(f"  {name} = {text}")
    put(paint(f"methods that requests may call ({len(methods)})", "bold"))
    rows = []
    for each in methods:
        limit = f" [{each['timeout']:g} s at most]" if each["timeout"] else ""
        rows.append((each["name"] + each["signature"], each["doc"] + limit))
    put("\n".join(table(rows)) if rows else "  none")
    for text in warnings:
        put(f"{paint('warning', 'yellow')}: {text}")
    for problem in problems:
        put(f"{paint('problem', 'red')} in {problem['module']}: {problem['message']}")
        if problem["traceback"]:
            put(problem["traceback"].rstrip())
    if not problems:
        put(paint("all is well", "green"))
