"""What careless callers of the asyncio client do, and what they are told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from smartbus.aio import SmartBusClient
from smartbus.bus import Bus
from smartbus.errors import ClientIdError, SmartBusTimeoutError
from smartbus.ipsc import Ipsc


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((5, 8089, 20, 1, 18), TypeError, "host must be str, not int"),
        (("h", "8089", 20, 1, 18), TypeError, "port must be int, not str"),
        (("h", 8089, "20", 1, 18), TypeError, "unit_id must be int, not str"),
        (("h", 8089, 20, None, 18), TypeError, "client_id must be int, not NoneType"),
        (("h", 8089, 20, 1, 18.0), TypeError, "client_type must be int, not float"),
        (("h", 8089, 20, 256, 18), ClientIdError, "client id 256"),
    ],
)
def test_addresses(arguments: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        SmartBusClient(*arguments)


@pytest.mark.parametrize("name", ["user", "password", "info"])
def test_texts(name: str) -> None:
    bad: Any = {name: 5}
    with pytest.raises(TypeError, match="a text must be str, not int"):
        SmartBusClient("h", 8089, 20, 1, 18, **bad)


@pytest.mark.parametrize(("encoding", "error"), [("klingon", LookupError), (None, TypeError)])
def test_encodings(encoding: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        SmartBusClient("h", 8089, 20, 1, 18, encoding=encoding)


@pytest.mark.parametrize("name", ["unit_id", "process_index", "max_runs"])
def test_ipsc(tmp_path: Path, name: str) -> None:
    bad: Any = {name: "1"}
    with pytest.raises(TypeError, match="must be int, not str"):
        Ipsc("h", 8089, tmp_path, **bad)


SENDING: list[tuple[Any, type[Exception], str]] = [
    ((1, 3, -1, 1, -1, 5), TypeError, "data must be text or a bytes-like object, not int"),
    ((1, 3, -1, 1, -1, [1]), TypeError, "data must be text or a bytes-like object, not list"),
]

FLOWS: list[tuple[Any, type[Exception], str]] = [
    ((0, 0, "P", "F", "text"), TypeError, "params must be a list, not str"),
    ((0, 0, "P", "F", {"a": 1}), TypeError, "params must be a list, not dict"),
    ((0, 0, 5, "F"), TypeError, "a text must be str, not int"),
    (("0", 0, "P", "F"), TypeError, "server_unit_id must be int, not str"),
]

NOTIFIES: list[tuple[Any, type[Exception], str]] = [
    ((0, 0, None, "t", 0, 1, "x"), TypeError, "a text must be str, not NoneType"),
    ((0, 0, "", 5, 0, 1, "x"), TypeError, "a text must be str, not int"),
    ((0, 0, "", "t", 0, 1, 5), TypeError, "a text must be str, not int"),
    (("0", 0, "", "t", 0, 1, "x"), TypeError, "server_unit_id must be int, not str"),
]


async def test_calls(bus: Bus) -> None:
    async with SmartBusClient(bus.host, bus.port, 20, 1, 18) as client:
        for arguments, error, match in SENDING:
            with pytest.raises(error, match=match):
                client.send_data(*arguments)
        for arguments, error, match in FLOWS:
            with pytest.raises(error, match=match):
                await client.call_flow(*arguments, timeout=1)
        with pytest.raises(TypeError, match="mode must be int, not str"):
            await client.call_flow(0, 0, "P", "F", mode="x")  # type: ignore[arg-type]
        for arguments, error, match in NOTIFIES:
            with pytest.raises(error, match=match):
                client.notify(*arguments)
        client.send_data(1, 3, -1, -1, -1, bytearray(b"x"))
        assert client.connected


async def test_a_server_that_is_not_there() -> None:
    with Bus() as bus:
        port = bus.port
    client = SmartBusClient("127.0.0.1", port, 20, 1, 18)
    await client.start()
    try:
        with pytest.raises(SmartBusTimeoutError, match=f"not connected to 127.0.0.1:{port} within"):
            await client.wait_connected(0.05)
    finally:
        await asyncio.wait_for(client.close(), 20)
