"""The daemon's IPC client: who it is on the bus, and what happens when it is not let in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sbusr import busclient, config, globalvars
from smartbus.bus import Bus, Registration
from smartbus.errors import NotInitializedError
from smartbus.ipc import Client
from smartbus.testing import BusFactory
from smartbus.testing import wait_until_async as until
from tests.sbusr.daemon import Start
from tests.sbusr.peer import ScriptedIpsc

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.parametrize("kind", ["ipc"], indirect=True)


@pytest.fixture
def accepted() -> list[tuple[str, bytes]]:
    """User and password of the daemon, as the bus wants them."""
    return [("sbusr", b"123")]


@pytest.fixture
def bus(
    kind: str,
    tmp_path: Path,
    accepted: list[tuple[str, bytes]],
    smartbus_bus_factory: BusFactory,
) -> Bus:
    def decide(who: Registration) -> int:
        return 0 if who.client_type == 2 or (who.user, who.password) in accepted else -6

    return smartbus_bus_factory(ipc_path=tmp_path / "socket", users=decide)


@pytest.fixture
def settings(settings: config.Settings) -> config.Settings:
    assert isinstance(settings.bus, config.IpcSettings)
    settings.bus.initialize = config.IpcInitialize(clientid=200, clienttype=30)
    settings.bus.instance = config.Instance(username="sbusr", password=123, ext_info="执行")
    return settings


async def test_who_it_is(start: Start, bus: Bus) -> None:
    await start()
    (there,) = bus.clients()
    assert (there.unit_id, there.client_id, there.client_type) == (0, 200, 30)
    assert (there.info, there.local) == ("执行", True)
    assert Client.get() is globalvars.ipc_smartbusclient
    assert globalvars.net_smartbusclients == []


async def test_stopping_leaves_nothing(start: Start, bus: Bus) -> None:
    daemon = await start()
    daemon.server.stop()
    await until(lambda: globalvars.ipc_smartbusclient is None)
    with pytest.raises(NotInitializedError):
        Client.get()


async def test_encoding(start: Start, bus: Bus, settings: config.Settings) -> None:
    settings.bus.instance.encoding = "big5"
    await start()
    assert globalvars.ipc_smartbusclient.encoding == "big5"


async def test_a_refused_daemon_tries_again(
    start: Start,
    bus: Bus,
    settings: config.Settings,
    accepted: list[tuple[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(busclient, "_RETRY_REFUSED", 0.05)
    settings.bus.instance.password = "new"
    await start(connected=False)
    await until(lambda: "not trying again" in caplog.text)
    accepted.append(("sbusr", b"new"))
    await until(lambda: globalvars.ipc_smartbusclient.connected)


async def test_an_id_that_is_taken(
    start: Start, bus: Bus, settings: config.Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon lives in the unit of the bus, where the IPSC processes are, too."""
    async with ScriptedIpsc(bus.port, 200):
        await start(connected=False)
        await until(lambda: "not trying again" in caplog.text)
    assert "SMARTBUS_ERR_CLIENT_EXISTS" in caplog.text


@pytest.mark.slow
async def test_an_acknowledgement_that_takes_long(
    start: Start, bus: Bus, settings: config.Settings
) -> None:
    """By itself the library would wait 5 s at most (IPC.md 7.3)."""
    settings.flow_ack_timeout = 60
    daemon = await start()
    async with ScriptedIpsc(bus.port, delay=5.5):
        await until(lambda: globalvars.ipsc_set)
        status, answer = await daemon.fetch("/api/flow", {"project": "P", "flow": "F"})
        assert (status, answer["ack"]) == (200, 1)
