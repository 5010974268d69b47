"""`call_flow`: a flow's result as a future."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

import pytest

from smartbus.bus import Bus, PasswordFile
from smartbus.errors import (
    BufferFullError,
    ClientNotFoundError,
    FlowError,
    FlowTimeout,
    NotConnectedError,
    TooLargeError,
    UnitIdError,
)
from smartbus.head import Head
from smartbus.net import Client
from tests.behaviour.ipsc import Ipsc
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Recorder, connected
from tests.net.stuck import StuckServer

PARAMS = ["一", 2, 3.5, None, True, {"k": []}]


@pytest.fixture
def ipsc(net: str, bus: Bus) -> Iterator[Ipsc]:
    with Ipsc(bus) as ipsc:
        yield ipsc


def call(client: Client, flow: str = "echo", timeout: float = DEADLINE, **more: Any) -> Any:
    return client.call_flow(0, 0, "Project1", flow, timeout=timeout, **more)


def open_calls(client: Client) -> int:
    return len(client._flow_calls._results) + len(client._flow_calls._acks)


def test_the_result(ipsc: Ipsc, bus: Bus) -> None:
    client = connected(bus)
    future = call(client, params=PARAMS)
    assert future.result(DEADLINE) == PARAMS
    assert future.exception() is None
    assert future.acknowledged.result(DEADLINE) == "started"
    assert future.project_id == "Project1"
    assert client.record.expect("flow_ack", future.invoke_id, 1)  # handlers hear of it, too
    assert client.record.expect("flow_resp", future.invoke_id, PARAMS)
    assert call(client, "empty").result(DEADLINE) == []
    assert call(client, "gbk").result(DEADLINE) == ["中文"]
    assert open_calls(client) == 0


def test_a_refused_flow(ipsc: Ipsc, bus: Bus) -> None:
    client = connected(bus)
    future = call(client, "refuse")
    error = future.exception(DEADLINE)
    assert type(error) is FlowError
    assert (error.code, error.message) == (5, "没有这个流程")
    assert (error.invoke_id, error.project) == (future.invoke_id, "Project1")
    with pytest.raises(FlowError, match=r"没有这个流程 \(5\)"):
        future.acknowledged.result(DEADLINE)
    assert open_calls(client) == 0


def test_nobody_there(net: str, bus: Bus) -> None:
    """The bus refuses in place of an IPSC that is not there."""
    client = connected(bus)
    error = call(client).exception(DEADLINE)
    assert isinstance(error, FlowError)
    assert error.code == -9


@pytest.mark.parametrize("flow", ["notjson", "notlist"])
def test_a_result_that_is_no_list(ipsc: Ipsc, bus: Bus, flow: str) -> None:
    client = connected(bus)
    future = call(client, flow)
    with pytest.raises(FlowError, match="the result is no JSON") as caught:
        future.result(DEADLINE)
    assert caught.value.code == -99
    assert future.acknowledged.result(DEADLINE) == "started"


def test_no_result_in_time(ipsc: Ipsc, bus: Bus) -> None:
    client = connected(bus)
    future = call(client, "noreturn", 0.2)
    with pytest.raises(FlowTimeout) as caught:
        future.result(DEADLINE)
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.code, caught.value.invoke_id) == (-25, future.invoke_id)
    assert future.acknowledged.result(DEADLINE) == "started"


def test_no_answer_at_all(ipsc: Ipsc, bus: Bus) -> None:
    client = connected(bus)
    future = call(client, "silent", 0.2)
    with pytest.raises(FlowTimeout):
        future.result(DEADLINE)
    with pytest.raises(FlowTimeout, match="no ack"):
        future.acknowledged.result(DEADLINE)
    assert open_calls(client) == 0


def test_a_missing_ack_does_not_end_the_call(ipsc: Ipsc, bus: Bus) -> None:
    client = connected(bus)
    future = call(client, "silent", 1.5)
    slow = call(client, "silent", 2.5)
    assert isinstance(future.acknowledged.exception(DEADLINE), FlowTimeout)
    assert not slow.done()
    wait([future, slow], DEADLINE)
    assert isinstance(slow.exception(), FlowTimeout)


def test_many_calls_of_two_clients(ipsc: Ipsc, bus: Bus) -> None:
    clients = [connected(bus, client_id) for client_id in (1, 2)]

    def calls(number: int) -> list[tuple[Any, Any]]:
        client = clients[number % 2]
        params = [[number, index] for index in range(10)]
        return [(call(client, params=each), each) for each in params]

    with ThreadPoolExecutor(4) as executor:
        for futures in executor.map(calls, range(8)):
            for future, params in futures:
                assert future.result(DEADLINE) == params
    for client in clients:
        client.record.wait(lambda events: len(events) == 1 + 2 * 40)
        assert open_calls(client) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((16, 0, "p", "f"), UnitIdError, "call_flow"),
        ((0, 0, "p", "f", "text"), TypeError, "params must be a list"),
        ((0, 0, "p", "f", ["x" * 20000]), TooLargeError, "too large"),
    ],
)
def test_bad_arguments(
    net: str, bus: Bus, arguments: Any, error: type[Exception], match: str
) -> None:
    client = connected(bus)
    with pytest.raises(error, match=match):
        client.call_flow(*arguments, timeout=1)
    assert open_calls(client) == 0


def test_without_a_connection(net: str) -> None:
    client = Client.create(1, 18, "127.0.0.1", 1)
    client.activate()
    with pytest.raises(NotConnectedError, match="not connected"):
        call(client)
    client.release()
    with pytest.raises(ClientNotFoundError, match="released"):
        call(client)


def test_more_calls_than_the_library_waits_for(net: str) -> None:
    with StuckServer() as server:
        client = server.admitted()
        futures = [call(client, "silent", 60) for _ in range(5000)]
        with pytest.raises(BufferFullError):
            call(client, "silent", 60)
        assert open_calls(client) == 2 * 5000
        client.release()
        assert all(future.exception(0) is not None for future in futures)
        Client.finalize(linger=0)


# ---- cancelling --------------------------------------------------------------------------


def test_cancelling(ipsc: Ipsc, bus: Bus) -> None:
    client = connected(bus)
    future = call(client, params=[1])
    assert future.cancel()
    assert future.cancelled()
    with pytest.raises(CancelledError):
        future.result(0)
    client.record.expect("flow_resp", future.invoke_id, [1])  # the flow went on
    assert future.cancel()
    assert future.acknowledged.cancel() is False  # it had come
    done = call(client, params=[2])
    assert done.result(DEADLINE) == [2]
    assert not done.cancel()
    assert open_calls(client) == 0


def test_a_cancelled_ack(ipsc: Ipsc, bus: Bus) -> None:
    client = connected(bus)
    future = call(client, params=[1])
    assert future.acknowledged.cancel()
    assert future.result(DEADLINE) == [1]


def test_an_ended_call_is_not_kept(ipsc: Ipsc, bus: Bus) -> None:
    client = connected(bus)
    future = call(client, params=[1])
    assert future.result(DEADLINE) == [1]
    kept = weakref.ref(future)
    del future
    client.record.expect("flow_resp")
    gc.collect()
    assert kept() is None


# ---- the end of the client ---------------------------------------------------------------


@pytest.mark.parametrize("end", [Client.release, lambda _: Client.finalize()])
def test_the_client_goes(ipsc: Ipsc, bus: Bus, end: Callable[[Client], None]) -> None:
    client = connected(bus)
    other = connected(bus, 2)
    futures = [call(client, "silent") for _ in range(3)]
    waiting = call(other, "silent")
    end(client)
    for future in futures:
        for answer in (future, future.acknowledged):
            with pytest.raises(FlowError, match="released") as caught:
                answer.result(DEADLINE)
            assert caught.value.code == -9
            assert caught.value.invoke_id == future.invoke_id
    assert open_calls(client) == 0
    if Client.find(2) is other:
        assert not waiting.done()
        other.release()
    assert isinstance(waiting.exception(DEADLINE), FlowError)


def test_calls_while_the_client_goes(ipsc: Ipsc, bus: Bus) -> None:
    """Every call ends, or was not begun."""
    for client_id in range(10):
        client = connected(bus, client_id)
        barrier = threading.Barrier(3)

        def many(
            client: Recorder = client, barrier: threading.Barrier = barrier
        ) -> list[Future[Any]]:
            futures: list[Future[Any]] = []
            barrier.wait(DEADLINE)
            try:
                while True:
                    futures.append(call(client, "silent"))
            except (ClientNotFoundError, BufferFullError):
                return futures

        with ThreadPoolExecutor(2) as executor:
            running = [executor.submit(many) for _ in range(2)]
            barrier.wait(DEADLINE)
            client.release()
            for each in running:
                for future in each.result(DEADLINE):
                    assert isinstance(future.exception(DEADLINE), FlowError)


def test_a_lost_connection_ends_nothing(net: str) -> None:
    with Bus() as bus, Ipsc(bus):
        host, port = bus.host, bus.port
        client = connected(bus)
        future = call(client, "silent", 60)
    client.record.expect("disconnect")
    with Bus(host, port) as bus, Ipsc(bus):
        client.wait_connected(DEADLINE)
        assert call(client, params=[1]).result(DEADLINE) == [1]
        assert not future.done()


def test_a_client_that_is_refused_when_it_comes_back(net: str, tmp_path: Path) -> None:
    with Bus() as bus, Ipsc(bus):
        host, port = bus.host, bus.port
        client = connected(bus)
        future = call(client, "silent", 60)
    PasswordFile.add(tmp_path / "users", "anna", "secret")
    with Bus(host, port, users=tmp_path / "users"):
        for answer in (future, future.acknowledged):
            with pytest.raises(FlowError, match="refused client 1: user refused") as caught:
                answer.result(DEADLINE)
            assert caught.value.code == -5


# ---- where it may be waited for ----------------------------------------------------------


def test_calling_and_waiting_in_handlers(ipsc: Ipsc, bus: Bus) -> None:
    outcomes: Future[list[Any]] = Future()

    class Calling(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:  # noqa: ARG002
            future = call(self, params=[7])
            with pytest.raises(RuntimeError, match="block the events"):
                future.result()
            with pytest.raises(RuntimeError):
                future.acknowledged.exception()
            with pytest.raises(FutureTimeout):
                future.result(timeout=0)
            future.add_done_callback(lambda done: outcomes.set_result(done.result()))

    sender = connected(bus, 1)
    client: Calling = Calling.create(2, 18, bus.host, bus.port)
    client.activate()
    client.wait_connected(DEADLINE)
    sender.send_data(1, 3, -1, 2, 18, b"go")
    assert outcomes.result(DEADLINE) == [7]


def test_waiting_in_a_handler_with_an_executor(ipsc: Ipsc, bus: Bus) -> None:
    outcomes: Future[list[Any]] = Future()

    class Calling(Recorder):
        def on_connect(self) -> None:
            outcomes.set_result(call(self, params=[7]).result(DEADLINE))

    with ThreadPoolExecutor(1) as executor:
        client = Calling.create(2, 18, bus.host, bus.port, event_executor=executor)
        client.activate()
        assert outcomes.result(DEADLINE) == [7]
        client.release()


def test_a_callback_that_raises(ipsc: Ipsc, bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    client = connected(bus)
    future = call(client, params=[1])
    future.add_done_callback(lambda _: 1 / 0)
    assert future.result(DEADLINE) == [1]
    assert call(client, params=[2]).result(DEADLINE) == [2]
    assert any("exception calling callback" in record.message for record in caplog.records)


def test_a_callback_may_call_again(ipsc: Ipsc, bus: Bus) -> None:
    client = connected(bus)
    second: Future[Any] = Future()

    def again(_: object) -> None:
        call(client, params=[2]).add_done_callback(lambda done: second.set_result(done.result()))

    call(client, params=[1]).add_done_callback(again)
    assert second.result(DEADLINE) == [2]


# ---- asyncio -----------------------------------------------------------------------------


async def test_in_a_loop(kind: str, bus: Bus) -> None:
    Client.initialize(UNIT, library="core", abi=kind == "abi", loop=asyncio.get_running_loop())
    with Ipsc(bus):
        await asyncio.wait_for(calls_in_the_loop(bus), DEADLINE)


async def calls_in_the_loop(bus: Bus) -> None:
    client = Recorder.create(1, 18, bus.host, bus.port)
    client.activate()
    while not client.connected:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    futures = [call(client, params=[number]) for number in range(50)]
    with pytest.raises(RuntimeError, match="block the events"):
        futures[0].result()
    results = await asyncio.gather(*map(asyncio.wrap_future, futures))
    assert results == [[number] for number in range(50)]
    with pytest.raises(FlowError):
        await asyncio.wrap_future(call(client, "refuse"))
    with pytest.raises(FlowTimeout):
        await asyncio.wrap_future(call(client, "noreturn", 0.05))
    given_up = call(client, "silent")
    waiting = asyncio.wrap_future(given_up)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)  # asyncio passes it on in the next turn
    assert given_up.cancelled()
    ended = asyncio.wrap_future(call(client, "silent"))
    client.release()
    with pytest.raises(FlowError, match="released"):
        await ended


async def test_threads_and_a_coroutine(ipsc: Ipsc, bus: Bus) -> None:
    """The library has its thread; the coroutine awaits what that thread ends."""
    client = await asyncio.to_thread(connected, bus)
    results = await asyncio.wait_for(
        asyncio.gather(*(asyncio.wrap_future(call(client, params=[n])) for n in range(20))),
        DEADLINE,
    )
    assert results == [[number] for number in range(20)]
