"""What HTTP requests get that are refused whatever they ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.iostream import IOStream
from tornado.tcpclient import TCPClient

from sbusr.jsonhandler import BODY_LIMIT, DISCARD_LIMIT
from smartbus.testing.waiting import TIMEOUT
from tests.sbusr.daemon import Daemon, Start

pytestmark = pytest.mark.parametrize("kind", ["net"], indirect=True)


@asynccontextmanager
async def connection(daemon: Daemon) -> AsyncIterator[IOStream]:
    """A TCP connection to a daemon's HTTP port."""
    stream = await TCPClient().connect("127.0.0.1", daemon.server.http_port)
    try:
        yield stream
    finally:
        stream.close()


async def answer(stream: IOStream) -> tuple[int, Any]:
    """Status and body of the answer that comes next."""
    head = await asyncio.wait_for(stream.read_until(b"\r\n\r\n"), TIMEOUT)
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    assert fields[b"Content-Type"].startswith(b"application/json")
    body = await asyncio.wait_for(stream.read_bytes(int(fields[b"Content-Length"])), TIMEOUT)
    return int(head.split()[1]), json.loads(body)


HEAD = b"POST /api/flow HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("path", ["/api/flow", "/nowhere", "/healthz", "/sys/reset"])
async def test_body_that_is_too_large(start: Start, path: str) -> None:
    daemon = await start()
    status, found = await daemon.fetch(path, b" " * (BODY_LIMIT + 1), "POST")
    if path == "/nowhere":
        assert status == 404
    else:
        assert (status, found["error"]["limit"]) == (413, BODY_LIMIT)
    assert (await daemon.fetch(path, b" " * BODY_LIMIT, "POST"))[0] != 413


async def test_body_in_chunks_that_is_too_large(start: Start) -> None:
    daemon = await start()
    async with connection(daemon) as stream:
        await stream.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            await stream.write(b"%x\r\n" % (BODY_LIMIT // 4) + b" " * (BODY_LIMIT // 4) + b"\r\n")
        await stream.write(b"0\r\n\r\n")
        assert (await answer(stream))[0] == 413
        # The connection goes on.
        await stream.write(HEAD + b"Content-Length: 2\r\n\r\n{}")
        assert (await answer(stream))[0] == 400


async def test_body_without_end(start: Start) -> None:
    daemon = await start()
    async with connection(daemon) as stream:
        await stream.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        await stream.write(b"%x\r\n" % (2 * DISCARD_LIMIT) + b" " * (DISCARD_LIMIT + 1))
        assert (await answer(stream))[0] == 413
        await asyncio.wait_for(stream.read_until_close(), TIMEOUT)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: %d\r\nExpect: 100-continue\r\n" % (BODY_LIMIT + 1),
        b"Content-Length: %d\r\n" % (DISCARD_LIMIT + 1),
        b"Content-Length: 99999999999999999999999\r\n",
    ],
)
async def test_large_body_is_refused_before_it_is_sent(start: Start, fields: bytes) -> None:
    daemon = await start()
    async with connection(daemon) as stream:
        await stream.write(HEAD + fields + b"\r\n")
        assert (await answer(stream))[0] == 413
        await asyncio.wait_for(stream.read_until_close(), TIMEOUT)


async def test_caller_that_leaves_with_half_a_body(start: Start) -> None:
    daemon = await start()
    async with connection(daemon) as stream:
        await stream.write(HEAD + b"Content-Length: 10\r\n\r\n{")
    assert (await daemon.fetch("/healthz"))[0] == 200


@pytest.mark.parametrize(
    "text",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /api/flow HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /api/flow HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_400_and_no_more(start: Start, text: bytes) -> None:
    daemon = await start()
    async with connection(daemon) as stream:
        await stream.write(text)
        everything = await asyncio.wait_for(stream.read_until_close(), TIMEOUT)
        assert everything.startswith(b"HTTP/1.1 400 ")
    assert (await daemon.fetch("/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("path", "allowed"), [("/api/flow", "POST"), ("/healthz", "GET"), ("/sys/reset", "GET, POST")]
)
async def test_methods_that_there_are_stand_in_the_answer(
    start: Start, path: str, allowed: str
) -> None:
    daemon = await start()
    for method in ("DELETE", "NONSENSE"):
        response = await daemon.raw(path, None, method)
        assert (response.code, response.headers["Allow"]) == (405, allowed)
