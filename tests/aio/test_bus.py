"""The asyncio client on a real bus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from smartbus.aio import (
    FlowCall,
    FlowError,
    FlowTimeout,
    Frame,
    Limits,
    Notify,
    SmartBusClient,
)
from smartbus.bus import Bus
from smartbus.errors import PasswordError, UserError
from smartbus.testing import wait_until_async as until
from smartbus.wire import Cmd, CmdType
from tests.aio.peers import QUICK, Events, soon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

A, B, HOST = (20, 3, 18), (21, 4, 5), (0, 7, 2)


def client_at(bus: Bus, address: tuple[int, int, int], **kwargs: Any) -> SmartBusClient:
    return SmartBusClient(bus.host, bus.port, *address, **kwargs)


@pytest_asyncio.fixture
async def two(bus: Bus) -> AsyncIterator[tuple[SmartBusClient, SmartBusClient]]:
    async with client_at(bus, A, info="甲") as a, client_at(bus, B, info="乙") as b:
        yield a, b


async def take(client: SmartBusClient) -> Frame:
    frame = await soon(client.receive())
    assert frame is not None
    return frame


Two = tuple[SmartBusClient, SmartBusClient]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 100, 1 << 20])
async def test_data_both_ways(two: Two, size: int) -> None:
    a, b = two
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for sender, receiver in ((a, b), (b, a)):
        sender.send_data(77, 211, *receiver.address, data)
        frame = await take(receiver)
        assert (frame.cmd, frame.cmd_type, frame.data) == (77, 211, data)
        assert (frame.src, frame.dst) == (sender.address, receiver.address)


async def test_any_reaches_everybody_else(bus: Bus, two: Two) -> None:
    a, b = two
    async with client_at(bus, (22, 200, 211)) as c:
        a.send_data(1, 3, -1, -1, -1, b"all")
        for client in (b, c):
            assert (await take(client)).data == b"all"
        b.send_data(1, 3, -1, -1, 211, b"your type")
        assert (await take(c)).data == b"your type"
        b.send_data(1, 3, 20, -1, -1, b"your unit")
        assert (await take(a)).data == b"your unit"


async def test_ping(two: Two) -> None:
    a, b = two
    a.ping(*b.address, b"ping!")
    assert (await take(b)).cmd == Cmd.PING
    answer = await take(a)
    assert (answer.cmd, answer.cmd_type, answer.data) == (Cmd.PING_ACK, CmdType.SYSTEM, b"ping!")
    assert answer.src == b.address
    a.ping(0, 0, 1, b"server")
    assert (await take(a)).data == b"server"


async def test_notify(bus: Bus, two: Two) -> None:
    async with client_at(bus, HOST) as host:
        assert two[0].notify(0, 7, "Project1", "标题", 0, 1.5, "文本") == 1
        notify = Notify.decode((await take(host)).data)
        assert notify.title.decode("gbk") == "标题"
        assert notify.text.decode("gbk") == "文本"
        assert notify.expires == 1500


async def test_flows(bus: Bus, two: Two) -> None:
    async with client_at(bus, HOST) as host:

        async def serve() -> None:
            async for packet in host:
                call = FlowCall.decode(packet.data)
                if call.flow == b"bad":
                    host.send_flow_ack(packet.head, call, -8, "没有")
                elif call.flow != b"silent":
                    host.send_flow_ack(packet.head, call, 1)
                    if call.flow != b"endless":
                        host.send_flow_return(packet.head, call, ["答", call.invoke_id])

        serving = asyncio.create_task(serve())
        a, b = two
        calls = [client.call_flow(0, 7, "P", "F", [1]) for client in two for _ in range(50)]
        numbers = [*range(1, 51)] * 2
        assert await soon(asyncio.gather(*calls)) == [["答", number] for number in numbers]
        assert await a.launch_flow(0, -1, "P", "F", mode=1) == 51
        with pytest.raises(FlowError, match="没有"):
            await b.call_flow(0, 7, "P", "bad")
        with pytest.raises(FlowTimeout, match="no return"):
            await b.call_flow(0, 7, "P", "endless", timeout=0.1)
        with pytest.raises(FlowTimeout, match="no ack"):
            await b.launch_flow(0, 7, "P", "silent", timeout=0.1)
        await host.close()
        await serving


async def test_everybody_knows_everybody(bus: Bus, two: Two) -> None:
    a, b = two
    async with client_at(bus, HOST, info="丙") as host:
        await until(lambda: all(len(client.nodes) == 2 for client in (a, b, host)))
        assert {node.info for node in host.nodes.values()} == {"甲", "乙"}
        assert a.nodes[0, 7].info == "丙"
        assert a.nodes[0, 7].status == 1
        assert host.nodes[20, 3].status == 2
        assert host.nodes[20, 3].access_point == 0
    await until(lambda: len(a.nodes) == len(b.nodes) == 1)


@pytest.mark.parametrize("wire", ["2015", "2018"])
async def test_both_wire_forms(bus: Bus, wire: Any) -> None:
    async with client_at(bus, A, wire=wire, timing=QUICK) as client:
        (seen,) = bus.clients()
        assert (seen.unit_id, seen.client_id, seen.client_type) == A
        assert bool(seen.pid) == (wire == "2018")
        await until(lambda: bus.stats().heartbeats >= 3)
        assert client.connected


async def test_users_and_passwords() -> None:
    def allow(registration: Any) -> int:
        if registration.user != "用户":
            return -5
        return 0 if registration.password == b"p" else -6

    with Bus(users=allow) as bus:
        async with client_at(bus, A, user="用户", password="p"):
            pass
        with pytest.raises(PasswordError):
            await client_at(bus, A, user="用户", password="x").__aenter__()
        with pytest.raises(UserError):
            await client_at(bus, A).__aenter__()


async def test_the_bus_restarts() -> None:
    with Bus() as bus:
        a, b = client_at(bus, A, timing=QUICK), client_at(bus, B, timing=QUICK)
        events = Events(a)
        for client in (a, b):
            await client.start()
            await soon(client.wait_connected())
    await until(lambda: not a.connected and not b.connected)
    assert not a.nodes
    with Bus(port=bus.port):
        for client in (a, b):
            await soon(client.wait_connected())
        a.send_data(1, 3, *B, b"again")
        assert (await take(b)).data == b"again"
        assert events.log == ["connect", "disconnect", -20, "connect"]
        await a.close()
        await b.close()


async def test_kicked_out(bus: Bus) -> None:
    async with client_at(bus, A) as client:
        events = Events(client)
        bus.kick(*A[:2])
        await events.reach("disconnect", "connect")


async def test_a_fight_for_an_address_is_no_tight_loop(bus: Bus) -> None:
    # Given two clients with one address in one process: the bus takes one for the other
    first, second = client_at(bus, A), client_at(bus, A)
    for client in (first, second):
        await client.start()
        await soon(client.wait_connected())
    before = bus.stats().accepted
    await asyncio.sleep(0.5)
    assert bus.stats().accepted - before < 20
    for client in (first, second):
        await client.close()


async def test_a_stream_of_packets_is_complete_and_in_order(two: Two) -> None:
    a, b = two
    count = 50_000

    async def send() -> None:
        for number in range(count):
            a.send_data(1, 3, *B, b"%d" % number)
            if not number % 500:
                await a.drain()
                await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    for number in range(count):
        assert (await take(b)).data == b"%d" % number
    await sending
    assert b.dropped == 0


async def test_a_slow_reader_gets_everything(bus: Bus) -> None:
    # Given less room on the whole way than the packets take
    limits = Limits(packets=10)
    async with client_at(bus, A) as a, client_at(bus, B, limits=limits) as b:
        count, data = 100, bytes(50_000)
        reading = asyncio.create_task(take(b))
        await until(lambda: b._packets.read)
        for _ in range(count):
            a.send_data(1, 3, *B, data)
            await a.drain()
        await reading
        for _ in range(count - 1):
            await asyncio.sleep(0.001)
            assert len((await take(b)).data) == len(data)
        assert b.dropped == 0
