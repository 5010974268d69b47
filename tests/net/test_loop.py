"""Events in an asyncio loop: no threads, packets leave once in a turn."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from smartbus.bus import Bus
from smartbus.errors import ArgumentError
from smartbus.head import Head
from smartbus.net import Client
from smartbus.testing import wait_until_async as until
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Recorder


def initialize(kind: str, **more: Any) -> None:
    Client.initialize(
        UNIT, library="core", abi=kind == "abi", loop=asyncio.get_running_loop(), **more
    )


async def connected(bus: Bus, client_id: int, cls: type[Recorder] = Recorder) -> Recorder:
    client = cls.create(client_id, 18, bus.host, bus.port)
    client.activate()
    await until(lambda: client.connected)
    return client


async def test_events_come_in_the_loop(kind: str, bus: Bus) -> None:
    threads: set[threading.Thread] = set()
    before = set(threading.enumerate())

    class Here(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:
            threads.add(threading.current_thread())
            super().on_data(head, data)

    initialize(kind)
    receiver = await connected(bus, 2, Here)
    sender = await connected(bus, 1)
    for number in range(5000):
        sender.send_data(1, 3, -1, 2, 18, b"%d" % number)
    await until(lambda: len(receiver.record.events) == 5001)
    assert [event[1] for event in receiver.record.events[1:]] == [b"%d" % n for n in range(5000)]
    assert threads == {threading.current_thread()}
    assert set(threading.enumerate()) == before


async def test_handlers_may_send(kind: str, bus: Bus) -> None:
    class Echo(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:
            self.send_data(2, 3, head.src_unit_client_id - 2, 1, 18, data)

    initialize(kind)
    await connected(bus, 2, Echo)
    client = await connected(bus, 1)
    for number in range(10):
        client.send_data(1, 3, -1, 2, 18, b"%d" % number)
        await until(partial(client.record.has, number + 2))


async def test_other_threads_may_send(kind: str, bus: Bus) -> None:
    initialize(kind)
    receiver = await connected(bus, 2)
    sender = await connected(bus, 1)
    with ThreadPoolExecutor(1) as executor:
        await asyncio.get_running_loop().run_in_executor(
            executor, sender.send_data, 1, 3, -1, 2, 18, b"from a thread"
        )
    await until(lambda: len(receiver.record.events) == 2)


async def test_the_loop_gets_its_share(kind: str, bus: Bus) -> None:
    """While handlers are busy with a long backlog, other callbacks of the loop run."""
    turns = 0
    order: list[int] = []

    class Busy(Recorder):
        def on_data_batch(self, batch: list[tuple[bytes, bytes]]) -> None:
            assert batch
            order.append(turns)
            deadline = loop.time() + 0.01
            while loop.time() < deadline:
                pass

    def turn() -> None:
        nonlocal turns
        turns += 1
        handle[0] = loop.call_soon(turn)

    loop = asyncio.get_running_loop()
    initialize(kind)
    sender = await connected(bus, 1)
    for client_id in range(2, 14):
        await connected(bus, client_id, Busy)
    sender.send_data(1, 3, -1, -1, 18, b"for all")
    handle = [loop.call_soon(turn)]
    await until(lambda: len(order) == 12)
    handle[0].cancel()
    assert len(set(order)) > 5


async def test_packets_leave_together(bus: Bus) -> None:
    initialize("core")
    receiver = await connected(bus, 2)
    sender = await connected(bus, 1)
    frames = bus.stats().frames_in
    for _ in range(100):
        sender.send_data(1, 3, -1, 2, 18, b"x")
    assert bus.stats().frames_in == frames
    await until(lambda: len(receiver.record.events) == 101)


async def test_wait_connected_would_block_the_loop(kind: str, bus: Bus) -> None:
    initialize(kind)
    client = Client.create(1, 18, bus.host, bus.port)
    client.activate()
    with pytest.raises(RuntimeError, match="block"):
        client.wait_connected(DEADLINE)
    await until(lambda: client.connected)
    client.wait_connected(DEADLINE)


async def test_no_executor_beside_a_loop(bus: Bus) -> None:
    initialize("core")
    with ThreadPoolExecutor(1) as executor, pytest.raises(ArgumentError, match="event_executor"):
        Client.create(1, 18, bus.host, bus.port, event_executor=executor)


async def test_finalize_in_a_handler(kind: str, bus: Bus) -> None:
    class Impatient(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:
            super().on_data(head, data)
            Client.finalize()

    initialize(kind)
    client = await connected(bus, 1, Impatient)
    client.ping(0, 0, 1)
    await until(lambda: not client.connected)


async def test_finalize_sends_what_was_held_back(bus: Bus) -> None:
    initialize("core")
    client = await connected(bus, 1)
    frames = bus.stats().frames_in
    for _ in range(1000):
        client.send_data(1, 3, 0, 99, 2, b"x" * 1000)
    Client.finalize()
    await until(lambda: bus.stats().frames_in == frames + 1000)


async def test_finalize_from_another_thread(kind: str, bus: Bus) -> None:
    initialize(kind)
    client = await connected(bus, 1)
    with ThreadPoolExecutor(1) as executor:
        await asyncio.get_running_loop().run_in_executor(executor, Client.finalize)
    assert not client.connected


def test_initialize_before_the_loop_runs(kind: str, bus: Bus) -> None:
    async def main() -> None:
        client.activate()
        await until(lambda: client.connected)

    loop = asyncio.new_event_loop()
    Client.initialize(UNIT, library="core", abi=kind == "abi", loop=loop)
    client = Recorder.create(1, 18, bus.host, bus.port)
    loop.run_until_complete(main())
    Client.finalize()
    loop.close()
    assert client.record.events == [("connect",)]


def test_finalize_after_the_loop_was_closed(kind: str, bus: Bus) -> None:
    async def main() -> None:
        initialize(kind)
        await connected(bus, 1)

    asyncio.run(main())
    Client.finalize()
