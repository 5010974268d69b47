"""Every asynchronous test here runs on asyncio's own loop and, where it is installed, on uvloop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.aio.peers import Server
from tests.loops import loop_factories

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return loop_factories()


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server
