"""Every asynchronous test here runs on asyncio's own loop and, where it is installed, on uvloop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from smartbus.dip import Client, Server
from tests.dip.peers import Received
from tests.loops import loop_factories

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return loop_factories()


@pytest.fixture(params=loop_factories())
def make_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop of each kind, for tests that run one themselves."""
    return loop_factories()[request.param]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a server may listen."""
    return str(tmp_path / "s")


@pytest_asyncio.fixture
async def received(path: str) -> AsyncIterator[Received]:
    """A server at `path` that keeps what it gets."""
    received = Received()
    server = Server(path, received, allow_pickle=True)
    received.server = server
    await server.start()
    yield received
    server.stop()
    await received.stopped()


@pytest.fixture
def client(path: str) -> Iterator[Client]:
    """A client of `path` with a timeout that nothing meets."""
    client = Client(path, timeout=20)
    yield client
    client.quit()


@pytest.fixture(autouse=True)
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test after which asyncio has something to say: a lost exception, a failed callback."""
    yield
    complaints: list[Any] = [
        record.getMessage()
        for when in ("setup", "call", "teardown")
        for record in caplog.get_records(when)
        if record.name == "asyncio" and record.levelname in {"WARNING", "ERROR", "CRITICAL"}
    ]
    assert complaints == []
