"""The public class: life, state, errors, sending and receiving over a real bus."""

from __future__ import annotations

import gc
import json
import logging
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from smartbus.bus import Bus
from smartbus.errors import (
    AlreadyConnectedError,
    ArgumentError,
    ClientExistsError,
    ClientNotFoundError,
    ClientTypeError,
    CommandTypeError,
    ConnectFailedError,
    LibraryNotFoundError,
    NotConnectedError,
    NotInitializedError,
    OwnUnitError,
    PasswordError,
    SmartBusTimeoutError,
    TooLargeError,
    UnitIdError,
    UserError,
)
from smartbus.head import Head
from smartbus.net import Client
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Record, Recorder

ROOT = Path(__file__).parents[2]
LOGGER = "smartbus.netclient.client.Client"


def connected(bus: Bus, client_id: int = 1, client_type: int = 18, **more: Any) -> Recorder:
    client: Recorder = Recorder.create(client_id, client_type, bus.host, bus.port, **more)
    client.activate()
    client.wait_connected(DEADLINE)
    return client


# ---- initialize, finalize ----------------------------------------------------------------


def test_nothing_works_before_initialize() -> None:
    with pytest.raises(NotInitializedError, match="initialize"):
        Client.create(1, 18, "127.0.0.1", 1)
    assert Client.find(1) is None
    assert Client.find(1, "nobody") == "nobody"
    Client.finalize()


@pytest.mark.parametrize("unit", [-1, 0, 15, 48, 255])
def test_units_of_net_clients(unit: int) -> None:
    with pytest.raises(UnitIdError, match=f"{unit}"):
        Client.initialize(unit)


def test_initialize_again(net: str, bus: Bus) -> None:
    Client.initialize(UNIT, library="core", abi=net == "abi")
    client = connected(bus)
    assert client.unit_id == UNIT
    with pytest.raises(UnitIdError, match="release them or finalize"):
        Client.initialize(21, library="core", abi=net == "abi")
    with pytest.raises(ArgumentError, match="finalize"):
        Client.initialize(UNIT, library="core", abi=net != "abi")
    client.release()
    if net == "abi":  # its connection is still there, under the old name
        with pytest.raises(UnitIdError, match="still holds connections as unit 20"):
            Client.initialize(21, library="core", abi=True)
        return
    Client.initialize(21, library="core")
    client = connected(bus)
    assert client.unit_id == 21
    assert [(c.unit_id, c.client_id) for c in bus.clients()] == [(21, 1)]


def test_finalize_and_initialize(kind: str, bus: Bus) -> None:
    for unit in (20, 21, 20):
        Client.initialize(unit, library="core", abi=kind == "abi")
        client = connected(bus)
        Client.finalize()
        assert not client.connected
        with pytest.raises(ClientNotFoundError, match="released"):
            client.send_data(1, 3, 0, 0, 2, b"")
        with pytest.raises(ClientNotFoundError):
            client.ping(0, 0, 2)
        client.release()
        Client.finalize()


def test_lib_path_and_library_are_the_same_thing() -> None:
    with pytest.raises(ArgumentError, match="lib_path"):
        Client.initialize(UNIT, lib_path="core", library="vendor")
    Client.initialize(UNIT, lib_path="core", library="core")
    Client.finalize()


def test_a_missing_library_is_told() -> None:
    with pytest.raises(LibraryNotFoundError, match="no-such-library"):
        Client.initialize(UNIT, None, "/no-such-library.so")
    assert Client.find(1) is None


def test_finalize_in_a_handler(net: str, bus: Bus) -> None:
    done = threading.Event()

    class Impatient(Recorder):
        def on_connect(self) -> None:
            Client.finalize()
            done.set()

    client = Impatient.create(1, 18, bus.host, bus.port)
    client.activate()
    assert done.wait(DEADLINE)
    assert not client.connected


# ---- one client's life -------------------------------------------------------------------


def test_properties(net: str) -> None:
    client = Client.create(
        7, 18, "bus.example", 8089, "", 0xFFFF, "user", "secret", "info", encoding="gbk"
    )
    assert (client.unit_id, client.client_id, client.client_type) == (UNIT, 7, 18)
    assert (client.master_ip, client.master_port) == ("bus.example", 8089)
    assert (client.slave_ip, client.slave_port) == (None, None)
    assert (client.user, client.password, client.info) == ("user", "secret", "info")
    assert (client.encoding, client.event_executor) == ("gbk", None)
    assert client.connected is False
    assert "secret" not in repr(client)
    assert "not connected" in repr(client)
    assert Client.find(7) is client


def test_slave_properties(net: str) -> None:
    client = Client.create(7, 18, "127.0.0.1", 1, "127.0.0.2", 2)
    assert (client.slave_ip, client.slave_port) == ("127.0.0.2", 2)


def test_connect_and_release(net: str, bus: Bus) -> None:
    client = connected(bus, info="消息")
    assert client.connected
    assert client.record.events == [("connect",)]
    (there,) = bus.clients()
    assert (there.unit_id, there.client_id, there.client_type) == (UNIT, 1, 18)
    assert there.info == "消息"
    client.release()
    client.release()
    assert Client.find(1) is None
    assert "released" in repr(client)
    assert client.record.events == [("connect",)]
    if net == "abi":  # as the vendor's, it forgets no client
        again = Client.create(1, 18, bus.host, bus.port)
        with pytest.raises(ClientExistsError, match="never forgets"):
            again.activate()
        return
    deadline = time.monotonic() + DEADLINE
    while bus.clients() and time.monotonic() < deadline:
        pass
    assert bus.clients() == []
    assert connected(bus).connected


def test_context_manager(net: str, bus: Bus) -> None:
    with Recorder.create(1, 18, bus.host, bus.port) as client:
        client.wait_connected(DEADLINE)
    assert Client.find(1) is None
    with pytest.raises(ClientNotFoundError):
        client.activate()


def test_one_object_for_one_id(net: str) -> None:
    client = Client.create(1, 18, "127.0.0.1", 1)
    with pytest.raises(ClientExistsError, match="client id 1"):
        Client.create(1, 18, "127.0.0.1", 1)
    client.release()
    Client.create(1, 18, "127.0.0.1", 1)


def test_activate_twice(net: str, bus: Bus) -> None:
    client = connected(bus)
    with pytest.raises(AlreadyConnectedError):
        client.activate()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1, 1, "127.0.0.1", 1), ClientTypeError),
        ((1, 18, "127.0.0.1", 0), ArgumentError),
        ((1, 18, "127.0.0.1", 65535), ArgumentError),
        ((1, 18, "127.0.0.1", 1, None, None, "u" * 64), ArgumentError),
        ((1, 18, "127.0.0.1", 1, None, None, "u", "p" * 128), ArgumentError),
        ((1, 18, "127.0.0.1", 1, None, None, "u\0", "p"), ArgumentError),
        ((1, 18, "127.0.0.1", 1, None, None, "\udc80", "p"), ArgumentError),
        ((1, 18, "no-such-host.invalid", 1), ConnectFailedError),
        ((1, 18, "256.1.1.1", 1), ConnectFailedError),
        ((1, 18, "::1", 1), ConnectFailedError),
    ],
)
def test_bad_connections(net: str, arguments: Any, error: type[Exception]) -> None:
    client = Client.create(*arguments)
    with pytest.raises(error):
        client.activate()


@pytest.mark.parametrize("client_id", [-1, 256, "1", 1.0])
def test_bad_ids(net: str, client_id: Any) -> None:
    with pytest.raises((ArgumentError, TypeError), match="client_id"):
        Client.create(client_id, 18, "127.0.0.1", 1)


def test_a_host_name_is_resolved(net: str, bus: Bus) -> None:
    with Client.create(1, 18, "localhost", bus.port) as client:
        client.wait_connected(DEADLINE)


def test_no_server(net: str) -> None:
    with Bus() as bus:
        host, port = bus.host, bus.port
    client: Recorder = Recorder.create(1, 18, host, port)
    client.activate()
    client.record.expect("connect_fail", -20)
    with pytest.raises(SmartBusTimeoutError, match=f"{port}.*CONNECT_FAILED"):
        client.wait_connected(0.01)
    with pytest.raises(NotConnectedError, match=f"not connected to {host}:{port}"):
        client.send_data(1, 3, 0, 0, 2, b"")
    with Bus(host, port):
        client.wait_connected(DEADLINE)
    client.record.expect("disconnect")
    with Bus(host, port):
        client.wait_connected(DEADLINE)
        client.record.wait(lambda events: events.count(("connect",)) == 2)
    assert client.record.events[:2] == [("connect_fail", -20), ("connect",)]


def test_wait_connected_before_activate_and_after_release(net: str, bus: Bus) -> None:
    client = Client.create(1, 18, bus.host, bus.port)
    with pytest.raises(NotConnectedError, match="not activated"):
        client.wait_connected(DEADLINE)
    client.release()
    with pytest.raises(ClientNotFoundError):
        client.wait_connected(DEADLINE)


def test_release_ends_wait_connected(net: str) -> None:
    with Bus() as bus:
        port = bus.port
    client: Recorder = Recorder.create(1, 18, "127.0.0.1", port)
    client.activate()
    with ThreadPoolExecutor(1) as executor:
        waiting: Future[None] = executor.submit(client.wait_connected)
        client.record.expect("connect_fail")
        client.release()
        with pytest.raises(ClientNotFoundError):
            waiting.result(DEADLINE)


def test_a_refusal_is_final_until_activated_again(net: str) -> None:
    codes = [-5, -6, 0]
    with Bus(users=lambda _: codes[0]) as bus:
        client: Recorder = Recorder.create(1, 18, bus.host, bus.port, user="u", password="p")
        client.activate()
        with pytest.raises(UserError, match="refused client 1: user refused"):
            client.wait_connected(DEADLINE)
        client.record.expect("connect_fail", -5)
        with pytest.raises(NotConnectedError):
            client.send_data(1, 3, 0, 0, 2, b"")
        codes.pop(0)
        if net == "abi":  # the vendor's interface has no second chance (NET.md 9.4)
            with pytest.raises(ClientExistsError):
                client.activate()
            return
        client.activate()
        with pytest.raises(PasswordError):
            client.wait_connected(DEADLINE)
        codes.pop(0)
        client.activate()
        client.wait_connected(DEADLINE)


# ---- sending -----------------------------------------------------------------------------


def test_data_of_all_sorts(net: str, bus: Bus) -> None:
    receiver = connected(bus, 2)
    sender = connected(bus, 1, encoding="gbk")
    sent: list[Any] = [
        b"",
        b"bytes\0with\xffall",
        bytearray(b"bytearray"),
        memoryview(b"memoryview"),
        "文本",
        None,
        b"x" * 1_000_000,
    ]
    for data in sent:
        sender.send_data(5, 3, -1, 2, 18, data)
    receiver.record.wait(lambda events: len(events) == 1 + len(sent))
    got = [event[1] for event in receiver.record.events[1:]]
    expected = [
        b"",
        b"bytes\0with\xffall",
        b"bytearray",
        b"memoryview",
        "文本".encode("gbk"),
        b"",
        b"x" * 1_000_000,
    ]
    assert got == expected
    head: Head = receiver.record.events[2][2]
    assert (head.cmd, head.cmd_type) == (5, 3)
    assert (head.src_unit_id, head.src_unit_client_id, head.src_unit_client_type) == (UNIT, 1, 18)
    assert (head.dst_unit_client_id, head.dst_unit_client_type) == (2, 18)
    assert head.data_length == len(expected[1])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((1, 3, UNIT, 0, 2, b""), OwnUnitError, "own unit"),
        ((1, 3, 48, 0, 2, b""), UnitIdError, "unit 48"),
        ((1, 0, 0, 0, 2, b""), CommandTypeError, "cmd_type 0"),
        ((256, 3, 0, 0, 2, b""), ArgumentError, "cmd is 256"),
        ((-1, 3, 0, 0, 2, b""), ArgumentError, "cmd is -1"),
        ((1, 300, 0, 0, 2, b""), ArgumentError, "cmd_type is 300"),
        ((1, 3, 0, 256, 2, b""), ArgumentError, "dst_client_id is 256"),
        ((1, 3, 0, -2, 2, b""), ArgumentError, "dst_client_id is -2"),
        ((1, 3, 0, 0, 999, b""), ArgumentError, "dst_client_type is 999"),
        ((1, 3, 1 << 40, 0, 2, b""), ArgumentError, "dst_unit_id"),
        (("1", 3, 0, 0, 2, b""), TypeError, "cmd must be int, not str"),
        ((1, None, 0, 0, 2, b""), TypeError, "cmd_type must be int"),
        ((1, 3, 0.5, 0, 2, b""), TypeError, "dst_unit_id must be int"),
        ((1, 3, 0, "0", 2, b""), TypeError, "dst_client_id must be int"),
        ((1, 3, 0, 0, b"2", b""), TypeError, "dst_client_type must be int"),
        ((1, 3, 0, 0, 2, 5), TypeError, "bytes-like"),
        ((1, 3, 0, 0, 2, [1]), TypeError, "bytes-like"),
    ],
)
def test_bad_send_data(
    net: str, bus: Bus, arguments: Any, error: type[Exception], match: str
) -> None:
    client = connected(bus)
    with pytest.raises(error, match=match):
        client.send_data(*arguments)


def test_too_much_data(net: str, bus: Bus) -> None:
    client = connected(bus)
    with pytest.raises(TooLargeError, match="268435456"):
        client.send_data(1, 3, 0, 0, 2, bytes(0x10000000))


def test_an_error_names_the_call(net: str) -> None:
    client = Client.create(9, 18, "127.0.0.1", 1)
    with pytest.raises(ClientNotFoundError) as caught:
        client.send_data(1, 211, 3, 4, 2, b"12345")
    assert str(caught.value) == (
        "SMARTBUS_ERR_CLIENT_NOT_FOUND (-9): client 9: send_data(cmd 1, cmd_type 211, to unit 3, "
        "client 4, type 2, 5 bytes): the client was not activated"
    )


def test_ping_of_the_server(net: str, bus: Bus) -> None:
    client = connected(bus)
    client.ping(0, 0, 1, "hello")
    _, data, head = client.record.expect("data")
    assert data == b"hello"
    assert (head.cmd_type, head.cmd, head.src_unit_id) == (1, 8, 0)
    client.ping(0, 0, 1)
    client.record.expect("data", b"")
    with pytest.raises(ArgumentError, match="dst_client_type"):
        client.ping(0, 0, 256)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((16, 0, "p", "f", 0, 1, []), UnitIdError, "launch_flow"),
        ((0, 0, "p" * 32, "f", 0, 1, []), ArgumentError, "project_id has 32 bytes"),
        ((0, 0, "p", "流" * 16, 0, 1, []), ArgumentError, "flow_id has 32 bytes"),
        ((0, 0, "p\0", "f", 0, 1, []), ArgumentError, "NUL"),
        ((0, 0, 1, "f", 0, 1, []), TypeError, "project_id"),
        ((0, 0, "p", "f", 256, 1, []), ArgumentError, "mode"),
        ((0, 0, "p", "f", 0, -1, []), ArgumentError, "timeout"),
        ((0, 0, "p", "f", 0, float("nan"), []), ArgumentError, "timeout"),
        ((0, 0, "p", "f", 0, 1e9, []), ArgumentError, "timeout"),
        ((0, 0, "p", "f", 0, 1, "text"), TypeError, "params must be a list"),
        ((0, 0, "p", "f", 0, 1, {"a": 1}), TypeError, "params must be a list"),
        ((0, 0, "p", "f", 0, 1, [object()]), TypeError, "object"),
        ((0, 0, "p", "f", 0, 1, ["x" * 20000]), TooLargeError, "too large"),
    ],
)
def test_bad_launch_flow(
    net: str, bus: Bus, arguments: Any, error: type[Exception], match: str
) -> None:
    client = connected(bus)
    with pytest.raises(error, match=match):
        client.launch_flow(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((16, 0, "p", "t", 0, 1, "x"), UnitIdError, "notify"),
        ((0, 0, "p", "", 0, 1, "x"), ArgumentError, "empty"),
        ((0, 0, "p", "t", 0, 1, ""), ArgumentError, "empty"),
        ((0, 0, "p", "t" * 102, 0, 1, "x"), ArgumentError, "title has 102 bytes"),
        ((0, 0, "p", "t", 0, 1, "x" * 16000), TooLargeError, "too large"),
        ((0, 0, "p", "t", 0, 1, "x\0"), ArgumentError, "NUL"),
        ((0, 0, "p", None, 0, 1, "x"), TypeError, "title"),
    ],
)
def test_bad_notify(net: str, bus: Bus, arguments: Any, error: type[Exception], match: str) -> None:
    client = connected(bus)
    with pytest.raises(error, match=match):
        client.notify(*arguments)


def test_notify_many(net: str, bus: Bus) -> None:
    client = connected(bus)
    assert list(client.notify_many([], 1)) == []
    results = list(
        client.notify_many(
            [
                (0, 0, b"1", b"text"),
                (0, 0, "2", "文本"),
                (16, 0, b"3", b"text"),
                (0, 0, b"", b"text"),
                (0, 0, b"5" * 102, b"text"),
                (0, 0, b"6" * 70000, b"text"),
                (0, 0, b"7", b"x" * 16000),
                (0, 0, b"8", b"last"),
            ],
            0.5,
        )
    )
    good = [results[0], results[1], results[7]]
    assert all(result > 0 for result in good)
    assert good == sorted(set(good))
    assert results[2:7] == [-12, -1, -1, -1, -15]
    with pytest.raises(TypeError, match="title"):
        client.notify_many([(0, 0, 1, b"text")], 1)  # type: ignore[list-item]
    client.release()
    with pytest.raises(ClientNotFoundError):
        client.notify_many([], 1)


def test_sending_from_many_threads(net: str, bus: Bus) -> None:
    receiver = connected(bus, 2)
    sender = connected(bus, 1)

    def send(thread: int) -> None:
        for number in range(500):
            sender.send_data(1, 3, -1, 2, 18, b"%d %d" % (thread, number))

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(send, range(4)))
    receiver.record.wait(lambda events: len(events) == 1 + 4 * 500)
    got = [event[1].split() for event in receiver.record.events[1:]]
    for thread in range(4):
        mine = [int(number) for who, number in got if int(who) == thread]
        assert mine == list(range(500))


def test_release_while_others_send(net: str, bus: Bus) -> None:
    """Closing under way of calls in other threads ends in errors, not in a crash."""
    gone = (ClientNotFoundError, NotConnectedError, NotInitializedError)
    for _ in range(20):
        client = connected(bus)
        started = threading.Barrier(3)

        def send(client: Recorder = client, started: threading.Barrier = started) -> None:
            started.wait(DEADLINE)
            while True:
                client.send_data(1, 3, 0, 99, 2, b"data")

        with ThreadPoolExecutor(2) as executor:
            running = [executor.submit(send) for _ in range(2)]
            started.wait(DEADLINE)
            Client.finalize()
            for result in running:
                error = result.exception(DEADLINE)
                assert isinstance(error, gone), error
        Client.initialize(UNIT, library="core", abi=net == "abi")
        gc.collect()


# ---- handlers ----------------------------------------------------------------------------


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


# ---- processes ---------------------------------------------------------------------------


def run_python(code: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE * 2,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    result["stderr"] = done.stderr
    return result


FORK = """
import json, os, sys, warnings
from smartbus.errors import NotInitializedError, SmartBusError
from smartbus.net import Client
host, port, abi = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "abi"
warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads
Client.initialize(20, library="core", abi=abi)
client = Client.create(1, 18, host, port)
client.activate()
client.wait_connected(20)
read, write = os.pipe()
child = os.fork()
if child == 0:
    told = []
    for call in (
        lambda: client.send_data(1, 3, 0, 0, 2, b""),
        lambda: Client.create(2, 18, host, port),
    ):
        try:
            call()
            told.append("went through")
        except SmartBusError as error:
            told.append(error.name)
    told.append(Client.find(1) is None)
    if not abi:
        Client.initialize(21, library="core")
        other = Client.create(1, 18, host, port)
        other.activate()
        other.wait_connected(20)
        told.append(other.connected)
        Client.finalize()
    os.write(write, json.dumps(told).encode())
    os._exit(0)
os.waitpid(child, 0)
client.ping(0, 0, 1)
told = json.loads(os.read(read, 1000))
print(json.dumps({"child": told, "parent": client.connected}))
client.release()
Client.finalize()
"""


def test_a_forked_child_leaves_the_parents_library_alone(kind: str, bus: Bus) -> None:
    result = run_python(FORK, bus.host, str(bus.port), kind)
    errors = ["SMARTBUS_ERR_CLIENT_NOT_FOUND", "SMARTBUS_ERR_NOT_INITIALIZED"]
    assert result["child"] == [*errors, True, *([True] if kind == "core" else [])]
    assert result["parent"] is True


LEAK = """
import json, sys
from smartbus.net import Client
Client.initialize(20, library="core")
client = Client.create(1, 18, sys.argv[1], int(sys.argv[2]))
client.activate()
client.wait_connected(20)
print(json.dumps({"connected": client.connected}))
"""


def test_a_process_that_forgets_to_finalize_ends_and_is_told(bus: Bus) -> None:
    result = run_python(LEAK, bus.host, str(bus.port))
    assert result["connected"] is True
    assert "NET client(s) 1 were not released" in result["stderr"]
