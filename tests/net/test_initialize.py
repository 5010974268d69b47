"""Loading and releasing the library."""

from __future__ import annotations

import threading

import pytest

from smartbus.bus import Bus
from smartbus.errors import (
    ArgumentError,
    ClientNotFoundError,
    LibraryNotFoundError,
    NotInitializedError,
    UnitIdError,
)
from smartbus.net import Client
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Recorder, connected


def test_nothing_works_before_initialize() -> None:
    with pytest.raises(NotInitializedError, match="initialize"):
        Client.create(1, 18, "127.0.0.1", 1)
    assert Client.find(1) is None
    assert Client.find(1, "nobody") == "nobody"
    Client.finalize()


def test_a_bad_linger_ends_nothing(net: str, bus: Bus) -> None:
    client = connected(bus)
    with pytest.raises(TypeError, match="linger must be a number of seconds, not str"):
        Client.finalize("x")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="linger"):
        Client.finalize(-1)
    assert client.connected
    client.send_data(1, 3, 0, 0, 2, b"")


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
