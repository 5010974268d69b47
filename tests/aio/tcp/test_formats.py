"""Exact bytes (TCPCLIENT 2.2)."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio.tcp import Client, MsgType, OneClientServer, index_generator
from tests.aio.peers import soon
from tests.aio.tcp.ends import LOG, Position, pair, received, tcp_pair

if TYPE_CHECKING:
    from tests.aio.peers import Server

JSON: list[tuple[Any, bytes]] = [
    ({"a": 1, "b": [1.5, None, True]}, b'{"a": 1, "b": [1.5, null, true]}\r\n'),
    ("Grüße, 世界 \U0001f600", b'"Gr\\u00fc\\u00dfe, \\u4e16\\u754c \\ud83d\\ude00"\r\n'),
    ('\r\n"\\/\x00', b'"\\r\\n\\"\\\\/\\u0000"\r\n'),
    (17, b"17\r\n"),
    (1e300, b"1e+300\r\n"),
    (None, b"null\r\n"),
    ([], b"[]\r\n"),
    ({1: 2, None: 3, 1.5: 4, False: 5}, b'{"1": 2, "null": 3, "1.5": 4, "false": 5}\r\n'),
    (math.nan, b"NaN\r\n"),
    ([math.inf, -math.inf], b"[Infinity, -Infinity]\r\n"),
    ((1, 2), b"[1, 2]\r\n"),
    ({"n": 2**70}, b'{"n": 1180591620717411303424}\r\n'),
]


@pytest.mark.parametrize(("value", "expected"), JSON, ids=repr)
async def test_write_json(server: Server, value: Any, expected: bytes) -> None:
    assert expected == (json.dumps(value) + "\r\n").encode()
    async with pair(server) as (client, peer):
        await client.write_json(value)
        assert await received(peer, len(expected)) == expected


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, {"a": b"b"}, {(1, 2): 3}, LOOP],
    ids=lambda value: type(value).__name__,
)
async def test_what_json_cannot_say_raises_as_json_dumps(server: Server, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as official:
        json.dumps(value)
    async with pair(server) as (client, peer):
        with pytest.raises(official.type) as ours:
            await client.write_json(value)
        assert str(ours.value) == str(official.value)
        await client.write(b"next")  # and nothing was sent
        assert await received(peer, 4) == b"next"


async def test_json_without_nan(server: Server) -> None:  # T15
    async with pair(server, allow_nan=False) as (client, peer):
        for value in (math.nan, [math.inf], {"a": -math.inf}):
            with pytest.raises(ValueError, match="Out of range float values"):
                await client.write_json(value)
        await client.write_json({"a": 1.5})
        assert await received(peer, 12) == b'{"a": 1.5}\r\n'


@pytest.mark.parametrize("terminator", [b"\r\n", b"\n", b"\r", b"<end>"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_lines_both_ways(host: str, encoding: str, terminator: bytes) -> None:
    line = "Grüße"
    wire = line.encode(encoding) + terminator  # UTF-16: with a mark at the begin of each line
    kinds: dict[str, Any] = {"encoding": encoding, "terminator": terminator}
    async with OneClientServer(host, 0, LOG, **kinds) as server:
        client = Client(host, server.port, LOG, **kinds)
        async with client:
            await soon(server.connected_task)
            for writer, reader in ((client, server), (server, client)):
                await writer.write_str(line)
                assert await soon(reader.readexactly(len(wire))) == wire
                await writer.write_str(line)
                await writer.write_str("")
                assert await soon(reader.read_str()) == line
                assert await soon(reader.read_str()) == ""
                await writer.write_json({"a": line})
                assert await soon(reader.read_json()) == {"a": line}
                await writer.writelines([b"a", b"bc", terminator])
                assert await soon(reader.readuntil(terminator)) == b"abc" + terminator
                await writer.write(b"x" + terminator)
                assert await soon(reader.read(100)) == b"x" + terminator


async def test_utf_16_has_a_mark_in_each_line(server: Server) -> None:
    async with pair(server, encoding="utf-16") as (client, peer):
        await client.write_str("a")
        await client.write_json([])
        assert await received(peer, 12) in (
            b"\xff\xfea\0\r\n\xff\xfe[\0]\0\r\n"[:12],
            b"\xfe\xff\0a\r\n\xfe\xff\0[\0]\r\n"[:12],
        )


async def test_structures_as_they_are_in_memory(server: Server) -> None:
    first, second = Position(1, -2, 3.5), Position(255, 17, -1.0)
    async with pair(server) as (client, peer):
        await client.write_from(first, second)
        await client.write_from(second)
        expected = bytes(first) + bytes(second) * 2
        assert len(bytes(first)) == 16
        assert await received(peer, 48) == expected
        peer.send(expected)
        came = Position()
        for position in (first, second, second):
            await client.read_into(came)
            assert bytes(came) == bytes(position)


async def test_bytes_of_all_kinds(server: Server) -> None:
    async with pair(server) as (client, peer):
        changing = bytearray(b"abc")
        for _ in range(2):
            await client.write(changing)
        await client.write(memoryview(changing)[1:])
        changing[:] = b"xyz"  # what was written stays what it was
        assert await received(peer, 8) == b"abcabcbc"
        for wrong in ("text", 5, None):
            with pytest.raises(TypeError):
                await client.write(wrong)  # type: ignore[arg-type]


async def test_structures_in_pieces(server: Server) -> None:
    sent, came = Position(7, 8, 9.0), Position()
    async with pair(server) as (client, peer):
        reading = asyncio.create_task(client.read_into(came))
        for byte in bytes(sent):
            peer.send(bytes([byte]))
            await asyncio.sleep(0)
        await soon(reading)
        assert bytes(came) == bytes(sent)


async def test_heartbeats(server: Server) -> None:
    kinds: dict[str, Any] = {"run_heartbeat_send_task": True, "heartbeat_send_sleep": 0.01}
    async with pair(server, **kinds) as (_, peer):
        assert await received(peer, 33) == b"heartbeat\r\n" * 3
    # UTF-16 or not: the word is never encoded. The first comes at once.
    kinds = {**kinds, "heartbeat_send_sleep": 3600, "encoding": "utf-16", "terminator": b"!"}
    async with tcp_pair(server, **kinds) as (_, peer):
        assert await received(peer, 10) == b"heartbeat!"


async def test_no_heartbeats_between_structures(  # T13
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with pair(server, run_heartbeat_send_task=True, heartbeat_send_sleep=0.001) as ends:
        client, peer = ends
        await peer.reader.readuntil(b"\r\n")
        await client.write_from(Position(1, 2, 3.0))
        data = await soon(peer.reader.readuntil(bytes(Position(1, 2, 3.0))))
        assert data.removesuffix(bytes(Position(1, 2, 3.0))).replace(b"heartbeat\r\n", b"") == b""
        for _ in range(20):
            await client.write_from(Position(1, 2, 3.0))
            await asyncio.sleep(0.002)
        assert await received(peer, 320) == bytes(Position(1, 2, 3.0)) * 20
    assert [r.levelname for r in caplog.records if "no more heartbeats" in r.message] == ["WARNING"]


# --- messages ---------------------------------------------------------------------------------

MESSAGES: list[tuple[tuple[Any, ...], bytes]] = [
    ((MsgType.Command, "power"), b'{"id": "cmd_power", "sequence_id": 1}\r\n'),
    ((1, "p", {"b": 1, "a": 2}), b'{"b": 1, "a": 2, "id": "cmd_p", "sequence_id": 1}\r\n'),
    ((MsgType.Command, "p", None, "M2"), b'{"id": "cmd_p", "sequence_id": 1}\r\n'),
    (
        (MsgType.Command, "p", {"sequence_id": 9, "a": 2}),
        b'{"sequence_id": 1, "a": 2, "id": "cmd_p"}\r\n',
    ),
    ((MsgType.Event, "e", {"x": "\xfc"}), b'{"x": "\\u00fc", "id": "evt_e"}\r\n'),
    ((2, "e", {}, "M2"), b'{"id": "evt_e", "compName": "M2"}\r\n'),
    ((MsgType.Telemetry, "t"), b'{"id": "tel_t"}\r\n'),
    ((3, "t", {"x": 1.0}, ""), b'{"x": 1.0, "id": "tel_t", "compName": ""}\r\n'),
]


@pytest.mark.parametrize(("arguments", "expected"), MESSAGES, ids=repr)
async def test_write_message(server: Server, arguments: tuple[Any, ...], expected: bytes) -> None:
    details = arguments[2] if len(arguments) > 2 else None
    before = None if details is None else dict(details)
    async with tcp_pair(server) as (client, peer):
        await client.write_message(*arguments)
        assert await received(peer, len(expected)) == expected
    assert details == before


async def test_sequence_ids(server: Server) -> None:
    async with tcp_pair(server) as (client, peer):
        assert client.last_sequence_id == -1
        for number in (1, 2, 3):
            await client.write_message(MsgType.Command, "power")
            assert client.last_sequence_id == number
            line = await soon(peer.reader.readuntil(b"\r\n"))
            assert json.loads(line) == {"id": "cmd_power", "sequence_id": number}


async def test_errors_use_up_no_sequence_id(server: Server) -> None:  # T3
    async with tcp_pair(server) as (client, peer):
        with pytest.raises(ValueError, match="'id'"):
            await client.write_message(MsgType.Command, "p", {"id": 1})
        with pytest.raises(ValueError, match="type"):
            await client.write_message(4, "p")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not JSON serializable"):
            await client.write_message(MsgType.Command, "p", {"a": object()})
        assert client.last_sequence_id == -1
        await client.write_message(MsgType.Command, "p")
        assert (await soon(peer.reader.readuntil(b"\r\n"))) == MESSAGES[2][1]


async def test_sequence_ids_of_ones_own(server: Server) -> None:
    async with tcp_pair(server, sequence_generator=iter([17, 5])) as (client, peer):
        await client.write_message(MsgType.Command, "p")
        await client.write_message(MsgType.Command, "p")
        lines = [json.loads(await soon(peer.reader.readline())) for _ in range(2)]
        assert [line["sequence_id"] for line in lines] == [17, 5]
        assert client.last_sequence_id == 5


async def test_index_generator_begins_again() -> None:
    numbers = index_generator(1, 3)
    assert [next(numbers) for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]
    assert next(index_generator()) == 1
    high = index_generator(2**31 - 1)
    assert [next(high), next(high)] == [2**31 - 1] * 2


async def test_writing_messages_without_a_connection(server: Server) -> None:
    async with tcp_pair(server) as (client, _):
        await client.close()
        with pytest.raises(RuntimeError):  # before anything else is looked at
            await client.write_message(9, "p", {"id": 1})  # type: ignore[arg-type]
