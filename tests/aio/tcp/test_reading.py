"""Reading methods of a `Client`: results, exceptions, limits (TCPCLIENT 2.3)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.testing import wait_until_async as until
from tests.aio.peers import soon
from tests.aio.tcp.ends import NOT_CONNECTED, Position, States, pair, reset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from smartbus.aio.tcp import Client
    from tests.aio.peers import Server

READS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "read": lambda client: client.read(10),
    "read all": lambda client: client.read(-1),
    "readexactly": lambda client: client.readexactly(10),
    "readline": lambda client: client.readline(),
    "readuntil": lambda client: client.readuntil(),
    "read_str": lambda client: client.read_str(),
    "read_json": lambda client: client.read_json(),
    "read_into": lambda client: client.read_into(Position()),
}
#: What they give when the peer closes after "abc".
AT_THE_END: dict[str, Any] = {"read": b"abc", "read all": b"abc", "readline": b"abc"}


@pytest.mark.parametrize("name", READS)
async def test_not_connected(server: Server, name: str) -> None:
    async with pair(server) as (client, _):
        await client.close()
        with pytest.raises(ConnectionError, match=NOT_CONNECTED):
            await READS[name](client)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("name", READS)
async def test_the_peer_closes(server: Server, name: str, waits: bool) -> None:
    states = States()
    async with pair(server, connect_callback=states) as (client, peer):
        reading: asyncio.Future[Any] | None = None
        if waits:
            reading = asyncio.ensure_future(READS[name](client))
            await asyncio.sleep(0)
        peer.send(b"abc")
        await peer.writer.drain()
        peer.close()
        if reading is None:
            await until(lambda: client._stream is not None and client._stream.inbound.eof)
            assert client.connected  # what came is not read yet
            reading = asyncio.ensure_future(READS[name](client))
        if name in AT_THE_END:
            assert await soon(reading) == AT_THE_END[name]
        else:
            with pytest.raises(asyncio.IncompleteReadError) as caught:
                await soon(reading)
            assert caught.value.partial == b"abc"
            assert states.seen == [True, False]  # told before it is raised
        if name != "read":  # which may have returned before the end came
            with pytest.raises(ConnectionError, match=NOT_CONNECTED):
                await READS[name](client)
        await states.reach(True, False)
        assert (client.connected, client.should_be_connected) == (False, True)
        assert not client.done_task.done()


async def test_read_at_the_end_gives_nothing(server: Server) -> None:
    async with pair(server) as (client, peer):
        reading = asyncio.create_task(client.read(10))
        await asyncio.sleep(0)
        peer.close()
        assert await soon(reading) == b""


@pytest.mark.parametrize("name", READS)
async def test_the_connection_breaks(server: Server, name: str) -> None:
    async with pair(server) as (client, peer):
        reading = asyncio.ensure_future(READS[name](client))
        await asyncio.sleep(0)
        reset(peer)
        with pytest.raises(ConnectionResetError):
            await soon(reading)
        assert (client.connected, client.should_be_connected) == (False, True)


async def test_what_came_before_the_break_can_be_read(server: Server) -> None:
    async with pair(server) as (client, peer):
        peer.send(b"one\r\ntwo\r\nthr")
        await peer.writer.drain()
        assert await soon(client.read_str()) == "one"
        reset(peer)
        await until(lambda: not client.connected)
        with pytest.raises(ConnectionError, match=NOT_CONNECTED):
            await client.write(b"x")
        assert await client.read_str() == "two"
        with pytest.raises(ConnectionResetError):
            await client.read_str()
        with pytest.raises(ConnectionError, match=NOT_CONNECTED):
            await client.read_str()


async def test_results_are_those_of_asyncio(server: Server) -> None:
    data = b"abcdef\nxyz;;12345"
    reader = asyncio.StreamReader()
    async with pair(server) as (client, peer):
        peer.send(data)
        reader.feed_data(data)
        for end in (client, reader):
            assert await end.read(0) == b""
            assert await end.readexactly(0) == b""
            assert await end.readexactly(2) == b"ab"
            assert await end.readline() == b"cdef\n"
            assert await end.readuntil(b";;") == b"xyz;;"
            assert await end.read(3) == b"123"
            with pytest.raises(ValueError):  # noqa: PT011 - the texts are not ours
                await end.readexactly(-1)
            with pytest.raises(ValueError):  # noqa: PT011
                await end.readuntil(b"")


@pytest.mark.parametrize("separator_came", [True, False])
async def test_lines_over_the_limit_are_those_of_asyncio(
    server: Server, separator_came: bool
) -> None:
    data = b"x" * 70_000 + b"\r\n" * separator_came + b"rest"
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    async with pair(server) as (client, peer):
        peer.send(data)
        await until(lambda: client._stream is not None and len(client._stream.inbound) == len(data))
        caught = []
        for reading in (reader.readuntil(b"\r\n"), client.readuntil(b"\r\n")):
            with pytest.raises(asyncio.LimitOverrunError) as each:
                await reading
            caught.append(each.value)
        assert caught[0].consumed == caught[1].consumed
        with pytest.raises(asyncio.LimitOverrunError):
            await client.read_str()
        assert client.connected
        assert await client.readexactly(len(data)) == data  # nothing was lost


@pytest.mark.parametrize("data", [b"x" * 70_000, b"x" * 70_000 + b"\nrest"])
async def test_readline_over_the_limit_is_that_of_asyncio(server: Server, data: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    async with pair(server) as (client, peer):
        peer.send(data)
        await until(lambda: client._stream is not None and len(client._stream.inbound) == len(data))
        for reading in (reader.readline(), client.readline()):
            with pytest.raises(ValueError):  # noqa: PT011 - the texts are not ours
                await reading
        peer.send(b"next")
        reader.feed_data(b"next")
        expected = b"restnext" if b"\n" in data else b"next"
        assert await soon(client.readexactly(len(expected))) == expected
        assert await reader.readexactly(len(expected)) == expected


@pytest.mark.parametrize("limit", [1 << 16, 100])
async def test_the_limit_itself_is_allowed(server: Server, limit: int) -> None:
    async with pair(server, limit=limit) as (client, peer):
        peer.send(b"y" * limit + b"\r\n" + b"y" * (limit + 1) + b"\r\n")
        assert await soon(client.read_str()) == "y" * limit
        with pytest.raises(asyncio.LimitOverrunError):
            await soon(client.read_str())


async def test_16_mb_both_ways(server: Server) -> None:
    text = "z" * (16 << 20)
    async with pair(server, limit=32 << 20) as (client, peer):
        writing = asyncio.create_task(client.write_json(text))
        assert await soon(peer.reader.readexactly(len(text) + 4)) == f'"{text}"\r\n'.encode()
        await soon(writing)
        peer.send(f'"{text}"\r\n{text}'.encode())
        assert await soon(client.read_json()) == text
        assert await soon(client.readexactly(len(text))) == text.encode()


async def test_nothing_is_read_ahead_beyond_the_limit(server: Server) -> None:
    async with pair(server, limit=1000) as (client, peer):
        peer.send(bytes(8 << 20))
        assert await soon(client.readexactly(1)) == b"\0"
        assert client._stream is not None
        inbound = client._stream.inbound
        await until(lambda: len(inbound) > 2000)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(inbound) <= 2000 + (1 << 16)
        assert len(await soon(client.readexactly((8 << 20) - 1))) == (8 << 20) - 1


async def test_bad_json_says_what_it_was(server: Server) -> None:
    async with pair(server) as (client, peer):
        peer.send(b'{"a": \r\n[1]\r\n \t[2] \r\n\r\n\xef\xbb\xbf[]\r\n')
        with pytest.raises(json.JSONDecodeError) as caught:
            await soon(client.read_json())
        assert str(caught.value).startswith("data='{\"a\": ' is not valid json: line 1 column 7")
        assert await soon(client.read_json()) == [1]
        assert await soon(client.read_json()) == [2]
        for _ in range(2):  # an empty line; a byte order mark
            with pytest.raises(json.JSONDecodeError, match=r"^data='.*' is not valid json: line"):
                await soon(client.read_json())
        assert client.connected


async def test_bad_text(server: Server) -> None:
    async with pair(server) as (client, peer):
        peer.send(b"\xff\xfe\r\n\xc3\xbc\r\n")
        with pytest.raises(UnicodeDecodeError):
            await soon(client.read_str())
        assert await soon(client.read_str()) == "ü"


async def test_unencodable_text(server: Server) -> None:
    async with pair(server, encoding="ascii") as (client, peer):
        with pytest.raises(UnicodeEncodeError):
            await client.write_str("ü")
        await client.write_json("ü")  # which is ASCII always
        assert await soon(peer.reader.readexactly(10)) == b'"\\u00fc"\r\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_split_packets(server: Server, size: int) -> None:
    data = "Grüße\r\n\r\n\r\r\nü\r\n".encode()
    async with pair(server) as (client, peer):
        reading = asyncio.create_task(_lines(client, 4))
        for start in range(0, len(data), size):
            peer.send(data[start : start + size])
            await peer.writer.drain()
            await asyncio.sleep(0)
        assert await soon(reading) == ["Grüße", "", "\r", "ü"]


async def _lines(client: Client, count: int) -> list[str]:
    return [await client.read_str() for _ in range(count)]


@pytest.mark.parametrize("name", READS)
async def test_timeout(server: Server, name: str) -> None:  # T10
    async with pair(server, timeout=0.01) as (client, peer):
        assert client.timeout == 0.01
        with pytest.raises(asyncio.TimeoutError):
            await READS[name](client)
        assert client.connected
        client.timeout = None
        peer.send(b"[1234567]\n\r\n" + b"\r\n" * 4)
        if name == "read all":
            peer.close()
        await soon(READS[name](client))  # nothing that comes later is lost


async def test_a_second_reader_is_refused(server: Server) -> None:
    async with pair(server) as (client, peer):
        first = asyncio.create_task(client.readexactly(10))
        await asyncio.sleep(0)
        peer.send(b"12345\r\n")
        for read in READS.values():
            with pytest.raises(RuntimeError, match="another coroutine is already waiting"):
                await read(client)
        peer.send(b"890")
        assert await soon(first) == b"12345\r\n890"
