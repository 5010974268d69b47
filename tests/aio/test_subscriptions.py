"""Events as objects: the same that `smartbus.net` has."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from smartbus.aio import SmartBusClient
from smartbus.errors import NotInitializedError
from smartbus.events import (
    Connected,
    ConnectFailed,
    Disconnected,
    Event,
    GlobalConnect,
    Packet,
)
from tests.aio.peers import CLIENT, GOLDEN, soon
from tests.aio.test_messages import Pair, connect

if TYPE_CHECKING:
    from tests.aio.peers import Server


def hearing(pair: Pair, *kinds: type[Event]) -> asyncio.Queue[Event]:
    heard: asyncio.Queue[Event] = asyncio.Queue()
    pair.client.subscribe(heard.put_nowait, *kinds)
    return heard


async def test_the_life_of_a_connection(server: Server) -> None:
    pair = await connect(server)
    heard = hearing(pair)
    pair.peer.reset()
    pair.peer = await server.accepted()
    assert await soon(heard.get()) == Disconnected()
    assert isinstance(await soon(heard.get()), Connected)
    await pair.client.close()


async def test_connecting_fails() -> None:
    with socket.socket() as deaf:  # bound, but it does not listen
        deaf.bind(("127.0.0.1", 0))
        client = SmartBusClient("127.0.0.1", deaf.getsockname()[1], *CLIENT)
        heard: asyncio.Queue[Event] = asyncio.Queue()
        client.subscribe(heard.put_nowait)
        await client.start()
        assert await soon(heard.get()) == ConnectFailed(-20)
        await client.close()


async def test_packets_come_to_subscribers_beside_the_callback(server: Server) -> None:
    pair = await connect(server)
    heard = hearing(pair, Packet)
    called: asyncio.Queue[bytes] = asyncio.Queue()
    pair.client.on_packet = lambda frame: called.put_nowait(frame.data)
    pair.peer.data(b"both")
    event = await soon(heard.get())
    assert isinstance(event, Packet)
    assert event.data == b"both"
    assert event.head.cmd_type == 3
    assert await soon(called.get()) == b"both"
    await pair.client.close()


async def test_packets_come_to_subscribers_and_to_who_iterates(server: Server) -> None:
    pair = await connect(server)
    reading = asyncio.create_task(pair.client.receive())
    await asyncio.sleep(0)  # it has begun
    heard = hearing(pair, Packet)
    pair.peer.data(b"both")
    assert await soon(heard.get()) is not None
    frame = await soon(reading)
    assert frame is not None
    assert frame.data == b"both"
    await pair.client.close()


async def test_packets_are_not_kept_for_subscribers(server: Server) -> None:
    pair = await connect(server)
    heard = hearing(pair, Packet)
    for number in range(3):
        pair.peer.data(b"%d" % number)
    for _ in range(3):
        await soon(heard.get())
    assert len(pair.client._packets) == 0
    assert pair.client.dropped == 0
    await pair.client.close()


async def test_who_comes_and_goes(server: Server) -> None:
    pair = await connect(server)
    heard = hearing(pair, GlobalConnect)
    pair.peer.send(GOLDEN["global_connect_existing"])
    event = await soon(heard.get())
    assert isinstance(event, GlobalConnect)
    assert event.status_code == 2
    assert (event.unit_id, event.client_id) in pair.client.nodes
    await pair.client.close()


async def test_a_handler_that_raises(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    pair = await connect(server)

    def careless(event: Packet) -> None:
        raise ValueError(event.data)

    pair.client.subscribe(careless, Packet)
    heard = hearing(pair, Packet)
    pair.peer.data(b"oh")
    await soon(heard.get())
    assert "exception in" in caplog.text
    await pair.client.close()


async def test_a_closed_subscription_hears_nothing(server: Server) -> None:
    pair = await connect(server)
    first: list[Event] = []
    with pair.client.subscribe(first.append, Packet):
        pass
    heard = hearing(pair, Packet)
    pair.peer.data(b"later")
    await soon(heard.get())
    assert first == []
    await pair.client.close()


async def test_a_closed_client_takes_no_subscription(server: Server) -> None:
    pair = await connect(server)
    await pair.client.close()
    with pytest.raises(NotInitializedError):
        pair.client.subscribe(print)
