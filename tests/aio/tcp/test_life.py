"""Construction, connecting, losing, closing (TCPCLIENT 2.1, 2.3)."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio.tcp import Client, KeepAlive, MsgType, OneClientServer, TcpClient
from smartbus.errors import ArgumentError
from smartbus.testing import wait_until_async as until
from tests.aio.peers import soon
from tests.aio.tcp.ends import (
    HOST,
    LOG,
    NOT_CONNECTED,
    Inbox,
    Position,
    States,
    fill,
    pair,
    reset,
    tcp_pair,
)

if TYPE_CHECKING:
    from tests.aio.peers import Peer, Server

# --- construction -----------------------------------------------------------------------------


def a_sync_callback(_: object) -> None:
    pass


BAD: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"connect_callback": a_sync_callback}, TypeError),
    ({"encoding": "utf-9"}, ValueError),
    ({"encoding": "rot13"}, ValueError),
    ({"encoding": None}, ValueError),
    ({"terminator": "\r\n"}, ValueError),
    ({"terminator": b""}, ValueError),
    ({"terminator": None}, ValueError),
    ({"limit": 0}, ValueError),
    ({"write_timeout": -1}, ArgumentError),
    ({"close_timeout": None}, TypeError),
]


@pytest.mark.parametrize(("arguments", "error"), BAD)
async def test_bad_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        Client(HOST, 1, LOG, **arguments)
    with pytest.raises(error):
        TcpClient(HOST, 1, Inbox(), **arguments)
    with pytest.raises(error):
        OneClientServer(HOST, 0, LOG, **arguments)


@pytest.mark.parametrize("name", ["idle", "count", "interval"])
async def test_bad_keep_alive(name: str) -> None:
    with pytest.raises(ArgumentError, match=name):
        KeepAlive(**{name: 0})
    with pytest.raises(TypeError, match=name):
        KeepAlive(**{name: 1.5})  # type: ignore[arg-type]


async def test_callbacks_of_all_kinds(server: Server) -> None:
    seen: list[tuple[str, bool]] = []

    async def note(word: str, end: Client) -> None:
        seen.append((word, end.connected))

    async with pair(server, connect_callback=partial(note, "partial")):
        assert seen == [("partial", True)]


async def test_a_client_of_nowhere_is_closed() -> None:
    client = Client("", 1, LOG)
    assert client.start_task.done()
    assert client.done_task.done()
    assert (client.connected, client.should_be_connected) == (False, False)
    await client.start_task
    await client.close()
    with pytest.raises(ConnectionError, match=NOT_CONNECTED):
        await client.write_str("x")


@pytest.mark.parametrize(
    ("log", "name", "expected"),
    [
        (None, {}, "TcpClient.TcpClient(tcp-client)"),
        (logging.getLogger("parent"), {"name": "m2"}, "parent.TcpClient.TcpClient(m2)"),
    ],
)
async def test_names_of_loggers(
    server: Server, log: logging.Logger | None, name: dict[str, str], expected: str
) -> None:
    async with tcp_pair(server, log=log, **name) as (client, _):
        assert client.log.name == expected
        assert client.name == name.get("name", "tcp-client")
    async with pair(server, name="n") as (plain, _):
        assert plain.log.name == "test.Client(n)"


async def test_attributes(server: Server) -> None:
    async with tcp_pair(server) as (client, _):
        assert (client.encoding, client.terminator) == ("utf-8", b"\r\n")
        assert client.monitor_connection_interval == 0.1
        assert (client.timeout, client.write_timeout) == (None, None)
        assert (client.host, client.port) == (HOST, server.port)


async def test_starting_again(server: Server) -> None:
    async with pair(server) as (client, _):
        with pytest.raises(RuntimeError, match=r"^Start already called\.$"):
            await client.start()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (1, 60, 4, 15)),
        ({"keep_alive": KeepAlive(idle=5, count=2, interval=3)}, (1, 5, 2, 3)),
        ({"keep_alive": None}, (0, None, None, None)),
    ],
)
async def test_keep_alive(
    server: Server, options: dict[str, Any], expected: tuple[int | None, ...]
) -> None:
    async with pair(server, **options) as (client, _):
        assert client._stream is not None
        sock = client._stream.get_extra_info("socket")
        names = ("TCP_KEEPIDLE", "TCP_KEEPCNT", "TCP_KEEPINTVL")
        values = [sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
        values += [sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
        for value, wanted in zip(values, expected, strict=True):
            assert wanted in (None, value)


async def test_arguments_of_create_connection(server: Server) -> None:
    kinds: dict[str, Any] = {"family": socket.AF_INET, "local_addr": ("127.0.0.2", 0)}
    async with pair(server, **kinds) as (_, peer):
        assert peer.writer.get_extra_info("peername")[0] == "127.0.0.2"


# --- connecting -------------------------------------------------------------------------------


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


async def test_connect(server: Server) -> None:
    client = TcpClient(HOST, server.port, Inbox())
    await client.connect()
    assert client.connected
    assert client.should_be_connected
    await client.connect(timeout=0.0001)  # at once
    await client.close()
    assert (client.connected, client.should_be_connected) == (False, False)
    assert client.done_task.done()
    await client.connect()  # it was connected, which is all that this says


async def test_nobody_listens(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    client = TcpClient(HOST, unused_port(), Inbox())
    with pytest.raises(ConnectionRefusedError):
        await client.connect()
    with pytest.raises(ConnectionRefusedError):
        await client.connect()
    assert not client.connected
    assert [r.levelname for r in caplog.records if "start failed" in r.message] == ["WARNING"]
    assert capsys.readouterr().out == ""  # T9
    with pytest.raises(RuntimeError):
        await client.write_message(MsgType.Command, "x")
    with pytest.raises(ConnectionRefusedError):
        async with client:
            pass
    await client.close()
    assert client.done_task.done()


async def test_nobody_listens_and_nobody_asks(caplog: pytest.LogCaptureFixture) -> None:  # T12
    client = TcpClient(HOST, unused_port(), Inbox())
    await asyncio.wait({client.start_task})
    del client
    gc.collect()  # the fixture `tidy_loop` would see "exception was never retrieved"
    assert "start failed: ConnectionRefusedError" in caplog.text


async def test_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as sock:  # a queue of one, which is full: further ones get no answer
        sock.bind((HOST, 0))
        sock.listen(0)
        with socket.create_connection(sock.getsockname()):
            client = TcpClient(HOST, sock.getsockname()[1], Inbox())
            await until(lambda: client._started)
            with pytest.raises(asyncio.TimeoutError):
                await client.connect(timeout=0.05)
            await asyncio.wait({client.start_task})
            assert client.start_task.cancelled()
            assert "no answer" in caplog.text
            await client.close()


async def test_closing_before_connected(server: Server) -> None:  # T4
    client = TcpClient(HOST, server.port, Inbox())
    connecting = asyncio.create_task(client.connect())
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ConnectionAbortedError):
        await connecting
    with pytest.raises(ConnectionAbortedError):
        await client.start_task
    assert client.done_task.done()
    assert not client.connected
    # Nothing of it occupies the server: the next one is served.
    async with tcp_pair(server) as (other, _):
        assert other.connected


async def test_closing_at_once(server: Server) -> None:
    for _ in range(10):
        client = Client(HOST, server.port, LOG)
        await client.close()
        assert client.start_task.done()
        assert not client.connected


# --- losing -----------------------------------------------------------------------------------


def by_eof(peer: Peer) -> None:
    peer.close()


@pytest.mark.parametrize("kind", [Client, TcpClient])
@pytest.mark.parametrize("break_it", [by_eof, reset])
async def test_one_end_state(server: Server, break_it: Any, kind: Any) -> None:  # T5
    states = States()
    ends = pair if kind is Client else tcp_pair
    async with ends(server, connect_callback=states) as (client, peer):
        break_it(peer)
        await states.reach(True, False)
        assert (client.connected, client.should_be_connected) == (False, True)
        assert not client.done_task.done()
        with pytest.raises(ConnectionError, match=NOT_CONNECTED):
            await client.write(b"x")
        await client.close()
        assert client.done_task.done()
        assert not client.should_be_connected
        assert states.seen == [True, False]


async def test_without_monitor_only_own_actions_tell(server: Server) -> None:
    states = States()
    kinds: dict[str, Any] = {"connect_callback": states, "monitor_connection_interval": 0}
    async with pair(server, **kinds) as (client, peer):
        peer.close()
        await until(lambda: not client.connected)
        for _ in range(10):
            await asyncio.sleep(0)
        assert states.seen == [True]
    assert states.seen == [True, False]


async def test_unread_data_counts_as_connected(server: Server) -> None:
    async with pair(server) as (client, peer):
        peer.send(b"ab")
        peer.close()
        assert await soon(client.readexactly(1)) == b"a"
        await until(lambda: client._stream is not None and client._stream.inbound.eof)
        assert client.connected
        assert await client.readexactly(1) == b"b"
        assert not client.connected


async def test_a_failing_connect_callback(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: object) -> None:
        raise OSError("of mine")

    async with pair(server, connect_callback=fail) as (client, peer):
        assert client.connected
        peer.close()
        await until(lambda: caplog.text.count("OSError: of mine") == 2)


async def test_a_vanished_host(server: Server) -> None:
    """Keep-alive ends the connection with an error that is no ConnectionError."""
    states = States()
    async with pair(server, connect_callback=states) as (client, _):
        reading = asyncio.create_task(client.read_str())
        await asyncio.sleep(0)
        assert client._stream is not None
        client._stream.connection_lost(TimeoutError(errno.ETIMEDOUT, "timed out"))
        with pytest.raises(ConnectionAbortedError, match="timed out"):
            await soon(reading)
        await states.reach(True, False)
        assert (client.connected, client.should_be_connected) == (False, True)
        client._stream.abort()  # the transport does not know of it


# --- writing to who does not read -------------------------------------------------------------


async def test_write_timeout(server: Server) -> None:  # T6
    states = States()
    kinds: dict[str, Any] = {"write_timeout": 0.5, "connect_callback": states}
    async with pair(server, **kinds) as (client, _):
        writing = await fill(client)
        with pytest.raises(asyncio.TimeoutError):
            await writing
        assert not client.connected
        assert client.should_be_connected
        await states.reach(True, False)


async def test_waiting_for_who_does_not_read(server: Server) -> None:
    async with pair(server) as (client, peer):
        writing = await fill(client)
        assert not writing.done()
        sent = asyncio.create_task(client.write(b"last"))
        while not (await soon(peer.reader.read(1 << 20))).endswith(b"last"):
            pass
        await soon(writing)
        await soon(sent)


@pytest.mark.parametrize("break_it", [by_eof, reset])
async def test_who_waits_learns_of_the_end(server: Server, break_it: Any) -> None:
    async with pair(server, close_timeout=0.05) as (client, peer):
        writings = [await fill(client), asyncio.create_task(client.write_from(Position()))]
        await asyncio.sleep(0)
        break_it(peer)
        for writing in writings:
            with pytest.raises(ConnectionError):
                await soon(writing)


# --- closing ----------------------------------------------------------------------------------


async def test_what_was_written_arrives_before_the_end(server: Server) -> None:
    async with pair(server) as (client, peer):
        for number in range(20_000):
            await client.write_json(number)
        await asyncio.gather(client.close(), _expect_numbers(peer, 20_000))


async def _expect_numbers(peer: Peer, count: int) -> None:
    lines = (await soon(peer.reader.read(-1))).split(b"\r\n")
    assert lines == [*(b"%d" % number for number in range(count)), b""]


async def test_closing_while_the_peer_is_behind(server: Server) -> None:
    async with pair(server, close_timeout=30) as (client, peer):
        writing = await fill(client)
        data, _ = await asyncio.gather(soon(peer.reader.read(-1)), client.close())
        assert len(data) == 32 << 20
        await asyncio.wait({writing})
        writing.exception()  # it may have learnt of the end first
        assert client.done_task.done()


async def test_closing_does_not_wait_for_ever(server: Server) -> None:
    async with pair(server, close_timeout=0.05) as (client, _):
        writing = await fill(client)
        await soon(client.close())
        with pytest.raises(ConnectionError):
            await writing
        assert client.done_task.done()


async def test_basic_close(server: Server) -> None:
    states = States()
    async with pair(server, run_heartbeat_send_task=True, connect_callback=states) as (client, _):
        await client.basic_close()
        assert (client.connected, client.should_be_connected) == (False, True)
        assert client.done_task.done()
        assert states.seen == [True, False]
        await client.basic_close()
        await client.close()
        assert not client.should_be_connected
        await client.close()
        assert states.seen == [True, False]


async def test_closing_within_callbacks(server: Server) -> None:
    client: TcpClient

    async def on_message(*, message: Any) -> None:
        seen.append(message)
        await client.close()

    async def on_change(end: Client) -> None:
        if not end.connected:
            await end.close()

    seen: list[Any] = []
    async with tcp_pair(server, on_message, connect_callback=on_change) as ends:
        client, peer = ends
        peer.send(b"1\r\n2\r\n")
        await soon(client.done_task)
        await peer.ended()
        assert seen == [1]

    async with pair(server, connect_callback=on_change) as (other, peer):
        peer.close()
        await soon(other.done_task)

    async def close_first(end: Client) -> None:
        await end.close()

    client = TcpClient(HOST, server.port, Inbox(), connect_callback=close_first)
    await soon(client.done_task)
    await asyncio.wait({client.start_task})
    assert not client.connected
    await client.close()


async def test_two_who_close(server: Server) -> None:
    async with pair(server) as (client, _):
        await asyncio.gather(client.close(), client.close(), client.basic_close())
        assert client.done_task.done()
