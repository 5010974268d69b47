"""What careless callers do, and what they are told."""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from smartbus.bus import Bus
from smartbus.errors import (
    ArgumentError,
    ClientNotFoundError,
    ConnectFailedError,
    NotConnectedError,
    SmartBusTimeoutError,
)
from smartbus.events import Packet
from smartbus.head import Head
from smartbus.net import Client
from smartbus.net.lane import Lane
from smartbus.testing import FlowHost
from tests.net.conftest import UNIT
from tests.net.recorder import DEADLINE, Recorder, connected
from tests.net.test_handlers import LOGGER


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"global_connect_callback": 5}, "global_connect_callback must be callable, not int"),
        ({"loop": asyncio.get_running_loop}, "loop must be an asyncio event loop, not builtin"),
        ({"params": 5}, "params must be str, not int"),
    ],
)
def test_initialize(arguments: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        Client.initialize(UNIT, library="core", **arguments)
    Client.initialize(21, library="core")  # nothing is left of it


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((("127.0.0.1", 8089), 1), "master_ip must be str, not tuple"),
        ((b"127.0.0.1", 8089), "master_ip must be str, not bytes"),
        ((None, 8089), "master_ip must be str, not NoneType"),
        (("127.0.0.1", "8089"), "master_port must be int, not str"),
        (("127.0.0.1", 8089.0), "master_port must be int, not float"),
        (("127.0.0.1", 8089, "127.0.0.1", "8090"), "slave_port must be int, not str"),
    ],
)
def test_addresses(net: str, arguments: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        Client.create(1, 18, *arguments)
    assert Client.find(1) is None


@pytest.mark.parametrize("host", ["127.0.0.1:8089", "http://127.0.0.1"])
def test_a_host_with_a_port(net: str, host: str) -> None:
    client = Client.create(1, 18, host, 8089)
    with pytest.raises(ConnectFailedError, match="host and port are two arguments"):
        client.activate()


def test_a_password_of_bytes_is_no_text_about_bytes(net: str) -> None:
    asked = []

    def decide(registration: Any) -> int:
        asked.append((registration.user, registration.password))
        return 0

    with Bus(users=decide) as bus:
        connected(bus, user="ada", password=b"secret")
        assert asked == [("ada", b"secret")]
        client = Client.create(2, 18, bus.host, bus.port, password=1.5)
        with pytest.raises(TypeError, match="password must be str or bytes, not float"):
            client.activate()


def test_a_class_that_forgets_its_base(net: str) -> None:
    class Forgetful(Client):
        def __init__(self, *_: Any) -> None:
            self.seen: list[bytes] = []

    with pytest.raises(TypeError, match=r"Forgetful.__init__ must call super\(\).__init__\(\)"):
        Forgetful.create(1, 18, "127.0.0.1", 1)


def test_coroutines_as_handlers(net: str) -> None:
    with pytest.raises(TypeError, match=r"Async\.on_data is called, not awaited"):

        class Async(Client):
            async def on_data(self, head: Head, data: bytes) -> None:  # type: ignore[override]
                """Never run."""

    async def handler(event: Packet) -> None:
        """Never run."""

    client = Client.create(1, 18, "127.0.0.1", 1)
    with pytest.raises(TypeError, match="called, not awaited"):
        client.subscribe(handler, Packet)


def test_no_copies(net: str) -> None:
    client = Client.create(1, 18, "127.0.0.1", 1)
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a Client cannot be copied or pickled"):
            duplicate(client)


def test_too_early_and_too_late(net: str) -> None:
    client = Client.create(1, 18, "127.0.0.1", 1)
    with pytest.raises(NotConnectedError, match=r"call activate\(\) first"):
        client.wait_connected(1)
    client.release()
    with pytest.raises(ClientNotFoundError, match="client 1 was released"):
        client.subscribe(print)


def test_a_server_of_something_else(net: str, closing_port: int) -> None:
    client = Client.create(1, 18, "127.0.0.1", closing_port)
    client.activate()
    with pytest.raises(SmartBusTimeoutError, match="is it a SmartBus server"):
        client.wait_connected(0.5)


def test_bad_texts_and_parameters(net: str, bus: Bus) -> None:
    client = connected(bus)
    with pytest.raises(ArgumentError, match="data cannot be encoded"):
        client.send_data(1, 3, 0, 0, 2, "\ud800")
    with pytest.raises(TypeError, match="data must be text or a bytes-like object, not dict"):
        client.send_data(1, 3, 0, 0, 2, {"a": 1})  # type: ignore[arg-type]
    endless: list[Any] = []
    endless.append(endless)
    for params in ([math.nan], endless):
        with pytest.raises(ArgumentError, match="params are no JSON"):
            client.call_flow(0, 0, "P", "F", params, timeout=1)
    with pytest.raises(TypeError, match="params are no JSON: Object of type bytes"):
        client.call_flow(0, 0, "P", "F", [b"x"], timeout=1)


@pytest.mark.parametrize(
    ("notify", "match"),
    [
        (("title", "text"), r"server unit, process index, title and text, not \('title', 'text'\)"),
        (5, "server unit, process index, title and text, not 5"),
        (("0", 0, "t", "x"), "unit and process must be int, not '0' and 0"),
    ],
)
def test_notifies_that_are_none(net: str, bus: Bus, notify: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        connected(bus).notify_many([notify], 1)


def test_notifies_to_addresses_that_are_none(net: str, bus: Bus) -> None:
    notifies = [(0, 256, "t", "x"), (256, 0, "t", "x"), (0, -2, "t", "x"), (0, 255, "t", "x")]
    *bad, good = connected(bus).notify_many(notifies, 1)
    assert max(bad) < 0 < good


class Bad(BaseException):
    """No ``Exception``, as what ``pytest.fail`` raises."""


@pytest.mark.parametrize("error", [Bad, KeyboardInterrupt, GeneratorExit])
def test_whatever_a_handler_raises(
    net: str, bus: Bus, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    class Raising(Recorder):
        def on_data(self, head: Head, data: bytes) -> None:
            super().on_data(head, data)
            raise error

    client = Raising.create(1, 18, bus.host, bus.port)
    client.activate()
    client.wait_connected(DEADLINE)
    for number in range(3):
        client.ping(0, 0, 1, b"%d" % number)
        client.record.expect("data", b"%d" % number)
    client.ping(0, 0, 1, b"last")
    client.record.expect("data", b"last")
    assert caplog.text.count("client 1: a handler raised") >= 3
    assert error.__name__ in caplog.text


def test_whatever_a_done_callback_raises(net: str, bus: Bus, smartbus_ipsc: FlowHost) -> None:
    smartbus_ipsc.write("P", "F", "result = params")

    def fail(_: object) -> None:
        raise Bad

    client = connected(bus)
    client.call_flow(0, 0, "P", "F", [1], timeout=DEADLINE).add_done_callback(fail)
    assert client.call_flow(0, 0, "P", "F", [2], timeout=DEADLINE).result(DEADLINE) == [2]


def test_ctrl_c_in_a_handler_of_a_loop(bus: Bus) -> None:
    async def main() -> None:
        Client.initialize(UNIT, library="core", loop=asyncio.get_running_loop())
        client = Client.create(1, 18, bus.host, bus.port)

        def interrupt(_: object) -> None:
            raise KeyboardInterrupt

        client.subscribe(interrupt)
        client.activate()
        await asyncio.sleep(DEADLINE)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


def test_awaiting_a_flow(bus: Bus, smartbus_ipsc: FlowHost, net: str) -> None:
    smartbus_ipsc.write("P", "F", "result = params")
    smartbus_ipsc.write("P", "Wait", "AsynchInvoke(SmartbusWaitNotify('never', 0, 20000))")
    client = connected(bus)

    async def main() -> None:
        assert await client.call_flow(0, 0, "P", "F", [1], timeout=DEADLINE) == [1]
        calls = [client.call_flow(0, 0, "P", "F", [n], timeout=DEADLINE) for n in range(3)]
        assert await asyncio.gather(*calls) == [[0], [1], [2]]
        waiting = client.call_flow(0, 0, "P", "Wait", timeout=DEADLINE)
        assert await waiting.acknowledged == ""
        task = asyncio.ensure_future(waiting)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiting.cancelled()

    asyncio.run(main())


def test_executors_that_lose_events(net: str, bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TypeError, match="an Executor, not the class ThreadPoolExecutor"):
        Client.create(1, 18, bus.host, bus.port, event_executor=ThreadPoolExecutor)
    told = threading.Event()

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "executor failed" in record.getMessage():
                told.set()

    handler = Telling()
    logging.getLogger(LOGGER).addHandler(handler)
    try:
        # Handlers cannot go to another process; silence would be the worst answer.
        with ProcessPoolExecutor(1, get_context("spawn")) as executor:
            connected(bus, event_executor=executor)
            assert told.wait(DEADLINE)
            Client.finalize()
    finally:
        logging.getLogger(LOGGER).removeHandler(handler)
    assert "cannot be copied or pickled" in caplog.text


def test_an_executor_that_cancels(caplog: pytest.LogCaptureFixture) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def work() -> None:
        busy.set()
        go_on.wait(DEADLINE)

    executor = ThreadPoolExecutor(1)
    lane = Lane(executor, logging.getLogger(LOGGER))
    lane.submit(work, 1, 0)
    lane.submit(work, 5, 0)
    assert busy.wait(DEADLINE)
    executor.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    executor.shutdown()
    assert [each.getMessage() for each in caplog.records] == [
        "5 event(s) lost: the executor cancelled them"
    ]
