"""What the plugin's fixtures give, in detail."""

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio import FlowError, FlowTimeout
from smartbus.errors import NodeNotFoundError, NotConnectedError, OwnUnitError, PasswordError
from smartbus.ipc import Client as IpcClient
from smartbus.testing import (
    BusFactory,
    FlowHost,
    FlowRun,
    Record,
    RecordingClient,
    wait_for_client,
    wait_until,
    wait_until_async,
)
from smartbus.testing.loop import LoopThread
from smartbus.testing.waiting import TIMEOUT
from smartbus.wire import Cmd, CmdType

if TYPE_CHECKING:
    from smartbus.bus import Bus
    from smartbus.testing import ClientFactory, FlowHostFactory


# --- waiting ----------------------------------------------------------------------------------


def test_wait_until_returns_what_is_true() -> None:
    values = iter([0, None, "", "there"])
    assert wait_until(lambda: next(values)) == "there"


def test_wait_until_gives_up() -> None:
    begin = time.monotonic()
    with pytest.raises(AssertionError, match=r"^the end did not happen within 0\.05 s$"):
        wait_until(lambda: False, 0.05, "the end")
    assert time.monotonic() - begin >= 0.05


def test_waiting_in_an_event_loop() -> None:
    async def main() -> int:
        answer = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(answer.set_result, 42)
        await wait_until_async(answer.done)
        with pytest.raises(AssertionError, match="the end did not happen"):
            await wait_until_async(lambda: False, 0.01, "the end")
        return int(answer.result())

    assert asyncio.run(main()) == 42


def test_a_record_wakes_who_waits() -> None:
    record: Record[int] = Record()
    with ThreadPoolExecutor(3) as pool:
        waits: list[Future[Any]] = [
            pool.submit(record.expect, lambda item: item == 2),
            pool.submit(record.take, lambda item: item == 3),
            pool.submit(record.wait_count, 3),
        ]
        for item in (1, 2, 3):
            record.add(item)
            record.wait_count(item if item < 3 else 2)
        assert waits[0].result() == 2
        assert waits[1].result() == 3
        record.add(4)  # for the one that counts, if the three were there too briefly
        assert len(waits[2].result()) >= 3
    assert list(record) == [1, 2, 4]
    assert repr(record) == "<Record [1, 2, 4]>"
    record.clear()
    assert len(record) == 0


def test_a_record_tells_what_came_instead() -> None:
    record: Record[str] = Record(timeout=0.05)
    record.add("other")
    with pytest.raises(AssertionError, match=r"did not come within 0.05 s; there is: \['other'\]"):
        record.expect(lambda item: item == "this")
    with pytest.raises(AssertionError, match=r"within 0.01 s"):
        record.take(lambda item: item == "this", 0.01)
    with pytest.raises(AssertionError, match=r"within 0.05 s"):
        record.wait_count(2)


def test_take_takes_each_once() -> None:
    record: Record[int] = Record()
    for number in (1, 2, 3):
        record.add(number)
    assert record.take(lambda item: item > 1) == 2
    assert [record.take(), record.take()] == [1, 3]


# --- buses ------------------------------------------------------------------------------------


def test_a_local_socket_for_this_user_only(smartbus_bus: Bus) -> None:
    assert smartbus_bus.ipc_path == os.environ["SMARTBUS_IPC_SOCKET"]
    directory = Path(str(smartbus_bus.ipc_path)).parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_ipc_clients_find_the_bus(smartbus_bus: Bus) -> None:
    with IpcClient.create(5, 18) as client:
        client.wait_connected(TIMEOUT)
        wait_for_client(smartbus_bus, smartbus_bus.unit_id, 5)
    wait_for_client(smartbus_bus, smartbus_bus.unit_id, 5, gone=True)


def test_several_buses(smartbus_bus: Bus, smartbus_bus_factory: BusFactory) -> None:
    other = smartbus_bus_factory(unit_id=4)
    without = smartbus_bus_factory(ipc_path=None)
    assert (other.unit_id, without.ipc_path) == (4, None)
    assert len({smartbus_bus.port, other.port, without.port}) == 3
    assert os.environ["SMARTBUS_IPC_SOCKET"] == smartbus_bus.ipc_path != other.ipc_path


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTBUS_IPC_SOCKET", "/before")
    with BusFactory() as factory:
        first = factory(ipc_default=True)
        second = factory(ipc_default=True)
        assert os.environ["SMARTBUS_IPC_SOCKET"] == second.ipc_path
    assert os.environ["SMARTBUS_IPC_SOCKET"] == "/before"
    assert not first.running
    assert not second.running
    factory.close()


def test_a_socket_in_a_long_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with BusFactory() as factory:
        assert Path(str(factory().ipc_path)).exists()
    assert list(long.iterdir()) == []


def test_waiting_for_a_client_that_does_not_come(smartbus_bus: Bus) -> None:
    with pytest.raises(AssertionError, match="coming of client 1 of unit 20 did not happen"):
        wait_for_client(smartbus_bus, 20, 1, 0.02)


# --- clients ----------------------------------------------------------------------------------


def test_packets(
    smartbus_bus: Bus, smartbus_client: RecordingClient, smartbus_client_factory: ClientFactory
) -> None:
    other = smartbus_client_factory(smartbus_bus, 20, 3, 25, info="other")
    node = smartbus_client.nodes.expect(lambda node: node.unit_id == 20)
    assert (node.client_id, node.client_type, node.status, node.info) == (3, 25, 1, "other")
    smartbus_client.send_data(7, CmdType.USER, *other.address, b"ping")
    packet = other.packets.take()
    assert (packet.src, packet.cmd, packet.data) == (smartbus_client.address, 7, b"ping")
    other.send_data(8, CmdType.USER, *packet.src, "答")
    assert smartbus_client.packets.take(lambda packet: packet.cmd == 8).data == "答".encode()
    with pytest.raises(OwnUnitError):
        other.send_data(1, 3, 20, 1, -1)
    other.close()
    other.close()
    assert repr(other) == "<RecordingClient 20/3/25: not connected>"
    smartbus_client.nodes.expect(lambda node: (node.unit_id, node.status) == (20, 0))


def test_a_client_that_loses_its_bus(smartbus_bus: Bus, smartbus_client: RecordingClient) -> None:
    assert list(smartbus_client.states) == ["connected"]
    smartbus_bus.kick(*smartbus_client.address[:2])
    smartbus_client.states.wait_count(3)
    smartbus_client.wait_connected()
    assert list(smartbus_client.states) == ["connected", "disconnected", "connected"]
    smartbus_bus.close()
    smartbus_client.states.wait_count(4)
    with pytest.raises(NotConnectedError):
        smartbus_client.send_data(1, 3, 20, 0, -1)


def test_a_client_that_is_refused(
    smartbus_bus_factory: BusFactory, smartbus_client_factory: ClientFactory
) -> None:
    bus = smartbus_bus_factory(users=lambda asks: 0 if asks.password == b"right" else -6)
    with pytest.raises(PasswordError):
        smartbus_client_factory(bus, password="wrong")
    assert smartbus_client_factory(bus, password="right").connected


# --- flow hosts -------------------------------------------------------------------------------


def test_scripts_and_their_runs(smartbus_ipsc: FlowHost, smartbus_client: RecordingClient) -> None:
    smartbus_ipsc.write(
        "P",
        "Ask",
        """
        params.append("changed")
        smartbusSendData(46, 0, -1, 5, 3, "asking")
        result = [AsynchInvoke(SmartbusWaitNotify("answer", 0, 20000))]
        """,
    )
    future = smartbus_ipsc.start("P", "Ask", [1])
    assert smartbus_ipsc.wait_started("P", "Ask") == FlowRun("P", "Ask", [1])
    assert smartbus_client.packets.take().data == b"asking"
    smartbus_client.notify("answer", "内容")
    assert future.result(TIMEOUT) == ["内容"]
    assert smartbus_ipsc.wait_ended("P", "Ask") == FlowRun("P", "Ask", [1], ["内容"])
    with pytest.raises(AssertionError, match="did not come"):
        smartbus_ipsc.wait_ended("P", "Ask", 0.01)


def test_flows_that_fail(smartbus_ipsc: FlowHost) -> None:
    with pytest.raises(FlowError) as caught:
        smartbus_ipsc.run("P", "Nothing")
    assert caught.value.code == NodeNotFoundError(-8).code
    smartbus_ipsc.write("P", "Silent", "AsynchInvoke(SmartbusWaitNotify('never', 0, 20000))")
    with pytest.raises(FlowTimeout):
        smartbus_ipsc.run("P", "Silent", timeout=0.1)


@pytest.mark.parametrize("as_path", [False, True])
def test_a_directory_of_flows_is_copied(
    smartbus_bus: Bus, smartbus_ipsc_factory: FlowHostFactory, tmp_path: Path, as_path: bool
) -> None:
    (tmp_path / "P").mkdir()
    (tmp_path / "P" / "F.py").write_text("result = [1]")
    host = smartbus_ipsc_factory(smartbus_bus, tmp_path if as_path else str(tmp_path))
    assert host.run("P", "F") == [1]
    host.write("P", "F", "result = [12]")
    assert host.run("P", "F") == [12]
    assert (tmp_path / "P" / "F.py").read_text() == "result = [1]"


def test_two_hosts_on_one_bus_with_users(
    smartbus_bus_factory: BusFactory, smartbus_ipsc_factory: FlowHostFactory
) -> None:
    bus = smartbus_bus_factory(unit_id=2, users=lambda asks: 0 if asks.user == "ada" else -5)
    flows = {"P/Who": "result = [GetSvrNodeID(), params[0]]"}
    hosts = [
        smartbus_ipsc_factory(bus, flows, process_index=index, user="ada", password="x")
        for index in range(2)
    ]
    assert [host.run("P", "Who", [i]) for i, host in enumerate(hosts)] == [[2, 0], [2, 1]]
    assert [len(host.ended) for host in hosts] == [1, 1]


def test_a_host_that_cannot_connect_leaves_nothing(smartbus_bus_factory: BusFactory) -> None:
    bus = smartbus_bus_factory(users=lambda _: -6)
    with pytest.raises(PasswordError):
        FlowHost(bus)


def test_from_an_event_loop(smartbus_ipsc: FlowHost) -> None:
    smartbus_ipsc.write("P", "F", "result = params")

    async def main() -> list[Any]:
        return await asyncio.wrap_future(smartbus_ipsc.start("P", "F", [3]))

    assert asyncio.run(main()) == [3]


# --- the loop ---------------------------------------------------------------------------------


def test_a_loop_cancels_what_runs_when_it_ends() -> None:
    loop = LoopThread("a loop")
    assert loop.call(threading.current_thread).name == "a loop"
    begun, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    future = loop.submit(wait())
    assert begun.wait(TIMEOUT)
    loop.close()
    loop.close()
    assert cancelled.is_set()
    assert future.cancelled()
    with pytest.raises(RuntimeError, match="has ended"):
        loop.run(wait())


def test_commands_of_the_wire_are_at_hand(
    smartbus_bus: Bus, smartbus_client: RecordingClient, smartbus_client_factory: ClientFactory
) -> None:
    ipsc = smartbus_client_factory(smartbus_bus, smartbus_bus.unit_id, 0, 2)
    assert smartbus_client.notify("title", "text") == 1
    packet = ipsc.packets.take()
    assert (packet.cmd_type, packet.cmd) == (CmdType.SYSTEM, Cmd.NOTIFY)
