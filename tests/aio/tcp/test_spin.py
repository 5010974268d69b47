"""Staying awake for quick answers: it changes no byte, and ends when it does not pay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from smartbus.aio.tcp import Client, TcpClient
from smartbus.spin import Spinner
from smartbus.testing import wait_until_async as until
from tests.aio.peers import soon
from tests.aio.tcp.ends import HOST, LOG, Echo

if TYPE_CHECKING:
    from tests.aio.peers import Server

#: So long that a busy machine answers within it (seconds).
LONG = 30.0


def turning(spinner: Spinner) -> bool:
    return spinner._turning


@pytest.mark.parametrize("spin", [0.0, 0.0001, LONG])
async def test_round_trips(spin: float) -> None:
    done = asyncio.Event()
    numbers: list[int] = []

    async def on_message(*, message: Any) -> None:
        numbers.append(message)
        if message < 300:
            await client.write_json(message + 1)
        else:
            done.set()

    async with Echo(port=0, log=LOG, spin=spin) as server:
        client = TcpClient(HOST, server.port, on_message, spin=spin)
        async with client:
            await client.write_json(1)
            await soon(done.wait())
    assert numbers == list(range(1, 301))


async def test_it_begins_with_a_quick_answer_and_ends_with_the_next() -> None:
    spinner = Spinner(LONG)
    spinner.sent()
    assert not turning(spinner)  # nothing is known about answers yet
    spinner.received()
    for _ in range(3):
        spinner.sent()
        assert turning(spinner)
        await asyncio.sleep(0)
        assert turning(spinner)
        spinner.received()
        await asyncio.sleep(0)
        assert not turning(spinner)


async def test_it_is_tried_less_often_where_it_does_not_help() -> None:
    spinner = Spinner(1e-9)  # no answer is as quick
    spinner._trial._to_pass = 0
    for penalty in (1, 2, 4, 8):
        spinner.sent()
        await until(lambda: not turning(spinner))
        assert spinner._trial._to_pass == penalty
        spinner.received()
        spinner._trial._to_pass = 0  # as if that many quick answers had come meanwhile


async def test_never() -> None:
    spinner = Spinner(0)
    for _ in range(3):
        spinner.sent()
        spinner.received()
        assert not turning(spinner)


async def test_it_ends_with_the_connection(server: Server) -> None:
    client = Client(HOST, server.port, LOG, spin=LONG)
    async with client:
        peer = await server.peer()
        for _ in range(3):
            await client.write_str("x")
            await soon(peer.reader.readline())
            peer.send(b"y\r\n")
            assert await soon(client.read_str()) == "y"
        await client.write_str("x")
        assert client._stream is not None
        spinner = client._stream._spinner
        assert turning(spinner)
    await asyncio.sleep(0)
    assert not turning(spinner)
