"""``python -m smartbus info``: what this installation is and which C libraries it finds."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

from smartbus import __version__
from smartbus._c import lookup
from smartbus.errors import LibraryNotFoundError

if TYPE_CHECKING:
    import argparse

_RULES = {
    "lib_path": "given as lib_path",
    "environment": f"given by {lookup.ENVIRONMENT}",
    "system": "on the system's library search path",
    "bundled": "the core of this package",
    "wheel": f"of the vendor's wheel {lookup.VENDOR_WHEEL}",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the facts; returns 0 if there is a NET library, else 1."""
    facts = collect()
    print(json.dumps(facts, indent=2) if args.json else _text(facts))  # noqa: T201
    return 0 if facts["net"]["used"] else 1


def collect() -> dict[str, Any]:
    """Return the facts as plain values."""
    found, tried = lookup.survey()
    try:
        used = lookup.find().path
    except LibraryNotFoundError:  # also if others are there: one that was given is not replaced
        used = None
    libraries = [lookup.describe(library) for library in found]
    return {
        "smartbus": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 1 << 32 else 32,
        "vendor_wheel": _wheel_version(),
        "net": {
            "environment": {lookup.ENVIRONMENT: os.environ.get(lookup.ENVIRONMENT)},
            "used": used,
            "libraries": libraries,
            "tried": [{"what": what, "failed": why} for what, why in tried],
        },
    }


def _wheel_version() -> str | None:
    try:
        return metadata.version(lookup.VENDOR_WHEEL)
    except metadata.PackageNotFoundError:
        return None


def _text(facts: dict[str, Any]) -> str:
    net = facts["net"]
    lines = [
        f"smartbus {facts['smartbus']}, {facts['python']} ({facts['bits']} bit)",
        f"{facts['platform']}, {facts['executable']}",
        f"vendor's wheel: {facts['vendor_wheel'] or 'not installed'}",
        "",
        "NET client libraries, in the order of the search:",
    ]
    for library in net["libraries"]:
        mark = "->" if library["path"] == net["used"] else "  "
        version = f" {library['version']}, {library['waits_with']}" if "version" in library else ""
        lines.append(f"{mark} {library['path']}")
        lines.append(f"     {_RULES[library['rule']]}; {library['kind']}{version}")
        lacks = f"; missing: {', '.join(library['missing'])}" if library["missing"] else ""
        lines.append(f"     {len(library['bound'])} functions bound{lacks}")
    if not net["libraries"]:
        lines.append("   none is usable")
    elif net["used"] is None:
        lines.append(f"   none is used, because {lookup.ENVIRONMENT} names one that is not usable")
    lines += ["", "Tried and not usable:"] if net["tried"] else []
    lines += [f"   {attempt['what']}: {attempt['failed']}" for attempt in net["tried"]]
    return "\n".join(lines)
