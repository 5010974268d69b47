"""Making, connecting, refusing and destroying the one client."""

from __future__ import annotations

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
    PasswordError,
    SmartBusTimeoutError,
    UserError,
)
from smartbus.ipc import Client
from tests.ipc_client.recorder import Recorder, connected
from tests.net.recorder import DEADLINE


def test_properties(path: str, abi: bool) -> None:
    client = Client.create(7, 18, "user", "secret", "info", encoding="gbk", abi=abi)
    assert (client.client_id, client.client_type, client.unit_id) == (7, 18, None)
    assert (client.user, client.password, client.info) == ("user", "secret", "info")
    assert (client.encoding, client.event_executor, client.connected) == ("gbk", None, False)
    assert "secret" not in repr(client)
    assert path in repr(client)
    assert "not connected" in repr(client)


def test_connect_and_destroy(abi: bool, bus: Bus) -> None:
    client = connected(info="消息", abi=abi)
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


def test_there_is_one(path: str, abi: bool) -> None:
    with pytest.raises(NotInitializedError, match="create"):
        Client.get()
    with pytest.raises(NotInitializedError):
        Client.instance()
    client = Recorder.get_or_create(1, 18, abi=abi)
    assert Recorder.get() is Recorder.instance() is Client.get() is client
    assert Recorder.get_or_create(2, 19) is client
    with pytest.raises(ClientExistsError, match="destroy"):
        Recorder.create(2, 18, abi=abi)
    with pytest.raises(ClientExistsError):
        Client(2, 18, abi=abi)

    class Other(Client):
        pass

    with pytest.raises(TypeError, match="Recorder, no Other"):
        Other.get()
    Other.destroy()
    other = Other.get_or_create(2, 18, abi=abi)
    assert Other.get() is other
    client.dispose()  # changes nothing for its successor
    assert Other.get() is other


def test_recreate_with_any_library(bus: Bus) -> None:
    for number, abi in enumerate((True, True, False, True, False, False)):
        client = connected(10 + number, 20 + number, abi=abi)
        client.ping(3, 0, 1, b"%d" % number)
        client.record.expect("data", b"%d" % number)
        (there,) = (c for c in bus.clients() if c.client_id == 10 + number)
        assert there.client_type == 20 + number
        Client.destroy()


def test_context_manager(abi: bool, bus: Bus) -> None:
    with Recorder.create(1, 18, abi=abi) as client:
        client.wait_connected(DEADLINE)
    with pytest.raises(NotInitializedError):
        Client.get()


def test_activate_twice(abi: bool, bus: Bus) -> None:
    client = connected(abi=abi)
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
def test_bad_clients(abi: bool, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Client.create(*arguments, abi=abi)
    with pytest.raises(NotInitializedError):
        Client.get()


@pytest.mark.parametrize(
    "credentials", [("u" * 64,), ("u", "p" * 128), ("u\0", "p"), ("\udc80", "p")]
)
def test_bad_credentials(bus: Bus, abi: bool, credentials: Any) -> None:
    client = Client.create(1, 18, *credentials, abi=abi)
    with pytest.raises(ArgumentError):
        client.activate()


def test_a_bad_socket_name(monkeypatch: pytest.MonkeyPatch, abi: bool) -> None:
    monkeypatch.setenv("SMARTBUS_IPC_SOCKET", "x" * 200)
    client = Client.create(1, 18, abi=abi)
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


def test_reconnect_after_a_restart(abi: bool, path: str) -> None:
    client = Recorder.create(5, 18, abi=abi)
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


def test_destroy_without_a_server(abi: bool, path: str) -> None:
    for _ in range(2):
        client = Recorder.create(5, 18, abi=abi)
        client.activate()
        with ThreadPoolExecutor(1) as executor:
            waiting: Future[None] = executor.submit(client.wait_connected)
            client.record.expect("connect_fail", -20)
            Client.destroy()
            with pytest.raises(ClientNotFoundError):
                waiting.result(DEADLINE)


def test_wait_connected_without_activate(abi: bool, path: str) -> None:
    client = Client.create(5, 18, abi=abi)
    with pytest.raises(NotConnectedError, match="not activated"):
        client.wait_connected(DEADLINE)
    with pytest.raises(NotConnectedError):
        client.send_data(1, 3, 0, 0, 2, b"")


def test_refused_by_a_password_file(abi: bool, path: str, tmp_path: Path) -> None:
    users = tmp_path / "users"
    PasswordFile.add(users, "anna", "geheim")
    with Bus(users=users, ipc_path=path) as bus:
        for user, password, error in (
            ("otto", "geheim", UserError),
            ("anna", "falsch", PasswordError),
        ):
            client = Recorder.create(5, 18, user, password, abi=abi)
            client.activate()
            with pytest.raises(error, match=f"{path} refused client 5"):
                client.wait_connected(DEADLINE)
            client.record.expect("connect_fail")
            Client.destroy()
        client = connected(user="anna", password="geheim", abi=abi)
        assert client.connected
        assert len(bus.clients()) == 1


def test_a_refusal_is_final_until_activated_again(abi: bool, path: str) -> None:
    codes = [-10, -6, 0]
    with Bus(users=lambda _: codes[0], ipc_path=path):
        client = Recorder.create(5, 18, abi=abi)
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


def test_destroy_in_a_handler(abi: bool, bus: Bus) -> None:
    done = threading.Event()

    class Impatient(Recorder):
        def on_connect(self) -> None:
            Client.destroy()
            done.set()

    client = Impatient.create(5, 18, abi=abi)
    client.activate()
    assert done.wait(DEADLINE)
    assert not client.connected
    assert connected(6, abi=abi).connected
