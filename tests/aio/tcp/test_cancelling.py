"""Cancellation in every await, and what is left after it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio.tcp import Client, OneClientServer, TcpClient
from smartbus.testing import wait_until_async as until
from tests.aio.peers import soon
from tests.aio.tcp.ends import HOST, LOG, Echo, Inbox, Position, States, fill, pair, tcp_pair
from tests.aio.tcp.test_reading import READS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.aio.peers import Server


async def cancel(awaitable: Awaitable[Any], turns: int = 3) -> None:
    """Start something, cancel it while it waits, and see that it ends so."""
    task = asyncio.ensure_future(awaitable)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(task)


@pytest.mark.parametrize("kind", [Client, TcpClient])
@pytest.mark.parametrize("name", READS)
async def test_reading(server: Server, name: str, kind: Any) -> None:
    ends = pair if kind is Client else tcp_pair
    async with ends(server) as (client, peer):
        await cancel(READS[name](client))
        assert client.connected
        reading = asyncio.create_task(client.readexactly(6))
        await asyncio.sleep(0)
        peer.send(b"abcdef")
        assert await soon(reading) == b"abcdef"  # nothing was lost


WRITES: dict[str, Callable[[Client], Awaitable[None]]] = {
    "write": lambda client: client.write(b"!"),
    "writelines": lambda client: client.writelines([b"a", b"!"]),
    "write_str": lambda client: client.write_str("!"),
    "write_json": lambda client: client.write_json("!"),
    "write_from": lambda client: client.write_from(Position()),
    "write_message": lambda client: client.write_message(1, "!"),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("name", WRITES)
async def test_writing(server: Server, name: str) -> None:
    async with tcp_pair(server, terminator=b"<end>") as (client, peer):
        writing = await fill(client)
        await cancel(WRITES[name](client))
        assert client.connected
        last = asyncio.create_task(client.write(b"LAST"))
        data = b""
        while not data.endswith(b"LAST"):
            data = data[-100:] + await soon(peer.reader.read(1 << 20))
        await soon(asyncio.gather(writing, last))
        assert data[-100:].strip(b"\0") != b"LAST" or name == "write_from"  # it was sent whole


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connecting gets no answer: its queue is full."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        sock.listen(0)
        with socket.create_connection(sock.getsockname()):
            yield sock.getsockname()[1]


@pytest.mark.parametrize("what", ["connect", "start_task", "async with"])
async def test_connecting(silent_port: int, what: str) -> None:
    client = TcpClient(HOST, silent_port, Inbox())

    async def enter() -> None:
        async with client:
            raise AssertionError

    awaitables: dict[str, Callable[[], Awaitable[None]]] = {
        "connect": client.connect,
        "start_task": lambda: client.start_task,
        "async with": enter,
    }
    await cancel(awaitables[what](), turns=20)
    await asyncio.wait({client.start_task}, timeout=1)
    assert client.start_task.done()  # nothing goes on connecting
    await client.close()
    assert client.done_task.done()


@pytest.mark.parametrize("what", ["close", "basic_close"])
async def test_closing(server: Server, what: str) -> None:
    async with pair(server) as (client, peer):
        writing = await fill(client)  # so that closing has to wait
        await cancel(getattr(client, what)(), turns=20)
        assert not client.connected
        assert client.done_task.done()
        with pytest.raises(ConnectionError):
            await soon(writing)
        await peer.ended()


async def test_closing_a_client_of_a_server() -> None:
    states = States()
    async with OneClientServer(HOST, 0, LOG, states) as server:
        async with Client(HOST, server.port, LOG, close_timeout=0.05):
            await soon(server.connected_task)
            writing = await fill(server)
            await cancel(server.close_client(), turns=20)
            assert not server.connected
            with pytest.raises(ConnectionError):
                await soon(writing)
        async with Client(HOST, server.port, LOG) as client:  # the next one is served
            await soon(server.connected_task)
            await server.write_str("hello")
            assert await soon(client.read_str()) == "hello"


async def test_waiting_for_a_client() -> None:
    """Like every future: who shares it shields it."""
    async with OneClientServer(HOST, 0, LOG) as server:
        await cancel(asyncio.shield(server.connected_task))
        async with Client(HOST, server.port, LOG):
            await soon(server.connected_task)


async def test_callbacks(server: Server) -> None:
    """Closing cancels what a callback waits for."""
    began, ended = [], []

    async def never(kind: str) -> None:
        began.append(kind)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(kind)

    async def on_message(*, message: Any) -> None:
        await never("message")

    async with tcp_pair(server, on_message) as (client, peer):
        peer.send(b"1\r\n")
        await until(lambda: began == ["message"])
        await soon(client.close())
    assert ended == ["message"]

    async def on_change(end: Client) -> None:
        if not end.connected:
            await never("change")

    client = TcpClient(HOST, server.port, on_message, connect_callback=on_change)
    await client.connect()
    peer = await server.peer()
    peer.close()
    await until(lambda: began == ["message", "change"])
    await soon(client.close())
    assert ended == ["message", "change"]


async def test_a_callback_that_will_not_end(server: Server) -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    async def stubborn(*, message: Any) -> None:
        began.set()
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    async with tcp_pair(server, stubborn, close_timeout=0.05) as (client, peer):
        peer.send(b"1\r\n")
        await soon(began.wait())
        await soon(client.close())
        assert not client.connected
        gate.set()


async def test_closing_out_of_a_callback_with_a_deadline(server: Server) -> None:
    """`asyncio.wait_for` closes in a task of its own before Python 3.12."""
    client: TcpClient

    async def on_message(*, message: Any) -> None:
        await asyncio.wait_for(client.close(), 5)

    async with tcp_pair(server, on_message) as ends:
        client, peer = ends
        peer.send(b"1\r\n")
        await soon(client.done_task)
        await peer.ended()


async def test_everything_at_the_end_of_a_program(server: Server) -> None:
    """`asyncio.run` cancels all tasks when the main coroutine ends without closing."""
    before = asyncio.all_tasks()
    states = States()
    client = TcpClient(
        HOST, server.port, Inbox(), run_heartbeat_send_task=True, connect_callback=states
    )
    await client.connect()
    echo = Echo(port=0, log=LOG, run_heartbeat_monitor_task=True)
    await echo.start_task
    async with Client(HOST, echo.port, LOG):
        await soon(echo.connected_task)
        await until(lambda: not echo.read_loop_task.done())
        tasks = asyncio.all_tasks() - before
        assert len(tasks) >= 6
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        assert all(task.done() for task in tasks)
        await client.close()
        await echo.close()
