"""Making, connecting, refusing and destroying the one client."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from smartbus.bus import Bus, PasswordFile
from smartbus.errors import (
    AlreadyConnectedError,
    ArgumentError,
    ClientExistsError,
    ClientNotFoundError,
    ClientTypeError,
    LibraryNotFoundError,
    NotConnectedError,
    NotInitializedError,
    OtherError,
    PasswordError,
    SmartBusTimeoutError,
    UserError,
)
from smartbus.ipc import Client
from smartbus.net import Client as NetClient
from smartbus.net.pumps import STOP_PATIENCE
from tests.ipc_client.kinds import Kind, arguments, is_vendor
from tests.ipc_client.recorder import Recorder, connected
from tests.net.recorder import DEADLINE
from tests.net.recorder import Recorder as NetRecorder


def test_properties(path: str, kind: Kind) -> None:
    client = Client.create(7, 18, "user", "secret", "info", encoding="gbk", **kind)
    assert (client.client_id, client.client_type, client.unit_id) == (7, 18, None)
    assert (client.user, client.password, client.info) == ("user", "secret", "info")
    assert (client.encoding, client.event_executor, client.connected) == ("gbk", None, False)
    assert "secret" not in repr(client)
    assert path in repr(client)
    assert "not connected" in repr(client)


def test_connect_and_destroy(kind: Kind, bus: Bus) -> None:
    client = connected(info="消息", **kind)
    assert client.connected
    assert client.unit_id == 3
    (there,) = bus.clients()
    assert (there.unit_id, there.client_id, there.client_type) == (3, 5, 18)
    assert (there.info, there.local) == ("消息", True)
    Recorder.destroy()
    Recorder.destroy()
    client.dispose()
    assert "released" in repr(client)
    assert client.record.events == [("connect",)]
    deadline = time.monotonic() + DEADLINE
    while bus.clients():
        assert time.monotonic() < deadline
    with pytest.raises(ClientNotFoundError, match="released"):
        client.activate()
    with pytest.raises(ClientNotFoundError, match="released"):
        client.send_data(1, 3, 0, 0, 2, b"")
    with pytest.raises(ClientNotFoundError, match="released"):
        client.ping(0, 0, 2)


def test_there_is_one(path: str, kind: Kind) -> None:
    with pytest.raises(NotInitializedError, match="create"):
        Client.get()
    with pytest.raises(NotInitializedError):
        Client.instance()
    client = Recorder.get_or_create(1, 18, **kind)
    assert Recorder.get() is Recorder.instance() is Client.get() is client
    assert Recorder.get_or_create(2, 19) is client
    with pytest.raises(ClientExistsError, match="destroy"):
        Recorder.create(2, 18, **kind)
    with pytest.raises(ClientExistsError):
        Client(2, 18, **kind)

    class Other(Client):
        pass

    with pytest.raises(TypeError, match="Recorder, no Other"):
        Other.get()
    Other.destroy()
    other = Other.get_or_create(2, 18, **kind)
    assert Other.get() is other
    client.dispose()  # changes nothing for its successor
    assert Other.get() is other


def test_recreate_with_any_library(bus: Bus) -> None:
    for number, name in enumerate(("abi", "abi", "core", "abi", "core", "core")):
        kind = arguments(name, Path())
        client = connected(10 + number, 20 + number, **kind)
        client.ping(3, 0, 1, b"%d" % number)
        client.record.expect("data", b"%d" % number)
        (there,) = (c for c in bus.clients() if c.client_id == 10 + number)
        assert there.client_type == 20 + number
        Client.destroy()


def test_context_manager(kind: Kind, bus: Bus) -> None:
    with Recorder.create(1, 18, **kind) as client:
        client.wait_connected(DEADLINE)
    with pytest.raises(NotInitializedError):
        Client.get()


def test_activate_twice(kind: Kind, bus: Bus) -> None:
    client = connected(**kind)
    with pytest.raises(AlreadyConnectedError):
        client.activate()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1, 1), ClientTypeError),
        ((-1, 18), ArgumentError),
        ((256, 18), ArgumentError),
        (("1", 18), TypeError),
        ((1, 18.0), TypeError),
    ],
)
def test_bad_clients(kind: Kind, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Client.create(*arguments, **kind)
    with pytest.raises(NotInitializedError):
        Client.get()


@pytest.mark.parametrize(
    "credentials", [("u" * 64,), ("u", "p" * 128), ("u\0", "p"), ("\udc80", "p")]
)
def test_bad_credentials(bus: Bus, kind: Kind, credentials: Any) -> None:
    client = Client.create(1, 18, *credentials, **kind)
    with pytest.raises(ArgumentError):
        client.activate()


def test_a_bad_socket_name(monkeypatch: pytest.MonkeyPatch, kind: Kind) -> None:
    monkeypatch.setenv("SMARTBUS_IPC_SOCKET", "x" * 200)
    client = Client.create(1, 18, **kind)
    with pytest.raises(ArgumentError, match="xxx"):
        client.activate()


def test_the_library_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = tmp_path / "bad.so"
    bad.write_text("nonsense")
    with pytest.raises(LibraryNotFoundError, match=r"lib_path .*bad\.so"):
        Client.create(1, 18, lib_path=str(bad))
    with pytest.raises(LibraryNotFoundError, match=r"directory without libbusipccli\.so"):
        Client.create(1, 18, library=str(tmp_path))
    monkeypatch.setenv("SMARTBUS_IPCCLI_LIB", str(bad))
    with pytest.raises(LibraryNotFoundError, match=r"environment .*bad\.so"):
        Client.create(1, 18)
    with pytest.raises(ArgumentError, match="lib_path"):
        Client.create(1, 18, lib_path="core", library="vendor")
    monkeypatch.setenv("SMARTBUS_IPCCLI_LIB", "core")
    Client.create(1, 18)


def test_reconnect_after_a_restart(kind: Kind, path: str) -> None:
    client = Recorder.create(5, 18, **kind)
    client.activate()
    client.record.expect("connect_fail", -20)
    with pytest.raises(SmartBusTimeoutError, match=f"{path}.*CONNECT_FAILED"):
        client.wait_connected(0.01)
    with pytest.raises(NotConnectedError, match=f"not connected to {path}"):
        client.send_data(1, 3, 0, 0, 2, b"")
    with Bus(unit_id=3, ipc_path=path):
        client.wait_connected(DEADLINE)
        assert client.unit_id == 3
    client.record.expect("disconnect")
    with Bus(unit_id=4, ipc_path=path):
        client.wait_connected(DEADLINE)
        assert client.unit_id == 4
        client.ping(4, 0, 1, b"again")
        client.record.expect("data", b"again")
    assert client.record.events[:3] == [("connect_fail", -20), ("connect",), ("disconnect",)]


def test_destroy_without_a_server(kind: Kind, path: str) -> None:
    for number in range(2):
        if number == 1 and is_vendor(kind):  # the vendor's would crash if it were released
            with pytest.raises(OtherError, match="still looks for the server"):
                Client.create(5, 18, **kind)
            break
        client = Recorder.create(5, 18, **kind)
        client.activate()
        with ThreadPoolExecutor(1) as executor:
            waiting: Future[None] = executor.submit(client.wait_connected)
            client.record.expect("connect_fail", -20)
            Client.destroy()
            with pytest.raises(ClientNotFoundError):
                waiting.result(DEADLINE)


def test_wait_connected_without_activate(kind: Kind, path: str) -> None:
    client = Client.create(5, 18, **kind)
    with pytest.raises(NotConnectedError, match="not activated"):
        client.wait_connected(DEADLINE)
    with pytest.raises(NotConnectedError):
        client.send_data(1, 3, 0, 0, 2, b"")


def test_refused_by_a_password_file(kind: Kind, path: str, tmp_path: Path) -> None:
    users = tmp_path / "users"
    PasswordFile.add(users, "anna", "geheim")
    with Bus(users=users, ipc_path=path) as bus:
        for user, password, error in (
            ("otto", "geheim", UserError),
            ("anna", "falsch", PasswordError),
        ):
            client = Recorder.create(5, 18, user, password, **kind)
            client.activate()
            with pytest.raises(error, match=f"{path} refused client 5"):
                client.wait_connected(DEADLINE)
            client.record.expect("connect_fail")
            Client.destroy()
        client = connected(user="anna", password="geheim", **kind)
        assert client.connected
        assert len(bus.clients()) == 1


def test_a_refusal_is_final_until_activated_again(kind: Kind, path: str) -> None:
    codes = [-10, -6, 0]
    with Bus(users=lambda _: codes[0], ipc_path=path):
        client = Recorder.create(5, 18, **kind)
        client.activate()
        with pytest.raises(AlreadyConnectedError, match="refused"):  # final here, unlike NET
            client.wait_connected(DEADLINE)
        for error in (PasswordError, None):
            codes.pop(0)
            client.activate()
            if error is not None:
                with pytest.raises(error):
                    client.wait_connected(DEADLINE)
        client.wait_connected(DEADLINE)


def test_destroy_in_a_handler(kind: Kind, bus: Bus) -> None:
    done = threading.Event()

    class Impatient(Recorder):
        def on_connect(self) -> None:
            Client.destroy()
            done.set()

    client = Impatient.create(5, 18, **kind)
    client.activate()
    assert done.wait(DEADLINE)
    assert not client.connected
    assert connected(6, **kind).connected


def test_packets_leave_before_the_end(kind: Kind, bus: Bus) -> None:
    """More than a socket takes at once, sent by one who then goes."""
    NetClient.initialize(20, library="core")
    hearer = NetRecorder.create(1, 30, bus.host, bus.port)
    hearer.activate()
    hearer.wait_connected(DEADLINE)
    client = connected(**kind)
    count = 100 if "abi" in kind and not kind["abi"] else 1  # the vendor's leaves the rest
    for number in range(count):
        client.send_data(1, 3, 20, 1, 30, b"%d" % number * 10_000)
    client.dispose()
    hearer.record.wait(lambda events: sum(e[0] == "data" for e in events) == count)


async def test_packets_leave_before_the_end_in_a_loop(bus: Bus) -> None:
    loop = asyncio.get_running_loop()
    NetClient.initialize(20, library="core")  # in a thread of its own
    hearer = NetRecorder.create(1, 30, bus.host, bus.port)
    hearer.activate()
    hearer.wait_connected(DEADLINE)
    up = asyncio.Event()

    class Here(Client):
        def on_connect(self) -> None:
            up.set()

    client = Here.create(5, 18, loop=loop, library="core")
    client.activate()
    await asyncio.wait_for(up.wait(), DEADLINE)
    for _ in range(100):
        client.send_data(1, 3, 20, 1, 30, b"x" * 20_000)
    client.dispose()
    hearer.record.wait(lambda events: sum(e[0] == "data" for e in events) == 100)


def test_two_libraries_with_the_vendors_interface(kind: Kind, bus: Bus) -> None:
    """Each of both ends at once, whichever ends first."""
    for first in (Client.destroy, NetClient.finalize):
        NetClient.initialize(20, library="core", abi=True)
        net = NetRecorder.create(1, 30, bus.host, bus.port)
        ipc = connected(**kind)
        net.activate()
        net.wait_connected(DEADLINE)
        ipc.send_data(1, 3, 20, 1, 30, b"to net")
        net.record.expect("data", b"to net")
        net.send_data(1, 3, 3, 5, 18, b"to ipc")
        ipc.record.expect("data", b"to ipc")
        began = time.monotonic()
        first()
        Client.destroy()
        NetClient.finalize()
        assert time.monotonic() - began < STOP_PATIENCE


@pytest.mark.parametrize("value", [None, ""])
def test_the_vendors_socket_is_the_default(
    kind: Kind,
    value: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if Path("/tmp/smartbus_ipc").exists():  # noqa: S108 - the vendor's constant
        pytest.skip("this machine has a bus")
    caplog.set_level(logging.INFO)
    monkeypatch.delenv("SMARTBUS_IPC_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("SMARTBUS_IPC_SOCKET", value)
    client = Recorder.create(5, 18, **kind)
    assert "at /tmp/smartbus_ipc: not connected" in repr(client)
    client.activate()
    client.record.expect("connect_fail", -20)
    assert "client 5: connect to /tmp/smartbus_ipc failed: No such file" in caplog.text
