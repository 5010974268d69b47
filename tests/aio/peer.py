"""A `tests.net.peer` without any C: clients of `smartbus.aio`, in an event loop in a thread."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from smartbus.aio import SmartBusClient
from smartbus.errors import SmartBusError
from smartbus.events import (
    Connected,
    ConnectFailed,
    Disconnected,
    Event,
    FlowAcknowledged,
    FlowFailed,
    FlowReturned,
    FlowTimedOut,
    GlobalConnect,
    Packet,
)
from smartbus.testing.loop import LoopThread
from tests.net.peer import Reporter, serve

if TYPE_CHECKING:
    from smartbus.subscriptions import Subscription


class _Commands:
    """What the process can be told to do; the clients live in the loop's thread."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._clients: dict[int, SmartBusClient] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: LoopThread
        self._unit = -1

    def nothing(self) -> None:
        # What the loop has begun to report comes before the result of this.
        self._loop.call(lambda: None)

    def initialize(self, kind: str, unit: int) -> None:
        if kind == "uvloop":
            import uvloop

            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        self._unit = unit
        self._loop = LoopThread("clients")

    def connect(
        self, client_id: int, client_type: int, host: str, port: int, more: dict[str, Any]
    ) -> None:
        client = SmartBusClient(host, port, self._unit, client_id, client_type, **more)
        client.subscribe(lambda event: self._tell(client_id, event))
        self._clients[client_id] = client
        self._loop.run(client.start())

    def _tell(self, client_id: int, event: Event) -> None:
        tell = self._report.event
        match event:
            case Connected():
                tell("connect", client_id)
            case ConnectFailed():
                tell("connect_fail", client_id, event.error_code)
            case Disconnected():
                tell("disconnect", client_id)
            case Packet():
                tell("data", client_id, event.data, event.head)
            case FlowAcknowledged():
                what = event.invoke_id, event.status_code, event.msg
                tell("flow_ack", client_id, *what, event.project_id, event.head)
            case FlowReturned(invoke_id=number):
                tell("flow_resp", client_id, number, event.params, event.project_id, event.head)
            case FlowFailed(invoke_id=number, error_code=code):
                tell("flow_error", client_id, number, code, event.project_id, event.head)
            case FlowTimedOut(invoke_id=number):
                tell("flow_timeout", client_id, number, event.project_id, event.head)
            case GlobalConnect():
                who = event.unit_id, event.client_id, event.client_type
                tell("global", *who, event.access_unit_id, event.status_code, event.info)

    def wait_connected(self, client_id: int, timeout: float) -> None:
        self._loop.run(self._clients[client_id].wait_connected(timeout))

    def connected(self, client_id: int) -> bool:
        return self._clients[client_id].connected

    def on(self, client_id: int, method: str, args: tuple[Any, ...]) -> Any:
        """Call a method, by the name and with the arguments that it has in `smartbus.net`."""
        client = self._clients[client_id]
        if method == "release":
            return self._loop.run(client.close())
        if method == "launch_flow":
            *target, mode, timeout, params = args
            launch = client.invoke_flow
            return self._loop.call(launch, *target, params, timeout=timeout, mode=mode)
        return self._loop.call(getattr(client, method), *args)

    def send_burst(
        self, client_id: int, count: int, destination: tuple[int, int, int], size: int
    ) -> None:
        """Send `count` numbered packets in a row."""
        client = self._clients[client_id]

        def send() -> None:
            for number in range(count):
                data = number.to_bytes(4, "little").ljust(size, b".")
                client.send_data(1, 3, *destination, data)

        self._loop.call(send)

    def call_flow(self, client_id: int, args: tuple[Any, ...], timeout: float) -> int:
        """Call a flow; "acked" and "ended" report what its waits end with."""
        client = self._clients[client_id]

        async def tell(name: str, number: int, wait: Coroutine[Any, Any, Any]) -> None:
            try:
                outcome = await wait
            except SmartBusError as error:
                outcome = error
            self._report.event(name, client_id, number, outcome)

        def begin() -> int:
            number = client.invoke_flow(*args, timeout=timeout)
            waits = {
                "acked": client.flow_acknowledged(number),
                "ended": client.flow_result(number),
            }
            for name, wait in waits.items():
                task = asyncio.get_running_loop().create_task(tell(name, number, wait))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return number

        return self._loop.call(begin)

    def subscribe(self, client_id: int) -> None:
        """Report a client's events as objects, until `unsubscribe`."""

        def heard(event: Event) -> None:
            self._report.event("object", client_id, event)

        self._subscriptions[client_id] = self._clients[client_id].subscribe(heard)

    def unsubscribe(self, client_id: int) -> None:
        self._subscriptions.pop(client_id).close()

    def close(self) -> None:
        for client in self._clients.values():
            self._loop.run(client.close())
        self._loop.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]), _Commands)
