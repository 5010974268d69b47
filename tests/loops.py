"""The event loops that tests run on: asyncio's own and, where it is installed, uvloop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    import uvloop
except ImportError:
    UVLOOP = False
else:
    UVLOOP = True
    # Its threads for name resolution begin with the first use and stay until the process
    # ends: let that be here and not in a test, which would seem to leak them.
    _loop = uvloop.new_event_loop()
    _loop.run_until_complete(_loop.getaddrinfo("127.0.0.1", 0))
    _loop.close()


def loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return what makes a loop of each kind, by its name."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
    if UVLOOP:
        factories["uvloop"] = uvloop.new_event_loop
    return factories
