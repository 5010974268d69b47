"""``POST /api/rpc``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPError
from tornado.tcpclient import TCPClient

from sbusr import config, globalvars
from sbusr.jsonhandler import JsonHandler
from smartbus.testing import wait_until_async as until
from tests.sbusr.daemon import Daemon, Start

pytestmark = pytest.mark.parametrize("kind", ["net"], indirect=True)


@pytest.fixture
async def daemon(start: Start, settings: config.Settings) -> Daemon:
    settings.web_rpc = True
    return await start()


def call(method: str, *params: Any, id_: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


async def test_off_by_default(start: Start) -> None:
    daemon = await start()
    assert (await daemon.fetch("/api/rpc", call("echo", 1)))[0] == 404


async def test_calls(daemon: Daemon) -> None:
    for id_ in (7, "a", 1.5, "null"):
        assert await daemon.fetch("/api/rpc", call("echo", "中", id_=id_)) == (
            200,
            {"jsonrpc": "2.0", "id": id_, "result": "中"},
        )
    named = {"id": 1, "method": "add", "params": {"a": 1, "b": 2}}
    assert (await daemon.fetch("/api/rpc", named))[1]["result"] == 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"[]", -32600),
        ({"id": 1}, -32600),
        ({"method": 1}, -32600),
        (call("no.such.method"), -32601),
        (call("_hidden"), -32601),
        (call("os.system", "true"), -32601),
        (call("add"), -32602),
    ],
)
async def test_errors_stand_in_the_reply(daemon: Daemon, body: Any, code: int) -> None:
    status, reply = await daemon.fetch("/api/rpc", body, "POST")
    assert (status, reply["error"]["code"]) == (200, code)


async def test_batches(daemon: Daemon) -> None:
    notification = {"jsonrpc": "2.0", "method": "echo", "params": [0]}
    status, replies = await daemon.fetch(
        "/api/rpc", [call("echo", 1, id_="a"), notification, 5, call("nowhere", id_="b")]
    )
    assert status == 200
    assert [reply["id"] for reply in replies] == ["a", None, "b"]
    for quiet in (notification, [notification, notification]):
        response = await daemon.raw("/api/rpc", quiet)
        assert (response.code, response.body) == (204, b"")


async def test_many_at_a_time(daemon: Daemon) -> None:
    replies = await asyncio.gather(
        *(daemon.fetch("/api/rpc", call("echo", n)) for n in range(50)),  # all with id 1
    )
    assert [reply["result"] for _, reply in replies] == list(range(50))
    assert not JsonHandler.unanswered


async def test_caller_that_goes_away_leaves_nothing_behind(daemon: Daemon) -> None:
    executor = globalvars.executor
    assert executor is not None
    await executor.wait_ready()
    body = json.dumps(call("sleep", 0.2)).encode()
    stream = await TCPClient().connect("127.0.0.1", daemon.server.http_port)
    await stream.write(
        b"POST /api/rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    await until(lambda: executor.open_requests == 1)
    stream.close()
    await until(lambda: not JsonHandler.unanswered)
    await until(lambda: executor.open_requests == 0)
    assert (await daemon.fetch("/api/rpc", call("echo", 2)))[1]["result"] == 2


async def test_stopping_answers_those_who_wait(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sbusr.server.ANSWER_TIME", 0.5)
    executor = globalvars.executor
    assert executor is not None
    await executor.wait_ready()
    soon = asyncio.create_task(daemon.fetch("/api/rpc", call("sleep", 0.3)))
    await until(lambda: executor.open_requests == 1)
    never = asyncio.create_task(daemon.fetch("/api/rpc", call("sleep", 60)))
    await until(lambda: executor.open_requests == 2)
    daemon.server.stop()
    assert (await soon)[1]["result"] is None
    status, reply = await never
    assert (status, reply["error"]["code"]) == (200, -32003)
    with pytest.raises((OSError, HTTPError)):
        await daemon.raw("/healthz")
