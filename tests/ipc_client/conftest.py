"""A real bus that listens on a local socket, and the library under test, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from smartbus.bus import Bus
from smartbus.ipc import Client
from smartbus.net import Client as NetClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The socket that clients of this test look for; nobody listens there yet."""
    path = str(tmp_path / "socket")
    monkeypatch.setenv("SMARTBUS_IPC_SOCKET", path)
    monkeypatch.delenv("SMARTBUS_IPCCLI_LIB", raising=False)
    return path


@pytest.fixture
def bus(path: str) -> Iterator[Bus]:
    with Bus(unit_id=3, ipc_path=path) as bus:
        yield bus


@pytest.fixture(autouse=True)
def destroyed() -> Iterator[None]:
    """End what a test made, also if it failed."""
    yield
    Client.destroy()
    NetClient.finalize()


@pytest.fixture(params=["core", "abi"])
def abi(request: pytest.FixtureRequest) -> bool:
    """Whether to go through the vendor's C interface."""
    return bool(request.param == "abi")
