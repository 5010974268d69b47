"""Every asynchronous test here runs on asyncio's own loop and, where it is installed, on uvloop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.aio.peers import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

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


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
    if UVLOOP:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server
