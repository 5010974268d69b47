"""Whatever takes a time says so, by name, when it gets something else."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smartbus import ipc, net
from smartbus.aio import SmartBusClient, Timing
from smartbus.aio.tcp import Client, OneClientReadLoopServer, TcpClient
from smartbus.aio.tcp.settings import Settings
from smartbus.arguments import LONGEST, seconds, seconds_or_none
from smartbus.bus import Bus
from smartbus.errors import ArgumentError
from smartbus.ipsc import Ipsc, IpscThread
from smartbus.testing import FlowHost, Record, RecordingClient, wait_until, wait_until_async
from smartbus.testing.loop import LoopThread

if TYPE_CHECKING:
    from smartbus.testing import ClientFactory

#: A time, and what it is told.
BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "text": ("5", TypeError, "must be a number of seconds, not str"),
    "bool": (True, TypeError, "must be a number of seconds, not bool"),
    "list": ([1], TypeError, "must be a number of seconds, not list"),
    "negative": (-1, ArgumentError, "is -1 s; it must be in 0"),
    "nan": (math.nan, ArgumentError, "is nan s"),
    "endless": (math.inf, ArgumentError, "is inf s"),
    "a month": (31 * 86400, ArgumentError, "is 2678400 s"),
}
NONE = {"none": (None, TypeError, "must be a number of seconds, not NoneType")}

Call = Callable[[Any], object]


@pytest.mark.parametrize(("value", "error", "match"), (BAD | NONE).values(), ids=[*BAD, *NONE])
def test_the_check(value: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=f"^(?:.*: )?pause {match}"):
        seconds("pause", value)


@pytest.mark.parametrize("value", [0, 0.0, 1e-9, 3, 2.5, LONGEST])
def test_good_times(value: float) -> None:
    assert seconds("pause", value) is value
    assert seconds_or_none("pause", value) is value
    assert seconds_or_none("pause", None) is None


def check_all(name: str, call: Call, *, none: bool = False) -> None:
    """Check that `call`, given each bad time for `name`, raises and names it.

    Args:
        name: The argument.
        call: Is called with a time.
        none: None is a good time.
    """
    for label, (value, error, match) in (BAD if none else BAD | NONE).items():
        with pytest.raises(error) as caught:
            call(value)
        assert f"{name} {match}" in str(caught.value), label


@pytest.fixture
def net_client(bus: Bus, smartbus_net: type[net.Client]) -> net.Client:
    smartbus_net.initialize(20, library="core")
    client = smartbus_net.create(1, 18, bus.host, bus.port)
    client.activate()
    client.wait_connected(20)
    return client


@pytest.fixture
def ipc_client(bus: Bus, smartbus_ipc: type[ipc.Client]) -> ipc.Client:
    client = smartbus_ipc.create(5, 18, library="core")
    client.activate()
    client.wait_connected(20)
    return client


@pytest.mark.parametrize("kind", ["net", "ipc"])
def test_clients(kind: str, net_client: net.Client, ipc_client: ipc.Client) -> None:
    client = net_client if kind == "net" else ipc_client
    flow = (0, 0, "Project", "Flow")
    check_all("timeout", client.wait_connected, none=True)
    check_all("timeout", lambda t: client.call_flow(*flow, timeout=t))
    check_all("timeout", lambda t: client.launch_flow(*flow, 0, t, None))
    check_all("expires", lambda t: client.notify(0, 0, "", "title", 0, t, "text"))
    check_all("expires", lambda t: client.notify_many([(0, 0, b"t", b"x")], t))
    check_all("timeout", lambda t: client.send_many(1, 3, 0, 0, 2, [b""], timeout=t))
    assert client.connected
    client.ping(0, 0, 1)  # nothing has ended


def test_ends(net_client: net.Client, ipc_client: ipc.Client) -> None:
    check_all("linger", net.Client.finalize)
    assert net_client.connected
    check_all("linger", ipc_client.dispose)
    assert ipc_client.connected


def test_waiting_for_a_result(smartbus_ipsc: FlowHost, net_client: net.Client) -> None:
    smartbus_ipsc.write("P", "Wait", "AsynchInvoke(SmartbusWaitNotify('go', 0, 20000))")
    future = net_client.call_flow(0, 0, "P", "Wait", timeout=20)
    for wait in (future.result, future.exception, future.acknowledged.result):
        with pytest.raises(TypeError, match="timeout must be a number of seconds, not str"):
            wait("3")  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="timeout is nan s"):
            wait(math.nan)
    with pytest.raises(FutureTimeout):
        future.result(-1)  # as every future: it is over already
    net_client.notify(0, 0, "", "go", 0, 20.0, "x")
    assert future.result(20) == []


def test_asyncio(bus: Bus) -> None:
    thread = LoopThread("loop")
    run = thread.run
    client = SmartBusClient(bus.host, bus.port, 20, 1, 18)
    try:
        run(client.start())
        run(client.wait_connected(20))
        flow = (0, 0, "Project", "Flow")
        check_all("timeout", lambda t: run(client.wait_connected(t)), none=True)
        check_all("timeout", lambda t: run(client.call_flow(*flow, timeout=t)))
        check_all("timeout", lambda t: run(client.launch_flow(*flow, timeout=t)))
        check_all("timeout", lambda t: run(wait_until_async(lambda: True, t)))
        check_all("expires", lambda t: thread.call(client.notify, 0, 0, "", "title", 0, t, "text"))
        run(client.close())
    finally:
        thread.close()


@pytest.mark.parametrize("name", ["timeout", "write_timeout", "close_timeout", "spin"])
def test_tcp(name: str) -> None:
    check_all(name, lambda t: Settings(**{name: t}), none=name in ("timeout", "write_timeout"))


async def test_tcp_clients_and_servers() -> None:
    log = logging.getLogger()

    async def coroutine(*_: object, **__: object) -> None:
        """Nothing is said to it."""

    check_all("heartbeat_send_sleep", lambda t: Client("", 0, log, heartbeat_send_sleep=t))
    check_all("heartbeat_timeout", lambda t: Reader(port=0, log=log, heartbeat_timeout=t))
    client = TcpClient("", 0, coroutine)
    check_all("timeout", lambda t: client.connect(t).send(None), none=True)


class Reader(OneClientReadLoopServer):
    async def read_and_dispatch(self) -> None:
        """Nothing is said to it."""


@pytest.mark.parametrize("name", [field.name for field in fields(Timing)])
def test_timing(name: str) -> None:
    check_all(name, lambda t: Timing(**{name: t}))


@pytest.mark.parametrize("name", ["idle_timeout", "slow_timeout"])
def test_bus(name: str) -> None:
    check_all(name, lambda t: Bus(**{name: t}))


@pytest.mark.parametrize("name", ["answer_delay", "stop_timeout"])
def test_ipsc(name: str, tmp_path: Path) -> None:
    check_all(name, lambda t: Ipsc("127.0.0.1", 1, tmp_path, **{name: t}))


def test_ipsc_thread(tmp_path: Path) -> None:
    thread = IpscThread(Ipsc("127.0.0.1", 1, tmp_path))
    check_all("timeout", thread.start)
    thread.close()


@pytest.mark.parametrize("ms", ["1000", -1, math.nan, math.inf, None])
def test_waits_of_flows(smartbus_ipsc: FlowHost, ms: Any) -> None:
    text = f"float('{ms}')" if isinstance(ms, float) else repr(ms)
    smartbus_ipsc.write("P", "F", f"AsynchInvoke(SmartbusWaitNotify('t', 0, {text}))")
    (answer,) = smartbus_ipsc.run("P", "F")
    assert answer["error"]["type"] == "ArgumentError"
    assert f"SmartbusWaitNotify('t', 0, {ms!r})" in answer["error"]["message"]


def test_the_testing_plugin(bus: Bus, smartbus_client_factory: ClientFactory) -> None:
    record: Record[int] = Record()
    record.add(1)
    check_all("timeout", lambda t: wait_until(lambda: True, t))
    check_all("timeout", Record)
    check_all("timeout", lambda t: record.expect(timeout=t), none=True)
    check_all("timeout", lambda t: record.wait_count(1, t), none=True)
    check_all("timeout", lambda t: RecordingClient(bus, timeout=t))
    check_all("timeout", lambda t: FlowHost(bus, timeout=t))
    client = smartbus_client_factory(bus)
    check_all("timeout", client.wait_connected, none=True)
    check_all("timeout", lambda t: client.call_flow("P", "F", timeout=t))
    check_all("timeout", lambda t: client.start_flow("P", "F", timeout=t).result(20))
    check_all("expires", lambda t: client.notify("title", "text", expires=t))
