"""Batches: our extension to the wire (docs/dip.md), between our own ends and raw ones."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.dip import Client, Server, errors
from smartbus.testing import wait_until_async as until
from tests.dip.peers import DEADLINE, Received, message, raw_client, raw_server, soon

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE = message("\x1e", b"\x01")


def batch(*frames: bytes) -> bytes:
    return message("\x1e", b"\x01" + b"".join(frames))


async def report(peer: Any) -> list[Any]:
    head = await peer.read(5)
    assert head[:1] == b"!"
    return json.loads(await peer.read(struct.unpack(">I", head[1:])[0]))  # type: ignore[no-any-return]


@pytest.fixture
def plain(client: Client) -> Any:
    """Send in another thread, without a loop."""

    async def send(mtype: str, items: Any) -> None:
        await asyncio.to_thread(client.send_many, mtype, items)

    return send


@pytest.fixture(params=["loop", "plain"])
def send_many(request: pytest.FixtureRequest, client: Client, plain: Any) -> Any:
    return client.send_many if request.param == "loop" else plain


# ---- what a client sees -------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 1024, 1025, 20_000])
async def test_everything_arrives_in_order(received: Received, send_many: Any, count: int) -> None:
    await send_many("J", range(count))
    assert received.data == list(range(count))


async def test_from_a_generator_that_ends_late(received: Received, send_many: Any) -> None:
    def items() -> Iterator[str]:
        for number in range(300):
            yield f"{number}" * 1000

    await send_many("O", items())
    assert received.data == list(items())


async def test_failures_have_their_index(path: str, send_many: Any) -> None:
    got = Received()

    def callback(_id: object, _mtype: str, data: Any) -> None:
        if data % 1000 == 7:
            raise ValueError(f"boom {data}")
        got(None, "J", data)

    server = Server(path, callback)
    await server.start()
    with pytest.raises(
        errors.ResponseError, match=r"5 of 5000 failed, the first with ValueError\('boom 7'\)$"
    ) as caught:
        await send_many("J", range(5000))
    expected = [7, 1007, 2007, 3007, 4007]
    assert caught.value.failures == {n: f"ValueError('boom {n}')" for n in expected}
    assert got.data == [n for n in range(5000) if n not in expected]
    assert server.sessions == 1
    server.stop()
    await until(lambda: not server.sessions, DEADLINE)


async def test_everything_fails(path: str, send_many: Any) -> None:
    def callback(*_: object) -> None:
        raise ValueError("boom " * 100)

    server = Server(path, callback)
    await server.start()
    with pytest.raises(errors.ResponseError) as caught:
        await send_many("J", range(5000))
    assert list(caught.value.failures) == list(range(5000))
    assert all(text.startswith("ValueError('boom") for text in caught.value.failures.values())
    server.stop()
    await until(lambda: not server.sessions, DEADLINE)


async def test_an_item_that_cannot_be_encoded(received: Received, send_many: Any) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        await send_many("J", [*range(2000), {1}, 5])
    assert received.data == list(range(2000))
    with pytest.raises(TypeError, match="not iterable"):
        await send_many("J", 5)
    with pytest.raises(errors.UnsupportedProtoError):
        await send_many("Z", [1])


async def test_both_kinds_of_errors(path: str, send_many: Any) -> None:
    def callback(_id: object, _mtype: str, data: Any) -> None:
        if data == 1:
            raise ValueError("boom")

    server = Server(path, callback)
    await server.start()
    with pytest.raises(TypeError) as caught:
        await send_many("J", [0, 1, {1}])
    assert isinstance(caught.value.__cause__, errors.ResponseError)
    assert caught.value.__cause__.failures == {1: "ValueError('boom')"}
    server.stop()
    await until(lambda: not server.sessions, DEADLINE)


async def test_coroutine_callbacks(path: str, send_many: Any) -> None:
    got = Received()

    async def callback(*call: Any) -> None:
        await asyncio.sleep(0)
        if call[2] == 3:
            raise ValueError("boom")
        got(*call)

    server = Server(path, callback)
    await server.start()
    with pytest.raises(errors.ResponseError) as caught:
        await send_many("J", range(100))
    assert caught.value.failures == {3: "ValueError('boom')"}
    assert got.data == [n for n in range(100) if n != 3]
    server.stop()
    await until(lambda: not server.sessions, DEADLINE)


async def test_single_messages_over_the_same_connection(path: str, client: Client) -> None:
    """After a batch, errors have a length: the connection is kept."""

    def callback(_id: object, _mtype: str, data: Any) -> None:
        if data == "fail":
            raise ValueError("boom")

    server = Server(path, callback)
    await server.start()
    await client.send_many("J", [1])
    for _ in range(3):
        with pytest.raises(
            errors.ResponseError, match=r"^Server respond with: ValueError\('boom'\)$"
        ):
            await client.send_json("fail")
    assert server.sessions == 1
    server.stop()
    await until(lambda: not server.sessions, DEADLINE)


async def test_a_server_that_knows_no_batches(path: str, send_many: Any) -> None:
    """It is asked once; then messages go one by one, which also has accounts of failures."""
    async with raw_server(path) as server:
        sending = asyncio.ensure_future(send_many("J", [1, 2, 3]))
        first = await server.request(PROBE)
        first.send(b"UnsupportedProtoError('No protocol found in registry for message type: 30')")
        assert await first.rest() == b""
        second = await server.request(message("J", b"1"))
        second.send(b"ok")
        assert await second.read(6) == message("J", b"2")
        second.send(b"ValueError('boom')")
        third = await server.request(message("J", b"3"))
        third.send(b"ok")
        with pytest.raises(errors.ResponseError, match="1 of 3 failed") as caught:
            await soon(sending)
        assert caught.value.failures == {1: "Server respond with: ValueError('boom')"}
        again = asyncio.ensure_future(send_many("J", [4]))
        assert await third.read(6) == message("J", b"4")
        third.send(b"ok")
        await soon(again)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", errors.ConnectionClosed),
        (b"!\0\0\0\x08[[", errors.ConnectionClosed),
        (b"!\0\0\0\x02[]", errors.ResponseError),
        (b"!\0\0\0\x02{{", errors.ResponseError),
        (b"!\0\0\0\x0f" + b'[[-1, "whole"]]', errors.ResponseError),
        (b"!\xff\xff\xff\xff", errors.ResponseError),
        (b"ValueError('boom')", errors.ResponseError),
    ],
)
async def test_answers_to_a_batch(
    path: str, send_many: Any, answer: bytes, expected: type[Exception]
) -> None:
    async with raw_server(path) as server:
        sending = asyncio.ensure_future(send_many("J", [1, 2]))
        peer = await server.request(PROBE)
        peer.send(b"ok")
        frames = batch(message("J", b"1"), message("J", b"2"))
        assert await peer.read(len(frames)) == frames
        peer.send(answer)
        await peer.close()
        with pytest.raises(expected) as caught:
            await soon(sending)
        if isinstance(caught.value, errors.ResponseError):
            assert set(caught.value.failures) == {0, 1}


# ---- what a server sees -------------------------------------------------------------------


async def test_one_answer_to_a_batch(received: Received, path: str) -> None:
    async with raw_client(path) as peer:
        peer.send(PROBE + batch(message("J", b"1"), message("O", b"")) + message("J", b"2"))
        assert await peer.read(6) == b"okokok"
        peer.send(batch(message("J", b"{"), message("Z", b""), message("J", b"3")))
        failures = await report(peer)
        assert [index for index, _ in failures] == [0, 1]
        peer.send(message("Z", b""))
        assert (await report(peer))[0][0] == -1
    assert received.data == [1, "", 2, 3]


@pytest.mark.parametrize(
    "body", [b"", b"\x02", b"\x01J", b"\x01J\0\0\0\x02x", b"\x01" + message("J", b"1") + b"J\0"]
)
async def test_broken_batches_do_nothing(received: Received, path: str, body: bytes) -> None:
    async with raw_client(path) as peer:
        peer.send(message("\x1e", body))
        assert (await report(peer))[0][0] == -1
        peer.send(message("J", b"5"))
        assert await peer.read(2) == b"ok"
    assert received.data == [5]


async def test_a_batch_in_a_batch(received: Received, path: str) -> None:
    async with raw_client(path) as peer:
        peer.send(batch(message("J", b"1"), batch(message("J", b"2")), message("J", b"3")))
        failures = await report(peer)
        assert failures == [[1, "UnsupportedProtoError('A batch in a batch')"]]
    assert received.data == [1, 3]


async def test_a_batch_over_the_limit(path: str) -> None:
    server = Server(path, max_message_size=100)
    await server.start()
    async with raw_client(path) as peer:
        peer.send(batch(*[message("O", b"x" * 100)] * 600) + batch(message("O", b"x" * 101)))
        assert await peer.read(2) == b"ok"
        assert (await report(peer))[0][0] == 0
        peer.send(batch(*[message("O", b"x" * 100)] * 700))
        assert (await report(peer))[0][0] == -1
    server.stop()
    await until(lambda: not server.sessions, DEADLINE)
