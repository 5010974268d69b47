"""What a client can send, and what it refuses to."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from smartbus.bus import Bus
from smartbus.errors import (
    ArgumentError,
    ClientNotFoundError,
    CommandTypeError,
    NotConnectedError,
    NotInitializedError,
    OwnUnitError,
    TooLargeError,
    UnitIdError,
)
from smartbus.head import Head
from smartbus.net import Client
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Recorder, connected


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
        ((1, 3, -2, 0, 2, b""), ArgumentError, "dst_unit_id is -2"),
        # One number that may be -1 says nothing about the others.
        ((1, 3, -1, 261, -1, b""), ArgumentError, "dst_client_id is 261"),
        ((1, 3, -1, 5, 274, b""), ArgumentError, "dst_client_type is 274"),
        ((1, 3, 21, -1, 1 << 31, b""), ArgumentError, "dst_client_type is 2147483648"),
        ((1, 3, 21, -2, -1, b""), ArgumentError, "dst_client_id is -2"),
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


def test_any_and_the_largest_numbers_pass(net: str, bus: Bus) -> None:
    client = connected(bus)
    for address in [(-1, -1, -1), (0, 255, 255), (-1, 255, -1), (47, -1, 255)]:
        client.send_data(255, 255, *address, b"")


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
    with pytest.raises(ArgumentError, match="dst_unit_id"):
        client.ping(-2, 0, 1)


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
