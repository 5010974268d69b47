"""What workers count, and what the parent makes of it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from sbusr.executor import Executor
from sbusr.metrics import BOUNDS, EXCEPTION, FAILED, INVALID, OK, Histogram, Metrics, WorkerMetrics
from smartbus.testing import wait_until_async as until
from tests.sbusr.executors import Make
from tests.sbusr.sink import Sink, head, request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sbusr.metrics import Measured

HEAD = head()


def counts(executor: Executor) -> dict[tuple[str, str], int]:
    return {key: histogram.count for key, histogram in executor.metrics.calls.items()}


async def ask(executor: Executor, *bodies: bytes) -> Sink:
    sink = Sink()
    executor.put_many(sink, [(HEAD, body) for body in bodies])
    await until(lambda: executor.open_requests == 0)
    return sink


async def test_outcomes_by_method(make: Make) -> None:
    executor = await make(pool_processes=1)
    await ask(
        executor,
        *(request("add", [1, n], n) for n in range(5)),
        request("add", [1]),  # a notification
        request("add", [1, 2, 3], "too many"),
        request("fail", ["ValueError"], "raises"),
        request("own_error", [], "chooses"),
        request("unserialisable", [], "bad result"),
        request("nowhere", [], "unknown"),
        request("exits.f", [], "broken module"),
        b"no JSON",
    )
    expected = {
        ("add", OK): 6,
        ("add", INVALID): 1,
        ("fail", EXCEPTION): 1,
        ("own_error", EXCEPTION): 1,
        ("unserialisable", FAILED): 1,
        ("", INVALID): 2,
        ("", FAILED): 1,
    }
    await until(lambda: counts(executor) == expected)
    assert executor.metrics.refused == {}


async def test_durations(make: Make) -> None:
    executor = await make(pool_processes=1)
    await ask(executor, request("sleep", [0.03], 1), request("echo", [1], 2))
    await until(lambda: len(counts(executor)) == 2)
    slow = executor.metrics.calls["sleep", OK]
    assert slow.seconds >= 0.03
    assert sum(slow.buckets) == slow.count == 1
    assert sum(slow.buckets[: BOUNDS.index(0.025) + 1]) == 0


async def test_all_workers_are_added_up_also_those_that_end(make: Make) -> None:
    executor = await make(pool_processes=2, methods="soundmethods")
    await ask(executor, *(request("echo", [n], n) for n in range(100)))
    first = set(executor.workers)
    for worker in first:
        os.kill(worker.pid, signal.SIGTERM)  # asks for a successor
    await until(lambda: first.isdisjoint(executor.workers))
    await ask(executor, *(request("echo", [n], n) for n in range(50)))
    await until(lambda: counts(executor) == {("echo", OK): 150})


async def test_what_no_worker_answered(make: Make) -> None:
    executor = await make(1, pool_processes=1)
    await executor.wait_ready()
    sink = Sink()
    bodies = [request("sleep", [0.2], 1), request("echo", [1], 2), request("echo", [1], 3)]
    executor.put_many(sink, [(HEAD, body) for body in bodies])
    await sink.wait(3)
    await ask(executor, request("suicide", [], 4))
    assert executor.metrics.refused == {-32000: 2, -32002: 1}


async def test_it_costs_no_request_when_idle(make: Make) -> None:
    """A report comes by itself, once; then the worker sleeps."""
    executor = await make(pool_processes=1)
    reports = []
    add = executor.metrics.add

    def note(measured: Iterable[Measured]) -> None:
        reports.append(measured)
        add(measured)

    executor.metrics.add = note  # type: ignore[method-assign]
    await ask(executor, request("echo", [1], 1))
    await until(lambda: counts(executor) == {("echo", OK): 1})
    await ask(executor, request("echo", [1], 2))
    await until(lambda: counts(executor) == {("echo", OK): 2})
    assert len(reports) == 2


@pytest.mark.parametrize("seconds", [0.0, BOUNDS[0], 0.0002, BOUNDS[-1], 1e9])
def test_a_bucket_has_what_is_not_above_its_bound(seconds: float) -> None:
    histogram = Histogram()
    histogram.note(seconds)
    (index,) = [number for number, count in enumerate(histogram.buckets) if count]
    assert index == len(BOUNDS) or seconds <= BOUNDS[index]
    assert index == 0 or seconds > BOUNDS[index - 1]


def test_what_was_taken_is_not_taken_again() -> None:
    worker, parent = WorkerMetrics(), Metrics()
    held = worker.histogram("m", OK)
    held.note(0.5)
    parent.add(worker.take())
    assert worker.take() == []
    held.note(0.25)
    parent.add(worker.take())
    total = parent.calls["m", OK]
    assert (total.count, total.seconds, sum(total.buckets)) == (2, 0.75, 2)


async def test_nothing_is_counted_twice_under_load(make: Make) -> None:
    executor = await make(pool_processes=3)
    sinks = await asyncio.gather(
        *(ask(executor, *(request("echo", [n], n) for n in range(2000))) for _ in range(3))
    )
    assert sum(len(sink.replies) for sink in sinks) == 6000
    await until(lambda: counts(executor) == {("echo", OK): 6000})
