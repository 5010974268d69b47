"""What an IPC client shares with NET clients: flow futures, events as objects, batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from smartbus.errors import FlowError, FlowTimeout, OwnUnitError
from smartbus.events import Connected, FlowReturned, GlobalConnect, Packet
from tests.ipc_client.recorder import Recorder, connected
from tests.net.recorder import DEADLINE, Record
from tests.net.recorder import Recorder as NetRecorder
from tests.net.recorder import connected as net_connected

if TYPE_CHECKING:
    from smartbus.bus import Bus
    from smartbus.testing import FlowHost, FlowHostFactory
    from tests.ipc_client.kinds import Kind

SCRIPTS = {
    "P/Echo": "result = params",
    "P/Silent": "AsynchInvoke(SmartbusWaitNotify('never', 1, 60000))",
}


@pytest.fixture
def ipsc(bus: Bus, smartbus_ipsc_factory: FlowHostFactory) -> FlowHost:
    """Process 0 of the bus's unit."""
    return smartbus_ipsc_factory(bus, SCRIPTS)


def test_flow_calls(kind: Kind, ipsc: FlowHost) -> None:
    client = connected(**kind)
    futures = [client.call_flow(3, 0, "P", "Echo", [n, "文"], timeout=DEADLINE) for n in range(9)]
    assert [future.result(DEADLINE) for future in futures] == [[n, "文"] for n in range(9)]
    assert client.record.expect("flow_resp", futures[8].invoke_id, [8, "文"])
    refused = client.call_flow(3, 0, "P", "Nothing", timeout=DEADLINE)
    with pytest.raises(FlowError) as caught:
        refused.result(DEADLINE)
    assert (caught.value.code, caught.value.project) == (-8, "P")
    with pytest.raises(FlowTimeout):
        client.call_flow(3, 0, "P", "Silent", timeout=0.1).result(DEADLINE)
    waiting = client.call_flow(3, 0, "P", "Silent", timeout=60)
    assert waiting.acknowledged.result(DEADLINE) == ""
    client.dispose()
    with pytest.raises(FlowError, match="released"):
        waiting.result(DEADLINE)


async def test_a_flow_call_in_a_loop(kind: Kind, ipsc: FlowHost) -> None:
    client = Recorder.create(5, 18, loop=asyncio.get_running_loop(), **kind)
    client.activate()

    async def use() -> None:
        while not client.connected:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        future = client.call_flow(3, 0, "P", "Echo", [1], timeout=DEADLINE)
        assert await asyncio.wrap_future(future) == [1]

    await asyncio.wait_for(use(), DEADLINE)
    client.dispose()


def test_events(kind: Kind, bus: Bus, ipsc: FlowHost) -> None:
    heard = Record()
    client = Recorder.create(5, 18, **kind)
    client.subscribe(lambda event: heard.add(type(event), event))
    client.activate()
    client.wait_connected(DEADLINE)
    assert heard.expect(Connected)[1] == Connected(3)
    net = net_client(bus)
    heard.expect(GlobalConnect, GlobalConnect(20, 1, 18, 3, 1, "网"))
    net.send_data(1, 3, 3, 5, 18, b"data")
    packet = heard.expect(Packet)[1]
    assert (packet.data, packet.head.src_unit_id) == (b"data", 20)
    future = client.call_flow(3, 0, "P", "Echo", [1], timeout=DEADLINE)
    returned = heard.expect(FlowReturned)[1]
    assert (returned.invoke_id, returned.params) == (future.invoke_id, [1])


def net_client(bus: Bus) -> NetRecorder:
    NetRecorder.initialize(20, library="core")
    return net_connected(bus, info="网")


def test_send_many(kind: Kind, bus: Bus) -> None:
    client = connected(**kind)
    net = net_client(bus)
    batch = [b"%d" % number for number in range(2000)]
    assert client.send_many(1, 3, 20, 1, 18, batch) == 2000
    assert net.send_many(1, 3, 3, 5, 18, batch, timeout=1) == 2000
    client.record.wait(lambda events: sum(event[0] == "data" for event in events) == 2000)
    assert [event[1] for event in client.record.events if event[0] == "data"] == batch
    with pytest.raises(OwnUnitError, match="0 of 1 were queued: the destination is this client"):
        client.send_many(1, 3, 3, 5, 18, [b"x"])
    net.record.wait(lambda events: sum(event[0] == "data" for event in events) == 2000)
    assert [event[1] for event in net.record.events if event[0] == "data"] == batch
