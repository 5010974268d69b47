from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sbusr.executor import Executor, ResetError
from sbusr.jsonrpc import Error
from sbusr.process import State
from smartbus.head import Head
from smartbus.testing import wait_until_async as until
from smartbus.testing.waiting import TIMEOUT
from tests.sbusr.executors import PACKAGES, Make
from tests.sbusr.sink import Sink, head, request

HEAD = head()


def pids(executor: Executor) -> set[int]:
    return {worker.pid for worker in executor.workers if worker.state is State.READY}


async def test_result_goes_back_to_who_asked(make: Make) -> None:
    executor, sink = await make(pool_processes=1, notify_ttl=2500), Sink()
    executor.put(sink, Head(head(7, 9)), '{"id": "x", "method": "add", "params": [1, 2]}')
    await sink.wait()
    assert sink.replies == [(7, 9, b"x", b'{"jsonrpc":"2.0","id":"x","result":3}')]
    assert sink.expires == {2.5}
    assert executor.open_requests == 0


async def test_put_takes_text_bytes_and_records(make: Make) -> None:
    executor, sink = await make(pool_processes=1), Sink("gbk")
    executor.put(sink, HEAD, '{"id": 1, "method": "echo", "params": ["中"]}')
    executor.put(sink, HEAD, '{"id": 2, "method": "echo", "params": ["中"]}'.encode("gbk"))
    executor.handle((sink, HEAD, '{"id": 3, "method": "echo", "params": ["😀"]}'))
    executor.put(sink, HEAD, None)
    await sink.wait(4)
    assert sink.results() == {"1": "中", "2": "中", "3": "😀", "null": "error -32700"}


@pytest.mark.parametrize("encoding", ["utf-8", "GBK", "cp936", "gb18030", "big5", "no-such"])
async def test_encoding_of_the_client(make: Make, encoding: str) -> None:
    executor, sink = await make(pool_processes=1), Sink(encoding)
    codec = "utf-8" if encoding == "no-such" else encoding
    body = '{"id": 1, "method": "echo", "params": ["中文"]}'.encode(codec)
    executor.put_many(sink, [(HEAD, body), (HEAD, request("add", [1, 2], 2))])
    await sink.wait(2)
    assert sink.results() == {"1": "中文", "2": 3}


async def test_client_with_notify_only(make: Make) -> None:
    class OldClient:
        def __init__(self) -> None:
            self.got: list[tuple[Any, ...]] = []

        def notify(self, *args: Any) -> int:
            self.got.append(args)
            return 1

    executor, client = await make(pool_processes=1), OldClient()
    executor.put(client, HEAD, '{"id": "中", "method": "echo", "params": ["中"]}')
    await until(lambda: client.got)
    text = '{"jsonrpc":"2.0","id":"\\u4e2d","result":"\\u4e2d"}'
    assert client.got == [(3, 5, "", "中", 0, 10.0, text)]


async def test_client_that_raises_costs_only_its_replies(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def notify_many(self, *_: Any) -> None:
            raise OSError("gone")

    class Refusing:
        def notify_many(self, replies: list[Any], _: float) -> list[int]:
            return [-2] * len(replies)

    executor, sink = await make(pool_processes=1), Sink()
    for client in (Broken(), Refusing(), sink):
        executor.put(client, HEAD, request("add", [1, 2], 1))
    await sink.wait()
    await executor.aclose()
    text = "replies that could not be sent: 1, the last: "
    assert f"{text}OSError: gone\nTraceback" in caplog.text
    assert f"{text}to client 5 of unit 3: SMARTBUS_ERR_NOT_CONNECTED (-2)" in caplog.text


async def test_many_replies_that_cannot_be_sent_are_few_lines(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing:
        def notify_many(self, replies: list[Any], _: float) -> list[int]:
            return [-12] * len(replies)

    executor = await make(500, pool_processes=1)
    for number in range(1000):
        executor.put(Refusing(), HEAD, request("add", [1, 2], number))
    await until(lambda: executor.open_requests == 0)
    await executor.aclose()
    counts = {"replies": 0, "requests": 0}
    lines = [record.getMessage() for record in caplog.records if record.name == "sbusr.executor"]
    for line in lines:
        counts[line.split()[0]] += int(line.partition(": ")[2].partition(",")[0])
    assert counts == {"replies": 1000, "requests": 500}
    assert len(lines) < 50


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[]", -32600),
        (request("nothing", [], 1), -32601),
        (request("add", [], 1), -32602),
        (request("fail", ["ValueError"], 1), -32500),
        (request("unserialisable", [], 1), -32603),
        (request("broken.method", [], 1), -32603),
        (request("big", [16000], 1), -32603),
    ],
)
async def test_every_mistake_gets_one_error(make: Make, body: bytes, code: int) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    executor.put_many(sink, [(HEAD, body), (HEAD, request("add", [1, 2], "after"))])
    replies = await sink.wait(2)
    assert replies[0]["error"]["code"] == code
    assert replies[1]["result"] == 3


async def test_notifications_are_executed_and_not_answered(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    target = tmp_path / "out"
    executor.put_many(
        sink,
        [
            (HEAD, request("append", [str(target), "a"])),
            (HEAD, request("fail", ["ValueError"])),
            (HEAD, request("append", [str(target), "b"])),
            (HEAD, request("add", [1, 2], 1)),
        ],
    )
    assert len(await sink.wait()) == 1
    assert target.read_text() == "ab"
    assert executor.open_requests == 0


async def test_huge_bodies(make: Make) -> None:
    executor, sink = await make(pool_processes=1, reply_limit=None), Sink()
    text = "x" * 20_000_000
    executor.put_many(
        sink, [(HEAD, request("echo", [text], n)) for n in range(2)] + [(HEAD, b"x" * 20_000_000)]
    )
    executor.put(sink, HEAD, request("add", [1, 2], "small"))
    await sink.wait(4)
    assert sink.results() == {"0": text, "1": text, "null": "error -32700", "small": 3}


async def test_order_is_kept_by_one_worker(make: Make) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    for start in range(0, 5000, 50):
        executor.put_many(sink, [(HEAD, request("echo", [n], n)) for n in range(start, start + 50)])
    replies = await sink.wait(5000)
    assert [reply["result"] for reply in replies] == list(range(5000))


async def test_replies_go_through_the_client_that_asked(make: Make) -> None:
    executor = await make(pool_processes=2)
    sinks = [Sink("utf-8"), Sink("gbk"), Sink("utf-8")]
    for n in range(300):
        executor.put(sinks[n % 3], HEAD, request("echo", [n], n))
    for index, sink in enumerate(sinks):
        await sink.wait(100)
        assert sink.results() == {str(n): n for n in range(index, 300, 3)}


# ---- limits ------------------------------------------------------------------------------------


async def test_full_queue_answers_busy_at_once(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(10, 1), Sink()
    started, go = tmp_path / "started", tmp_path / "go"
    executor.put(sink, HEAD, request("wait_for", [str(started), str(go)], "slow"))
    await until(started.exists)
    executor.put_many(sink, [(HEAD, request("echo", [n], n)) for n in range(20)])
    assert len(sink.replies) == 11, "at once"
    assert sink.results() == {str(n): "error -32000" for n in range(9, 20)}
    assert "busy" in json.loads(sink.replies[0][3])["error"]["message"]
    executor.put(sink, HEAD, request("append", ["/nowhere", ""]))
    assert len(sink.replies) == 11, "no reply to a notification"
    go.touch()
    await sink.wait(21)
    assert set(sink.counts().values()) == {1}
    assert executor.open_requests == 0
    executor.put(sink, HEAD, request("echo", [1], "again"))
    assert (await sink.wait_for("again"))["result"] == 1


async def test_stopping_is_not_blamed_for_what_was_refused_before(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    executor, sink = await make(1, 1), Sink()
    for n in range(3):
        executor.put(sink, HEAD, request("echo", [n], n))
    await sink.wait(3)
    await executor.aclose()
    assert sink.results() == {"0": 0, "1": "error -32000", "2": "error -32000"}
    assert caplog.text.count("requests answered with an error: 1, the last: [-32000]") == 2
    assert "[-32003]" not in caplog.text


async def test_full_queue_by_bytes(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=1, queue_maxbytes=10_000, reply_limit=None), Sink()
    started, go = tmp_path / "started", tmp_path / "go"
    executor.put(sink, HEAD, request("wait_for", [str(started), str(go)], "slow"))
    await until(started.exists)
    for n in range(4):
        executor.put(sink, HEAD, request("echo", ["x" * 4000], n))
    assert sink.results() == {"2": "error -32000", "3": "error -32000"}
    executor.put_many(sink, [(HEAD, request("echo", ["x" * 900], n)) for n in range(10, 14)])
    assert set(sink.results()) == {"2", "3", "11", "12", "13"}
    go.touch()
    await sink.wait(9)
    executor.put(sink, HEAD, request("echo", ["x" * 4000], "again"))
    assert (await sink.wait_for("again"))["result"] == "x" * 4000
    assert executor.open_requests == 0


@pytest.mark.parametrize("bad", [{"queue_maxsize": -1}, {"pool_processes": 0}])
def test_bad_arguments(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Executor(**bad)
    with pytest.raises(ValueError, match="pool_maxtasksperchild"):
        Executor(pool_maxtasksperchild=0)


async def test_slow_call_does_not_hold_back_finished_replies(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    started, go = tmp_path / "started", tmp_path / "go"
    batch = [(HEAD, request("echo", [n], n)) for n in range(3)]
    executor.put_many(
        sink, [*batch, (HEAD, request("wait_for", [str(started), str(go)], "slow")), *batch]
    )
    await sink.wait(3)
    go.touch()
    await sink.wait(7)


async def test_slow_call_does_not_capture_fast_ones(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=2), Sink()
    await until(lambda: len(pids(executor)) == 2)
    executor.put_many(sink, [(HEAD, request("echo", [n], f"warm {n}")) for n in range(2000)])
    await sink.wait(2000)
    started, go = tmp_path / "started", tmp_path / "go"
    slow = (HEAD, request("wait_for", [str(started), str(go)], "slow"))
    fast = [(HEAD, request("echo", [n], n)) for n in range(1000)]
    executor.put_many(sink, [slow, *fast])
    await until(started.exists)
    for item in fast[:100]:
        executor.put_many(sink, [item])
        await asyncio.sleep(0)
    await sink.wait(3100)
    assert executor.open_requests == 1
    go.touch()
    await sink.wait(3101)
    counts = sink.counts()
    assert counts.pop(b"slow") == 1
    assert {counts[str(n).encode()] for n in range(100)} == {2}


async def test_load_is_shared(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=3), Sink()
    await until(lambda: len(pids(executor)) == 3)
    started, go = [tmp_path / str(n) for n in range(6)], tmp_path / "go"
    for n in range(6):
        executor.put(sink, HEAD, request("wait_for", [str(started[n]), str(go)], n))
    await until(lambda: sum(path.exists() for path in started) == 3)  # three at the same time
    assert sink.replies == []
    go.touch()
    await sink.wait(6)
    assert sink.results() == {str(n): None for n in range(6)}


# ---- death -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["suicide", "leave"])
async def test_worker_that_dies_in_a_call(make: Make, method: str) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    executor.put_many(
        sink,
        [
            (HEAD, request("echo", ["before"], "before")),
            (HEAD, request(method, [], "deadly")),
            *((HEAD, request("echo", [n], n)) for n in range(500)),
        ],
    )
    await sink.wait(502)
    results = sink.results()
    assert results.pop("deadly") == "error -32002"
    # What was finished, but not on its way, may have been lost with the worker.
    assert results.pop("before") in ("before", "error -32002")
    assert results == {str(n): n for n in range(500)}, "not started there, so executed elsewhere"
    assert set(sink.counts().values()) == {1}


async def test_main_thread_that_ends_while_another_goes_on(make: Make) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    executor.put(sink, HEAD, request("end_work", [], 1))
    await sink.wait()
    (worker,) = pids(executor)
    await until(lambda: pids(executor) - {worker})
    executor.put(sink, HEAD, request("add", [1, 2], 2))
    await sink.wait(2)
    assert sink.results() == {"1": None, "2": 3}


async def test_worker_killed_from_outside(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    started = tmp_path / "started"
    executor.put(sink, HEAD, request("wait_for", [str(started), "/nowhere/at/all"], 1))
    executor.put(sink, HEAD, request("append", [str(tmp_path / "n"), "x"]))
    await until(started.exists)
    (worker,) = pids(executor)
    os.kill(worker, signal.SIGKILL)
    executor.put(sink, HEAD, request("pid", [], 2))
    await sink.wait(2)
    assert sink.results()["1"] == "error -32002"
    assert sink.results()["2"] not in (worker, None)


async def test_stopped_worker_can_be_killed(make: Make) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    await executor.wait_ready()
    (worker,) = pids(executor)
    os.kill(worker, signal.SIGSTOP)
    executor.put(sink, HEAD, request("add", [1, 2], 1))
    os.kill(worker, signal.SIGKILL)
    assert (await sink.wait())[0]["result"] == 3, "certainly not started, so executed again"


async def test_death_is_noticed_though_a_child_holds_the_socket(make: Make) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    executor.put(sink, HEAD, request("child_process", [], 1))
    child = (await sink.wait())[0]["result"]
    try:
        executor.put(sink, HEAD, request("suicide", [], 2))
        await sink.wait(2)
        assert sink.results()["2"] == "error -32002"
    finally:
        os.kill(child, signal.SIGKILL)


async def test_worker_that_closes_its_socket_is_ended(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    executor.put_many(
        sink,
        [
            (HEAD, request("close_socket", [], "bad")),
            (HEAD, request("append", [str(tmp_path / "runs"), "x"], "next")),
        ],
    )
    await sink.wait(2)
    assert sink.results() == {"bad": "error -32002", "next": None}
    assert (tmp_path / "runs").read_text() == "x"


async def test_method_that_forks_answers_once(make: Make) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    executor.put(sink, HEAD, request("fork", [], 1))
    executor.put(sink, HEAD, request("pid", [], 2))
    await sink.wait(2)
    (worker,) = pids(executor)
    assert sink.results()["2"] == worker
    assert set(sink.counts().values()) == {1}


async def test_worker_that_dies_again_and_again_is_started_again_and_again(make: Make) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    for _ in range(3):
        (worker,) = await until(lambda: pids(executor))
        os.kill(worker, signal.SIGKILL)
        await until(lambda: worker not in {w.pid for w in executor.workers})  # noqa: B023
    executor.put(sink, HEAD, request("add", [1, 2], 1))
    assert (await sink.wait())[0]["result"] == 3


async def test_bad_head(make: Make) -> None:
    executor = await make(pool_processes=1)
    with pytest.raises(ValueError, match="20 bytes, not 3"):
        executor.put(Sink(), b"abc", b"{}")


async def test_sigint_does_not_hurt_a_worker(make: Make) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    await executor.wait_ready()
    (worker,) = pids(executor)
    os.kill(worker, signal.SIGINT)
    executor.put(sink, HEAD, request("sleep", [0.05], 1))
    os.kill(worker, signal.SIGINT)
    executor.put(sink, HEAD, request("pid", [], 2))
    await sink.wait(2)
    assert sink.results() == {"1": 0.05, "2": worker}


async def test_sigterm_reloads_a_worker_without_loss(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    started, go = tmp_path / "started", tmp_path / "go"
    executor.put(sink, HEAD, request("wait_for", [str(started), str(go)], "slow"))
    await until(started.exists)
    (old,) = pids(executor)
    os.kill(old, signal.SIGTERM)
    go.touch()
    await until(lambda: pids(executor) and old not in pids(executor))
    executor.put(sink, HEAD, request("pid", [], "new"))
    await sink.wait(2)
    results = sink.results()
    assert results["slow"] is None
    assert {results["new"]} == pids(executor)


async def test_no_worker_can_start(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    executor, sink = await make(pool_processes=2, methods="rpcmethods.broken"), Sink()
    executor.put(sink, HEAD, request("add", [1, 2], "early"))
    executor.put(sink, HEAD, request("add", [1, 2]))
    await sink.wait()
    executor.put(sink, HEAD, request("add", [1, 2], "late"))
    await sink.wait(2)
    assert sink.results() == {"early": "error -32004", "late": "error -32004"}
    assert "RuntimeError: broken on purpose" in json.loads(sink.replies[0][3])["error"]["message"]
    assert "broken.py" in caplog.text, "the traceback is in the log"
    assert "resolver.py" not in caplog.text, "but not how it came to be imported"
    told = "worker 1 does not start", "worker 2 does not start", "still does not start"
    await until(lambda: all(text in caplog.text for text in told))
    assert caplog.text.count("broken.py") == 2, "each of the two workers tells it once"
    with pytest.raises(Error, match="broken on purpose"):
        await executor.wait_ready()


async def test_recovers_when_the_methods_package_is_mended(make: Make, tmp_path: Path) -> None:
    module = tmp_path / "laterpackage.py"
    module.write_text("raise RuntimeError")
    sink = Sink()
    executor = await make(pool_processes=1, methods="laterpackage", methods_path=tmp_path)
    executor.put(sink, HEAD, request("f", [], 1))
    await sink.wait()
    module.write_text("def f(): return 'mended'")
    await until(lambda: pids(executor))
    executor.put(sink, HEAD, request("f", [], 2))
    await sink.wait(2)
    assert sink.results() == {"1": "error -32004", "2": "mended"}


# ---- succession --------------------------------------------------------------------------------


async def test_max_tasks_one_after_the_other(make: Make) -> None:
    executor, sink = await make(0, 1, 2), Sink()
    seen = []
    for n in range(6):
        executor.put(sink, HEAD, request("pid", [], n))
        seen.append((await sink.wait(n + 1))[n]["result"])
    assert seen[0::2] == seen[1::2]
    assert len(set(seen)) == 3


@pytest.mark.parametrize("processes", [1, 3])
async def test_max_tasks_under_load_loses_nothing(make: Make, processes: int) -> None:
    executor, sink = await make(0, processes, 50), Sink()
    for n in range(0, 10_000, 20):
        executor.put_many(sink, [(HEAD, request("pid", [], k)) for k in range(n, n + 20)])
        if n % 1000 == 0:
            await asyncio.sleep(0.01)
    await sink.wait(10_000)
    counts = sink.counts()
    assert len(counts) == 10_000
    assert set(counts.values()) == {1}
    workers = set(sink.results().values())
    assert len(workers) >= 3
    assert all(isinstance(worker, int) for worker in workers)


async def test_reset_loads_new_code(make: Make, tmp_path: Path) -> None:
    module = tmp_path / "resetpackage.py"
    module.write_text("def f(): return 'old'")
    sink = Sink()
    executor = await make(pool_processes=2, methods="resetpackage", methods_path=tmp_path)
    await until(lambda: len(pids(executor)) == 2)
    before = pids(executor)
    module.write_text("def f(): return 'brand new'")
    new = await executor.reset()
    assert set(new) == pids(executor)
    assert not before & set(new)
    for n in range(10):
        executor.put(sink, HEAD, request("f", [], n))
    await sink.wait(10)
    assert set(sink.results().values()) == {"brand new"}
    await until(lambda: len(executor.workers) == 2)


async def test_reset_with_broken_code_changes_nothing(make: Make, tmp_path: Path) -> None:
    module = tmp_path / "brokenpackage.py"
    module.write_text("def f(): return 'old'")
    sink = Sink()
    executor = await make(pool_processes=2, methods="brokenpackage", methods_path=tmp_path)
    await until(lambda: len(pids(executor)) == 2)
    before = pids(executor)
    module.write_text("def f(:")
    with pytest.raises(ResetError, match="SyntaxError") as caught:
        await executor.reset()
    assert "brokenpackage.py" in caught.value.traceback
    assert pids(executor) == before
    executor.put(sink, HEAD, request("f", [], 1))
    assert (await sink.wait())[0]["result"] == "old"


async def test_reset_imports_all_modules_first(make: Make, tmp_path: Path) -> None:
    package = tmp_path / "modulespackage"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("def f(): return 'old'")
    (package / "__main__.py").write_text("raise SystemExit('this is for python -m')")
    (package / "_private.py").write_text("raise RuntimeError('no request can name this')")
    (package / "inner/__init__.py").touch()
    late = package / "inner/late.py"
    late.write_text("def f(): return 'old'")
    sink = Sink()
    executor = await make(pool_processes=2, methods="modulespackage", methods_path=tmp_path)
    await until(lambda: len(pids(executor)) == 2)
    before = pids(executor)
    (package / "__init__.py").write_text("def f(): return 'new'")
    late.write_text("raise RuntimeError('not today')")
    with pytest.raises(ResetError, match="RuntimeError: not today") as caught:
        await executor.reset()
    assert "inner/late.py" in caught.value.traceback
    assert "importlib" not in caught.value.traceback
    assert pids(executor) == before
    executor.put(sink, HEAD, request("f", [], 1))
    assert (await sink.wait())[0]["result"] == "old"
    late.write_text("def f(): return 'new'")
    await executor.reset()
    executor.put_many(sink, [(HEAD, request("f", [], 2)), (HEAD, request("inner.late.f", [], 3))])
    await sink.wait(3)
    assert sink.results() == {"1": "old", "2": "new", "3": "new"}


async def test_reset_under_load_loses_nothing(make: Make) -> None:
    executor, sink = await make(pool_processes=2, methods="soundmethods"), Sink()
    await executor.wait_ready()
    sent = 0

    async def load() -> None:
        nonlocal sent
        while not resets.done():
            executor.put_many(
                sink, [(HEAD, request("echo", [n], n)) for n in range(sent, sent + 50)]
            )
            sent += 50
            await asyncio.sleep(0.001)

    async def reset() -> None:
        for _ in range(3):
            await executor.reset()

    resets = asyncio.create_task(reset())
    await load()
    await resets
    await sink.wait(sent)
    assert sink.results() == {str(n): n for n in range(sent)}
    assert set(sink.counts().values()) == {1}


async def test_old_worker_finishes_its_long_call_after_a_reset(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=1, methods="soundmethods"), Sink()
    started, go = tmp_path / "started", tmp_path / "go"
    executor.put(sink, HEAD, request("wait_for", [str(started), str(go)], "slow"))
    await until(started.exists)
    await executor.reset()
    executor.put(sink, HEAD, request("echo", [1], "fast"))
    assert (await sink.wait())[0]["id"] == "fast"
    go.touch()
    await sink.wait(2)
    assert sink.results() == {"slow": None, "fast": 1}


async def test_chaos(make: Make) -> None:
    """Workers are killed all the time, recycled and reset; every request gets one reply."""
    executor, sink = await make(0, 3, 500, methods="soundmethods"), Sink()
    await executor.wait_ready()
    total = 20_000

    async def disturb() -> None:
        kind = 0
        while len(sink.replies) < total:
            kind += 1
            if kind % 5 == 0:
                await executor.reset()
            else:
                worker = min(pids(executor) or {0})
                if worker:
                    os.kill(worker, (signal.SIGKILL, signal.SIGTERM)[kind % 2])
            await asyncio.sleep(0.02)

    disturbance = asyncio.create_task(disturb())
    for n in range(0, total, 100):
        executor.put_many(sink, [(HEAD, request("echo", [k], k)) for k in range(n, n + 100)])
        await asyncio.sleep(0.005)
    await sink.wait(total)
    disturbance.cancel()
    counts = sink.counts()
    assert len(counts) == total
    assert set(counts.values()) == {1}
    results = sink.results()
    wrong = {results[str(n)] for n in range(total)} - set(range(total))
    assert wrong <= {"error -32002"}


# ---- the end -----------------------------------------------------------------------------------


async def test_stop_answers_what_was_accepted(make: Make) -> None:
    executor, sink = await make(pool_processes=2), Sink()
    executor.put_many(sink, [(HEAD, request("echo", [n], n)) for n in range(1000)])
    executor.put(sink, HEAD, request("sleep", [0.1], "slow"))
    closing = asyncio.create_task(executor.aclose(timeout=TIMEOUT))
    await asyncio.sleep(0)
    executor.put(sink, HEAD, request("echo", [1], "late"))
    await closing
    results = sink.results()
    assert results.pop("late") == "error -32003"
    assert results.pop("slow") == 0.1
    assert results == {str(n): n for n in range(1000)}
    assert set(sink.counts().values()) == {1}
    assert executor.workers == []
    executor.put(sink, HEAD, request("echo", [1], "later"))
    assert sink.results()["later"] == "error -32003"


async def test_stop_does_not_wait_for_ever(make: Make, tmp_path: Path) -> None:
    executor, sink = await make(pool_processes=1), Sink()
    started = tmp_path / "started"
    executor.put(sink, HEAD, request("wait_for", [str(started), "/nowhere/at/all"], "slow"))
    await until(started.exists)
    executor.put(sink, HEAD, request("echo", [1], "behind"))
    began = time.monotonic()
    executor.stop(timeout=0.2)
    await executor.aclose()
    assert time.monotonic() - began < TIMEOUT
    assert sink.results() == {"slow": "error -32003", "behind": "error -32003"}
    assert executor.workers == []


async def test_stop_before_the_workers_are_ready(make: Make) -> None:
    executor, sink = await make(pool_processes=2), Sink()
    executor.put(sink, HEAD, request("add", [1, 2], 1))
    await executor.aclose(timeout=TIMEOUT)
    assert sink.results() == {"1": 3}


async def test_closing_twice_and_before_the_start() -> None:
    executor = Executor()
    executor.stop()
    await executor.aclose()
    with pytest.raises(RuntimeError, match="not started"):
        executor.put(Sink(), HEAD, b"")
    executor.start()
    with pytest.raises(RuntimeError, match="only once"):
        executor.start()
    await asyncio.gather(executor.aclose(), executor.aclose())
    await executor.aclose()


def test_without_a_loop_it_brings_its_own() -> None:
    executor = Executor(0, 1, methods="soundmethods", methods_path=PACKAGES)
    replies: list[Any] = []

    class Client:
        def notify_many(self, batch: list[Any], _: float) -> None:
            replies.extend(batch)

    executor.start()
    try:
        asyncio.run(executor.wait_ready())
        before = {worker.pid for worker in executor.workers}
        (new,) = asyncio.run(executor.reset())
        assert new not in before
        for n in range(100):
            executor.put(Client(), HEAD, request("echo", [n], n))
    finally:
        executor.stop()
        executor.stop()
    assert [json.loads(text)["result"] for _, _, _, text in replies] == list(range(100))


# ---- what goes with the workers ----------------------------------------------------------------


async def test_log_records_come_through_the_parent(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="rpcmethods")
    executor, sink = await make(pool_processes=1), Sink()
    executor.put_many(
        sink,
        [
            (HEAD, request("log", [logging.DEBUG, "quiet"], 1)),
            (HEAD, request("log", [logging.INFO, "loud 中"], 2)),
            (HEAD, request("log_exception", [], 3)),
        ],
    )
    await sink.wait(3)
    records = [record for record in caplog.records if record.name == "rpcmethods"]
    assert [record.levelname for record in records] == ["INFO", "ERROR"]
    assert records[0].getMessage() == "said: loud 中"
    assert records[0].processName == "sbusr-worker-1"
    assert records[0].process == next(iter(pids(executor)))
    assert records[0].funcName == "log"
    assert "ValueError: inner" in records[1].getMessage()


async def test_log_records_that_are_no_text(make: Make) -> None:
    records: list[logging.LogRecord] = []
    executor, sink = await make(pool_processes=1, log_sink=records.append), Sink()
    executor.put(sink, HEAD, request("log_oddly", ["lone \ud800"], 1))
    executor.put(sink, HEAD, request("no.such.\ud800", [], 2))
    await sink.wait(2)
    assert records[0].getMessage() == "lone \\ud800"
    assert "no.such." in records[1].getMessage()


async def test_log_records_may_go_elsewhere(make: Make) -> None:
    records: list[logging.LogRecord] = []
    executor, sink = await make(pool_processes=1, log_sink=records.append), Sink()
    executor.put(sink, HEAD, request("log", [logging.ERROR, "x"], 1))
    await sink.wait()
    assert [record.getMessage() for record in records] == ["said: x"]


async def test_prog_args_are_known_in_workers(make: Make) -> None:
    executor, sink = await make(pool_processes=1, prog_args={"verbose": True}), Sink()
    executor.put(sink, HEAD, request("prog_args", [], 1))
    assert (await sink.wait())[0]["result"] == {"verbose": True}


async def test_verbose_puts_tracebacks_into_replies(make: Make) -> None:
    executor, sink = await make(pool_processes=1, verbose=True), Sink()
    executor.put(sink, HEAD, request("fail", ["ValueError"], 1))
    assert "in fail" in (await sink.wait())[0]["error"]["data"]["traceback"]
