"""A real bus, a directory of flow scripts, and clients on the bus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from smartbus.aio import SmartBusClient
from smartbus.ipsc import Ipsc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from smartbus.bus import Bus

#: The flows of this repository.
FLOWS = Path(__file__).parents[2] / "flows"


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """An empty project ``P``."""
    (tmp_path / "P").mkdir()
    return tmp_path


class Caller:
    """A client that calls flows of project ``P``, and writes their scripts."""

    def __init__(self, client: SmartBusClient, flows: Path) -> None:
        self.client = client
        self.flows = flows

    def write(self, flow: str, source: str) -> None:
        (self.flows / "P" / f"{flow}.py").write_text(source, encoding="utf-8")

    async def run(self, source: str, *params: Any, timeout: float = 10.0) -> list[Any]:
        """Run a script and return what its flow returns."""
        self.write("F", source)
        return await self.call("F", *params, timeout=timeout)

    async def call(self, flow: str, *params: Any, timeout: float = 10.0) -> list[Any]:
        return await self.client.call_flow(0, 0, "P", flow, params, timeout=timeout)

    def notify(self, title: str, text: str, expires: float = 10.0) -> None:
        self.client.notify(0, 0, "", title, 0, expires, text)


@pytest_asyncio.fixture
async def ipsc(bus: Bus, flows: Path) -> AsyncIterator[Ipsc]:
    async with Ipsc(bus.host, bus.port, flows) as ipsc:
        yield ipsc


@pytest_asyncio.fixture
async def caller(bus: Bus, flows: Path, ipsc: Ipsc) -> AsyncIterator[Caller]:
    async with SmartBusClient(bus.host, bus.port, 20, 0, 20, info="caller") as client:
        yield Caller(client, flows)
