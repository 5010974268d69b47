"""Messages that come to a `TcpClient` (TCPCLIENT 2.3, 2.5)."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio.tcp import MsgType
from smartbus.testing import wait_until_async as until
from tests.aio.peers import soon
from tests.aio.tcp.ends import Inbox, Position, States, pair, reset, tcp_pair

if TYPE_CHECKING:
    from tests.aio.peers import Server


async def test_every_value_comes_in_order(server: Server) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox) as (_, peer):
        peer.send(b'{"a": 1}\r\n[1, 2]\r\n"x"\r\n17\r\nnull\r\n  true \r\n')
        await inbox.reach({"a": 1}, [1, 2], "x", 17, None, True)


async def test_arguments_of_the_callback(server: Server) -> None:
    seen = []

    async def callback(*args: Any, message: Any) -> None:
        seen.append((args, message))

    async with tcp_pair(server, callback, 1, "two") as (_, peer):
        peer.send(b"3\r\n")
        await until(lambda: seen == [((1, "two"), 3)])


async def test_many_in_order(server: Server) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox) as (_, peer):
        numbers = range(20_000)
        peer.send(b"".join(b"%d\r\n" % number for number in numbers))
        await inbox.reach(*numbers)


@pytest.mark.parametrize("size", [1, 3, 5])
async def test_split_packets(server: Server, size: int) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox, terminator=b"<end>") as (_, peer):
        data = b'"a<en>"<end>[]<end>'
        for start in range(0, len(data), size):
            peer.send(data[start : start + size])
            await peer.writer.drain()
            await asyncio.sleep(0)
        await inbox.reach("a<en>", [])


async def test_one_after_the_other(server: Server) -> None:
    running, seen = 0, []
    gate = asyncio.Event()

    async def callback(*, message: Any) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await gate.wait()
        await asyncio.sleep(0)
        running -= 1
        seen.append(message)

    async with tcp_pair(server, callback) as (_, peer):
        peer.send(b"1\r\n2\r\n3\r\n")
        await until(lambda: running == 1)
        gate.set()
        await until(lambda: seen == [1, 2, 3])


async def test_a_slow_callback_slows_the_peer_down(server: Server) -> None:
    gate, inbox = asyncio.Event(), Inbox()

    async def callback(*, message: Any) -> None:
        await gate.wait()
        await inbox(message=message)

    lines = 200_000
    async with tcp_pair(server, callback) as (client, peer):
        peer.send(b'"......................................"\r\n' * lines)
        drained = asyncio.create_task(peer.writer.drain())
        assert client._stream is not None
        inbound = client._stream.inbound
        await until(lambda: len(inbound) > 1 << 17)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(inbound) <= 3 << 16
        assert not drained.done()
        gate.set()
        await until(lambda: len(inbox.messages) == lines)
        await soon(drained)


BAD_LINES = {
    "no json": b'{"a": ',
    "empty": b"",
    "no utf-8": b'"\xff\xfe"',  # T1
    "long": b'"' + b"x" * 70_000 + b'"',  # T2
    "very long": b"[" * 5_000_000,
    "deep": b"[" * 30_000 + b"]" * 30_000,
    "huge number": b"9" * 60_000,
}


@pytest.mark.parametrize("kind", BAD_LINES)
async def test_bad_lines_are_left_out(
    server: Server, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox) as (client, peer):
        peer.send(b"1\r\n" + BAD_LINES[kind] + b"\r\n2\r\n" + BAD_LINES[kind] + b"\r\n3\r\n")
        await inbox.reach(1, 2, 3)
        assert client.connected
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 2
    for record in errors:
        assert record.getMessage().endswith("Ignoring the received message.")
        assert len(record.getMessage()) < 1000


async def test_a_long_line_whose_terminator_comes_in_two(server: Server) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox, limit=1000, terminator=b"<end>") as (client, peer):
        assert client._stream is not None
        inbound = client._stream.inbound
        peer.send(b"x" * 100_000 + b"<en")
        await until(lambda: len(inbound) == 4)  # the rest is dropped already
        peer.send(b"d>1<end>")
        await inbox.reach(1)


async def test_a_long_line_that_never_ends(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    states = States()
    async with tcp_pair(server, limit=1000, connect_callback=states) as (_, peer):
        peer.send(b"x" * 100_000)
        peer.close()
        await states.reach(True, False)
    assert caplog.text.count("Ignoring the received message.") == 1


async def test_limit(server: Server) -> None:
    inbox = Inbox()
    text = "x" * (16 << 20)
    async with tcp_pair(server, inbox, limit=32 << 20) as (_, peer):
        peer.send(f'"{text}"\r\n1\r\n'.encode())
        await inbox.reach(text, 1)


async def test_other_encodings(server: Server) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox, encoding="utf-16", terminator=b"\n") as (_, peer):
        peer.send('"Grüße"'.encode("utf-16") + b"\n" + "[]".encode("utf-16") + b"\n")
        await inbox.reach("Grüße", [])


async def test_heartbeats_of_the_peer_are_no_errors(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox) as (_, peer):
        peer.send(b"heartbeat\r\n1\r\nheartbeat\r\n2\r\n")
        await inbox.reach(1, 2)
    assert "Ignoring" not in caplog.text


async def test_a_failing_callback(server: Server, caplog: pytest.LogCaptureFixture) -> None:  # T11
    seen = []

    async def callback(*, message: Any) -> None:
        seen.append(message)
        if message == 1:
            raise ConnectionError("of mine")  # which is none of this connection

    async with tcp_pair(server, callback) as (client, peer):
        peer.send(b"1\r\n2\r\n")
        await until(lambda: seen == [1, 2])
        assert client.connected
    (record,) = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert record.getMessage() == "Error in processing the message: 1"
    assert record.exc_info is not None


async def test_a_callback_that_is_cancelled(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can tell it from the loop being cancelled, so the connection ends, and says so."""
    states = States()

    async def callback(*, message: Any) -> None:
        raise asyncio.CancelledError

    async with tcp_pair(server, callback, connect_callback=states) as (client, peer):
        peer.send(b"1\r\n")
        await states.reach(True, False)
        assert (client.connected, client.should_be_connected) == (False, True)
    assert "read loop was cancelled" in caplog.text


@pytest.mark.parametrize("seed", range(4))
async def test_any_lines_in_any_pieces(server: Server, seed: int) -> None:
    """What is good comes, all of it and in order; what is not is left out."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    lines, expected = [], []
    for number in range(400):
        kind = chance.choice(["good", "good", "good", "noise", "long", "cut", "empty"])
        if kind == "good":
            value = {"n": number, "text": "ü\r\n" * chance.randrange(40)}
            lines.append(json.dumps(value, ensure_ascii=chance.random() < 0.5).encode())
            expected.append(value)
        elif kind == "noise":
            lines.append(b"\xff" + chance.randbytes(chance.randrange(200)).replace(b"\r", b""))
        elif kind == "long":
            lines.append(b'"' + b"x" * chance.randrange(1000, 5000) + b'"')
        else:
            lines.append(b'{"a": ' if kind == "cut" else b"")
    data = b"".join(line + b"\r\n" for line in lines)
    inbox = Inbox()
    async with tcp_pair(server, inbox, limit=1000) as (client, peer):
        while data:
            size = chance.choice([1, 2, 3, 10, 100, 1000, 10_000])
            peer.send(data[:size])
            data = data[size:]
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        await inbox.reach(*expected)
        assert client.connected


@pytest.mark.parametrize("broken", [True, False])
async def test_everything_before_the_end_is_processed(server: Server, broken: bool) -> None:
    gate, inbox, states = asyncio.Event(), Inbox(), States()

    async def callback(*, message: Any) -> None:
        await gate.wait()
        await inbox(message=message)

    async with tcp_pair(server, callback, connect_callback=states) as (client, peer):
        peer.send(b"1\r\n2\r\n3\r\n4")
        await peer.writer.drain()
        assert client._stream is not None
        inbound = client._stream.inbound
        await until(lambda: len(inbound) == 7)
        if broken:
            reset(peer)
        else:
            peer.close()
        await until(lambda: inbound.eof)
        assert client.connected != broken
        gate.set()
        await inbox.reach(1, 2, 3)
        await states.reach(True, False)


# --- reading beside the loop (T7) -------------------------------------------------------------


async def test_a_pending_read_has_precedence(server: Server) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox) as (client, peer):
        reading = asyncio.create_task(client.read_str())
        await asyncio.sleep(0)
        peer.send(b"mine\r\n1\r\n")
        assert await soon(reading) == "mine"
        await inbox.reach(1)
        into = Position()
        structure = asyncio.create_task(client.read_into(into))
        await asyncio.sleep(0)
        peer.send(bytes(Position(1, 2, 3.0)) + b"2\r\n")
        await soon(structure)
        assert bytes(into) == bytes(Position(1, 2, 3.0))
        await inbox.reach(1, 2)


async def test_a_cancelled_read_leaves_everything_to_the_loop(server: Server) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox) as (client, peer):
        reading = asyncio.create_task(client.readexactly(100))
        await asyncio.sleep(0)
        peer.send(b"1\r\n")
        assert client._stream is not None
        inbound = client._stream.inbound
        await until(lambda: len(inbound) == 3)
        assert inbox.messages == []
        reading.cancel()
        await inbox.reach(1)


async def test_reading_within_the_callback(server: Server) -> None:
    seen: list[Any] = []

    async def callback(*, message: Any) -> None:
        seen.append(message)
        if message == "binary":
            seen.append(await client.readexactly(3))

    async with tcp_pair(server, callback) as (client, peer):
        peer.send(b'1\r\n"binary"\r\n\xff\r\n2\r\n')
        await until(lambda: seen == [1, "binary", b"\xff\r\n", 2])


async def test_without_read_loop(server: Server) -> None:
    inbox = Inbox()
    async with tcp_pair(server, inbox, read_loop=False) as (client, peer):
        await client.write_message(MsgType.Command, "power")
        line = json.loads(await soon(peer.reader.readline()))
        peer.send(b'{"id": "ack", "sequence_id": %d}\r\n' % line["sequence_id"])
        assert await soon(client.read_json()) == {"id": "ack", "sequence_id": 1}
        assert inbox.messages == []


# --- the rate (T8) ----------------------------------------------------------------------------


async def test_message_rate(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    inbox = Inbox()
    async with tcp_pair(server, inbox, check_message_rate=True) as (_, peer):
        peer.send(b"1\r\n2\r\n3\r\n")
        await inbox.reach(1, 2, 3)
        await until(lambda: caplog.text.count("Consumed") == 2)  # the second says that it is over
    rates = [float(rate) for rate in re.findall(r"Consumed (\d+\.\d+) messages/s\.", caplog.text)]
    assert 0 < rates[0] <= 1.5  # 3 in 2 s; a busy machine may take longer
    assert rates[1] == 0.0


async def test_no_message_rate(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    inbox = Inbox()
    async with tcp_pair(server, inbox) as (client, peer):
        peer.send(b"1\r\n")
        await inbox.reach(1)
        assert client._rate is None


async def test_a_plain_client_takes_nothing(server: Server) -> None:
    async with pair(server) as (client, peer):
        peer.send(b"1\r\n")
        await until(lambda: client._stream is not None and len(client._stream.inbound) == 3)
        assert await client.read_json() == 1
