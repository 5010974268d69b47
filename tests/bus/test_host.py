"""The bus as an object: life, facts, who may register, what is logged."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartbus.bus import Bus, PasswordFile, Registration
from smartbus.errors import (
    AlreadyConnectedError,
    ArgumentError,
    ClientNotFoundError,
    NotInitializedError,
    UnitIdError,
)
from smartbus.testing import wait_until as soon
from smartbus.wire import Address, Cmd, CmdType, encode_frame
from smartbus.wire import Registration as Request
from tests.bus.raw import DEADLINE, Raw

# ---- life --------------------------------------------------------------------------------


def test_start_and_close() -> None:
    bus = Bus()
    assert "not running" in repr(bus)
    assert bus.port == 0
    with pytest.raises(NotInitializedError):
        bus.stats()
    assert bus.start() is bus
    assert bus.running
    assert bus.address == f"127.0.0.1:{bus.port}"
    with pytest.raises(AlreadyConnectedError):
        bus.start()
    with Raw(bus) as raw:
        bus.close()
        assert raw.closed()
    bus.close()
    assert "not running" in repr(bus)
    with pytest.raises(NotInitializedError):
        bus.clients()
    with pytest.raises(NotInitializedError):
        bus.kick(20, 1)


def test_start_again_on_the_same_port() -> None:
    bus = Bus()
    ports = []
    for _ in range(3):
        with bus, Raw(bus) as raw:
            ports.append(bus.port)
            assert raw.join(Address(20, 1, 18)) == 0
    assert len(set(ports)) == 1


def test_two_buses_on_one_port() -> None:
    with Bus() as bus:
        with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1:{bus.port}") as caught:
            Bus(port=bus.port).start()
        assert caught.value.errno == errno.EADDRINUSE


def test_a_name_as_host() -> None:
    with Bus("localhost") as bus:
        assert bus.host == "localhost"
        with Raw(bus) as raw:
            assert raw.join(Address(20, 1, 18)) == 0
    with pytest.raises(OSError, match=r"not known|resolution|no address"):
        Bus("no-such-host.invalid").start()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"unit_id": -1}, UnitIdError),
        ({"unit_id": 16}, UnitIdError),
        ({"port": 65536}, ArgumentError),
        ({"port": -1}, ArgumentError),
        ({"idle_timeout": 0}, ArgumentError),
        ({"slow_timeout": -1}, ArgumentError),
        ({"max_links": 0}, ArgumentError),
        ({"max_memory": 1000}, ArgumentError),
        ({"max_frame": 100}, ArgumentError),
        ({"users": "/no/such/file"}, FileNotFoundError),
    ],
)
def test_bad_arguments(arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Bus(**arguments)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"host": 8089}, "host must be str, not int"),
        ({"port": "8089"}, "port must be int, not str"),
        ({"unit_id": "0"}, "unit_id must be int, not str"),
        ({"max_frame": "64M"}, "max_frame must be int, not str"),
        ({"max_links": None}, "max_links must be int, not NoneType"),
        ({"max_memory": 1e9}, "max_memory must be int, not float"),
        ({"ipc_mode": "0660"}, "ipc_mode must be int, not str"),
        ({"users": {"ada": "secret"}}, "users must be a file, its name, or a function, not dict"),
        ({"users": 5}, "users must be a file, its name, or a function, not int"),
    ],
)
def test_arguments_of_a_wrong_type(arguments: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        Bus(**arguments)


def test_a_host_with_a_port() -> None:
    with pytest.raises(OSError, match=r"'127.0.0.1:8089' \(host and port are two arguments\)"):
        Bus("127.0.0.1:8089").start()


def test_a_bus_that_nobody_closed() -> None:
    bus = Bus().start()
    port = bus.port
    with pytest.warns(ResourceWarning, match="was not closed"):
        bus = Bus()  # and the first one is gone
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


def _sockets() -> set[int]:
    found = set()
    for fd in range(256):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                found.add(fd)
    return found


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_the_bus_alone() -> None:
    gc.collect()  # sockets of other tests must not go meanwhile
    before = _sockets()
    with Bus() as bus:
        own = _sockets() - before
        assert own
        child = os.fork()
        if child == 0:
            kept = own & _sockets()  # they would keep the port when the parent closes the bus
            bus.close()
            os._exit(len(kept))
        assert os.waitpid(child, 0)[1] == 0
        with Raw(bus) as raw:
            assert raw.join(Address(20, 1, 18)) == 0


# ---- facts -------------------------------------------------------------------------------


def test_stats_and_clients() -> None:
    with Bus(unit_id=3) as bus, Raw(bus) as first, Raw(bus) as second:
        assert first.join(Address(20, 1, 18), info="资料".encode("gbk"), pid=77) == 0
        assert second.join(Address(21, 2, 19), form="2015") == 0
        data = encode_frame((20, 1, 18), (21, 2, 19), 1, 3, b"hello")
        first.socket.sendall(data + encode_frame((20, 1, 18), (22, 2, 19), 1, 3, b"nobody"))
        while second.receive().data != b"hello":
            pass
        soon(lambda: bus.stats().undeliverable == 1)
        stats = bus.stats()
        assert (stats.links, stats.clients, stats.registered, stats.refused) == (2, 2, 2, 0)
        assert stats.frames_in == 2
        clients = {client.unit_id: client for client in bus.clients()}
        one, two = clients[20], clients[21]
        assert (one.client_id, one.client_type, one.info, one.pid) == (1, 18, "资料", 77)
        assert (two.client_id, two.client_type, two.version, two.pid) == (2, 19, "", 0)
        assert one.frames_in == 2
        assert one.peer == first.address
        assert abs(one.since - time.time()) < 60
        assert one.links == 1


def test_more_clients_than_one_look_holds() -> None:
    with Bus() as bus:
        links = [Raw(bus) for _ in range(150)]
        for number, link in enumerate(links):
            assert link.join(Address(16 + number // 100, number % 100, 18)) == 0
        assert len({(c.unit_id, c.client_id) for c in bus.clients()}) == 150
        for link in links:
            link.socket.close()
        soon(lambda: bus.stats().links == 0)


def test_kick() -> None:
    with Bus() as bus, Raw(bus) as master, Raw(bus) as slave, Raw(bus) as other:
        assert master.join(Address(20, 1, 18), pid=1) == 0
        assert slave.join(Address(20, 1, 18), pid=1, connect_index=1) == 0
        assert other.join(Address(20, 2, 18)) == 0
        assert {(c.client_id, c.links) for c in bus.clients()} == {(1, 2), (2, 1)}
        bus.kick(20, 1)
        assert master.closed()
        assert slave.closed()
        assert [c.client_id for c in bus.clients()] == [2]
        with pytest.raises(ClientNotFoundError, match="client 1 of unit 20"):
            bus.kick(20, 1)


# ---- who may register --------------------------------------------------------------------


def test_users_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "users"
    PasswordFile.add(path, "anna", "geheim")
    with Bus(users=path) as bus:
        for user, password, code in [
            (b"anna", b"geheim", 0),
            (b"anna", b"wrong", -6),
            (b"bert", b"geheim", -5),
            (b"", b"", -5),
            (b"anna", b"geheim", 0),
        ]:
            with Raw(bus) as raw:
                assert raw.join(Address(20, 1, 18), user=user, password=password) == code
            soon(lambda: not bus.clients())


def test_a_function_decides() -> None:
    asked: list[Registration] = []

    def decide(registration: Registration) -> int:
        asked.append(registration)
        return 0 if registration.unit_id == 20 else -4

    with Bus(users=decide) as bus, Raw(bus) as first, Raw(bus) as second:
        assert (
            first.join(
                Address(20, 200, 255), user="王".encode("gbk"), password=b"p\xff", info=b"info"
            )
            == 0
        )
        assert second.join(Address(21, 1, 18)) == -4
        assert asked[0][:3] == (20, 200, 255)
        assert (asked[0].user, asked[0].password, asked[0].info) == ("王", b"p\xff", "info")
        assert not asked[0].slave
        assert asked[0].version
        assert asked[0].peer == first.address


def test_a_flood_of_bad_logins_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "users"
    PasswordFile.add(path, "anna", "geheim")
    users = PasswordFile(path)
    assert users.check("anna", "geheim") == 0
    with Bus(users=users) as bus:
        flood = [Raw(bus) for _ in range(100)]
        for number, raw in enumerate(flood):
            raw.register(Address(21, number, 18), user=b"anna", password=f"guess {number}".encode())
        with Raw(bus) as anna:
            assert anna.join(Address(20, 1, 18), user=b"anna", password=b"geheim") == 0
            assert bus.stats().refused < 100
        for raw in flood:
            raw.socket.close()


def test_close_while_a_decision_is_made() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def decide(_: Registration) -> int:
        begun.set()
        go_on.wait(DEADLINE)
        return 0

    bus = Bus(users=decide).start()
    with Raw(bus) as raw:
        raw.register(Address(20, 1, 18))
        assert begun.wait(DEADLINE)
        closer = threading.Thread(target=bus.close)
        closer.start()
        go_on.set()
        closer.join(DEADLINE)
        assert raw.closed()


# ---- what is logged ----------------------------------------------------------------------


def test_who_comes_and_goes(logged: Callable[[str], logging.LogRecord]) -> None:
    with Bus() as bus:
        assert logged("listens on").levelno == logging.INFO
        with Raw(bus) as raw:
            raw.join(Address(20, 1, 18), info=b"hello")
            peer = raw.address
            joined = logged(
                f"client 1 of unit 20 (type 18) at {peer} joined, info 'hello', library"
            )
            assert joined.levelno == logging.INFO
        assert logged(f"{peer} left: closed by the peer").levelno == logging.INFO
    logged("stopped")


def test_who_is_refused(logged: Callable[[str], logging.LogRecord]) -> None:
    with Bus(users=lambda _: -6) as bus, Raw(bus) as raw, Raw(bus) as odd:
        raw.join(Address(20, 1, 18))
        record = logged("client 1 of unit 20 (type 18)")
        assert record.levelno == logging.WARNING
        assert "was refused: SMARTBUS_ERR_PASSWORD (-6)" in record.getMessage()
        odd.join(Address(5, 1, 18))
        assert "another server" in logged("of unit 5").getMessage()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
        struct.pack("<H8BHii", 0x5B15, 1, 3, 18, 20, 1, 2, 0, 0, 0, 2_000_000_000, 10),
        struct.pack("<H8BHii", 0x5B15, 1, 3, 18, 20, 1, 2, 0, 0, 0, 0, 0),
        struct.pack("<H8BHii", 0x5B15, 1, 3, 18, 20, 1, 2, 0, 0, 0, 30, -1),
        encode_frame((20, 1, 18), (0, 0, 0), Cmd.REGISTER, CmdType.LINK, b"short"),
    ],
)
def test_bad_input_costs_only_its_connection(
    logged: Callable[[str], logging.LogRecord], garbage: bytes
) -> None:
    with Bus() as bus, Raw(bus) as good, Raw(bus) as bad:
        assert good.join(Address(20, 1, 18)) == 0
        bad.socket.sendall(garbage)
        assert bad.closed()
        record = logged(f"a connection from {bad.address} was closed for bad input: ")
        assert record.levelno == logging.WARNING
        good.socket.sendall(encode_frame((20, 1, 18), (0, 0, 1), Cmd.PING, 1, b"still here"))
        while good.receive().data != b"still here":
            pass
        assert bus.stats().bad == 1


def test_half_a_frame_and_silence(logged: Callable[[str], logging.LogRecord]) -> None:
    with Bus(idle_timeout=0.3) as bus, Raw(bus) as half, Raw(bus) as silent:
        half.socket.sendall(Request().encode(Address(20, 1, 18))[:100])
        assert silent.closed()
        assert half.closed()
        assert bus.stats().idle == 2


def test_floods_of_log_lines_are_cut(
    caplog: pytest.LogCaptureFixture, logged: Callable[[str], logging.LogRecord]
) -> None:
    with Bus() as bus:
        for _ in range(200):
            with Raw(bus) as raw:
                raw.socket.sendall(b"x" * 20)
                assert raw.closed()
        soon(lambda: bus.stats().bad == 200)
        soon(lambda: caplog.text.count("bad input") >= 20)  # they are logged in another thread
        assert caplog.text.count("bad input") < 200
        deadline = time.monotonic() + DEADLINE
        while "were left out" not in caplog.text:
            assert time.monotonic() < deadline
            with Raw(bus) as raw:
                raw.socket.sendall(b"x" * 20)
                assert raw.closed()
