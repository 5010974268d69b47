"""Calls that take too long and processes that grow, with real workers."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from sbusr.executor import Executor
from sbusr.process import State
from sbusr.watchdog import resident
from smartbus.testing import wait_until_async as until
from tests.sbusr.executors import Make
from tests.sbusr.sink import Sink, head, request

HEAD = head()


def put(executor: Executor, *bodies: bytes) -> Sink:
    sink = Sink()
    executor.put_many(sink, [(HEAD, body) for body in bodies])
    return sink


def pid(executor: Executor) -> int:
    (found,) = [worker.pid for worker in executor.workers if worker.state is State.READY]
    return found


async def test_a_call_that_takes_too_long(make: Make) -> None:
    executor = await make(pool_processes=1, task_timeout=0.3)
    await executor.wait_ready()
    first = pid(executor)
    sink = put(
        executor,
        request("echo", ["before"], 1),
        request("sleep", [3600], 2),
        request("echo", ["behind"], 3),
    )
    await sink.wait(3)
    assert sink.results() == {"1": "before", "2": "error -32001", "3": "behind"}
    assert pid(executor) != first
    assert executor.metrics.refused == {-32001: 1}


async def test_many_short_calls_are_no_long_one(make: Make) -> None:
    executor = await make(pool_processes=1, task_timeout=0.5)
    sink = put(executor, *(request("sleep", [0.02], n) for n in range(50)))
    await sink.wait(50)
    assert set(sink.results().values()) == {0.02}


async def test_a_worker_that_was_stopped_before_it_began(make: Make) -> None:
    executor = await make(pool_processes=1, task_timeout=0.3)
    await executor.wait_ready()
    os.kill(pid(executor), signal.SIGSTOP)
    sink = put(executor, request("echo", ["once"], 1))
    await sink.wait(1)
    assert sink.results() == {"1": "once"}  # not begun, so the successor may execute it


async def test_a_methods_own_limit(make: Make) -> None:
    executor = await make(pool_processes=1)
    sink = put(executor, request("hasty", [3600], 1), request("hasty", [0], 2))
    await sink.wait(2)
    assert sink.results() == {"1": "error -32001", "2": 0}


async def test_a_methods_own_limit_may_be_longer(make: Make) -> None:
    executor = await make(pool_processes=1, task_timeout=0.05)
    sink = put(executor, request("hasty", [0.15], 1))
    await sink.wait(1)
    assert sink.results() == {"1": 0.15}


async def test_other_workers_go_on(make: Make) -> None:
    executor = await make(pool_processes=2, task_timeout=0.5)
    await until(lambda: sum(worker.state is State.READY for worker in executor.workers) == 2)
    slow = put(executor, request("sleep", [3600], 1))
    others = put(executor, *(request("echo", [n], n) for n in range(200)))
    await others.wait(200)
    assert slow.replies == []
    await slow.wait(1)
    assert slow.results() == {"1": "error -32001"}


async def test_a_process_that_grows_is_succeeded(make: Make) -> None:
    executor = await make(pool_processes=1, max_rss_mb=100)
    await executor.wait_ready()
    first = pid(executor)
    assert 0 < resident(first) < 100 << 20
    sink = put(executor, request("grow", [150], 1), request("sleep", [1.5], 2))
    await sink.wait(2)
    assert sink.results() == {"1": 1, "2": 1.5}
    await until(lambda: [worker.pid for worker in executor.workers] not in ([first], []))
    await until(lambda: len(executor.workers) == 1)
    sink = put(executor, request("grow", [1], 3))
    await sink.wait(1)
    assert sink.results() == {"3": 1}  # a new process


def test_what_is_known_of_a_process_that_is_not_there() -> None:
    assert resident(2**22 + 1) == 0


@pytest.mark.parametrize("given", [{"task_timeout": 0}, {"task_timeout": -1}, {"max_rss_mb": 0}])
def test_bad_limits(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        Executor(**given)
