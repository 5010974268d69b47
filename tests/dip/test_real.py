"""Byte for byte and message for message with the real dip, in both directions."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.dip import Client, Server, errors, proto
from tests.dip.peers import DEADLINE, DEFAULT_ID, ROOT, Received, raw_client, raw_server, real, soon
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: One row for each built-in protocol and kind of value. Zero bytes of body kill the real server.
MESSAGES: list[tuple[str, Any]] = [
    ("J", {"hello": "world", "list": [1, 2.5, None, True], "文": "字"}),
    ("J", "text"),
    ("J", [0.1, 1e300, -7]),
    ("P", (1, b"bytes", {"a": {2, 3}})),
    ("O", "standard output 文\n"),
    ("E", "error output"),
    ("H", {"header": "value 文"}),
    ("o", {"arg": "a", "subtask_out": "b"}),
    ("o", {"subtask_out": "b", "arg": ""}),
    ("e", {"subtask_err": "only one"}),
    ("U", [1, {"a": "文"}, None]),
    ("I", ["x" * 5000]),
]
#: What only encodes.
MORE: list[tuple[str, Any]] = [
    *MESSAGES,
    ("O", ""),
    ("D", {}),
    ("U", []),
    ("J", float("inf")),
    ("\x1d", uuid.UUID(DEFAULT_ID)),
]


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest, path: str) -> str:
    return path if request.param == "unix" else str(free_port())


def ours(address: str) -> str | int:
    return int(address) if address.isdigit() else address


async def test_frames_are_the_same() -> None:
    async with real("codec") as codec:
        for mtype, data in MORE:
            source = repr(data) if mtype != "\x1d" else f"__import__('uuid').{data!r}"
            source = "float('inf')" if data == float("inf") else source
            frame = b"".join(proto.Protocol.dispatch(ord(mtype)).encode(data))
            assert await codec.ask("encode", mtype, source) == frame.hex()
            assert await codec.ask("decode", frame.hex()) == repr(data)


REFUSED: list[tuple[str, str]] = [
    ("H", "{'x': '1'}"),
    ("H", "{'header': 1}"),
    ("O", "5"),
    ("O", "b'bytes'"),
    ("J", "{1, 2}"),
    ("Z", "1"),
    ("U", "5"),
    ("U", "[{1}]"),
]


@pytest.mark.parametrize(("mtype", "source"), REFUSED)
async def test_what_cannot_be_encoded_fails_alike(mtype: str, source: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - compared below
        proto.Protocol.dispatch(ord(mtype)).encode(eval(source))  # noqa: S307
    async with real("codec") as codec:
        theirs = await codec.ask("encode", mtype, source)
    assert theirs == f"{caught.type.__name__}: {caught.value}"


BROKEN = [
    "4800000007 00050000000161",
    "4800000007 00000000000561",
    "4f00000001 ff",
    "4a00000001 7b",
    "1d00000003 010203",
    "5a00000000",
]


@pytest.mark.parametrize("frame", BROKEN)
async def test_what_cannot_be_decoded_fails_alike(frame: str) -> None:
    raw = bytearray.fromhex(frame)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - compared below
        proto.Protocol.dispatch(raw[0]).decode(memoryview(raw))
    async with real("codec") as codec:
        theirs = await codec.ask("decode", raw.hex())
    assert theirs == f"{caught.type.__name__}: {caught.value}"


@contextlib.asynccontextmanager
async def serving(address: str, callback: Any) -> AsyncIterator[Server]:
    server = Server(ours(address), callback, allow_pickle=True)
    running = asyncio.create_task(server.serve_forever())
    await server.start()
    try:
        yield server
    finally:
        server.stop()
        await soon(running)


async def test_our_client_and_the_real_server(address: str) -> None:
    async with real("serve", address) as server:
        client = Client(ours(address), timeout=DEADLINE)
        for mtype, data in MESSAGES:
            await client.send_msg(mtype, data)
        await client.send_many("J", range(3))
        with pytest.raises(
            errors.ResponseError, match=r"^Server respond with: ValueError\('boom'\)$"
        ):
            await client.send_json("fail")
        with pytest.raises(errors.ResponseError) as caught:
            await client.send_many("J", [5, "fail", 6])
        assert caught.value.failures == {1: "Server respond with: ValueError('boom')"}
        client.quit()
        expected = [*MESSAGES, *(("J", n) for n in (0, 1, 2, 5, 6))]
        calls = await server.received(len(expected))
        assert calls == [(DEFAULT_ID, mtype, data) for mtype, data in expected]


async def test_our_client_without_a_loop_and_the_real_server(address: str) -> None:
    def send() -> None:
        with Client(ours(address), timeout=DEADLINE) as client:
            for mtype, data in MESSAGES:
                client.send_msg(mtype, data)
            with pytest.raises(errors.ResponseError, match="boom"):
                client.send_json("fail")
            client.send_many("J", range(3))

    async with real("serve", address) as server:
        await asyncio.to_thread(send)
        expected = [*MESSAGES, *(("J", n) for n in range(3))]
        calls = await server.received(len(expected))
        assert calls == [(DEFAULT_ID, mtype, data) for mtype, data in expected]


@pytest.mark.parametrize(
    "connection", ["default", "None", "'12345678-0000-0000-0000-000000000000'"]
)
async def test_the_real_client_and_our_server(address: str, connection: str) -> None:
    received = Received()

    def callback(connection: uuid.UUID | None, mtype: str, data: Any) -> None:
        if data == "fail":
            raise ValueError("boom")
        received(connection, mtype, data)

    async with serving(address, callback), real("send", address, connection) as client:
        for mtype, data in MESSAGES:
            assert await client.ask("send", mtype, repr(data)) == ""
        failed = await client.ask("send", "J", repr("fail"))
        assert failed == "ResponseError(\"Server respond with: ValueError('boom')\")"
        # What kills their own server.
        assert await client.ask("send", "O", "''") == ""
        assert await client.ask("send", "U", "[]") == ""
    name = {"default": DEFAULT_ID, "None": None}.get(connection, connection.strip("'"))
    expected = [*MESSAGES, ("O", ""), ("U", [])]
    assert [(cid and str(cid), *rest) for cid, *rest in received.calls] == [
        (name, mtype, data) for mtype, data in expected
    ]


async def test_the_bytes_of_both_clients(path: str) -> None:
    """What a client writes: theirs and ours, awaited and without a loop."""
    streams = []
    async with raw_server(path) as server:

        async def watch() -> None:
            peer = await server.peer()
            got = b""
            for mtype, data in MESSAGES:
                frame = b"".join(proto.Protocol.dispatch(ord(mtype)).encode(data))
                got += await peer.read(len(frame))
                peer.send(b"ok")
            assert await peer.rest() == b""
            streams.append(got)

        watching = asyncio.create_task(watch())
        async with real("send", path, "default") as client:
            for mtype, data in MESSAGES:
                assert await client.ask("send", mtype, repr(data)) == ""
        await soon(watching)

        watching = asyncio.create_task(watch())
        async with Client(path) as ours:
            for mtype, data in MESSAGES:
                await ours.send_msg(mtype, data)
        await soon(watching)

        watching = asyncio.create_task(watch())

        def send() -> None:
            with Client(path) as ours:
                for mtype, data in MESSAGES:
                    ours.send_msg(mtype, data)

        await asyncio.to_thread(send)
        await soon(watching)
    assert streams[0] == streams[1] == streams[2]


FRAMES = [
    "4a00000001 31 4a00000001 32 4a00000001 33",
    "4a00000001 7b 4a00000001 33",
    "5a00000001 7b",
    "1d00000003 010203",
    "4f00000001 ff",
    "4a00000006 226661696c22",
    "4800000007 00050000000161",
]


@pytest.mark.parametrize("frames", FRAMES)
async def test_the_answers_of_both_servers(path: str, tmp_path: Any, frames: str) -> None:
    def callback(_id: object, _mtype: str, data: Any) -> None:
        if data == "fail":
            raise ValueError("boom")

    answers = []
    other = str(tmp_path / "real")
    async with real("serve", other), serving(path, callback):
        for where in (path, other):
            async with raw_client(where) as peer:
                peer.send(bytes.fromhex(frames))
                peer.writer.write_eof()
                answers.append(await peer.rest())
    assert answers[0] == answers[1] != b""


# ---- eight processes ----------------------------------------------------------------------

SENDER = """
import sys
from smartbus.dip import Client
where, name, count, many = sys.argv[1:]
where = int(where) if where.isdigit() else where
with Client(where, timeout=60) as client:
    if many == "many":
        client.send_many("J", ([name, number] for number in range(int(count))))
    else:
        for number in range(int(count)):
            client.send_json([name, number])
"""


async def our_sender(address: str, name: str, count: int, how: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SENDER, address, name, str(count), how, cwd=ROOT
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0


async def real_sender(address: str, name: str, count: int) -> None:
    async with real("send", address, repr(name)) as client:
        client.tell("count", count)
        assert client.process.stdout is not None
        assert await asyncio.wait_for(client.process.stdout.readline(), 60) == b'""\n'


def check_nothing_lost(data: list[Any], names: list[str]) -> None:
    by_sender: dict[str, list[int]] = {name: [] for name in names}
    for name, number in data:
        by_sender[name].append(number)
    assert by_sender == {name: list(range(1000)) for name in names}


NAMES = [str(uuid.UUID(int=number)) for number in range(1, 9)]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["single", "many"])
async def test_eight_of_our_clients_and_the_real_server(address: str, how: str) -> None:
    async with real("serve", address) as server:
        await asyncio.gather(*(our_sender(address, name, 1000, how) for name in NAMES))
        calls = await server.received(8000)
    check_nothing_lost([data for _, _, data in calls], NAMES)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["real", "single", "many"])
async def test_eight_clients_and_our_server(address: str, how: str) -> None:
    received = Received()
    async with serving(address, received):
        await asyncio.gather(
            *(
                real_sender(address, name, 1000)
                if how == "real"
                else our_sender(address, name, 1000, how)
                for name in NAMES
            )
        )
    data = [
        [name.strip("'"), number] for name, number in received.data
    ]  # the real one's name is a literal
    check_nothing_lost(data, NAMES)
