"""``python -m smartbus info``: what this installation is and which C libraries it finds."""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

from smartbus import __version__
from smartbus._c import lookup
from smartbus._c.abi import IPC_SOCKET, IPC_SOCKET_ENVIRONMENT
from smartbus.errors import LibraryNotFoundError

if TYPE_CHECKING:
    import argparse

_RULES = {
    "system": "on the system's library search path",
    "bundled": "the core of this package",
    "wheel": f"of the vendor's wheel {lookup.VENDOR_WHEEL}",
}


_NO_CORE = """\
The core of this package is missing: {why}.
   Without it smartbus.bus does not work, nor the pytest plugin; smartbus.net and smartbus.ipc
   only with a library of the vendor. smartbus.aio and smartbus.ipsc do.
   To get it, install the wheel for this platform if there is one; or a C compiler, and then
   reinstall, so that the core is built (pip keeps what was built without one, hence the option):
      {python} -m pip install --force-reinstall --no-cache-dir smartbus-client-python
   In a checkout `make core` builds it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments to `parser`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the facts; returns 1 if no library is usable, or one that was named is not; else 0."""
    facts = collect()
    print(json.dumps(facts, indent=2) if args.json else _text(facts))  # noqa: T201
    families = (facts["net"], facts["ipc"])
    let_down = any(not it["used"] and any(it["environment"].values()) for it in families)
    return 1 if let_down or not any(it["used"] for it in families) else 0


def collect() -> dict[str, Any]:
    """Return the facts as plain values."""
    path = os.environ.get(IPC_SOCKET_ENVIRONMENT) or IPC_SOCKET
    return {
        "smartbus": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 1 << 32 else 32,
        "vendor_wheel": _wheel_version(),
        "core": {"path": str(lookup.core_path()), "missing": _core_missing()},
        "net": _libraries(lookup.NET),
        "ipc": {**_libraries(lookup.IPC), "socket": path, "server": _server(path)},
    }


def _libraries(family: lookup.Family) -> dict[str, Any]:
    found, tried = lookup.survey(family=family)
    try:
        used = lookup.find(family=family).path
    except LibraryNotFoundError:  # also if others are there: one that was given is not replaced
        used = None
    return {
        "environment": {family.environment: os.environ.get(family.environment)},
        "used": used,
        "libraries": [lookup.describe(library, family=family) for library in found],
        "tried": [{"what": what, "failed": why} for what, why in tried],
    }


def _wheel_version() -> str | None:
    try:
        return metadata.version(lookup.VENDOR_WHEEL)
    except metadata.PackageNotFoundError:
        return None


def _core_missing() -> str | None:
    """Return why the core cannot be used, or None if it can."""
    try:
        lookup.require_core()
    except LibraryNotFoundError as error:
        return "; ".join(f"{what}: {why}" for what, why in error.tried)
    return None


def _server(path: str) -> str:
    """Say whether a server listens on the local socket `path`."""
    if not hasattr(socket, "AF_UNIX"):
        return "this system has no local sockets"
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)  # a full backlog is no reason to wait
        try:
            client.connect(path)
        except BlockingIOError:
            return "a server listens, which is busy"
        except OSError as error:
            return f"no server: {error.strerror or error}"
    return "a server listens"


def _text(facts: dict[str, Any]) -> str:
    ipc = facts["ipc"]
    lines = [
        f"smartbus {facts['smartbus']}, {facts['python']} ({facts['bits']} bit)",
        f"{facts['platform']}, {facts['executable']}",
        f"vendor's wheel: {facts['vendor_wheel'] or 'not installed'}",
        f"socket of IPC clients: {ipc['socket']}, {ipc['server']}",
    ]
    for title, about in (("NET", facts["net"]), ("IPC", ipc)):
        lines += ["", f"{title} client libraries, in the order of the search:"]
        lines += _section(about)
    if facts["core"]["missing"]:
        lines += ["", _NO_CORE.format(why=facts["core"]["missing"], python=facts["executable"])]
    return "\n".join(lines)


def _section(about: dict[str, Any]) -> list[str]:
    lines = []
    (variable,) = about["environment"]
    for library in about["libraries"]:
        mark = "->" if library["path"] == about["used"] else "  "
        version = f" {library['version']}, {library['waits_with']}" if "version" in library else ""
        rule = _RULES.get(library["rule"], f"given by {variable}")
        lacks = f"; missing: {', '.join(library['missing'])}" if library["missing"] else ""
        lines.append(f"{mark} {library['path']}")
        lines.append(f"     {rule}; {library['kind']}{version}")
        lines.append(f"     {len(library['bound'])} functions bound{lacks}")
    if not about["libraries"]:
        lines.append("   none is usable")
    elif about["used"] is None:
        lines.append(f"   none is used, because {variable} names one that is not usable")
    if about["tried"]:
        lines.append("   not usable:")
    lines += [f"     {attempt['what']}: {attempt['failed']}" for attempt in about["tried"]]
    return lines
