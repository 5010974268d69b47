"""What an IPC client can say and hear."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from smartbus.bus import Bus
from smartbus.errors import (
    ArgumentError,
    CommandTypeError,
    OwnUnitError,
    TooLargeError,
    UnitIdError,
)
from smartbus.head import Head
from smartbus.ipc import Client
from smartbus.net import Client as NetClient
from smartbus.testing import wait_until
from tests.ipc_client.kinds import KINDS, Kind
from tests.ipc_client.recorder import Recorder, connected, echo
from tests.net.recorder import DEADLINE
from tests.net.recorder import Recorder as NetRecorder


def net_client(bus: Bus, client_id: int = 1) -> NetRecorder:
    NetClient.initialize(20, library="core")
    client: NetRecorder = NetRecorder.create(client_id, 30, bus.host, bus.port, info="net")
    client.activate()
    client.wait_connected(DEADLINE)
    return client


def test_data_both_ways_with_a_net_client(kind: Kind, bus: Bus) -> None:
    net = net_client(bus)
    ipc = connected(**kind)
    sent = [b"", b"bytes\0with\xffall", "文本".encode(), b"x" * 1_000_000]
    for data in sent:
        ipc.send_data(7, 3, 20, 1, 30, data)
    net.record.wait(lambda events: sum(e[0] == "data" for e in events) == len(sent))
    got = [event for event in net.record.events if event[0] == "data"]
    assert [event[1] for event in got] == sent
    head: Head = got[1][2]
    assert (head.cmd, head.cmd_type) == (7, 3)
    assert (head.src_unit_id, head.src_unit_client_id, head.src_unit_client_type) == (3, 5, 18)
    for data in sent:
        net.send_data(8, 4, 3, 5, 18, data)
    ipc.record.wait(lambda events: sum(e[0] == "data" for e in events) == len(sent))
    got = [event for event in ipc.record.events if event[0] == "data"]
    assert [event[1] for event in got] == sent
    head = got[1][2]
    assert (head.cmd, head.cmd_type) == (8, 4)
    assert (head.src_unit_id, head.src_unit_client_id, head.src_unit_client_type) == (20, 1, 30)


@pytest.mark.parametrize("other", KINDS)
def test_two_processes(kind: Kind, other: str, bus: Bus, tmp_path: Path) -> None:
    client = connected(**kind)
    with echo(200, other, tmp_path):
        for number in range(1000):
            client.send_data(1, 3, 3, 200, 30, b"%d" % number)
        client.record.wait(lambda events: sum(e[0] == "data" for e in events) == 1000)
        got = [event for event in client.record.events if event[0] == "data"]
        assert [event[1] for event in got] == [b"%d" % number for number in range(1000)]
        head: Head = got[0][2]
        assert (head.cmd, head.src_unit_id, head.src_unit_client_id) == (2, 3, 200)
        client.ping(3, 200, 30, "ping")
        _, _, head = client.record.expect("data", b"ping")
        assert (head.cmd_type, head.cmd, head.src_unit_client_id) == (1, 8, 200)
        client.record.expect("global", 1, 3, 200, 30, "echo")
    client.record.expect("global", 0, 3, 200)


def test_ping_of_the_server(kind: Kind, bus: Bus) -> None:
    client = connected(**kind)
    client.ping(3, 0, 1, "hello")
    _, _, head = client.record.expect("data", b"hello")
    assert (head.cmd_type, head.cmd, head.src_unit_id) == (1, 8, 3)
    client.ping(3, 0, 1)
    client.record.expect("data", b"")


def test_global_connect(kind: Kind, bus: Bus) -> None:
    changes: list[tuple[Any, ...]] = []
    NetClient.initialize(20, lambda *change: changes.append(change), library="core")
    net: NetRecorder = NetRecorder.create(1, 30, bus.host, bus.port, info="网")
    net.activate()
    net.wait_connected(DEADLINE)
    client = connected(info="本地", **kind)
    client.record.expect("global", 2, 20, 1, 30, "网", 3)  # was there before
    wait_until(lambda: (3, 5, 18, 3, 1, "本地") in changes)
    net.release()
    client.record.expect("global", 0, 20, 1, 30)
    with NetRecorder.create(2, 31, bus.host, bus.port):
        client.record.expect("global", 1, 20, 2, 31)
        wait_until(lambda: (3, 5, 18, 3, 2, "本地") in changes)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((1, 3, 3, 5, 18, b""), OwnUnitError, "this client itself"),
        ((1, 3, 48, 0, 2, b""), UnitIdError, "unit 48"),
        ((1, 0, 0, 0, 2, b""), CommandTypeError, "cmd_type 0"),
        ((256, 3, 0, 0, 2, b""), ArgumentError, "cmd is 256"),
        ((1, 3, 0, -2, 2, b""), ArgumentError, "dst_client_id is -2"),
        (("1", 3, 0, 0, 2, b""), TypeError, "cmd must be int, not str"),
        ((1, 3, 0, 0, 2, 5), TypeError, "bytes-like"),
    ],
)
def test_bad_send_data(
    kind: Kind, bus: Bus, arguments: Any, error: type[Exception], match: str
) -> None:
    client = connected(**kind)
    with pytest.raises(error, match=match):
        client.send_data(*arguments)


def test_too_large(kind: Kind, bus: Bus) -> None:
    client = connected(**kind)
    with pytest.raises(TooLargeError):
        client.notify(3, 0, "", "title", 0, 1.0, "x" * 16000)
    with pytest.raises(TooLargeError):
        client.launch_flow(3, 0, "P", "F", 0, 1.0, ["x" * 16000])
    with pytest.raises(UnitIdError):
        client.notify(16, 0, "", "title", 0, 1.0, "x")
    with pytest.raises(UnitIdError):
        client.launch_flow(16, 0, "P", "F", 0, 1.0, [])
    with pytest.raises(ArgumentError, match="title"):
        client.notify(3, 0, "", "t" * 102, 0, 1.0, "x")
    assert list(client.notify_many([(3, 0, "t" * 102, "x"), (3, 0, "t", b"")], 1.0)) == [-1, -1]


def test_handlers_run_in_an_executor(kind: Kind, bus: Bus) -> None:
    names: set[str] = set()

    class Here(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:
            names.add(threading.current_thread().name)
            super().on_data(head, data)

    with ThreadPoolExecutor(1, "mine") as executor:
        client = Here.create(5, 18, event_executor=executor, **kind)
        assert client.event_executor is executor
        client.activate()
        client.wait_connected(DEADLINE)
        client.ping(3, 0, 1, b"x")
        client.record.expect("data", b"x")
        Client.destroy()
    assert names == {"mine_0"}


async def test_events_come_in_a_loop(kind: Kind, bus: Bus) -> None:
    loop = asyncio.get_running_loop()
    threads: set[threading.Thread] = set()
    answers: list[bytes] = []
    done = asyncio.Event()

    class Here(Client):
        def on_connect(self) -> None:
            for number in range(100):
                self.ping(3, 0, 1, b"%d" % number)

        def on_data(self, head: Head, data: bytes) -> None:
            assert head.cmd == 8
            threads.add(threading.current_thread())
            answers.append(data)
            if len(answers) == 100:
                done.set()

    client = Here.create(5, 18, loop=loop, **kind)
    client.activate()
    await asyncio.wait_for(done.wait(), DEADLINE)
    assert client.connected
    assert answers == [b"%d" % number for number in range(100)]
    assert threads == {threading.current_thread()}
    client.dispose()
    with ThreadPoolExecutor(1) as executor, pytest.raises(ArgumentError, match="event_executor"):
        Client.create(5, 18, event_executor=executor, loop=loop, **kind)
