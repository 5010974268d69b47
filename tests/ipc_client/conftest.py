"""A real bus that listens on a local socket, and the library under test, in this process."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import pytest

from smartbus._c import opening, vendor_ipc
from smartbus._c.abi import IpcAbi
from smartbus._c.core_api import Core
from smartbus._c.inbox import Inbox
from smartbus._c.lookup import load_core
from smartbus.ipc import Client
from smartbus.net import Client as NetClient
from tests.ipc_client.kinds import KINDS, Kind, arguments, is_vendor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from smartbus.bus import Bus
    from smartbus.testing import BusFactory


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The socket that clients of this test look for; nobody listens there yet."""
    path = str(tmp_path / "socket")
    monkeypatch.setenv("SMARTBUS_IPC_SOCKET", path)
    monkeypatch.delenv("SMARTBUS_IPCCLI_LIB", raising=False)
    return path


@pytest.fixture
def bus(path: str, smartbus_bus_factory: BusFactory) -> Bus:
    return smartbus_bus_factory(unit_id=3, ipc_path=path)


@pytest.fixture(autouse=True)
def destroyed(smartbus_net: type[NetClient], smartbus_ipc: type[Client]) -> None:
    """End what a test made, also if it failed."""


@pytest.fixture(params=KINDS)
def kind(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kind]:
    """How to come to the library, as arguments of `Client.create`."""
    monkeypatch.setitem(vars(opening), "load_core", load_core)  # put back in the end
    kind = arguments(request.param, tmp_path)
    if not is_vendor(kind):
        yield kind
        return
    # Elsewhere a vendor's library stays until the process ends; here it must be gone before.
    monkeypatch.setattr(vendor_ipc, "leave_before_destructors", lambda: None)
    inboxes: list[Inbox] = []
    new = Inbox.new

    def noted(core: Core, *bounds: Any) -> Inbox:
        inboxes.append(new(core, *bounds))
        return inboxes[-1]

    monkeypatch.setattr(Inbox, "new", noted)
    yield kind
    Client.destroy()
    IpcAbi(ctypes.CDLL(kind["library"])).Release()
    for inbox in inboxes:
        inbox.free()
