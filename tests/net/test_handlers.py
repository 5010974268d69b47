"""Who calls the handlers, when, and what they may do."""

from __future__ import annotations

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from smartbus.bus import Bus
from smartbus.head import Head
from smartbus.net import Client
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Record, Recorder, connected

LOGGER = "smartbus.netclient.client.Client"


def test_handlers_may_send_and_run_in_one_thread(net: str, bus: Bus) -> None:
    threads: set[str] = set()

    class Echo(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:
            threads.add(threading.current_thread().name)
            self.send_data(2, 3, head.src_unit_client_id - 2, 1, 18, data.upper())

    echo = Echo.create(2, 18, bus.host, bus.port)
    echo.activate()
    echo.wait_connected(DEADLINE)
    client = connected(bus, 1)
    for number in range(10):
        client.send_data(1, 3, -1, 2, 18, b"call %d" % number)
    client.record.wait(lambda events: len(events) == 11)
    assert [event[1] for event in client.record.events[1:]] == [b"CALL %d" % n for n in range(10)]
    assert threads == {"smartbus-net"}


def test_a_raising_handler_is_logged_and_stops_nothing(
    net: str, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    class Clumsy(Recorder):
        def on_connect(self) -> None:
            super().on_connect()
            raise RuntimeError("in on_connect")

        def on_data(self, head: Head, data: bytes) -> None:
            super().on_data(head, data)
            if data == b"exit":
                sys.exit(1)
            raise ValueError("in on_data")

    clumsy = Clumsy.create(2, 18, bus.host, bus.port)
    clumsy.activate()
    clumsy.wait_connected(DEADLINE)
    client = connected(bus, 1)
    for data in (b"one", b"exit", b"two"):
        client.send_data(1, 3, -1, 2, 18, data)
    clumsy.record.wait(lambda events: len(events) == 4)
    client.ping(0, 0, 1)
    client.record.expect("data")
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert {record.name for record in errors} == {LOGGER}
    assert [record.exc_info and record.exc_info[0] for record in errors] == [
        RuntimeError,
        ValueError,
        SystemExit,
        ValueError,
    ]


def test_event_executor(net: str, bus: Bus) -> None:
    threads: set[str] = set()

    class Pooled(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:
            threads.add(threading.current_thread().name)
            super().on_data(head, data)

    with ThreadPoolExecutor(1, thread_name_prefix="mine") as executor:
        pooled = Pooled.create(2, 18, bus.host, bus.port, event_executor=executor)
        assert pooled.event_executor is executor
        pooled.activate()
        pooled.wait_connected(DEADLINE)
        client = connected(bus, 1)
        for number in range(100):
            client.send_data(1, 3, -1, 2, 18, b"%d" % number)
        pooled.record.wait(lambda events: len(events) == 101)
        assert [event[1] for event in pooled.record.events[1:]] == [b"%d" % n for n in range(100)]
        assert {name.partition("_")[0] for name in threads} == {"mine"}
        pooled.release()


def test_an_executor_that_was_shut_down_stops_nothing(
    net: str, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    lost = Recorder.create(2, 18, bus.host, bus.port, event_executor=executor)
    lost.activate()
    lost.wait_connected(DEADLINE)
    client = connected(bus, 1)
    client.ping(0, 0, 1)
    client.record.expect("data")
    assert any("lost" in record.getMessage() for record in caplog.records)
    assert lost.record.events == []


def test_wait_connected_in_a_handler_does_not_hang(net: str, bus: Bus) -> None:
    caught: list[BaseException] = []

    class Waiting(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:
            other = Client.create(3, 18, bus.host, bus.port)
            other.activate()
            try:
                other.wait_connected(DEADLINE)
            except RuntimeError as error:
                caught.append(error)
            super().on_data(head, data)

    client = Waiting.create(1, 18, bus.host, bus.port)
    client.activate()
    client.wait_connected(DEADLINE)
    client.ping(0, 0, 1)
    client.record.expect("data")
    assert len(caught) == 1


def test_on_data_batch(net: str, bus: Bus) -> None:
    record = Record()

    class Batching(Client):
        def on_data_batch(self, batch: list[tuple[bytes, bytes]]) -> None:
            for head, data in batch:
                assert len(head) == 20
                record.add(data)

    batching = Batching.create(2, 18, bus.host, bus.port)
    batching.activate()
    batching.wait_connected(DEADLINE)
    client = connected(bus, 1)
    for number in range(1000):
        client.send_data(1, 3, -1, 2, 18, b"%d" % number)
    record.wait(lambda events: len(events) == 1000)
    assert record.events == [(b"%d" % number,) for number in range(1000)]


def test_slow_handlers_hold_the_sender_back_and_lose_nothing(net: str, bus: Bus) -> None:
    """More than any inbox holds arrives while a handler blocks; then all of it is delivered."""
    go_on = threading.Event()
    record = Record()
    total = 70_000

    class Slow(Client):
        seen = 0

        def on_data_batch(self, batch: list[tuple[bytes, bytes]]) -> None:
            go_on.wait(DEADLINE)
            for _, data in batch:
                assert data == b"%d" % self.seen
                self.seen += 1
            if self.seen == total:
                record.add("all")

    slow = Slow.create(2, 18, bus.host, bus.port)
    slow.activate()
    slow.wait_connected(DEADLINE)
    client = connected(bus, 1)
    for number in range(total):
        client.send_data(1, 3, -1, 2, 18, b"%d" % number)
    go_on.set()
    record.expect("all")


def test_global_connect_callback(kind: str, bus: Bus) -> None:
    record = Record()
    Client.initialize(UNIT, record.add, library="core", abi=kind == "abi")
    first = connected(bus, 1, 200, info="eins")
    second = connected(bus, 255, 18, info="zwei")
    record.wait(lambda events: len(events) == 2)
    if kind == "core":
        second.release()
    else:
        bus.kick(UNIT, 255)  # its connection would outlive release()
    record.wait(lambda events: len(events) >= 3)
    assert first.connected
    assert sorted(record.events[:2]) == [
        (UNIT, 1, 200, 0, 2, "eins"),
        (UNIT, 255, 18, 0, 1, "zwei"),
    ]
    assert record.events[2][:5] == (UNIT, 255, 18, 0, 0)


def test_a_raising_global_callback_stops_nothing(
    kind: str, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    called = threading.Event()

    def callback(*args: Any) -> None:
        called.set()
        raise ValueError(args)

    Client.initialize(UNIT, callback, library="core", abi=kind == "abi")
    first = connected(bus, 1)
    connected(bus, 2)
    assert called.wait(DEADLINE)
    first.ping(0, 0, 1)
    first.record.expect("data")
    assert "global_connect_callback raised" in caplog.text


def test_log_records_go_where_old_settings_expect_them(
    net: str, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    client = connected(bus)
    bus.kick(UNIT, 1)
    client.record.expect("disconnect")
    ours = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert f"client 1 connected to {bus.address}" in ours
    assert f"client 1 lost its connection to {bus.address}" in ours
    assert Recorder.get_logger().name == "tests.net.recorder.Recorder"
