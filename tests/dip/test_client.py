"""`Client` in an event loop: what it promises, and W2-W6, W11, W12, W15 (DIP.md 1.5, 1.6)."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.dip import Client, Server, errors
from smartbus.testing import wait_until_async as until
from tests.dip.peers import DEADLINE, Received, message, raw_server, soon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FRAME = message("J", b"1")

#: For what is to run into a timeout.
SHORT = 0.05


async def other_server(path: str) -> Received:
    other = Received()
    other.server = Server(path, other)
    await other.server.start()
    return other


async def end(received: Received) -> None:
    received.server.stop()
    await received.stopped()


# ---- sending ------------------------------------------------------------------------------


async def test_messages_arrive(received: Received, client: Client) -> None:
    assert await client.send_json({"a": 1}) is None  # type: ignore[func-returns-value]
    await client.send_obj((1, 2))
    await client.send_msg("O", "text")
    await client.send_msg(b"E", "error")
    await client.send_msg("U", [1, 2])
    assert [(mtype, data) for _, mtype, data in received.calls] == [
        ("J", {"a": 1}),
        ("P", (1, 2)),
        ("O", "text"),
        ("E", "error"),
        ("U", [1, 2]),
    ]


async def test_it_is_whatever_a_coroutine_is(received: Received, client: Client) -> None:
    await asyncio.create_task(client.send_json(0))
    await asyncio.gather(client.send_json(1), client.send_json(2))
    await asyncio.wait_for(client.send_json(3), DEADLINE)
    await asyncio.gather(*[asyncio.ensure_future(client.send_json(4))])
    await asyncio.shield(client.send_json(5))
    assert sorted(received.data) == [0, 1, 2, 3, 4, 5]


async def test_nobody_has_to_await(received: Received, client: Client) -> None:
    for number in range(20):
        client.send_json(number)
    await received.count(20)
    assert sorted(received.data) == list(range(20))


async def test_a_client_that_nobody_keeps(received: Received, path: str) -> None:
    Client(path).send_json(1)
    await received.count(1)
    gc.collect()
    await until(lambda: not received.server.sessions, DEADLINE)


@pytest.mark.parametrize(
    "name", [uuid.UUID(int=7), "12345678-1234-1234-1234-123456789012", None], ids=str
)
async def test_ids(received: Received, path: str, name: Any) -> None:
    async with Client(path, id=name) as client:
        await client.send_json(1)
    assert received.calls == [(name and uuid.UUID(str(name)), "J", 1)]


def test_arguments(path: str) -> None:
    with pytest.raises(ValueError, match="badly formed"):
        Client(path, "no uuid")
    with pytest.raises(TypeError, match="connection_id"):
        Client(path, connection_id=1)
    with pytest.raises(ValueError, match="pool_size"):
        Client(path, pool_size=0)
    Client(path, whatever=1)
    assert repr(Client("/run/x")) == (
        "Client(sockname=/run/x, id=00000000-0000-0000-0000-00000dee9f03)"
    )


@pytest.mark.parametrize(
    ("mtype", "data", "expected"),
    [
        ("Z", 1, errors.UnsupportedProtoError),
        ("文", 1, errors.UnsupportedProtoError),
        ("JJ", 1, TypeError),
        ("J", {1}, TypeError),
        ("O", 5, AttributeError),
        ("H", {"x": ""}, errors.ProtoEncodeError),
        ("O", "\ud800", UnicodeEncodeError),
    ],
)
async def test_what_cannot_be_sent(
    received: Received, client: Client, mtype: str, data: Any, expected: type[Exception]
) -> None:
    sending = client.send_msg(mtype, data)
    with pytest.raises(expected):
        await sending
    with pytest.raises(expected):
        await client.send_many(mtype, [data])
    await client.send_json("after")
    assert received.data == ["after"]


async def test_the_server_answers_with_an_error(path: str) -> None:
    def callback(_id: object, _mtype: str, data: Any) -> None:
        if data == 1:
            raise ValueError("boom")

    server = Server(path, callback)
    await server.start()
    async with Client(path) as client:
        with pytest.raises(
            errors.ResponseError, match=r"^Server respond with: ValueError\('boom'\)$"
        ) as caught:
            await client.send_json(1)
        assert caught.value.failures == {}
        await client.send_json(2)
    server.stop()
    await until(lambda: not server.sessions, DEADLINE)


async def test_no_server(path: str, client: Client) -> None:
    with pytest.raises(FileNotFoundError):
        await client.send_json(1)
    received = await other_server(path)
    await client.send_json(2)
    await end(received)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with pytest.raises(ConnectionRefusedError):
        await client.send_json(3)


async def test_no_server_on_tcp(unused_tcp_port: int) -> None:
    async with Client(unused_tcp_port) as client:
        with pytest.raises(ConnectionRefusedError):
            await client.send_json(1)


async def test_a_large_message(received: Received, client: Client) -> None:
    text = "x" * 5_000_000
    await client.send_msg("O", text)
    await client.send_many("O", [text, "y"])
    assert received.data == [text, text, "y"]


async def test_it_reconnects(path: str) -> None:
    async with Client(path, timeout=DEADLINE) as client:
        for number in range(3):
            received = await other_server(path)
            await client.send_json(number)
            assert received.data == [number]
            await end(received)
            with pytest.raises(FileNotFoundError):
                await client.send_json(number)


# ---- the pool -----------------------------------------------------------------------------


async def test_w2_many_at_once(received: Received, client: Client) -> None:
    await soon(asyncio.gather(*(client.send_json(number) for number in range(500))))
    assert sorted(received.data) == list(range(500))
    assert received.server.sessions == 16


async def test_w3_two_servers_in_one_loop(received: Received, client: Client, path: str) -> None:
    other = await other_server(path + "2")
    async with Client(path + "2") as second:
        await asyncio.gather(client.send_json("first"), second.send_json("second"))
    assert (received.data, other.data) == (["first"], ["second"])
    await end(other)


async def test_connections_are_shared(received: Received, path: str) -> None:
    async with Client(path) as first, Client(path) as second, Client(path, pool_size=2) as other:
        await first.send_json(1)
        await second.send_json(2)
        assert received.server.sessions == 1
        await other.send_json(3)
        assert received.server.sessions == 2
        async with Client(path, use_shared_pool=False) as alone:
            await alone.send_json(4)
            assert received.server.sessions == 3


async def test_w4_quitting_is_ones_own_affair(path: str) -> None:
    async with raw_server(path) as server, Client(path) as first, Client(path) as second:
        one, two = first.send_json(1), second.send_json(1)
        peers = [await server.peer(), await server.peer()]
        for peer in peers:
            assert await peer.read(len(FRAME)) == FRAME
        first.quit()
        first.quit()
        with pytest.raises(errors.ConnectionClosed, match="client was closed"):
            await one
        for peer in peers:
            peer.send(b"ok")
        await soon(two)


async def test_quit_ends_those_who_wait_for_a_connection(path: str) -> None:
    async with raw_server(path) as server, Client(path, pool_size=1) as client:
        sendings = [client.send_json(1) for _ in range(3)]
        peer = await server.request(FRAME)
        client.quit()
        for sending in sendings:
            with pytest.raises(errors.ConnectionClosed):
                await soon(sending)
        assert await peer.rest() == b""
        again = client.send_json(1)  # it may be used again
        peer = await server.request(FRAME)
        peer.send(b"ok")
        await soon(again)


async def test_quit_while_connecting(path: str) -> None:
    async with raw_server(path) as server, Client(path) as client:
        sending = client.send_json(1)
        await asyncio.sleep(0)
        client.quit()
        with pytest.raises(errors.ConnectionClosed):
            await soon(sending)
        peer = await server.peer(hello=False)
        assert await peer.rest() == b""


async def test_all_connections_are_busy(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartbus.dip.pool.ACQUIRE_TIMEOUT", SHORT)
    async with raw_server(path) as server, Client(path, pool_size=1) as client:
        first, second = client.send_json(1), client.send_json(1)
        peer = await server.peer()
        with pytest.raises(errors.ConnectionAquireTimeout, match="All 1 connections were busy"):
            await soon(second)
        assert await peer.read(len(FRAME)) == FRAME
        peer.send(b"ok")
        await soon(first)


# ---- answers that do not come -------------------------------------------------------------


async def test_w5_a_late_answer_is_nobodys(path: str) -> None:
    async with raw_server(path) as server, Client(path, timeout=SHORT) as client:
        sending = client.send_json(1)
        first = await server.peer()
        with pytest.raises(
            errors.ReadTimeout, match=r"^Server failed to respond after 0\.05 seconds\.$"
        ):
            await sending
        assert await first.rest() == FRAME  # the connection is closed
    async with raw_server(path + "2") as server, Client(path + "2") as client:
        sending = client.send_json(1)
        first = await server.request(FRAME)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sending, SHORT)
        assert await first.rest() == b""
        again = client.send_json(1)
        second = await server.request(FRAME)
        second.send(b"ok")
        await soon(again)


async def test_no_answer_to_the_introduction(path: str) -> None:
    async with raw_server(path) as server, Client(path, timeout=SHORT) as client:
        with pytest.raises(errors.ReadTimeout):
            await client.send_json(1)
        assert len(server.all) == 1


async def test_the_introduction_is_refused(path: str) -> None:
    async with raw_server(path) as server, Client(path) as client:
        sending = client.send_json(1)
        peer = await server.peer(hello=False)
        peer.send(b"ValueError('who?')")
        with pytest.raises(errors.ConnectionClosed, match=r"ValueError\('who\?'\)"):
            await soon(sending)


@pytest.mark.parametrize("part", [b"", b"o"])
async def test_w6_the_server_closes_during_a_request(path: str, part: bytes) -> None:
    async with raw_server(path) as server, Client(path, timeout=None) as client:
        sending = client.send_json(1)
        peer = await server.request(FRAME)
        peer.send(part)
        await peer.close()
        with pytest.raises(errors.ConnectionClosed):
            await soon(sending)


async def test_an_answer_in_pieces(path: str) -> None:
    async with raw_server(path) as server, Client(path) as client:
        sending = client.send_json(1)
        peer = await server.request(FRAME)
        peer.send(b"o")
        await asyncio.sleep(SHORT)
        assert not sending.done  # type: ignore[attr-defined]
        peer.send(b"k")
        await soon(sending)


async def test_the_rest_of_an_errors_text_is_nobodys(path: str) -> None:
    async with raw_server(path) as server, Client(path) as client:
        sending = client.send_json(1)
        peer = await server.request(FRAME)
        peer.send(b"ValueError('bo")
        with pytest.raises(errors.ResponseError, match="ValueError"):
            await soon(sending)
        again = client.send_json(1)
        peer.send(b"om')")
        second = await server.request(FRAME)
        second.send(b"ok")
        await soon(again)


@pytest.mark.parametrize("answer", [b"okok", b"okay", b"ok ", b"\xff\xfe", b"!\0\0\0\x02[]"])
async def test_answers_that_are_none(path: str, answer: bytes) -> None:
    async with raw_server(path) as server, Client(path) as client:
        sending = client.send_json(1)
        (await server.request(FRAME)).send(answer)
        with pytest.raises(errors.ResponseError):
            await soon(sending)


async def test_what_is_said_unasked_ends_the_connection(path: str) -> None:
    async with raw_server(path) as server, Client(path) as client:
        sending = client.send_json(1)
        peer = await server.request(FRAME)
        peer.send(b"ok")
        await soon(sending)
        peer.send(b"ok")
        assert await peer.rest() == b""
        again = client.send_json(1)
        (await server.request(FRAME)).send(b"ok")
        await soon(again)


async def test_a_server_that_does_not_read(path: str) -> None:
    async with raw_server(path) as server, Client(path, timeout=0.3) as client:
        sending = client.send_msg("O", "x" * 10_000_000)
        peer = await server.peer()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(errors.ReadTimeout):
            await soon(sending)
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]


# ---- cancellation -------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("many", [False, True])
async def test_cancelled_anywhere(path: str, steps: int, *, many: bool) -> None:
    """After so many turns of the loop, wherever that is; nothing is left and all goes on."""
    received = await other_server(path)
    async with Client(path, pool_size=2, timeout=DEADLINE) as client:

        async def send() -> None:
            await (client.send_many("J", [1, 2]) if many else client.send_json(1))

        tasks = [asyncio.create_task(send()) for _ in range(4)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() or task.exception() is None for task in tasks)
        await soon(client.send_json("after"))
        await soon(client.send_many("J", ["after"]))
        assert received.data[-2:] == ["after", "after"]
    await end(received)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), DEADLINE)


async def test_cancelled_before_it_is_awaited(path: str) -> None:
    async with raw_server(path) as server, Client(path) as client:
        first = client.send_json(1)
        peer = await server.request(FRAME)
        peer.send(b"ok")
        await soon(first)
        task = asyncio.create_task(client.send_json(1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await peer.rest() == FRAME


async def test_a_failure_that_nobody_awaits_is_logged(
    path: str, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.send_json(1)
    client.send_msg("Z", 1)
    client.send_many("J", [1])
    await until(lambda: caplog.text.count("nobody waited for it") == 3, DEADLINE)
    logged = [record for record in caplog.records if record.name == "smartbus.dip"]
    assert [record.levelno for record in logged] == [logging.ERROR] * 3
    assert caplog.text.count("FileNotFoundError") == 2


async def test_a_failure_that_somebody_awaits_is_not(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for sending in (client.send_json(1), client.send_many("J", [1])):
        with pytest.raises(FileNotFoundError):
            await sending
        del sending
    gc.collect()
    assert "nobody" not in caplog.text


# ---- loops --------------------------------------------------------------------------------


async def test_bound_to_a_loop(path: str) -> None:
    other = asyncio.new_event_loop()
    async with Client(path, loop=other) as client:
        with pytest.raises(RuntimeError, match="bound to a different event loop"):
            await client.send_json(1)
        with pytest.raises(RuntimeError, match="bound to a different event loop"):
            await client.send_many("J", [1])
    other.close()


async def test_two_loops_at_a_time(received: Received, client: Client) -> None:
    await client.send_json(1)

    def elsewhere() -> None:
        async def send() -> None:
            with pytest.raises(RuntimeError, match="in use in a different event loop"):
                await client.send_json(2)

        asyncio.run(send())

    await asyncio.to_thread(elsewhere)
    assert received.data == [1]


async def test_quit_from_another_thread(received: Received, client: Client) -> None:
    await client.send_json(1)
    await asyncio.to_thread(client.quit)
    await until(lambda: not received.server.sessions, DEADLINE)


@pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")
async def test_w15_one_loop_after_the_other(received: Received, path: str) -> None:
    """Even without quit(): what the first loop left is closed when the client goes on."""

    def elsewhere() -> None:
        client = Client(path)
        for number in range(3):

            async def send(number: int) -> None:
                await client.send_json(number)

            asyncio.run(send(number))
        client.quit()
        gc.collect()

    await asyncio.to_thread(elsewhere)
    assert received.data == [0, 1, 2]
    await until(lambda: not received.server.sessions, DEADLINE)


def test_a_loop_of_ones_own(
    tmp_path: Path, make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    path = str(tmp_path / "s")
    loop = make_loop()
    received = Received()
    server = Server(path, received, loop=loop)
    client = Client(path, loop=loop)
    loop.run_until_complete(server.start())

    async def send() -> None:
        await client.send_json(1)

    loop.run_until_complete(send())
    client.quit()
    server.stop()
    loop.run_until_complete(received_all(server))
    loop.close()
    assert received.data == [1]


async def received_all(server: Server) -> None:
    await until(lambda: not server.sessions, DEADLINE)
