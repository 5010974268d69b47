"""JSON-RPC batches, asynchronous methods and `sbusr.rpc`, in the worker's `Calls`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sbusr
from sbusr.calls import NO_REPLY, NOTIFY_LIMIT, Calls
from sbusr.metrics import INVALID, OK
from sbusr.resolver import Resolver


@pytest.fixture
def calls(packages: Path) -> Iterator[Calls]:
    assert packages.is_dir()
    calls = Calls(Resolver("rpcmethods"))
    yield calls
    calls.close()


def ask(calls: Calls, message: Any) -> Any:
    """The reply's text, decoded; None for none."""
    reply = calls.execute(json.dumps(message).encode())
    return None if reply == NO_REPLY else json.loads(reply[1])


def call(method: str, *params: Any, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": list(params), **more}


# ---- batches -------------------------------------------------------------------------------------


def test_a_batch_is_executed_in_order(calls: Calls) -> None:
    batch = [call("add", 1, 2, id="a"), call("echo", "中", id=2), call("add", 3, 4, id=None)]
    title, text = calls.execute(json.dumps(batch).encode())
    assert title == b"a"
    assert text.isascii()
    assert json.loads(text) == [
        {"jsonrpc": "2.0", "id": "a", "result": 3},
        {"jsonrpc": "2.0", "id": 2, "result": "中"},
        {"jsonrpc": "2.0", "id": None, "result": 7},
    ]


def test_notifications_in_a_batch_have_no_reply(calls: Calls) -> None:
    assert ask(calls, [call("echo", 1), call("echo", 2)]) is None
    (only,) = ask(calls, [call("echo", 1), call("echo", 2, id=9)])
    assert only == {"jsonrpc": "2.0", "id": 9, "result": 2}


def test_the_specifications_bad_batches(calls: Calls) -> None:
    def codes(reply: list[Any]) -> list[tuple[Any, int]]:
        return [(each["id"], each["error"]["code"]) for each in reply]

    assert ask(calls, [])["error"]["code"] == -32600
    assert codes(ask(calls, [1])) == [(None, -32600)]
    assert codes(ask(calls, [1, [], "x"])) == [(None, -32600)] * 3
    assert codes(ask(calls, [{"foo": "boo"}, call("nowhere", id="5")])) == [
        (None, -32600),
        ("5", -32601),
    ]
    title, text = calls.execute(b'[{"jsonrpc": "2.0", "method": "echo", "params"]')
    assert (title, json.loads(text)["error"]["code"]) == (b"null", -32700)


def test_a_batch_in_another_encoding(calls: Calls) -> None:
    body = '[{"id": 1, "method": "echo", "params": ["中文"]}]'.encode("gbk")
    (reply,) = json.loads(calls.execute(body, "gbk")[1])
    assert reply["result"] == "中文"


def test_a_batch_whose_replies_are_too_large(calls: Calls) -> None:
    batch = [call("big", NOTIFY_LIMIT // 2 + 100, id=n) for n in range(2)]
    title, text = calls.execute(json.dumps(batch).encode())
    assert title == b"0"
    assert len(text) <= NOTIFY_LIMIT
    error = json.loads(text)["error"]
    assert error["code"] == -32603
    assert "too large" in error["message"]


def test_members_of_a_batch_are_counted_one_by_one(calls: Calls) -> None:
    ask(calls, [call("echo", 1, id=1), call("echo", 2, id=2), call("nowhere", id=3), 4])
    calls.histogram.note(1.0)  # what the worker does for the whole
    counted = {(each.method, each.outcome): each.count for each in calls.metrics.take()}
    assert counted == {("echo", OK): 2, ("", INVALID): 2}


# ---- async def -----------------------------------------------------------------------------------


def test_an_asynchronous_method(calls: Calls) -> None:
    assert ask(calls, call("gather", 0.01, 0.0, id=1))["result"] == [0.01, 0.0]
    error = ask(calls, call("fail_later", id=2))["error"]
    assert (error["code"], error["message"]) == (-32500, "ValueError: later")


def test_what_asynchronous_methods_leave_ends_with_the_worker(calls: Calls) -> None:
    assert ask(calls, call("leave_task", id=1))["result"] == "left"
    calls.close()
    calls.close()
    assert ask(calls, call("gather", id=2))["result"] == []


# ---- sbusr.rpc -----------------------------------------------------------------------------------


def test_a_name_of_its_own(calls: Calls) -> None:
    assert ask(calls, call("renamed", 1, id=1))["result"] == ["renamed", 1]
    assert ask(calls, call("own_name", 1, id=2))["error"]["code"] == -32601
    assert ask(calls, call("Thing.klass_renamed", id=3))["result"] == "renamed"
    assert ask(calls, call("Thing.klass_own_name", id=4))["error"]["code"] == -32601
    assert ask(calls, call("plain", 5, id=5))["result"] == 5


def test_a_time_limit_is_announced_around_the_call(calls: Calls) -> None:
    announced: list[float] = []
    calls.announce = announced.append
    ask(calls, call("hasty", 0, id=1))
    ask(calls, call("echo", 0, id=2))
    ask(calls, call("hasty", "no number", id=3))
    ask(calls, call("Thing.klass_renamed", id=4))
    assert announced == [0.3, 0, 0.3, 0, 5, 0]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"timeout": 0}, ValueError),
        ({"timeout": -1.0}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": "soon"}, TypeError),
        ({"name": "_private"}, ValueError),
        ({"name": "two.parts"}, ValueError),
        ({"name": ""}, ValueError),
    ],
)
def test_bad_options(given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        sbusr.rpc(**given)
