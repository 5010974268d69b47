"""`OneClientServer` and `OneClientReadLoopServer` (TCPCLIENT 2.3, 2.5)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio.tcp import Client, OneClientReadLoopServer, OneClientServer, TcpClient
from smartbus.testing import wait_until_async as until
from tests.aio.peers import soon
from tests.aio.tcp.ends import HOST, LOG, NOT_CONNECTED, Echo, Inbox, Position, States, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def connected(server: OneClientServer, **kwargs: Any) -> AsyncIterator[Client]:
    """A client of `server`, which knows of it."""
    client = Client(server.host, server.port, LOG, **kwargs)
    async with client:
        await soon(server.connected_task)
        yield client


async def test_one_client() -> None:
    states = States()
    async with OneClientServer(HOST, 0, LOG, states, name="Commands") as server:
        assert server.log.name == "test.OneClientServer(Commands)"
        assert server.port
        with pytest.raises(ConnectionError, match=NOT_CONNECTED):
            await server.write_str("x")
        async with connected(server) as client:
            assert server.connected
            assert server.should_be_connected
            await client.write_json({"a": 1})
            assert await soon(server.read_json()) == {"a": 1}
            came = Position()
            await server.write_from(Position(1, 2, 3.0))
            await soon(client.read_into(came))
            assert came.value == 3.0
        await states.reach(True, False)
        assert not server.done_task.done()
    assert server.done_task.done()
    with pytest.raises(ConnectionAbortedError):
        await server.connected_task


async def test_a_second_client_is_refused() -> None:
    async with OneClientServer(HOST, 0, LOG) as server, connected(server) as first:
        async with Client(HOST, server.port, LOG) as second:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await soon(second.readexactly(1))
        await first.write_str("still here")
        assert await soon(server.read_str()) == "still here"


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_one_after_the_other(ending: str) -> None:  # T14
    states = States()
    async with OneClientServer(HOST, 0, LOG, states) as server:
        for number in range(5):
            async with connected(server) as client:
                await server.write_json(number)  # who awaited connected_task can write
                assert await soon(client.read_json()) == number
                if ending == "reset":
                    await server.write_json("unread")  # makes closing a reset
                    assert client._stream is not None
                    inbound = client._stream.inbound
                    await until(lambda: len(inbound) > 0)  # noqa: B023 - it is awaited here
        await states.reach(*[True, False] * 5)


async def test_the_server_closes_the_client() -> None:
    states = States()
    async with OneClientServer(HOST, 0, LOG, states) as server:
        async with connected(server) as client:
            await server.write_str("last")
            await server.close_client()
            assert (server.connected, server.should_be_connected) == (False, False)
            assert states.seen == [True, False]
            assert not server.connected_task.done()
            assert await soon(client.read_str()) == "last"
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await soon(client.read_str())
        async with connected(server):
            assert server.connected
            await server.basic_close_client()
            assert (server.connected, server.should_be_connected) == (False, True)
        await server.close_client()  # there is none


async def test_the_server_closes() -> None:
    server = OneClientServer(HOST, 0, LOG)
    await server.start_task
    async with connected(server) as client:
        await server.close()
        await server.close()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await soon(client.read_str())
        other = Client(HOST, server.port, LOG)
        with pytest.raises(ConnectionRefusedError):
            await other.start_task
        await other.close()


async def test_closing_under_load() -> None:
    server = OneClientServer(HOST, 0, LOG, close_timeout=0.1)
    await server.start_task

    async def flood(end: Client | OneClientServer) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await end.write_json("x" * 1000)
                await asyncio.sleep(0)

    inbox = Inbox()
    client = TcpClient(HOST, server.port, inbox, close_timeout=0.1)
    await client.connect()
    await soon(server.connected_task)
    floods = [asyncio.create_task(flood(end)) for end in (client, server)]
    await until(lambda: len(inbox.messages) > 1000)
    await soon(asyncio.gather(client.close(), server.close()))
    await soon(asyncio.gather(*floods))


async def test_closing_a_client_that_does_not_read() -> None:
    async with (
        OneClientServer(HOST, 0, LOG, close_timeout=0.05) as server,
        connected(server, close_timeout=0.05),
    ):
        writing = await fill(server)
        await soon(server.close_client())
        with pytest.raises(ConnectionError):
            await writing


async def test_where_it_listens() -> None:
    async with OneClientServer(None, 0, LOG, family=socket.AF_INET) as server:
        assert server.port
        assert server._server is not None
    async with OneClientServer(HOST, 0, LOG) as taken:
        other = OneClientServer(HOST, taken.port, LOG)
        with pytest.raises(OSError, match="in use"):
            await other.start_task
        await other.close()
        with pytest.raises(RuntimeError, match="Start already called"):
            await taken.start()


async def test_closing_before_it_listens() -> None:
    server = OneClientServer(HOST, 0, LOG)
    await server.close()
    with pytest.raises(ConnectionAbortedError):
        await server.start_task


async def test_callbacks_come_in_pairs_even_if_the_next_client_is_quick() -> None:
    gate, seen = asyncio.Event(), []

    async def callback(server: OneClientServer) -> None:
        seen.append("begin")
        if len(seen) > 2:
            await gate.wait()  # the end of the first client takes its time
        seen.append("end")

    async with OneClientServer(HOST, 0, LOG, callback) as server:
        async with connected(server):
            pass
        async with Client(HOST, server.port, LOG) as second:
            await second.write_str("hello")
            await until(lambda: len(seen) == 3)
            gate.set()
            await soon(server.connected_task)
            assert await soon(server.read_str()) == "hello"
            await until(lambda: seen == ["begin", "end"] * 3)


# --- the read loop ----------------------------------------------------------------------------


async def test_echo() -> None:
    async with Echo(port=0, log=LOG) as server:
        assert server.host == HOST
        for _ in range(3):
            async with connected(server) as client:
                for line in ("one", "", "drei ü"):
                    await client.write_str(line)
                    assert await soon(client.read_str()) == line
                assert not server.read_loop_task.done()
            await until(server.read_loop_task.done)


@pytest.mark.parametrize("error", [ValueError("of mine"), KeyError(1), asyncio.TimeoutError()])
async def test_an_exception_disconnects(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(OneClientReadLoopServer):
        async def read_and_dispatch(self) -> None:
            await self.read_str()
            raise error

    states = States()
    async with Failing(port=0, log=LOG, connect_callback=states) as server:
        for _ in range(2):
            async with connected(server) as client:
                await client.write_str("x")
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await soon(client.read_str())
        await states.reach(True, False, True, False)
    assert caplog.text.count("read loop failed") == 2


async def test_a_cancelled_dispatch_disconnects(caplog: pytest.LogCaptureFixture) -> None:
    class Cancelled(OneClientReadLoopServer):
        async def read_and_dispatch(self) -> None:
            await self.read_str()
            raise asyncio.CancelledError

    async with Cancelled(port=0, log=LOG) as server:
        for _ in range(2):
            async with connected(server) as client:
                await client.write_str("x")
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await soon(client.read_str())
    assert caplog.text.count("the read loop was cancelled") == 2


async def test_closing_from_the_read_loop() -> None:
    class Ending(OneClientReadLoopServer):
        async def read_and_dispatch(self) -> None:
            if await self.read_str() == "client":
                await self.close_client()
            else:
                await self.close()

    async with Ending(port=0, log=LOG) as server:
        for word in ("client", "server"):
            async with connected(server) as client:
                await client.write_str(word)
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await soon(client.read_str())
        await soon(server.done_task)


async def test_a_loop_that_is_stuck_does_not_keep_the_next_client_away() -> None:
    class Stuck(Echo):
        async def read_and_dispatch(self) -> None:
            await super().read_and_dispatch()
            if self.stuck:
                self.stuck = False
                await asyncio.Event().wait()

        stuck = True

    async with Stuck(port=0, log=LOG, close_timeout=0.05) as server:
        for _ in range(2):
            async with connected(server) as client:
                await client.write_str("x")
                assert await soon(client.read_str()) == "x"


async def test_the_class_needs_a_dispatcher() -> None:
    with pytest.raises(TypeError, match="read_and_dispatch"):
        OneClientReadLoopServer(port=0, log=LOG)  # type: ignore[abstract]


# --- heartbeats -------------------------------------------------------------------------------


async def test_heartbeats_are_taken_out() -> None:
    async with (
        Echo(port=0, log=LOG, run_heartbeat_monitor_task=True) as server,
        connected(server, run_heartbeat_send_task=True, heartbeat_send_sleep=0.001) as client,
    ):
        assert server.heartbeat_timeout == 10.0
        for number in range(20):
            await client.write_json(number)
            assert await soon(client.read_json()) == number
            await asyncio.sleep(0.002)


async def test_missing_heartbeats_disconnect(caplog: pytest.LogCaptureFixture) -> None:
    kinds: dict[str, Any] = {"run_heartbeat_monitor_task": True, "heartbeat_timeout": 0.05}
    async with Echo(port=0, log=LOG, **kinds) as server, connected(server) as client:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await soon(client.read_str())
        await until(lambda: not server.connected)
    assert "no heartbeat for 0.05 s" in caplog.text


async def test_unexpected_heartbeats_disconnect(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        Echo(port=0, log=LOG) as server,
        connected(server, run_heartbeat_send_task=True) as client,
    ):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await soon(client.read_str())
    assert "none was expected" in caplog.text
