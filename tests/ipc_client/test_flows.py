"""Flow calls and notifies of an IPC client, answered by the stand-in IPSC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ipc_client.recorder import connected

if TYPE_CHECKING:
    from smartbus.bus import Bus
    from smartbus.testing import FlowHost, FlowHostFactory
    from tests.ipc_client.kinds import Kind

SCRIPTS = {
    "项目/Echo": "result = params",
    "项目/Answer": (
        "wait = SmartbusWaitNotify(params[0], 0, 20000)\n"
        "smartbusSendData(GetSvrNodeID(), 5, -1, 9, 3, 'waiting')\n"
        "result = [AsynchInvoke(wait)]"
    ),
    "项目/Silent": "AsynchInvoke(SmartbusWaitNotify('never', 1, 20000))",
}


@pytest.fixture
def ipsc(bus: Bus, smartbus_ipsc_factory: FlowHostFactory) -> FlowHost:
    """Process 0 of the bus's unit."""
    return smartbus_ipsc_factory(bus, SCRIPTS)


def test_flow_call(kind: Kind, ipsc: FlowHost) -> None:
    client = connected(**kind)
    params = [1, "文", None, {"k": [True]}]
    first = client.launch_flow(3, 0, "项目", "Echo", 0, 20.0, params)
    assert client.record.expect("flow_ack", first)[2:5] == (1, "", "项目")
    _, _, result, project, head = client.record.expect("flow_resp", first)
    assert (result, project) == (params, "项目")
    assert (head.src_unit_id, head.src_unit_client_id, head.src_unit_client_type) == (3, 0, 2)
    second = client.launch_flow(3, 0, "项目", "Echo", 0, 20.0, None)
    assert second > first
    assert client.record.expect("flow_resp", second)[2] == []


def test_a_flow_that_is_not_there(kind: Kind, ipsc: FlowHost) -> None:
    client = connected(**kind)
    call = client.launch_flow(3, 0, "项目", "Nothing", 1, 20.0, [])
    assert client.record.expect("flow_ack", call)[2] == -8


def test_a_flow_that_takes_too_long(kind: Kind, ipsc: FlowHost) -> None:
    client = connected(**kind)
    call = client.launch_flow(3, 0, "项目", "Silent", 0, 0.2, [])
    client.record.expect("flow_ack", call, 1)
    assert client.record.expect("flow_timeout", call)[2:] == ("项目", None)


def test_notify(kind: Kind, ipsc: FlowHost) -> None:
    client = connected(**kind)
    call = client.launch_flow(3, 0, "项目", "Answer", 0, 20.0, ["标题"])
    client.record.expect("data")
    number = client.notify(3, 0, "项目", "标题", 0, 20.0, "内容")
    assert number > 0
    assert client.record.expect("flow_resp", call)[2] == ["内容"]
    call = client.launch_flow(3, 0, "项目", "Answer", 0, 20.0, ["2"])
    client.record.wait(lambda events: sum(event[0] == "data" for event in events) == 2)
    codes = client.notify_many([(3, 0, "2", b"many"), (16, 0, "2", b"x")], 20.0)
    assert list(codes) == [number + 1, -12]
    assert client.record.expect("flow_resp", call)[2] == ["many"]
