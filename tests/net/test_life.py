"""Making, connecting, refusing and releasing one client."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from smartbus.bus import Bus
from smartbus.errors import (
    AlreadyConnectedError,
    ArgumentError,
    ClientExistsError,
    ClientNotFoundError,
    ClientTypeError,
    ConnectFailedError,
    NotConnectedError,
    PasswordError,
    SmartBusTimeoutError,
    UserError,
)
from smartbus.net import Client
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Recorder, connected


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
    with pytest.raises(ClientNotFoundError), client:
        pass


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


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"event_executor": 5}, TypeError, "event_executor must be an Executor, not int"),
        ({"encoding": "klingon"}, LookupError, "klingon"),
        ({"encoding": None}, TypeError, "None"),
    ],
)
def test_what_handles_events_is_checked(
    net: str, arguments: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        Client.create(1, 18, "127.0.0.1", 1, **arguments)
    assert Client.find(1) is None


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
