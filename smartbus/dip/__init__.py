"""``dip``: messages from many processes of a machine to one, in protocols of one byte's name.

Compatible with deepfos-ipc 1.3.1 on the wire in both directions, and a replacement for it in
programs: ``from smartbus.dip import Server, Client, Protocol, errors``. ``docs/dip.md`` is the
guide, and says what is different.

- ``server``: `Server`, which listens (``listening``) and has a ``session`` for each connection.
- ``client``: `Client`. In an event loop: ``pool`` of ``link``, ``delivery``, ``sending``; without
  one: ``blocking``. Both connect by ``dialing``.
- ``protocol``, ``proto``: `Protocol`, and those that are built in.
- ``framing``, ``replies``, ``batch``: what goes over the wire, without I/O. ``address``: where to.
- ``errors``: what is raised.

Importing this package loads nothing else: the daemon's worker processes need ``framing`` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors, proto
    from .client import Client
    from .protocol import Protocol
    from .server import Server

__all__ = ["Client", "Protocol", "Server", "errors", "name", "proto"]

name = "deepfos-ipc-protocol"

_ROOMS = {"Client": "client", "Protocol": "proto", "Server": "server"}
_MODULES = ("errors", "proto")


def __getattr__(attribute: str) -> Any:
    """Import what is asked for."""
    if attribute in _MODULES:
        return importlib.import_module(f"{__name__}.{attribute}")
    if attribute not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {attribute!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[attribute]}"), attribute)
