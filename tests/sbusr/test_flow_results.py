"""``POST /api/flow`` that waits for what the flow returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sbusr import globalvars
from smartbus.bus import Bus
from smartbus.encoding import dumps_ascii
from smartbus.testing import wait_until_async as until
from tests.sbusr.daemon import Daemon, Start
from tests.sbusr.peer import Returning

GOOD = {"project": "P", "flow": "F", "params": ["中", 1], "wait": True, "timeout": 20}


@pytest.fixture
async def ipsc(bus: Bus) -> AsyncIterator[Returning]:
    client = Returning(bus.port)
    client.results = {"F": dumps_ascii(["回", {"n": 1}]).encode(), "Bad": b"{}", "Empty": b""}
    async with client:
        yield client


async def ready(start: Start) -> Daemon:
    daemon = await start()
    await until(lambda: bool(globalvars.ipsc_set))
    return daemon


async def test_the_result_is_in_the_answer(start: Start, ipsc: Returning) -> None:
    daemon = await ready(start)
    status, answer = await daemon.fetch("/api/flow", GOOD)
    assert status == 200
    assert answer["result"] == ["回", {"n": 1}]
    assert (answer["ack"], answer["flow"]) == (1, "F")
    assert ipsc.calls[-1].mode == 0
    status, answer = await daemon.fetch("/api/flow", {**GOOD, "flow": "Empty"})
    assert (status, answer["result"]) == (200, [])


async def test_without_wait_there_is_none(start: Start, ipsc: Returning) -> None:
    daemon = await ready(start)
    status, answer = await daemon.fetch("/api/flow", {"project": "P", "flow": "F"})
    assert status == 200
    assert "result" not in answer
    assert ipsc.calls[-1].mode == 1


async def test_no_list(start: Start, ipsc: Returning) -> None:
    daemon = await ready(start)
    status, answer = await daemon.fetch("/api/flow", {**GOOD, "flow": "Bad"})
    assert status == 502
    assert "no JSON array" in answer["error"]["message"]


async def test_no_return_in_time(start: Start, ipsc: Returning) -> None:
    daemon = await ready(start)
    body = {**GOOD, "flow": "Never", "timeout": 0.1}
    status, answer = await daemon.fetch("/api/flow", body)
    assert status == 504
    assert answer["error"]["message"] == "the flow has started, but did not return within 0.1 s"


async def test_refused_and_silent(start: Start, ipsc: Returning) -> None:
    daemon = await ready(start)
    ipsc.answers = {"No": (-8, "没有"), "Silent": None}
    status, answer = await daemon.fetch("/api/flow", {**GOOD, "flow": "No"})
    assert (status, answer["error"]["code"]) == (502, -8)
    status, _ = await daemon.fetch("/api/flow", {**GOOD, "flow": "Silent"})
    assert status == 504


async def test_stopping_ends_the_waiting(start: Start, ipsc: Returning) -> None:
    daemon = await ready(start)
    waiting = asyncio.create_task(daemon.fetch("/api/flow", {**GOOD, "flow": "Never"}))
    await until(lambda: bool(ipsc.calls))
    daemon.server.stop()
    status, answer = await waiting
    assert status == 503
    assert "shutting down" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"wait": 1}, "wait"),
        ({"wait": "yes"}, "wait"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": 3601}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"wait": False}, "timeout"),
    ],
)
async def test_bad_fields(start: Start, ipsc: Returning, wrong: dict[str, Any], field: str) -> None:
    daemon = await ready(start)
    status, answer = await daemon.fetch("/api/flow", {**GOOD, **wrong})
    assert (status, answer["error"]["field"]) == (400, field)
    assert ipsc.calls == []
